// A flow as people see it: plain values, owned, shared by the daemon's listing (routes), sluicectl and the tests.
// Host byte order throughout; nothing points into a worker's table.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>

#include <boost/asio/ip/address.hpp>

#include "dataplane/flow/flow_event.hh"

namespace sluice::api {

using IpAddress = boost::asio::ip::address;

/// Names a flow for deletion. The Box chooses the bits (say worker, slot and slot generation); an id whose slot has
/// been reused must not match the newcomer.
using FlowId = std::uint64_t;

/// One direction of a flow. Which fields mean something follows from the protocol: ports for TCP, UDP, SCTP (and
/// UDP-Lite, DCCP), `icmp_*` for ICMP and ICMPv6, the keys in the port fields for GRE, `spi` for ESP, addresses only
/// for the rest.
struct FlowTuple {
    IpAddress src;
    IpAddress dst;
    std::uint16_t sport = 0;
    std::uint16_t dport = 0;
    std::uint8_t icmp_type = 0;
    std::uint8_t icmp_code = 0;
    std::uint16_t icmp_id = 0;
    std::uint32_t spi = 0;   ///< ESP; 0: not known yet
    std::uint16_t zone = 0;  ///< in which packets with this tuple are looked up
    bool operator==(const FlowTuple&) const = default;
};

struct FlowCounters {
    std::uint64_t packets = 0;
    std::uint64_t bytes = 0;
    bool operator==(const FlowCounters&) const = default;
};

struct FlowRecord {
    FlowId id = 0;
    std::uint8_t proto = 0;  ///< IP protocol number; the family is that of the addresses
    FlowTuple original;
    FlowTuple reply;              ///< as a reply arrives, so with NAT not the mirror of `original`
    std::uint32_t timeout_s = 0;  ///< seconds left
    std::string state;            ///< TCP/SCTP state as Linux spells it ("SYN_SENT", "ESTABLISHED", …), else empty
    bool unreplied = false;
    bool assured = false;
    bool expected = false;  ///< fulfilled an expectation
    std::uint32_t mark = 0;
    std::uint32_t use = 1;                   ///< reference count as Linux prints it
    std::string helper;                      ///< "ftp" or empty
    bool counted = true;                     ///< `counters` are shown
    std::array<FlowCounters, 2> counters{};  ///< by direction: original, reply
    /// Timeouts that the flow has for itself, in seconds (GRE: until answered, from then on); 0: it has none.
    std::array<std::uint32_t, 2> timeouts_s{};
    std::optional<std::uint32_t> age_s;  ///< since its first packet; absent: not shown
    std::uint16_t worker = 0;
    std::string rule;      ///< filter rule that admitted it, for people; may be empty
    std::string nat_rule;  ///< NAT rule(s) that translated it, for people; may be empty
    bool operator==(const FlowRecord&) const = default;
};

/// What happened to a flow.
struct FlowEventRecord {
    FlowEventKind kind{};
    std::uint8_t changes = 0;   ///< changed:: bits; of an update
    FlowRecord flow;            ///< right after it; of a flow that has ended, as it was then
    std::uint64_t time_us = 0;  ///< UNIX time
    std::uint32_t by = 0;       ///< process that wanted it so; 0: nobody did
    /// UNIX time of its first packet and of its end; of a flow that has ended, if timestamps are on.
    std::optional<std::uint64_t> start_s, stop_s;
    bool operator==(const FlowEventRecord&) const = default;

    /// What conntrack(8) is told with this event: the state only with a birth, an end, or when it has changed; the mark
    /// only when there is one or it has changed.
    [[nodiscard]] bool tells_state() const {
        return kind != FlowEventKind::updated || (changes & changed::kState) != 0;
    }
    [[nodiscard]] bool tells_mark() const { return flow.mark != 0 || (changes & changed::kMark) != 0; }
};

/// A connection that a helper announced and that has not come yet.
struct ExpectationRecord {
    std::uint8_t proto = 0;
    FlowTuple tuple;   ///< the connection that is awaited; sport 0: any source port
    FlowTuple master;  ///< original tuple of the flow that announced it
    std::uint8_t master_proto = 0;
    std::uint32_t timeout_s = 0;
    std::string helper;
    std::uint16_t worker = 0;
};

}  // namespace sluice::api

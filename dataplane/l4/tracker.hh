// The one shape that all trackers have: what is particular to a protocol above IP, from the proof of its header to the
// words of the listing. A tracker is a class of static functions (l4/plain.hh gives most of them for nothing); the
// table of l4/trackers.hh holds them as plain pointers, and nothing is virtual.
//
//   parse          ingress: proves the transport header, fills the packet's key
//   quoted         ingress: the same of the first bytes that an ICMP error quotes
//   admit          policy: may the packet open a flow?
//   begin          policy: fills a new flow's memory from its first packet; the first timeout
//   follow         track: what a later packet does to its flow; the timeout from now on
//   rewrite        translate: new ports and checksum in the transport header
//   rewrite_quote  translate: the same in what an ICMP error quotes, backwards
//   list           listings: state and timeouts that the flow has for itself
//   is_closing     a full table: its ends have begun to close it, so it makes room although it is ASSURED
//
// A tracker touches the packet and its flow, nothing else: what `follow` says is carried out by track/track.cc. TCP's
// `follow` alone is no function of this table; it is a room of its own (track/tcp_fsm.hh).
//
// Called by the flow's owner, `list` too. No function fails or allocates; all bytes that they read are proven.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

#include "dataplane/base/clock.hh"
#include "dataplane/base/invalid_reason.hh"
#include "dataplane/base/verdict.hh"
#include "dataplane/flow/flow_entry.hh"
#include "dataplane/flow/flow_key.hh"
#include "dataplane/flow/packet.hh"
#include "dataplane/flow/seq_adjust.hh"
#include "dataplane/flow/tcp_rules.hh"
#include "dataplane/flow/timeouts.hh"
#include "dataplane/l4/quote_bytes.hh"

namespace sluice {

/// What trackers are told by the policy that is in force.
struct TrackRules {
    const Timeouts& timeouts;
    const TcpRules& tcp;
};

/// Whether a packet that belongs to no flow may open one.
struct Admission {
    bool admit = false;  ///< false: the packet is INVALID, for the reason `refused`
    InvalidReason refused{};

    static Admission refuse(InvalidReason reason) noexcept { return {false, reason}; }
};

enum class TrackResult : std::uint8_t {
    accept,   ///< belongs to the flow; state and lifetime are up to date
    ignore,   ///< belongs to the flow, but neither counts nor keeps it alive
    invalid,  ///< does not belong to it: PacketState::invalid, Packet::invalid_reason says why
    reopen,   ///< a SYN for a closed connection: the old flow must go, the packet is NEW
    kill,     ///< accept, then the flow is over (RST to a SYN that nobody answered)
};

/// What a packet did to its flow.
struct Followed {
    TrackResult result = TrackResult::accept;
    std::uint32_t timeout_s = 0;  ///< with accept: from now on
    std::uint8_t status = 0;      ///< with accept: status:: bits to be set
    bool moved = false;           ///< with accept and ignore: its state is another one now (TCP's is known elsewhere)

    static Followed refuse(Packet& p, InvalidReason reason) noexcept {
        p.invalid_reason = reason;
        return {TrackResult::invalid};
    }
};

/// What a listing shows besides tuples and counters.
struct Listed {
    std::uint8_t state = 0;  ///< index into the tracker's states
    std::array<std::uint32_t, 2> timeouts_s{};
};

struct Tracker {
    std::optional<DropReason> (*parse)(Packet& p, std::uint16_t zone) noexcept;
    /// `behind`: what is quoted behind the IP header. False: too little of it to name a flow.
    bool (*quoted)(std::span<const std::uint8_t> behind, FlowKey& key) noexcept;
    Admission (*admit)(const Packet& p, const TrackRules& rules) noexcept;
    std::uint32_t (*begin)(FlowHot& flow, const Packet& p, const TrackRules& rules) noexcept;
    Followed (*follow)(FlowHot& flow, Packet& p, const TrackRules& rules, Now now) noexcept;
    void (*rewrite)(Packet& p, const RewritePlan& plan) noexcept;
    /// The transport header begins at `at`. `shift`: how a helper has shifted the TCP numbers, or nullptr.
    void (*rewrite_quote)(QuoteBytes& quote, std::size_t at, const RewritePlan& plan, const SeqAdjust* shift) noexcept;
    Listed (*list)(const FlowHot& flow) noexcept;
    bool (*is_closing)(const FlowHot& flow) noexcept;
    std::span<const std::string_view> states;  ///< names as conntrack(8) has them; empty: it has no states

    template <class T>
    static constexpr Tracker of() noexcept {
        Tracker t{T::parse,   T::quoted,        T::admit, T::begin,      nullptr,
                  T::rewrite, T::rewrite_quote, T::list,  T::is_closing, T::kStates};
        if constexpr (requires { &T::follow; }) t.follow = T::follow;
        return t;
    }
};

}  // namespace sluice

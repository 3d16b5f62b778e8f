// The IP half of parse, by family: proves the header, sets what Packet says of it, and tells control traffic for the
// box and addresses that no packet may have from the rest. See parse.hh.
#pragma once

#include <optional>

#include "dataplane/flow/packet.hh"
#include "dataplane/ingress/port_table.hh"

namespace sluice {

/// What became of a packet by its IP header: dropped, control traffic, a fragment, or none of these.
struct IpReading {
    std::optional<DropReason> problem;
    std::optional<PuntClass> control;
    bool fragment = false;  ///< `key` names the datagram
};

/// `available`: bytes of the frame behind the Ethernet header, of which p.l3 is the first.
[[nodiscard]] IpReading read_ip4(Packet& p, unsigned available, const std::uint8_t* frame,
                                 const PortInfo& port) noexcept;
[[nodiscard]] IpReading read_ip6(Packet& p, unsigned available, std::uint16_t zone) noexcept;

}  // namespace sluice

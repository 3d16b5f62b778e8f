// ICMP and ICMPv6 errors that sluice sends (RFC 792, 1191, 1812 4.3; RFC 4443): which packets may have one, and how it
// is built.
//
// The error travels back the way the packet came, to the station that sent the frame, so it needs neither route nor
// neighbour. It quotes the packet as it arrived, as much as fits 576 bytes (RFC 1812 4.3.2.3), of IPv6 1280. It belongs
// to a packet that was judged already and is not judged itself.
//
// Allocates one mbuf from the given pool and fails only when that is empty.
#pragma once

#include <rte_mempool.h>

#include "dataplane/flow/packet.hh"

namespace sluice {

struct IcmpError {
    std::uint8_t type = 3;
    std::uint8_t code = 0;
    std::uint16_t mtu = 0;  ///< 3/4, ICMPv6 2/0: MTU of the next hop
};

/// False for what must never be answered with an error or a reset (RFC 1122 3.2.2): an ICMP error or an unknown type
/// of ICMP (not of ICMPv6), a group or broadcast as destination on either layer, a source that is not one host, a later
/// fragment.
[[nodiscard]] bool may_be_answered(const Packet& p) noexcept;

/// A complete untagged frame from `source` about `p`, untranslated; nullptr when the pool is empty. `id` is the IP
/// identification.
[[nodiscard]] rte_mbuf* build_icmp_error(rte_mempool* pool, const Packet& p, IcmpError error, const IpAddress& source,
                                         std::uint16_t id) noexcept;

}  // namespace sluice

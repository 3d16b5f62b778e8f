// The fields of an IP header that a packet on its way changes or asks for, whatever its family.
//
// Owner: the worker that has the packet.
#pragma once

#include "dataplane/base/checksum.hh"
#include "dataplane/flow/packet.hh"

namespace sluice {

/// What one hop less adds to an IPv4 header's checksum: the time to live is the high byte of the word that it shares
/// with the protocol, so it is always the same (RFC 1141).
inline constexpr ChecksumDelta kOneHop = [] {
    ChecksumDelta delta;
    delta.replace(be16(0x0100), be16(0));
    return delta;
}();

inline void decrement_hops(const Packet& p) noexcept {
    if (p.v6) {
        --p.ip6()->hop_limits;
        return;
    }
    rte_ipv4_hdr& ip = *p.ip();
    --ip.time_to_live;
    ip.hdr_checksum = kOneHop.apply(ip.hdr_checksum);
}

/// The length field; `bytes` is that of the whole packet.
inline void write_length(const Packet& p, std::uint16_t bytes) noexcept {
    if (p.v6) {
        p.ip6()->payload_len = be16(bytes - static_cast<unsigned>(sizeof(rte_ipv6_hdr))).raw;
        return;
    }
    rte_ipv4_hdr* ip = p.ip();
    ChecksumDelta length;
    length.replace(Be16::from_raw(ip->total_length), be16(bytes));
    ip->total_length = be16(bytes).raw;
    ip->hdr_checksum = length.apply(ip->hdr_checksum);
}

/// No router may make its pieces smaller: of IPv6 always (RFC 8200 4.5).
[[nodiscard]] inline bool dont_fragment(const Packet& p) noexcept {
    return p.v6 || (Be16::from_raw(p.ip()->fragment_offset).host() & 0x4000U) != 0;
}

}  // namespace sluice

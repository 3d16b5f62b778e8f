// Where a fragment belongs, as its headers say (RFC 791 3.1, RFC 8200 4.5). Of all that reassembly does, this alone
// depends on the family.
//
// Pure; any thread. Of frames that parse took for fragments: lengths are proven.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include <rte_ether.h>
#include <rte_mbuf.h>

#include "dataplane/base/types.hh"
#include "dataplane/ingress/ip6_header.hh"

namespace sluice {

struct FragmentHeader {
    std::uint16_t bytes =
        0;                   ///< in front of the data: all up to the fragment header of IPv6, which is the last of them
    std::uint16_t kept = 0;  ///< of these, the datagram's: IPv6 loses the fragment header
    std::uint16_t offset = 0;    ///< of the data, in bytes
    std::uint16_t named_at = 0;  ///< IPv6: offset of the byte that names the fragment header
    std::uint8_t ecn = 0;        ///< RFC 3168 5
    bool more = false, dont_fragment = false, v6 = false;
};

/// `packet` begins with the IP header and holds all headers.
[[nodiscard]] inline FragmentHeader read_fragment(std::span<const std::uint8_t> packet) noexcept {
    const auto word = [&](unsigned at) { return static_cast<unsigned>(packet[at] << 8 | packet[at + 1]); };
    FragmentHeader h;
    h.v6 = packet[0] >> 4 == 6;
    if (h.v6) {
        const Ip6Walk walk = walk_ip6(packet);
        h.bytes = walk.l4_offset;
        h.kept = static_cast<std::uint16_t>(walk.l4_offset - kIp6FragmentHeader);
        h.offset = walk.offset;
        h.named_at = walk.named_at;
        h.ecn = static_cast<std::uint8_t>(packet[1] >> 4 & 3U);
        h.more = walk.more;
    } else {
        h.bytes = h.kept = static_cast<std::uint16_t>((packet[0] & 0xfU) * 4);
        h.offset = static_cast<std::uint16_t>((word(6) & 0x1fffU) * 8);
        h.ecn = packet[1] & 3U;
        h.more = (word(6) & 0x2000U) != 0;
        h.dont_fragment = (word(6) & 0x4000U) != 0;
    }
    return h;
}

/// Of an untagged frame in one buffer.
[[nodiscard]] inline FragmentHeader read_fragment(const rte_mbuf* m) noexcept {
    return read_fragment(
        {rte_pktmbuf_mtod_offset(m, const std::uint8_t*, sizeof(rte_ether_hdr)), m->data_len - sizeof(rte_ether_hdr)});
}

}  // namespace sluice

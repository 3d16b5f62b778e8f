#include "dataplane/ingress/join.hh"

#include <rte_ether.h>
#include <rte_ip.h>

#include "dataplane/flow/chain.hh"

namespace sluice {

namespace {

rte_ipv4_hdr* header_of(rte_mbuf* m) noexcept {
    return rte_pktmbuf_mtod_offset(m, rte_ipv4_hdr*, sizeof(rte_ether_hdr));
}

std::uint16_t header_bytes(const rte_ipv4_hdr* ip) noexcept {
    return static_cast<std::uint16_t>((ip->version_ihl & 0xfU) * 4);
}

}  // namespace

rte_mbuf* join(std::span<rte_mbuf* const> pieces, const JoinedHeader& header) noexcept {
    constexpr std::uint16_t kDontFragment = 0x4000;
    constexpr std::uint8_t kCongestionExperienced = 3;
    rte_mbuf* first = pieces.front();
    rte_mbuf* tail = first;
    for (rte_mbuf* m : pieces.subspan(1)) {
        rte_pktmbuf_adj(m, static_cast<std::uint16_t>(sizeof(rte_ether_hdr) + header_bytes(header_of(m))));
        tail->next = m;
        tail = m;
    }
    tail->next = nullptr;

    rte_ipv4_hdr* ip = header_of(first);
    const unsigned ip_bytes = header_bytes(ip) + unsigned{header.data_bytes};
    ip->total_length = be16(ip_bytes).raw;
    ip->fragment_offset = be16(header.dont_fragment ? kDontFragment : 0).raw;
    if (header.congestion_experienced) ip->type_of_service |= kCongestionExperienced;
    ip->hdr_checksum = 0;
    ip->hdr_checksum = checksum_of(ip, header_bytes(ip));

    first->nb_segs = static_cast<std::uint16_t>(pieces.size());
    first->pkt_len = static_cast<std::uint32_t>(sizeof(rte_ether_hdr) + ip_bytes);
    // Devices looked at fragments, not at this.
    first->ol_flags &= ~(RTE_MBUF_F_RX_IP_CKSUM_MASK | RTE_MBUF_F_RX_L4_CKSUM_MASK);
    set_largest_piece(first, header.largest);
    return first;
}

}  // namespace sluice

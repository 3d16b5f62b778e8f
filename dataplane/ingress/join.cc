#include "dataplane/ingress/join.hh"

#include <cstring>

#include <rte_ether.h>
#include <rte_ip.h>

#include "dataplane/flow/chain.hh"
#include "dataplane/ingress/fragment_header.hh"

namespace sluice {

namespace {

void finish(rte_ipv4_hdr* ip, unsigned header_bytes, const JoinedHeader& header) noexcept {
    constexpr std::uint16_t kDontFragment = 0x4000;
    constexpr std::uint8_t kCongestionExperienced = 3;
    ip->total_length = be16(header_bytes + header.data_bytes).raw;
    ip->fragment_offset = be16(header.dont_fragment ? kDontFragment : 0).raw;
    if (header.congestion_experienced) ip->type_of_service |= kCongestionExperienced;
    ip->hdr_checksum = 0;
    ip->hdr_checksum = checksum_of(ip, header_bytes);
}

/// The fragment header goes, and what named it names what it named. What is in front of it moves up to the data.
void finish_ip6(rte_mbuf* first, const FragmentHeader& f, const JoinedHeader& header) noexcept {
    constexpr std::uint8_t kCongestionExperienced = 3 << 4;
    auto* frame = rte_pktmbuf_mtod(first, std::uint8_t*);
    std::uint8_t* ip = frame + sizeof(rte_ether_hdr);
    ip[f.named_at] = ip[f.kept];
    std::memmove(frame + kIp6FragmentHeader, frame, sizeof(rte_ether_hdr) + f.kept);
    rte_pktmbuf_adj(first, kIp6FragmentHeader);
    ip += kIp6FragmentHeader;
    if (header.congestion_experienced) ip[1] |= kCongestionExperienced;
    const std::uint16_t payload = be16(f.kept - kIp6Header + header.data_bytes).raw;
    std::memcpy(ip + 4, &payload, sizeof payload);
}

}  // namespace

rte_mbuf* join(std::span<rte_mbuf* const> pieces, const JoinedHeader& header) noexcept {
    rte_mbuf* first = pieces.front();
    rte_mbuf* tail = first;
    for (rte_mbuf* m : pieces.subspan(1)) {
        rte_pktmbuf_adj(m, static_cast<std::uint16_t>(sizeof(rte_ether_hdr) + read_fragment(m).bytes));
        detail::set_moved_from(m, 0);
        tail->next = m;
        tail = m;
    }
    tail->next = nullptr;

    const FragmentHeader f = read_fragment(first);
    if (f.v6) {
        finish_ip6(first, f, header);
    } else {
        finish(rte_pktmbuf_mtod_offset(first, rte_ipv4_hdr*, sizeof(rte_ether_hdr)), f.kept, header);
    }

    first->nb_segs = static_cast<std::uint16_t>(pieces.size());
    first->pkt_len = static_cast<std::uint32_t>(sizeof(rte_ether_hdr) + f.kept + header.data_bytes);
    // Devices looked at fragments, not at this.
    first->ol_flags &= ~(RTE_MBUF_F_RX_IP_CKSUM_MASK | RTE_MBUF_F_RX_L4_CKSUM_MASK);
    set_largest_piece(first, header.largest);
    return first;
}

}  // namespace sluice

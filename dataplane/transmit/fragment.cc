#define ALLOW_EXPERIMENTAL_API  // rte_ipv4_fragment_copy_nonseg_packet: in DPDK since 21.05

#include "dataplane/transmit/fragment.hh"

#include <cerrno>
#include <cstring>

#include <rte_ether.h>
#include <rte_ip_frag.h>

#include "dataplane/base/checksum.hh"

namespace sluice {

std::span<rte_mbuf*> cut(Packet& p, std::uint16_t mtu, rte_mempool* pool, Disposal& disposal, Pieces& pieces) noexcept {
    rte_ether_hdr ethernet;
    std::memcpy(&ethernet, p.l3 - sizeof ethernet, sizeof ethernet);
    rte_mbuf* whole = p.mbuf;
    p.mbuf = nullptr;
    rte_pktmbuf_adj(whole, sizeof ethernet);  // the library wants the IPv4 header first
    // Cut at a multiple of eight behind the header, or the library refuses.
    const unsigned header = static_cast<unsigned>(p.l4 - p.l3);
    if (mtu < header + 8) {
        disposal.drop(whole, DropReason::fragment_failed);
        return {};
    }
    const auto usable = static_cast<std::uint16_t>(header + (mtu - header) / 8 * 8);
    const std::int32_t made = rte_ipv4_fragment_copy_nonseg_packet(whole, pieces.data(), kMaxPieces, usable, pool);
    if (made <= 0) {
        disposal.drop(whole, made == -ENOMEM ? DropReason::no_buffer : DropReason::fragment_failed);
        return {};
    }
    const std::span<rte_mbuf*> cut_off(pieces.data(), static_cast<std::size_t>(made));
    for (rte_mbuf* m : cut_off) {
        auto* ip = rte_pktmbuf_mtod(m, rte_ipv4_hdr*);
        ip->hdr_checksum = 0;
        ip->hdr_checksum = checksum_of(ip, (ip->version_ihl & 0xfU) * 4);
        m->ol_flags = 0;
        std::memcpy(rte_pktmbuf_prepend(m, sizeof ethernet), &ethernet, sizeof ethernet);
    }
    disposal.release(whole);
    disposal.counters().balance.split.add(cut_off.size() - 1);
    return cut_off;
}

}  // namespace sluice

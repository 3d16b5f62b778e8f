#include "dataplane/translate/icmp_inner.hh"

#include "dataplane/l4/trackers.hh"

namespace sluice {

void rewrite_error(Packet& p, const RewritePlan& plan, bool replaces_source, const SeqAdjust* shift) noexcept {
    constexpr std::size_t kChecksum = 10, kSource = 12, kDestination = 16;
    QuoteBytes quote(p.payload());
    quote.put(kSource, plan.dst);
    quote.put(kDestination, plan.src);
    quote.correct(kChecksum, plan.l3);
    tracker_of(p.key.kind()).rewrite_quote(quote, (quote[0] & 0xfU) * 4U, plan, shift);
    rte_icmp_hdr* icmp = p.icmp();
    icmp->icmp_cksum = quote.added().apply(icmp->icmp_cksum);

    rte_ipv4_hdr* ip = p.ip();
    ChecksumDelta outer;
    outer.replace(Ip4::from_raw(ip->dst_addr), plan.dst);
    ip->dst_addr = plan.dst.raw;
    if (replaces_source) {
        outer.replace(Ip4::from_raw(ip->src_addr), plan.src);
        ip->src_addr = plan.src.raw;
    }
    ip->hdr_checksum = outer.apply(ip->hdr_checksum);
    // What a device said of the checksums was about the packet that it received.
    p.mbuf->ol_flags &= ~(RTE_MBUF_F_RX_IP_CKSUM_MASK | RTE_MBUF_F_RX_L4_CKSUM_MASK);
}

}  // namespace sluice

#include "dataplane/translate/icmp_inner.hh"

#include "dataplane/ingress/quote.hh"
#include "dataplane/l4/trackers.hh"

namespace sluice {

namespace {

constexpr std::size_t kSource4 = 12, kSource6 = 8;

/// The quoted packet went the other way.
void mirror_addresses(QuoteBytes& quote, const Ends& to, const RewritePlan& plan, bool v6) noexcept {
    constexpr std::size_t kChecksum = 10;
    if (v6) {
        quote.put(kSource6, to.dst);
        quote.put(kSource6 + sizeof(IpAddress), to.src);
        return;
    }
    quote.put(kSource4, to.dst.v4());
    quote.put(kSource4 + sizeof(Ip4), to.src.v4());
    quote.correct(kChecksum, plan.l3);
}

/// The error's own addresses; what that adds to the checksum of a pseudo header.
ChecksumDelta redirect(Packet& p, const Ends& to, bool replaces_source) noexcept {
    ChecksumDelta outer;
    outer.replace(p.destination(), to.dst);
    if (replaces_source) outer.replace(p.source(), to.src);
    if (p.v6) {
        to.dst.to_bytes(p.ip6()->dst_addr);
        if (replaces_source) to.src.to_bytes(p.ip6()->src_addr);
        return outer;
    }
    rte_ipv4_hdr* ip = p.ip();
    ip->dst_addr = to.dst.v4().raw;
    if (replaces_source) ip->src_addr = to.src.v4().raw;
    ip->hdr_checksum = outer.apply(ip->hdr_checksum);
    return {};
}

}  // namespace

void rewrite_error(Packet& p, const RewritePlan& plan, const Ends& to, bool replaces_source,
                   const SeqAdjust* shift) noexcept {
    QuoteBytes quote(p.payload());
    mirror_addresses(quote, to, plan, p.v6);
    tracker_of(p.key.kind()).rewrite_quote(quote, quoted_transport(p.payload(), p.v6), plan, shift);
    ChecksumDelta changed = quote.added();
    changed.add(redirect(p, to, replaces_source));
    rte_icmp_hdr* icmp = p.icmp();
    icmp->icmp_cksum = changed.apply(icmp->icmp_cksum);
    // What a device said of the checksums was about the packet that it received.
    p.mbuf->ol_flags &= ~(RTE_MBUF_F_RX_IP_CKSUM_MASK | RTE_MBUF_F_RX_L4_CKSUM_MASK);
}

}  // namespace sluice

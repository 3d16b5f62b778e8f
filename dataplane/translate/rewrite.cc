#include "dataplane/translate/rewrite.hh"

#include <rte_mbuf.h>

#include "dataplane/l4/trackers.hh"

namespace sluice {

void rewrite(Packet& p, const RewritePlan& plan) noexcept {
    if (plan.active == 0) return;
    rte_ipv4_hdr* ip = p.ip();
    ip->src_addr = plan.src.raw;
    ip->dst_addr = plan.dst.raw;
    ip->hdr_checksum = plan.l3.apply(ip->hdr_checksum);

    const L4Kind kind = l4_kind(p.proto);
    switch (kind) {
        case L4Kind::tcp:
            l4::Tcp::rewrite(p, plan);
            break;
        case L4Kind::udp:
            l4::Udp::rewrite(p, plan);
            break;
        case L4Kind::icmp:
            l4::Icmp::rewrite(p, plan);
            break;
        default:
            tracker_of(kind).rewrite(p, plan);
            break;
    }
    // What a device said of the checksums was about the packet that it received.
    p.mbuf->ol_flags &= ~(RTE_MBUF_F_RX_IP_CKSUM_MASK | RTE_MBUF_F_RX_L4_CKSUM_MASK);
}

}  // namespace sluice

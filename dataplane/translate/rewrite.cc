#include "dataplane/translate/rewrite.hh"

#include <rte_mbuf.h>

#include "dataplane/l4/trackers.hh"

namespace sluice {

namespace {

/// What a device said of the checksums was about the packet that it received.
void forget_what_the_device_said(rte_mbuf* m) noexcept {
    m->ol_flags &= ~(RTE_MBUF_F_RX_IP_CKSUM_MASK | RTE_MBUF_F_RX_L4_CKSUM_MASK);
}

/// What most packets are by name, for the compiler's sake.
void rewrite_transport(Packet& p, const RewritePlan& plan) noexcept {
    const L4Kind kind = l4_kind(p.proto, p.v6);
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
}

}  // namespace

void rewrite(Packet& p, const RewritePlan& plan) noexcept {
    if (plan.active == 0) return;
    rte_ipv4_hdr* ip = p.ip();
    ip->src_addr = plan.src_low.raw;
    ip->dst_addr = plan.dst_low.raw;
    ip->hdr_checksum = plan.l3.apply(ip->hdr_checksum);

    rewrite_transport(p, plan);
    forget_what_the_device_said(p.mbuf);
}

void rewrite(Packet& p, const RewritePlan& plan, const Ends& to) noexcept {
    if (plan.active == 0) return;
    to.src.to_bytes(p.ip6()->src_addr);
    to.dst.to_bytes(p.ip6()->dst_addr);
    rewrite_transport(p, plan);
    forget_what_the_device_said(p.mbuf);
}

}  // namespace sluice

#include "dataplane/translate/rewrite.hh"

#include <rte_mbuf.h>

namespace sluice {

void rewrite(Packet& p, const RewritePlan& plan) noexcept {
    if (plan.active == 0) return;
    rte_ipv4_hdr* ip = p.ip();
    ip->src_addr = plan.src.raw;
    ip->dst_addr = plan.dst.raw;
    ip->hdr_checksum = plan.l3.apply(ip->hdr_checksum);

    switch (l4_kind(p.proto)) {
        case L4Kind::tcp: {
            rte_tcp_hdr* tcp = p.tcp();
            tcp->src_port = plan.sport.raw;
            tcp->dst_port = plan.dport.raw;
            tcp->cksum = plan.l4.apply(tcp->cksum);
            break;
        }
        case L4Kind::udp: {
            rte_udp_hdr* udp = p.udp();
            udp->src_port = plan.sport.raw;
            udp->dst_port = plan.dport.raw;
            if (udp->dgram_cksum != 0) {  // 0: the sender computed none, so there is none to correct (RFC 768)
                const std::uint16_t sum = plan.l4.apply(udp->dgram_cksum);
                udp->dgram_cksum = sum != 0 ? sum : std::uint16_t{0xffff};
            }
            break;
        }
        case L4Kind::icmp: {
            rte_icmp_hdr* icmp = p.icmp();  // no pseudo header: the identifier alone counts (RFC 792)
            icmp->icmp_ident = plan.sport.raw;
            icmp->icmp_cksum = plan.l4.apply(icmp->icmp_cksum);
            // An update cannot tell a sum of nothing but zeros (RFC 1624, section 3): an echo reply of id and sequence
            // zero may be that, and for it all ones are right. They are for every other sum of zero, too.
            if (icmp->icmp_cksum == 0 && icmp->icmp_type == 0 && icmp->icmp_ident == 0) icmp->icmp_cksum = 0xffff;
            break;
        }
        case L4Kind::generic:
            break;
    }
    // What a device said of the checksums was about the packet that it received.
    p.mbuf->ol_flags &= ~(RTE_MBUF_F_RX_IP_CKSUM_MASK | RTE_MBUF_F_RX_L4_CKSUM_MASK);
}

}  // namespace sluice

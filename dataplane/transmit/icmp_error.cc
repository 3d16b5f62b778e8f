#include "dataplane/transmit/icmp_error.hh"

#include <algorithm>
#include <cstring>

#include "dataplane/transmit/answer_frame.hh"

namespace sluice {

namespace {

/// 224/4 and up: multicast, reserved, broadcast.
bool is_one_host(const IpAddress& a) noexcept {
    if (!a.is_v4()) return !a.is_multicast() && !a.is_none();
    const std::uint32_t top = a.v4().host() >> 24;
    return top != 0 && top != 127 && top < 224;
}

/// Of ICMP, questions and answers alone; of ICMPv6, all that is no error (RFC 4443 2.4 e), known or not.
bool is_answerable_kind(const Packet& p) noexcept {
    if (p.icmp_error) return false;
    if (shape_of(l4_kind(p.proto, p.v6)) != TupleShape::query) return true;
    return p.v6 || icmp_inverse(p.icmp()->icmp_type, false).has_value();
}

/// RFC 1812 4.3.2.5, as Linux has it: what IPv4's error is about says how it is to be served, with the precedence of
/// internetwork control. ICMPv6 has no such rule.
std::uint8_t service_of(const Packet& p) noexcept {
    constexpr unsigned kService = 0x1e, kInternetControl = 0xc0;
    return p.v6 ? std::uint8_t{0} : static_cast<std::uint8_t>((p.ip()->type_of_service & kService) | kInternetControl);
}

}  // namespace

bool may_be_answered(const Packet& p) noexcept {
    const auto* frame = reinterpret_cast<const rte_ether_hdr*>(p.l3 - sizeof(rte_ether_hdr));
    if (((frame->dst_addr.addr_bytes[0] | frame->src_addr.addr_bytes[0]) & 1) != 0) return false;
    if (!p.v6 && (Be16::from_raw(p.ip()->fragment_offset).host() & 0x1fffU) != 0) return false;
    if (!is_answerable_kind(p)) return false;
    return is_one_host(p.source()) && is_one_host(p.destination());
}

rte_mbuf* build_icmp_error(rte_mempool* pool, const Packet& p, IcmpError error, const IpAddress& source,
                           std::uint16_t id) noexcept {
    // As much as fits what every host must take (RFC 1812 4.3.2.3; RFC 4443 3.1: the minimum MTU of IPv6).
    const unsigned most = p.v6 ? 1280U - unsigned{sizeof(rte_ipv6_hdr)} : 576U - unsigned{sizeof(rte_ipv4_hdr)};
    const unsigned quoted = std::min<unsigned>(p.l3_bytes, most - unsigned{sizeof(rte_icmp_hdr)});
    const auto l4_bytes = static_cast<std::uint16_t>(sizeof(rte_icmp_hdr) + quoted);
    const IpProto proto = p.v6 ? IpProto::icmpv6 : IpProto::icmp;
    const AnswerHeader header{source, p.source(), proto, service_of(p), id, false};
    const AnswerFrame answer = start_answer(pool, p, header, l4_bytes);
    if (answer.mbuf == nullptr) return nullptr;
    auto* icmp = reinterpret_cast<rte_icmp_hdr*>(answer.l4);
    icmp->icmp_type = error.type;
    icmp->icmp_code = error.code;
    icmp->icmp_cksum = 0;
    icmp->icmp_ident = 0;
    icmp->icmp_seq_nb = be16(error.mtu).raw;  // the low half of the unused word (RFC 1191); ICMPv6's is all MTU
    std::uint8_t* quote = answer.l4 + sizeof *icmp;
    const auto at = static_cast<std::uint32_t>(p.l3 - rte_pktmbuf_mtod(p.mbuf, std::uint8_t*));
    // Copied only if it lies in several buffers.
    if (const void* bytes = rte_pktmbuf_read(p.mbuf, at, quoted, quote); bytes != quote)
        std::memcpy(quote, bytes, quoted);
    const std::uint32_t pseudo =
        p.v6 ? pseudo_header_sum(header.src, header.dst, static_cast<std::uint8_t>(proto), l4_bytes) : 0;
    icmp->icmp_cksum = checksum_of(icmp, l4_bytes, pseudo);
    return answer.mbuf;
}

}  // namespace sluice

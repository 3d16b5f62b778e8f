#include <rte_mbuf.h>

#include "dataplane/ingress/ip6_header.hh"
#include "dataplane/ingress/parse_ip.hh"
#include "dataplane/l4/plain.hh"

namespace sluice {

namespace {

using MaybeDrop = std::optional<DropReason>;
constexpr MaybeDrop kFine = std::nullopt;

/// Proves the header and cuts what is behind the packet.
MaybeDrop check_header(Packet& p, unsigned available) noexcept {
    if (available < kIp6Header || p.mbuf->data_len < kIp6Header + (p.mbuf->pkt_len - available))
        return DropReason::ip_short;
    if (p.l3[0] >> 4 != 6) return DropReason::ip_version;
    constexpr std::uint8_t kHopByHop = 0;
    const unsigned payload = l4::load16(p.l3 + 4).host(), total = kIp6Header + payload;
    // No jumbograms (RFC 2675): a length of 0 with options, one of which says how long it is.
    if ((payload == 0 && p.l3[6] == kHopByHop) || total > available) return DropReason::ip_total_length;
    if (total < available) rte_pktmbuf_trim(p.mbuf, static_cast<std::uint16_t>(available - total));
    p.l3_bytes = static_cast<std::uint16_t>(total);
    return kFine;
}

/// What lies in the first buffer.
std::span<const std::uint8_t> readable(const Packet& p) noexcept {
    const auto behind = static_cast<std::size_t>(rte_pktmbuf_mtod(p.mbuf, std::uint8_t*) + p.mbuf->data_len - p.l3);
    return {p.l3, std::min<std::size_t>(behind, p.l3_bytes)};
}

/// Neighbour and router discovery, MLD (RFC 4861, 2710, 3810, 5790): for the box, whatever it says of it.
bool is_discovery(const Packet& p) noexcept {
    if (p.proto != static_cast<std::uint8_t>(IpProto::icmpv6) || p.l4_bytes == 0 || p.contiguous() == 0) return false;
    const unsigned type = p.l4[0];
    return (type >= 130 && type <= 137) || type == 143;
}

/// Of the interface or the link (RFC 4291 2.7).
bool is_link_multicast(const IpAddress& a) noexcept {
    const unsigned scope = a.word(0) >> 16 & 0xf;
    return a.is_multicast() && (scope == 1 || scope == 2);
}

/// ::, ::1, and IPv4 in disguise (RFC 4291 2.5, RFC 6890).
bool is_never_valid(const IpAddress& a) noexcept {
    return a.is_v4() || (a.upper64() == 0 && a.lower64() <= 1);
}

MaybeDrop check_addresses(const Packet& p) noexcept {
    const IpAddress from = p.source(), to = p.destination();
    if (to.is_multicast()) return DropReason::multicast;
    if (is_never_valid(from) || from.is_multicast()) return DropReason::ip_martian_source;
    if (is_never_valid(to)) return DropReason::ip_martian_destination;
    if (from == to) return DropReason::ip_land_attack;
    return kFine;
}

/// The first fragment holds all headers, or nobody can judge it (RFC 7112). As in Linux (ipv6frag_thdr_truncated) that
/// is the transport header without options.
MaybeDrop check_first(const Packet& p, unsigned l4_offset) noexcept {
    const auto packet = readable(p);
    const Ip6Walk rest = walk_behind_fragment(packet, l4_offset);
    if (rest.end == Ip6Walk::End::source_route) return DropReason::ip_source_route;
    if (rest.end != Ip6Walk::End::transport) return DropReason::ip6_extension;
    unsigned least = 1;
    switch (static_cast<IpProto>(rest.proto)) {
        case IpProto::tcp:
            least = 20;
            break;
        case IpProto::udp:
        case IpProto::icmpv6:
            least = 8;
            break;
        default:
            break;
    }
    return rest.l4_offset + least > packet.size() ? MaybeDrop{DropReason::ip6_extension} : kFine;
}

/// Fragments belong together by these and the identification (RFC 8200 4.5). What the box sends is not mixed with what
/// it forwards.
FlowKey datagram_of(const Packet& p, Be32 id, std::uint16_t zone) noexcept {
    FlowKey key = generic_key(0, p.source(), p.destination(), zone);
    key.sport = Be16::from_raw(static_cast<std::uint16_t>(id.raw & 0xffffU));
    key.dport = Be16::from_raw(static_cast<std::uint16_t>(id.raw >> 16));
    if (p.local_out) key.flags |= FlowKey::kOwn;
    return key;
}

}  // namespace

Arrival read_ip6(Packet& p, unsigned available, std::uint16_t zone, DropReason& why) noexcept {
    p.v6 = true;
    if (const auto problem = check_header(p, available)) return detail::refuse(*problem, why);
    const Ip6Walk walk = walk_ip6(readable(p));
    if (walk.end == Ip6Walk::End::malformed) return detail::refuse(DropReason::ip6_extension, why);
    if (walk.end == Ip6Walk::End::source_route) return detail::refuse(DropReason::ip_source_route, why);
    p.l4 = p.l3 + walk.l4_offset;
    p.l4_bytes = static_cast<std::uint16_t>(p.l3_bytes - walk.l4_offset);
    p.proto = walk.proto;
    const bool fragment = walk.end == Ip6Walk::End::fragment;
    if (!fragment && is_discovery(p)) {
        if (p.largest_piece != 0) return detail::refuse(DropReason::ip6_extension, why);  // never in pieces: RFC 6980
        return detail::is_control(p, PuntClass::arp_nd);
    }
    if (is_link_multicast(p.destination())) {
        if (fragment && walk.offset != 0) p.l4_bytes = 0;  // what is there is no header
        return detail::is_control(p, PuntClass::routing);
    }
    if (const auto problem = check_addresses(p)) return detail::refuse(*problem, why);
    if (!fragment) return Arrival::forward;
    if (walk.offset == 0)
        if (const auto problem = check_first(p, walk.l4_offset)) return detail::refuse(*problem, why);
    p.key = datagram_of(p, walk.id, zone);
    return Arrival::fragment;
}

}  // namespace sluice

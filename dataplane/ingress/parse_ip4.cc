#include <cstring>

#include <rte_mbuf.h>

#include "dataplane/base/checksum.hh"
#include "dataplane/ingress/parse_ip.hh"
#include "dataplane/l4/plain.hh"

namespace sluice {

namespace {

using MaybeDrop = std::optional<DropReason>;
constexpr MaybeDrop kFine = std::nullopt;

// What few packets need is kept out of the way of the others: registers that it wants would be saved for all.
[[gnu::noinline]] MaybeDrop check_options(const std::uint8_t* option, const std::uint8_t* end) noexcept {
    constexpr std::uint8_t kEnd = 0, kNop = 1, kLooseRoute = 131, kStrictRoute = 137;
    while (option < end && *option != kEnd) {
        if (*option == kNop) {
            ++option;
            continue;
        }
        if (end - option < 2 || option[1] < 2 || option[1] > end - option) return DropReason::ip_option_malformed;
        // RFC 7126 4.3: a router should be able to refuse them; a firewall always does.
        if (*option == kLooseRoute || *option == kStrictRoute) return DropReason::ip_source_route;
        option += option[1];
    }
    return kFine;
}

MaybeDrop check_ip_header(Packet& p, unsigned available) noexcept {
    constexpr unsigned kMinHeader = 20;
    if (available < kMinHeader) return DropReason::ip_short;
    if (p.l3[0] >> 4 != 4) return DropReason::ip_version;
    const unsigned header = (p.l3[0] & 0xfU) * 4;
    if (header < kMinHeader || header > available) return DropReason::ip_header_length;
    const unsigned total = l4::load16(p.l3 + 2).host();
    if (total < header || total > available) return DropReason::ip_total_length;
    rte_mbuf* m = p.mbuf;
    if ((m->ol_flags & RTE_MBUF_F_RX_IP_CKSUM_MASK) != RTE_MBUF_F_RX_IP_CKSUM_GOOD) {
        const bool plain = header == kMinHeader;  // of most: a sum of known length is a handful of instructions
        if ((plain ? checksum_of(p.l3, kMinHeader) : checksum_of(p.l3, header)) != 0) return DropReason::ip_checksum;
        m->ol_flags = (m->ol_flags & ~RTE_MBUF_F_RX_IP_CKSUM_MASK) | RTE_MBUF_F_RX_IP_CKSUM_GOOD;
    }
    if (header > kMinHeader)
        if (const auto problem = check_options(p.l3 + kMinHeader, p.l3 + header)) return problem;

    if (total < available) rte_pktmbuf_trim(m, static_cast<std::uint16_t>(available - total));
    p.l4 = p.l3 + header;
    p.l3_bytes = static_cast<std::uint16_t>(total);
    p.l4_bytes = static_cast<std::uint16_t>(total - header);
    p.proto = p.ip()->next_proto_id;
    return kFine;
}

Ip4 source(const Packet& p) noexcept {
    return Ip4::from_raw(p.ip()->src_addr);
}
Ip4 destination(const Packet& p) noexcept {
    return Ip4::from_raw(p.ip()->dst_addr);
}
bool is_fragment(const Packet& p) noexcept {
    return (Be16::from_raw(p.ip()->fragment_offset).host() & 0x3fffU) != 0;
}
/// Fragments belong together by their key and the identification (RFC 791 3.2). What the box sends is not mixed with
/// what it forwards.
[[gnu::noinline]] Arrival read_fragment(Packet& p, std::uint16_t zone) noexcept {
    p.key = generic_key(p.proto, source(p), destination(p), zone);
    p.key.sport = Be16::from_raw(p.ip()->packet_id);
    if (p.local_out) p.key.flags |= FlowKey::kOwn;
    return Arrival::fragment;
}

constexpr bool is_multicast(Ip4 a) noexcept {
    return a.host() >> 28 == 0xe;
}
constexpr bool is_limited_broadcast(Ip4 a) noexcept {
    return a.raw == 0xffffffffU;
}
/// 0/8, 127/8, 240/4 (RFC 1812 5.3.7, RFC 6890).
constexpr bool is_never_valid(Ip4 a) noexcept {
    const std::uint32_t top = a.host() >> 24;
    return top == 0 || top == 127 || top >= 240;
}

/// DHCP that the box itself must see. Unicast DHCP between a client or relay and a server behind the box is ordinary
/// traffic; but an offer is sent to an address that the box does not have yet, known only by the hardware address in
/// it.
bool is_dhcp_for_box(const Packet& p, const std::uint8_t* frame, const PortInfo& port) noexcept {
    constexpr unsigned kServer = 67, kClient = 68, kChaddr = 8 + 28;
    if (p.proto != static_cast<std::uint8_t>(IpProto::udp) || is_fragment(p) || p.largest_piece != 0 || p.l4_bytes < 8)
        return false;
    const unsigned from = l4::load16(p.l4).host(), to = l4::load16(p.l4 + 2).host();
    if (to != kServer && to != kClient) return false;
    if ((frame[0] & 1) != 0 || source(p).raw == 0 || is_limited_broadcast(destination(p))) return true;
    return from == kServer && to == kClient && p.l4_bytes >= kChaddr + port.mac.bytes.size() &&
           std::memcmp(p.l4 + kChaddr, port.mac.bytes.data(), port.mac.bytes.size()) == 0;
}

[[gnu::noinline]] bool is_control(const Packet& p, const std::uint8_t* frame, const PortInfo& port) noexcept {
    const Ip4 to = destination(p);
    if (is_limited_broadcast(to)) return true;
    if (is_multicast(to)) return to.host() >> 8 == 0xe00000 || p.proto == static_cast<std::uint8_t>(IpProto::igmp);
    return is_dhcp_for_box(p, frame, port);
}

[[gnu::noinline]] MaybeDrop check_addresses(const Packet& p) noexcept {
    if (is_multicast(destination(p))) return DropReason::multicast;
    if (is_never_valid(source(p)) || is_multicast(source(p))) return DropReason::ip_martian_source;
    if (is_never_valid(destination(p))) return DropReason::ip_martian_destination;
    if (source(p) == destination(p)) return DropReason::ip_land_attack;
    return kFine;
}

}  // namespace

Arrival read_ip4(Packet& p, unsigned available, const std::uint8_t* frame, const PortInfo& port,
                 DropReason& why) noexcept {
    if (const auto problem = check_ip_header(p, available)) return detail::refuse(*problem, why);
    if (is_between_hosts(source(p), destination(p))) [[likely]] {
        if (is_dhcp_for_box(p, frame, port)) return detail::is_control(p, PuntClass::routing);
    } else {
        if (is_control(p, frame, port)) return detail::is_control(p, PuntClass::routing);
        if (const auto problem = check_addresses(p)) return detail::refuse(*problem, why);
    }
    return is_fragment(p) ? read_fragment(p, port.zone) : Arrival::forward;
}

}  // namespace sluice

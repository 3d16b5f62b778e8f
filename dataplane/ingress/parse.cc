#include "dataplane/ingress/parse.hh"

#include <algorithm>
#include <cstring>
#include <optional>

#include <rte_ether.h>
#include <rte_mbuf.h>

#include "dataplane/base/checksum.hh"
#include "dataplane/flow/chain.hh"
#include "dataplane/ingress/quote.hh"
#include "dataplane/l4/trackers.hh"

namespace sluice {

namespace {

using MaybeDrop = std::optional<DropReason>;
constexpr MaybeDrop kFine = std::nullopt;

constexpr std::uint16_t kEtherIpv4 = 0x0800, kEtherArp = 0x0806, kEtherVlan = 0x8100, kEtherIpv6 = 0x86dd;
constexpr unsigned kEtherBytes = 14, kTypeOffset = 12, kVlanBytes = 4;

std::uint16_t load16(const std::uint8_t* at) noexcept {
    Be16 v;
    std::memcpy(&v.raw, at, sizeof v.raw);
    return v.host();
}

// --- frame

/// A device may have used several buffers; whatever comes from elsewhere in several is a datagram made of fragments.
bool sound_buffers(Packet& p) noexcept {
    if (p.mbuf->nb_segs == 1) [[likely]]
        return true;
    if (p.in_port == kNoPort) return rte_pktmbuf_linearize(p.mbuf) == 0;
    p.largest_piece = largest_piece_of(p.mbuf);
    return true;
}

/// Takes the tag out of the frame, or from where the NIC left it; 0 (priority tag) counts as untagged.
std::uint16_t take_vlan(rte_mbuf* m) noexcept {
    std::uint16_t tag = 0;
    if ((m->ol_flags & RTE_MBUF_F_RX_VLAN_STRIPPED) != 0) {
        tag = m->vlan_tci;
        m->ol_flags &= ~(RTE_MBUF_F_RX_VLAN | RTE_MBUF_F_RX_VLAN_STRIPPED);
    } else {
        auto* frame = rte_pktmbuf_mtod(m, std::uint8_t*);
        if (m->data_len < kEtherBytes + kVlanBytes || load16(frame + kTypeOffset) != kEtherVlan) return kNoVlan;
        tag = load16(frame + kEtherBytes);
        std::memmove(frame + kVlanBytes, frame, kTypeOffset);
        rte_pktmbuf_adj(m, kVlanBytes);
    }
    return tag & 0xfffU;
}

MaybeDrop find_port(Packet& p, const PortTable& ports) noexcept {
    const std::uint16_t vlan = take_vlan(p.mbuf);
    p.in_port = vlan == kNoVlan ? ports.untagged(p.mbuf->port) : ports.tagged(p.mbuf->port, vlan);
    return p.in_port == kNoPort ? MaybeDrop{DropReason::vlan_unknown} : kFine;
}

bool for_this_station(const std::uint8_t* frame, const PortInfo& port) noexcept {
    return (frame[0] & 1) != 0 || std::memcmp(frame, port.mac.bytes.data(), port.mac.bytes.size()) == 0;
}

/// Neighbour and router discovery, MLD (RFC 4861, 2710, 3810). MLD has a hop-by-hop header with a router alert before
/// it.
bool is_neighbour_discovery(const std::uint8_t* ip6, unsigned bytes) noexcept {
    constexpr unsigned kHeader = 40, kNextHeader = 6, kHopByHop = 0, kIcmpv6 = 58;
    if (bytes < kHeader + 8) return false;
    unsigned next = ip6[kNextHeader], at = kHeader;
    if (next == kHopByHop) {
        next = ip6[at];
        at += (ip6[at + 1] + 1U) * 8;
    }
    if (next != kIcmpv6 || at >= bytes) return false;
    const unsigned type = ip6[at];
    return (type >= 130 && type <= 137) || type == 143;
}

// --- IPv4 header

MaybeDrop check_options(const std::uint8_t* option, const std::uint8_t* end) noexcept {
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
    const unsigned total = load16(p.l3 + 2);
    if (total < header || total > available) return DropReason::ip_total_length;
    rte_mbuf* m = p.mbuf;
    if ((m->ol_flags & RTE_MBUF_F_RX_IP_CKSUM_MASK) != RTE_MBUF_F_RX_IP_CKSUM_GOOD) {
        if (checksum_of(p.l3, header) != 0) return DropReason::ip_checksum;
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
/// Fragments belong together by these and the identification (RFC 791 3.2). What the box sends is not mixed with what
/// it forwards.
FlowKey datagram_of(const Packet& p, std::uint16_t zone) noexcept {
    FlowKey key = generic_key(p.proto, source(p), destination(p), zone);
    key.sport = Be16::from_raw(p.ip()->packet_id);
    key.dport = be16(p.local_out ? 1 : 0);
    return key;
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
    const unsigned from = load16(p.l4), to = load16(p.l4 + 2);
    if (to != kServer && to != kClient) return false;
    if ((frame[0] & 1) != 0 || source(p).raw == 0 || is_limited_broadcast(destination(p))) return true;
    return from == kServer && to == kClient && p.l4_bytes >= kChaddr + port.mac.bytes.size() &&
           std::memcmp(p.l4 + kChaddr, port.mac.bytes.data(), port.mac.bytes.size()) == 0;
}

bool is_control(const Packet& p, const std::uint8_t* frame, const PortInfo& port) noexcept {
    const Ip4 to = destination(p);
    if (is_limited_broadcast(to)) return true;
    if (is_multicast(to)) return to.host() >> 8 == 0xe00000 || p.proto == static_cast<std::uint8_t>(IpProto::igmp);
    return is_dhcp_for_box(p, frame, port);
}

MaybeDrop check_addresses(const Packet& p) noexcept {
    if (is_multicast(destination(p))) return DropReason::multicast;
    if (is_never_valid(source(p)) || is_multicast(source(p))) return DropReason::ip_martian_source;
    if (is_never_valid(destination(p))) return DropReason::ip_martian_destination;
    if (source(p) == destination(p)) return DropReason::ip_land_attack;
    return kFine;
}

// --- transport

/// An error belongs to the flow of the packet that it quotes. Only who sent that may be told of it: Linux demands the
/// same of a flow that it finds.
void read_quote(Packet& p, std::uint16_t zone) noexcept {
    const auto quoted = quoted_tuple(p.payload(), zone);
    p.trackable = quoted && quoted->src == destination(p);
    if (!p.trackable) return;
    p.key = invert(*quoted);
    if (quoted->shape() != TupleShape::spi) return;
    p.key = *quoted;  // what the other direction carries nobody can say: the flow has a key for this (FlowStore)
    p.key.l4_kind_or_zero = 1;
}

MaybeDrop parse_transport(Packet& p, std::uint16_t zone) noexcept {
    const L4Kind kind = l4_kind(p.proto);
    switch (kind) {
        case L4Kind::tcp:
            return l4::Tcp::parse(p, zone);
        case L4Kind::udp:
            return l4::Udp::parse(p, zone);
        case L4Kind::icmp: {
            const MaybeDrop problem = l4::Icmp::parse(p, zone);
            if (p.icmp_error) read_quote(p, zone);
            return problem;
        }
        default:
            return tracker_of(kind).parse(p, zone);
    }
}

}  // namespace

Arrival parse(Packet& p, const PortTable& ports, Disposal& disposal) noexcept {
    const auto gone = [&](DropReason reason) noexcept {
        static_cast<void>(disposal.drop(p, reason));
        return Arrival::gone;
    };
    const auto punt = [&](PuntClass punt_class) noexcept {
        p.punt_class = punt_class;
        return Arrival::punt;
    };
    if (!sound_buffers(p)) return gone(DropReason::frame_segments);
    if (p.mbuf->data_len < kEtherBytes) return gone(DropReason::eth_short);
    if (p.in_port == kNoPort)
        if (const auto problem = find_port(p, ports)) return gone(*problem);
    const PortInfo& port = ports[p.local_out ? p.out_port : p.in_port];
    const auto* frame = rte_pktmbuf_mtod(p.mbuf, std::uint8_t*);
    if (!p.local_out && !for_this_station(frame, port)) return gone(DropReason::eth_wrong_mac);

    const unsigned available = p.mbuf->pkt_len - kEtherBytes;
    p.l3 = rte_pktmbuf_mtod_offset(p.mbuf, std::uint8_t*, kEtherBytes);
    switch (load16(frame + kTypeOffset)) {
        case kEtherIpv4:
            break;
        case kEtherArp:
            return punt(PuntClass::arp_nd);
        case kEtherIpv6:
            if (is_neighbour_discovery(p.l3, available)) return punt(PuntClass::arp_nd);
            return gone(DropReason::ipv6_unsupported);
        default:
            return gone(DropReason::eth_unknown_type);
    }

    if (const auto problem = check_ip_header(p, available)) return gone(*problem);
    if (is_control(p, frame, port)) return punt(PuntClass::routing);
    if (const auto problem = check_addresses(p)) return gone(*problem);
    if (is_fragment(p)) {
        p.key = datagram_of(p, port.zone);
        return Arrival::fragment;
    }
    if (const auto problem = parse_transport(p, port.zone)) return gone(*problem);
    return Arrival::forward;
}

}  // namespace sluice

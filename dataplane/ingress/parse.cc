#include "dataplane/ingress/parse.hh"

#include <algorithm>
#include <cstring>
#include <optional>

#include <rte_ether.h>
#include <rte_mbuf.h>

#include "dataplane/base/checksum.hh"
#include "dataplane/flow/chain.hh"
#include "dataplane/ingress/parse_ip.hh"
#include "dataplane/ingress/quote.hh"
#include "dataplane/l4/trackers.hh"

namespace sluice {

namespace {

using MaybeDrop = std::optional<DropReason>;
constexpr MaybeDrop kFine = std::nullopt;

constexpr std::uint16_t kEtherIpv4 = 0x0800, kEtherArp = 0x0806, kEtherVlan = 0x8100, kEtherIpv6 = 0x86dd;
constexpr unsigned kEtherBytes = 14, kTypeOffset = 12, kVlanBytes = 4;

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
        if (m->data_len < kEtherBytes + kVlanBytes || l4::load16(frame + kTypeOffset).host() != kEtherVlan)
            return kNoVlan;
        tag = l4::load16(frame + kEtherBytes).host();
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

// --- transport

/// An error belongs to the flow of the packet that it quotes. Only who sent that may be told of it: Linux demands the
/// same of a flow that it finds.
void read_quote(Packet& p, std::uint16_t zone) noexcept {
    const auto quoted = p.v6 ? quoted_tuple6(p.payload(), zone) : quoted_tuple(p.payload(), zone);
    p.trackable = quoted && quoted->src() == p.destination();
    if (!p.trackable) return;
    p.key = invert(*quoted);
    if (quoted->shape() != TupleShape::spi) return;
    p.key = *quoted;  // what the other direction carries nobody can say: the flow has a key for this (FlowStore)
    p.key.flags |= FlowKey::kQuoted;
}

MaybeDrop parse_transport(Packet& p, std::uint16_t zone) noexcept {
    const L4Kind kind = l4_kind(p.proto, p.v6);
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
        case L4Kind::icmpv6: {
            const MaybeDrop problem = l4::Icmpv6::parse(p, zone);
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
    DropReason why{};
    Arrival arrival{};
    switch (l4::load16(frame + kTypeOffset).host()) {
        case kEtherIpv4:
            arrival = read_ip4(p, available, frame, port, why);
            break;
        case kEtherArp:
            return punt(PuntClass::arp_nd);
        case kEtherIpv6:
            arrival = read_ip6(p, available, port.zone, why);
            if (!ports.ipv6() && !(arrival == Arrival::punt && p.punt_class == PuntClass::arp_nd))
                return gone(DropReason::ip6_off);
            break;
        default:
            return gone(DropReason::eth_unknown_type);
    }
    if (arrival == Arrival::gone) return gone(why);
    if (arrival != Arrival::forward) return arrival;
    if (const auto problem = parse_transport(p, port.zone)) return gone(*problem);
    return Arrival::forward;
}

}  // namespace sluice

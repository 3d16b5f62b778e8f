#include "dataplane/fast_path.hh"

#include <cstring>

#include <rte_ether.h>

#include "dataplane/flow/ip_fields.hh"
#include "dataplane/flow/tcp_window.hh"
#include "dataplane/l4/udp.hh"
#include "dataplane/track/track.hh"

namespace sluice {

namespace {

/// An established connection's segment that neither begins nor ends anything, nor makes it ASSURED: it is already, or
/// it was picked up and nobody has answered yet.
[[nodiscard]] bool is_usual(const FlowHot& flow, const TcpSegment& s) noexcept {
    using namespace tcp_flag;
    return flow.tcp_state == TcpState::established && (flow.has(status::kAssured) || !flow.has(status::kSeenReply)) &&
           (s.flags & (kFin | kSyn | kRst | kAck | kUrg)) == kAck;
}

/// Seconds that the flow lives on, from the packet; 0: it is not as usual, and nothing has changed.
[[nodiscard, gnu::noinline]] std::uint32_t track_tcp(FlowHot& flow, const PlainPacket& p, Direction d,
                                                     const Policy& policy) noexcept {
    const TcpSegment segment = TcpSegment::of(*p.tcp(), unsigned{p.l4_bytes()} - p.l4_header);
    const std::span options(p.l4() + sizeof(rte_tcp_hdr), p.l4_header - sizeof(rte_tcp_hdr));
    if (!is_usual(flow, segment) || !fits_as_usual(flow, d, segment, options, policy.tcp)) return 0;
    flow.tcp.note_last(segment.kind, d);
    return tcp_timeout(flow, segment.kind, policy.timeouts_of(flow.dir(d).timeouts), policy.tcp);
}

/// The same. Of a stream, as nearly all are, there is nothing to ask.
[[nodiscard]] std::uint32_t track_udp(const FlowHot& flow, Direction d, const Policy& policy, Now now) noexcept {
    const Timeouts& timeouts = policy.timeouts_of(flow.half[index_of(d)].timeouts);
    const Followed followed = l4::Udp::in_stages(flow, timeouts.udp, timeouts.udp_stream, now);
    return (followed.status & ~flow.status) == 0 ? followed.timeout_s : 0;
}

/// Addresses, ports and time to live at once; the checksum of the IPv4 header takes both changes together.
void write_headers(std::uint8_t* l3, const RewritePlan& plan, bool udp) noexcept {
    auto* ip = reinterpret_cast<rte_ipv4_hdr*>(l3);
    std::uint8_t* l4 = l3 + sizeof(rte_ipv4_hdr);
    --ip->time_to_live;
    ip->hdr_checksum = kOneHop.apply(ip->hdr_checksum, plan.l3);
    if (plan.active == 0) return;
    static_assert(offsetof(RewritePlan, dst_low) == offsetof(RewritePlan, src_low) + 4 &&
                  offsetof(RewritePlan, dport) == offsetof(RewritePlan, sport) + 2);
    std::memcpy(&ip->src_addr, &plan.src_low, 8);
    std::memcpy(l4, &plan.sport, 4);
    if (udp) {
        l4::Udp::correct_checksum(*reinterpret_cast<rte_udp_hdr*>(l4), plan.l4);
    } else {
        auto* tcp = reinterpret_cast<rte_tcp_hdr*>(l4);
        tcp->cksum = plan.l4.apply(tcp->cksum);
    }
}

}  // namespace

[[gnu::noinline]] FastPath::Way FastPath::way_by(std::uint32_t id) const noexcept {
    Way way;
    way.hop = id;
    const NextHop* hop = p_.routes.hop(id);
    if (hop == nullptr || hop->kind != HopKind::neighbour || !hop->resolved) return way;
    const PortInfo& port = p_.ports[hop->out_port];
    if (!p_.tx.is_direct(port) || p_.egress.anything_waits_for(*hop)) return way;
    way.longest = port.mtu.load(std::memory_order_relaxed);
    way.device = port.device;
    way.port = hop->out_port;
    way.addresses = ethernet_addresses(hop->mac, port.mac);
    return way;
}

inline bool FastPath::leaves(const PlainPacket& p, const Terms& t) noexcept {
    const SlotIndex slot = p.found.slot();
    const Direction d = p.found.direction();
    FlowHot& flow = p_.store.hot(slot);
    DirectionHalf& half = flow.dir(d);
    const VerdictCache verdict = half.verdict;
    if (half.route_epoch != t.route_epoch || !verdict.answers(t.generation, state_of(flow, d), p.in_port) ||
        flow.has(status::kHelper) || (d == Direction::reply && !flow.has(status::kSeenReply)) ||
        p_.store.expired(slot, t.now)) [[unlikely]]
        return false;
    Way& way = ways_[half.next_hop % ways_.size()];
    if (way.hop != half.next_hop) [[unlikely]]
        way = way_by(half.next_hop);
    const std::uint16_t l3_bytes = p.l3_bytes;
    if (way.port != verdict.out_port || l3_bytes > way.longest || p.ip()->time_to_live <= 1) [[unlikely]]
        return false;
    const bool udp = flow.kind == L4Kind::udp;
    const std::uint32_t timeout_s = udp                        ? track_udp(flow, d, t.policy, t.now)
                                    : flow.kind == L4Kind::tcp ? track_tcp(flow, p, d, t.policy)
                                                               : 0;
    if (timeout_s == 0) [[unlikely]]
        return false;

    p_.store.refresh(slot, t.now, timeout_s);
    ++half.packets;
    half.bytes += l3_bytes;
    t.rule_counters[verdict.rule].count(l3_bytes);
    write_headers(p.l3, half.plan, udp);
    std::memcpy(p.l3 - sizeof(rte_ether_hdr), way.addresses.data(), way.addresses.size());
    p_.tx.put(way.port, way.device, p.mbuf, l3_bytes + unsigned{sizeof(rte_ether_hdr)});
    return true;
}

void FastPath::carry(PlainBurst& burst, const Burst& others, const Policy& policy, Now now) noexcept {
    const Terms terms{policy, policy.counters[p_.worker].get(), policy.generation, p_.routes.epoch(), now};
    for (Way& way : ways_) way.hop = kNoNextHop;
    const unsigned before = burst.count();
    std::uint64_t left = 0;  // flows with packets that stay, by the lowest bits of their slots
    unsigned ahead = 0;      // others that have been looked at
    const auto bit_of = [](SlotIndex slot) noexcept { return std::uint64_t{1} << (slot & 63U); };
    burst.keep([&](const PlainPacket& p) noexcept {
        for (; ahead < p.ahead; ++ahead)
            if (others.at[ahead]->slot != kNoSlot) left |= bit_of(others.at[ahead]->slot);
        if (p_.store.is_stub(p.found)) return true;  // or there is none
        const std::uint64_t flow_bit = bit_of(p.found.slot());
        if ((left & flow_bit) == 0 && leaves(p, terms)) [[likely]]
            return false;
        left |= flow_bit;
        return true;
    });
    const unsigned carried = before - burst.count();
    p_.counters.verdict_cached.add(carried);
    p_.counters.fast_path.add(carried);
}

}  // namespace sluice

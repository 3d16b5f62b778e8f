#include "dataplane/fast_path.hh"

#include <cstring>

#include <rte_ether.h>

#include "dataplane/flow/tcp_window.hh"
#include "dataplane/l4/udp.hh"
#include "dataplane/track/track.hh"

namespace sluice {

namespace {

/// What is the same for all packets of a burst.
struct Terms {
    const Policy& policy;
    RuleCounter* rule_counters;
    std::uint32_t route_epoch;
    Now now;
};

/// Where a packet leaves, when that is known and nothing is in its way.
struct WayOut {
    const NextHop* hop = nullptr;
    const PortInfo* port = nullptr;
};

/// An established connection's segment that neither begins nor ends anything.
[[nodiscard]] bool is_usual(const FlowHot& flow, const TcpSegment& s) noexcept {
    using namespace tcp_flag;
    return flow.tcp_state == TcpState::established && flow.has(status::kAssured) &&
           (s.flags & (kFin | kSyn | kRst | kAck | kUrg)) == kAck;
}

/// Seconds that the flow lives on, from the packet; 0: it is not as usual, and nothing has changed.
[[nodiscard]] std::uint32_t track_as_usual(FlowHot& flow, const FlowCold& cold, Packet& p, const Terms& t) noexcept {
    const Timeouts& timeouts = t.policy.timeouts_of(flow.dir(p.direction).timeouts);
    if (flow.kind == L4Kind::udp) {
        const Followed followed = l4::Udp::follow(flow, cold, p, {timeouts, t.policy.tcp}, t.now);
        return (followed.status & ~flow.status) == 0 ? followed.timeout_s : 0;
    }
    if (flow.kind != L4Kind::tcp) return 0;
    const TcpSegment segment = TcpSegment::of(p);
    if (!is_usual(flow, segment) || !fits_as_usual(flow, p, segment)) return 0;
    flow.tcp.note_last(segment.kind, p.direction);
    return tcp_timeout(flow, segment.kind, timeouts, t.policy.tcp);
}

/// Addresses, ports and time to live at once; the checksum of the IPv4 header takes both changes together.
void write_headers(const Packet& p, const RewritePlan& plan) noexcept {
    rte_ipv4_hdr* ip = p.ip();
    // A step of the time to live is one of the high byte of its word (RFC 1141), the difference always the same.
    constexpr ChecksumDelta kOneHop = [] {
        ChecksumDelta delta;
        delta.replace(be16(0x0100), be16(0));
        return delta;
    }();
    --ip->time_to_live;
    ChecksumDelta l3 = kOneHop;
    if (plan.active != 0) {
        static_assert(offsetof(RewritePlan, dst_low) == offsetof(RewritePlan, src_low) + 4 &&
                      offsetof(RewritePlan, dport) == offsetof(RewritePlan, sport) + 2);
        std::memcpy(&ip->src_addr, &plan.src_low, 8);
        std::memcpy(p.l4, &plan.sport, 4);
        l3.add(plan.l3);
        if (p.proto == static_cast<std::uint8_t>(IpProto::udp)) {
            l4::Udp::correct_checksum(*p.udp(), plan.l4);
        } else {
            p.tcp()->cksum = plan.l4.apply(p.tcp()->cksum);
        }
    }
    ip->hdr_checksum = l3.apply(ip->hdr_checksum);
}

void write_ethernet(const Packet& p, const MacAddress& to, const MacAddress& from) noexcept {
    auto* ethernet = reinterpret_cast<rte_ether_hdr*>(p.l3 - sizeof(rte_ether_hdr));
    std::memcpy(&ethernet->dst_addr, to.bytes.data(), to.bytes.size());
    std::memcpy(&ethernet->src_addr, from.bytes.data(), from.bytes.size());
}

}  // namespace

void FastPath::carry(Burst& burst, const Policy& policy, Now now) noexcept {
    const Terms t{policy, policy.counters[p_.worker].get(), p_.routes.epoch(), now};
    std::uint64_t left = 0;  // flows with packets that stay, by the lowest bits of their slots
    unsigned carried = 0;

    const auto way_out = [&](const Packet& p, const DirectionHalf& half) noexcept -> WayOut {
        if (half.route_epoch != t.route_epoch) return {};
        const NextHop* hop = p_.routes.hop(half.next_hop);
        if (hop == nullptr || hop->kind != HopKind::neighbour || !hop->resolved) return {};
        const PortInfo& port = p_.ports[hop->out_port];
        const bool fits = p.ip()->time_to_live > 1 && p.l3_bytes <= port.mtu.load(std::memory_order_relaxed);
        if (!fits || !p_.tx.is_direct(port) || p_.egress.anything_waits_for(*hop)) return {};
        return {hop, &port};
    };
    const auto leaves = [&](Packet& p, FlowHot& flow) noexcept {
        DirectionHalf& half = flow.dir(p.direction);
        if (flow.has(status::kHelper) || p_.store.expired(p.slot, now)) return false;
        if (p.direction == Direction::reply && !flow.has(status::kSeenReply)) return false;
        const VerdictCache& verdict = half.verdict;
        if (verdict.policy_generation != policy.generation || verdict.state != state_of(flow, p.direction) ||
            verdict.in_port != p.in_port)
            return false;
        const WayOut way = way_out(p, half);
        if (way.hop == nullptr || way.hop->out_port != verdict.out_port) return false;
        const std::uint32_t timeout_s = track_as_usual(flow, p_.store.cold(p.slot), p, t);
        if (timeout_s == 0) return false;

        p_.store.refresh(p.slot, now, timeout_s);
        ++half.packets;
        half.bytes += p.l3_bytes;
        RuleCounter& rule = t.rule_counters[verdict.rule];
        rule.packets.add();
        rule.bytes.add(p.l3_bytes);
        write_headers(p, half.plan);
        write_ethernet(p, way.hop->mac, way.port->mac);
        p_.tx.put(way.hop->out_port, way.port->device, p.mbuf, p.l3_bytes + unsigned{sizeof(rte_ether_hdr)});
        return true;
    };
    burst.keep([&](Packet& p) noexcept {
        if (p.slot == kNoSlot) return Verdict::next;
        const std::uint64_t flow_bit = std::uint64_t{1} << (p.slot & 63U);
        if (p.plain && (left & flow_bit) == 0 && leaves(p, p_.store.hot(p.slot))) {
            ++carried;
            return Verdict::gone;
        }
        left |= flow_bit;
        return Verdict::next;
    });
    p_.counters.verdict_cached.add(carried);
    p_.counters.fast_path.add(carried);
}

}  // namespace sluice

// Where a packet leaves: looked up when its flow is made, and from then on remembered by the flow, for each direction,
// until a route changes (RouteTable::epoch).
//
// Owner: one worker; the routes are a publication.
#pragma once

#include "dataplane/policy/newcomers.hh"
#include "dataplane/policy/routes.hh"

namespace sluice {

class Exits {
public:
    Exits(const RouteTable& routes, const PortTable& ports, FlowStore& store, Newcomers& newcomers) noexcept
        : routes_(routes), ports_(ports), store_(store), newcomers_(newcomers) {}

    /// Sets p.next_hop and p.out_port of a packet of a flow, or says why it cannot travel. Packets without a flow and
    /// those that made theirs in this burst have been routed by policy.
    [[nodiscard]] Decision choose(Packet& p, const Policy& policy, Now now) noexcept {
        if (p.slot == kNoSlot) return {};
        if (!stands(p, store_)) [[unlikely]] {
            const Decision d = newcomers_.begin_again(p, policy, now);
            if (d.fate != Fate::go || p.slot == kNoSlot) return d;
        }
        if (p.fresh) return {};
        if (p.icmp_error) [[unlikely]]
            return choose_for_error(p);
        const DirectionHalf& half = store_.hot(p.slot).dir(p.direction);
        const NextHop* hop =
            half.route_epoch == routes_.epoch() && half.next_hop != kNoNextHop ? routes_.hop(half.next_hop) : nullptr;
        if (hop == nullptr) [[unlikely]]
            return look_again(p, policy, now);
        p.next_hop = half.next_hop;
        if (!p.local_out) p.out_port = hop->kind == HopKind::local ? kKernelPort : hop->out_port;
        return {};
    }

private:
    /// An ICMP error may go elsewhere than the flow's packets: it is looked up by itself.
    [[nodiscard]] Decision choose_for_error(Packet& p) const noexcept;
    [[nodiscard]] Decision look_again(Packet& p, const Policy& policy, Now now) noexcept;

    const RouteTable& routes_;
    const PortTable& ports_;
    FlowStore& store_;
    Newcomers& newcomers_;
};

}  // namespace sluice

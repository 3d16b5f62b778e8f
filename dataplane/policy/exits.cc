#include "dataplane/policy/exits.hh"

#include "dataplane/policy/find_exit.hh"

namespace sluice {

Decision Exits::choose_for_error(Packet& p) const noexcept {
    if (claims_to_be_ours(p, p.key.zone, routes_)) return Decision::drop(DropReason::ip_spoofed_own);
    const FlowView flow = store_.flow(p.slot);
    return find_exit(p, flow.destination_of(p.direction, p.v6), RouteZone::only(flow.zone(opposite(p.direction))),
                     routes_, ports_);
}

Decision Exits::look_again(Packet& p, const Policy& policy, Now now) noexcept {
    // A reply that the box gives comes from its kernel. What is dropped here is never remembered, so every one is seen.
    if (claims_to_be_ours(p, p.key.zone, routes_)) return Decision::drop(DropReason::ip_spoofed_own);
    const FlowView flow = store_.flow(p.slot);
    if (flow.cold.masqueraded && !routes_.addresses().is_own(flow.source_of(Direction::original, p.v6))) {
        // Its translated address has left the box: the flow dies at its next packet, as in Linux.
        store_.kill(p.slot, DeathCause::address_gone);
        return newcomers_.begin_again(p, policy, now);
    }
    DirectionHalf& half = flow.hot.dir(p.direction);
    const std::uint32_t epoch = routes_.epoch();
    const RouteZone by = RouteZone::only(flow.zone(opposite(p.direction)));
    if (const Decision d = find_exit(p, flow.destination_of(p.direction, p.v6), by, routes_, ports_);
        d.fate != Fate::go)
        return d;
    half.next_hop = p.next_hop;
    half.route_epoch = epoch;
    return {};
}

}  // namespace sluice

#include "dataplane/policy/exits.hh"

#include "dataplane/policy/find_exit.hh"

namespace sluice {

Decision Exits::choose_for_error(Packet& p) const noexcept {
    if (!p.local_out && routes_.addresses().is_own(Ip4::from_raw(p.ip()->src_addr)))
        return Decision::drop(DropReason::ip_spoofed_own);
    return find_exit(p, store_.hot(p.slot).dir(p.direction).plan.dst, routes_);
}

Decision Exits::look_again(Packet& p, const Policy& policy, Now now) noexcept {
    const FlowCold& cold = store_.cold(p.slot);
    if (cold.masquerade_address != Ip4{} && !routes_.addresses().is_own(cold.masquerade_address)) {
        // Its translated address has left the box: the flow dies at its next packet, as in Linux.
        store_.kill(p.slot, DeathCause::address_gone);
        return newcomers_.begin_again(p, policy, now);
    }
    DirectionHalf& half = store_.hot(p.slot).dir(p.direction);
    const std::uint32_t epoch = routes_.epoch();
    const Ip4 destination = half.plan.active != 0 ? half.plan.dst : p.key.dst;
    if (const Decision d = find_exit(p, destination, routes_); d.fate != Fate::go) return d;
    half.next_hop = p.next_hop;
    half.route_epoch = epoch;
    return {};
}

}  // namespace sluice

#include "dataplane/policy/find_exit.hh"

namespace sluice {

namespace {

/// Such an address means something on its link alone (RFC 4291 2.5.6): to the box, or nowhere.
Decision exit_on_link(Packet& p, const IpAddress& destination, const RouteTable& routes) noexcept {
    if (!routes.addresses().has(p.in_port, destination)) return Decision::drop(DropReason::ip6_link_scope);
    p.next_hop = kNoNextHop;
    p.out_port = kKernelPort;
    return {};
}

}  // namespace

Decision find_exit(Packet& p, const IpAddress& destination, RouteZone by, const RouteTable& routes,
                   const PortTable& ports) noexcept {
    // The kernel has routed what the box sends (its rules, its bound sockets) and written the Ethernet header.
    if (p.local_out) {
        p.next_hop = kNoNextHop;
        return {};
    }
    if (p.v6 && destination.is_link_local()) return exit_on_link(p, destination, routes);
    const RouteView view = routes.lookup(destination, p.hash, by.zone);
    if (view.hop == nullptr) return Decision::drop(DropReason::no_route, Answer::net_unreachable);
    p.next_hop = view.id;
    switch (view.hop->kind) {
        case HopKind::local:
            p.out_port = kKernelPort;
            return {};
        case HopKind::blackhole:
            return Decision::drop(DropReason::route_unreachable);
        case HopKind::unreachable:
            return Decision::drop(DropReason::route_unreachable,
                                  p.v6 ? Answer::net_unreachable : Answer::host_unreachable);
        case HopKind::prohibit:
            return Decision::drop(DropReason::route_unreachable, Answer::admin_prohibited);
        case HopKind::no_route:
            return Decision::drop(DropReason::no_route, Answer::net_unreachable);
        case HopKind::connected:
        case HopKind::neighbour:
        case HopKind::multipath:
            if (p.v6 && p.source().is_link_local())
                return Decision::drop(DropReason::ip6_link_scope, Answer::beyond_scope);
            // While a tenant's port is down, its network may be another tenant's to the routes that all have.
            if (by.stay && ports[view.hop->out_port].zone != by.zone)
                return Decision::drop(DropReason::no_route, Answer::net_unreachable);
            p.out_port = view.hop->out_port;
            return {};
    }
    return {};
}

}  // namespace sluice

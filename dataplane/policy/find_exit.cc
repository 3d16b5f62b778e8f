#include "dataplane/policy/find_exit.hh"

namespace sluice {

Decision find_exit(Packet& p, Ip4 destination, const RouteTable& routes) noexcept {
    // The kernel has routed what the box sends (its rules, its bound sockets) and written the Ethernet header.
    if (p.local_out) {
        p.next_hop = kNoNextHop;
        return {};
    }
    const RouteView view = routes.lookup(destination, p.hash);
    if (view.hop == nullptr) return Decision::drop(DropReason::no_route, Answer::net_unreachable);
    p.next_hop = view.id;
    switch (view.hop->kind) {
        case HopKind::local:
            p.out_port = kKernelPort;
            return {};
        case HopKind::blackhole:
            return Decision::drop(DropReason::route_unreachable);
        case HopKind::unreachable:
            return Decision::drop(DropReason::route_unreachable, Answer::host_unreachable);
        case HopKind::prohibit:
            return Decision::drop(DropReason::route_unreachable, Answer::admin_prohibited);
        case HopKind::connected:
        case HopKind::neighbour:
        case HopKind::multipath:
            p.out_port = view.hop->out_port;
            return {};
    }
    return {};
}

}  // namespace sluice

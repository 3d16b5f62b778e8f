#include "control/app/routing_bridge.hh"

#include <algorithm>
#include <utility>

namespace sluice {

namespace {

constexpr std::uint8_t kGlobalScope = 0;

/// The network of `length` bits that `address` is in.
IpPrefix network(const IpAddress& address, std::uint8_t length) {
    return {prefix_edge(address, length, false), length};
}

bool is_loopback(const IpAddress& address) {
    return address.is_v4() ? address.v4().host() >> 24 == 127 : address == ip6(0, 0, 0, 0, 0, 0, 0, 1);
}
bool is_unicast(const IpAddress& address) {
    if (!address.is_v4()) return !address.is_multicast() && !address.is_none();
    return address.v4().host() >> 28 < 14 && address.v4().raw != 0;
}

}  // namespace

RoutingBridge::RoutingBridge(RouteTable& table, KernelRequests& kernel, Hooks hooks, bool ipv6)
    : table_(table), kernel_(kernel), hooks_(std::move(hooks)), ipv6_(ipv6) {}

void RoutingBridge::bind(IfIndex twin, PortIndex port, std::uint16_t zone) {
    ports_[twin] = port;
    twins_[port] = twin;
    zone_of_port_[port] = zone;
    if (std::ranges::find(views_, zone, &View::zone) == views_.end()) views_.push_back({zone, {}});
}

PortIndex RoutingBridge::port_of(IfIndex ifindex) const {
    const auto found = ports_.find(ifindex);
    return found == ports_.end() ? kNoPort : found->second;
}

std::uint16_t RoutingBridge::zone_of(IfIndex ifindex) const {
    const PortIndex port = port_of(ifindex);
    return port == kNoPort ? std::uint16_t{0} : zone_of_port_[port];
}

void RoutingBridge::complain(const MaybeFailure& failure) const {
    if (failure && hooks_.complain) hooks_.complain(*failure);
}

// --- links and addresses

void RoutingBridge::on_link(const LinkInfo& link, bool gone) {
    if (hooks_.link) hooks_.link(link, gone);
}

void RoutingBridge::on_address(const AddressInfo& address, bool added) {
    if (!follows(address.prefix.address)) return;
    const auto same = [&](const AddressInfo& a) { return a.ifindex == address.ifindex && a.prefix == address.prefix; };
    const auto found = std::find_if(addresses_.begin(), addresses_.end(), same);
    if (!added) {
        if (found != addresses_.end()) addresses_.erase(found);
    } else if (found != addresses_.end()) {
        *found = address;
    } else {
        addresses_.push_back(address);
    }
    if (!resyncing_) publish_addresses();
}

void RoutingBridge::publish_addresses() {
    auto all = std::make_unique<Addresses>();
    all->zone_of_port = zone_of_port_;
    for (const AddressInfo& a : addresses_) {
        if (is_loopback(a.prefix.address)) continue;
        const PortIndex port = port_of(a.ifindex);
        // Masquerade takes no IPv4 address of link or host scope, just as it takes no secondary one. (An IPv6 address
        // of the link shows it by itself.)
        const bool no_source = a.prefix.address.is_v4() && a.scope != kGlobalScope;
        all->by_port[port == kNoPort ? kKernelPort : port].push_back(
            {a.prefix.address, a.prefix.length, a.secondary || no_source});
    }
    for (auto& list : all->by_port)
        std::stable_partition(list.begin(), list.end(), [](const PortAddress& a) { return !a.secondary; });
    table_.publish_addresses(std::move(all));
}

void RoutingBridge::on_resync_end() {
    resyncing_ = false;
    publish_addresses();
    if (hooks_.resynced) hooks_.resynced();
}

void RoutingBridge::on_kernel_lost(const Failure& why) {
    if (hooks_.kernel_lost) hooks_.kernel_lost(why);
}

// --- routes

void RoutingBridge::on_route(const RouteInfo& route, bool added) {
    const RouteKey& key = route.key;
    // Policy routing by TOS or by other tables is the kernel's own; multicast is not routed here.
    if (key.table != kMainTable && key.table != kLocalTable) return;
    if (key.tos != 0) {
        if (added && !std::exchange(told_of_tos_, true))
            complain(Failure{"a route for a TOS is left out, and so are others: packets take the route without one"});
        return;
    }
    if (route.type == RouteType::multicast) return;
    // `throw` ends the look-up in its own table: of table local it goes on in main, which has its routes here anyway.
    if (route.type == RouteType::throw_on && key.table == kLocalTable) return;
    // Anycast addresses of IPv6 are the box's, of all routers; of IPv4 the kernel has none.
    if (route.type == RouteType::anycast && key.to.address.is_v4()) return;
    if (is_loopback(key.to.address) || !follows(key.to.address)) return;
    const Preference preference{key.table == kLocalTable ? 0U : 1U, key.metric, zone_of(key.device) != 0, key.device};
    if (added) {
        auto& known = routes_[key.to];
        if (known.empty()) ++lengths_[key.to.address.is_v4()][key.to.length];
        known[preference] = route;
    } else if (const auto found = routes_.find(key.to); found != routes_.end()) {
        found->second.erase(preference);
        if (found->second.empty()) {
            --lengths_[key.to.address.is_v4()][key.to.length];
            routes_.erase(found);
        }
    }
    evaluate(key.to);
    evaluate_neighbours_in(key.to);
}

bool RoutingBridge::is_seen(const View& view, const RouteNextHop& next) const {
    return view.zone == 0 || zone_of(next.ifindex) == view.zone;
}

bool RoutingBridge::is_usable(const View& view, const RouteInfo& route) const {
    const bool goes_on = route.type == RouteType::unicast;
    if (!goes_on && view.zone == 0) return true;
    return std::any_of(route.next_hops.begin(), route.next_hops.end(),
                       [&](const auto& n) { return (n.usable || !goes_on) && is_seen(view, n); });
}

const RouteInfo* RoutingBridge::best(const View& view, const IpPrefix& prefix) const {
    const auto found = routes_.find(prefix);
    if (found == routes_.end()) return nullptr;
    for (const auto& [preference, route] : found->second)
        if (is_usable(view, route)) return &route;
    return nullptr;
}

bool RoutingBridge::is_on_link(const View& view, const IpAddress& address, IfIndex ifindex) const {
    for (unsigned length = address.bits(); length-- > 0;) {
        if (lengths_[address.is_v4()][length] == 0) continue;
        const RouteInfo* route = best(view, network(address, static_cast<std::uint8_t>(length)));
        if (route == nullptr) continue;
        return route->type == RouteType::unicast &&
               std::any_of(route->next_hops.begin(), route->next_hops.end(), [&](const RouteNextHop& n) {
                   return n.usable && n.ifindex == ifindex && !n.gateway && is_seen(view, n);
               });
    }
    return false;
}

void RoutingBridge::evaluate(const IpPrefix& prefix) {
    for (View& view : views_) evaluate(view, prefix);
}

void RoutingBridge::evaluate(View& view, const IpPrefix& prefix) {
    if (const RouteInfo* route = best(view, prefix); route != nullptr) {
        install(view, prefix, hop_for(view, *route));
        return;
    }
    if (prefix.length == prefix.address.bits()) {
        const IpAddress address = prefix.address;
        for (auto n = neighbours_.lower_bound({address, 0}); n != neighbours_.end() && n->first.first == address; ++n) {
            if (!n->second.is_valid() && n->second.state != NeighbourState::failed && view.installed.count(prefix) == 0)
                continue;  // being asked for: the subnet's route has workers hold their packets
            if (!is_on_link(view, address, n->first.second)) continue;
            install(view, prefix, acquire({HopKind::neighbour, port_of(n->first.second), address, {}, false}));
            return;
        }
    }
    install(view, prefix, kNoNextHop);
}

void RoutingBridge::evaluate_neighbours_in(const IpPrefix& prefix) {
    const auto end = neighbours_.upper_bound({prefix_edge(prefix.address, prefix.length, true), INT32_MAX});
    for (auto n = neighbours_.lower_bound({prefix.address, 0}); n != end; ++n) {
        const IpPrefix host = host_prefix(n->first.first);
        // Values of IPv4 lie amidst those of IPv6.
        if (prefix != host && prefix.address.is_v4() == host.address.is_v4()) evaluate(host);
    }
}

void RoutingBridge::install(View& view, const IpPrefix& prefix, std::uint32_t id) {
    const auto found = view.installed.find(prefix);
    const std::uint32_t former = found == view.installed.end() ? kNoNextHop : found->second;
    if (id != kNoNextHop && (id == former || table_.add_route(prefix.address, prefix.length, id, view.zone))) {
        view.installed[prefix] = id;
    } else {
        if (id != kNoNextHop) {
            ++refused_;
            release(id);
            std::string why = "no room in the routing table";
            if (view.zone != 0) why.append(" of zone ").append(std::to_string(view.zone));
            complain(Failure{why.append(" for ").append(to_string(prefix))});
        }
        if (former != kNoNextHop) {
            table_.remove_route(prefix.address, prefix.length, view.zone);
            view.installed.erase(found);
        }
    }
    if (former != kNoNextHop) release(former);
}

// --- next hops

std::uint32_t RoutingBridge::hop_for(const View& view, const RouteInfo& route) {
    switch (route.type) {
        case RouteType::local:
        case RouteType::broadcast:
        case RouteType::anycast:
            return acquire({.kind = HopKind::local});
        case RouteType::blackhole:
            return acquire({.kind = HopKind::blackhole});
        case RouteType::prohibit:
            return acquire({.kind = HopKind::prohibit});
        case RouteType::throw_on:
            // No rules follow that of main here, and its shorter prefixes may not take over.
            return acquire({.kind = HopKind::no_route});
        default:
            break;
    }
    std::vector<std::uint32_t> members;  // one use of each, also where it is repeated by weight
    std::vector<std::uint32_t> weighted;
    for (const RouteNextHop& next : route.next_hops) {
        const PortIndex port = port_of(next.ifindex);
        if (!next.usable || port == kNoPort || !is_seen(view, next)) continue;
        const std::uint32_t id = hop_to(next, port, route.preferred_source.value_or(IpAddress{}));
        if (id == kNoNextHop) continue;
        members.push_back(id);
        weighted.insert(weighted.end(), std::max<std::size_t>(next.weight, 1), id);
    }
    if (members.empty()) return acquire({.kind = HopKind::unreachable});
    if (members.size() == 1) return members.front();
    NextHop multipath;
    multipath.kind = HopKind::multipath;
    multipath.members = std::move(weighted);
    const std::uint32_t id = table_.add_hop(std::move(multipath));
    if (id == kNoNextHop) {
        for (const std::uint32_t member : members) release(member);
        return kNoNextHop;
    }
    hops_[id] = {{.kind = HopKind::multipath}, 1, std::move(members)};
    return id;
}

std::uint32_t RoutingBridge::hop_to(const RouteNextHop& next, PortIndex port, const IpAddress& source) {
    if (!next.gateway) return acquire({HopKind::connected, port, {}, source, false});
    return acquire({HopKind::neighbour, port, *next.gateway, source, true});
}

std::uint32_t RoutingBridge::acquire(const HopKey& key) {
    if (const auto found = ids_.find(key); found != ids_.end()) {
        ++hops_.at(found->second).uses;
        return found->second;
    }
    const std::uint32_t id = table_.add_hop(facts(key));
    if (id == kNoNextHop) return id;
    ids_[key] = id;
    hops_[id] = {key, 1, {}};
    if (key.gateway) keep_gateway(key);
    return id;
}

void RoutingBridge::release(std::uint32_t id) {
    const auto found = hops_.find(id);
    if (found == hops_.end() || --found->second.uses != 0) return;
    const SharedHop hop = std::move(found->second);
    hops_.erase(found);
    table_.remove_hop(id);
    if (hop.key.kind != HopKind::multipath) ids_.erase(hop.key);
    for (const std::uint32_t member : hop.members) release(member);
    if (hop.key.gateway) let_gateway_go(hop.key);
}

void RoutingBridge::keep_gateway(const HopKey& key) {
    if (gateways_[{key.port, key.address}]++ == 0) complain(kernel_.keep_neighbour(twins_.at(key.port), key.address));
}

void RoutingBridge::let_gateway_go(const HopKey& key) {
    const auto found = gateways_.find({key.port, key.address});
    if (found == gateways_.end() || --found->second != 0) return;
    gateways_.erase(found);
    complain(kernel_.release_neighbour(twins_.at(key.port), key.address));
}

NextHop RoutingBridge::facts(const HopKey& key) const {
    NextHop hop;
    hop.kind = key.kind;
    hop.out_port = key.port;
    hop.address = key.address;
    hop.preferred_source = key.source;
    if (key.kind != HopKind::neighbour) return hop;
    const auto found = neighbours_.find({key.address, twins_.at(key.port)});
    if (found == neighbours_.end()) return hop;
    hop.resolved = found->second.is_valid();
    hop.failed = found->second.state == NeighbourState::failed;
    hop.mac = found->second.mac;
    return hop;
}

// --- neighbours

void RoutingBridge::on_neighbour(const NeighbourInfo& neighbour, bool gone) {
    const PortIndex port = port_of(neighbour.ifindex);
    if (port == kNoPort || !is_unicast(neighbour.address) || !follows(neighbour.address)) return;
    const NeighbourKey key{neighbour.address, neighbour.ifindex};
    if (gone) {
        neighbours_.erase(key);
        asked_.erase(key);
    } else {
        neighbours_[key] = neighbour;
    }
    for (auto h = ids_.lower_bound({HopKind::neighbour, port, neighbour.address, {}, false});
         h != ids_.end() && h->first.kind == HopKind::neighbour && h->first.port == port &&
         h->first.address == neighbour.address;
         ++h)
        table_.replace_hop(h->second, facts(h->first));
    evaluate(host_prefix(neighbour.address));

    const bool settled = !gone && (neighbour.is_valid() || neighbour.state == NeighbourState::failed);
    if (settled) tell_workers(neighbour.address, port);
    // The kernel sends nothing to it, so it would never find out by itself that a stale entry is wrong.
    if (!gone && neighbour.state == NeighbourState::stale && asked_.count(key) != 0)
        complain(kernel_.resolve_neighbour(neighbour.ifindex, neighbour.address));
}

/// Only when they see its route: told too early they would go on waiting, and nobody would tell them again.
void RoutingBridge::tell_workers(const IpAddress& neighbour, PortIndex port) {
    table_.when_seen([this, neighbour, port, life = std::weak_ptr(life_)] {
        if (!life.expired() && hooks_.neighbour_changed) hooks_.neighbour_changed(neighbour, port);
    });
}

void RoutingBridge::resolve(const IpAddress& address, PortIndex port) {
    const auto twin = twins_.find(port);
    if (twin == twins_.end()) return;
    const NeighbourKey key{address, twin->second};
    asked_.insert(key);
    if (const auto known = neighbours_.find(key); known != neighbours_.end() && known->second.is_valid()) {
        // Its answer and the question crossed.
        tell_workers(address, port);
        return;
    }
    complain(kernel_.resolve_neighbour(twin->second, address));
}

}  // namespace sluice

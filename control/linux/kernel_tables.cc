#include "control/linux/kernel_tables.hh"

#include <algorithm>
#include <linux/neighbour.h>
#include <linux/rtnetlink.h>

namespace sluice {

KernelTables::KernelTables(KernelObserver& observer, RtnlRequests& requests, NetlinkCounters& counters,
                           std::function<void()> want_routes)
    : observer_(observer), requests_(requests), counters_(counters), want_routes_(std::move(want_routes)) {}

NetlinkSizes KernelTables::sizes() const {
    return {links_.size(), addresses_.size(), routes_.size(), neighbours_.size()};
}

namespace {

/// IPv6 routes of one key that have gateways are one route with several next hops, and a message names all of them.
bool becomes_one(const RouteInfo& known, const RouteInfo& route) {
    const auto has_gateways = [](const RouteInfo& r) {
        return !r.next_hops.empty() &&
               std::ranges::all_of(r.next_hops, [](const RouteNextHop& hop) { return hop.gateway.has_value(); });
    };
    return !route.key.to.address.is_v4() && has_gateways(known) && has_gateways(route);
}

}  // namespace

template <class Use>
void KernelTables::with(KernelTable table, Use&& use) {
    switch (table) {
        case KernelTable::links:
            return use(links_);
        case KernelTable::addresses:
            return use(addresses_);
        case KernelTable::routes:
            return use(routes_);
        case KernelTable::neighbours:
            return use(neighbours_);
    }
}

void KernelTables::begin_dump(KernelTable table) {
    with(table, [](auto& mirror) { mirror.begin_dump(); });
    if (table == KernelTable::routes) shadowing_.clear();
}

void KernelTables::end_dump(KernelTable table) {
    with(table, [](auto& mirror) { mirror.end_dump(); });
}

bool KernelTables::sweep(KernelTable table, std::size_t limit) {
    bool through = false;
    with(table, [&](auto& mirror) { through = mirror.sweep(limit, [this](const auto& value) { withdraw(value); }); });
    return through;
}

void KernelTables::take(const nlmsghdr& message, bool from_dump) {
    switch (message.nlmsg_type) {
        case RTM_NEWLINK:
        case RTM_DELLINK:
            return take_link(message, from_dump);
        case RTM_NEWADDR:
        case RTM_DELADDR:
            return take_address(message, from_dump);
        case RTM_NEWROUTE:
        case RTM_DELROUTE:
            return take_route(message, from_dump);
        case RTM_NEWNEIGH:
        case RTM_DELNEIGH:
            return take_neighbour(message, from_dump);
        case RTM_DELNEXTHOP:
            return want_routes_();
        case RTM_NEWNEXTHOP:
            if ((message.nlmsg_flags & NLM_F_REPLACE) != 0) want_routes_();
            return;
        default:
            return;
    }
}

void KernelTables::take_link(const nlmsghdr& message, bool from_dump) {
    const auto parsed = parse_link(message);
    if (!good(parsed)) return;
    const LinkInfo& link = parsed.value;
    if (message.nlmsg_type == RTM_DELLINK) {
        if (const auto old = links_.erase_from_event(link.ifindex)) withdraw(*old);
        return;
    }
    const LinkInfo* known = links_.find(link.ifindex);
    // The kernel drops and marks routes of a link that changes state without a word about each.
    if (known != nullptr && (known->up != link.up || known->carrier != link.carrier)) want_routes_();
    if (from_dump ? links_.put_from_dump(link.ifindex, link) : links_.put_from_event(link.ifindex, link))
        observer_.on_link(link, false);
}

void KernelTables::take_address(const nlmsghdr& message, bool from_dump) {
    const auto parsed = parse_address(message);
    if (!good(parsed)) return;
    const AddressInfo& address = parsed.value;
    if (message.nlmsg_type == RTM_DELADDR) {
        if (const auto old = addresses_.erase_from_event(key_of(address))) withdraw(*old);
        return;
    }
    if (from_dump ? addresses_.put_from_dump(key_of(address), address)
                  : addresses_.put_from_event(key_of(address), address))
        observer_.on_address(address, true);
}

void KernelTables::take_route(const nlmsghdr& message, bool from_dump) {
    const auto parsed = parse_route(message);
    if (!good(parsed)) return;
    const RouteInfo& route = parsed.value;
    if (message.nlmsg_type == RTM_DELROUTE) {
        // Behind an appended or prepended route another of the same key comes to light, which nobody announces.
        if (shadowing_.contains(route.key)) return want_routes_();
        // Of several next hops of an IPv6 route one may go alone.
        const RouteInfo* known = routes_.find(route.key);
        if (known != nullptr && known->next_hops.size() > route.next_hops.size()) return want_routes_();
        if (const auto old = routes_.erase_from_event(route.key)) withdraw(*old);
        return;
    }
    // It may have taken the place of what the kernel made for an address.
    if (!from_dump && (message.nlmsg_flags & NLM_F_REPLACE) != 0) {
        RouteKey of_device = route.key;
        const RouteKey* next = routes_.next(route.key);
        if (next != nullptr) of_device.device = next->device;
        if (next != nullptr && of_device == *next) want_routes_();
    }
    const RouteInfo* known = routes_.find(route.key);
    const bool beside = from_dump ? routes_.is_marked(route.key) : (message.nlmsg_flags & NLM_F_REPLACE) == 0;
    if (known != nullptr && beside && *known != route && !becomes_one(*known, route)) {
        shadowing_.insert(route.key);
        if ((message.nlmsg_flags & NLM_F_APPEND) != 0) return;  // the first of the key is the one in force
    }
    if (!(from_dump ? routes_.put_from_dump(route.key, route) : routes_.put_from_event(route.key, route))) return;
    requests_.route_seen(route, true);
    observer_.on_route(route, true);
}

void KernelTables::take_neighbour(const nlmsghdr& message, bool from_dump) {
    const auto parsed = parse_neighbour(message);
    if (!good(parsed)) return;
    const NeighbourInfo& neighbour = parsed.value;
    if (message.nlmsg_type == RTM_DELNEIGH) {
        if (const auto old = neighbours_.erase_from_event(key_of(neighbour))) withdraw(*old);
        return;
    }
    if (!(from_dump ? neighbours_.put_from_dump(key_of(neighbour), neighbour)
                    : neighbours_.put_from_event(key_of(neighbour), neighbour)))
        return;
    observer_.on_neighbour(neighbour, false);
    requests_.neighbour_seen(neighbour, false);
}

void KernelTables::withdraw(const LinkInfo& link) {
    want_routes_();
    observer_.on_link(link, true);
}

void KernelTables::withdraw(const AddressInfo& address) {
    want_routes_();  // routes that prefer this source address go silently
    observer_.on_address(address, false);
}

void KernelTables::withdraw(const RouteInfo& route) {
    requests_.route_seen(route, false);
    observer_.on_route(route, false);
}

void KernelTables::withdraw(const NeighbourInfo& neighbour) {
    requests_.neighbour_seen(neighbour, true);
    observer_.on_neighbour(neighbour, true);
}

}  // namespace sluice

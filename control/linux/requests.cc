#include "control/linux/requests.hh"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <linux/fib_rules.h>
#include <linux/if_addr.h>
#include <linux/neighbour.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <new>

#include <netlink/attr.h>
#include <netlink/msg.h>

#include "control/linux/messages.hh"

namespace sluice {
namespace {

void put(const NlMessage& message, int attribute, const void* data, std::size_t bytes) {
    if (nla_put(message.get(), attribute, static_cast<int>(bytes), data) < 0) throw std::bad_alloc{};
}
template <class T>
requires std::is_trivially_copyable_v<T>
void put(const NlMessage& message, int attribute, const T& value) {
    put(message, attribute, &value, sizeof value);
}

std::string link_name(IfIndex ifindex) {
    std::array<char, IF_NAMESIZE> name{};
    if (if_indextoname(static_cast<unsigned>(ifindex), name.data()) == nullptr)
        return "link " + std::to_string(ifindex);
    return name.data();
}

unsigned char family_of(const IpAddress& address) {
    return address.is_v4() ? AF_INET : AF_INET6;
}

void put_address(const NlMessage& message, int attribute, const IpAddress& address) {
    if (address.is_v4()) return put(message, attribute, address.v4().raw);
    std::array<std::byte, sizeof address> bytes{};
    address.to_bytes(bytes.data());
    put(message, attribute, bytes);
}

NlMessage address_message(int type, int flags, IfIndex ifindex, const IpPrefix& prefix) {
    auto message = make_message(type, flags,
                                ifaddrmsg{.ifa_family = family_of(prefix.address),
                                          .ifa_prefixlen = prefix.length,
                                          .ifa_index = static_cast<unsigned>(ifindex)});
    put_address(message, IFA_LOCAL, prefix.address);
    put_address(message, IFA_ADDRESS, prefix.address);
    return message;
}

void put_next_hops(const NlMessage& message, const std::vector<RouteNextHop>& hops) {
    if (hops.size() == 1) {
        if (hops[0].ifindex != 0) put(message, RTA_OIF, hops[0].ifindex);
        if (hops[0].gateway) put_address(message, RTA_GATEWAY, *hops[0].gateway);
        return;
    }
    // Each next hop is a header followed by its own attributes, all within one attribute.
    nlattr* all = nla_nest_start(message.get(), RTA_MULTIPATH);
    if (all == nullptr) throw std::bad_alloc{};
    for (const RouteNextHop& hop : hops) {
        auto* header = static_cast<rtnexthop*>(nlmsg_reserve(message.get(), sizeof(rtnexthop), NLMSG_ALIGNTO));
        if (header == nullptr) throw std::bad_alloc{};
        const auto* begin = reinterpret_cast<const char*>(header);
        *header = {};
        header->rtnh_hops = static_cast<std::uint8_t>(std::clamp<unsigned>(hop.weight, 1, 256) - 1);
        header->rtnh_ifindex = hop.ifindex;
        if (hop.gateway) put_address(message, RTA_GATEWAY, *hop.gateway);
        const auto* end = static_cast<const char*>(nlmsg_tail(nlmsg_hdr(message.get())));
        header->rtnh_len = static_cast<std::uint16_t>(end - begin);
    }
    nla_nest_end(message.get(), all);
}

NlMessage route_message(int type, int flags, const IpPrefix& to, std::uint32_t metric, const rtmsg& base) {
    rtmsg header = base;
    header.rtm_family = family_of(to.address);
    header.rtm_dst_len = to.length;
    header.rtm_table = RT_TABLE_MAIN;
    header.rtm_protocol = kOwnProtocol;
    auto message = make_message(type, flags, header);
    if (to.length > 0) put_address(message, RTA_DST, to.address);
    if (metric != 0) put(message, RTA_PRIORITY, metric);
    return message;
}

/// As the kernel lists it.
std::uint32_t metric_of(const IpPrefix& to, std::uint32_t metric) {
    return metric == 0 && !to.address.is_v4() ? kDefaultMetric6 : metric;
}

RouteKey key_of(const RouteSpec& route) {
    return {kMainTable, route.to, 0, metric_of(route.to, route.metric)};
}

/// What the kernel has is what is wanted; a link that the kernel was to find may be any.
bool satisfies(const RouteInfo& is, const RouteSpec& wanted) {
    return is.type == wanted.type &&
           std::ranges::equal(is.next_hops, wanted.next_hops, [](const RouteNextHop& a, const RouteNextHop& b) {
               return (b.ifindex == 0 || a.ifindex == b.ifindex) && a.gateway == b.gateway && a.weight == b.weight;
           });
}

}  // namespace

RtnlRequests::RtnlRequests(std::unique_ptr<RtnlSocket> socket) : socket_(std::move(socket)) {}
RtnlRequests::~RtnlRequests() = default;

OrFailure<std::unique_ptr<RtnlRequests>> RtnlRequests::open() {
    auto socket = RtnlSocket::open();
    if (auto* failure = std::get_if<Failure>(&socket)) return std::move(*failure);
    return std::unique_ptr<RtnlRequests>(new RtnlRequests(std::move(std::get<std::unique_ptr<RtnlSocket>>(socket))));
}

MaybeFailure RtnlRequests::change_link(IfIndex ifindex, const LinkChange& change) {
    ifinfomsg header{.ifi_family = AF_UNSPEC, .ifi_index = ifindex};
    if (change.up) {
        header.ifi_change = IFF_UP;
        header.ifi_flags = *change.up ? unsigned{IFF_UP} : 0U;
    }
    auto message = make_message(RTM_NEWLINK, 0, header);
    if (change.mac) put(message, IFLA_ADDRESS, change.mac->bytes);
    if (change.mtu_bytes) put(message, IFLA_MTU, *change.mtu_bytes);
    const auto answer = socket_->exchange(std::move(message));
    if (answer.ok()) return std::nullopt;
    return failure_of(link_name(ifindex), answer);
}

MaybeFailure RtnlRequests::add_address(IfIndex ifindex, const IpPrefix& prefix) {
    auto message = address_message(RTM_NEWADDR, NLM_F_CREATE | NLM_F_EXCL, ifindex, prefix);
    if (!prefix.address.is_v4()) {
        // In force at once, as an IPv4 address is: the box forwards from its first second on.
        put(message, IFA_FLAGS, std::uint32_t{IFA_F_NODAD});
    } else if (prefix.length < 31) {
        put_address(message, IFA_BROADCAST, prefix_edge(prefix.address, prefix.length, true));
    }
    put(message, IFA_PROTO, kOwnProtocol);
    const auto answer = socket_->exchange(std::move(message));
    if (answer.ok() || answer.error == EEXIST) return std::nullopt;
    return failure_of(link_name(ifindex) + ": address " + to_string(prefix), answer);
}

MaybeFailure RtnlRequests::del_address(IfIndex ifindex, const IpPrefix& prefix) {
    const auto answer = socket_->exchange(address_message(RTM_DELADDR, 0, ifindex, prefix));
    if (answer.ok() || answer.error == EADDRNOTAVAIL || answer.error == ENODEV) return std::nullopt;
    return failure_of(link_name(ifindex) + ": removing address " + to_string(prefix), answer);
}

OrFailure<std::vector<AddressInfo>> RtnlRequests::addresses(IfIndex ifindex) {
    std::vector<AddressInfo> found;
    const ifaddrmsg filter{.ifa_family = AF_UNSPEC, .ifa_index = static_cast<unsigned>(ifindex)};
    const auto answer = socket_->exchange(make_message(RTM_GETADDR, NLM_F_DUMP, filter), [&](const nlmsghdr& reply) {
        // Kernels before 5.0 do not filter.
        auto parsed = parse_address(reply);
        if (parsed.status == ParseStatus::ok && parsed.value.ifindex == ifindex) found.push_back(parsed.value);
    });
    if (!answer.ok()) return failure_of(link_name(ifindex) + ": reading addresses", answer);
    return found;
}

OrFailure<std::size_t> RtnlRequests::foreign_rules() {
    std::size_t found = 0;
    const fib_rule_hdr any{};  // AF_UNSPEC: of both families
    const auto answer = socket_->exchange(make_message(RTM_GETRULE, NLM_F_DUMP, any), [&](const nlmsghdr& reply) {
        if (is_foreign_rule(reply)) ++found;
    });
    if (!answer.ok()) return failure_of("reading the rules of routing", answer);
    return found;
}

MaybeFailure RtnlRequests::add_route(const RouteSpec& route) {
    const RouteKey key = key_of(route);
    const std::uint32_t metric = key.metric;
    const bool is_unicast = route.type == RouteType::unicast;
    const bool is_direct = is_unicast && !std::ranges::any_of(route.next_hops, [](const RouteNextHop& hop) {
                               return hop.gateway.has_value();
                           });
    const rtmsg base{.rtm_scope = is_direct ? RT_SCOPE_LINK : RT_SCOPE_UNIVERSE,
                     .rtm_type = static_cast<unsigned char>(route.type)};
    const std::string what = "route " + to_string(route.to);
    if (is_unicast == route.next_hops.empty())
        return Failure{what + (is_unicast ? ": no next hop" : ": only unicast routes have next hops")};

    const auto send = [&](int flags) {
        auto message = route_message(RTM_NEWROUTE, NLM_F_CREATE | flags, route.to, metric, base);
        if (is_unicast) put_next_hops(message, route.next_hops);
        return socket_->exchange(std::move(message));
    };
    auto answer = send(NLM_F_EXCL);
    if (answer.error == EEXIST) {
        const auto known = own_routes_.find(key);
        if (known != own_routes_.end() && satisfies(known->second, route)) return std::nullopt;
        if (known != own_routes_.end()) {
            answer = send(NLM_F_REPLACE);
        } else if (socket_->exchange(route_message(RTM_DELROUTE, 0, route.to, metric, {.rtm_scope = RT_SCOPE_NOWHERE}))
                       .ok()) {
            answer = send(NLM_F_EXCL);  // it was ours from an earlier life: the removal asks for our protocol number
        } else {
            return Failure{what + ": the kernel has one already, with the same metric, that somebody else set"};
        }
    }
    if (!answer.ok()) return failure_of(what, answer);
    own_routes_[key] = {.key = key, .type = route.type, .protocol = kOwnProtocol, .next_hops = route.next_hops};
    return std::nullopt;
}

MaybeFailure RtnlRequests::del_route(const IpPrefix& to, std::uint32_t wanted_metric) {
    const std::uint32_t metric = metric_of(to, wanted_metric);
    const auto answer = socket_->exchange(route_message(RTM_DELROUTE, 0, to, metric, {.rtm_scope = RT_SCOPE_NOWHERE}));
    own_routes_.erase({kMainTable, to, 0, metric});
    if (answer.ok() || answer.error == ESRCH) return std::nullopt;
    return failure_of("removing route " + to_string(to), answer);
}

std::vector<Failure> RtnlRequests::set_routes(std::span<const RouteSpec> wanted) {
    std::vector<Failure> failures;
    std::set<RouteKey> keep;
    for (const RouteSpec& route : wanted) keep.insert(key_of(route));
    std::vector<RouteKey> unwanted;
    for (const auto& [key, route] : own_routes_)
        if (!keep.contains(key)) unwanted.push_back(key);
    for (const RouteKey& key : unwanted)
        if (auto failure = del_route(key.to, key.metric)) failures.push_back(std::move(*failure));
    for (const RouteSpec& route : wanted)
        if (auto failure = add_route(route)) failures.push_back(std::move(*failure));
    return failures;
}

MaybeFailure RtnlRequests::use_neighbour(IfIndex ifindex, const IpAddress& address, bool managed) {
    // NTF_USE would turn a static entry into an ordinary one, so look first.
    NeighbourInfo known;
    auto question = make_message(RTM_GETNEIGH, 0, ndmsg{.ndm_family = family_of(address), .ndm_ifindex = ifindex});
    put_address(question, NDA_DST, address);
    socket_->exchange(std::move(question), [&](const nlmsghdr& reply) {
        if (auto parsed = parse_neighbour(reply); parsed.status == ParseStatus::ok) known = parsed.value;
    });
    if (known.state == NeighbourState::permanent || known.state == NeighbourState::noarp) return std::nullopt;

    auto message = make_message(RTM_NEWNEIGH, NLM_F_CREATE | NLM_F_REPLACE,
                                ndmsg{.ndm_family = family_of(address), .ndm_ifindex = ifindex, .ndm_flags = NTF_USE});
    put_address(message, NDA_DST, address);
    // Without the flag NTF_USE makes a managed entry an ordinary one again: that is how it is released.
    if (managed) put(message, NDA_FLAGS_EXT, std::uint32_t{NTF_EXT_MANAGED});
    const auto answer = socket_->exchange(std::move(message));
    if (answer.ok()) return std::nullopt;
    return failure_of(link_name(ifindex) + ": neighbour " + to_string(address), answer);
}

MaybeFailure RtnlRequests::resolve_neighbour(IfIndex ifindex, const IpAddress& address) {
    return use_neighbour(ifindex, address, kept_.contains({ifindex, address}));
}

MaybeFailure RtnlRequests::keep_neighbour(IfIndex ifindex, const IpAddress& address) {
    kept_.insert({ifindex, address});
    return use_neighbour(ifindex, address, true);
}

MaybeFailure RtnlRequests::release_neighbour(IfIndex ifindex, const IpAddress& address) {
    if (kept_.erase({ifindex, address}) == 0) return std::nullopt;
    return use_neighbour(ifindex, address, false);
}

void RtnlRequests::route_seen(const RouteInfo& route, bool added) {
    if (route.key.table != kMainTable) return;
    if (added && route.protocol == kOwnProtocol)
        own_routes_.insert_or_assign(route.key, route);
    else  // gone, or replaced by somebody else's
        own_routes_.erase(route.key);
}

void RtnlRequests::neighbour_seen(const NeighbourInfo& neighbour, bool gone) {
    const std::pair key{neighbour.ifindex, neighbour.address};
    if (gone) {
        kept_.erase(key);
    } else if (neighbour.state == NeighbourState::stale && !neighbour.managed && kept_.contains(key)) {
        use_neighbour(neighbour.ifindex, neighbour.address, true);  // a failure shows as a neighbour that goes
    }
}

MaybeFailure raise_neighbour_limits(std::uint32_t entries, bool v6) {
    // The kernel collects above thresh1, hurries above thresh2 and refuses above thresh3.
    for (const char* name : {"gc_thresh3", "gc_thresh2", "gc_thresh1"}) {
        const std::string path = std::string("/proc/sys/net/") + (v6 ? "ipv6" : "ipv4") + "/neigh/default/" + name;
        std::uint64_t current = 0;
        if (!(std::ifstream(path) >> current)) return Failure{path + ": cannot be read (not the first namespace?)"};
        if (current >= entries) continue;
        std::ofstream file(path);
        if (!(file << entries << std::flush)) return Failure{path + ": cannot be raised to " + std::to_string(entries)};
    }
    return std::nullopt;
}

}  // namespace sluice

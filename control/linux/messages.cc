#include "control/linux/messages.hh"

#include <algorithm>
#include <array>
#include <cstring>
#include <linux/if_addr.h>
#include <linux/if_link.h>
#include <linux/neighbour.h>
#include <linux/rtnetlink.h>
#include <net/if.h>

#include <netlink/attr.h>
#include <netlink/msg.h>

namespace sluice {
namespace {

/// IFF_LOWER_UP, which <net/if.h> lacks; <linux/if.h>, which has it, clashes with <net/if.h>.
constexpr unsigned kLowerUp = 1U << 16;

template <int kMax>
using Attributes = std::array<nlattr*, static_cast<std::size_t>(kMax) + 1>;

template <int kMax>
using Policy = std::array<nla_policy, static_cast<std::size_t>(kMax) + 1>;

/// libnl does not change the message, it only never learnt to say so.
nlmsghdr* mutable_header(const nlmsghdr& message) {
    return const_cast<nlmsghdr*>(&message);
}

template <class Header, int kMax>
bool split(const nlmsghdr& message, const Policy<kMax>& policy, Attributes<kMax>& attributes) {
    return nlmsg_valid_hdr(&message, sizeof(Header)) != 0 &&
           nlmsg_parse(mutable_header(message), sizeof(Header), attributes.data(), kMax, policy.data()) >= 0;
}

template <class Header>
const Header& header_of(const nlmsghdr& message) {
    return *static_cast<const Header*>(nlmsg_data(&message));
}

Ip4 ip4_of(const nlattr* attribute) {
    return Ip4::from_raw(nla_get_u32(attribute));
}

MacAddress mac_of(const nlattr* attribute) {
    MacAddress mac;
    if (attribute != nullptr && nla_len(attribute) == static_cast<int>(mac.bytes.size()))
        std::memcpy(mac.bytes.data(), nla_data(attribute), mac.bytes.size());
    return mac;
}

template <std::size_t N>
constexpr std::array<nla_policy, N> with(std::array<nla_policy, N> policy, int attribute, std::uint16_t type,
                                         std::uint16_t min_bytes) {
    policy[static_cast<std::size_t>(attribute)] = {.type = type, .minlen = min_bytes};
    return policy;
}

constexpr auto kLinkPolicy = [] {
    Policy<IFLA_MAX> p{};
    p = with(p, IFLA_MTU, NLA_U32, 4);
    p = with(p, IFLA_LINK, NLA_U32, 4);
    p = with(p, IFLA_MASTER, NLA_U32, 4);
    p = with(p, IFLA_IFNAME, NLA_STRING, 1);
    return with(p, IFLA_LINKINFO, NLA_NESTED, 0);
}();
constexpr auto kLinkKindPolicy = with(Policy<IFLA_INFO_MAX>{}, IFLA_INFO_KIND, NLA_STRING, 1);
constexpr auto kAddressPolicy = [] {
    Policy<IFA_MAX> p{};
    p = with(p, IFA_LOCAL, NLA_U32, 4);
    p = with(p, IFA_ADDRESS, NLA_U32, 4);
    p = with(p, IFA_FLAGS, NLA_U32, 4);
    return with(p, IFA_PROTO, NLA_U8, 1);
}();
constexpr auto kRoutePolicy = [] {
    Policy<RTA_MAX> p{};
    for (const int attribute : {RTA_DST, RTA_GATEWAY, RTA_PREFSRC, RTA_OIF, RTA_PRIORITY, RTA_TABLE})
        p = with(p, attribute, NLA_U32, 4);
    return p;
}();
constexpr auto kNeighbourPolicy = [] {
    Policy<NDA_MAX> p{};
    p = with(p, NDA_DST, NLA_U32, 4);
    return with(p, NDA_FLAGS_EXT, NLA_U32, 4);
}();

bool usable(unsigned flags) {
    return (flags & (RTNH_F_DEAD | RTNH_F_LINKDOWN)) == 0;
}

/// Of one next hop: the gateway, which may also be an IPv6 one (RFC 8950), which IPv4 forwarding here cannot use.
void set_gateway(RouteNextHop& hop, nlattr* gateway, nlattr* via) {
    if (gateway != nullptr) hop.gateway = ip4_of(gateway);
    if (via != nullptr) hop.usable = false;
}

bool parse_multipath(nlattr* attribute, std::vector<RouteNextHop>& hops) {
    const auto* at = static_cast<const std::byte*>(nla_data(attribute));
    auto left = static_cast<std::size_t>(nla_len(attribute));
    while (left >= sizeof(rtnexthop)) {
        rtnexthop header;
        std::memcpy(&header, at, sizeof header);
        if (header.rtnh_len < sizeof header || header.rtnh_len > left) return false;
        Attributes<RTA_MAX> inner{};
        auto* first = reinterpret_cast<nlattr*>(const_cast<std::byte*>(at + sizeof header));
        if (nla_parse(inner.data(), RTA_MAX, first, header.rtnh_len - static_cast<int>(sizeof header),
                      kRoutePolicy.data()) < 0)
            return false;
        RouteNextHop hop{.ifindex = header.rtnh_ifindex,
                         .weight = static_cast<std::uint16_t>(header.rtnh_hops + 1),
                         .usable = usable(header.rtnh_flags)};
        set_gateway(hop, inner[RTA_GATEWAY], inner[RTA_VIA]);
        hops.push_back(hop);
        const std::size_t step = std::min<std::size_t>(left, RTNH_ALIGN(header.rtnh_len));
        at += step;
        left -= step;
    }
    return left == 0;
}

NeighbourState state_of(unsigned nud) {
    if (nud & NUD_PERMANENT) return NeighbourState::permanent;
    if (nud & NUD_NOARP) return NeighbourState::noarp;
    if (nud & NUD_REACHABLE) return NeighbourState::reachable;
    if (nud & NUD_PROBE) return NeighbourState::probe;
    if (nud & NUD_DELAY) return NeighbourState::delay;
    if (nud & NUD_STALE) return NeighbourState::stale;
    if (nud & NUD_INCOMPLETE) return NeighbourState::incomplete;
    if (nud & NUD_FAILED) return NeighbourState::failed;
    return NeighbourState::none;
}

}  // namespace

Parsed<LinkInfo> parse_link(const nlmsghdr& message) {
    Attributes<IFLA_MAX> a{};
    if (!split<ifinfomsg, IFLA_MAX>(message, kLinkPolicy, a)) return {};
    const auto& header = header_of<ifinfomsg>(message);
    // A bridge says RTM_DELLINK with its own family when a port leaves it: the port itself lives on.
    if (header.ifi_family != AF_UNSPEC) return {ParseStatus::ignored};
    if (a[IFLA_IFNAME] == nullptr) return {};

    LinkInfo link{.ifindex = header.ifi_index,
                  .name = std::string(static_cast<const char*>(nla_data(a[IFLA_IFNAME])),
                                      strnlen(static_cast<const char*>(nla_data(a[IFLA_IFNAME])),
                                              static_cast<std::size_t>(nla_len(a[IFLA_IFNAME])))),
                  .mac = mac_of(a[IFLA_ADDRESS]),
                  .mtu_bytes = a[IFLA_MTU] != nullptr ? nla_get_u32(a[IFLA_MTU]) : 0,
                  .up = (header.ifi_flags & IFF_UP) != 0,
                  .carrier = (header.ifi_flags & kLowerUp) != 0};
    // With a namespace id the number means a link somewhere else (the far end of a veth).
    if (a[IFLA_LINK] != nullptr && a[IFLA_LINK_NETNSID] == nullptr)
        link.parent_ifindex = static_cast<IfIndex>(nla_get_u32(a[IFLA_LINK]));
    if (a[IFLA_MASTER] != nullptr) link.master_ifindex = static_cast<IfIndex>(nla_get_u32(a[IFLA_MASTER]));
    if (a[IFLA_LINKINFO] != nullptr) {
        Attributes<IFLA_INFO_MAX> info{};
        if (nla_parse_nested(info.data(), IFLA_INFO_MAX, a[IFLA_LINKINFO], kLinkKindPolicy.data()) < 0) return {};
        if (info[IFLA_INFO_KIND] != nullptr) link.kind = nla_get_string(info[IFLA_INFO_KIND]);
    }
    return {ParseStatus::ok, std::move(link)};
}

Parsed<AddressInfo> parse_address(const nlmsghdr& message) {
    Attributes<IFA_MAX> a{};
    // The family is looked at first: the policy's lengths are those of IPv4.
    if (nlmsg_valid_hdr(&message, sizeof(ifaddrmsg)) == 0) return {};
    const auto& header = header_of<ifaddrmsg>(message);
    if (header.ifa_family != AF_INET) return {ParseStatus::ignored};
    if (!split<ifaddrmsg, IFA_MAX>(message, kAddressPolicy, a)) return {};
    nlattr* local = a[IFA_LOCAL] != nullptr ? a[IFA_LOCAL] : a[IFA_ADDRESS];
    if (local == nullptr || header.ifa_prefixlen > 32) return {};

    const unsigned flags = a[IFA_FLAGS] != nullptr ? nla_get_u32(a[IFA_FLAGS]) : header.ifa_flags;
    return {ParseStatus::ok,
            {.ifindex = static_cast<IfIndex>(header.ifa_index),
             .prefix = {ip4_of(local), header.ifa_prefixlen},
             .peer = ip4_of(a[IFA_ADDRESS] != nullptr ? a[IFA_ADDRESS] : local),
             .scope = header.ifa_scope,
             .secondary = (flags & IFA_F_SECONDARY) != 0,
             .protocol = a[IFA_PROTO] != nullptr ? nla_get_u8(a[IFA_PROTO]) : std::uint8_t{0}}};
}

Parsed<RouteInfo> parse_route(const nlmsghdr& message) {
    Attributes<RTA_MAX> a{};
    if (nlmsg_valid_hdr(&message, sizeof(rtmsg)) == 0) return {};
    const auto& header = header_of<rtmsg>(message);
    if (header.rtm_family != AF_INET || (header.rtm_flags & RTM_F_CLONED) != 0) return {ParseStatus::ignored};
    if (!split<rtmsg, RTA_MAX>(message, kRoutePolicy, a) || header.rtm_dst_len > 32) return {};

    RouteInfo route;
    route.key.table = a[RTA_TABLE] != nullptr ? nla_get_u32(a[RTA_TABLE]) : header.rtm_table;
    if (route.key.table != kMainTable && route.key.table != kLocalTable) return {ParseStatus::ignored};
    route.key.to = {a[RTA_DST] != nullptr ? ip4_of(a[RTA_DST]) : Ip4{}, header.rtm_dst_len};
    route.key.tos = header.rtm_tos;
    route.key.metric = a[RTA_PRIORITY] != nullptr ? nla_get_u32(a[RTA_PRIORITY]) : 0;
    if (header.rtm_type < RTN_UNICAST || header.rtm_type > RTN_THROW) return {ParseStatus::ignored};
    route.type = static_cast<RouteType>(header.rtm_type);
    route.protocol = header.rtm_protocol;
    if (a[RTA_PREFSRC] != nullptr) route.preferred_source = ip4_of(a[RTA_PREFSRC]);
    if (a[RTA_MULTIPATH] != nullptr) {
        if (!parse_multipath(a[RTA_MULTIPATH], route.next_hops)) return {};
    } else if (a[RTA_OIF] != nullptr) {
        RouteNextHop hop{.ifindex = static_cast<IfIndex>(nla_get_u32(a[RTA_OIF])), .usable = usable(header.rtm_flags)};
        set_gateway(hop, a[RTA_GATEWAY], a[RTA_VIA]);
        route.next_hops.push_back(hop);
    }
    return {ParseStatus::ok, std::move(route)};
}

Parsed<NeighbourInfo> parse_neighbour(const nlmsghdr& message) {
    Attributes<NDA_MAX> a{};
    if (nlmsg_valid_hdr(&message, sizeof(ndmsg)) == 0) return {};
    const auto& header = header_of<ndmsg>(message);
    if (header.ndm_family != AF_INET || (header.ndm_flags & NTF_PROXY) != 0) return {ParseStatus::ignored};
    if (!split<ndmsg, NDA_MAX>(message, kNeighbourPolicy, a) || a[NDA_DST] == nullptr) return {};

    const unsigned extended = a[NDA_FLAGS_EXT] != nullptr ? nla_get_u32(a[NDA_FLAGS_EXT]) : 0;
    return {ParseStatus::ok,
            {.ifindex = header.ndm_ifindex,
             .address = ip4_of(a[NDA_DST]),
             .mac = mac_of(a[NDA_LLADDR]),
             .state = state_of(header.ndm_state),
             .managed = (extended & NTF_EXT_MANAGED) != 0}};
}

}  // namespace sluice

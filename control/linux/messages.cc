#include "control/linux/messages.hh"

#include <algorithm>
#include <array>
#include <cstring>
#include <initializer_list>
#include <linux/fib_rules.h>
#include <linux/if_addr.h>
#include <linux/if_link.h>
#include <linux/neighbour.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <utility>

#include <netlink/attr.h>
#include <netlink/msg.h>

namespace sluice {
namespace {

/// IFF_LOWER_UP, which <net/if.h> lacks; <linux/if.h>, which has it, clashes with <net/if.h>.
constexpr unsigned kLowerUp = 1U << 16;

/// IPv6 addresses that nothing of itself takes for a source. (IFA_F_SECONDARY means temporary there.)
constexpr unsigned kNotToBeUsed6 = IFA_F_DEPRECATED | IFA_F_TENTATIVE | IFA_F_DADFAILED;

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

/// The bytes of an address.
constexpr int bytes_of(unsigned char family) {
    return family == AF_INET6 ? 16 : 4;
}

/// An attribute is absent, or holds an address of the message's family.
bool fits(unsigned char family, std::initializer_list<const nlattr*> attributes) {
    return std::ranges::all_of(attributes,
                               [family](const nlattr* a) { return a == nullptr || nla_len(a) >= bytes_of(family); });
}

/// The attribute must be there and fit.
IpAddress address_of(unsigned char family, const nlattr* attribute) {
    if (family == AF_INET6) return IpAddress::from_bytes(nla_data(attribute));
    return Ip4::from_raw(nla_get_u32(attribute));
}

/// The address of all zeros, which no attribute stands for.
IpAddress nothing_of(unsigned char family) {
    return family == AF_INET6 ? IpAddress{} : IpAddress{Ip4{}};
}

bool is_ip(unsigned char family) {
    return family == AF_INET || family == AF_INET6;
}
unsigned longest_prefix(unsigned char family) {
    return static_cast<unsigned>(bytes_of(family)) * 8;
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
constexpr auto kRulePolicy = [] {
    Policy<FRA_MAX> p{};
    p = with(p, FRA_PRIORITY, NLA_U32, 4);
    return with(p, FRA_TABLE, NLA_U32, 4);
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
bool set_gateway(RouteNextHop& hop, unsigned char family, nlattr* gateway, nlattr* via) {
    if (!fits(family, {gateway})) return false;
    if (gateway != nullptr) hop.gateway = address_of(family, gateway);
    if (via != nullptr) hop.usable = false;
    return true;
}

bool parse_multipath(nlattr* attribute, unsigned char family, std::vector<RouteNextHop>& hops) {
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
        if (!set_gateway(hop, family, inner[RTA_GATEWAY], inner[RTA_VIA])) return false;
        hops.push_back(hop);
        const std::size_t step = std::min<std::size_t>(left, RTNH_ALIGN(header.rtnh_len));
        at += step;
        left -= step;
    }
    return left == 0;
}

/// Of IPv6 what each link has by itself, all under the same prefix, and what leads nowhere else: fe80::/64 and
/// ff00::/8. Routes that also ask for the source (RFC 8043) are not those of the destination alone.
bool is_of_each_link(const RouteInfo& route, const rtmsg& header) {
    const IpAddress& to = route.key.to.address;
    return route.type == RouteType::multicast || to.is_multicast() ||
           (route.key.table == kMainTable && to.is_link_local()) || header.rtm_src_len != 0;
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
    // The family is looked at first: the policy's lengths are those of IPv4, the shortest.
    if (nlmsg_valid_hdr(&message, sizeof(ifaddrmsg)) == 0) return {};
    const auto& header = header_of<ifaddrmsg>(message);
    const unsigned char family = header.ifa_family;
    if (!is_ip(family)) return {ParseStatus::ignored};
    if (!split<ifaddrmsg, IFA_MAX>(message, kAddressPolicy, a)) return {};
    nlattr* local = a[IFA_LOCAL] != nullptr ? a[IFA_LOCAL] : a[IFA_ADDRESS];
    if (local == nullptr || header.ifa_prefixlen > longest_prefix(family) || !fits(family, {local, a[IFA_ADDRESS]}))
        return {};

    const unsigned flags = a[IFA_FLAGS] != nullptr ? nla_get_u32(a[IFA_FLAGS]) : header.ifa_flags;
    return {ParseStatus::ok,
            {.ifindex = static_cast<IfIndex>(header.ifa_index),
             .prefix = {address_of(family, local), header.ifa_prefixlen},
             .peer = address_of(family, a[IFA_ADDRESS] != nullptr ? a[IFA_ADDRESS] : local),
             .scope = header.ifa_scope,
             .secondary = (flags & (family == AF_INET6 ? kNotToBeUsed6 : unsigned{IFA_F_SECONDARY})) != 0,
             .protocol = a[IFA_PROTO] != nullptr ? nla_get_u8(a[IFA_PROTO]) : std::uint8_t{0}}};
}

Parsed<RouteInfo> parse_route(const nlmsghdr& message) {
    Attributes<RTA_MAX> a{};
    if (nlmsg_valid_hdr(&message, sizeof(rtmsg)) == 0) return {};
    const auto& header = header_of<rtmsg>(message);
    const unsigned char family = header.rtm_family;
    if (!is_ip(family) || (header.rtm_flags & RTM_F_CLONED) != 0) return {ParseStatus::ignored};
    if (!split<rtmsg, RTA_MAX>(message, kRoutePolicy, a) || header.rtm_dst_len > longest_prefix(family) ||
        !fits(family, {a[RTA_DST], a[RTA_PREFSRC]}))
        return {};

    RouteInfo route;
    route.key.table = a[RTA_TABLE] != nullptr ? nla_get_u32(a[RTA_TABLE]) : header.rtm_table;
    if (route.key.table != kMainTable && route.key.table != kLocalTable) return {ParseStatus::ignored};
    route.key.to = {a[RTA_DST] != nullptr ? address_of(family, a[RTA_DST]) : nothing_of(family), header.rtm_dst_len};
    route.key.tos = header.rtm_tos;
    route.key.metric = a[RTA_PRIORITY] != nullptr ? nla_get_u32(a[RTA_PRIORITY]) : 0;
    if (header.rtm_type < RTN_UNICAST || header.rtm_type > RTN_THROW) return {ParseStatus::ignored};
    route.type = static_cast<RouteType>(header.rtm_type);
    if (family == AF_INET6 && is_of_each_link(route, header)) return {ParseStatus::ignored};
    route.protocol = header.rtm_protocol;
    if (a[RTA_PREFSRC] != nullptr) route.preferred_source = address_of(family, a[RTA_PREFSRC]);
    if (a[RTA_MULTIPATH] != nullptr) {
        if (!parse_multipath(a[RTA_MULTIPATH], family, route.next_hops)) return {};
    } else if (a[RTA_OIF] != nullptr) {
        RouteNextHop hop{.ifindex = static_cast<IfIndex>(nla_get_u32(a[RTA_OIF])), .usable = usable(header.rtm_flags)};
        if (!set_gateway(hop, family, a[RTA_GATEWAY], a[RTA_VIA])) return {};
        route.next_hops.push_back(hop);
        if (header.rtm_protocol == RTPROT_KERNEL && !hop.gateway) route.key.device = hop.ifindex;
    }
    return {ParseStatus::ok, std::move(route)};
}

bool is_foreign_rule(const nlmsghdr& message) {
    // Priority and table of those that the kernel makes itself (IPv6 has no `default`).
    constexpr std::array<std::pair<std::uint32_t, std::uint32_t>, 3> kOfTheKernel{
        {{0, kLocalTable}, {32766, kMainTable}, {32767, RT_TABLE_DEFAULT}}};
    Attributes<FRA_MAX> a{};
    if (message.nlmsg_type != RTM_NEWRULE || nlmsg_valid_hdr(&message, sizeof(fib_rule_hdr)) == 0) return false;
    const auto& header = header_of<fib_rule_hdr>(message);
    if (!is_ip(header.family)) return false;  // those of multicast routing come too
    if (!split<fib_rule_hdr, FRA_MAX>(message, kRulePolicy, a)) return false;
    if (header.action != FR_ACT_TO_TBL || header.src_len != 0 || header.dst_len != 0 || header.tos != 0) return true;
    if (a[FRA_IIFNAME] != nullptr || a[FRA_OIFNAME] != nullptr || a[FRA_FWMARK] != nullptr) return true;
    const std::uint32_t priority = a[FRA_PRIORITY] != nullptr ? nla_get_u32(a[FRA_PRIORITY]) : 0;
    const std::uint32_t table = a[FRA_TABLE] != nullptr ? nla_get_u32(a[FRA_TABLE]) : header.table;
    return std::ranges::find(kOfTheKernel, std::pair{priority, table}) == kOfTheKernel.end();
}

Parsed<NeighbourInfo> parse_neighbour(const nlmsghdr& message) {
    Attributes<NDA_MAX> a{};
    if (nlmsg_valid_hdr(&message, sizeof(ndmsg)) == 0) return {};
    const auto& header = header_of<ndmsg>(message);
    const unsigned char family = header.ndm_family;
    if (!is_ip(family) || (header.ndm_flags & NTF_PROXY) != 0) return {ParseStatus::ignored};
    if (!split<ndmsg, NDA_MAX>(message, kNeighbourPolicy, a) || a[NDA_DST] == nullptr || !fits(family, {a[NDA_DST]}))
        return {};

    const unsigned extended = a[NDA_FLAGS_EXT] != nullptr ? nla_get_u32(a[NDA_FLAGS_EXT]) : 0;
    return {ParseStatus::ok,
            {.ifindex = header.ndm_ifindex,
             .address = address_of(family, a[NDA_DST]),
             .mac = mac_of(a[NDA_LLADDR]),
             .state = state_of(header.ndm_state),
             .managed = (extended & NTF_EXT_MANAGED) != 0}};
}

}  // namespace sluice

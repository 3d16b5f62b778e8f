// Messages of rtnetlink to values, from messages built as the kernel builds them; and cut off at every length, which
// must never read beyond the end (run it under ASan).
#include "control/linux/messages.hh"

#include <cstring>
#include <linux/if_addr.h>
#include <linux/if_link.h>
#include <linux/neighbour.h>
#include <linux/rtnetlink.h>
#include <memory>
#include <net/if.h>

#include <catch2/catch.hpp>
#include <netlink/attr.h>
#include <netlink/msg.h>

using namespace sluice;

namespace {

class Message {
public:
    template <class Header>
    Message(int type, const Header& header) : message_(nlmsg_alloc_simple(type, 0), &nlmsg_free) {
        nlmsg_append(message_.get(), const_cast<Header*>(&header), sizeof header, NLMSG_ALIGNTO);
    }
    template <class T>
    Message& with(int attribute, const T& value) {
        nla_put(message_.get(), attribute, sizeof value, &value);
        return *this;
    }
    Message& with_text(int attribute, const char* text) {
        nla_put_string(message_.get(), attribute, text);
        return *this;
    }
    template <class Fill>
    Message& nested(int attribute, Fill&& fill) {
        nlattr* nest = nla_nest_start(message_.get(), attribute);
        fill(message_.get());
        nla_nest_end(message_.get(), nest);
        return *this;
    }
    const nlmsghdr& operator*() const { return *nlmsg_hdr(message_.get()); }

private:
    std::unique_ptr<nl_msg, void (*)(nl_msg*)> message_;
};

void add_hop(nl_msg* message, int ifindex, Ip4 gateway, unsigned weight, unsigned flags) {
    auto* hop = static_cast<rtnexthop*>(nlmsg_reserve(message, sizeof(rtnexthop), NLMSG_ALIGNTO));
    hop->rtnh_ifindex = ifindex;
    hop->rtnh_hops = static_cast<unsigned char>(weight - 1);
    hop->rtnh_flags = static_cast<unsigned char>(flags);
    hop->rtnh_len = sizeof(rtnexthop) + 8;
    nla_put_u32(message, RTA_GATEWAY, gateway.raw);
}

Message route_message(unsigned char type = RTN_UNICAST) {
    return {RTM_NEWROUTE, rtmsg{.rtm_family = AF_INET,
                                .rtm_dst_len = 24,
                                .rtm_table = RT_TABLE_MAIN,
                                .rtm_protocol = RTPROT_STATIC,
                                .rtm_type = type}};
}

constexpr IpAddress six(unsigned last) {
    return ip6(0x2001, 0xdb8, 0, 0, 0, 0, 0, last);
}

Message route6_message(unsigned char length, unsigned char type = RTN_UNICAST, unsigned char table = RT_TABLE_MAIN) {
    return {RTM_NEWROUTE, rtmsg{.rtm_family = AF_INET6,
                                .rtm_dst_len = length,
                                .rtm_table = table,
                                .rtm_protocol = RTPROT_STATIC,
                                .rtm_type = type}};
}

Message ecmp_message() {
    auto message = route_message();
    message.with(RTA_DST, ip4(198, 51, 100, 0).raw).nested(RTA_MULTIPATH, [](nl_msg* m) {
        add_hop(m, 3, ip4(192, 0, 2, 2), 1, 0);
        add_hop(m, 4, ip4(192, 0, 2, 3), 10, RTNH_F_LINKDOWN);
    });
    return message;
}

}  // namespace

TEST_CASE("a macvlan's link tells what it sits on") {
    auto message = Message{RTM_NEWLINK, ifinfomsg{.ifi_family = AF_UNSPEC, .ifi_index = 7, .ifi_flags = IFF_UP}};
    message.with_text(IFLA_IFNAME, "vrrp.51").with(IFLA_MTU, 1400U).with(IFLA_LINK, 3U);
    message.with(IFLA_ADDRESS, std::array<std::uint8_t, 6>{2, 0, 0, 0, 0, 1});
    message.nested(IFLA_LINKINFO, [](nl_msg* m) { nla_put_string(m, IFLA_INFO_KIND, "macvlan"); });
    const auto parsed = parse_link(*message);
    REQUIRE(parsed.status == ParseStatus::ok);
    CHECK(parsed.value == LinkInfo{.ifindex = 7,
                                   .name = "vrrp.51",
                                   .kind = "macvlan",
                                   .parent_ifindex = 3,
                                   .mac = {{2, 0, 0, 0, 0, 1}},
                                   .mtu_bytes = 1400,
                                   .up = true});
}

TEST_CASE("a parent in another namespace is none of ours") {
    auto message = Message{RTM_NEWLINK, ifinfomsg{.ifi_family = AF_UNSPEC, .ifi_index = 7}};
    message.with_text(IFLA_IFNAME, "v0").with(IFLA_LINK, 3U).with(IFLA_LINK_NETNSID, 0U);
    CHECK(parse_link(*message).value.parent_ifindex == 0);
}

TEST_CASE("a bridge that lets go of a port does not delete the link") {
    auto message = Message{RTM_DELLINK, ifinfomsg{.ifi_family = AF_BRIDGE, .ifi_index = 7}};
    message.with_text(IFLA_IFNAME, "wan0");
    CHECK(parse_link(*message).status == ParseStatus::ignored);
}

TEST_CASE("an address carries the protocol that set it") {
    auto message = Message{RTM_NEWADDR, ifaddrmsg{.ifa_family = AF_INET, .ifa_prefixlen = 24, .ifa_index = 3}};
    message.with(IFA_LOCAL, ip4(192, 0, 2, 1).raw).with(IFA_ADDRESS, ip4(192, 0, 2, 1).raw);
    message.with(IFA_FLAGS, unsigned{IFA_F_SECONDARY | IFA_F_PERMANENT}).with(IFA_PROTO, kOwnProtocol);
    const auto parsed = parse_address(*message);
    REQUIRE(parsed.status == ParseStatus::ok);
    CHECK(parsed.value == AddressInfo{.ifindex = 3,
                                      .prefix = {ip4(192, 0, 2, 1), 24},
                                      .peer = ip4(192, 0, 2, 1),
                                      .secondary = true,
                                      .protocol = kOwnProtocol});
}

TEST_CASE("on a point-to-point link the box's address is the local one") {
    auto message = Message{RTM_NEWADDR, ifaddrmsg{.ifa_family = AF_INET, .ifa_prefixlen = 32, .ifa_index = 3}};
    message.with(IFA_LOCAL, ip4(192, 0, 2, 1).raw).with(IFA_ADDRESS, ip4(192, 0, 2, 2).raw);
    CHECK(parse_address(*message).value.prefix.address == ip4(192, 0, 2, 1));
    CHECK(parse_address(*message).value.peer == ip4(192, 0, 2, 2));
}

TEST_CASE("an IPv6 address; one that is not to be used counts as secondary, a temporary one does not") {
    const auto parsed_with = [](unsigned flags) {
        auto message = Message{RTM_NEWADDR, ifaddrmsg{.ifa_family = AF_INET6, .ifa_prefixlen = 64, .ifa_index = 3}};
        message.with(IFA_ADDRESS, six(1)).with(IFA_FLAGS, flags).with(IFA_PROTO, kOwnProtocol);
        const auto parsed = parse_address(*message);
        REQUIRE(parsed.status == ParseStatus::ok);
        return parsed.value;
    };
    CHECK(parsed_with(IFA_F_PERMANENT) ==
          AddressInfo{
              .ifindex = 3, .prefix = {six(1), 64}, .peer = six(1), .secondary = false, .protocol = kOwnProtocol});
    CHECK(parsed_with(IFA_F_TENTATIVE).secondary);
    CHECK(parsed_with(IFA_F_PERMANENT | IFA_F_DEPRECATED).secondary);
    CHECK(parsed_with(IFA_F_DADFAILED).secondary);
    CHECK_FALSE(parsed_with(IFA_F_TEMPORARY).secondary);
}

TEST_CASE("an IPv6 neighbour") {
    auto message = Message{RTM_NEWNEIGH, ndmsg{.ndm_family = AF_INET6, .ndm_ifindex = 3, .ndm_state = NUD_STALE}};
    message.with(NDA_DST, six(2)).with(NDA_LLADDR, std::array<std::uint8_t, 6>{2, 0, 0, 0, 0, 2});
    const auto parsed = parse_neighbour(*message);
    REQUIRE(parsed.status == ParseStatus::ok);
    CHECK(parsed.value == NeighbourInfo{3, six(2), {{2, 0, 0, 0, 0, 2}}, NeighbourState::stale, false});
}

TEST_CASE("addresses shorter than their family's are malformed, other families are ignored") {
    auto address = Message{RTM_NEWADDR, ifaddrmsg{.ifa_family = AF_INET6, .ifa_prefixlen = 64, .ifa_index = 3}};
    address.with(IFA_ADDRESS, ip4(192, 0, 2, 1).raw);
    CHECK(parse_address(*address).status == ParseStatus::malformed);
    auto neighbour = Message{RTM_NEWNEIGH, ndmsg{.ndm_family = AF_INET6, .ndm_ifindex = 3}};
    neighbour.with(NDA_DST, ip4(192, 0, 2, 1).raw);
    CHECK(parse_neighbour(*neighbour).status == ParseStatus::malformed);
    for (const int attribute : {RTA_DST, RTA_PREFSRC, RTA_GATEWAY}) {
        auto route = route6_message(48);
        route.with(RTA_OIF, 3U).with(attribute, ip4(192, 0, 2, 1).raw);
        CHECK(parse_route(*route).status == ParseStatus::malformed);
    }
    CHECK(parse_route(*route6_message(129)).status == ParseStatus::malformed);
    CHECK(parse_address(*Message{RTM_NEWADDR, ifaddrmsg{.ifa_family = AF_BRIDGE}}).status == ParseStatus::ignored);
    CHECK(parse_neighbour(*Message{RTM_NEWNEIGH, ndmsg{.ndm_family = AF_BRIDGE}}).status == ParseStatus::ignored);
}

TEST_CASE("IPv6 routes: one with a gateway, the default, and one that is local") {
    auto message = route6_message(48);
    message.with(RTA_DST, six(0)).with(RTA_GATEWAY, ip6(0xfe80, 0, 0, 0, 0, 0, 0, 1)).with(RTA_OIF, 3U);
    message.with(RTA_PRIORITY, 1024U).with(RTA_PREFSRC, six(1));
    const auto parsed = parse_route(*message);
    REQUIRE(parsed.status == ParseStatus::ok);
    CHECK(parsed.value == RouteInfo{.key = {kMainTable, {six(0), 48}, 0, kDefaultMetric6},
                                    .protocol = RTPROT_STATIC,
                                    .preferred_source = six(1),
                                    .next_hops = {{.ifindex = 3, .gateway = ip6(0xfe80, 0, 0, 0, 0, 0, 0, 1)}}});
    auto all = route6_message(0);
    all.with(RTA_OIF, 3U);
    CHECK(parse_route(*all).value.key.to == IpPrefix{IpAddress{}, 0});
    auto local = route6_message(128, RTN_LOCAL, RT_TABLE_LOCAL);
    local.with(RTA_DST, ip6(0xfe80, 0, 0, 0, 0, 0, 0, 9)).with(RTA_OIF, 3U);
    CHECK(parse_route(*local).status == ParseStatus::ok);
}

TEST_CASE("what each link has by itself, and what asks for the source, is no IPv6 route of ours") {
    auto link = route6_message(64);
    link.with(RTA_DST, ip6(0xfe80, 0, 0, 0, 0, 0, 0, 0)).with(RTA_OIF, 3U);
    CHECK(parse_route(*link).status == ParseStatus::ignored);
    auto multicast = route6_message(8, RTN_MULTICAST, RT_TABLE_LOCAL);
    multicast.with(RTA_DST, ip6(0xff00, 0, 0, 0, 0, 0, 0, 0)).with(RTA_OIF, 3U);
    CHECK(parse_route(*multicast).status == ParseStatus::ignored);
    auto source = Message{RTM_NEWROUTE, rtmsg{.rtm_family = AF_INET6,
                                              .rtm_dst_len = 48,
                                              .rtm_src_len = 64,
                                              .rtm_table = RT_TABLE_MAIN,
                                              .rtm_type = RTN_UNICAST}};
    source.with(RTA_DST, six(0)).with(RTA_SRC, six(0)).with(RTA_OIF, 3U);
    CHECK(parse_route(*source).status == ParseStatus::ignored);
}

TEST_CASE("a route with one gateway") {
    auto message = route_message();
    message.with(RTA_DST, ip4(198, 51, 100, 0).raw).with(RTA_GATEWAY, ip4(192, 0, 2, 2).raw).with(RTA_OIF, 3U);
    message.with(RTA_PRIORITY, 100U).with(RTA_PREFSRC, ip4(192, 0, 2, 1).raw);
    const auto parsed = parse_route(*message);
    REQUIRE(parsed.status == ParseStatus::ok);
    CHECK(parsed.value == RouteInfo{.key = {kMainTable, {ip4(198, 51, 100, 0), 24}, 0, 100},
                                    .protocol = RTPROT_STATIC,
                                    .preferred_source = ip4(192, 0, 2, 1),
                                    .next_hops = {{.ifindex = 3, .gateway = ip4(192, 0, 2, 2)}}});
}

TEST_CASE("an ECMP route has weights, and a next hop without carrier is not usable") {
    const auto parsed = parse_route(*ecmp_message());
    REQUIRE(parsed.status == ParseStatus::ok);
    CHECK(parsed.value.next_hops ==
          std::vector<RouteNextHop>{{3, ip4(192, 0, 2, 2), 1, true}, {4, ip4(192, 0, 2, 3), 10, false}});
}

TEST_CASE("a blackhole has a type and no next hop") {
    auto message = route_message(RTN_BLACKHOLE);
    message.with(RTA_DST, ip4(198, 51, 100, 0).raw);
    const auto parsed = parse_route(*message);
    REQUIRE(parsed.status == ParseStatus::ok);
    CHECK(parsed.value.type == RouteType::blackhole);
    CHECK(parsed.value.next_hops.empty());
}

TEST_CASE("an IPv6 gateway of an IPv4 route is not usable") {
    auto message = route_message();
    message.with(RTA_OIF, 3U).with(RTA_VIA, std::array<std::uint8_t, 18>{10});
    const auto parsed = parse_route(*message);
    REQUIRE(parsed.status == ParseStatus::ok);
    REQUIRE(parsed.value.next_hops.size() == 1);
    CHECK_FALSE(parsed.value.next_hops[0].usable);
}

TEST_CASE("routes of other tables and cached routes are ignored") {
    auto other = route_message();
    other.with(RTA_TABLE, 1000U);
    CHECK(parse_route(*other).status == ParseStatus::ignored);
    auto cached = Message{
        RTM_NEWROUTE,
        rtmsg{.rtm_family = AF_INET, .rtm_table = RT_TABLE_MAIN, .rtm_type = RTN_UNICAST, .rtm_flags = RTM_F_CLONED}};
    CHECK(parse_route(*cached).status == ParseStatus::ignored);
}

TEST_CASE("a managed neighbour") {
    auto message = Message{RTM_NEWNEIGH, ndmsg{.ndm_family = AF_INET, .ndm_ifindex = 3, .ndm_state = NUD_REACHABLE}};
    message.with(NDA_DST, ip4(192, 0, 2, 2).raw).with(NDA_FLAGS_EXT, std::uint32_t{NTF_EXT_MANAGED});
    message.with(NDA_LLADDR, std::array<std::uint8_t, 6>{2, 0, 0, 0, 0, 2});
    const auto parsed = parse_neighbour(*message);
    REQUIRE(parsed.status == ParseStatus::ok);
    CHECK(parsed.value == NeighbourInfo{3, ip4(192, 0, 2, 2), {{2, 0, 0, 0, 0, 2}}, NeighbourState::reachable, true});
    CHECK(parsed.value.is_valid());
}

TEST_CASE("a route message cut off at any byte is malformed or parsed, never read beyond its end") {
    const auto message = ecmp_message();
    const std::size_t length = (*message).nlmsg_len;
    std::size_t malformed = 0;
    for (std::size_t cut = sizeof(nlmsghdr); cut < length; ++cut) {
        // A block of exactly that size, so that ASan sees the first byte too many.
        std::unique_ptr<std::byte[]> copy{new std::byte[cut]};
        std::memcpy(copy.get(), &*message, cut);
        auto* header = reinterpret_cast<nlmsghdr*>(copy.get());
        header->nlmsg_len = static_cast<std::uint32_t>(cut);
        const auto parsed = parse_route(*header);
        malformed += parsed.status == ParseStatus::malformed;
        if (parsed.status == ParseStatus::ok) CHECK(parsed.value.next_hops.empty());
    }
    CHECK(malformed >= sizeof(rtmsg));
}

TEST_CASE("a next hop that claims a wrong length is malformed") {
    for (const unsigned short length : std::initializer_list<unsigned short>{0, 4, 200}) {
        auto message = route_message();
        message.with(RTA_MULTIPATH, rtnexthop{.rtnh_len = length, .rtnh_ifindex = 3});
        CHECK(parse_route(*message).status == ParseStatus::malformed);
    }
}

// IPv6 with a real kernel: what a twin is to its link, what netlink says, what is asked of it, and the guard.
#include <arpa/inet.h>
#include <netinet/icmp6.h>
#include <netinet/ip6.h>

#include "control/linux/guard.hh"
#include "tests/unit/control/linux/netns_support.hh"

using namespace sluice;
using namespace sluice::test;
using Catch::Matchers::Contains;

namespace {

constexpr IpAddress six(unsigned last, unsigned net = 0) {
    return ip6(0x2001, 0xdb8, net, 0, 0, 0, 0, last);
}
constexpr IpAddress link_local(unsigned last) {
    return ip6(0xfe80, 0, 0, 0, 0, 0, 0, last);
}

/// An IPv6 packet without extension headers; `sum_at` is where in the payload the checksum goes.
Frame packet6(const MacAddress& to, const MacAddress& from, const IpAddress& source, const IpAddress& destination,
              unsigned next_header, const Frame& payload, std::size_t sum_at) {
    FrameWriter w;
    const auto length = static_cast<unsigned>(payload.size());
    w.mac(to).mac(from).u16(0x86dd).u16(0x6000).u16(0).u16(length).u8(next_header).u8(255);
    for (const IpAddress& address : {source, destination})
        for (unsigned i = 0; i < 4; ++i) w.u16(address.word(i) >> 16).u16(address.word(i) & 0xffff);
    w.frame_.insert(w.frame_.end(), payload.begin(), payload.end());
    const unsigned sum = ~sum_of(std::span(w.frame_).subspan(22), length + next_header) & 0xffff;
    w.frame_[54 + sum_at] = static_cast<std::byte>(sum >> 8);
    w.frame_[55 + sum_at] = static_cast<std::byte>(sum & 255);
    return w.frame_;
}

/// A neighbour solicitation (135) or advertisement (136) of `target`, with the sender's link address.
Frame discovery(unsigned type, unsigned flags, const MacAddress& to, const MacAddress& from, const IpAddress& source,
                const IpAddress& destination, const IpAddress& target) {
    FrameWriter w;
    w.u8(type).u8(0).u16(0).u16(flags).u16(0);
    for (unsigned i = 0; i < 4; ++i) w.u16(target.word(i) >> 16).u16(target.word(i) & 0xffff);
    w.u8(type == 135 ? 1 : 2).u8(1).mac(from);
    return packet6(to, from, source, destination, IPPROTO_ICMPV6, w.frame_, 2);
}

Frame udp6(const MacAddress& to, const MacAddress& from, const IpAddress& source, const IpAddress& destination) {
    FrameWriter w;
    w.u16(4000).u16(9).u16(8 + 18).u16(0).fill(18);
    return packet6(to, from, source, destination, IPPROTO_UDP, w.frame_, 6);
}

bool is_icmp6(const Frame& frame, unsigned type) {
    return frame.size() >= 78 && u16_at(frame, 12) == 0x86dd && frame[20] == std::byte{58} &&
           std::to_integer<unsigned>(frame[54]) == type;
}
IpAddress address_at(const Frame& frame, std::size_t at) {
    return IpAddress::from_bytes(frame.data() + at);
}
bool is_udp6_to(const Frame& frame, const IpAddress& destination) {
    return frame.size() >= 62 && u16_at(frame, 12) == 0x86dd && frame[20] == std::byte{17} &&
           address_at(frame, 38) == destination;
}

struct Box6 : Box {
    std::unique_ptr<Twin> twin6(const std::string& name, unsigned char number, std::vector<IpPrefix> addresses = {}) {
        return value_of(
            Twin::create(io, *requests, {.name = name, .mac = mac(number), .ipv6 = true, .addresses = addresses}));
    }
};

}  // namespace

TEST_CASE("a twin with IPv6 answers at once, as a router; its addresses stay when it is down") {
    Box6 box;
    const auto twin = box.twin6("lan0", 1, {{six(1), 64}, {ip4(192, 0, 2, 1), 24}});
    const auto shown = [] { return output_of("ip -6 -o addr show dev lan0"); };
    CHECK_THAT(shown(), Contains("2001:db8::1/64") && Contains("fe80::ff:fe00:1/64") && !Contains("tentative"));
    CHECK(output_of("cat /proc/sys/net/ipv6/conf/all/forwarding") == "0\n");

    Outbox out(*twin);
    REQUIRE(twin->write(discovery(135, 0, Box::mac(1), Box::mac(9), six(9), six(1), six(1))));
    const auto is_answer = [](const Frame& f) { return is_icmp6(f, 136); };
    box.until("the advertisement", [&] { return out.find(is_answer) != nullptr; });
    const Frame answer = *out.find(is_answer);
    CHECK(address_at(answer, 62) == six(1));
    CHECK((std::to_integer<unsigned>(answer[58]) & 0x80) != 0);                   // from a router (RFC 4861, 4.4)
    CHECK(out.find([](const Frame& f) { return is_icmp6(f, 133); }) == nullptr);  // a router solicits none

    sh("ip link set lan0 down && ip link set lan0 up");
    CHECK_THAT(shown(), Contains("2001:db8::1/64"));
}

TEST_CASE("a twin without IPv6 has none, and the kernel sends nothing of its own") {
    Box box;
    const auto twin = box.twin("lan0", 1, {{ip4(192, 0, 2, 1), 24}});
    Outbox out(*twin);
    CHECK(output_of("ip -6 addr show dev lan0").empty());
    CHECK_FALSE(box.comes_true([&] { return !out.frames.empty(); }, std::chrono::milliseconds(100)));
    const auto failures = twin->set_addresses(std::array<IpPrefix, 1>{{{six(1), 64}}});
    REQUIRE(failures.size() == 1);
    CHECK_THAT(failures[0].text, Contains("lan0") && Contains("2001:db8::1/64"));
}

TEST_CASE("the settings of IPv6 come back after an MTU that is too small for it") {
    Box6 box;
    const auto without = box.twin("lan0", 1);
    const auto with = box.twin6("wan0", 2);
    const auto setting = [](const std::string& name) { return output_of("cat /proc/sys/net/ipv6/conf/" + name); };
    for (const char* name : {"lan0", "wan0"}) {
        sh(std::string("ip link set ") + name + " mtu 1200");
        sh(std::string("ip link set ") + name + " mtu 1500");
    }
    CHECK(setting("lan0/disable_ipv6") == "0\n");  // what the kernel does by itself
    REQUIRE_FALSE(without->renew_ipv6());
    REQUIRE_FALSE(with->renew_ipv6());
    CHECK(setting("lan0/disable_ipv6") == "1\n");
    CHECK(output_of("ip -6 addr show dev lan0").empty());
    CHECK(setting("wan0/disable_ipv6") == "0\n");
    CHECK(setting("wan0/forwarding") == "1\n");
    CHECK(setting("wan0/accept_dad") == "0\n");
    CHECK(setting("wan0/keep_addr_on_down") == "1\n");
}

TEST_CASE("a twin that was left with an MTU too small for IPv6 is found again") {
    Box6 box;
    box.twin6("lan0", 1).reset();
    box.twin("wan0", 2).reset();
    sh("ip link set lan0 mtu 1200; ip link set wan0 mtu 1200");
    const auto with = box.twin6("lan0", 1, {{six(1), 64}});
    const auto without = box.twin("wan0", 2);
    CHECK_THAT(output_of("ip -6 -o addr show dev lan0"), Contains("2001:db8::1/64"));
    CHECK(output_of("ip -6 addr show dev wan0").empty());
}

TEST_CASE("IPv6 addresses of an earlier configuration go, those of the operator stay") {
    Box6 box;
    box.twin6("lan0", 1, {{six(1), 64}, {six(1, 1), 64}}).reset();
    sh("ip addr add 2001:db8::77/64 dev lan0 nodad");
    const auto twin = box.twin6("lan0", 1, {{six(1, 1), 64}, {six(1, 2), 127}});
    const std::string shown = output_of("ip -6 -o addr show dev lan0");
    CHECK_THAT(shown, !Contains("2001:db8::1/64") && Contains("2001:db8::77/64") && Contains("2001:db8:1::1/64") &&
                          Contains("2001:db8:2::1/127") && Contains("fe80::"));
}

TEST_CASE("netlink tells of IPv6 addresses, routes and neighbours, and of none that each link has") {
    Box6 box;
    const auto wan = box.twin6("wan0", 1, {{six(1), 64}});
    const auto lan = box.twin6("lan0", 2);
    const auto netlink = box.watch();
    const IfIndex i = wan->ifindex();
    const auto& own = box.seen.addresses.at({i, six(1)});
    CHECK(own.prefix == IpPrefix{six(1), 64});
    CHECK_FALSE(own.secondary);
    CHECK(own.protocol == kOwnProtocol);
    CHECK(box.seen.addresses.at({i, ip6(0xfe80, 0, 0, 0, 0, 0xff, 0xfe00, 1)}).scope == 253);

    const RouteKey connected{kMainTable, {six(0), 64}, 0, 256, i};
    REQUIRE(box.seen.routes.contains(connected));
    CHECK(box.seen.routes.at(connected).next_hops == std::vector<RouteNextHop>{{i, std::nullopt, 1, true}});
    // Those of the box itself come a moment later, when the kernel has the address in force.
    const auto is = [&](const IpAddress& address, RouteType type) {
        const RouteInfo* found = box.seen.route_of({kLocalTable, {address, 128}, 0, 0});
        return found != nullptr && found->type == type;
    };
    box.until("a local route", [&] { return is(six(1), RouteType::local); });
    box.until("an anycast route", [&] { return is(six(0), RouteType::anycast); });
    for (const auto& [key, route] : box.seen.routes) {
        INFO(to_string(key.to));
        CHECK_FALSE(key.to.address.is_multicast());
        CHECK((key.table == kLocalTable || !key.to.address.is_link_local()));
    }

    sh("ip addr change 2001:db8::1/64 dev wan0 preferred_lft 0");
    box.until("deprecated", [&] { return box.seen.addresses.at({i, six(1)}).secondary; });

    sh("ip route add 2001:db8:9::/48 via fe80::9 dev wan0");
    box.until("a route by a gateway of the link", [&] { return box.seen.route(six(0, 9), 48) != nullptr; });
    CHECK(box.seen.route(six(0, 9), 48)->next_hops == std::vector<RouteNextHop>{{i, link_local(9), 1, true}});
    REQUIRE_FALSE(wan->set_carrier(false));
    box.until("not usable", [&] { return !box.seen.route(six(0, 9), 48)->next_hops[0].usable; });
    REQUIRE_FALSE(wan->set_carrier(true));
    box.until("usable", [&] { return box.seen.route(six(0, 9), 48)->next_hops[0].usable; });
    sh("ip link set wan0 down");
    box.until("no route", [&] { return box.seen.route(six(0, 9), 48) == nullptr; });
}

TEST_CASE("the next hops of an IPv6 route come and go one by one") {
    Box6 box;
    const auto wan = box.twin6("wan0", 1, {{six(1), 64}});
    const auto netlink = box.watch();
    const auto gateways = [&] {
        std::vector<unsigned> last;
        if (const RouteInfo* route = box.seen.route(six(0, 9), 48))
            for (const RouteNextHop& hop : route->next_hops) last.push_back(hop.gateway->word(3));
        std::ranges::sort(last);
        return last;
    };
    const auto are = [&](std::vector<unsigned> wanted) {
        box.until("the gateways", [&] { return gateways() == wanted; });
    };
    sh("ip route add 2001:db8:9::/48 via 2001:db8::a dev wan0");
    are({0xa});
    sh("ip route append 2001:db8:9::/48 via 2001:db8::b dev wan0");
    are({0xa, 0xb});
    sh("ip route append 2001:db8:9::/48 via 2001:db8::c dev wan0");
    are({0xa, 0xb, 0xc});
    sh("ip route del 2001:db8:9::/48 via 2001:db8::b dev wan0");
    are({0xa, 0xc});
    sh("ip route replace 2001:db8:9::/48 nexthop via 2001:db8::d weight 3 nexthop via 2001:db8::e");
    are({0xd, 0xe});
    CHECK(box.seen.route(six(0, 9), 48)->next_hops[0].weight + box.seen.route(six(0, 9), 48)->next_hops[1].weight == 4);
    sh("ip route del 2001:db8:9::/48");
    are({});
}

TEST_CASE("an IPv6 neighbour is asked for, answers, and is kept") {
    Box6 box;
    const auto wan = box.twin6("wan0", 1, {{six(1), 64}});
    Outbox out(*wan);
    const auto netlink = box.watch();
    const IfIndex i = wan->ifindex();
    const auto solicits = [](const IpAddress& target) {
        return [target](const Frame& f) { return is_icmp6(f, 135) && address_at(f, 62) == target; };
    };
    for (const IpAddress& wanted : {six(9), link_local(9)}) {
        out.frames.clear();
        REQUIRE_FALSE(box.requests->resolve_neighbour(i, wanted));
        box.until("the question", [&] { return out.find(solicits(wanted)) != nullptr; });
        const IpAddress asker = address_at(*out.find(solicits(wanted)), 22);
        // Solicited, override.
        REQUIRE(wan->write(discovery(136, 0x6000, Box::mac(1), Box::mac(9), wanted, asker, wanted)));
        box.until("the neighbour", [&] {
            const auto at = box.seen.neighbours.find({i, wanted});
            return at != box.seen.neighbours.end() && at->second.state == NeighbourState::reachable;
        });
        CHECK(box.seen.neighbours.at({i, wanted}).mac == Box::mac(9));
    }
    REQUIRE_FALSE(box.requests->keep_neighbour(i, link_local(9)));
    box.until("managed", [&] { return box.seen.neighbours.at({i, link_local(9)}).managed; });
    REQUIRE_FALSE(box.requests->release_neighbour(i, link_local(9)));
    box.until("not managed", [&] { return !box.seen.neighbours.at({i, link_local(9)}).managed; });
}

TEST_CASE("IPv6 routes of the configuration: set, changed, withdrawn by the next process, and no others") {
    Box6 box;
    const auto wan = box.twin6("wan0", 1, {{six(1), 64}});
    const IfIndex i = wan->ifindex();
    sh("ip route add 2001:db8:5::/48 via 2001:db8::5");
    const auto main_table = [] { return output_of("ip -6 route show table main"); };
    const RouteSpec through{.to = {six(0, 9), 48}, .next_hops = {{.gateway = six(0xa)}}};
    const RouteSpec both{.to = {IpAddress{}, 0},
                         .next_hops = {{.gateway = six(0xa), .weight = 2}, {.ifindex = i, .gateway = link_local(1)}}};
    const RouteSpec none{.to = {six(0, 6), 48}, .type = RouteType::blackhole};
    const RouteSpec link{.to = {six(0, 7), 48}, .metric = 7, .next_hops = {{.ifindex = i}}};
    const std::array all{through, both, none, link};
    {
        const auto netlink = box.watch();
        for (int round = 0; round < 2; ++round) {
            const auto failures = box.requests->set_routes(all);
            for (const Failure& failure : failures) FAIL_CHECK(failure.text);
        }
        CHECK_THAT(main_table(), Contains("2001:db8:9::/48 via 2001:db8::a dev wan0 proto 200 metric 1024"));
        CHECK_THAT(main_table(), Contains("nexthop via 2001:db8::a dev wan0 weight 2") &&
                                     Contains("nexthop via fe80::1 dev wan0 weight 1"));
        CHECK_THAT(main_table(), Contains("blackhole 2001:db8:6::/48 dev lo proto 200"));
        CHECK_THAT(main_table(), Contains("2001:db8:7::/48 dev wan0 proto 200 metric 7"));
        // What the kernel says of them is what was set: the next time there is nothing to do.
        box.until("they are known", [&] { return box.seen.route(six(0, 9), 48) != nullptr; });
        CHECK(box.requests->set_routes(all).empty());
    }
    box.requests = value_of(RtnlRequests::open());  // a new process
    box.seen = {};
    const auto netlink = box.watch();
    const RouteSpec changed{.to = through.to, .next_hops = {{.gateway = six(0xc)}}};
    const RouteSpec foreign{.to = {six(0, 5), 48}, .next_hops = {{.gateway = six(0xc)}}};
    const auto failures = box.requests->set_routes(std::array{changed, foreign});
    REQUIRE(failures.size() == 1);
    CHECK_THAT(failures[0].text, Contains("2001:db8:5::/48") && Contains("somebody else"));
    CHECK_THAT(main_table(), Contains("2001:db8:9::/48 via 2001:db8::c") &&
                                 !Contains("2001:db8:9::/48 via 2001:db8::a") &&
                                 Contains("2001:db8:5::/48 via 2001:db8::5") && !Contains("default") &&
                                 !Contains("blackhole") && !Contains("2001:db8:7::/48"));
}

TEST_CASE("a kernel that forwards IPv6 does not with the guard") {
    Box6 box;
    const auto lan = box.twin6("lan0", 1, {{six(1, 1), 64}});
    const auto wan = box.twin6("wan0", 2, {{six(1, 2), 64}});
    Outbox out(*wan);
    sh("sysctl -qw net.ipv6.conf.all.forwarding=1");
    sh("ip neigh add 2001:db8:2::9 lladdr 02:00:00:00:00:99 dev wan0");
    const auto forwards = [&] {
        out.frames.clear();
        REQUIRE(lan->write(udp6(Box::mac(1), Box::mac(8), six(8, 1), six(9, 2))));
        // What the kernel does with a frame is done before the answer to a later one comes.
        REQUIRE(wan->write(discovery(135, 0, Box::mac(2), Box::mac(7), six(7, 2), six(1, 2), six(1, 2))));
        box.until("the answer that comes after",
                  [&] { return out.find([](const Frame& f) { return is_icmp6(f, 136); }) != nullptr; });
        return out.find([](const Frame& f) { return is_udp6_to(f, six(9, 2)); }) != nullptr;
    };
    CHECK(forwards());
    const auto guard = value_of(Guard::open("lan0"));
    REQUIRE_FALSE(guard->set_interfaces(std::vector<std::string>{"lan0", "wan0"}));
    CHECK_FALSE(forwards());
    REQUIRE_FALSE(guard->set_interfaces({}));
    CHECK(forwards());
}

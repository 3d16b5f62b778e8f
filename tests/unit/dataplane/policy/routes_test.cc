#include "dataplane/policy/routes.hh"

#include <array>
#include <atomic>
#include <memory>
#include <string>

#include <catch2/catch.hpp>

#include "tests/support/eal.hh"

using namespace sluice;
using namespace sluice::test;

namespace {

constexpr Ip4 kNet = ip4(192, 0, 2, 0);
constexpr Ip4 kHost = ip4(192, 0, 2, 7);
constexpr Ip4 kGateway = ip4(198, 51, 100, 254);

NextHop neighbour(PortIndex port, Ip4 address) {
    NextHop hop;
    hop.kind = HopKind::neighbour;
    hop.out_port = port;
    hop.address = address;
    return hop;
}
NextHop of_kind(HopKind kind, PortIndex port = 0) {
    NextHop hop;
    hop.kind = kind;
    hop.out_port = port;
    return hop;
}

struct Room : EalFixture {
    GracePeriods grace{1};
    RouteTable routes{"routes-test", grace, 256, 8, SOCKET_ID_ANY};
};

}  // namespace

TEST_CASE_METHOD(Room, "the longest prefix wins, the default route last") {
    CHECK(routes.lookup(kHost, 0).hop == nullptr);
    const auto via = routes.add_hop(neighbour(1, kGateway));
    const auto subnet = routes.add_hop(of_kind(HopKind::connected));
    const auto known = routes.add_hop(neighbour(0, kHost));
    const auto half = routes.add_hop(of_kind(HopKind::blackhole));
    REQUIRE(routes.add_route(Ip4{}, 0, via));
    REQUIRE(routes.add_route(kNet, 24, subnet));
    REQUIRE(routes.add_route(kHost, 32, known));

    CHECK(routes.lookup(kHost, 0).id == known);
    CHECK(routes.lookup(kHost, 0).hop->address == kHost);
    CHECK(routes.lookup(ip4(192, 0, 2, 8), 0).id == subnet);
    CHECK(routes.lookup(ip4(203, 0, 113, 1), 0).id == via);

    INFO("0.0.0.0/1 is not the default route");
    REQUIRE(routes.add_route(Ip4{}, 1, half));
    CHECK(routes.lookup(ip4(10, 0, 0, 1), 0).id == half);
    CHECK(routes.lookup(ip4(203, 0, 113, 1), 0).id == via);
    routes.remove_route(Ip4{}, 1);
    CHECK(routes.lookup(ip4(10, 0, 0, 1), 0).id == via);

    routes.remove_route(kHost, 32);
    CHECK(routes.lookup(kHost, 0).id == subnet);
    routes.remove_route(kNet, 24);
    CHECK(routes.lookup(kHost, 0).id == via);
    routes.remove_route(Ip4{}, 0);
    CHECK(routes.lookup(kHost, 0).hop == nullptr);
}

TEST_CASE_METHOD(Room, "a zone's own routes go first, and are nobody else's") {
    routes.add_zone(7);
    const auto all = routes.add_hop(of_kind(HopKind::connected, 1));
    const auto own = routes.add_hop(of_kind(HopKind::connected, 2));
    const auto beyond = routes.add_hop(neighbour(1, kGateway));
    REQUIRE(routes.add_route(kNet, 24, all));
    REQUIRE(routes.add_route(Ip4{}, 0, beyond));
    CHECK(routes.lookup(kHost, 0, 7).id == all);
    const std::uint32_t before = routes.epoch();
    REQUIRE(routes.add_route(ip4(192, 0, 0, 0), 16, own, 7));
    CHECK(routes.epoch() != before);
    CHECK(routes.lookup(kHost, 0, 7).id == own);
    CHECK(routes.lookup(kHost, 0).id == all);
    CHECK(routes.lookup(kHost, 0, 8).id == all);
    CHECK(routes.lookup(ip4(203, 0, 113, 1), 0, 7).id == beyond);
    CHECK_FALSE(routes.add_route(kNet, 24, own, 8));
    grace.reclaim();
    routes.remove_route(ip4(192, 0, 0, 0), 16, 7);
    routes.remove_route(ip4(192, 0, 0, 0), 16, 8);
    grace.reclaim();
    CHECK(routes.lookup(kHost, 0, 7).id == all);
    REQUIRE(routes.add_route(Ip4{}, 0, own, 7));  // its default route, before more of all
    grace.reclaim();
    CHECK(routes.lookup(kHost, 0, 7).id == own);
    CHECK_FALSE(routes.add_route(IpAddress{}, 0, own, 7));  // no IPv6 here
}

TEST_CASE_METHOD(Room, "who waits until a change is seen waits for zones too") {
    routes.add_zone(7);
    const auto own = routes.add_hop(of_kind(HopKind::connected, 2));
    bool seen = false;
    routes.when_seen([&] { seen = true; });
    CHECK(seen);
    REQUIRE(routes.add_route(kNet, 24, own, 7));
    REQUIRE(routes.add_route(kHost, 32, own, 7));  // behind a change that workers may still be reading
    seen = false;
    routes.when_seen([&] { seen = true; });
    CHECK_FALSE(seen);
    grace.reclaim();
    CHECK(seen);
    CHECK(routes.lookup(kHost, 0, 7).id == own);
}

TEST_CASE_METHOD(Room, "a route can be pointed elsewhere; ids that are not in use are refused") {
    const auto a = routes.add_hop(of_kind(HopKind::connected));
    const auto b = routes.add_hop(of_kind(HopKind::unreachable));
    REQUIRE(routes.add_route(kNet, 24, a));
    REQUIRE(routes.add_route(kNet, 24, b));
    CHECK(routes.lookup(kHost, 0).hop->kind == HopKind::unreachable);
    CHECK_FALSE(routes.add_route(kNet, 24, 0));
    CHECK_FALSE(routes.add_route(kNet, 24, 7));
    CHECK_FALSE(routes.add_route(kNet, 24, 1000));
    CHECK_FALSE(routes.add_route(kNet, 33, a));
}

TEST_CASE_METHOD(Room, "every change of a route raises the epoch, a neighbour's does not") {
    const auto hop = routes.add_hop(neighbour(0, kHost));
    auto last = routes.epoch();
    const auto rose = [&] { return std::exchange(last, routes.epoch()) != routes.epoch(); };
    routes.add_route(kNet, 24, hop);
    CHECK(rose());
    routes.add_route(Ip4{}, 0, hop);
    CHECK(rose());
    NextHop answered = neighbour(0, kHost);
    answered.resolved = true;
    routes.replace_hop(hop, answered);
    CHECK_FALSE(rose());
    CHECK(routes.lookup(kHost, 0).hop->resolved);
    routes.remove_route(kNet, 24);
    CHECK(rose());
    routes.remove_route(Ip4{}, 0);
    CHECK(rose());
    routes.remove_hop(hop);
    CHECK(rose());
    routes.publish_addresses(std::make_unique<Addresses>());  // flows with a translated address look at it
    CHECK(rose());
}

TEST_CASE_METHOD(Room, "a removed hop's memory and id wait for the workers") {
    grace.online(0);
    const auto id = routes.add_hop(neighbour(0, kHost));
    const NextHop* held = routes.hop(id);
    routes.remove_hop(id);
    CHECK(routes.hop(id) == nullptr);
    grace.reclaim();
    CHECK(held->address == kHost);  // still there: the sanitizer would object

    for (unsigned i = 0; i < 7; ++i) CHECK(routes.add_hop(of_kind(HopKind::local)) != id);
    CHECK(routes.add_hop(of_kind(HopKind::local)) == kNoNextHop);
    grace.quiescent(0);
    CHECK(grace.reclaim() == 1);
    CHECK(routes.add_hop(of_kind(HopKind::local)) == id);
    grace.offline(0);
}

TEST_CASE_METHOD(Room, "flows spread over the members of a multipath hop, by weight, and stay where they are") {
    const auto a = routes.add_hop(neighbour(0, ip4(192, 0, 2, 1)));
    const auto b = routes.add_hop(neighbour(1, ip4(198, 51, 100, 1)));
    NextHop both;
    both.kind = HopKind::multipath;
    both.members = {a, a, a, b};
    const auto id = routes.add_hop(both);
    REQUIRE(routes.add_route(Ip4{}, 0, id));
    unsigned on_a = 0;
    constexpr unsigned kFlows = 4000;
    for (unsigned i = 0; i < kFlows; ++i) {
        const std::uint32_t hash = i * 2654435761U;
        const RouteView view = routes.lookup(kHost, hash);
        REQUIRE((view.id == a || view.id == b));
        REQUIRE(view.id == routes.lookup(kHost, hash).id);
        on_a += view.id == a;
    }
    CHECK(on_a > kFlows * 70 / 100);
    CHECK(on_a < kFlows * 80 / 100);

    INFO("a member that is gone hands its share on");
    routes.remove_hop(a);
    for (unsigned i = 0; i < 100; ++i) CHECK(routes.lookup(kHost, i * 2654435761U).id == b);
    routes.remove_hop(b);
    CHECK(routes.lookup(kHost, 1).hop == nullptr);
}

TEST_CASE_METHOD(Room, "groups of long prefixes are given back and used again") {
    const auto hop = routes.add_hop(of_kind(HopKind::local));
    for (unsigned round = 0; round < 4; ++round) {
        for (unsigned i = 0; i < 200; ++i) REQUIRE(routes.add_route(ip4(10, 0, i, 1), 32, hop));
        for (unsigned i = 0; i < 200; ++i) routes.remove_route(ip4(10, 0, i, 1), 32);
    }
    CHECK(routes.lookup(ip4(10, 0, 5, 1), 0).hop == nullptr);
}

TEST_CASE_METHOD(Room, "a full table refuses and says so") {
    const auto hop = routes.add_hop(of_kind(HopKind::local));
    unsigned added = 0;
    while (added < 1000 && routes.add_route(ip4(10, added >> 8, added & 0xff, 0), 24, hop)) ++added;
    CHECK(added == 256);
}

TEST_CASE_METHOD(Room, "masquerade takes the address whose subnet holds the gateway, else the first") {
    CHECK(routes.addresses().towards(1, kGateway).is_none());
    auto next = std::make_unique<Addresses>();
    next->by_port[1] = {{ip4(203, 0, 113, 5), 24, false},
                        {ip4(198, 51, 100, 2), 24, true},
                        {ip4(198, 51, 100, 3), 24, false},
                        {ip4(192, 0, 2, 1), 32, false}};
    routes.publish_addresses(std::move(next));
    const Addresses& now = routes.addresses();
    CHECK(now.towards(1, kGateway) == ip4(198, 51, 100, 3));
    CHECK(now.towards(1, ip4(10, 0, 0, 1)) == ip4(203, 0, 113, 5));
    CHECK(now.towards(0, kGateway).is_none());
    CHECK(now.has(1, ip4(192, 0, 2, 1)));
    CHECK_FALSE(now.has(0, ip4(192, 0, 2, 1)));
    CHECK(now.is_own(ip4(198, 51, 100, 2)));
    CHECK_FALSE(now.is_own(kGateway));
    routes.publish_addresses(nullptr);
    CHECK_FALSE(routes.addresses().is_own(ip4(203, 0, 113, 5)));
}

TEST_CASE_METHOD(Room, "two tables need two names") {
    CHECK_THROWS_AS(RouteTable("routes-test", grace, 16, 4, SOCKET_ID_ANY), std::runtime_error);
}

TEST_CASE_METHOD(Room, "more routes than the memory has room for: the message names the setting") {
    using Catch::Matchers::Contains;
    CHECK_THROWS_WITH(RouteTable("routes-many", grace, 1U << 28, 4, SOCKET_ID_ANY),
                      Contains("no memory for 268435456 routes (raise memory.megabytes)"));
}

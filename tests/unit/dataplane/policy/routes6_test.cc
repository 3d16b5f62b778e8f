// Two tries that change places: what workers see, when they see it, and that no change is lost in between.
#include "dataplane/policy/routes6.hh"

#include <map>
#include <random>
#include <utility>
#include <vector>

#include <catch2/catch.hpp>

#include "dataplane/policy/routes.hh"
#include "tests/support/eal.hh"

using namespace sluice;
using namespace sluice::test;

namespace {

constexpr IpAddress kNet = ip6(0x2001, 0xdb8, 1, 0, 0, 0, 0, 0);
constexpr IpAddress kHost = ip6(0x2001, 0xdb8, 1, 0, 0, 0, 0, 7);
constexpr IpAddress kElsewhere = ip6(0x2400, 0, 0, 0, 0, 0, 0, 1);

struct Room : EalFixture {
    GracePeriods grace{1};
    unsigned changes = 0;
    Routes6 routes{"routes6-test", grace, 64, SOCKET_ID_ANY, [this] { ++changes; }};
    /// The worker has been quiescent; control frees what waited for that.
    void pass() {
        grace.quiescent(0);
        grace.reclaim();
    }
};

}  // namespace

TEST_CASE_METHOD(Room, "IPv6 routes: the longest prefix wins, of any length") {
    CHECK(routes.lookup(kHost) == 0);
    CHECK(routes.add(IpAddress{}, 0, 1));
    pass();
    pass();
    CHECK(routes.add(ip6(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0), 32, 2));
    CHECK(routes.add(kNet, 64, 3));
    CHECK(routes.add(kHost, 128, 4));
    CHECK(routes.add(ip6(0x2001, 0xdb8, 1, 0, 0, 0, 0, 6), 127, 5));
    for (int i = 0; i < 4; ++i) pass();
    CHECK(routes.lookup(kElsewhere) == 1);
    CHECK(routes.lookup(ip6(0x2001, 0xdb8, 2, 0, 0, 0, 0, 1)) == 2);
    CHECK(routes.lookup(ip6(0x2001, 0xdb8, 1, 0, 0, 0, 0, 1)) == 3);
    CHECK(routes.lookup(kHost) == 4);
    CHECK(routes.lookup(ip6(0x2001, 0xdb8, 1, 0, 0, 0, 0, 6)) == 5);
    routes.remove(kHost, 128);
    for (int i = 0; i < 4; ++i) pass();
    CHECK(routes.lookup(kHost) == 5);
    routes.remove(kHost, 128);  // gone already
    CHECK_FALSE(routes.add(kNet, 129, 1));
}

TEST_CASE_METHOD(Room, "IPv6 routes: a change is seen at once, the next ones when nobody reads the other copy") {
    grace.online(0);
    CHECK(routes.add(kNet, 64, 1));
    CHECK(routes.lookup(kHost) == 1);
    CHECK(changes == 1);
    unsigned told = 0;
    routes.when_seen([&] { ++told; });
    CHECK(told == 1);

    // The worker may still hold the copy that has no route.
    CHECK(routes.add(kNet, 64, 2));
    CHECK(routes.add(kHost, 128, 3));
    routes.when_seen([&] { ++told; });
    CHECK(routes.lookup(kHost) == 1);
    CHECK(told == 1);
    grace.reclaim();
    CHECK(routes.lookup(kHost) == 1);
    pass();
    CHECK(routes.lookup(kHost) == 3);
    CHECK(routes.lookup(kNet) == 2);
    CHECK(told == 2);
    CHECK(changes == 2);
    pass();
    CHECK(changes == 2);  // nothing waits: nothing changes

    // Both copies have all of it: the next two changes of places show the same.
    CHECK(routes.add(kElsewhere, 128, 4));
    CHECK(routes.lookup(kHost) == 3);
    pass();
    routes.remove(kElsewhere, 128);
    CHECK(routes.lookup(kHost) == 3);
    CHECK(routes.lookup(kElsewhere) == 0);
    pass();
    grace.offline(0);
}

TEST_CASE_METHOD(Room,
                 "IPv6 routes: a prefix that is one too many is refused, and pointing one elsewhere is not one more") {
    const auto prefix = [](unsigned i) { return ip6(0x2001, 0xdb8, i, 0, 0, 0, 0, 0); };
    for (unsigned i = 0; i < 64; ++i) CHECK(routes.add(prefix(i), 48, i + 1));
    CHECK_FALSE(routes.add(prefix(64), 48, 65));
    CHECK(routes.add(prefix(63), 48, 99));
    routes.remove(prefix(0), 48);
    CHECK(routes.add(prefix(64), 48, 65));
    for (int i = 0; i < 4; ++i) pass();
    CHECK(routes.lookup(prefix(0)) == 0);
    CHECK(routes.lookup(prefix(1)) == 2);
    CHECK(routes.lookup(prefix(63)) == 99);
    CHECK(routes.lookup(prefix(64)) == 65);
}

TEST_CASE_METHOD(Room, "IPv6 routes: random changes and grace periods, against a list of prefixes") {
    std::mt19937 engine(6);
    const auto random = [&] { return static_cast<std::uint32_t>(engine()); };
    std::map<std::pair<IpAddress, std::uint8_t>, std::uint32_t> model;
    const auto some_address = [&] { return ip6(0x2001, 0xdb8, random() % 4, random() % 2, 0, 0, 0, random() % 4); };
    const auto expected = [&](const IpAddress& a) {
        std::uint32_t id = 0;
        int best = -1;
        for (const auto& [key, hop] : model)
            if (int{key.second} > best && in_prefix(a, key.first, key.second)) {
                best = key.second;
                id = hop;
            }
        return id;
    };
    grace.online(0);
    for (int round = 0; round < 3000; ++round) {
        constexpr std::uint8_t kLengths[] = {0, 32, 47, 48, 63, 64, 126, 127, 128};
        const std::uint8_t length = kLengths[random() % std::size(kLengths)];
        const IpAddress prefix = prefix_edge(some_address(), length, false);
        if (random() % 3 == 0) {
            routes.remove(prefix, length);
            model.erase({prefix, length});
        } else {
            const std::uint32_t id = 1 + random() % 1000;
            if (routes.add(prefix, length, id)) {
                model[{prefix, length}] = id;
            } else {
                CHECK(model.size() == 64);
            }
        }
        if (random() % 4 != 0) continue;
        bool seen = false;
        routes.when_seen([&] { seen = true; });
        for (int i = 0; !seen && i < 3; ++i) pass();
        REQUIRE(seen);
        for (int i = 0; i < 8; ++i) {
            const IpAddress a = some_address();
            REQUIRE(routes.lookup(a) == expected(a));
        }
    }
    grace.offline(0);
}

TEST_CASE_METHOD(EalFixture, "IPv6 routes: gone in the middle of a change, with grace periods under way") {
    GracePeriods grace(1);
    grace.online(0);
    bool told = false;
    {
        Routes6 routes("routes6-short", grace, 16, SOCKET_ID_ANY, [] {});
        CHECK(routes.add(kNet, 64, 1));
        CHECK(routes.add(kHost, 128, 2));
        routes.when_seen([&] { told = true; });
    }
    grace.quiescent(0);
    grace.reclaim();
    grace.offline(0);
    grace.reclaim();
    CHECK_FALSE(told);
}

TEST_CASE_METHOD(EalFixture, "a table of both families keeps them apart") {
    GracePeriods grace(1);
    RouteTable both("both-families", grace, 64, 16, SOCKET_ID_ANY, true);
    const auto v4 = both.add_hop({.kind = HopKind::connected, .out_port = 1});
    const auto v6 = both.add_hop({.kind = HopKind::connected, .out_port = 2});
    CHECK(both.add_route(Ip4{}, 0, v4));
    CHECK(both.lookup(ip4(192, 0, 2, 1), 0).id == v4);
    CHECK(both.lookup(kHost, 0).hop == nullptr);
    const auto epoch = both.epoch();
    CHECK(both.add_route(IpAddress{}, 0, v6));
    CHECK(both.epoch() != epoch);
    CHECK(both.lookup(kHost, 0).id == v6);
    CHECK(both.lookup(ip4(192, 0, 2, 1), 0).id == v4);
    CHECK_FALSE(both.add_route(ip4(192, 0, 2, 0), 33, v4));

    // A hop is not taken away from under a route that workers still see.
    grace.online(0);
    both.remove_route(IpAddress{}, 0);
    both.remove_hop(v6);
    const RouteView view = both.lookup(kHost, 0);
    CHECK((view.hop == nullptr || view.hop->out_port == 2));
    for (int i = 0; i < 3; ++i) {
        grace.quiescent(0);
        grace.reclaim();
    }
    CHECK(both.lookup(kHost, 0).hop == nullptr);
    CHECK(both.hop(v6) == nullptr);
    grace.offline(0);

    RouteTable v4_only("one-family", grace, 64, 16, SOCKET_ID_ANY);
    CHECK_FALSE(v4_only.add_route(kNet, 64, v4_only.add_hop({.kind = HopKind::connected})));
    CHECK(v4_only.lookup(kHost, 0).hop == nullptr);
}

TEST_CASE("the box's address towards somebody: of the family, of the scope, of the subnet") {
    Addresses own;
    own.by_port[1] = {{ip6(0xfe80, 0, 0, 0, 0, 0, 0, 1), 64, false},
                      {ip6(0x2001, 0xdb8, 1, 0, 0, 0, 0, 1), 64, false},
                      {ip6(0x2001, 0xdb8, 2, 0, 0, 0, 0, 1), 64, false},
                      {ip6(0x2001, 0xdb8, 3, 0, 0, 0, 0, 1), 64, true},
                      {ip4(192, 0, 2, 1), 24, false}};
    CHECK(own.towards(1, ip6(0x2001, 0xdb8, 2, 0, 0, 0, 0, 9)) == ip6(0x2001, 0xdb8, 2, 0, 0, 0, 0, 1));
    CHECK(own.towards(1, kElsewhere) == ip6(0x2001, 0xdb8, 1, 0, 0, 0, 0, 1));
    CHECK(own.towards(1, ip6(0x2001, 0xdb8, 3, 0, 0, 0, 0, 9)) == ip6(0x2001, 0xdb8, 1, 0, 0, 0, 0, 1));
    CHECK(own.towards(1, ip6(0xfe80, 0, 0, 0, 0, 0, 0, 9)) == ip6(0xfe80, 0, 0, 0, 0, 0, 0, 1));
    CHECK(own.towards(1, ip4(198, 51, 100, 1)) == ip4(192, 0, 2, 1));
    CHECK(own.towards(2, kElsewhere).is_none());
    CHECK(own.is_own(ip6(0x2001, 0xdb8, 3, 0, 0, 0, 0, 1)));
    CHECK(own.has(1, ip6(0xfe80, 0, 0, 0, 0, 0, 0, 1)));
    CHECK_FALSE(own.has(2, ip6(0xfe80, 0, 0, 0, 0, 0, 0, 1)));
}

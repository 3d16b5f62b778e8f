// Kernel events in, what workers look up out; with a fake kernel.
#include "control/app/routing_bridge.hh"

#include <algorithm>
#include <memory>
#include <string>

#include <catch2/catch.hpp>

#include "tests/support/eal.hh"

using namespace sluice;

namespace {

constexpr IfIndex kLan = 10, kWan = 11, kManagement = 2;
constexpr MacAddress kMac{{2, 0, 0, 0, 0, 1}};

struct FakeKernel final : KernelRequests {
    std::string calls;
    MaybeFailure note(const char* what, IfIndex i, Ip4 a) {
        calls += std::string(what) + std::to_string(i) + ":" + std::to_string(a.host() & 255) + " ";
        return {};
    }
    MaybeFailure change_link(IfIndex, const LinkChange&) override { return {}; }
    MaybeFailure add_address(IfIndex, const Ip4Prefix&) override { return {}; }
    MaybeFailure del_address(IfIndex, const Ip4Prefix&) override { return {}; }
    OrFailure<std::vector<AddressInfo>> addresses(IfIndex) override { return std::vector<AddressInfo>{}; }
    MaybeFailure add_route(const RouteSpec&) override { return {}; }
    MaybeFailure del_route(const Ip4Prefix&, std::uint32_t) override { return {}; }
    std::vector<Failure> set_routes(std::span<const RouteSpec>) override { return {}; }
    MaybeFailure resolve_neighbour(IfIndex i, Ip4 a) override { return note("resolve", i, a); }
    MaybeFailure keep_neighbour(IfIndex i, Ip4 a) override { return note("keep", i, a); }
    MaybeFailure release_neighbour(IfIndex i, Ip4 a) override { return note("release", i, a); }
};

struct Lab : test::EalFixture {
    GracePeriods grace{1};
    RouteTable table{"bridge-test", grace, 64, 32, 0};
    FakeKernel kernel;
    std::string changed, complaints;
    bool resynced = false;
    RoutingBridge bridge{
        table,
        kernel,
        {[this](Ip4 a, PortIndex p) { changed += std::to_string(p) + ":" + std::to_string(a.host() & 255) + " "; },
         {},
         [this] { resynced = true; },
         [this](const Failure& f) { complaints += f.text; },
         {}}};
    Lab() {
        bridge.bind(kLan, 0);
        bridge.bind(kWan, 1);
    }

    static RouteInfo route(Ip4Prefix to, std::vector<RouteNextHop> hops, std::uint32_t metric = 0) {
        RouteInfo r;
        r.key.to = to;
        r.key.metric = metric;
        r.next_hops = std::move(hops);
        return r;
    }
    static RouteInfo special(Ip4Prefix to, RouteType type, std::uint32_t table_id = kMainTable) {
        RouteInfo r;
        r.key.to = to;
        r.key.table = table_id;
        r.type = type;
        if (type == RouteType::local) r.next_hops = {{kLan, {}, 1, true}};
        return r;
    }
    void connected() {
        bridge.on_route(route({ip4(192, 0, 2, 0), 24}, {{kLan, {}, 1, true}}), true);
        bridge.on_route(route({ip4(203, 0, 113, 0), 24}, {{kWan, {}, 1, true}}), true);
    }
    void neighbour(Ip4 address, IfIndex ifindex, NeighbourState state, MacAddress mac = kMac) {
        bridge.on_neighbour({ifindex, address, mac, state, false}, false);
    }
    const NextHop* to(Ip4 address, std::uint32_t hash = 0) const { return table.lookup(address, hash).hop; }
};

constexpr Ip4 kHost = ip4(192, 0, 2, 9);
constexpr Ip4 kGateway = ip4(203, 0, 113, 254);
constexpr Ip4 kAway = ip4(198, 51, 100, 1);

}  // namespace

TEST_CASE_METHOD(Lab, "a host of a connected subnet: unknown, asked for, known, failed, gone") {
    connected();
    REQUIRE(to(kHost) != nullptr);
    CHECK(to(kHost)->kind == HopKind::connected);
    CHECK(to(kHost)->out_port == 0);

    bridge.resolve(kHost, 0);
    CHECK(kernel.calls == "resolve10:9 ");
    neighbour(kHost, kLan, NeighbourState::incomplete, {});
    CHECK(to(kHost)->kind == HopKind::connected);
    CHECK(changed.empty());

    neighbour(kHost, kLan, NeighbourState::reachable);
    REQUIRE(to(kHost)->kind == HopKind::neighbour);
    CHECK(to(kHost)->resolved);
    CHECK(to(kHost)->mac == kMac);
    CHECK(to(kHost)->address == kHost);
    CHECK(to(kHost)->out_port == 0);
    CHECK(changed == "0:9 ");
    CHECK(to(ip4(192, 0, 2, 10))->kind == HopKind::connected);

    neighbour(kHost, kLan, NeighbourState::failed, {});
    CHECK_FALSE(to(kHost)->resolved);
    CHECK(to(kHost)->failed);
    CHECK(changed == "0:9 0:9 ");

    bridge.on_neighbour({kLan, kHost, {}, NeighbourState::failed, false}, true);
    CHECK(to(kHost)->kind == HopKind::connected);
}

TEST_CASE_METHOD(Lab, "a gateway is kept resolved while a route uses it, and its MAC reaches the route") {
    connected();
    bridge.on_route(route({ip4(0, 0, 0, 0), 0}, {{kWan, kGateway, 1, true}}), true);
    CHECK(kernel.calls == "keep11:254 ");
    REQUIRE(to(kAway) != nullptr);
    CHECK(to(kAway)->kind == HopKind::neighbour);
    CHECK(to(kAway)->address == kGateway);
    CHECK_FALSE(to(kAway)->resolved);

    neighbour(kGateway, kWan, NeighbourState::reachable);
    CHECK(to(kAway)->resolved);
    CHECK(to(kAway)->mac == kMac);
    CHECK(to(kGateway)->kind == HopKind::neighbour);  // workers look up the gateway itself when it changes
    const MacAddress moved{{2, 0, 0, 0, 0, 2}};
    neighbour(kGateway, kWan, NeighbourState::reachable, moved);
    CHECK(to(kAway)->mac == moved);

    bridge.on_route(route({ip4(198, 51, 100, 0), 24}, {{kWan, kGateway, 1, true}}), true);
    CHECK(to(kAway)->mac == moved);  // known at once
    bridge.on_route(route({ip4(0, 0, 0, 0), 0}, {}), false);
    CHECK(kernel.calls == "keep11:254 ");
    CHECK(to(ip4(8, 8, 8, 8)) == nullptr);
    bridge.on_route(route({ip4(198, 51, 100, 0), 24}, {}), false);
    CHECK(kernel.calls == "keep11:254 release11:254 ");
    CHECK(to(kAway) == nullptr);
}

TEST_CASE_METHOD(Lab, "ECMP shares flows by weight and follows a dead member") {
    connected();
    const Ip4Prefix all{ip4(198, 51, 100, 0), 24};
    const Ip4 second = ip4(203, 0, 113, 253);
    bridge.on_route(route(all, {{kWan, kGateway, 3, true}, {kWan, second, 1, true}}), true);
    unsigned first_share = 0;
    for (std::uint32_t i = 0; i < 256; ++i)
        if (to(kAway, i << 24)->address == kGateway) ++first_share;
    CHECK(first_share == 192);
    bridge.on_route(route(all, {{kWan, kGateway, 3, false}, {kWan, second, 1, true}}), true);
    for (std::uint32_t i = 0; i < 256; ++i) CHECK(to(kAway, i << 24)->address == second);
    CHECK(kernel.calls == "keep11:254 keep11:253 release11:254 ");
}

TEST_CASE_METHOD(Lab, "the lower metric counts; when it goes or dies the next one takes over") {
    connected();
    const Ip4Prefix to_away{ip4(198, 51, 100, 0), 24};
    bridge.on_route(route(to_away, {{kWan, kGateway, 1, true}}, 100), true);
    bridge.on_route(route(to_away, {{kLan, kHost, 1, true}}, 50), true);
    CHECK(to(kAway)->address == kHost);
    bridge.on_route(route(to_away, {{kLan, kHost, 1, false}}, 50), true);
    CHECK(to(kAway)->address == kGateway);
    bridge.on_route(route(to_away, {{kLan, kHost, 1, true}}, 50), true);
    CHECK(to(kAway)->address == kHost);
    bridge.on_route(route(to_away, {}, 50), false);
    CHECK(to(kAway)->address == kGateway);
}

TEST_CASE_METHOD(Lab, "own and broadcast addresses are local; loopback is nobody's business") {
    connected();
    bridge.on_route(special({ip4(192, 0, 2, 1), 32}, RouteType::local, kLocalTable), true);
    bridge.on_route(special({ip4(192, 0, 2, 255), 32}, RouteType::broadcast, kLocalTable), true);
    bridge.on_route(special({ip4(127, 0, 0, 0), 8}, RouteType::local, kLocalTable), true);
    CHECK(to(ip4(192, 0, 2, 1))->kind == HopKind::local);
    CHECK(to(ip4(192, 0, 2, 255))->kind == HopKind::local);
    CHECK(to(ip4(127, 0, 0, 1)) == nullptr);
    // Somebody else claims our address: it stays ours.
    neighbour(ip4(192, 0, 2, 1), kLan, NeighbourState::reachable);
    CHECK(to(ip4(192, 0, 2, 1))->kind == HopKind::local);
}

TEST_CASE_METHOD(Lab, "blackhole, unreachable and prohibit; a route through another interface forwards nothing") {
    const Ip4Prefix p{ip4(198, 51, 100, 0), 24};
    bridge.on_route(special(p, RouteType::blackhole), true);
    CHECK(to(kAway)->kind == HopKind::blackhole);
    bridge.on_route(special(p, RouteType::prohibit), true);
    CHECK(to(kAway)->kind == HopKind::prohibit);
    bridge.on_route(special(p, RouteType::unreachable), true);
    CHECK(to(kAway)->kind == HopKind::unreachable);
    bridge.on_route(route(p, {{kManagement, kGateway, 1, true}}), true);
    CHECK(to(kAway)->kind == HopKind::unreachable);
    CHECK(kernel.calls.empty());
}

TEST_CASE_METHOD(Lab, "a neighbour counts only where its subnet is connected, whatever comes first") {
    neighbour(kHost, kLan, NeighbourState::reachable);
    CHECK(to(kHost) == nullptr);
    connected();
    CHECK(to(kHost)->kind == HopKind::neighbour);
    // A more specific route leads elsewhere: the neighbour's entry must not win over it.
    bridge.on_route(route({ip4(192, 0, 2, 8), 29}, {{kWan, kGateway, 1, true}}), true);
    CHECK(to(kHost)->address == kGateway);
    bridge.on_route(route({ip4(192, 0, 2, 8), 29}, {}), false);
    CHECK(to(kHost)->address == kHost);
    // The subnet's address was removed.
    bridge.on_route(route({ip4(192, 0, 2, 0), 24}, {}), false);
    CHECK(to(kHost) == nullptr);
    // On the other side of the box it is not a neighbour of that subnet.
    neighbour(ip4(203, 0, 113, 7), kLan, NeighbourState::reachable);
    CHECK(to(ip4(203, 0, 113, 7))->kind == HopKind::connected);
}

TEST_CASE_METHOD(Lab, "other tables, TOS routes, multicast neighbours and foreign interfaces change nothing") {
    auto r = route({ip4(198, 51, 100, 0), 24}, {{kLan, {}, 1, true}});
    r.key.table = 100;
    bridge.on_route(r, true);
    r.key.table = kMainTable;
    r.key.tos = 16;
    bridge.on_route(r, true);
    neighbour(ip4(224, 0, 0, 5), kLan, NeighbourState::noarp);
    neighbour(kHost, kManagement, NeighbourState::reachable);
    CHECK(bridge.routes() == 0);
    CHECK(bridge.neighbours() == 0);
    CHECK(changed.empty());
}

TEST_CASE_METHOD(Lab, "a stale host is asked again if a worker needed it, a crossed answer is passed on") {
    connected();
    neighbour(kHost, kLan, NeighbourState::stale);
    CHECK(kernel.calls.empty());
    changed.clear();
    bridge.resolve(kHost, 0);
    CHECK(kernel.calls.empty());
    CHECK(changed == "0:9 ");
    neighbour(kHost, kLan, NeighbourState::stale);
    CHECK(kernel.calls == "resolve10:9 ");
    bridge.resolve(kHost, 7);  // a port without a twin
    CHECK(kernel.calls == "resolve10:9 ");
}

TEST_CASE_METHOD(Lab, "addresses: primary first, of other interfaces too, none of loopback; one publication a resync") {
    const auto address = [](IfIndex i, Ip4 a, bool secondary) {
        AddressInfo info;
        info.ifindex = i;
        info.prefix = {a, 24};
        info.secondary = secondary;
        return info;
    };
    bridge.on_resync_begin();
    bridge.on_address(address(kWan, ip4(203, 0, 113, 5), true), true);
    bridge.on_address(address(kWan, ip4(203, 0, 113, 1), false), true);
    bridge.on_address(address(kManagement, ip4(192, 0, 2, 77), false), true);
    bridge.on_address(address(1, ip4(127, 0, 0, 1), false), true);
    CHECK_FALSE(table.addresses().is_own(ip4(203, 0, 113, 1)));
    bridge.on_resync_end();
    CHECK(resynced);
    CHECK(table.addresses().towards(1, kGateway) == ip4(203, 0, 113, 1));
    CHECK(table.addresses().has(1, ip4(203, 0, 113, 5)));
    CHECK(table.addresses().is_own(ip4(192, 0, 2, 77)));
    CHECK_FALSE(table.addresses().is_own(ip4(127, 0, 0, 1)));
    bridge.on_address(address(kWan, ip4(203, 0, 113, 1), false), false);
    CHECK_FALSE(table.addresses().is_own(ip4(203, 0, 113, 1)));
}

TEST_CASE_METHOD(Lab, "what the table has no room for is reported; what there is stays right, and nothing leaks") {
    connected();
    for (unsigned round = 0; round < 3; ++round) {
        complaints.clear();
        for (unsigned i = 0; i < 60; ++i)  // more gateways than next hops
            bridge.on_route(route({ip4(10, i, 0, 0), 16}, {{kWan, ip4(203, 0, 113, 100 + i), 1, true}}), true);
        CHECK(to(ip4(10, 0, 0, 1)) != nullptr);
        CHECK(to(ip4(10, 59, 0, 1)) == nullptr);
        for (unsigned i = 0; i < 60; ++i) bridge.on_route(route({ip4(10, i, 0, 0), 16}, {}), false);
        grace.reclaim();
        CHECK(to(ip4(10, 0, 0, 1)) == nullptr);
        CHECK(to(kHost)->kind == HopKind::connected);
    }
}

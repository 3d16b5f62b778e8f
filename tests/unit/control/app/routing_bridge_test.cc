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
    MaybeFailure note(const char* what, IfIndex i, const IpAddress& a) {
        calls += std::string(what) + std::to_string(i) + ":" + std::to_string(a.low.host() & 255) + " ";
        return {};
    }
    MaybeFailure change_link(IfIndex, const LinkChange&) override { return {}; }
    MaybeFailure add_address(IfIndex, const IpPrefix&) override { return {}; }
    MaybeFailure del_address(IfIndex, const IpPrefix&) override { return {}; }
    OrFailure<std::vector<AddressInfo>> addresses(IfIndex) override { return std::vector<AddressInfo>{}; }
    MaybeFailure add_route(const RouteSpec&) override { return {}; }
    MaybeFailure del_route(const IpPrefix&, std::uint32_t) override { return {}; }
    std::vector<Failure> set_routes(std::span<const RouteSpec>) override { return {}; }
    MaybeFailure resolve_neighbour(IfIndex i, const IpAddress& a) override { return note("resolve", i, a); }
    MaybeFailure keep_neighbour(IfIndex i, const IpAddress& a) override { return note("keep", i, a); }
    MaybeFailure release_neighbour(IfIndex i, const IpAddress& a) override { return note("release", i, a); }
};

struct Lab : test::EalFixture {
    GracePeriods grace{1};
    RouteTable table{"bridge-test", grace, 64, 32, 0, true};
    FakeKernel kernel;
    std::string changed, complaints;
    bool resynced = false;
    RoutingBridge bridge{table,
                         kernel,
                         {[this](const IpAddress& a, PortIndex p) {
                              changed += std::to_string(p) + ":" + std::to_string(a.low.host() & 255) + " ";
                          },
                          {},
                          [this] { resynced = true; },
                          [this](const Failure& f) { complaints += f.text; },
                          {}},
                         true};
    Lab() {
        bridge.bind(kLan, 0);
        bridge.bind(kWan, 1);
    }

    static RouteInfo route(IpPrefix to, std::vector<RouteNextHop> hops, std::uint32_t metric = 0) {
        RouteInfo r;
        r.key.to = to;
        r.key.metric = metric;
        r.next_hops = std::move(hops);
        return r;
    }
    static RouteInfo special(IpPrefix to, RouteType type, std::uint32_t table_id = kMainTable) {
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
    void neighbour(const IpAddress& address, IfIndex ifindex, NeighbourState state, MacAddress mac = kMac) {
        bridge.on_neighbour({ifindex, address, mac, state, false}, false);
    }
    const NextHop* to(const IpAddress& address, std::uint32_t hash = 0) const {
        return table.lookup(address, hash).hop;
    }
};

/// Two tenants with one network, and what all have.
struct Tenants : test::EalFixture {
    static constexpr IfIndex kA = 20, kB = 21, kOut = 22;
    GracePeriods grace{1};
    RouteTable table{"bridge-zones", grace, 64, 64, 0, true};
    FakeKernel kernel;
    std::string changed, complaints;
    RoutingBridge bridge{table,
                         kernel,
                         {[this](const IpAddress& a, PortIndex p) {
                              changed += std::to_string(p) + ":" + std::to_string(a.low.host() & 255) + " ";
                          },
                          {},
                          {},
                          [this](const Failure& f) { complaints += f.text; },
                          {}},
                         true};
    Tenants() {
        table.add_zone(1);
        table.add_zone(2);
        bridge.bind(kA, 0, 1);
        bridge.bind(kB, 1, 2);
        bridge.bind(kOut, 2);
    }
    /// As the kernel makes it for an address.
    void direct(const IpPrefix& to, IfIndex device, bool added = true, bool usable = true) {
        RouteInfo r;
        r.key = {kMainTable, to, 0, 0, device};
        r.next_hops = {{device, {}, 1, usable}};
        bridge.on_route(r, added);
        grace.reclaim();
    }
    void local(const IpAddress& address, IfIndex device) {
        RouteInfo r;
        r.key = {kLocalTable, host_prefix(address), 0, 0, device};
        r.type = RouteType::local;
        r.next_hops = {{device, {}, 1, true}};
        bridge.on_route(r, true);
        grace.reclaim();
    }
    void neighbour(const IpAddress& address, IfIndex device, NeighbourState state) {
        bridge.on_neighbour({device, address, {{2, 0, 0, 0, 0, static_cast<std::uint8_t>(device)}}, state, false},
                            false);
        grace.reclaim();
    }
    /// "PORT kind", "-" for none.
    [[nodiscard]] std::string to(const IpAddress& address, std::uint16_t zone) const {
        const NextHop* hop = table.lookup(address, 0, zone).hop;
        if (hop == nullptr) return "-";
        const char* kind = hop->kind == HopKind::local       ? "local"
                           : hop->kind == HopKind::connected ? "connected"
                           : hop->kind == HopKind::neighbour ? "neighbour"
                                                             : "other";
        return (hop->kind == HopKind::local ? std::string() : std::to_string(hop->out_port) + ' ') + kind;
    }
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
    const IpPrefix all{ip4(198, 51, 100, 0), 24};
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
    const IpPrefix to_away{ip4(198, 51, 100, 0), 24};
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
    const IpPrefix p{ip4(198, 51, 100, 0), 24};
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

TEST_CASE_METHOD(Lab, "throw hides the default route, as in a kernel without rules of its own") {
    const IpPrefix everything{ip4(0, 0, 0, 0), 0};
    const IpPrefix thrown{ip4(198, 51, 100, 0), 24};
    bridge.on_route(route(everything, {{kWan, kGateway, 1, true}}), true);
    REQUIRE(to(kAway)->kind == HopKind::neighbour);
    bridge.on_route(special(thrown, RouteType::throw_on), true);
    REQUIRE(to(kAway) != nullptr);
    CHECK(to(kAway)->kind == HopKind::no_route);
    bridge.on_route(special(thrown, RouteType::throw_on), false);
    CHECK(to(kAway)->kind == HopKind::neighbour);
    // In table local it only sends the look-up on to main.
    bridge.on_route(special(thrown, RouteType::throw_on, kLocalTable), true);
    CHECK(to(kAway)->kind == HopKind::neighbour);
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
    bridge.on_route(r, true);
    CHECK(complaints ==
          "a route for a TOS is left out, and so are others: packets take the route without one");  // once
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

TEST_CASE_METHOD(Lab, "IPv6: a connected subnet with a host, a gateway of the link, own and anycast addresses") {
    const auto six = [](unsigned last) { return ip6(0x2001, 0xdb8, 0, 0, 0, 0, 0, last); };
    const IpAddress away = ip6(0x2001, 0xdb8, 0xffff, 0, 0, 0, 0, 1), gateway = ip6(0xfe80, 0, 0, 0, 0, 0, 0, 1);
    bridge.on_route(route({six(0), 64}, {{kLan, {}, 1, true}}, 256), true);
    CHECK(to(six(9))->kind == HopKind::connected);
    CHECK(to(six(9))->out_port == 0);
    neighbour(six(9), kLan, NeighbourState::reachable);
    grace.reclaim();
    CHECK(changed == "0:9 ");
    REQUIRE(to(six(9))->kind == HopKind::neighbour);
    CHECK(to(six(9))->mac == kMac);
    neighbour(six(10), kWan, NeighbourState::reachable);  // seen where its subnet is not
    grace.reclaim();
    CHECK(to(six(10))->kind == HopKind::connected);
    bridge.on_neighbour({kLan, six(9), {}, NeighbourState::none, false}, true);
    grace.reclaim();
    CHECK(to(six(9))->kind == HopKind::connected);

    // The same address of the link is another neighbour on another link.
    kernel.calls.clear();
    bridge.on_route(route({IpAddress{}, 0}, {{kWan, gateway, 1, true}}, kDefaultMetric6), true);
    CHECK(kernel.calls == "keep11:1 ");
    neighbour(gateway, kLan, NeighbourState::reachable, {{2, 0, 0, 0, 0, 7}});
    neighbour(gateway, kWan, NeighbourState::reachable);
    grace.reclaim();
    REQUIRE(to(away)->kind == HopKind::neighbour);
    CHECK(to(away)->out_port == 1);
    CHECK(to(away)->mac == kMac);
    CHECK(to(gateway)->kind == HopKind::neighbour);  // by the default route: nobody else routes fe80::/64

    auto anycast = special({six(0), 128}, RouteType::anycast, kLocalTable);
    anycast.next_hops = {{kLan, {}, 1, true}};
    bridge.on_route(anycast, true);
    bridge.on_route(special({six(1), 128}, RouteType::local, kLocalTable), true);
    bridge.on_route(special({ip6(0, 0, 0, 0, 0, 0, 0, 1), 128}, RouteType::local, kLocalTable), true);
    grace.reclaim();
    CHECK(to(six(0))->kind == HopKind::local);
    CHECK(to(six(1))->kind == HopKind::local);
    CHECK(to(ip6(0, 0, 0, 0, 0, 0, 0, 1))->kind == HopKind::neighbour);  // loopback is no route of its own
    CHECK(complaints.empty());
}

TEST_CASE_METHOD(Lab, "a default route of one family says nothing of the other's neighbours") {
    connected();
    neighbour(kHost, kLan, NeighbourState::reachable);
    const auto before = bridge.routes();
    bridge.on_route(route({IpAddress{}, 0}, {{kWan, ip6(0xfe80, 0, 0, 0, 0, 0, 0, 1), 1, true}}, kDefaultMetric6),
                    true);
    CHECK(bridge.routes() == before + 1);
    CHECK(to(kAway) == nullptr);
    CHECK(to(kHost)->kind == HopKind::neighbour);
}

TEST_CASE_METHOD(Lab, "IPv6 addresses: those of the link are for the link, those not to be used come last") {
    const auto address = [&](const IpAddress& a, std::uint8_t scope, bool secondary) {
        AddressInfo info;
        info.ifindex = kWan;
        info.prefix = {a, 64};
        info.scope = scope;
        info.secondary = secondary;
        bridge.on_address(info, true);
    };
    const auto six = [](unsigned last) { return ip6(0x2001, 0xdb8, 0, 0, 0, 0, 0, last); };
    const IpAddress link = ip6(0xfe80, 0, 0, 0, 0, 0, 0, 9);
    address(link, 253, false);
    address(six(5), 0, true);
    address(six(1), 0, false);
    CHECK(table.addresses().towards(1, ip6(0x2001, 0xdb8, 1, 0, 0, 0, 0, 1)) == six(1));
    CHECK(table.addresses().towards(1, ip6(0xfe80, 0, 0, 0, 0, 0, 0, 1)) == link);
    CHECK(table.addresses().is_own(six(5)));
}

TEST_CASE_METHOD(Lab, "IPv6: workers hear of a neighbour when they see its route, not before") {
    grace.online(0);
    bridge.on_route(route({ip6(0x2001, 0xdb8, 1, 0, 0, 0, 0, 0), 64}, {{kLan, {}, 1, true}}), true);
    grace.quiescent(0);
    grace.reclaim();
    const auto host = [](unsigned n) { return ip6(0x2001, 0xdb8, 1, 0, 0, 0, 0, n); };
    for (const unsigned n : {5U, 6U, 7U}) neighbour(host(n), kLan, NeighbourState::reachable);
    // The first one's change of the routes is under way; who is told of the others now would go on waiting for ever.
    CHECK(changed == "0:5 ");
    CHECK(to(host(5))->kind == HopKind::neighbour);
    CHECK(to(host(6))->kind == HopKind::connected);
    grace.reclaim();
    CHECK(changed == "0:5 ");
    grace.quiescent(0);
    grace.reclaim();
    CHECK(changed == "0:5 0:6 0:7 ");
    CHECK(to(host(6))->kind == HopKind::neighbour);
    CHECK(to(host(7))->kind == HopKind::neighbour);
    grace.offline(0);
}

TEST_CASE_METHOD(Lab, "without IPv6 the kernel's IPv6 is nobody's business") {
    RouteTable four{"bridge-four", grace, 64, 32, 0};
    RoutingBridge deaf{four, kernel, {{}, {}, {}, [this](const Failure& f) { complaints += f.text; }, {}}, false};
    deaf.bind(kLan, 0);
    const IpAddress six = ip6(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0);
    deaf.on_route(route({six, 64}, {{kLan, {}, 1, true}}, 256), true);
    deaf.on_neighbour({kLan, six, kMac, NeighbourState::reachable, false}, false);
    AddressInfo own;
    own.ifindex = kLan;
    own.prefix = {six, 64};
    deaf.on_address(own, true);
    CHECK(deaf.routes() == 0);
    CHECK(deaf.neighbours() == 0);
    CHECK_FALSE(four.addresses().is_own(six));
    CHECK(complaints.empty());
}

TEST_CASE_METHOD(Tenants, "one network on the ports of two zones is two networks") {
    const bool v6 = GENERATE(false, true);
    const IpPrefix net = v6 ? IpPrefix{ip6(0x2001, 0xdb8, 1, 0, 0, 0, 0, 0), 64} : IpPrefix{ip4(10, 0, 0, 0), 24};
    const IpAddress host = v6 ? ip6(0x2001, 0xdb8, 1, 0, 0, 0, 0, 5) : IpAddress(ip4(10, 0, 0, 5));
    direct(net, kA);
    direct(net, kB);
    direct({ip4(203, 0, 113, 0), 24}, kOut);
    CHECK(to(host, 1) == "0 connected");
    CHECK(to(host, 2) == "1 connected");
    CHECK(to(host, 0) == "0 connected");
    CHECK(to(ip4(203, 0, 113, 9), 2) == "2 connected");
    CHECK(bridge.routes() == 2);

    neighbour(host, kB, NeighbourState::reachable);
    CHECK(to(host, 1) == "0 connected");
    CHECK(to(host, 2) == "1 neighbour");
    CHECK(to(host, 0) == "0 connected");
    CHECK(table.lookup(host, 0, 2).hop->mac == MacAddress{{2, 0, 0, 0, 0, 21}});
    neighbour(host, kA, NeighbourState::reachable);
    CHECK(to(host, 1) == "0 neighbour");
    CHECK(to(host, 0) == "0 neighbour");
    CHECK(table.lookup(host, 0, 1).hop->mac == MacAddress{{2, 0, 0, 0, 0, 20}});
    CHECK(changed == "1:5 0:5 ");

    // The network of one goes: to all together the other one is left, to the tenant nothing of its own.
    direct(net, kA, false);
    CHECK(to(host, 0) == "1 neighbour");
    CHECK(to(host, 1) == to(host, 0));
    CHECK(to(host, 2) == "1 neighbour");
    direct(net, kB, true, false);  // no carrier
    CHECK(to(host, 2) == "-");
    CHECK(complaints.empty());
}

TEST_CASE_METHOD(Tenants, "an address of the box on a tenant's port is the box's to that tenant") {
    const IpAddress nine = ip4(10, 0, 0, 9), gate = ip4(10, 0, 0, 1);
    direct({ip4(10, 0, 0, 0), 24}, kA);
    direct({ip4(10, 0, 0, 0), 24}, kB);
    for (const IfIndex device : {kA, kB}) {
        local(gate, device);
        bridge.on_address({device, {gate, 24}, gate, 0, false, 0}, true);
    }
    local(nine, kB);
    bridge.on_address({kB, {nine, 24}, nine, 0, true, 0}, true);
    bridge.on_address({kOut, {ip4(203, 0, 113, 1), 24}, ip4(203, 0, 113, 1), 0, false, 0}, true);
    for (const std::uint16_t zone : {std::uint16_t{0}, std::uint16_t{1}, std::uint16_t{2}})
        CHECK(to(gate, zone) == "local");
    CHECK(to(nine, 1) == "0 connected");
    CHECK(to(nine, 2) == "local");
    const Addresses& own = table.addresses();
    CHECK(own.is_own_in(1, gate));
    CHECK_FALSE(own.is_own_in(1, nine));
    CHECK(own.is_own_in(2, nine));
    CHECK(own.is_own_in(0, nine));
    CHECK(own.is_own_in(1, ip4(203, 0, 113, 1)));
    // A tenant that has that network as well.
    bridge.on_address({kA, {ip4(203, 0, 113, 99), 24}, ip4(203, 0, 113, 99), 0, false, 0}, true);
    CHECK_FALSE(table.addresses().is_own_in(1, ip4(203, 0, 113, 1)));
    CHECK(table.addresses().is_own_in(2, ip4(203, 0, 113, 1)));
}

TEST_CASE_METHOD(Tenants, "of a route with several next hops each zone has its own; zone 0 goes first") {
    direct({ip4(10, 0, 0, 0), 24}, kA);
    direct({ip4(10, 0, 0, 0), 24}, kB);
    RouteInfo both;
    both.key.to = {ip4(10, 9, 0, 0), 16};
    both.next_hops = {{kA, ip4(10, 0, 0, 254), 1, true}, {kB, ip4(10, 0, 0, 254), 1, true}};
    bridge.on_route(both, true);
    grace.reclaim();
    CHECK(to(ip4(10, 9, 0, 1), 1) == "0 neighbour");
    CHECK(to(ip4(10, 9, 0, 1), 2) == "1 neighbour");
    CHECK(kernel.calls == "keep20:254 keep21:254 ");

    // Of equal routes of all that of zone 0 counts, whichever is known first.
    direct({ip4(10, 0, 0, 0), 24}, kOut);
    CHECK(to(ip4(10, 0, 0, 5), 0) == "2 connected");
    CHECK(to(ip4(10, 0, 0, 5), 1) == "0 connected");
    RouteInfo nowhere;
    nowhere.key.to = {ip4(10, 0, 0, 128), 25};
    nowhere.type = RouteType::blackhole;
    bridge.on_route(nowhere, true);
    CHECK(to(ip4(10, 0, 0, 200), 0) == "255 other");
    CHECK(to(ip4(10, 0, 0, 200), 1) == "0 connected");
    bridge.on_route(both, false);
    grace.reclaim();
    CHECK(to(ip4(10, 9, 0, 1), 1) == "-");
}

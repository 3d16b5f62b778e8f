// The kernel's tables as the observer sees them, with the operator at work in a real kernel.
#include <algorithm>
#include <fstream>

#include "tests/unit/control/linux/netns_support.hh"

using namespace sluice;
using namespace sluice::test;
using Catch::Matchers::Contains;

TEST_CASE("what is there at the start is known when the first resync ends") {
    Box box;
    const auto twin = box.twin("wan0", 1, {{ip4(203, 0, 113, 1), 24}});
    sh("ip route add 198.51.100.0/24 via 203.0.113.254");
    sh("ip neigh add 203.0.113.254 lladdr 02:00:00:00:00:fe dev wan0");
    const auto netlink = box.watch();
    const IfIndex wan = twin->ifindex();
    CHECK(box.seen.resyncs_begun == 1);
    CHECK(box.seen.addresses.at({wan, ip4(203, 0, 113, 1)}).protocol == kOwnProtocol);
    REQUIRE(box.seen.route(ip4(198, 51, 100, 0), 24) != nullptr);
    CHECK(box.seen.route(ip4(198, 51, 100, 0), 24)->next_hops ==
          std::vector<RouteNextHop>{{wan, ip4(203, 0, 113, 254)}});
    CHECK(box.seen.route(ip4(203, 0, 113, 0), 24)->preferred_source == ip4(203, 0, 113, 1));
    CHECK(box.seen.route_of({kLocalTable, {ip4(203, 0, 113, 1), 32}, 0, 0})->type == RouteType::local);
    CHECK(box.seen.neighbours.at({wan, ip4(203, 0, 113, 254)}).state == NeighbourState::permanent);
    CHECK(netlink->sizes().routes == box.seen.routes.size());
}

TEST_CASE("an address that is removed and set again") {
    Box box;
    const auto twin = box.twin("wan0", 1);
    const auto netlink = box.watch();
    const std::pair key{twin->ifindex(), ip4(203, 0, 113, 1)};
    for (int round = 0; round < 2; ++round) {
        sh("ip addr add 203.0.113.1/24 dev wan0");
        box.until("address and route", [&] {
            return box.seen.addresses.contains(key) && box.seen.route(ip4(203, 0, 113, 0), 24) != nullptr;
        });
        CHECK(box.seen.addresses.at(key).protocol != kOwnProtocol);
        sh("ip addr del 203.0.113.1/24 dev wan0");
        box.until("neither", [&] {
            return !box.seen.addresses.contains(key) && box.seen.route(ip4(203, 0, 113, 0), 24) == nullptr;
        });
    }
}

TEST_CASE("ECMP, blackhole, unreachable, prohibit, and a replaced route") {
    Box box;
    const auto wan = box.twin("wan0", 1, {{ip4(203, 0, 113, 1), 24}});
    const auto dmz = box.twin("dmz0", 2, {{ip4(192, 0, 2, 1), 24}});
    const auto netlink = box.watch();
    sh("ip route add 198.51.100.0/25 nexthop via 203.0.113.2 weight 3 nexthop via 192.0.2.2");
    sh("ip route add blackhole 198.51.100.128/26");
    sh("ip route add unreachable 198.51.100.192/27");
    sh("ip route add prohibit 198.51.100.224/27");
    box.until("the last", [&] { return box.seen.route(ip4(198, 51, 100, 224), 27) != nullptr; });
    CHECK(box.seen.route(ip4(198, 51, 100, 0), 25)->next_hops ==
          std::vector<RouteNextHop>{{wan->ifindex(), ip4(203, 0, 113, 2), 3}, {dmz->ifindex(), ip4(192, 0, 2, 2), 1}});
    CHECK(box.seen.route(ip4(198, 51, 100, 128), 26)->type == RouteType::blackhole);
    CHECK(box.seen.route(ip4(198, 51, 100, 192), 27)->type == RouteType::unreachable);
    CHECK(box.seen.route(ip4(198, 51, 100, 224), 27)->type == RouteType::prohibit);

    sh("ip route replace 198.51.100.0/25 via 192.0.2.3");
    box.until("the new gateway", [&] {
        return box.seen.route(ip4(198, 51, 100, 0), 25)->next_hops ==
               std::vector<RouteNextHop>{{dmz->ifindex(), ip4(192, 0, 2, 3)}};
    });
}

TEST_CASE("rules of routing that somebody has set are counted, of both families, and the kernel's own are not") {
    Box box;
    CHECK(value_of(box.requests->foreign_rules()) == 0);
    sh("ip rule add from 192.0.2.0/24 lookup 100");
    CHECK(value_of(box.requests->foreign_rules()) == 1);
    sh("ip -6 rule add fwmark 7 lookup 100");
    CHECK(value_of(box.requests->foreign_rules()) == 2);
    // One of the kernel's own, in another place.
    sh("ip rule add priority 5 lookup local && ip rule del priority 0");
    CHECK(value_of(box.requests->foreign_rules()) == 3);
}

TEST_CASE("what the kernel forgets without a word: routes of a link that goes down") {
    Box box;
    const auto wan = box.twin("wan0", 1, {{ip4(203, 0, 113, 1), 24}});
    sh("ip route add 198.51.100.0/24 via 203.0.113.254");
    const auto netlink = box.watch();
    sh("ip link set wan0 down");
    box.until("no route", [&] { return box.seen.route(ip4(198, 51, 100, 0), 24) == nullptr; });

    sh("ip link set wan0 up && ip route add 198.51.100.0/24 via 203.0.113.254");
    box.until("the route", [&] { return box.seen.route(ip4(198, 51, 100, 0), 24) != nullptr; });
    REQUIRE_FALSE(wan->set_carrier(false));
    box.until("not usable", [&] { return !box.seen.route(ip4(198, 51, 100, 0), 24)->next_hops[0].usable; });
    REQUIRE_FALSE(wan->set_carrier(true));
    box.until("usable", [&] { return box.seen.route(ip4(198, 51, 100, 0), 24)->next_hops[0].usable; });
}

TEST_CASE("what the kernel forgets without a word: next-hop objects, preferred sources, routes behind routes") {
    Box box;
    const auto wan = box.twin("wan0", 1, {{ip4(203, 0, 113, 1), 24}, {ip4(203, 0, 113, 5), 24}});
    const auto netlink = box.watch();
    const auto gateway = [&]() -> std::optional<IpAddress> {
        const RouteInfo* route = box.seen.route(ip4(198, 51, 100, 0), 24);
        return route == nullptr ? std::nullopt : route->next_hops.at(0).gateway;
    };
    sh("ip nexthop add id 5 via 203.0.113.254 dev wan0 && ip route add 198.51.100.0/24 nhid 5");
    box.until("the route", [&] { return gateway() == ip4(203, 0, 113, 254); });
    sh("ip nexthop replace id 5 via 203.0.113.253 dev wan0");
    box.until("the other gateway", [&] { return gateway() == ip4(203, 0, 113, 253); });
    sh("ip nexthop del id 5");
    box.until("no route", [&] { return !gateway(); });

    sh("ip route add 198.51.100.0/24 via 203.0.113.254 src 203.0.113.5");
    box.until("the route", [&] { return gateway().has_value(); });
    sh("ip addr del 203.0.113.5/24 dev wan0");
    box.until("no route", [&] { return !gateway(); });

    sh("ip route add 198.51.100.0/24 via 203.0.113.254 && ip route append 198.51.100.0/24 via 203.0.113.253");
    box.until("the first", [&] { return gateway() == ip4(203, 0, 113, 254); });
    sh("ip route del 198.51.100.0/24 via 203.0.113.254");
    box.until("the second", [&] { return gateway() == ip4(203, 0, 113, 253); });
}

TEST_CASE("one network on two links: the routes of each come and go with it") {
    Box box;
    const bool known_before = GENERATE(true, false);
    const IpPrefix own{ip4(198, 51, 100, 1), 24};
    const auto a = box.twin("a0", 1, {own});
    auto b = box.twin("b0", 2);
    if (known_before) sh("ip addr add 198.51.100.1/24 dev b0");
    const auto netlink = box.watch();
    if (!known_before) sh("ip addr add 198.51.100.1/24 dev b0");
    const auto there = [&](const Twin& twin) {
        const auto has = [&](std::uint32_t table, const IpAddress& to, std::uint8_t length) {
            return box.seen.routes.contains({table, {to, length}, 0, 0, twin.ifindex()});
        };
        return has(kMainTable, ip4(198, 51, 100, 0), 24) && has(kLocalTable, ip4(198, 51, 100, 1), 32);
    };
    box.until("both", [&] { return there(*a) && there(*b); });
    CHECK(box.seen.addresses.contains({b->ifindex(), own.address}));
    sh("ip addr del 198.51.100.1/24 dev a0");
    box.until("the second alone", [&] { return !there(*a) && there(*b); });
    sh("ip addr add 198.51.100.1/24 dev a0");
    box.until("both again", [&] { return there(*a) && there(*b); });
    sh("ip route replace 198.51.100.0/24 dev a0");  // now that of b0 is the first
    box.until("what the kernel made for the first is replaced", [&] { return there(*a) && !there(*b); });
    sh("ip link set a0 down");
    box.until("no network of it", [&] {
        return !box.seen.routes.contains({kMainTable, {ip4(198, 51, 100, 0), 24}, 0, 0, a->ifindex()});
    });
}

TEST_CASE("messages that were lost: dumped again, and what vanished meanwhile is withdrawn") {
    Box box;
    const auto wan = box.twin("wan0", 1, {{ip4(203, 0, 113, 1), 24}});
    const auto batch = [](const char* verb, int first, int last) {
        const std::string name = "/tmp/sluice-routes-" + std::to_string(getpid());
        std::ofstream file(name);
        for (int i = first; i < last; ++i)
            file << "route " << verb << " 10." << i / 256 << '.' << i % 256 << ".0/24 via 203.0.113.254\n";
        file.close();
        sh("ip -batch " + name + " && rm " + name);
    };
    batch("add", 0, 1500);  // more than one slice of a sweep
    sh("ip neigh add 203.0.113.7 lladdr 02:00:00:00:00:07 dev wan0");
    const auto netlink = box.watch({.receive_buffer_bytes = 1});
    const auto learnt = [&] {
        return std::ranges::count_if(box.seen.routes, [](const auto& r) { return r.second.key.to.length == 24; });
    };
    REQUIRE(learnt() == 1501);
    REQUIRE(netlink->counters().overruns == 0);

    // Nobody reads meanwhile.
    batch("del", 0, 1400);
    batch("add", 1500, 1700);
    sh("ip neigh del 203.0.113.7 dev wan0 && ip addr add 203.0.113.9/24 dev wan0 && ip link add bridge0 type bridge");
    box.until("a resync", [&] { return box.seen.resyncs_ended >= 2 && learnt() == 301; });
    CHECK(netlink->counters().overruns >= 1);
    CHECK(box.seen.resyncs_begun == box.seen.resyncs_ended);
    CHECK(box.seen.route(ip4(10, 0, 0, 0), 24) == nullptr);
    CHECK(box.seen.route(ip4(10, 6, 163, 0), 24) != nullptr);
    CHECK_FALSE(box.seen.neighbours.contains({wan->ifindex(), ip4(203, 0, 113, 7)}));
    CHECK(box.seen.addresses.contains({wan->ifindex(), ip4(203, 0, 113, 9)}));
    CHECK(box.seen.links.contains(index_of("bridge0")));
}

TEST_CASE("routes of the configuration: set, changed, withdrawn by the next process, and no others") {
    Box box;
    const auto wan = box.twin("wan0", 1, {{ip4(203, 0, 113, 1), 24}});
    sh("ip route add 192.0.2.0/25 via 203.0.113.9");
    const auto main_table = [] { return output_of("ip route show table main"); };
    const RouteSpec through{.to = {ip4(198, 51, 100, 0), 24}, .next_hops = {{.gateway = ip4(203, 0, 113, 254)}}};
    const RouteSpec both{.to = {ip4(0, 0, 0, 0), 0},
                         .next_hops = {{.gateway = ip4(203, 0, 113, 254), .weight = 2},
                                       {.ifindex = wan->ifindex(), .gateway = ip4(203, 0, 113, 253)}}};
    const RouteSpec none{.to = {ip4(192, 0, 2, 128), 25}, .type = RouteType::blackhole};
    const RouteSpec link{.to = {ip4(10, 0, 0, 0), 8}, .metric = 7, .next_hops = {{.ifindex = wan->ifindex()}}};
    {
        const auto netlink = box.watch();
        CHECK(box.requests->set_routes(std::array{through, both, none, link}).empty());
        CHECK(box.requests->set_routes(std::array{through, both, none, link}).empty());
        CHECK_THAT(main_table(), Contains("198.51.100.0/24 via 203.0.113.254 dev wan0 proto 200"));
        CHECK_THAT(main_table(), Contains("nexthop via 203.0.113.254 dev wan0 weight 2") &&
                                     Contains("nexthop via 203.0.113.253 dev wan0 weight 1"));
        CHECK_THAT(main_table(), Contains("blackhole 192.0.2.128/25 proto 200"));
        CHECK_THAT(main_table(), Contains("10.0.0.0/8 dev wan0 proto 200 scope link metric 7"));
    }
    box.requests = value_of(RtnlRequests::open());  // a new process
    box.seen = {};
    const auto netlink = box.watch();
    const RouteSpec changed{.to = through.to, .next_hops = {{.gateway = ip4(203, 0, 113, 252)}}};
    const RouteSpec foreign{.to = {ip4(192, 0, 2, 0), 25}, .next_hops = {{.gateway = ip4(203, 0, 113, 252)}}};
    const RouteSpec nowhere{.to = {ip4(10, 1, 0, 0), 16}, .next_hops = {{.gateway = ip4(198, 18, 0, 1)}}};
    const auto failures = box.requests->set_routes(std::array{changed, foreign, nowhere, RouteSpec{}});
    REQUIRE(failures.size() == 3);
    CHECK_THAT(failures[0].text, Contains("192.0.2.0/25") && Contains("somebody else"));
    CHECK_THAT(failures[1].text, Contains("10.1.0.0/16") && Contains("gateway"));
    CHECK_THAT(failures[2].text, Contains("0.0.0.0/32: no next hop"));
    CHECK_THAT(main_table(), Contains("198.51.100.0/24 via 203.0.113.252") &&
                                 Contains("192.0.2.0/25 via 203.0.113.9") && !Contains("default") &&
                                 !Contains("blackhole") && !Contains("10.0.0.0/8"));
    box.until("the observer knows", [&] { return !box.seen.routes.contains({kMainTable, none.to, 0, 0}); });

    sh("ip link set wan0 down && ip link set wan0 up");  // takes the route with it
    CHECK(box.requests->set_routes(std::array{changed}).empty());
    CHECK_THAT(main_table(), Contains("198.51.100.0/24 via 203.0.113.252"));
}

TEST_CASE("a route of sluice is changed even when nobody watches") {
    Box box;
    const auto wan = box.twin("wan0", 1, {{ip4(203, 0, 113, 1), 24}});
    const IpPrefix to{ip4(198, 51, 100, 0), 24};
    REQUIRE_FALSE(box.requests->add_route({.to = to, .next_hops = {{.gateway = ip4(203, 0, 113, 2)}}}));
    const auto other = value_of(RtnlRequests::open());
    REQUIRE_FALSE(other->add_route({.to = to, .next_hops = {{.gateway = ip4(203, 0, 113, 3)}}}));
    CHECK_THAT(output_of("ip route"), Contains("198.51.100.0/24 via 203.0.113.3"));
    CHECK_FALSE(other->del_route(to, 0));
    CHECK_FALSE(other->del_route(to, 0));
    CHECK_THAT(output_of("ip route"), !Contains("198.51.100.0"));
}

TEST_CASE("neighbours: asked for, learnt, kept, released; static ones are left alone") {
    Box box;
    const auto wan = box.twin("wan0", 1, {{ip4(203, 0, 113, 1), 24}});
    const auto netlink = box.watch();
    Outbox out(*wan);
    const IfIndex ifindex = wan->ifindex();
    const Ip4 neighbour = ip4(203, 0, 113, 254);
    const std::pair key{ifindex, neighbour};
    const auto asks = [&](const Frame& f) { return is_arp(f, 1) && ip_at(f, 38) == neighbour; };

    REQUIRE_FALSE(box.requests->resolve_neighbour(ifindex, neighbour));
    box.until("the ARP request", [&] { return out.find(asks) != nullptr; });
    box.until("incomplete", [&] { return box.seen.neighbours.contains(key); });
    CHECK_FALSE(box.seen.neighbours.at(key).is_valid());
    REQUIRE(wan->write(arp(2, Box::mac(1), Box::mac(9), neighbour, ip4(203, 0, 113, 1))));
    box.until("the MAC", [&] { return box.seen.neighbours.at(key).is_valid(); });
    CHECK(box.seen.neighbours.at(key).mac == Box::mac(9));
    CHECK(box.seen.neighbours.at(key).state == NeighbourState::reachable);
    CHECK_FALSE(box.seen.neighbours.at(key).managed);

    REQUIRE_FALSE(box.requests->keep_neighbour(ifindex, neighbour));
    REQUIRE_FALSE(box.requests->resolve_neighbour(ifindex, neighbour));  // does not take the mark away
    CHECK_THAT(output_of("ip neigh show 203.0.113.254"), Contains("managed"));
    box.until("managed", [&] { return box.seen.neighbours.at(key).managed; });
    REQUIRE_FALSE(box.requests->release_neighbour(ifindex, neighbour));
    CHECK_THAT(output_of("ip neigh show 203.0.113.254"), !Contains("managed"));

    sh("ip neigh replace 203.0.113.254 lladdr 02:00:00:00:00:08 dev wan0 nud permanent");
    REQUIRE_FALSE(box.requests->keep_neighbour(ifindex, neighbour));
    CHECK_THAT(output_of("ip neigh show 203.0.113.254"), Contains("PERMANENT"));
    sh("ip neigh del 203.0.113.254 dev wan0");
    box.until("gone", [&] { return !box.seen.neighbours.contains(key); });
    CHECK(box.requests->resolve_neighbour(9999, neighbour));
}

TEST_CASE("a neighbour that is kept is asked again when it goes stale in a kernel that does not do it by itself") {
    Box box;
    const auto wan = box.twin("wan0", 1, {{ip4(203, 0, 113, 1), 24}});
    const Ip4 neighbour = ip4(203, 0, 113, 254);
    Outbox out(*wan);
    REQUIRE_FALSE(box.requests->keep_neighbour(wan->ifindex(), neighbour));
    sh("ip neigh replace 203.0.113.254 lladdr 02:00:00:00:00:08 dev wan0 nud stale");  // and no longer managed
    CHECK_THAT(output_of("ip neigh show 203.0.113.254"), Contains("STALE") && !Contains("managed"));
    const auto netlink = box.watch();
    CHECK_THAT(output_of("ip neigh show 203.0.113.254"), !Contains("STALE"));
}

TEST_CASE("destroying everything while a dump runs") {
    Box box;
    auto netlink = value_of(Netlink::open(box.io, box.seen, *box.requests));
    netlink->start();
    box.io.poll_one();
    netlink.reset();
    box.io.restart();
    box.io.run();  // returns: nothing is waited for any more
    CHECK(box.seen.resyncs_ended == 0);
}

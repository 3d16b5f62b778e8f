// The first packet of a flow on its worker: what it makes, and what it leaves undone when something is refused. Between
// two workers: flow_journey_test.cc.
#include "dataplane/policy/flow_create.hh"

#include <set>

#include <catch2/catch.hpp>

#include "tests/unit/dataplane/policy/flow_create_room.hh"

using namespace sluice;
using namespace sluice::test;

TEST_CASE("a routed flow without NAT keeps its tuple") {
    CreateRoom room;
    REQUIRE((room.create(syn(500)).fate == Fate::go));
    CHECK((room.last.state == PacketState::new_flow));
    CHECK(room.last.fresh);
    CHECK(room.last.out_port == kWan);
    CHECK(room.reply() == invert(room.original()));
    CHECK_FALSE(room.hot().has(status::kSourceNat | status::kDestNat | status::kLocal));
    CHECK(room.hot().half[0].packets == 1);
    CHECK(room.hot().lifetime.load().deadline_ms() == 101'000);
    CHECK((room.hot().tcp_state == TcpState::syn_sent));
}

TEST_CASE("a masqueraded flow has the box's address and its own port") {
    CreateRoom room;
    room.masquerade();
    REQUIRE((room.create(syn()).fate == Fate::go));
    CHECK(room.reply() == port_key(IpProto::tcp, kServer, be16(80), kBoxWan, be16(40000)));
    CHECK(room.hot().has(status::kSourceNat));
    CHECK(room.cold().masqueraded);
    CHECK(room.reply().dst() == kBoxWan);
    CHECK(room.cold().snat_rule == 3);
    CHECK(room.policy.counter(0, 3).packets.get() == 1);
    SECTION("the same port of another client becomes another one") {
        REQUIRE((room.create(syn(40000, ip4(192, 0, 2, 8))).fate == Fate::go));
        CHECK(room.reply().dst() == kBoxWan);
        CHECK(room.reply().dport != be16(40000));
        CHECK(room.reply().dport.host() >= 1024);
    }
}

TEST_CASE("even without NAT a reply tuple that is taken gives another source port, as in Linux") {
    CreateRoom room;
    room.masquerade();
    // The box's own connection holds the tuple that a masqueraded client would like.
    REQUIRE((room.create(syn()).fate == Fate::go));
    room.policy.snat.clear();
    Packet p = room.parsed(tcp(kBoxWan, 40000, kServer, 80).flags(kSyn));
    p.local_out = true;
    p.out_port = kWan;
    const Decision d = room.seats[0]->creator.create(p, room.policy, room.now);
    room.keep(p, d);
    REQUIRE((d.fate == Fate::go));
    CHECK(room.reply().dst() == kBoxWan);
    CHECK(room.reply().dport != be16(40000));
    CHECK(room.hot().has(status::kSourceNat));
    CHECK(room.hot().has(status::kLocal));
}

TEST_CASE("DNAT is decided before the route and counted once per flow") {
    CreateRoom room;
    room.dnat(ip4(192, 0, 2, 50));
    REQUIRE((room.create(tcp(kServer, 5555, kBoxWan, 80).flags(kSyn), 1).fate == Fate::go));
    CHECK(room.last.out_port == kLan);
    CHECK(room.reply() == port_key(IpProto::tcp, ip4(192, 0, 2, 50), be16(80), kServer, be16(5555)));
    CHECK(room.hot().has(status::kDestNat));
    CHECK(room.cold().dnat_rule == 4);
    CHECK(room.policy.counter(0, 4).packets.get() == 1);
}

TEST_CASE("what cannot be routed or is filtered makes no flow") {
    CreateRoom room;
    SECTION("prohibited") {
        const Decision d = room.create(syn(40000, kClient, ip4(198, 51, 100, 130)));
        CHECK((d.reason == DropReason::route_unreachable));
        CHECK((d.answer == Answer::admin_prohibited));
    }
    SECTION("no route") {
        room.routes->remove_route(ip4(0, 0, 0, 0), 0);
        const Decision d = room.create(syn());
        CHECK((d.reason == DropReason::no_route));
        CHECK((d.answer == Answer::net_unreachable));
    }
    SECTION("filtered") {
        room.policy.filter[static_cast<std::size_t>(Chain::forward)].policy = FilterAction::drop;
        CHECK((room.create(syn()).reason == DropReason::filter_forward));
    }
    SECTION("from the box's own address") {
        CHECK((room.create(syn(40000, kBoxWan)).reason == DropReason::ip_spoofed_own));
    }
    SECTION("masquerade without an address") {
        room.masquerade();
        auto none = std::make_unique<Addresses>();
        none->by_port[kLan] = {{kBoxLan, 24, false}};
        room.routes->publish_addresses(std::move(none));
        CHECK((room.create(syn()).reason == DropReason::nat_no_address));
    }
    CHECK(room.live() == 0);
    CHECK(room.seats[0]->store.table().size() == 0);
}

TEST_CASE("a packet that may open no flow is INVALID and travels on untranslated") {
    CreateRoom room;
    room.masquerade();
    CHECK((room.create(tcp(kClient, 40000, kServer, 80).flags(kSyn | kAck)).fate == Fate::go));
    CHECK((room.last.state == PacketState::invalid));
    CHECK(room.last.slot == kNoSlot);
    CHECK(room.live() == 0);
    CHECK(room.seats[0]->counters->invalid[static_cast<std::size_t>(InvalidReason::tcp_no_connection)].get() == 1);
    CHECK((room.create(echo_reply(kClient, kServer, 7)).fate == Fate::go));
    CHECK((room.last.state == PacketState::invalid));
}

TEST_CASE("a pool's addresses are used one after the other until all their ports are gone") {
    CreateRoom room;
    room.snat(ip4(198, 51, 100, 10), ip4(198, 51, 100, 12), PortRange{5000, 5003});
    std::set<std::pair<IpAddress, std::uint16_t>> used;
    IpAddress first{};
    for (unsigned i = 0; i < 12; ++i) {
        REQUIRE((room.create(syn(30000 + i)).fate == Fate::go));
        const FlowKey reply = room.reply();
        if (i == 0) first = reply.dst();
        if (i < 4) CHECK(reply.dst() == first);  // paired while it has room
        used.emplace(reply.dst(), reply.dport.host());
    }
    CHECK(used.size() == 12);
    CHECK((room.create(syn(31000)).reason == DropReason::nat_pool_exhausted));
    CHECK(room.seats[0]->counters->nat_exhausted.get() == 1);
    CHECK(room.live() == 12);
}

TEST_CASE("an endpoint keeps the address and port of a pool that it has, towards other servers") {
    CreateRoom room;
    const Ip4 elsewhere = ip4(203, 0, 113, 10);
    room.snat(ip4(198, 51, 100, 10), ip4(198, 51, 100, 12), PortRange{5000, 5000});
    REQUIRE((room.create(syn(30000)).fate == Fate::go));
    const FlowKey first = room.reply();
    REQUIRE((room.create(syn(30001)).fate == Fate::go));
    const FlowKey second = room.reply();
    REQUIRE(second.dst() != first.dst());  // the client's own place in the pool was used up
    REQUIRE((room.create(syn(30001, kClient, elsewhere)).fate == Fate::go));
    CHECK(room.reply().dst() == second.dst());
    CHECK(room.reply().dport == second.dport);
    SECTION("but what the rule does not give any more is not reused") {
        room.policy.snat.clear();
        room.snat(ip4(198, 51, 100, 20), ip4(198, 51, 100, 20));
        REQUIRE((room.create(syn(30001, kClient, ip4(203, 0, 113, 11))).fate == Fate::go));
        CHECK(room.reply().dst() == ip4(198, 51, 100, 20));
        CHECK(room.reply().dport == be16(30001));
    }
    SECTION("and a flow that is not translated keeps its own") {
        room.policy.snat.clear();
        REQUIRE((room.create(syn(30001, kClient, ip4(203, 0, 113, 11))).fate == Fate::go));
        CHECK(room.reply() == invert(room.original()));
    }
}

TEST_CASE("a full table makes room as the profile says") {
    CreateRoom room(1, 32);
    room.policy.max_flows_per_worker = 8;
    for (unsigned i = 0; i < 8; ++i) REQUIRE((room.create(syn(30000 + i)).fate == Fate::go));
    SECTION("refuse") {
        room.policy.table_full = TableFull::refuse;
        CHECK((room.create(syn(40000)).reason == DropReason::flow_table_full));
        CHECK(room.live() == 8);
        CHECK(room.seats[0]->counters->early_drops.get() == 0);
    }
    SECTION("early drop") {
        CHECK((room.create(syn(40000)).fate == Fate::go));
        CHECK(room.live() == 8);
        CHECK(room.seats[0]->counters->early_drops.get() == 1);
        CHECK(room.seats[0]->counters->flow_deaths[static_cast<std::size_t>(DeathCause::evicted)].get() == 1);
    }
    SECTION("early drop finds ASSURED flows only") {
        for (SlotIndex slot = 0; slot < 32; ++slot)
            if (room.seats[0]->store.hot(slot).alive) room.seats[0]->store.set_status(slot, status::kAssured);
        for (unsigned i = 0; i < 4; ++i) CHECK((room.create(syn(40000 + i)).reason == DropReason::flow_table_full));
        CHECK(room.live() == 8);
    }
    CHECK(room.seats[0]->counters->table_full.get() >= 1);
    CHECK(room.seats[0]->counters->half_open_full.get() == 0);
}

TEST_CASE("a used up half-open budget makes room as the profile says, however empty the table is") {
    CreateRoom room(1, 32);
    room.policy.max_flows_per_worker = 32;
    room.policy.max_half_open_per_worker = 4;
    const auto& counters = *room.seats[0]->counters;
    FlowStore& store = room.seats[0]->store;
    for (unsigned i = 0; i < 4; ++i) REQUIRE((room.create(syn(30000 + i)).fate == Fate::go));
    SECTION("refuse, and say so") {
        room.policy.table_full = TableFull::refuse;
        const Decision refused = room.create(syn(40000));
        CHECK((refused.reason == DropReason::half_open_full));
        CHECK((refused.answer == Answer::admin_prohibited));
        CHECK(counters.early_drops.get() == 0);
        CHECK(store.half_open() == 4);
        store.set_status(store.oldest_half_open(), status::kAssured);
        CHECK((room.create(syn(40000)).fate == Fate::go));
        CHECK(room.live() == 5);
    }
    SECTION("early drop") {
        const SlotIndex oldest = store.oldest_half_open();
        const std::uint32_t id = store.cold(oldest).id;
        CHECK((room.create(syn(40000)).fate == Fate::go));
        CHECK((!store.hot(oldest).alive || store.cold(oldest).id != id));
        CHECK(room.live() == 4);
        CHECK(counters.early_drops.get() == 1);
        CHECK(counters.half_open_early_drops.get() == 1);
        CHECK(counters.flow_deaths[static_cast<std::size_t>(DeathCause::evicted)].get() == 1);
    }
    CHECK(counters.half_open_full.get() == 1);
    CHECK(counters.table_full.get() == 0);
}

TEST_CASE("a table that is full, of half-open flows or not, is called so") {
    CreateRoom room(1, 32);
    room.policy.max_flows_per_worker = 4;
    room.policy.max_half_open_per_worker = 4;
    const auto& counters = *room.seats[0]->counters;
    FlowStore& store = room.seats[0]->store;
    for (unsigned i = 0; i < 4; ++i) REQUIRE((room.create(syn(30000 + i)).fate == Fate::go));
    SECTION("refuse") {
        room.policy.table_full = TableFull::refuse;
        const Decision refused = room.create(syn(40000));
        CHECK((refused.reason == DropReason::flow_table_full));
        CHECK((refused.answer == Answer::admin_prohibited));
    }
    SECTION("early drop: one flow makes room in both") {
        CHECK((room.create(syn(40000)).fate == Fate::go));
        CHECK(counters.early_drops.get() == 1);
    }
    SECTION("all established") {
        for (unsigned i = 0; i < 4; ++i) store.set_status(store.oldest_half_open(), status::kAssured);
        CHECK((room.create(syn(40000)).reason == DropReason::flow_table_full));
    }
    CHECK(room.live() == 4);
    CHECK(counters.table_full.get() == 1);
    CHECK(counters.half_open_full.get() == 0);
    CHECK(counters.half_open_early_drops.get() == 0);
}

TEST_CASE("an expected connection is RELATED, goes to its real destination and comes from where its master does") {
    CreateRoom room;
    Expectation e;
    e.tuple = port_key(IpProto::tcp, kServer, Be16{}, kBoxWan, be16(2000));
    e.real_destination = kClient;
    e.real_port = be16(2001);
    e.master = 5;
    e.master_generation = 3;
    e.mark = 0x55;
    e.deadline_ms = 100'000;
    SECTION("towards the inside") {
        REQUIRE((room.seats[0]->expectations.add(e, 1, room.now) == ExpectOutcome::added));
        REQUIRE((room.create(tcp(kServer, 20, kBoxWan, 2000).flags(kSyn), 1).fate == Fate::go));
        CHECK((room.last.state == PacketState::related));
        CHECK(room.last.out_port == kLan);
        CHECK(room.reply() == port_key(IpProto::tcp, kClient, be16(2001), kServer, be16(20)));
        CHECK(room.hot().has(status::kExpected));
        CHECK(room.cold().master == 5);
        CHECK(room.cold().master_generation == 3);
        CHECK(room.hot().mark == 0x55);
        CHECK(room.seats[0]->expectations.size() == 0);
    }
    SECTION("towards the outside its source follows the master, whatever the rules say") {
        room.masquerade();
        e.tuple = port_key(IpProto::tcp, kClient, Be16{}, kServer, be16(2000));
        e.real_destination = kServer;
        e.real_port = be16(2000);
        e.source_as = ip4(198, 51, 100, 77);
        REQUIRE((room.seats[0]->expectations.add(e, 1, room.now) == ExpectOutcome::added));
        REQUIRE((room.create(tcp(kClient, 3000, kServer, 2000).flags(kSyn)).fate == Fate::go));
        CHECK(room.reply().dst() == ip4(198, 51, 100, 77));
    }
    SECTION("a packet that may open no flow leaves it for the one that may") {
        REQUIRE((room.seats[0]->expectations.add(e, 1, room.now) == ExpectOutcome::added));
        (void)room.create(tcp(kServer, 20, kBoxWan, 2000).flags(kRst), 1);
        CHECK(room.seats[0]->expectations.size() == 1);
    }
}

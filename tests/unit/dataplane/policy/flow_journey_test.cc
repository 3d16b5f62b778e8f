// The first packet of a flow whose reply tuple has another home: its way there and back, what each worker keeps
// meanwhile, and that port choice there never lets two flows share a tuple.
#include <array>

#include <catch2/catch.hpp>

#include "tests/unit/dataplane/policy/flow_create_room.hh"

using namespace sluice;
using namespace sluice::test;

namespace {

/// A client and a server inside whose traffic the box hides behind itself by rule 3 (a hairpin's second half): `owner`
/// has the flow, the other worker keeps its reply.
struct Hidden {
    explicit Hidden(TwoHomes& room)
        : owner(1U - room.homes.of(kBoxLan)),
          client(owner == 0 ? room.yours : room.mine),
          server(owner == 0 ? room.mine : room.yours) {
        NatRule rule;
        rule.snat = SnatKind::masquerade;
        rule.rule = 3;
        room.policy.snat.push_back(rule);
    }

    unsigned owner;
    Ip4 client, server;
};

}  // namespace

TEST_CASE("the reply tuple's home chooses, keeps a stub, and the owner makes the flow") {
    TwoHomes room;
    auto journey = room.leave(room.inside(), 0);
    CHECK(journey.home == 1);
    CHECK(room.live() == 0);
    CHECK(room.seats[0]->store.table().size() == 0);  // nothing is reserved while it is away
    room.answer(journey);
    CHECK(room.stubs(1) == 1);
    REQUIRE((room.finish(journey).fate == Fate::go));
    CHECK(room.live() == 1);
    CHECK(room.cold().stub_worker == 1);
    CHECK(room.reply() == invert(room.original()));
    CHECK_FALSE(room.seats[0]->find(room.reply()));
    const FlowRef stub = room.seats[1]->find(room.reply());
    REQUIRE(room.seats[1]->store.is_stub(stub));
    CHECK(room.seats[1]->store.stub(stub).owner == 0);
    CHECK(room.seats[1]->store.stub(stub).original == room.original());
    room.seats[0]->store.kill(room.last.slot, DeathCause::closed);
    room.read_mail(1);
    CHECK(room.stubs(1) == 0);
    CHECK(room.seats[1]->store.table().size() == 0);
}

TEST_CASE("a lost packet leaves nothing on its owner") {
    TwoHomes room;
    auto journey = room.leave(room.inside(), 0);
    rte_pktmbuf_free(journey.p.mbuf);
    CHECK(room.live() == 0);
    CHECK(room.seats[0]->store.table().size() == 0);
    CHECK(room.stubs(1) == 0);
}

TEST_CASE("of two packets of one flow that are on the way the first to finish wins, and no stub is left over") {
    TwoHomes room;
    auto first = room.leave(room.inside(), 0);
    room.seats[0]->firsts.expire({room.now.ms + 1000, 0}, [](rte_mbuf*) {});  // given up too early
    auto second = room.leave(room.inside(), 0);
    room.answer(first);
    room.answer(second);
    CHECK(room.stubs(1) == 2);  // the second got another port
    const bool in_order = GENERATE(true, false);
    auto& winner = in_order ? first : second;
    auto& loser = in_order ? second : first;
    REQUIRE((room.finish(winner).fate == Fate::go));
    const SlotIndex slot = room.last.slot;
    const FlowKey reply = room.reply();
    REQUIRE((room.finish(loser).fate == Fate::go));
    CHECK(room.last.slot == slot);
    CHECK(room.live() == 1);
    room.read_mail(1);
    CHECK(room.stubs(1) == 1);
    CHECK(room.seats[1]->store.is_stub(room.seats[1]->find(reply)));
}

TEST_CASE("a flow that cannot be made when its packet is back withdraws its stub") {
    TwoHomes room;
    auto journey = room.leave(room.inside(), 0);
    room.answer(journey);
    SECTION("the table is full") {
        room.policy.table_full = TableFull::refuse;
        room.policy.max_flows_per_worker = 0;
        CHECK((room.finish(journey).reason == DropReason::flow_table_full));
    }
    SECTION("the route is gone") {
        room.routes->remove_route(ip4(192, 0, 2, 0), 24);
        room.routes->remove_route(ip4(0, 0, 0, 0), 0);
        CHECK((room.finish(journey).reason == DropReason::no_route));
    }
    room.read_mail(1);
    CHECK(room.removed == 1);
    CHECK(room.stubs(1) == 0);
    CHECK(room.live() == 0);
}

TEST_CASE("a refused request ends the packet when there is no other address to ask for") {
    TwoHomes room;
    auto journey = room.leave(room.inside(), 0);
    note_of(journey.p.mbuf).ports = {40000, 40000};
    const FlowKey wanted = note_of(journey.p.mbuf).reply;
    REQUIRE(room.seats[1]->store.add_stub(wanted, 0, invert(wanted)));
    room.answer(journey);
    CHECK((note_of(journey.p.mbuf).answer == StubAnswer::refused));
    CHECK((room.finish(journey).reason == DropReason::nat_pool_exhausted));
    CHECK(room.live() == 0);
}

TEST_CASE("a masqueraded flow whose reply another worker keeps knows its address as any other") {
    TwoHomes room;
    const Hidden hidden(room);
    auto journey = room.leave(tcp(hidden.client, 40000, hidden.server, 80).flags(kSyn), hidden.owner);
    room.answer(journey);
    REQUIRE((room.finish(journey).fate == Fate::go));
    CHECK(room.reply(hidden.owner).dst() == kBoxLan);
    CHECK(room.cold(hidden.owner).masqueraded);
    CHECK(room.reply(hidden.owner).dst() == kBoxLan);
    CHECK(room.cold(hidden.owner).snat_rule == 3);
}

TEST_CASE("the reply tuple's home is asked for the mapping that the endpoint has, and gives another if that is taken") {
    TwoHomes room;
    const Hidden hidden(room);
    const auto ask = [&](unsigned port) {
        return room.leave(tcp(hidden.client, 40000, hidden.server, port).flags(kSyn), hidden.owner);
    };
    const auto asked = [](TwoHomes::Journey& j) { return note_of(j.p.mbuf).reply.dport.host(); };
    auto first = ask(80);
    CHECK(asked(first) == 40000);
    note_of(first.p.mbuf).ports = {2000, 2000};  // as if 40000 were taken
    note_of(first.p.mbuf).ports_bound = true;
    room.answer(first);
    REQUIRE((room.finish(first).fate == Fate::go));
    REQUIRE(room.reply(hidden.owner).dport == be16(2000));

    auto second = ask(81);
    CHECK(asked(second) == 2000);
    const FlowKey wanted = note_of(second.p.mbuf).reply;
    const bool taken = GENERATE(false, true);
    if (taken)
        REQUIRE(room.seats[1 - hidden.owner]->store.add_stub(wanted, static_cast<std::uint8_t>(hidden.owner),
                                                             invert(wanted)));
    room.answer(second);
    REQUIRE((room.finish(second).fate == Fate::go));
    CHECK((room.reply(hidden.owner).dport == be16(2000)) == !taken);
    CHECK(room.reply(hidden.owner).dport.host() >= 1024);
    CHECK(room.live(hidden.owner) == 2);
}

TEST_CASE("the reply tuple's home lets a SYN take over a connection of its own that is over") {
    TwoHomes room;
    auto journey = room.leave(room.inside().seq(900000), 0);
    Seat& home = *room.seats[1];
    const FlowKey wanted = note_of(journey.p.mbuf).reply;
    FlowKey other = invert(wanted);
    other.sport = be16(1);
    const SlotIndex slot = home.fill(other, wanted);
    home.store.hot(slot).status = status::kSourceNat;
    home.store.hot(slot).tcp_state = TcpState::time_wait;
    home.store.hot(slot).tcp.ends[0].end = 1000;
    REQUIRE(home.store.publish(slot));
    note_of(journey.p.mbuf).ports = {40000, 40000};
    room.answer(journey);
    REQUIRE((room.finish(journey).fate == Fate::go));
    CHECK(room.live(0) == 1);
    CHECK(room.live(1) == 0);
    CHECK(room.reply() == wanted);
    CHECK(home.counters->flow_deaths[static_cast<std::size_t>(DeathCause::replaced)].get() == 1);
}

TEST_CASE("a withdrawal that finds the ring to the peer full is sent later") {
    TwoHomes room;
    auto journey = room.leave(room.inside(), 0);
    room.answer(journey);
    PeerMessage other;
    while (room.seats[1]->peer.post(other)) {
    }
    room.policy.table_full = TableFull::refuse;
    room.policy.max_flows_per_worker = 0;
    CHECK((room.finish(journey).reason == DropReason::flow_table_full));
    std::array<PeerMessage, 64> mail;
    while (room.seats[1]->peer.take(mail.data(), 64) != 0) {
    }
    (void)room.seats[0]->store.pump(64);
    room.read_mail(1);
    CHECK(room.stubs(1) == 0);
}

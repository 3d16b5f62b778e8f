// The first packet of a flow, on one worker and between two: what it makes, what it leaves undone when something is
// refused, and that port choice on the reply tuple's home never lets two flows share a tuple.
#include "dataplane/policy/flow_create.hh"

#include <algorithm>
#include <array>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include <catch2/catch.hpp>

#include "dataplane/base/publication.hh"
#include "dataplane/ingress/parse.hh"
#include "tests/support/flow_room.hh"
#include "tests/support/packet_room.hh"

using namespace sluice;
using namespace sluice::test;

namespace {

constexpr PortIndex kLan = PacketRoom::kLan, kWan = PacketRoom::kWan;
constexpr Ip4 kClient = ip4(192, 0, 2, 7), kServer = ip4(203, 0, 113, 9);
constexpr Ip4 kBoxLan = ip4(192, 0, 2, 1), kBoxWan = ip4(198, 51, 100, 1), kGateway = ip4(198, 51, 100, 254);

/// One worker's share.
struct Seat : FlowRoom {
    Seat(std::uint8_t worker, const RouteTable& routes, const PortTable& ports, const HomeMap& homes,
         std::uint32_t capacity)
        : FlowRoom(capacity, 1024),
          random(99 + worker),
          expectations("fc" + tag, 16, -1, kSecret, *counters),
          firsts({.tuples = 64, .packets = 64}, *counters),
          creator({worker, store, expectations, firsts, random, routes, ports, homes, *counters}),
          peer("fcp" + tag, 64, -1) {}
    FastRandom random;
    ExpectTable expectations;
    FirstPackets firsts;
    FlowCreator creator;
    Ring<PeerMessage> peer;  ///< from the other worker to this one
};

struct Room : PacketRoom {
    explicit Room(unsigned workers = 1, std::uint32_t capacity = 64) : grace(1), homes(workers) {
        routes =
            std::make_unique<RouteTable>(("fcr" + std::to_string(FlowRoom::next_number())).c_str(), grace, 64, 64, -1);
        grace.online(0);
        auto own = std::make_unique<Addresses>();
        own->by_port[kLan] = {{kBoxLan, 24, false}};
        own->by_port[kWan] = {{kBoxWan, 24, false}};
        routes->publish_addresses(std::move(own));
        const auto hop = [&](HopKind kind, PortIndex port, Ip4 address = {}) {
            NextHop h;
            h.kind = kind;
            h.out_port = port;
            h.address = address;
            return routes->add_hop(h);
        };
        REQUIRE(routes->add_route(ip4(0, 0, 0, 0), 0, hop(HopKind::neighbour, kWan, kGateway)));
        REQUIRE(routes->add_route(ip4(192, 0, 2, 0), 24, hop(HopKind::connected, kLan)));
        const auto local = hop(HopKind::local, kNoPort);
        REQUIRE(routes->add_route(kBoxLan, 32, local));
        REQUIRE(routes->add_route(kBoxWan, 32, local));
        REQUIRE(routes->add_route(ip4(198, 51, 100, 128), 28, hop(HopKind::prohibit, kNoPort)));
        for (unsigned w = 0; w < workers; ++w)
            seats.push_back(std::make_unique<Seat>(static_cast<std::uint8_t>(w), *routes, *ports, homes, capacity));
        for (unsigned w = 0; w < workers; ++w) {
            std::vector<Ring<PeerMessage>*> peers;
            for (auto& s : seats) peers.push_back(&s->peer);
            seats[w]->store.connect_peers(static_cast<std::uint8_t>(w), peers);
        }
        policy.generation = 1;
        policy.max_flows_per_worker = capacity;
        policy.timeouts.tcp.fill(100);
        policy.timeouts.tcp_max_retrans = policy.timeouts.tcp_unacknowledged = 100;
        policy.timeouts.udp = 30;
        policy.timeouts.icmp = 20;
        policy.timeouts.generic = 600;
        policy.rule_count = 16;
        for (auto& chain : policy.filter) chain.policy_rule = 15;
        for (unsigned w = 0; w < workers; ++w) policy.counters.push_back(std::make_unique<RuleCounter[]>(16));
    }

    void masquerade() {
        NatRule rule;
        rule.snat = SnatKind::masquerade;
        rule.match.out_ports = 1ULL << kWan;
        rule.rule = 3;
        policy.snat.push_back(rule);
    }
    void snat(Ip4 lowest, Ip4 highest, std::optional<PortRange> range = {}) {
        NatRule rule;
        rule.snat = SnatKind::addresses;
        rule.match.out_ports = 1ULL << kWan;
        rule.pool.ranges = {{lowest, highest}};
        rule.pool.size = rule.pool.ranges[0].size();
        rule.rule = 3;
        rule.has_ports = range.has_value();
        rule.ports = range.value_or(PortRange{});
        policy.snat.push_back(rule);
    }
    void dnat(Ip4 target) {
        NatRule rule;
        rule.dnat = true;
        rule.match.in_ports = 1ULL << kWan;
        rule.pool.ranges = {{target, target}};
        rule.pool.size = 1;
        rule.rule = 4;
        policy.dnat.push_back(rule);
    }
    Packet parsed(const PacketBuilder& b, std::uint16_t device = 0, unsigned worker = 0) {
        PacketBuilder copy = b;
        Packet p = arrive(copy.to((*ports)[device == 0 ? kLan : kWan].mac), device);
        REQUIRE((parse(p, *ports, disposal) == Arrival::forward));
        p.hash = seats[worker]->store.table().hash(p.key);
        return p;
    }
    /// A first packet on `worker`; the room frees the buffer unless it goes on a journey.
    Decision create(const PacketBuilder& b, std::uint16_t device = 0, unsigned worker = 0) {
        Packet p = parsed(b, device, worker);
        const Decision d = seats[worker]->creator.create(p, policy, now);
        keep(p, d);
        return d;
    }
    /// A packet on its journey to the reply tuple's home and back. The stub stays when `finish` is not called.
    struct Journey {
        Packet p;
        unsigned owner, home;
    };
    Journey leave(const PacketBuilder& b, unsigned owner, std::uint16_t device = 0) {
        Packet p = parsed(b, device, owner);
        const Decision d = seats[owner]->creator.create(p, policy, now);
        REQUIRE((d.fate == Fate::hand_over));
        const unsigned home = d.to_worker;
        REQUIRE(home != owner);
        REQUIRE((note_of(p.mbuf).kind == HandoffKind::stub_request));
        return {p, owner, home};
    }
    void answer(Journey& j) { seats[j.home]->creator.answer_stub_request(note_of(j.p.mbuf), j.p.key); }
    Decision finish(Journey& j) {
        const Decision d = seats[j.owner]->creator.finish(j.p, policy, now);
        keep(j.p, d);
        return d;
    }
    void keep(Packet& p, const Decision& d) {
        last = p;
        if (d.fate != Fate::hand_over) rte_pktmbuf_free(p.mbuf);
        last.mbuf = nullptr;
    }
    /// What `worker` was told by the other.
    void read_mail(unsigned worker) {
        std::array<PeerMessage, 16> mail;
        const unsigned n = seats[worker]->peer.take(mail.data(), 16);
        for (unsigned i = 0; i < n; ++i)
            seats[worker]->store.remove_stub(mail[i].reply, static_cast<std::uint8_t>(mail[i].from_worker),
                                             mail[i].original);
        removed += n;
    }
    FlowHot& hot(unsigned worker = 0) { return seats[worker]->store.hot(last.slot); }
    FlowCold& cold(unsigned worker = 0) { return seats[worker]->store.cold(last.slot); }
    FlowKey original(unsigned worker = 0) { return seats[worker]->store.key(last.slot, Direction::original); }
    FlowKey reply(unsigned worker = 0) { return seats[worker]->store.key(last.slot, Direction::reply); }
    std::uint64_t live(unsigned worker = 0) { return seats[worker]->store.live(); }
    std::uint64_t stubs(unsigned worker) { return seats[worker]->counters->stubs.get(); }

    GracePeriods grace;
    HomeMap homes;
    std::unique_ptr<RouteTable> routes;
    Policy policy;
    std::vector<std::unique_ptr<Seat>> seats;
    Now now{1000, 0};
    Packet last;
    unsigned removed = 0;
};

PacketBuilder syn(unsigned port = 40000, Ip4 client = kClient, Ip4 server = kServer) {
    return tcp(client, port, server, 80).flags(kSyn);
}

/// Two addresses of the inside with different homes.
struct TwoHomes : Room {
    TwoHomes() : Room(2) {
        mine = find(0);
        yours = find(1);
    }
    Ip4 find(unsigned home) {
        for (unsigned n = 10;; ++n)
            if (homes.of(ip4(192, 0, 2, n)) == home) return ip4(192, 0, 2, n);
    }
    Ip4 mine, yours;
    /// Inside to inside: the owner is the server's home (0), the reply tuple's home is the client's (1).
    PacketBuilder inside(unsigned port = 40000) { return tcp(yours, port, mine, 80).flags(kSyn); }
};

}  // namespace

TEST_CASE("a routed flow without NAT keeps its tuple") {
    Room room;
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
    Room room;
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
    Room room;
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
    Room room;
    room.dnat(ip4(192, 0, 2, 50));
    REQUIRE((room.create(tcp(kServer, 5555, kBoxWan, 80).flags(kSyn), 1).fate == Fate::go));
    CHECK(room.last.out_port == kLan);
    CHECK(room.reply() == port_key(IpProto::tcp, ip4(192, 0, 2, 50), be16(80), kServer, be16(5555)));
    CHECK(room.hot().has(status::kDestNat));
    CHECK(room.cold().dnat_rule == 4);
    CHECK(room.policy.counter(0, 4).packets.get() == 1);
}

TEST_CASE("what cannot be routed or is filtered makes no flow") {
    Room room;
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
    Room room;
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
    Room room;
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

TEST_CASE("a full table makes room as the profile says") {
    Room room(1, 32);
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
    Room room(1, 32);
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
    Room room(1, 32);
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
    Room room;
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
        CHECK(room.cold().mark == 0x55);
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
    // Inside to inside, hidden behind the box (a hairpin's second half).
    NatRule rule;
    rule.snat = SnatKind::masquerade;
    rule.rule = 3;
    room.policy.snat.push_back(rule);
    const unsigned owner = 1U - room.homes.of(kBoxLan);
    const Ip4 server = owner == 0 ? room.mine : room.yours, client = owner == 0 ? room.yours : room.mine;
    auto journey = room.leave(tcp(client, 40000, server, 80).flags(kSyn), owner);
    room.answer(journey);
    REQUIRE((room.finish(journey).fate == Fate::go));
    CHECK(room.reply(owner).dst() == kBoxLan);
    CHECK(room.cold(owner).masqueraded);
    CHECK(room.reply(owner).dst() == kBoxLan);
    CHECK(room.cold(owner).snat_rule == 3);
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

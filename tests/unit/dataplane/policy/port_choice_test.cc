// Ports: kept when free, else one of the same class, unpredictable, and every port of a small range before it gives up.
#include "dataplane/policy/port_choice.hh"

#include <memory>
#include <set>
#include <vector>

#include <catch2/catch.hpp>

#include "dataplane/policy/expect_table.hh"
#include "dataplane/policy/first_packets.hh"
#include "tests/support/flow_room.hh"

using namespace sluice;
using test::FlowRoom;

namespace {

constexpr Ip4 kOutside = ip4(198, 51, 100, 1), kServer = ip4(203, 0, 113, 9);

struct Room : FlowRoom {
    explicit Room(std::uint32_t capacity = 2048, std::uint64_t seed = 42)
        : FlowRoom(capacity, 65536),
          random(seed),
          expectations(16, -1, kSecret, *counters),
          firsts({.tuples = 16, .packets = 16}, *counters),
          chooser(store, expectations, firsts, random, *counters) {}

    /// The reply tuple that a connection from source port `port` would like.
    static FlowKey wanted(unsigned port) { return port_key(IpProto::tcp, kServer, be16(80), kOutside, be16(port)); }
    /// Chooses and keeps: a flow takes the tuple. 0: none was free.
    unsigned connect(unsigned port, PortRange ports) {
        const auto reply = chooser.choose(wanted(port), {ports, true});
        if (!reply) return 0;
        CHECK(reply->hash == store.table().hash(reply->key));
        FlowKey original = invert(reply->key);
        original.set_src(Ip4::from_host(ip4(192, 0, 2, 0).host() + clients++));
        const SlotIndex slot = fill(original, reply->key);
        store.hot(slot).status = status::kSourceNat;
        REQUIRE(store.publish(slot));
        return reply->key.dport.host();
    }

    std::uint32_t clients = 0;
    FastRandom random;
    ExpectTable expectations;
    FirstPackets firsts;
    PortChooser chooser;
};

}  // namespace

TEST_CASE("the class of a port is what Linux makes of it") {
    CHECK(port_class(0) == PortRange{1, 511});
    CHECK(port_class(511) == PortRange{1, 511});
    CHECK(port_class(512) == PortRange{600, 1023});
    CHECK(port_class(1023) == PortRange{600, 1023});
    CHECK(port_class(1024) == PortRange{1024, 65535});
    CHECK(port_class(65535) == PortRange{1024, 65535});
}

TEST_CASE("a free port is kept, a taken one is replaced within the range") {
    Room room;
    CHECK(room.connect(40000, {1024, 65535}) == 40000);
    CHECK(room.counters->nat_port_kept.get() == 1);
    const unsigned other = room.connect(40000, {1024, 65535});
    CHECK(other != 40000);
    CHECK(other >= 1024);
    CHECK(room.counters->nat_port_random.get() == 1);
    CHECK(room.counters->nat_port_kept.get() == 1);
}

TEST_CASE("a port outside the range is never kept") {
    Room room;
    const unsigned port = room.connect(40000, {5000, 5099});
    CHECK(port >= 5000);
    CHECK(port <= 5099);
}

TEST_CASE("a free port is kept though replacements would be of another range, unless a rule wants that range") {
    Room room;
    const auto asked = [&](unsigned port, bool bound) {
        const auto reply =
            room.chooser.choose(Room::wanted(port), {port_class(static_cast<std::uint16_t>(port)), bound});
        REQUIRE(reply);
        return reply->key.dport.host();
    };
    for (const unsigned port : {0U, 511U, 512U, 520U, 599U, 600U, 1023U}) {
        CHECK(asked(port, false) == port);
        CHECK(PortChooser::may_keep(Room::wanted(port), {port_class(static_cast<std::uint16_t>(port)), false}));
    }
    CHECK(asked(520, true) >= 600);
    CHECK_FALSE(PortChooser::may_keep(Room::wanted(520), {{600, 1023}, true}));
}

TEST_CASE("a SYN takes over the port of a connection that is over, and of no other") {
    Room room;
    constexpr PortRange kOne{5000, 5000};
    REQUIRE(room.connect(5000, kOne) == 5000);
    const SlotIndex slot = room.find(Room::wanted(5000)).slot();
    FlowHot& old = room.store.hot(slot);
    old.tcp.ends[0].end = 0xffffff00;
    room.store.set_tcp_state(slot, TcpState::time_wait);
    const auto newcomer = [&](SynEnd end) { return bool(room.chooser.choose(Room::wanted(4000), {kOne, true}, end)); };
    const auto replaced = [&] {
        return room.counters->flow_deaths[static_cast<std::size_t>(DeathCause::replaced)].get();
    };
    SECTION("in TIME_WAIT, by higher numbers, which may have wrapped around") {
        CHECK_FALSE(newcomer(std::nullopt));
        CHECK_FALSE(newcomer(0xfffffeff));
        CHECK_FALSE(newcomer(0xffffff00));
        CHECK(replaced() == 0);
        CHECK(newcomer(7));
        CHECK(replaced() == 1);
        CHECK(room.store.live() == 0);
    }
    SECTION("in CLOSE") {
        room.store.set_tcp_state(slot, TcpState::close);
        CHECK(newcomer(0xffffff01));
    }
    SECTION("not while it lives") {
        for (const TcpState state : {TcpState::syn_sent, TcpState::syn_recv, TcpState::established, TcpState::fin_wait,
                                     TcpState::close_wait, TcpState::last_ack}) {
            room.store.set_tcp_state(slot, state);
            CHECK_FALSE(newcomer(7));
        }
    }
    SECTION("not of one that is not translated") {
        old.status = 0;
        CHECK_FALSE(newcomer(7));
    }
    SECTION("not of a tuple that is promised, nor one kept for another worker") {
        Expectation e;
        e.tuple = port_key(IpProto::tcp, kServer, Be16{}, kOutside, be16(5000));
        e.deadline_ms = 100'000;
        REQUIRE((room.expectations.add(e, 1, {1000, 0}) == ExpectOutcome::added));
        CHECK_FALSE(newcomer(7));
        CHECK(room.store.live() == 1);
        REQUIRE(room.store.add_stub(Room::wanted(5001), 1, invert(Room::wanted(5001))));
        CHECK_FALSE(room.chooser.choose(Room::wanted(4000), {{5001, 5001}, true}, 7));
    }
    SECTION("not of a flow that would be met in its original direction") {
        const FlowKey met = room.store.key(slot, Direction::original);
        const auto other = room.chooser.choose(met, {port_class(80), false}, 7);
        CHECK_FALSE((other && other->key == met));
        CHECK(room.store.live() == 1);
    }
}

TEST_CASE("of a large range a port is taken over in the last tries only") {
    Room room;
    constexpr PortRange kRange{5000, 5063};
    for (unsigned i = 0; i < kRange.size(); ++i) {
        const unsigned port = room.connect(40000, kRange);
        room.store.set_tcp_state(room.find(Room::wanted(port)).slot(), TcpState::close);
    }
    REQUIRE(room.store.live() == 64);
    const auto before = room.counters->nat_port_probes.get();
    REQUIRE(room.chooser.choose(Room::wanted(40000), {kRange, true}, 7));
    CHECK(room.counters->nat_port_probes.get() - before == 33);  // 32 that only ask, then the first that takes
    CHECK(room.store.live() == 63);
}

TEST_CASE("a port towards another server is free") {
    Room room;
    REQUIRE(room.connect(40000, {1024, 65535}) == 40000);
    FlowKey elsewhere = Room::wanted(40000);
    elsewhere.set_src(ip4(203, 0, 113, 10));
    const auto reply = room.chooser.choose(elsewhere, {{1024, 65535}, true});
    REQUIRE(reply);
    CHECK(reply->key.dport == be16(40000));
}

TEST_CASE("a small range is used to its last port") {
    for (const unsigned size : {1U, 7U, 100U, 128U}) {
        Room room;
        const PortRange range{2000, static_cast<std::uint16_t>(2000 + size - 1)};
        std::set<unsigned> used;
        for (unsigned i = 0; i < size; ++i) used.insert(room.connect(40000, range));
        INFO("range of " << size);
        CHECK(used.size() == size);
        CHECK_FALSE(used.contains(0));
        CHECK(room.connect(40000, range) == 0);
        CHECK(room.connect(2000, range) == 0);
    }
}

TEST_CASE("a range that ends at 65535 does not wrap into port 0") {
    Room room;
    std::set<unsigned> used;
    for (unsigned i = 0; i < 16; ++i) used.insert(room.connect(1, {65520, 65535}));
    CHECK(used.size() == 16);
    CHECK(*used.begin() == 65520);
    CHECK(*used.rbegin() == 65535);
}

TEST_CASE("ports that clash are not given out in sequence, and differ by seed") {
    const auto draw = [](std::uint64_t seed) {
        Room room(2048, seed);
        std::vector<unsigned> ports;
        for (unsigned i = 0; i < 200; ++i) ports.push_back(room.connect(40000, {1024, 65535}));
        return ports;
    };
    const auto a = draw(1), b = draw(2);
    unsigned neighbours = 0, low = 0;
    for (std::size_t i = 2; i < a.size(); ++i) {
        if (a[i] == a[i - 1] + 1 || a[i] + 1 == a[i - 1]) ++neighbours;
        if (a[i] < 33280) ++low;
    }
    CHECK(neighbours < 3);
    CHECK(low > 60);
    CHECK(low < 140);
    CHECK(std::set(a.begin(), a.end()).size() == a.size());
    CHECK(a != b);
}

TEST_CASE("a port that an expectation promises is not given to another flow") {
    Room room;
    Expectation e;
    e.tuple = port_key(IpProto::tcp, kServer, Be16{}, kOutside, be16(40000));
    e.deadline_ms = 100'000;
    REQUIRE((room.expectations.add(e, 1, {1000, 0}) == ExpectOutcome::added));
    CHECK_FALSE(room.chooser.is_free(Room::wanted(40000), room.store.table().hash(Room::wanted(40000))));
    CHECK(room.connect(40000, {1024, 65535}) != 40000);
}

TEST_CASE("a stub holds its port like a flow") {
    Room room;
    REQUIRE(room.store.add_stub(Room::wanted(40000), 1, invert(Room::wanted(40000))));
    CHECK(room.connect(40000, {1024, 65535}) != 40000);
}

TEST_CASE("of an ICMP query the identifier is chosen, type and code stay") {
    Room room;
    const FlowKey reply = invert(icmp_key(kOutside, kServer, 8, 0, be16(77)));
    const auto first = room.chooser.choose(reply, {PortRange{}, true});
    REQUIRE(first);
    CHECK(first->key == reply);
    REQUIRE(room.store.publish(room.fill(icmp_key(ip4(192, 0, 2, 7), kServer, 8, 0, be16(77)), first->key)));
    const auto second = room.chooser.choose(reply, {PortRange{}, true});
    REQUIRE(second);
    CHECK(second->key.sport != be16(77));
    CHECK(second->key.dport == reply.dport);
    CHECK(second->key.icmp_type() == 0);
}

TEST_CASE("a protocol without ports has the wanted tuple or none") {
    Room room;
    const FlowKey reply = generic_key(47, kServer, kOutside);
    const auto first = room.chooser.choose(reply, {PortRange{}, true});
    REQUIRE(first);
    CHECK(first->key == reply);
    REQUIRE(room.store.publish(room.fill(generic_key(47, ip4(192, 0, 2, 7), kServer), reply)));
    CHECK_FALSE(room.chooser.choose(reply, {PortRange{}, true}));
}

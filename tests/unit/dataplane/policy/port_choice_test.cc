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
          expectations("pc" + tag, 16, -1, kSecret, *counters),
          firsts({.tuples = 16, .packets = 16}, *counters),
          chooser(store, expectations, firsts, random, *counters) {}

    /// The reply tuple that a connection from source port `port` would like.
    static FlowKey wanted(unsigned port) { return port_key(IpProto::tcp, kServer, be16(80), kOutside, be16(port)); }
    /// Chooses and keeps: a flow takes the tuple. 0: none was free.
    unsigned connect(unsigned port, PortRange ports) {
        const auto reply = chooser.choose(wanted(port), {ports, true});
        if (!reply) return 0;
        FlowKey original = invert(*reply);
        original.set_src(Ip4::from_host(ip4(192, 0, 2, 0).host() + clients++));
        const SlotIndex slot = fill(original, *reply);
        REQUIRE(store.publish(slot));
        return reply->dport.host();
    }

    std::uint32_t clients = 0;
    FastRandom random;
    ExpectTable expectations;
    FirstPackets firsts;
    PortChooser chooser;
};

}  // namespace

TEST_CASE("the class of a port is what Linux makes of it") {
    CHECK(port_class(0) == PortRange{0, 511});  // kept, never chosen
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

TEST_CASE("a port towards another server is free") {
    Room room;
    REQUIRE(room.connect(40000, {1024, 65535}) == 40000);
    FlowKey elsewhere = Room::wanted(40000);
    elsewhere.set_src(ip4(203, 0, 113, 10));
    const auto reply = room.chooser.choose(elsewhere, {{1024, 65535}, true});
    REQUIRE(reply);
    CHECK(reply->dport == be16(40000));
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
    CHECK_FALSE(room.chooser.is_free(Room::wanted(40000)));
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
    CHECK(*first == reply);
    REQUIRE(room.store.publish(room.fill(icmp_key(ip4(192, 0, 2, 7), kServer, 8, 0, be16(77)), *first)));
    const auto second = room.chooser.choose(reply, {PortRange{}, true});
    REQUIRE(second);
    CHECK(second->sport != be16(77));
    CHECK(second->dport == reply.dport);
    CHECK(second->icmp_type() == 0);
}

TEST_CASE("a protocol without ports has the wanted tuple or none") {
    Room room;
    const FlowKey reply = generic_key(47, kServer, kOutside);
    const auto first = room.chooser.choose(reply, {PortRange{}, true});
    REQUIRE(first);
    CHECK(*first == reply);
    REQUIRE(room.store.publish(room.fill(generic_key(47, ip4(192, 0, 2, 7), kServer), reply)));
    CHECK_FALSE(room.chooser.choose(reply, {PortRange{}, true}));
}

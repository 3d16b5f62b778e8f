// Expectations: found once by their tuple with any source port, limited per master and per table, refreshed by
// themselves, refused to others, gone with their timer or their master.
#include "dataplane/policy/expect_table.hh"

#include <array>
#include <memory>
#include <string>

#include <catch2/catch.hpp>

#include "tests/support/flow_room.hh"

using namespace sluice;
using test::FlowRoom;

namespace {

constexpr Ip4 kClient = ip4(192, 0, 2, 7), kServer = ip4(203, 0, 113, 9);
constexpr Now kStart{1000, 0};

/// What a client of master `master` announced: the server will connect to its port `port`.
Expectation promise(unsigned port, SlotIndex master = 1, TimeMs deadline_ms = 301'000) {
    Expectation e;
    e.tuple = port_key(IpProto::tcp, kServer, Be16{}, kClient, be16(port));
    e.real_destination = kClient;
    e.real_port = be16(port);
    e.master = master;
    e.master_generation = 5;
    e.deadline_ms = deadline_ms;
    return e;
}
FlowKey arriving(unsigned port, unsigned source_port = 20, Ip4 source = kServer) {
    return port_key(IpProto::tcp, source, be16(source_port), kClient, be16(port));
}

struct Room : test::EalFixture {
    explicit Room(std::uint32_t capacity = 16) : table(capacity, -1, FlowRoom::kSecret, *counters) {}
    ExpectOutcome add(const Expectation& e, std::uint32_t max = 8) { return table.add(e, max, now); }
    bool take(const FlowKey& key) { return table.take(key, now, found); }

    std::unique_ptr<WorkerCounters> counters = std::make_unique<WorkerCounters>();
    Now now = kStart;
    ExpectTable table;
    Expectation found;
};

}  // namespace

TEST_CASE("an expectation is fulfilled once, from any source port") {
    Room room;
    CHECK((room.add(promise(2000)) == ExpectOutcome::added));
    CHECK(room.table.size() == 1);
    CHECK(room.counters->expectations.get() == 1);
    CHECK_FALSE(room.take(arriving(2001)));
    CHECK_FALSE(room.take(arriving(2000, 20, ip4(203, 0, 113, 10))));
    CHECK(room.table.holds(arriving(2000, 4711)));
    REQUIRE(room.take(arriving(2000, 4711)));
    CHECK(room.found.master == 1);
    CHECK(room.found.real_port == be16(2000));
    CHECK_FALSE(room.take(arriving(2000, 4711)));
    CHECK_FALSE(room.table.holds(arriving(2000)));
    CHECK(room.counters->expect_created.get() == 1);
    CHECK(room.counters->expect_fulfilled.get() == 1);
    CHECK(room.counters->expectations.get() == 0);
}

TEST_CASE("a loose expectation is fulfilled by any address") {
    Room room;
    Expectation loose = promise(2000);
    loose.tuple.set_src({});
    CHECK((room.add(loose) == ExpectOutcome::added));
    CHECK(room.take(arriving(2000, 5, ip4(198, 51, 100, 200))));
}

TEST_CASE("zones and protocols keep expectations apart") {
    Room room;
    room.add(promise(2000));
    FlowKey other = arriving(2000);
    other.zone = 3;
    CHECK_FALSE(room.table.holds(other));
    other = arriving(2000);
    other.proto = 17;
    CHECK_FALSE(room.table.holds(other));
}

TEST_CASE("the same expectation again renews its timer") {
    Room room;
    room.add(promise(2000, 1, 11'000));
    room.add(promise(2001, 1, 12'000));
    CHECK((room.add(promise(2000, 1, 21'000)) == ExpectOutcome::refreshed));
    CHECK(room.table.size() == 2);
    room.now.ms = 12'000;
    room.table.sweep(room.now, 10);
    CHECK(room.table.size() == 1);  // the order by deadline was kept
    CHECK(room.take(arriving(2000)));
    CHECK(room.counters->expect_created.get() == 2);
}

TEST_CASE("a tuple that is promised already is refused to anything else") {
    Room room;
    room.add(promise(2000));
    SECTION("another master") {
        CHECK((room.add(promise(2000, 2)) == ExpectOutcome::clash));
    }
    SECTION("another life of the master's slot") {
        Expectation e = promise(2000);
        e.master_generation = 6;
        CHECK((room.add(e) == ExpectOutcome::clash));
    }
    SECTION("another worker's master in the same slot") {
        Expectation e = promise(2000);
        e.master_worker = 3;
        CHECK((room.add(e) == ExpectOutcome::clash));
    }
    SECTION("another destination behind it") {
        Expectation e = promise(2000);
        e.real_port = be16(99);
        CHECK((room.add(e) == ExpectOutcome::clash));
    }
    CHECK(room.counters->expect_refused.get() == 1);
    CHECK(room.table.size() == 1);
}

TEST_CASE("what is past its deadline is a miss, and its tuple is free") {
    Room room;
    room.add(promise(2000, 1, 11'000));
    room.now.ms = 10'999;
    SECTION("just in time") {
        CHECK(room.take(arriving(2000)));
    }
    room.now.ms = 11'000;
    SECTION("too late for a packet") {
        CHECK_FALSE(room.take(arriving(2000)));
        CHECK(room.counters->expect_fulfilled.get() == 0);
        CHECK(room.counters->expect_expired.get() == 1);
        CHECK(room.table.size() == 0);
    }
    SECTION("another one takes its place") {
        CHECK((room.add(promise(2000, 9, 99'000)) == ExpectOutcome::added));
        CHECK(room.counters->expect_expired.get() == 1);
        REQUIRE(room.take(arriving(2000)));
        CHECK(room.found.master == 9);
    }
}

TEST_CASE("a master's oldest expectation gives way to its newest") {
    Room room;
    for (unsigned port = 2000; port < 2003; ++port) CHECK((room.add(promise(port), 3) == ExpectOutcome::added));
    CHECK((room.add(promise(3000, 17), 3) == ExpectOutcome::added));  // shares the bucket with master 1, is not of it
    CHECK((room.add(promise(2003), 3) == ExpectOutcome::added));
    CHECK(room.counters->expect_replaced.get() == 1);
    CHECK_FALSE(room.table.holds(arriving(2000)));
    CHECK(room.table.holds(arriving(2001)));
    CHECK(room.table.holds(arriving(2003)));
    CHECK(room.table.holds(arriving(3000)));
}

TEST_CASE("a full table refuses, but frees what is overdue first") {
    Room room(4);
    for (unsigned i = 0; i < 4; ++i) room.add(promise(2000 + i, i, 11'000 + i));
    CHECK((room.add(promise(2500, 9)) == ExpectOutcome::table_full));
    CHECK(room.counters->expect_refused.get() == 1);
    room.now.ms = 11'001;
    CHECK((room.add(promise(2500, 9)) == ExpectOutcome::added));
    CHECK(room.table.size() == 3);
}

TEST_CASE("with its master an expectation goes, and only then") {
    Room room;
    for (unsigned i = 0; i < 3; ++i) room.add(promise(2000 + i, 1));
    room.add(promise(2100, 17));
    Expectation elsewhere = promise(2200, 1);
    elsewhere.master_worker = 2;
    room.add(elsewhere);
    room.table.remove_of(1, 4, 0);
    CHECK(room.table.size() == 5);
    CHECK(room.table.forgotten() == 0);
    room.table.remove_of(1, 5, 0);
    CHECK(room.table.size() == 2);
    CHECK(room.table.forgotten() == 3);
    CHECK(room.table.holds(arriving(2100)));
    CHECK(room.table.holds(arriving(2200)));
    CHECK(room.counters->expectations.get() == 2);
}

TEST_CASE("a sweep frees the overdue ones, no more than its budget") {
    Room room;
    for (unsigned i = 0; i < 6; ++i) room.add(promise(2000 + i, i, 2000 + 1000 * i));
    room.now.ms = 5000;
    room.table.sweep(room.now, 3);
    CHECK(room.table.size() == 3);
    room.table.sweep(room.now, 3);
    CHECK(room.table.size() == 2);
    CHECK(room.counters->expect_expired.get() == 4);
}

TEST_CASE("a listing goes through all expectations in pieces") {
    Room room;
    for (unsigned i = 0; i < 7; ++i) room.add(promise(2000 + i, i));
    CHECK(room.take(arriving(2003)));
    std::array<Expectation, 4> part;
    unsigned copied = 0, total = 0, rounds = 0;
    std::uint32_t at = 0;
    do {
        at = room.table.copy(at, part.data(), 4, copied);
        total += copied;
        ++rounds;
    } while (at != 0);
    CHECK(total == 6);
    CHECK(rounds == 2);
}

// Many flows that are due at once: how many of them a worker ends in one loop is bounded, and few while packets wait.
#include <catch2/catch.hpp>

#include "tests/support/box.hh"

using namespace sluice;
using namespace sluice::test;

namespace {

constexpr Ip4 kServer = ip4(203, 0, 113, 10), kClient = ip4(192, 168, 1, 10);
constexpr unsigned kFlows = 600, kMostInALoop = 64, kSavedUp = 16, kLoopsToSave = 32;

struct DueBox : Box {
    DueBox() {
        port("lan", PortRole::inside, "192.168.1.1/24");
        port("wan", PortRole::outside, "203.0.113.1/24");
        route("203.0.113.10/32", "203.0.113.10");  // known: nobody is asked while control does not run
        configure("nat: [{out: wan, snat: masquerade}]\nconntrack: {timeouts: {udp: 5s, udp_stream: 5s}}\n");
        ageing_runs(false);
        for (unsigned i = 0; i < kFlows; ++i) queue("lan", udp(kClient, 10000 + i, kServer, 53));
        settle();
        advance(6000);
        send("lan", stream());
        FlowStore& store = lcore(0).store;
        const Now now{this->now()};
        for (SlotIndex slot = 0; slot < store.capacity(); ++slot)
            if (store.hot(slot).alive && store.expired(slot, now))
                REQUIRE(lcore(0).orders.post({OrderKind::expire, slot, store.hot(slot).generation, 0, 0, {}}));
        REQUIRE(lcore(0).orders.count() == kFlows);
    }
    static PacketBuilder stream() { return udp(kClient, 9999, kServer, 53); }
    std::uint64_t deaths() const {
        return sum([](const WorkerCounters& c) -> const Counter& {
            return c.flow_deaths[static_cast<std::size_t>(DeathCause::timeout)];
        });
    }
    std::uint64_t ended_in_a_loop() {
        const std::uint64_t before = deaths();
        loop(0);
        return deaths() - before;
    }
};

}  // namespace

TEST_CASE_METHOD(DueBox, "a loop without packets, or with less than a burst, ends so many and no more") {
    for (unsigned left = kFlows; left != 0; left -= std::min(left, kMostInALoop)) {
        queue("lan", stream());
        CHECK(ended_in_a_loop() == std::min(left, kMostInALoop));
    }
    CHECK(lcore(0).store.live() == 1);
    CHECK(all_drops() == 0);
}

TEST_CASE_METHOD(DueBox, "loops with full bursts end one in two, several at once") {
    for (unsigned i = 1; i <= 3 * kLoopsToSave; ++i) {
        for (unsigned n = 0; n < kBurst; ++n) queue("lan", stream());
        CHECK(ended_in_a_loop() == (i % kLoopsToSave == 0 ? kSavedUp : 0));
    }
    CHECK(ended_in_a_loop() == kMostInALoop);
    CHECK(lcore(0).store.live() == 1 + kFlows - 3 * kSavedUp - kMostInALoop);
    settle();
    CHECK(lcore(0).store.live() == 1);
}

TEST_CASE_METHOD(DueBox, "a loop with a burst of births ends as many") {
    for (unsigned i = 0; i < 10; ++i) {
        for (unsigned n = 0; n < kBurst; ++n) queue("lan", udp(kClient, 20000 + i * kBurst + n, kServer, 53));
        CHECK(ended_in_a_loop() == kBurst);
    }
    CHECK(lcore(0).store.live() == 1 + kFlows);
}

TEST_CASE_METHOD(DueBox, "what an order names is looked at when its turn has come") {
    // All of them get a packet while their orders wait.
    for (unsigned i = 0; i < kFlows; i += kBurst) {
        for (unsigned n = i; n < std::min(kFlows, i + kBurst); ++n) queue("lan", udp(kClient, 10000 + n, kServer, 53));
        loop(0);
    }
    settle();
    CHECK(lcore(0).store.live() == 1 + kFlows);
    CHECK(lcore(0).orders.count() == 0);
}

// Cycles by stage in the real pipeline: which packets each stage is said to have had, and that orders turn it on and
// off.
#include <catch2/catch.hpp>

#include "tests/support/two_ports.hh"
#include "tests/support/two_workers.hh"

using namespace sluice;
using namespace sluice::test;

namespace {

void order(Box& box, std::uint32_t every, unsigned worker = 0) {
    REQUIRE(box.lcore(worker).orders.post({.kind = OrderKind::measure, .detail = every}));
    box.settle();
}

std::uint64_t packets(Box& box, Stage stage, unsigned worker = 0) {
    return box.lcore(worker).counters.stage_packets[static_cast<std::size_t>(stage)].get();
}
std::uint64_t cycles(Box& box, Stage stage, unsigned worker = 0) {
    return box.lcore(worker).counters.stage_cycles[static_cast<std::size_t>(stage)].get();
}
std::uint64_t measured_loops(Box& box) {
    return box.sum([](const WorkerCounters& c) -> const Counter& { return c.measured_loops; });
}

}  // namespace

TEST_CASE("first packets go through all stages but the fast path's work, established ones through that") {
    TwoPorts box({}, kMasquerade);
    order(box, 1);
    for (std::uint16_t i = 0; i < 3; ++i)
        box.queue("lan", udp(kClient, static_cast<std::uint16_t>(5000 + i), kServer, 53));
    box.settle();
    REQUIRE(box.sent("wan").size() == 3);
    for (const Stage stage :
         {Stage::receive, Stage::parse, Stage::lookup, Stage::fast_path, Stage::policy, Stage::track, Stage::route,
          Stage::limits, Stage::filter, Stage::translate, Stage::transmit}) {
        INFO(kStageNames[static_cast<std::size_t>(stage)]);
        CHECK(packets(box, stage) == 3);
        CHECK(cycles(box, stage) > 0);
    }
    CHECK(cycles(box, Stage::control) > 0);
    CHECK(cycles(box, Stage::flush) > 0);
    const WorkerCounters& c = box.lcore(0).counters;
    CHECK(c.measured_packets.get() == 3);
    CHECK(c.measured_bursts.get() == 1);

    box.send("wan", udp(kServer, 53, kBoxOutside, 5000));
    box.advance(3000);
    box.send("lan", udp(kClient, 5000, kServer, 53));  // a stream from now on, and its verdict is cached
    const std::uint64_t fast = c.fast_path.get(), slow = packets(box, Stage::policy);
    for (unsigned i = 0; i < 4; ++i) box.queue("lan", udp(kClient, 5000, kServer, 53));
    box.settle();
    REQUIRE(c.fast_path.get() == fast + 4);
    CHECK(packets(box, Stage::fast_path) == 3 + 2 + 4);
    CHECK(packets(box, Stage::policy) == slow);
}

TEST_CASE("a stage that drops packets has had them, the next one has not") {
    TwoPorts box({}, "filter: {forward: {policy: drop, rules: [{proto: udp, action: accept}]}}\n");
    order(box, 1);
    box.queue("lan", udp(kClient, 5000, kServer, 53));
    box.queue("lan", tcp(kClient, 5000, kServer, 53).flags(kSyn));
    box.settle();
    CHECK(box.drops(DropReason::filter_forward) == 1);
    CHECK(packets(box, Stage::policy) == 2);
    CHECK(packets(box, Stage::transmit) == 1);
}

TEST_CASE("measuring ends with the order to end it") {
    TwoPorts box({}, kMasquerade);
    box.send("lan", udp(kClient, 5000, kServer, 53));
    CHECK(measured_loops(box) == 0);
    order(box, 1);
    box.send("lan", udp(kClient, 5000, kServer, 53));
    CHECK(packets(box, Stage::parse) == 1);
    order(box, 0);
    const std::uint64_t measured = measured_loops(box);
    CHECK(measured > 0);
    for (unsigned i = 0; i < 20; ++i) box.send("lan", udp(kClient, 5000, kServer, 53));
    CHECK(measured_loops(box) == measured);
    CHECK(packets(box, Stage::parse) == 1);
}

TEST_CASE_METHOD(TwoWorkers, "a packet that is handed over is received and parsed at both workers") {
    configure(kMasquerade);
    order(*this, 1, 0);
    order(*this, 1, 1);
    send("lan", tcp(lan(0), 40000, wan(1), 80).flags(kSyn), 0);
    (void)one("wan");
    CHECK(handed_over() == 1);
    for (const unsigned worker : {0U, 1U}) {
        CHECK(packets(*this, Stage::receive, worker) == 1);
        CHECK(packets(*this, Stage::parse, worker) == 1);
    }
    CHECK(packets(*this, Stage::lookup, 0) == 0);
    CHECK(packets(*this, Stage::transmit, 1) == 1);
}

// Cycles by stage: nothing is lost between two stages, idle loops do not count, and one busy loop of so many does.
#include "dataplane/base/stage_clock.hh"

#include <memory>
#include <numeric>

#include <catch2/catch.hpp>

using namespace sluice;

namespace {

struct ClockRoom {
    std::unique_ptr<WorkerCounters> counters = std::make_unique<WorkerCounters>();
    StageClock clock{*counters};

    /// A loop with a burst of `packets`, of which `slow` leave the fast path; what it took.
    std::uint64_t busy(unsigned packets, unsigned slow = 0) {
        const std::uint64_t begin = rte_rdtsc();
        clock.begin_loop(begin);
        clock.received(packets);
        clock.end(Stage::parse, packets);
        clock.end(Stage::lookup, packets);
        clock.end(Stage::fast_path, slow);
        if (slow != 0) {
            clock.end(Stage::policy, slow);
            clock.end(Stage::transmit, 0);
        }
        clock.end(Stage::receive);
        clock.end(Stage::control);
        const std::uint64_t end = rte_rdtsc();
        clock.end_loop(true, end);
        return end - begin;
    }
    void idle() {
        clock.begin_loop(rte_rdtsc());
        clock.end_loop(false, rte_rdtsc());
    }
    [[nodiscard]] std::uint64_t cycles() const {
        return std::accumulate(counters->stage_cycles.begin(), counters->stage_cycles.end(), std::uint64_t{0},
                               [](std::uint64_t all, const Counter& c) { return all + c.get(); });
    }
    [[nodiscard]] std::uint64_t packets(Stage stage) const {
        return counters->stage_packets[static_cast<std::size_t>(stage)].get();
    }
    [[nodiscard]] std::uint64_t cycles(Stage stage) const {
        return counters->stage_cycles[static_cast<std::size_t>(stage)].get();
    }
};

}  // namespace

TEST_CASE_METHOD(ClockRoom, "who does not ask pays nothing and gets nothing") {
    busy(32);
    clock.measure(1);
    clock.measure(0);
    busy(32);
    CHECK(cycles() == 0);
    CHECK(counters->measured_loops.get() == 0);
    CHECK(counters->measured_packets.get() == 0);
}

TEST_CASE_METHOD(ClockRoom, "the stages of a loop add up to the loop") {
    clock.measure(1);
    std::uint64_t took = 0;
    for (unsigned i = 1; i <= 20; ++i) {
        took += busy(i, i / 2);
        REQUIRE(cycles() == took);
    }
    CHECK(counters->measured_loops.get() == 20);
    CHECK(counters->measured_bursts.get() == 20);
    CHECK(counters->measured_packets.get() == 210);
    CHECK(packets(Stage::receive) == 210);
    CHECK(packets(Stage::fast_path) == 210);
    CHECK(packets(Stage::policy) == 100);
    CHECK(packets(Stage::transmit) == 100);
    CHECK(packets(Stage::control) == 0);
    CHECK(packets(Stage::flush) == 0);
    CHECK(cycles(Stage::filter) == 0);
}

TEST_CASE_METHOD(ClockRoom, "an idle loop is not measured, nor does it take the turn of a busy one") {
    clock.measure(3);
    for (unsigned i = 0; i < 10; ++i) idle();
    CHECK(cycles() == 0);
    const std::uint64_t took = busy(5);
    CHECK(cycles() == took);
    for (unsigned i = 0; i < 10; ++i) idle();
    busy(6);
    for (unsigned i = 0; i < 10; ++i) idle();
    busy(7);
    CHECK(counters->measured_packets.get() == 5);
    busy(8);
    CHECK(counters->measured_packets.get() == 13);
    CHECK(counters->measured_loops.get() == 2);
}

TEST_CASE_METHOD(ClockRoom, "of seven busy loops one is measured, also of those with housekeeping") {
    clock.measure(StageClock::kLiveEvery);
    unsigned with_housekeeping = 0;
    for (unsigned i = 0; i < 16 * 70; ++i) {
        const auto before = counters->measured_loops.get();
        busy(32);
        if (i % 16 == 0 && counters->measured_loops.get() != before) ++with_housekeeping;
    }
    CHECK(counters->measured_loops.get() == 160);
    CHECK(with_housekeeping == 10);
}

TEST_CASE_METHOD(ClockRoom,
                 "a loop in which the measuring begins is not measured, one in which it ends is measured whole") {
    const auto loop = [this](std::uint32_t every) {
        const std::uint64_t begin = rte_rdtsc();
        clock.begin_loop(begin);
        clock.received(3);
        clock.end(Stage::parse, 3);
        clock.measure(every);  // an order
        clock.end(Stage::control);
        const std::uint64_t end = rte_rdtsc();
        clock.end_loop(true, end);
        return end - begin;
    };
    loop(1);
    CHECK(cycles() == 0);
    const std::uint64_t took = loop(0);
    CHECK(cycles() == took);
    CHECK(counters->measured_packets.get() == 3);
    busy(3);
    CHECK(cycles() == took);
}

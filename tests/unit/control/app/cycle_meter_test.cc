// Who measures when: orders to the workers, reports by a clock made by hand, and clients that do not know of each
// other.
#include "control/app/cycle_meter.hh"

#include <optional>
#include <string>

#include <catch2/catch.hpp>

#include "dataplane/base/stage_clock.hh"
#include "tests/support/eal.hh"

using namespace sluice;
using namespace sluice::test;
using namespace std::chrono_literals;

namespace {

constexpr std::uint64_t kHz = 1'000'000;

Now at(TimeMs ms) {
    return {ms, ms * (kHz / 1000)};
}

struct MeterRoom {
    MeterRoom() {
        ensure_eal();
        static unsigned number = 0;
        for (unsigned i = 0; i < 2; ++i)
            orders.push_back(std::make_unique<Ring<Order>>("meter" + std::to_string(number++), 8, SOCKET_ID_ANY));
        meter = std::make_unique<CycleMeter>(
            std::vector<CycleMeter::Worker>{{3, orders[0].get(), &counters[0]}, {5, orders[1].get(), &counters[1]}},
            kHz);
    }
    /// What the worker was ordered: to measure one loop of so many; nothing when there was no order.
    std::optional<std::uint32_t> ordered(unsigned worker) {
        Order order;
        if (orders[worker]->take(&order, 1) == 0) return std::nullopt;
        REQUIRE(order.kind == OrderKind::measure);
        return order.detail;
    }
    /// The worker has a busy loop with a burst of plain packets.
    void work(unsigned worker, unsigned packets, std::uint64_t cycles) {
        WorkerCounters& c = counters[worker];
        c.balance.received.add(packets);
        c.loops_busy.add();
        c.cycles_busy.add(cycles);
        c.measured_loops.add();
        c.measured_bursts.add();
        c.measured_packets.add(packets);
        c.stage_cycles[static_cast<std::size_t>(Stage::parse)].add(cycles);
        c.stage_packets[static_cast<std::size_t>(Stage::parse)].add(packets);
    }
    CycleMeter::Handler into(std::optional<api::CycleReport>& where) {
        return [&where](const api::CycleReport& r) {
            REQUIRE_FALSE(where);
            where = r;
        };
    }

    std::array<WorkerCounters, 2> counters;
    std::vector<std::unique_ptr<Ring<Order>>> orders;
    std::unique_ptr<CycleMeter> meter;
    std::optional<api::CycleReport> report, other;
};

}  // namespace

TEST_CASE_METHOD(MeterRoom, "a report says what came to pass within its time, worker by worker") {
    meter->poll(at(900));
    CHECK_FALSE(ordered(0));
    work(0, 1000, 100000);  // before
    counters[1].cycles_idle.add(77);
    const auto measurement = meter->start(at(1000), 2s, into(report));
    CHECK(ordered(0) == StageClock::kLiveEvery);
    CHECK(ordered(1) == StageClock::kLiveEvery);
    work(0, 20, 4000);
    work(0, 12, 2400);
    counters[0].balance.from_twins.add(1);
    counters[0].balance.handed_in.add(2);
    counters[0].balance.handed_out.add(3);
    counters[0].fast_path.add(30);
    counters[0].loops_idle.add(5);
    counters[1].loops_idle.add(9);
    counters[1].cycles_idle.add(2'000'000);
    meter->poll(at(2999));
    CHECK_FALSE(report);
    CHECK_FALSE(ordered(0));
    meter->poll(at(3004));
    REQUIRE(report);
    CHECK(ordered(0) == 0U);
    CHECK(ordered(1) == 0U);
    CHECK(meter->running() == 0);
    CHECK(report->seconds == Approx(2.004));
    CHECK(report->tsc_hz == kHz);
    CHECK(report->one_busy_loop_in == StageClock::kLiveEvery);
    REQUIRE(report->workers.size() == 2);
    const api::WorkerCycles& w = report->workers[0];
    CHECK(w.worker == 0);
    CHECK(w.lcore == 3);
    CHECK(w.received == 32);
    CHECK(w.from_kernel == 1);
    CHECK(w.handed_in == 2);
    CHECK(w.handed_out == 3);
    CHECK(w.fast_path == 30);
    CHECK(w.busy_loops == 2);
    CHECK(w.idle_loops == 5);
    CHECK(w.busy_cycles == 6400);
    CHECK(w.measured_loops == 2);
    CHECK(w.measured_bursts == 2);
    CHECK(w.measured_packets == 32);
    CHECK(w.stages[static_cast<std::size_t>(Stage::parse)].cycles == 6400);
    CHECK(w.stages[static_cast<std::size_t>(Stage::parse)].packets == 32);
    CHECK(report->workers[1].lcore == 5);
    CHECK(report->workers[1].idle_cycles == 2'000'000);
    CHECK(report->workers[1].measured_loops == 0);
    report.reset();
    meter->poll(at(9000));
    CHECK_FALSE(report);
}

TEST_CASE_METHOD(MeterRoom, "two who measure at once get what is theirs, and the last one ends it") {
    const auto first = meter->start(at(0), 2s, into(report));
    CHECK(ordered(0) == StageClock::kLiveEvery);
    work(0, 1, 10);
    const auto second = meter->start(at(1000), 3s, into(other));
    CHECK_FALSE(ordered(0));
    work(0, 2, 20);
    meter->poll(at(2000));
    REQUIRE(report);
    CHECK(report->workers[0].received == 3);
    CHECK_FALSE(other);
    CHECK_FALSE(ordered(0));
    work(0, 4, 40);
    meter->poll(at(4000));
    REQUIRE(other);
    CHECK(other->workers[0].received == 6);
    CHECK(other->workers[0].busy_cycles == 60);
    CHECK(ordered(0) == 0U);
}

TEST_CASE_METHOD(MeterRoom, "who goes away is not told, and measuring ends with the last") {
    auto first = meter->start(at(0), 3600s, into(report));
    auto second = meter->start(at(0), 3600s, into(other));
    CHECK(ordered(0) == StageClock::kLiveEvery);
    first.reset();
    CHECK_FALSE(ordered(0));
    second.reset();
    CHECK(ordered(0) == 0U);
    meter->poll(at(3'600'000));
    CHECK_FALSE(report);
    CHECK_FALSE(other);
}

TEST_CASE_METHOD(MeterRoom, "a measurement may go in its own handler, and the next begin there") {
    std::unique_ptr<api::CycleMeasurement> mine, next;
    unsigned told = 0;
    mine = meter->start(at(0), 1s, [&](const api::CycleReport&) {
        ++told;
        mine.reset();
        next = meter->start(at(1000), 1s, into(report));
    });
    CHECK(ordered(0) == StageClock::kLiveEvery);
    meter->poll(at(1000));
    CHECK(told == 1);
    CHECK_FALSE(report);
    CHECK(meter->running() == 1);
    CHECK(ordered(0) == 0U);
    CHECK(ordered(0) == StageClock::kLiveEvery);
    meter->poll(at(2000));
    CHECK(report);
    CHECK(told == 1);
    CHECK(ordered(0) == 0U);
}

TEST_CASE_METHOD(MeterRoom, "an order that finds no room is given later") {
    while (orders[0]->post({.kind = OrderKind::neighbour_changed})) {
    }
    auto measurement = meter->start(at(0), 1s, into(report));
    CHECK(ordered(1) == StageClock::kLiveEvery);
    meter->poll(at(1));
    Order order;
    while (orders[0]->take(&order, 1) == 1) CHECK(order.kind == OrderKind::neighbour_changed);
    meter->poll(at(2));
    CHECK(ordered(0) == StageClock::kLiveEvery);
    CHECK_FALSE(ordered(1));
    measurement.reset();
    CHECK(ordered(0) == 0U);
}

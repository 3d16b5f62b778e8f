// The poll loop with a recorder in the pipeline's place, net_ring devices and a clock made by hand.
#include "dataplane/worker/worker.hh"

#include <memory>
#include <string>
#include <thread>

#include <catch2/catch.hpp>
#include <rte_dev.h>

#include "dataplane/flow/handoff_note.hh"
#include "tests/support/eal.hh"

using namespace sluice;

namespace {

struct Recorder {
    std::string calls;
    unsigned pending_orders = 0;
    std::atomic<unsigned> bursts{0};
    GracePeriods* grace = nullptr;
    WorkerCounters& counters;
    StageClock clock{counters};

    void take(const char* what, Now now, rte_mbuf** mbufs, unsigned n) {
        calls += what + std::to_string(n) + "@" + std::to_string(now.ms) + " ";
        rte_pktmbuf_free_bulk(mbufs, n);
    }
    void receive(Now now, std::uint16_t device, rte_mbuf** m, unsigned n) {
        take(("rx" + std::to_string(device) + ":").c_str(), now, m, n);
    }
    void receive_handoff(Now now, rte_mbuf** m, unsigned n) { take("handoff:", now, m, n); }
    void receive_from_kernel(Now now, rte_mbuf** m, unsigned n) { take("kernel:", now, m, n); }
    unsigned orders(Now) { return std::exchange(pending_orders, 0); }
    void housekeeping(Now) { calls += "keep "; }
    void end_of_burst(Now) { bursts.fetch_add(1); }
    StageClock& stages() { return clock; }
};

unsigned used_names = 0;

struct Lab : test::EalFixture {
    rte_mempool* pool = rte_pktmbuf_pool_create("worker-test", 255, 0, kMbufPrivateBytes, 256, 0);
    std::string name = "net_ring_worker" + std::to_string(++used_names);  // the driver keeps the rings of a name
    std::uint16_t device = probe();
    std::unique_ptr<WorkerCounters> counters = std::make_unique<WorkerCounters>();
    std::unique_ptr<WorkerCounters> other_counters = std::make_unique<WorkerCounters>();
    Disposal disposal{*counters}, other_disposal{*other_counters};
    HandoffRings rings{"wt", 2, 64, 0};
    Handoff handoff{rings, 0, disposal}, other{rings, 1, other_disposal};
    Ring<rte_mbuf*> from_kernel{"worker-kernel", 64, 0};
    GracePeriods grace{2};
    Recorder pipeline{.counters = *counters};
    Worker<Recorder> worker{
        0, {pipeline, handoff, from_kernel, grace, *counters}, {{static_cast<std::uint16_t>(device), 0}}};
    std::string rx = "rx" + std::to_string(device) + ":";

    Lab() {
        const rte_eth_conf conf{};
        REQUIRE(rte_eth_dev_configure(device, 1, 1, &conf) == 0);
        REQUIRE(rte_eth_rx_queue_setup(device, 0, 64, 0, nullptr, pool) == 0);
        REQUIRE(rte_eth_tx_queue_setup(device, 0, 64, 0, nullptr) == 0);
        REQUIRE(rte_eth_dev_start(device) == 0);
        grace.online(0);
    }
    ~Lab() {
        grace.offline(0);
        rte_eth_dev_stop(device);
        rte_eal_hotplug_remove("vdev", name.c_str());
        CHECK(rte_mempool_avail_count(pool) == 255);
        rte_mempool_free(pool);
    }
    /// A loop: what is transmitted on it arrives on it.
    std::uint16_t probe() const {
        std::uint16_t id = 0;
        REQUIRE(rte_dev_probe(name.c_str()) == 0);
        REQUIRE(rte_eth_dev_get_port_by_name(name.c_str(), &id) == 0);
        return id;
    }
    /// Lets `n` packets arrive at the device.
    void arrive(unsigned n) const {
        for (unsigned i = 0; i < n; ++i) {
            rte_mbuf* m = packet();
            REQUIRE(rte_eth_tx_burst(device, 0, &m, 1) == 1);
        }
    }
    rte_mbuf* packet() const { return rte_pktmbuf_alloc(pool); }
};

}  // namespace

TEST_CASE_METHOD(Lab, "one loop visits devices, other workers and the kernel, in this order") {
    CHECK_FALSE(worker.poll_once({0, 1}));
    CHECK(pipeline.calls.empty());

    arrive(3);
    for (unsigned i = 0; i < 2; ++i) other.send(0, packet());
    other.flush();
    REQUIRE(from_kernel.post(packet()));
    CHECK(worker.poll_once({0, 2}));
    CHECK(pipeline.calls == rx + "3@0 handoff:2@0 kernel:1@0 ");
    CHECK(pipeline.bursts == 2);
    CHECK_FALSE(worker.poll_once({0, 3}));
}

TEST_CASE_METHOD(Lab, "at most one burst of each source per loop; the rest waits its turn") {
    arrive(40);
    CHECK(worker.poll_once({0, 1}));
    CHECK(pipeline.calls == rx + "32@0 ");
    CHECK(worker.poll_once({0, 2}));
    CHECK(pipeline.calls == rx + "32@0 " + rx + "8@0 ");
}

TEST_CASE_METHOD(Lab, "an order is work") {
    pipeline.pending_orders = 1;
    CHECK(worker.poll_once({0, 1}));
    CHECK_FALSE(worker.poll_once({0, 2}));
}

TEST_CASE_METHOD(Lab, "housekeeping comes with each millisecond, and every 16 loops without one") {
    for (unsigned i = 0; i < 15; ++i) worker.poll_once({0, i});
    CHECK(pipeline.calls.empty());
    worker.poll_once({0, 16});
    CHECK(pipeline.calls == "keep ");
    worker.poll_once({1, 17});
    CHECK(pipeline.calls == "keep keep ");
    worker.poll_once({1, 18});
    CHECK(pipeline.calls == "keep keep ");
}

TEST_CASE_METHOD(Lab, "what the worker hands over leaves within the loop") {
    handoff.send(1, packet());
    worker.poll_once({0, 1});
    rte_mbuf* got = nullptr;
    REQUIRE(other.receive(0, &got, 1) == 1);
    rte_pktmbuf_free(got);
}

TEST_CASE_METHOD(Lab, "a loop ends a grace period") {
    bool freed = false;
    grace.retire([&freed] { freed = true; });
    grace.reclaim();
    CHECK_FALSE(freed);
    worker.poll_once({0, 1});
    grace.reclaim();
    CHECK(freed);
}

TEST_CASE_METHOD(Lab, "run polls until told to stop and is offline afterwards") {
    grace.offline(0);
    const TscClock clock = TscClock::start_now();
    for (const Idle idle : {Idle::spin, Idle::sleep}) {
        std::atomic<bool> stop{false};
        const unsigned before = pipeline.bursts;
        std::thread thread([&] { worker.run(stop, clock, idle); });
        while (pipeline.bursts < before + 100) std::this_thread::yield();
        stop = true;
        thread.join();
        bool freed = false;
        grace.retire([&freed] { freed = true; });
        grace.reclaim();
        CHECK(freed);
    }
    CHECK(counters->loops_idle.get() >= 200);
    CHECK(counters->cycles_idle.get() > 0);
    CHECK(counters->cycles_busy.get() == 0);
}

TEST_CASE_METHOD(Lab, "a measured loop is all accounted for, and one without work is idle") {
    grace.offline(0);
    const TscClock clock = TscClock::start_now();
    pipeline.clock.measure(1);
    arrive(40);
    pipeline.pending_orders = 1;
    std::atomic<bool> stop{false};
    const unsigned before = pipeline.bursts;
    std::thread thread([&] { worker.run(stop, clock, Idle::spin); });
    while (pipeline.bursts < before + 100) std::this_thread::yield();
    stop = true;
    thread.join();
    CHECK(counters->loops_busy.get() == 2);
    CHECK(counters->measured_loops.get() == 2);
    std::uint64_t all = 0;
    for (const Counter& c : counters->stage_cycles) all += c.get();
    CHECK(all == counters->cycles_busy.get());
    for (const Stage stage : {Stage::receive, Stage::control, Stage::flush})
        CHECK(counters->stage_cycles[static_cast<std::size_t>(stage)].get() > 0);
}

TEST_CASE("the clock converts cycles to milliseconds and is not off by more than one in a year") {
    const std::uint64_t hz = 2'300'000'001;  // not a multiple of 1000
    const TscClock clock(1000, hz);
    CHECK(clock.at(0).ms == 0);  // before the start
    CHECK(clock.at(1000).ms == 0);
    CHECK(clock.at(1000 + hz / 2).ms == 499);
    CHECK(clock.at(1001 + hz).ms == 1000);
    const std::uint64_t year = 365ULL * 86400;
    CHECK(clock.at(1001 + hz * year).ms + 1 >= year * 1000);
    CHECK(clock.at(1001 + hz * year).ms <= year * 1000);
}

TEST_CASE("idle: spins first, then sleeps longer and longer, and starts over with the next packet") {
    const std::uint64_t hz = 1'000'000'000;
    IdleBackoff sleepy(Idle::sleep, hz);
    CHECK(sleepy.after_loop(true, 1000) == 0);
    CHECK(sleepy.after_loop(false, 1000 + 99'999) == 0);
    CHECK(sleepy.after_loop(false, 1000 + 100'000) == 50'000);
    CHECK(sleepy.after_loop(false, 1000 + 150'000) == 100'000);
    CHECK(sleepy.after_loop(false, 1000 + 250'000) == 200'000);
    CHECK(sleepy.after_loop(false, 1000 + 450'000) == 400'000);
    CHECK(sleepy.after_loop(false, 1000 + 850'000) == 400'000);
    CHECK(sleepy.after_loop(false, 1000 + 1'999'999'999) == 400'000);
    CHECK(sleepy.after_loop(false, 1000 + 2'000'000'000) == 1'000'000);
    CHECK(sleepy.after_loop(false, 1000 + 60'000'000'000) == 1'000'000);
    CHECK(sleepy.after_loop(true, 70'002'000'000) == 0);
    CHECK(sleepy.after_loop(false, 70'002'050'000) == 0);
    CHECK(sleepy.after_loop(false, 70'002'100'000) == 50'000);

    IdleBackoff spinning(Idle::spin, hz);
    CHECK(spinning.after_loop(false, 1) == 0);
    CHECK(spinning.after_loop(false, hz * 100) == 0);
}

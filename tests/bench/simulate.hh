// A worker under load that comes by the clock, without a second machine: time is what the worker's own loops took, so
// neither the generator nor control, which would have cores of their own, counts. Packets arrive at a constant rate at
// a receive queue of 1024; what finds it full is lost. A worker that has caught up goes on looping, as it does; where
// the next packet is far, its idle loops are left out, as nothing can happen in them: one that does nothing takes much
// longer to simulate than it takes of the worker's time.
//
// A loop in which the kernel gave the core to another process did not take that long: it counts as a usual one, and is
// counted. (What a hypervisor takes away nobody tells us; on a shared machine the longest loops may be its.)
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <sys/resource.h>

#include <rte_cycles.h>

#include "tests/bench/bench_box.hh"
#include "tests/bench/loop_times.hh"

namespace sluice::bench {

class SimulatedWorker {
public:
    static constexpr unsigned kQueue = 1024;

    /// The clock begins at `start_ms`. `box` outlives it.
    SimulatedWorker(BenchBox& box, TimeMs start_ms) noexcept
        : box_(box), hz_(rte_get_tsc_hz()), start_ms_(start_ms), switches_(switches()) {
        box_.set_clock(start_ms);
    }

    void offer(double packets_per_second) noexcept {
        cycles_per_packet_ = packets_per_second > 0 ? static_cast<double>(hz_) / packets_per_second : 0;
        next_arrival_ = static_cast<double>(now_) + cycles_per_packet_;
    }

    /// One loop. `fill(mbufs, n)` makes the packets, which arrive at `in`.
    template <class Fill>
    LoopCost loop(PortIndex in, Fill&& fill) {
        arrive();
        std::array<rte_mbuf*, kBurst> mbufs;
        const unsigned n = std::min(waiting_, kBurst);
        if (n != 0) fill(mbufs.data(), n);
        waiting_ -= n;
        served += n;
        const TimeMs now = ms();
        const bool another_ms = now != box_.now().ms;
        box_.set_clock(now);
        LoopCost cost = box_.work(in, mbufs.data(), n);
        if (cost.all > hz_ / 20000 && interrupted()) {
            cost.all = times.quantile(0.5);
            cost.orders = 0;
        }
        if (n != 0 || cost.obeyed != 0) times.add(cost.all);
        now_ += cost.all;
        if (n != 0) busy += cost.all;
        if (another_ms) {
            const std::uint64_t start = rte_rdtsc();
            box_.control_tick();
            (void)box_.grace().reclaim();
            control += rte_rdtsc() - start;
            switches_ = switches();
        } else if (n == 0 && cost.obeyed == 0) {
            skip_idle();
        }
        return cost;
    }

    /// Loops until so many milliseconds have passed.
    template <class Fill>
    void run(TimeMs ms, PortIndex in, Fill&& fill) {
        for (const TimeMs end = this->ms() + ms; this->ms() < end;) (void)loop(in, fill);
    }

    [[nodiscard]] TimeMs ms() const noexcept { return start_ms_ + now_ * 1000 / hz_; }
    [[nodiscard]] std::uint64_t cycles() const noexcept { return now_; }
    [[nodiscard]] std::uint64_t hz() const noexcept { return hz_; }

    LoopTimes times;            ///< of loops with anything to do
    std::uint64_t busy = 0;     ///< cycles of loops with packets
    std::uint64_t control = 0;  ///< cycles of control
    std::uint64_t served = 0;   ///< packets
    std::uint64_t lost = 0;     ///< found the receive queue full
    std::uint64_t interruptions = 0;

    /// What was counted so far does not count.
    void forget() noexcept {
        times.clear();
        busy = control = served = lost = interruptions = 0;
        cycles_at_start_ = now_;
    }
    /// Share of the time since forget() that went into loops with packets.
    [[nodiscard]] double load() const noexcept {
        return static_cast<double>(busy) / static_cast<double>(std::max<std::uint64_t>(1, now_ - cycles_at_start_));
    }
    [[nodiscard]] double seconds() const noexcept {
        return static_cast<double>(now_ - cycles_at_start_) / static_cast<double>(hz_);
    }

private:
    static long switches() noexcept {
        rusage usage{};
        ::getrusage(RUSAGE_THREAD, &usage);
        return usage.ru_nivcsw;
    }
    /// Since the last millisecond began. Asked seldom: for loops of 50 µs and more.
    bool interrupted() noexcept {
        const long before = switches_;
        switches_ = switches();
        if (switches_ == before || times.count() == 0) return false;
        ++interruptions;
        return true;
    }
    void arrive() noexcept {
        if (cycles_per_packet_ == 0) return;
        while (next_arrival_ <= static_cast<double>(now_)) {
            next_arrival_ += cycles_per_packet_;
            if (waiting_ == kQueue) {
                ++lost;
            } else {
                ++waiting_;
            }
        }
    }

    /// To shortly before the next packet, or the next millisecond, which is control's.
    void skip_idle() noexcept {
        const std::uint64_t awake = hz_ / 500000, ms_end = (now_ * 1000 / hz_ + 1) * hz_ / 1000;
        std::uint64_t event = ms_end;
        if (cycles_per_packet_ != 0) event = std::min(event, static_cast<std::uint64_t>(next_arrival_));
        if (event > now_ + awake) now_ = event - awake;
    }

    BenchBox& box_;
    std::uint64_t hz_;
    TimeMs start_ms_;
    long switches_;
    std::uint64_t now_ = 0;  // cycles of worker time
    double cycles_per_packet_ = 0, next_arrival_ = 0;
    unsigned waiting_ = 0;
    std::uint64_t cycles_at_start_ = 0;
};

}  // namespace sluice::bench

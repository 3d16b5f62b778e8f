// Cycle accounting: what the parts of a worker's loop cost, for `sluicectl cycles` and sluice-bench. Off unless
// somebody asks: then it costs a few well-predicted branches per loop, and one per burst and stage.
//
// A loop that is measured is cut up without a gap: each reading of the counter ends one part and begins the next, from
// the reading that the worker makes anyway at the beginning of the loop to that at its end. So the parts of all
// measured loops add up to the time that these loops took. A loop that had nothing to do is not measured; the worker
// counts its cycles as idle, always.
//
// One reading is some 20 to 50 cycles, and a loop needs about six: a few percent of the work on a burst of plain
// packets. So on a live box one busy loop of a few is measured, and what comes out is per packet of those. sluice-bench
// measures all, and its scenario O1 what either costs.
//
// The counter is read without a fence, so loads still under way at the end of one stage may be paid by the next; over a
// burst of 32 packets that is a few cycles per packet, and fences would disturb what is measured.
//
// Owner: one worker.
#pragma once

#include <array>
#include <cstdint>

#include <rte_cycles.h>

#include "dataplane/base/counters.hh"

namespace sluice {

class StageClock {
public:
    /// Of so many busy loops one is measured on a live box. It shares no factor with the number of loops after which
    /// something comes again (housekeeping: 16), so that this is measured as often as it happens.
    static constexpr std::uint32_t kLiveEvery = 7;

    /// `counters` outlives it.
    explicit StageClock(WorkerCounters& counters) noexcept : counters_(counters) {}

    /// From the next loop on: one of `every` busy loops is measured (the next one first). 0: none.
    void measure(std::uint32_t every) noexcept {
        every_ = every;
        skip_ = 0;
    }

    /// A loop begins; `tsc` is its reading of the counter.
    void begin_loop(std::uint64_t tsc) noexcept {
        measuring_ = every_ != 0 && skip_ == 0;
        if (measuring_) [[unlikely]]
            since_ = tsc;
    }
    /// `packets` came to the pipeline, and what went before was receiving them.
    void received(unsigned packets) noexcept {
        if (measuring_) [[unlikely]]
            count_burst(packets);
    }
    /// The stage ends and the next begins, with the packets that are left.
    void end(Stage stage, unsigned left) noexcept {
        if (measuring_) [[unlikely]]
            leave(stage, left);
    }
    /// As above, of a part of the loop that is not about the packets of a burst.
    void end(Stage stage) noexcept {
        if (measuring_) [[unlikely]]
            lap(stage, rte_rdtsc());
    }
    /// The loop has ended at `tsc`; what is left of it is the flush. Without work nothing has been measured, and the
    /// next loop is measured in its place.
    void end_loop(bool worked, std::uint64_t tsc) noexcept {
        if ((every_ != 0 || measuring_) && worked) [[unlikely]]
            finish(tsc);
    }

private:
    [[gnu::noinline]] void lap(Stage stage, std::uint64_t tsc) noexcept {
        counters_.stage_cycles[static_cast<std::size_t>(stage)].add(tsc - since_);
        since_ = tsc;
    }
    [[gnu::noinline]] void leave(Stage stage, unsigned left) noexcept {
        lap(stage, rte_rdtsc());
        counters_.stage_packets[static_cast<std::size_t>(stage)].add(inside_);
        inside_ = left;
    }
    [[gnu::noinline]] void count_burst(unsigned packets) noexcept {
        inside_ = packets;
        leave(Stage::receive, packets);
        if (packets != 0) counters_.measured_bursts.add();
        counters_.measured_packets.add(packets);
    }
    void finish(std::uint64_t tsc) noexcept {
        if (measuring_) {
            lap(Stage::flush, tsc);
            counters_.measured_loops.add();
            measuring_ = false;
            if (every_ != 0) skip_ = every_ - 1;
        } else if (skip_ != 0) {
            --skip_;
        }
    }

    WorkerCounters& counters_;
    std::uint64_t since_ = 0;
    std::uint32_t every_ = 0;
    std::uint32_t skip_ = 0;  ///< busy loops until one is measured
    unsigned inside_ = 0;     ///< packets in the stage that is under way
    bool measuring_ = false;  ///< this loop
};

}  // namespace sluice

// Cycle accounting: how long each stage of the pipeline works on a burst. Off unless someone asks (sluice-bench): then
// a stage costs one well-predicted branch per burst.
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
    /// `cycles` outlives it.
    explicit StageClock(std::array<Counter, kStageCount>& cycles) noexcept : cycles_(cycles) {}

    void enable(bool on) noexcept { on_ = on; }

    /// What follows belongs to the stage that the next `end` names.
    void start() noexcept {
        if (on_) [[unlikely]]
            since_ = rte_rdtsc();
    }
    /// The stage ends and the next begins.
    void end(Stage stage) noexcept {
        if (on_) [[unlikely]] {
            const std::uint64_t now = rte_rdtsc();
            cycles_[static_cast<std::size_t>(stage)].add(now - since_);
            since_ = now;
        }
    }

private:
    std::array<Counter, kStageCount>& cycles_;
    std::uint64_t since_ = 0;
    bool on_ = false;
};

}  // namespace sluice

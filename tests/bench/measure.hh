// Measuring established flows: rounds over one case, in blocks of 64 bursts. What a round reports is the median block,
// so that a block in which another process had the core counts as one slow block and not as all the time it took.
//
// A block is what a worker does in that time, without receive: the clock is read once per burst, orders are looked at,
// housekeeping runs every 16 loops, transmit buffers are flushed at the end of every burst.
#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "tests/bench/bench_box.hh"
#include "tests/bench/loop_times.hh"

namespace sluice::bench {

inline constexpr unsigned kBurstsPerBlock = 64;

/// TSC cycles per packet.
struct Round {
    double pipeline = 0;  ///< from receive() to the end of the burst
    double loop = 0;      ///< with the generator
    std::array<double, kStageCount> stages{};
};

/// `packets` packets (rounded up to blocks) of `traffic` through `box`; each loop's time goes to `times`. With
/// `stages`, cycles of each stage are taken from the faster half of the blocks; reading the counter between stages
/// costs a few cycles per packet by itself. Throws when a packet is dropped.
Round measure(BenchBox& box, Traffic& traffic, PortIndex in, rte_mempool* pool, std::uint64_t packets, bool stages,
              LoopTimes& times);

/// What it costs to count cycles by stage. TSC cycles per packet, medians of blocks which take turns, so that a machine
/// that gets slower for a while does so for all three.
struct CountingCost {
    double pipeline = 0;  ///< without counting
    double live = 0;      ///< more than that, with one loop of StageClock::kLiveEvery measured
    double all = 0;       ///< more than that, with every loop measured
};
CountingCost measure_counting(BenchBox& box, Traffic& traffic, PortIndex in, rte_mempool* pool, std::uint64_t packets);

/// The roofline: the same packets made, handed to the device and freed, with no pipeline between. Cycles per packet.
double measure_io(Traffic& traffic, std::uint16_t device, rte_mempool* pool, std::uint64_t packets);

/// Sends `packets` packets through and throws when one does not come out as `expected` (by flow) says.
void verify(BenchBox& box, Traffic& traffic, PortIndex in, rte_mempool* pool, std::uint64_t packets,
            const std::vector<Tuple>& expected);

/// Cycles of each stage, as the worker has counted them so far.
std::array<std::uint64_t, kStageCount> stage_cycles(BenchBox& box);

double median(std::vector<double> values);

}  // namespace sluice::bench

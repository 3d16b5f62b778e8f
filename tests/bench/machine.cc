// J1: the machine alone, without any packet, for those who read the other figures. How long and how often an empty loop
// is away: what the kernel or a hypervisor takes from the core, which the simulated workers (C1, C2, R1) take for their
// own loops; and how many cycles a load waits whose address is the result of the one before: from the cores' caches,
// from what they share with others, from memory.
#include <algorithm>
#include <array>
#include <numeric>
#include <random>
#include <stdexcept>
#include <utility>

#include <rte_cycles.h>

#include "dataplane/lookup/huge_array.hh"
#include "tests/bench/measure.hh"
#include "tests/bench/scenario.hh"

namespace sluice::bench {

namespace {

constexpr std::uint32_t kKilobyte = 1024 / sizeof(std::uint32_t);
constexpr std::array<std::pair<const char*, std::uint32_t>, 4> kSizes{{{"load_cycles_256_kb", 256 * kKilobyte},
                                                                       {"load_cycles_4_mb", 4096 * kKilobyte},
                                                                       {"load_cycles_16_mb", 16384 * kKilobyte},
                                                                       {"load_cycles_128_mb", 131072 * kKilobyte}}};

struct Gaps {
    std::uint64_t away = 0, longest = 0;  ///< cycles
    std::uint64_t over_10_us = 0, over_50_us = 0;
};

Gaps watch_empty_loop(unsigned seconds, std::uint64_t hz) {
    constexpr std::uint64_t kUsual = 2000;  // an empty loop takes less than a hundredth of that
    const std::uint64_t us = hz / 1000000;
    Gaps gaps;
    std::uint64_t before = rte_rdtsc();
    for (const std::uint64_t end = before + seconds * hz; before < end;) {
        const std::uint64_t now = rte_rdtsc(), gap = now - before;
        before = now;
        if (gap < kUsual) continue;
        gaps.away += gap;
        gaps.longest = std::max(gaps.longest, gap);
        gaps.over_10_us += gap > 10 * us ? 1 : 0;
        gaps.over_50_us += gap > 50 * us ? 1 : 0;
    }
    return gaps;
}

/// Of a chain through all of `places`, in an order that no prefetcher foresees. The median of short stretches: what the
/// machine takes away meanwhile is the other figures' business.
double cycles_of_a_load(HugeArray<std::uint32_t>& places, std::uint32_t size) {
    constexpr std::uint32_t kStretches = 256, kLoads = 4096;
    std::iota(places.data(), places.data() + size, 0U);
    std::mt19937 random(1);
    for (std::uint32_t i = size - 1; i > 0; --i)  // Sattolo: a single circle
        std::swap(places[i], places[static_cast<std::uint32_t>(random() % i)]);
    std::uint32_t at = 0;
    std::vector<double> stretches;
    for (std::uint32_t i = 0; i < kStretches; ++i) {
        const std::uint64_t start = rte_rdtsc();
        for (std::uint32_t n = 0; n < kLoads; ++n) at = places[at];
        stretches.push_back(static_cast<double>(rte_rdtsc() - start) / kLoads);
    }
    if (at >= size) throw std::runtime_error("J1: a load came from nowhere");
    return median(std::move(stretches));
}

Section run(const Options& o, Devices&) {
    const std::uint64_t hz = rte_get_tsc_hz();
    const Gaps gaps = watch_empty_loop(o.seconds, hz);
    boost::json::object row{
        {"seconds", o.seconds},
        {"away_percent", 100.0 * static_cast<double>(gaps.away) / static_cast<double>(o.seconds * hz)},
        {"gaps_over_10_us_per_second", static_cast<double>(gaps.over_10_us) / o.seconds},
        {"gaps_over_50_us_per_second", static_cast<double>(gaps.over_50_us) / o.seconds},
        {"longest_us", static_cast<double>(gaps.longest) * 1e6 / static_cast<double>(hz)}};
    std::vector<std::string> columns{"seconds", "away_percent", "gaps_over_10_us_per_second",
                                     "gaps_over_50_us_per_second", "longest_us"};
    HugeArray<std::uint32_t> places(kSizes.back().second, -1);
    for (const auto& [name, size] : kSizes) {
        row[name] = cycles_of_a_load(places, size);
        columns.emplace_back(name);
    }
    return {kJ1.name, kJ1.about, std::move(columns), {std::move(row)}};
}

std::uint64_t memory(const Options&) {
    return std::uint64_t{kSizes.back().second} * sizeof(std::uint32_t);
}

}  // namespace

const Scenario kJ1{
    "J1",
    "the machine alone: how long an empty loop is away in five seconds (--seconds), and cycles of a load "
    "that waits for the one before, in random order, from so much memory",
    "seconds", memory, run};

}  // namespace sluice::bench

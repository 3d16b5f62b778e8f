#include "tests/bench/measure.hh"

#include <algorithm>
#include <stdexcept>

#include <rte_cycles.h>
#include <rte_ethdev.h>

namespace sluice::bench {

namespace {

constexpr unsigned kBlockPackets = kBurstsPerBlock * kBurst;
constexpr unsigned kLoopsPerHousekeeping = 16;  // as Worker does

std::uint64_t blocks_for(std::uint64_t packets) {
    return std::max<std::uint64_t>(1, (packets + kBlockPackets - 1) / kBlockPackets);
}

struct Block {
    double pipeline = 0, loop = 0;
    std::array<double, kStageCount> stages{};
};

Block run_block(BenchBox& box, Traffic& traffic, PortIndex in, rte_mempool* pool, LoopTimes& times) {
    const auto before = stage_cycles(box);
    Pipeline& pipeline = box.pipeline();
    StageClock& stages = pipeline.stages();
    const std::uint16_t device = box.device(in);
    std::array<rte_mbuf*, kBurst> mbufs;
    std::uint64_t inside = 0;
    const std::uint64_t start = rte_rdtsc();
    for (unsigned burst = 0; burst < kBurstsPerBlock; ++burst) {
        traffic.fill(pool, mbufs.data(), kBurst);
        const Now now = box.now();
        stages.begin_loop(now.tsc);
        pipeline.receive(now, device, mbufs.data(), kBurst);
        pipeline.orders(now);
        if (burst % kLoopsPerHousekeeping == 0) pipeline.housekeeping(now);
        stages.end(Stage::control);
        pipeline.end_of_burst(now);
        const std::uint64_t end = rte_rdtsc();
        stages.end_loop(true, end);
        const std::uint64_t took = end - now.tsc;
        inside += took;
        times.add(took);
    }
    Block block;
    block.loop = static_cast<double>(rte_rdtsc() - start) / kBlockPackets;
    block.pipeline = static_cast<double>(inside) / kBlockPackets;
    const auto after = stage_cycles(box);
    for (std::size_t s = 0; s < kStageCount; ++s)
        block.stages[s] = static_cast<double>(after[s] - before[s]) / kBlockPackets;
    return block;
}

}  // namespace

std::array<std::uint64_t, kStageCount> stage_cycles(BenchBox& box) {
    std::array<std::uint64_t, kStageCount> cycles;
    for (std::size_t s = 0; s < kStageCount; ++s) cycles[s] = box.counters().stage_cycles[s].get();
    return cycles;
}

double median(std::vector<double> values) {
    if (values.empty()) return 0;
    std::sort(values.begin(), values.end());
    const std::size_t half = values.size() / 2;
    return values.size() % 2 == 1 ? values[half] : (values[half - 1] + values[half]) / 2;
}

Round measure(BenchBox& box, Traffic& traffic, PortIndex in, rte_mempool* pool, std::uint64_t packets, bool stages,
              LoopTimes& times) {
    const std::uint64_t drops = box.drops();
    box.pipeline().stages().measure(stages ? 1 : 0);
    std::vector<Block> blocks(blocks_for(packets));
    for (Block& b : blocks) b = run_block(box, traffic, in, pool, times);
    box.pipeline().stages().measure(0);
    if (box.drops() != drops) throw std::runtime_error("packets were dropped while measuring");

    Round round;
    std::vector<double> pipeline, loop;
    for (const Block& b : blocks) {
        pipeline.push_back(b.pipeline);
        loop.push_back(b.loop);
    }
    round.pipeline = median(std::move(pipeline));
    round.loop = median(std::move(loop));
    unsigned fast = 0;
    for (const Block& b : blocks) {
        if (b.pipeline > round.pipeline) continue;
        ++fast;
        for (std::size_t s = 0; s < kStageCount; ++s) round.stages[s] += b.stages[s];
    }
    for (double& s : round.stages) s /= std::max(fast, 1U);
    return round;
}

CountingCost measure_counting(BenchBox& box, Traffic& traffic, PortIndex in, rte_mempool* pool, std::uint64_t packets) {
    constexpr std::array<std::uint32_t, 3> kEvery{0, StageClock::kLiveEvery, 1};
    std::array<std::vector<double>, kEvery.size()> loops;
    std::vector<double> pipeline;
    LoopTimes ignored;
    for (std::uint64_t n = blocks_for(packets); n > 0; --n)
        for (std::size_t i = 0; i < kEvery.size(); ++i) {
            box.pipeline().stages().measure(kEvery[i]);
            const Block b = run_block(box, traffic, in, pool, ignored);
            loops[i].push_back(b.loop);
            if (i == 0) pipeline.push_back(b.pipeline);
        }
    box.pipeline().stages().measure(0);
    const double without = median(std::move(loops[0]));
    return {median(std::move(pipeline)), median(std::move(loops[1])) - without, median(std::move(loops[2])) - without};
}

double measure_io(Traffic& traffic, std::uint16_t device, rte_mempool* pool, std::uint64_t packets) {
    std::array<rte_mbuf*, kBurst> mbufs;
    std::vector<double> blocks;
    for (std::uint64_t n = blocks_for(packets); n > 0; --n) {
        const std::uint64_t start = rte_rdtsc();
        for (unsigned burst = 0; burst < kBurstsPerBlock; ++burst) {
            traffic.fill(pool, mbufs.data(), kBurst);
            if (rte_eth_tx_burst(device, 0, mbufs.data(), kBurst) != kBurst)
                throw std::runtime_error("the null device refused packets");
        }
        blocks.push_back(static_cast<double>(rte_rdtsc() - start) / kBlockPackets);
    }
    return median(std::move(blocks));
}

void verify(BenchBox& box, Traffic& traffic, PortIndex in, rte_mempool* pool, std::uint64_t packets,
            const std::vector<Tuple>& expected) {
    std::array<rte_mbuf*, kBurst> mbufs;
    for (std::uint64_t done = 0; done < packets;) {
        const auto n = static_cast<unsigned>(std::min<std::uint64_t>(kBurst, packets - done));
        std::array<std::uint32_t, kBurst> flows;
        for (unsigned i = 0; i < n; ++i) {
            flows[i] = traffic.next_flow();
            traffic.fill(pool, &mbufs[i], 1);
        }
        const auto frames = box.through(in, mbufs.data(), n);
        for (unsigned i = 0; i < n; ++i) check_frame(frames[i], expected[flows[i]]);
        done += n;
    }
}

}  // namespace sluice::bench

// N3: a SYN flood on a full table, masquerade. 64 k TCP connections (--flows) are established and have half of the
// table; half-open ones may have the other half (half_open 50 %), and have it: every further SYN, of which each is a
// new connection that nobody answers, pushes out the oldest of them. Bursts are of established packets alone, half and
// half, and nine of ten SYNs.
//
// Goodput is what established packets get through while the worker does nothing but work. None may be lost, and no
// established flow either. Making room is included; nothing times out (120 s), so control has births and deaths to hear
// of but nothing to expire; what it does for them in between is not counted.
#include <array>
#include <stdexcept>
#include <string>

#include <rte_cycles.h>

#include "tests/bench/fresh_flows.hh"
#include "tests/bench/measure.hh"
#include "tests/bench/scenario.hh"

namespace sluice::bench {

namespace {

const std::vector<std::uint32_t> kEstablished{65536};
constexpr std::array<unsigned, 3> kSynsInABurst{0, 16, 29};

PolicyWish wish(std::uint32_t established) {
    PolicyWish w;
    w.slots = 2 * established;
    w.half_open_percent = 50;
    return w;
}

class Flood {
public:
    Flood(Devices& devices, const Options& o, std::uint32_t established)
        : devices_(devices),
          box_(devices, wish(established)),
          syns_(Protocol::tcp, o.pattern, box_.mac(BenchBox::kLan)),
          traffic_(open_clients(box_, established, Protocol::tcp, o.pattern), permutation(established), Protocol::tcp,
                   box_.mac(BenchBox::kLan), test::kAck) {
        box_.set_clock(box_.now().ms);
        while (box_.store().live() < box_.store().capacity()) {
            const std::uint32_t before = box_.store().live();
            (void)burst(kBurst);
            if (box_.store().live() == before) throw std::runtime_error("N3: the table does not fill");
        }
    }

    BenchBox& box() noexcept { return box_; }

    LoopCost burst(unsigned syns) {
        std::array<rte_mbuf*, kBurst> mbufs;
        if (rte_pktmbuf_alloc_bulk(devices_.pool, mbufs.data(), syns) != 0)
            throw std::runtime_error("the packet pool is empty");
        syns_.write(mbufs.data(), syns);
        if (syns < kBurst) traffic_.fill(devices_.pool, mbufs.data() + syns, kBurst - syns);
        // Mixed as they would come.
        for (unsigned i = 0; i < syns; ++i) std::swap(mbufs[i], mbufs[i * 13 % kBurst]);
        const LoopCost cost = box_.work(BenchBox::kLan, mbufs.data(), kBurst);
        box_.control_tick();
        return cost;
    }

private:
    Devices& devices_;
    BenchBox box_;
    FreshFlows syns_;
    Traffic traffic_;
};

struct Case {
    unsigned syns;
    std::vector<double> loops{};  // cycles, median of each round
    LoopTimes times{};
};

void run_case(Case& c, Flood& flood, const Options& o, std::uint32_t established) {
    BenchBox& box = flood.box();
    const auto drops = box.drops_by_reason();
    const std::uint64_t births = box.sum(&WorkerCounters::flow_births);
    const std::uint64_t evictions = box.sum(&WorkerCounters::early_drops);
    const std::uint64_t loops = std::max<std::uint64_t>(1, o.packets / kBurst);
    std::vector<double> costs;
    for (std::uint64_t i = 0; i < loops; ++i) {
        const LoopCost cost = flood.burst(c.syns);
        c.times.add(cost.all);
        costs.push_back(static_cast<double>(cost.all));
    }
    c.loops.push_back(median(costs));
    must_not_drop("N3", drops_since(box, drops));
    const std::uint64_t syns = loops * c.syns;
    // An established packet that made a flow had lost its own.
    if (box.sum(&WorkerCounters::flow_births) - births != syns ||
        box.sum(&WorkerCounters::early_drops) - evictions != syns || box.store().live() != box.store().capacity() ||
        box.store().half_open() != established)
        throw std::runtime_error("N3: others than half-open flows made room");
}

Section run(const Options& o, Devices& devices) {
    Section section{kN3.name,
                    kN3.about,
                    {"flows", "slots", "syn_percent", "goodput_mpps", "goodput_share", "cycles_per_packet",
                     "cycles_per_syn", "loop_cycles.p50", "loop_cycles.p99", "loop_cycles.p99.9"},
                    {}};
    const auto hz = static_cast<double>(rte_get_tsc_hz());
    for (const std::uint32_t established : o.flows_or(kEstablished)) {
        if (established < 512) throw std::runtime_error("N3 needs 512 connections at least (--flows)");
        Flood flood(devices, o, established);
        std::vector<Case> cases;
        for (const unsigned syns : kSynsInABurst) cases.push_back({syns});
        for (unsigned round = 0; round < o.rounds; ++round)
            for (Case& c : cases) run_case(c, flood, o, established);
        const double alone = median(cases.front().loops) / kBurst;
        for (const Case& c : cases) {
            const double loop = median(c.loops);
            const unsigned packets = kBurst - c.syns;
            const double goodput = packets * hz / loop;
            boost::json::object row{{"flows", established},
                                    {"slots", flood.box().store().capacity()},
                                    {"timeout_s", 120},
                                    {"erasing", true},
                                    {"syn_percent", 100.0 * c.syns / kBurst},
                                    {"goodput_mpps", goodput / 1e6},
                                    {"goodput_share", goodput / (hz / alone)},
                                    {"cycles_per_packet", loop / kBurst},
                                    {"syns_per_second", c.syns * hz / loop},
                                    {"established_lost", 0},
                                    {"loop_cycles", percentiles(c.times)},
                                    {"drops", boost::json::object{}}};
            if (c.syns != 0) row["cycles_per_syn"] = (loop - packets * alone) / c.syns;
            section.rows.push_back(std::move(row));
        }
    }
    return section;
}

std::uint64_t memory(const Options& o) {
    return o.most_over_flows(kEstablished,
                             [](std::uint32_t flows) { return BenchBox::memory_bytes(wish(flows).slots); });
}

}  // namespace

const Scenario kN3{
    "N3",
    "SYN flood on a full table of 128 k, of which 64 k established connections (--flows) have half; timeout "
    "120 s, making room included",
    "flows pattern", memory, run};

}  // namespace sluice::bench

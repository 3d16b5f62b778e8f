// N1: every packet is the first of a UDP flow, through masquerade, and no flow gets a second one. The table has 2^21
// slots (--table) and the timeout is 1 s. The clock goes by packets: a second is as many new flows as half of the table
// has slots, however fast the machine, so that half of it is in use and as many flows end as begin.
//
// What a new flow costs is all that the worker spends on it: making it, telling control, being told that it is due and
// erasing it. Control's own work (the wheel) is done in the same thread in between, and counted apart. What opens flows
// is the last of 10, 1000 and 10000 rules (--rules).
#include <algorithm>
#include <array>
#include <string>

#include <rte_cycles.h>

#include "tests/bench/fresh_flows.hh"
#include "tests/bench/measure.hh"
#include "tests/bench/scenario.hh"

namespace sluice::bench {

namespace {

constexpr std::uint32_t kSlots = 1U << 21;
/// Expiries come in lumps, one for each tick of the wheel: a block has eight of them.
constexpr unsigned kBurstsPerLongBlock = 2048;

/// Cycles, by what was done for them.
struct Spent {
    double all = 0, orders = 0, control = 0;
};

class NewFlows {
public:
    NewFlows(Devices& devices, const Options& o)
        : devices_(devices),
          wish_(wish(o)),
          box_(devices, wish_),
          per_second_(wish_.slots / 2),
          flows_(Protocol::udp, o.pattern, box_.mac(BenchBox::kLan)) {
        start_ms_ = box_.set_clock(1000);
    }

    static PolicyWish wish(const Options& o) {
        PolicyWish wish;
        wish.slots = o.slots.value_or(kSlots);
        wish.udp_s = 1;
        return wish;
    }

    BenchBox& box() noexcept { return box_; }
    [[nodiscard]] std::uint32_t per_second() const noexcept { return per_second_; }

    void use_rules(std::uint32_t rules) {
        wish_.rules = rules;
        box_.publish(wish_);
        (void)burst();
        (void)box_.grace().reclaim();
    }
    /// Until flows end as fast as they begin.
    void warm_up() {
        for (std::uint64_t n = 0; n < 2 * std::uint64_t{per_second_}; n += kBurst) (void)burst();
    }

    Spent burst() {
        std::array<rte_mbuf*, kBurst> mbufs;
        flows_.fill(devices_.pool, mbufs.data(), kBurst);
        const LoopCost cost = box_.work(BenchBox::kLan, mbufs.data(), kBurst);
        times.add(cost.all);
        return {static_cast<double>(cost.all), static_cast<double>(cost.orders), tick()};
    }
    /// Each goes through and is looked at.
    void verified_burst() {
        std::array<rte_mbuf*, kBurst> mbufs;
        const std::uint64_t first = flows_.next();
        flows_.fill(devices_.pool, mbufs.data(), kBurst);
        std::array<Tuple, kBurst> sent;
        for (unsigned i = 0; i < kBurst; ++i) {
            const Decoded d = test::decode(test::frame_of(mbufs[i]));
            sent[i] = {kWanAddress, d.dst.v4(), d.sport, d.dport};
        }
        const auto frames = box_.through(BenchBox::kLan, mbufs.data(), kBurst);
        for (unsigned i = 0; i < kBurst; ++i) check_frame(frames[i], sent[i]);
        if (flows_.next() != first + kBurst) throw std::logic_error("flows were left out");
        (void)box_.work(BenchBox::kLan, nullptr, 0);
        (void)tick();
    }

    LoopTimes times;

private:
    using Decoded = test::Decoded;

    /// The clock goes on; control works when it has.
    double tick() {
        const TimeMs now = start_ms_ + flows_.next() * 1000 / per_second_;
        if (now == box_.now().ms) return 0;
        box_.set_clock(now);
        const std::uint64_t start = rte_rdtsc();
        box_.control_tick();
        return static_cast<double>(rte_rdtsc() - start);
    }

    Devices& devices_;
    PolicyWish wish_;
    BenchBox box_;
    std::uint32_t per_second_;
    TimeMs start_ms_ = 0;
    FreshFlows flows_;
};

/// Medians of blocks, for each new flow.
struct Round {
    double all = 0, making = 0, erasing = 0, control = 0;
    std::array<double, kStageCount> stages{};
};

Round run_round(NewFlows& flows, std::uint64_t packets, bool stages) {
    const std::uint64_t bursts = std::max<std::uint64_t>(1, packets / kBurst);
    const std::uint64_t per_block = std::min<std::uint64_t>(kBurstsPerLongBlock, bursts);
    std::vector<double> all, orders, control;
    flows.box().pipeline().stages().measure(stages ? 1 : 0);
    const auto before = stage_cycles(flows.box());
    for (std::uint64_t done = 0; done + per_block <= bursts; done += per_block) {
        Spent block;
        for (std::uint64_t i = 0; i < per_block; ++i) {
            const Spent s = flows.burst();
            block.all += s.all;
            block.orders += s.orders;
            block.control += s.control;
        }
        const auto packets_of_block = static_cast<double>(per_block * kBurst);
        all.push_back(block.all / packets_of_block);
        orders.push_back(block.orders / packets_of_block);
        control.push_back(block.control / packets_of_block);
    }
    flows.box().pipeline().stages().measure(0);
    const auto after = stage_cycles(flows.box());
    Round r;
    r.all = median(all);
    r.erasing = median(orders);
    r.making = r.all - r.erasing;
    r.control = median(control);
    for (std::size_t s = 0; s < kStageCount; ++s)
        r.stages[s] =
            static_cast<double>(after[s] - before[s]) / static_cast<double>(bursts / per_block * per_block * kBurst);
    return r;
}

struct Case {
    std::uint32_t rules;
    std::vector<double> all{}, making{}, erasing{}, control{};
    std::array<double, kStageCount> stages{};
    LoopTimes times{};
    boost::json::object drops{};
};

void run_case(Case& c, NewFlows& flows, const Options& o, bool last) {
    BenchBox& box = flows.box();
    flows.use_rules(c.rules);
    if (box.policy().chain(Chain::forward).rules.size() != c.rules) throw std::runtime_error("these are not the rules");
    for (unsigned i = 0; i < kBurstsPerBlock; ++i) (void)flows.burst();
    const auto drops = box.drops_by_reason();
    const std::uint64_t births = box.sum(&WorkerCounters::flow_births),
                        received = box.counters().balance.received.get();
    const std::uint64_t deaths = box.deaths();
    flows.times.clear();
    const Round r = run_round(flows, o.packets, false);
    c.times.add(flows.times);
    if (last) c.stages = run_round(flows, o.packets, true).stages;
    const std::uint64_t made = box.sum(&WorkerCounters::flow_births) - births;
    const std::uint64_t ended = box.deaths() - deaths;
    c.drops = drops_since(box, drops);
    must_not_drop("N1", c.drops);
    if (made != box.counters().balance.received.get() - received)
        throw std::runtime_error("N1: not every packet made a flow");
    // The wheel's tick is 8 ms; over a short run that is much.
    if (const std::uint64_t apart = made > ended ? made - ended : ended - made; apart > flows.per_second() / 20)
        throw std::runtime_error("N1: " + std::to_string(made) + " flows began and " + std::to_string(ended) +
                                 " ended");
    c.all.push_back(r.all);
    c.making.push_back(r.making);
    c.erasing.push_back(r.erasing);
    c.control.push_back(r.control);
}

Section run(const Options& o, Devices& devices) {
    NewFlows flows(devices, o);
    if (o.verify)
        for (std::uint64_t n = 0; n < std::min<std::uint64_t>(o.packets, flows.per_second() / 4); n += kBurst)
            flows.verified_burst();
    flows.warm_up();
    std::vector<Case> cases;
    for (const std::uint32_t rules : o.rules_or({10, 1000, 10000})) cases.push_back({rules});
    for (unsigned round = 0; round < o.rounds; ++round)
        for (Case& c : cases) run_case(c, flows, o, round + 1 == o.rounds);

    Section section{kN1.name,
                    kN1.about,
                    {"rules", "slots", "alive", "cycles_per_new_flow", "cycles_making", "cycles_erasing",
                     "control_cycles_per_new_flow", "new_flows_per_second", "loop_cycles.p50", "loop_cycles.p99",
                     "loop_cycles.p99.9"},
                    {}};
    for (const Case& c : cases) {
        const double cycles = median(c.all);
        section.rows.push_back({{"rules", c.rules},
                                {"slots", flows.box().store().capacity()},
                                {"timeout_s", 1},
                                {"erasing", true},
                                {"alive", flows.box().store().live()},
                                {"births_per_clock_second", flows.per_second()},
                                {"cycles_per_new_flow", cycles},
                                {"cycles_per_new_flow_least", *std::min_element(c.all.begin(), c.all.end())},
                                {"cycles_per_new_flow_most", *std::max_element(c.all.begin(), c.all.end())},
                                {"cycles_making", median(c.making)},
                                {"cycles_erasing", median(c.erasing)},
                                {"control_cycles_per_new_flow", median(c.control)},
                                {"new_flows_per_second", static_cast<double>(rte_get_tsc_hz()) / cycles},
                                {"loop_cycles", percentiles(c.times)},
                                {"drops", c.drops},
                                {"stages", stages_of(c.stages)}});
    }
    return section;
}

}  // namespace

const Scenario kN1{
    "N1",
    "every packet a new UDP flow, masquerade, 10, 1000 and 10000 rules (--rules) with the hit on the last; "
    "table of 2097152 (--table), half in use, timeout 1 s, erasing included",
    "rules table pattern verify",
    [](const Options& o) { return BenchBox::memory_bytes(NewFlows::wish(o).slots) + (64U << 20); }, run};

}  // namespace sluice::bench

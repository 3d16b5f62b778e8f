// S1: two workers in one process, 64 k UDP streams (--flows) through masquerade, half of them at home at each. None,
// half and all of a worker's packets arrive at the wrong one, as from a device that cannot be told whose packets are
// whose, and are handed over by the rings between them. The table of each has half as many slots again as it has flows;
// streams live for 120 s and nothing is erased.
//
// On two CPUs each worker has a thread of its own; on one they take turns, and the row says so. What counts in either
// case is what the worker spends, without the generator: packets through both, in the time of the one that spent more,
// against one worker that has all flows to itself.
#include <algorithm>
#include <array>
#include <atomic>
#include <cmath>
#include <memory>
#include <stdexcept>
#include <string>

#include <rte_cycles.h>
#include <rte_launch.h>
#include <rte_lcore.h>

#include "tests/bench/measure.hh"
#include "tests/bench/scenario.hh"

namespace sluice::bench {

namespace {

constexpr unsigned kWorkers = 2;
const std::vector<std::uint32_t> kFlows{65536};

std::uint32_t slots_for(std::uint32_t flows) {
    return flows + flows / 2 + 1024;
}

/// One worker with its generator, of packets of its own flows and of others'.
class Side {
public:
    Side(BenchBox& box, rte_mempool* pool, unsigned worker, Traffic own, Traffic foreign)
        : box_(box), pool_(pool), worker_(worker), own_(std::move(own)), foreign_(std::move(foreign)) {}

    void start(std::uint64_t packets, double share) noexcept {
        left_ = packets;
        share_ = share;
        cycles = 0;
        finished.store(packets == 0);
    }
    /// A loop; makes packets while some are left and the other worker can take them.
    void loop() {
        std::array<rte_mbuf*, kBurst> mbufs;
        unsigned n = 0;
        if (left_ != 0 && !other_is_behind()) {
            n = static_cast<unsigned>(std::min<std::uint64_t>(kBurst, left_));
            for (unsigned i = 0; i < n; ++i) {
                owed_ += share_;
                const bool foreign = owed_ >= 1;
                if (foreign) owed_ -= 1;
                (foreign ? foreign_ : own_).fill(pool_, &mbufs[i], 1);
            }
            left_ -= n;
        }
        const LoopCost cost = box_.work(BenchBox::kLan, mbufs.data(), n, worker_);
        if (cost.packets != 0) cycles += cost.all;
        if (left_ == 0) finished.store(true, std::memory_order_release);
    }

    std::uint64_t cycles = 0;  ///< of loops with packets
    std::atomic<bool> finished{false};

private:
    /// A ring holds 1023; what waits in the batch comes too.
    bool other_is_behind() {
        constexpr unsigned kAlmostFull = 768;
        return share_ > 0 && box_.rings().between(worker_, 1 - worker_).count() > kAlmostFull;
    }

    BenchBox& box_;
    rte_mempool* pool_;
    unsigned worker_;
    Traffic own_, foreign_;
    std::uint64_t left_ = 0;
    double share_ = 0, owed_ = 0;
};

class TwoWorkers {
public:
    TwoWorkers(Devices& devices, std::uint32_t flows) : box_(devices, wish(flows)), alone_(devices, alone(flows)) {
        std::array<std::vector<Tuple>, kWorkers> tuples;
        for (std::uint64_t i = 0; tuples[0].size() + tuples[1].size() < flows; ++i) {
            const Tuple t = fresh_tuple(i, Protocol::udp, Pattern::random);
            auto& home = tuples[box_.homes().of(t.dst)];
            if (home.size() < (flows + 1) / 2) home.push_back(t);
        }
        std::vector<Tuple> all;
        for (unsigned w = 0; w < kWorkers; ++w) {
            (void)box_.open(tuples[w], Protocol::udp, w);
            all.insert(all.end(), tuples[w].begin(), tuples[w].end());
        }
        (void)alone_.open(all, Protocol::udp);
        const auto traffic = [&](const std::vector<Tuple>& t) {
            return Traffic(t, permutation(static_cast<std::uint32_t>(t.size())), Protocol::udp,
                           box_.mac(BenchBox::kLan), 0);
        };
        for (unsigned w = 0; w < kWorkers; ++w)
            sides_.push_back(std::make_unique<Side>(box_, devices.pool, w, traffic(tuples[w]), traffic(tuples[1 - w])));
        one_ = std::make_unique<Traffic>(traffic(all));
    }

    BenchBox& box() noexcept { return box_; }
    BenchBox& alone() noexcept { return alone_; }
    Traffic& traffic_alone() noexcept { return *one_; }
    [[nodiscard]] bool in_threads() const noexcept { return rte_lcore_count() >= kWorkers; }

    /// Both send `packets` packets, of which `share` arrive at the wrong one. Cycles of each worker.
    std::array<std::uint64_t, kWorkers> run(std::uint64_t packets, double share) {
        for (auto& side : sides_) side->start(packets, share);
        failed_.clear();
        if (in_threads()) {
            const unsigned other = rte_get_next_lcore(rte_lcore_id(), 1, 1);
            if (rte_eal_remote_launch(&TwoWorkers::second_thread, this, other) != 0)
                throw std::runtime_error("the second core does not start");
            work_until_done(0, 1);
            (void)rte_eal_wait_lcore(other);
            if (!failed_.empty()) throw std::runtime_error(failed_);
        } else {
            while (!sides_[0]->finished || !sides_[1]->finished)
                for (auto& side : sides_) side->loop();
        }
        for (unsigned i = 0; i < 64; ++i)  // what is under way
            for (auto& side : sides_) side->loop();
        return {sides_[0]->cycles, sides_[1]->cycles};
    }

private:
    static PolicyWish wish(std::uint32_t flows) {
        PolicyWish w;
        w.workers = kWorkers;
        w.slots = slots_for(flows / 2);
        return w;
    }
    static PolicyWish alone(std::uint32_t flows) {
        PolicyWish w;
        w.slots = slots_for(flows);
        return w;
    }
    /// The other one may still send.
    void work_until_done(unsigned me, unsigned other) {
        while (!sides_[me]->finished.load(std::memory_order_acquire) ||
               !sides_[other]->finished.load(std::memory_order_acquire))
            sides_[me]->loop();
    }
    static int second_thread(void* self) {
        auto& me = *static_cast<TwoWorkers*>(self);
        try {
            me.work_until_done(1, 0);
        } catch (const std::exception& e) {
            me.failed_ = e.what();
            me.sides_[1]->finished = true;
        }
        return 0;
    }

    BenchBox box_, alone_;
    std::vector<std::unique_ptr<Side>> sides_;
    std::unique_ptr<Traffic> one_;
    std::string failed_;
};

struct Case {
    double share;
    std::vector<double> mpps{}, cycles{}, speed_up{};
    std::uint64_t sent = 0, handed_over = 0;
};

void run_case(Case& c, TwoWorkers& two, const Options& o, double alone) {
    BenchBox& box = two.box();
    const auto drops = box.drops_by_reason();
    const auto counted = [&](Counter BalanceCounters::*counter) {
        return (box.counters(0).balance.*counter).get() + (box.counters(1).balance.*counter).get();
    };
    const std::uint64_t handed = counted(&BalanceCounters::handed_out),
                        through = counted(&BalanceCounters::transmitted);
    const auto cycles = two.run(o.packets, c.share);
    box.serve_control();
    const std::uint64_t sent = kWorkers * o.packets;
    must_not_drop("S1", drops_since(box, drops));
    if (counted(&BalanceCounters::transmitted) - through != sent) throw std::runtime_error("S1: packets are missing");
    c.handed_over += counted(&BalanceCounters::handed_out) - handed;
    c.sent += sent;
    const double slower = static_cast<double>(std::max(cycles[0], cycles[1]));
    const double mpps = static_cast<double>(sent) / slower * static_cast<double>(rte_get_tsc_hz()) / 1e6;
    c.mpps.push_back(mpps);
    c.cycles.push_back(static_cast<double>(cycles[0] + cycles[1]) / static_cast<double>(sent));
    c.speed_up.push_back(static_cast<double>(sent) / slower * alone);
}

Section run(const Options& o, Devices& devices) {
    Section section{kS1.name,
                    kS1.about,
                    {"flows", "handed_over_percent", "threads", "mpps", "mpps_one_worker", "speed_up",
                     "cycles_per_packet", "cycles_per_packet_one_worker"},
                    {}};
    for (const std::uint32_t flows : o.flows_or(kFlows)) {
        if (flows < 64) throw std::runtime_error("S1 needs 64 flows at least (--flows)");
        TwoWorkers two(devices, flows);
        std::vector<Case> cases;
        for (const double share : {0.0, 0.5, 1.0}) cases.push_back({share});
        std::vector<double> alone;
        LoopTimes ignored;
        for (unsigned round = 0; round < o.rounds; ++round) {
            alone.push_back(
                measure(two.alone(), two.traffic_alone(), BenchBox::kLan, devices.pool, o.packets, false, ignored)
                    .pipeline);
            for (Case& c : cases) run_case(c, two, o, alone.back());
        }
        const double one = median(alone);
        for (const Case& c : cases) {
            const double handed = static_cast<double>(c.handed_over) / static_cast<double>(c.sent);
            if (std::abs(handed - c.share) > 0.01)
                throw std::runtime_error("S1: " + std::to_string(100 * handed) + " % were handed over");
            section.rows.push_back({{"flows", flows},
                                    {"slots", two.box().store().capacity()},
                                    {"timeout_s", 120},
                                    {"erasing", false},
                                    {"workers", kWorkers},
                                    {"threads", two.in_threads() ? kWorkers : 1U},
                                    {"handed_over_percent", 100 * c.share},
                                    {"mpps", median(c.mpps)},
                                    {"mpps_one_worker", mpps(rte_get_tsc_hz(), one)},
                                    {"speed_up", median(c.speed_up)},
                                    {"cycles_per_packet", median(c.cycles)},
                                    {"cycles_per_packet_one_worker", one},
                                    {"drops", boost::json::object{}}});
        }
    }
    return section;
}

std::uint64_t memory(const Options& o) {
    return o.most_over_flows(kFlows, [](std::uint32_t flows) {
        return BenchBox::memory_bytes(slots_for(flows)) + BenchBox::memory_bytes(slots_for(flows / 2), kWorkers);
    });
}

}  // namespace

const Scenario kS1{
    "S1",
    "two workers, 64 k UDP streams (--flows), 0, 50 and 100 % of packets handed over to the other; tables "
    "1.5 times the flows, timeout 120 s, no erasing",
    "flows", memory, run};

}  // namespace sluice::bench

// Flows that come and go by the clock while others live on, the worker's time simulated (simulate.hh), masquerade:
//
//   C1  1 M UDP streams alive (--flows), and 500 k new UDP flows a second, each of one packet, that end after their
//       timeout of 1 s, so 500 k a second are erased too. Streams get as many packets as bring the worker to half load.
//       A machine on which births and ends would take more than 35 % of the worker gets fewer, and the row says how
//       many.
//   C2  1 M UDP flows (--flows) born in the same millisecond, so all due in the same (timeout 30 s), while 64 k streams
//       keep the worker at 80 % load, until the last of them is erased.
//
// The load that is offered is reckoned from what packets cost back to back, and of C1 births, each with the end of
// another flow, among them: a first run with packets always waiting says that. `load` is the share of loops with
// packets, which is nearly all of them: a worker that has caught up takes few packets in each.
//
// The table has a quarter more slots than flows can be alive. Lost are packets that find the receive queue full; a
// packet that the data plane drops fails the scenario.
#include <algorithm>
#include <array>
#include <stdexcept>
#include <string>

#include "tests/bench/fresh_flows.hh"
#include "tests/bench/measure.hh"
#include "tests/bench/scenario.hh"
#include "tests/bench/simulate.hh"

namespace sluice::bench {

namespace {

constexpr std::uint32_t kMillion = 1000000, kBirths = 500000, kBackground = 65536;

std::uint32_t alive_of(const Options& o) {
    return o.flows_or({kMillion}).front();
}
std::uint32_t background_of(const Options& o) {
    return std::min(kBackground, std::max(64U, alive_of(o) / 8));
}
std::uint32_t births_of(const Options& o) {
    return std::max(64U, static_cast<std::uint32_t>(std::uint64_t{alive_of(o)} * kBirths / kMillion));
}
std::uint32_t slots_for(std::uint64_t alive) {
    return static_cast<std::uint32_t>(alive + alive / 4 + 1024);
}
PolicyWish wish(std::uint32_t slots, std::uint32_t udp_s) {
    PolicyWish w;
    w.slots = slots;
    w.udp_s = udp_s;
    return w;
}

/// Streams that are there already, and how to make more flows.
class Mixture {
public:
    Mixture(Devices& devices, BenchBox& box, const Options& o, std::uint32_t streams)
        : devices_(devices),
          fresh_(Protocol::udp, o.pattern, box.mac(BenchBox::kLan)),
          traffic_(open_clients(box, streams, Protocol::udp, o.pattern), permutation(streams), Protocol::udp,
                   box.mac(BenchBox::kLan), 0) {}

    void streams(rte_mbuf** mbufs, unsigned n) { traffic_.fill(devices_.pool, mbufs, n); }
    void births(rte_mbuf** mbufs, unsigned n) { fresh_.fill(devices_.pool, mbufs, n); }
    /// Births among them, spread evenly.
    void both(rte_mbuf** mbufs, unsigned n, double share_of_births) {
        for (unsigned i = 0; i < n; ++i) {
            owed_ += share_of_births;
            if (owed_ >= 1) {
                owed_ -= 1;
                births(mbufs + i, 1);
            } else {
                streams(mbufs + i, 1);
            }
        }
    }

private:
    Devices& devices_;
    FreshFlows fresh_;
    Traffic traffic_;
    double owed_ = 0;
};

/// Cycles per packet, back to back.
template <class Fill>
double cost_of(BenchBox& box, std::uint64_t packets, Fill&& fill) {
    std::array<rte_mbuf*, kBurst> mbufs;
    std::vector<double> loops;
    for (std::uint64_t done = 0; done < packets || done == 0; done += kBurst) {
        fill(mbufs.data(), kBurst);
        loops.push_back(static_cast<double>(box.work(BenchBox::kLan, mbufs.data(), kBurst).all) / kBurst);
        box.control_tick();
    }
    return median(loops);
}

/// How many births and packets of streams a second are so much load.
struct Rates {
    double births, packets;

    static Rates at(double load, double hz, double wanted, double per_birth, double per_packet) {
        const double births = std::min(wanted, 0.7 * load * hz / per_birth);
        return {births, std::max(0.0, load * hz - births * per_birth) / per_packet};
    }
    [[nodiscard]] double all() const { return births + packets; }
    [[nodiscard]] double share_of_births() const { return births / all(); }
};

/// Cycles of a birth among streams and of the end of another flow, of a worker that never catches up.
/// Not less than `alone`, a birth by itself: of few births among many packets the difference is mostly noise.
double cost_of_birth_and_end(SimulatedWorker& worker, Mixture& mixture, const Rates& all_of_it, double per_packet,
                             double alone) {
    const double share = all_of_it.share_of_births();
    const auto both = [&](rte_mbuf** m, unsigned n) { mixture.both(m, n, share); };
    worker.offer(2 * all_of_it.all());
    worker.run(1500, BenchBox::kLan, both);  // flows begin to end after one second
    worker.forget();
    worker.run(1500, BenchBox::kLan, both);
    const double cycles = static_cast<double>(worker.busy) / static_cast<double>(worker.served);
    return std::max(alone, (cycles - (1 - share) * per_packet) / share);
}

Section run_c1(const Options& o, Devices& devices) {
    const std::uint32_t alive = alive_of(o), wanted = births_of(o);
    BenchBox box(devices, wish(slots_for(std::uint64_t{alive} + wanted), 1));
    box.set_clock(1000);
    Mixture mixture(devices, box, o, alive);
    const auto streams = [&](rte_mbuf** m, unsigned n) { mixture.streams(m, n); };
    (void)cost_of(box, alive, streams);
    const double per_packet = cost_of(box, o.packets, streams);
    const double alone = cost_of(box, std::min<std::uint64_t>(wanted / 2, o.packets),
                                 [&](rte_mbuf** m, unsigned n) { mixture.births(m, n); });

    SimulatedWorker worker(box, box.now().ms);
    const auto hz = static_cast<double>(worker.hz());
    const double per_birth =
        cost_of_birth_and_end(worker, mixture, Rates::at(1, hz, wanted, alone, per_packet), per_packet, alone);
    const Rates rates = Rates::at(0.5, hz, wanted, per_birth, per_packet);
    const auto both = [&](rte_mbuf** m, unsigned n) { mixture.both(m, n, rates.share_of_births()); };
    worker.offer(rates.all());
    worker.run(2000, BenchBox::kLan, both);

    const auto drops = box.drops_by_reason();
    const std::uint64_t born = box.sum(&WorkerCounters::flow_births), died = box.deaths();
    worker.forget();
    worker.run(TimeMs{o.seconds} * 1000, BenchBox::kLan, both);
    const boost::json::object dropped = drops_since(box, drops);
    must_not_drop("C1", dropped);
    const auto made = static_cast<double>(box.sum(&WorkerCounters::flow_births) - born);
    const auto ended = static_cast<double>(box.deaths() - died);
    if (made == 0 || ended < made / 2) throw std::runtime_error("C1: flows do not end as they begin");

    const double cycles = static_cast<double>(worker.busy) / static_cast<double>(worker.served);
    return {kC1.name,
            kC1.about,
            {"flows", "births_per_second", "expiries_per_second", "mpps_offered", "load_offered",
             "cycles_per_birth_and_end", "lost", "cycles_per_packet", "loop_cycles.p50", "loop_cycles.p99",
             "loop_cycles.p99.9", "loop_cycles.longest"},
            {{{"flows", alive},
              {"slots", box.store().capacity()},
              {"timeout_s", 1},
              {"erasing", true},
              {"births_wanted_per_second", wanted},
              {"births_per_second", made / worker.seconds()},
              {"expiries_per_second", ended / worker.seconds()},
              {"alive", box.store().live()},
              {"mpps_offered", rates.all() / 1e6},
              {"load_offered", (rates.births * per_birth + rates.packets * per_packet) / hz},
              {"load", worker.load()},
              {"packets", worker.served},
              {"lost", worker.lost},
              {"cycles_per_packet", cycles},
              {"mpps", mpps(worker.hz(), cycles)},
              {"cycles_per_packet_of_streams_alone", per_packet},
              {"mpps_of_streams_alone", mpps(worker.hz(), per_packet)},
              {"cycles_per_birth_alone", alone},
              {"cycles_per_birth_and_end", per_birth},
              {"control_load", static_cast<double>(worker.control) / hz / worker.seconds()},
              {"interruptions", worker.interruptions},
              {"loop_cycles", percentiles(worker.times)},
              {"drops", dropped}}}};
}

Section run_c2(const Options& o, Devices& devices) {
    constexpr TimeMs kTimeoutMs = 30000, kBefore = 200, kPatience = 60000;
    constexpr double kLoad = 0.8;
    constexpr unsigned kMostInALoop = 256;  // work per loop must be bounded by count
    const std::uint32_t due = alive_of(o), background = background_of(o);
    BenchBox box(devices, wish(slots_for(std::uint64_t{due} + background), kTimeoutMs / 1000));
    box.set_clock(1000);
    Mixture mixture(devices, box, o, background);
    const auto streams = [&](rte_mbuf** m, unsigned n) { mixture.streams(m, n); };
    const auto drops = box.drops_by_reason();
    std::array<rte_mbuf*, kBurst> mbufs;
    for (std::uint32_t done = 0; done < due;) {  // in no time
        const unsigned n = std::min<std::uint32_t>(kBurst, due - done);
        mixture.births(mbufs.data(), n);
        (void)box.work(BenchBox::kLan, mbufs.data(), n);
        box.control_tick();
        done += n;
    }
    const TimeMs all_due = box.now().ms + kTimeoutMs;
    if (box.store().live() != due + background) throw std::runtime_error("C2: not every flow was made");
    (void)cost_of(box, background, streams);
    const double per_packet = cost_of(box, o.packets, streams);

    SimulatedWorker worker(box, all_due - kBefore);
    worker.offer(kLoad * static_cast<double>(worker.hz()) / per_packet);
    worker.run(kBefore, BenchBox::kLan, streams);
    const boost::json::object quiet = percentiles(worker.times);
    const std::uint64_t lost_before = worker.lost;
    worker.forget();

    std::uint64_t erased = 0, cycles_erasing = 0, most = 0, dead = box.deaths();
    while (box.store().live() != background) {
        const LoopCost cost = worker.loop(BenchBox::kLan, streams);
        const std::uint64_t now_dead = box.deaths(), in_loop = now_dead - dead;
        dead = now_dead;
        if (in_loop == 0) continue;
        erased += in_loop;
        cycles_erasing += cost.orders;
        most = std::max(most, in_loop);
        if (worker.ms() > all_due + kPatience)
            throw std::runtime_error("C2: flows are left a minute after they were due");
    }
    const boost::json::object dropped = drops_since(box, drops);
    must_not_drop("C2", dropped);
    if (erased != due) throw std::runtime_error("C2: other flows ended than those that were due");
    if (most > kMostInALoop) throw std::runtime_error("C2: a loop erased " + std::to_string(most) + " flows");
    return {kC2.name,
            kC2.about,
            {"flows", "alive", "load_offered", "lost", "cycles_per_expiry", "seconds_to_erase", "most_erased_in_a_loop",
             "loop_cycles_before.p99.9", "loop_cycles.p50", "loop_cycles.p99.9", "loop_cycles.longest"},
            {{{"flows", due},
              {"alive", background},
              {"slots", box.store().capacity()},
              {"timeout_s", kTimeoutMs / 1000},
              {"erasing", true},
              {"load_offered", kLoad},
              {"load", worker.load()},
              {"packets", worker.served},
              {"lost_before", lost_before},
              {"lost", worker.lost},
              {"cycles_per_packet_alone", per_packet},
              {"cycles_per_expiry", static_cast<double>(cycles_erasing) / static_cast<double>(erased)},
              {"control_cycles_per_expiry", static_cast<double>(worker.control) / static_cast<double>(erased)},
              {"seconds_to_erase", worker.seconds()},
              {"most_erased_in_a_loop", most},
              {"interruptions", worker.interruptions},
              {"loop_cycles_before", quiet},
              {"loop_cycles", percentiles(worker.times)},
              {"drops", dropped}}}};
}

}  // namespace

const Scenario kC1{
    "C1",
    "1 M UDP streams (--flows) and half as many births and expiries a second, timeout 1 s, at half load, "
    "in simulated time; table a quarter larger than what lives, erasing included",
    "flows pattern seconds",
    [](const Options& o) { return BenchBox::memory_bytes(slots_for(std::uint64_t{alive_of(o)} + births_of(o))); },
    run_c1};
const Scenario kC2{
    "C2",
    "1 M UDP flows (--flows) due in the same millisecond, timeout 30 s, 64 k streams at 80 % load, in "
    "simulated time; table a quarter larger than what lives, erasing included",
    "flows pattern",
    [](const Options& o) { return BenchBox::memory_bytes(slots_for(std::uint64_t{alive_of(o)} + background_of(o))); },
    run_c2};

}  // namespace sluice::bench

// R1: a reload every second of worker time (simulate.hh), 10000 rules (--rules), masquerade, at half load, under E1
// (64 k streams, --flows) and under N1 (every packet a new UDP flow, timeout 1 s, a table of 2^21, --table, of which as
// many are made in a second as fill a third of it at most).
//
// Every other policy drops new flows to one address. From a publication on, one packet in 64 opens a flow to it, until
// the new policy has judged one: that is the time to effect, in which the classification of that packet is, too.
// Compiling is control's and takes no worker time, but it runs in the same thread, so the worker finds caches that it
// has emptied: stalls are upper bounds. The stall is the longest loop within 20 ms after a publication, to be held
// against the longest of all others. Packets are lost where the receive queue is full: after a reload the first packet
// of each flow is judged anew, and that is more work than half the load leaves room for.
#include <algorithm>
#include <array>
#include <stdexcept>
#include <string>

#include <rte_cycles.h>

#include "tests/bench/fresh_flows.hh"
#include "tests/bench/measure.hh"
#include "tests/bench/scenario.hh"
#include "tests/bench/simulate.hh"

namespace sluice::bench {

namespace {

constexpr std::uint32_t kSlots = 1U << 21;
constexpr unsigned kProbeEvery = 64;

std::uint32_t streams_of(const Options& o) {
    return o.flows_or({65536}).front();
}
PolicyWish wish_of(const Options& o, std::uint32_t rules, bool new_flows) {
    PolicyWish wish;
    wish.slots = new_flows ? o.slots.value_or(kSlots) : streams_of(o) + streams_of(o) / 2 + 4096;
    wish.udp_s = 1;
    wish.rules = rules;
    return wish;
}

/// Streams or new flows, and among them one probe in 64 while they are asked for.
class Load {
public:
    Load(Devices& devices, BenchBox& box, const Options& o, bool new_flows)
        : devices_(devices),
          new_flows_(new_flows),
          fresh_(Protocol::udp, o.pattern, box.mac(BenchBox::kLan)),
          probe_(packet_of({}, Protocol::udp, box.mac(BenchBox::kLan), 0)),
          traffic_(tuples(box, o, new_flows), permutation(new_flows ? 1 : streams_of(o)), Protocol::udp,
                   box.mac(BenchBox::kLan), 0) {}

    bool probing = false;

    void fill(rte_mbuf** mbufs, unsigned n) {
        if (new_flows_) {
            fresh_.fill(devices_.pool, mbufs, n);
        } else {
            traffic_.fill(devices_.pool, mbufs, n);
        }
        for (unsigned i = 0; i < n; ++i) {
            if (!probing || ++packets_ % kProbeEvery != 0) continue;
            Tuple t = fresh_tuple(probes_++, Protocol::udp, Pattern::sequential);
            t.src = Ip4::from_host(ip4(10, 192, 0, 0).host() + (t.src.host() & 0x3fffffU));
            t.dst = kProbed;
            probe_.write(mbufs[i], t);
        }
    }

private:
    static std::vector<Tuple> tuples(BenchBox& box, const Options& o, bool new_flows) {
        if (new_flows) return client_tuples(1, Protocol::udp, o.pattern);
        return open_clients(box, streams_of(o), Protocol::udp, o.pattern);
    }

    Devices& devices_;
    bool new_flows_;
    FreshFlows fresh_;
    Stamp probe_;
    Traffic traffic_;
    std::uint64_t packets_ = 0, probes_ = 0;
};

struct Reloads {
    LoopTimes stalls, others;
    std::vector<double> compile_ms, effect_us;
    std::uint64_t cycles_after = 0, packets_after = 0, cycles_else = 0, packets_else = 0;
};

std::uint64_t dropped_by_filter(const BenchBox& box) {
    return box.drops_by_reason()[static_cast<std::size_t>(DropReason::filter_forward)];
}

/// A second with a reload at its beginning.
void second(Reloads& r, SimulatedWorker& worker, BenchBox& box, Load& load, const PolicyWish& wish) {
    constexpr TimeMs kAfter = 20;
    const std::uint64_t start = rte_rdtsc();
    auto policy = box.compile(wish);
    r.compile_ms.push_back(static_cast<double>(rte_rdtsc() - start) * 1e3 / static_cast<double>(worker.hz()));
    if (policy->chain(Chain::forward).rules.size() != wish.rules)
        throw std::runtime_error("R1: these are not the rules");
    box.publish(std::move(policy));

    const TimeMs published_ms = worker.ms();
    const std::uint64_t published = worker.cycles();
    const Policy* const now = &box.policy();
    // Nothing else comes to these rules, unless every packet is a new flow.
    const std::uint32_t rule = now->chain(Chain::forward).rules[wish.against_probe ? 3 : wish.rules - 1].rule;
    const auto judged = [&] { return now->counter(0, rule).packets.get(); };
    bool in_effect = false;
    load.probing = true;
    while (worker.ms() < published_ms + 1000) {
        const std::uint64_t served = worker.served;
        const LoopCost cost = worker.loop(BenchBox::kLan, [&](rte_mbuf** m, unsigned n) { load.fill(m, n); });
        const std::uint64_t packets = worker.served - served;
        if (!in_effect && judged() != 0) {
            in_effect = true;
            load.probing = false;
            r.effect_us.push_back(static_cast<double>(worker.cycles() - published) * 1e6 /
                                  static_cast<double>(worker.hz()));
        }
        const bool after = worker.ms() < published_ms + kAfter;
        if (packets == 0) continue;
        (after ? r.stalls : r.others).add(cost.all);
        (after ? r.cycles_after : r.cycles_else) += cost.all;
        (after ? r.packets_after : r.packets_else) += packets;
    }
    if (!in_effect) throw std::runtime_error("R1: a policy never came into effect");
}

/// Cycles per packet, back to back; half a second of them at most, for a new flow may cost as much as it has rules.
template <class Fill>
double cost_of_loops(BenchBox& box, std::uint64_t packets, Fill&& fill) {
    std::array<rte_mbuf*, kBurst> mbufs;
    std::vector<double> loops;
    const std::uint64_t enough = rte_rdtsc() + rte_get_tsc_hz() / 2;
    for (std::uint64_t done = 0; done == 0 || (done < packets && rte_rdtsc() < enough); done += kBurst) {
        fill(mbufs.data(), kBurst);
        loops.push_back(static_cast<double>(box.work(BenchBox::kLan, mbufs.data(), kBurst).all) / kBurst);
        box.control_tick();
    }
    return median(loops);
}

boost::json::object row(const Options& o, Devices& devices, std::uint32_t rules, bool new_flows) {
    PolicyWish wish = wish_of(o, rules, new_flows);
    BenchBox box(devices, wish);
    box.set_clock(1000);
    Load load(devices, box, o, new_flows);
    const auto fill = [&](rte_mbuf** m, unsigned n) { load.fill(m, n); };

    SimulatedWorker worker(box, box.now().ms);
    const auto hz = static_cast<double>(worker.hz());
    if (!new_flows) (void)cost_of_loops(box, streams_of(o), fill);
    const double per_packet = cost_of_loops(box, std::min<std::uint64_t>(o.packets, wish.slots / 4), fill);
    // New flows: no more than half of the table in a second.
    const double rate = std::min(0.5 * hz / per_packet, new_flows ? wish.slots / 3.0 : 1e12);
    worker.offer(rate);
    worker.run(1500, BenchBox::kLan, fill);
    const auto drops = box.drops_by_reason();
    worker.forget();
    Reloads r;
    for (unsigned s = 0; s < std::max(2U, o.seconds); ++s) {
        wish.against_probe = s % 2 == 0;
        second(r, worker, box, load, wish);
    }
    const auto dropped = box.drops_by_reason();
    for (std::size_t i = 0; i < dropped.size(); ++i)
        if (dropped[i] != drops[i] && static_cast<DropReason>(i) != DropReason::filter_forward)
            throw std::runtime_error("R1 lost packets: " + boost::json::serialize(drops_since(box, drops)));
    const auto per = [](std::uint64_t cycles, std::uint64_t packets) {
        return static_cast<double>(cycles) / static_cast<double>(std::max<std::uint64_t>(1, packets));
    };
    return {{"under", new_flows ? "N1" : "E1"},
            {"rules", rules},
            {"flows", new_flows ? 0 : streams_of(o)},
            {"slots", wish.slots},
            {"timeout_s", new_flows ? 1 : 120},
            {"erasing", true},
            {"reloads", r.compile_ms.size()},
            {"mpps_offered", rate / 1e6},
            {"load", worker.load()},
            {"packets", worker.served},
            {"lost", worker.lost},
            {"probes_dropped", dropped_by_filter(box)},
            {"compile_ms", median(r.compile_ms)},
            {"effect_us", median(r.effect_us)},
            {"effect_us_most", *std::max_element(r.effect_us.begin(), r.effect_us.end())},
            {"stall_us", static_cast<double>(r.stalls.longest()) * 1e6 / hz},
            {"longest_otherwise_us", static_cast<double>(r.others.longest()) * 1e6 / hz},
            {"cycles_per_packet_after", per(r.cycles_after, r.packets_after)},
            {"cycles_per_packet_otherwise", per(r.cycles_else, r.packets_else)},
            {"interruptions", worker.interruptions},
            {"loop_cycles_after", percentiles(r.stalls)},
            {"loop_cycles", percentiles(r.others)},
            {"drops", boost::json::object{}}};
}

Section run(const Options& o, Devices& devices) {
    Section section{kR1.name,
                    kR1.about,
                    {"under", "rules", "lost", "load", "compile_ms", "effect_us", "effect_us_most", "stall_us",
                     "longest_otherwise_us", "cycles_per_packet_after", "cycles_per_packet_otherwise",
                     "loop_cycles_after.p99.9", "loop_cycles.p99.9"},
                    {}};
    for (const std::uint32_t rules : o.rules_or({10000}))
        for (const bool new_flows : {false, true}) section.rows.push_back(row(o, devices, rules, new_flows));
    return section;
}

}  // namespace

const Scenario kR1{"R1",
                   "a reload of 10000 rules (--rules) every second under E1 (64 k streams, timeout 120 s) and under N1 "
                   "(table of 2097152, timeout 1 s, erasing included), at half load, in simulated time",
                   "flows table rules pattern seconds",
                   [](const Options& o) {
                       const std::uint64_t tables =
                           BenchBox::memory_bytes(std::max(wish_of(o, 5, false).slots, wish_of(o, 5, true).slots));
                       return tables + (64U << 20);
                   },
                   run};

}  // namespace sluice::bench

// Established flows, packets in a random order of flows, each case in both directions:
//
//   IO  the generator and the null device alone: the roofline
//   E1  masquerade      E2  a forwarded port (destination NAT)      E3  connection tracking alone
//   E4  E1 with more and more rules loaded, which an established packet must not feel
//   O1  E1, without and with cycles counted, as `sluicectl cycles` has it
//
// The table has room for half as many flows again (E4: the same box for all rules, which are published in turn); UDP
// streams live for 120 s and TCP for days, so that none ends and nothing is erased while this runs.
#include <algorithm>
#include <memory>
#include <string>

#include <rte_cycles.h>

#include "tests/bench/measure.hh"
#include "tests/bench/scenario.hh"

namespace sluice::bench {

namespace {

const std::vector<std::uint32_t> kFlows{1, 1000, 65536};
constexpr double kStreamTimeout = 120, kTcpTimeout = 432000;

std::uint32_t slots_for(std::uint32_t flows) {
    return std::max<std::uint32_t>(4096, flows + flows / (flows > 2000000 ? 8 : 2));
}

std::uint64_t memory(const Options& o) {
    std::uint64_t bytes = 0;
    for (const std::uint32_t flows : o.flows_or(kFlows)) bytes += BenchBox::memory_bytes(slots_for(flows));
    return bytes;
}

/// Who asks is inside, unless a port is forwarded.
std::vector<Tuple> tuples_of(std::uint32_t flows, const Options& o, Nat nat) {
    if (nat != Nat::destination) return client_tuples(flows, o.protocol, o.pattern);
    std::vector<Tuple> tuples;
    tuples.reserve(flows);
    for (std::uint32_t i = 0; i < flows; ++i) {
        constexpr std::uint32_t kClients = 4096;
        const Tuple random = fresh_tuple(i, o.protocol, Pattern::random);  // no pair of server and port comes twice
        const bool low = o.pattern == Pattern::sequential;
        tuples.push_back({low ? Ip4::from_host(ip4(198, 18, 0, 0).host() + i % kClients) : random.dst, kWanAddress,
                          low ? static_cast<std::uint16_t>(1024 + i / kClients) : random.sport, service(o.protocol)});
    }
    return tuples;
}

struct Flows {
    std::unique_ptr<BenchBox> box;
    std::uint32_t count;
    std::vector<Tuple> at_lan, at_wan;  ///< as packets arrive there, by flow
    std::vector<std::uint32_t> order;
};

Flows open(Devices& devices, const Options& o, std::uint32_t flows, Nat nat) {
    Flows f;
    f.count = flows;
    PolicyWish wish;
    wish.nat = nat;
    wish.slots = slots_for(flows);
    f.box = std::make_unique<BenchBox>(devices, wish);
    std::vector<Tuple> asked = tuples_of(flows, o, nat);
    std::vector<Tuple> answers = f.box->open(asked, o.protocol);
    if (nat == Nat::destination) asked.swap(answers);
    f.at_lan = std::move(asked);
    f.at_wan = std::move(answers);
    f.order = permutation(flows);
    return f;
}

/// One direction of one box's packets, of one mix of sizes, under one number of rules.
struct Case {
    Flows* flows;
    std::string direction;
    Frames frames;
    std::uint32_t rules;
    PortIndex in;
    Traffic traffic;

    std::vector<Round> rounds{};
    std::vector<double> io{};
    Round staged{};
    LoopTimes times{};
};

void check(Case& c, const Options& o, Devices& devices) {
    const std::vector<Tuple>& other = c.in == BenchBox::kLan ? c.flows->at_wan : c.flows->at_lan;
    std::vector<Tuple> expected;
    expected.reserve(other.size());
    for (const Tuple& t : other) expected.push_back(t.reversed());
    verify(*c.flows->box, c.traffic, c.in, devices.pool, o.packets, expected);
}

void run_round(Case& c, const Options& o, Devices& devices, bool last) {
    BenchBox& box = *c.flows->box;
    if (box.policy().chain(Chain::forward).rules.size() != c.rules) {
        PolicyWish wish;
        wish.slots = slots_for(c.flows->count);
        wish.rules = c.rules;
        box.publish(wish);
        box.work(c.in, nullptr, 0);
        (void)box.grace().reclaim();
    }
    LoopTimes ignored;
    c.io.push_back(measure_io(c.traffic, box.device(c.in), devices.pool, o.packets / 4));
    (void)measure(box, c.traffic, c.in, devices.pool, c.flows->count, false, ignored);  // back into the caches
    c.rounds.push_back(measure(box, c.traffic, c.in, devices.pool, o.packets, false, c.times));
    if (last) c.staged = measure(box, c.traffic, c.in, devices.pool, o.packets, true, ignored);
    box.serve_control();
}

boost::json::object row_of(const Case& c, const Options& o) {
    std::vector<double> pipeline, loop;
    for (const Round& r : c.rounds) {
        pipeline.push_back(r.pipeline);
        loop.push_back(r.loop);
    }
    const auto [least, most] = std::minmax_element(pipeline.begin(), pipeline.end());
    const double cycles = median(pipeline), roofline = median(c.io);
    const std::uint64_t hz = rte_get_tsc_hz();
    return {{"flows", c.flows->count},
            {"direction", c.direction},
            {"frames", kFrameNames[static_cast<std::size_t>(c.frames)]},
            {"rules", c.rules},
            {"slots", c.flows->box->store().capacity()},
            {"timeout_s", o.protocol == Protocol::udp ? kStreamTimeout : kTcpTimeout},
            {"erasing", false},
            {"cycles_per_packet", cycles},
            {"cycles_per_packet_least", *least},
            {"cycles_per_packet_most", *most},
            {"mpps", mpps(hz, cycles)},
            {"cycles_per_packet_with_generator", median(loop)},
            {"cycles_per_packet_roofline", roofline},
            {"mpps_with_generator", mpps(hz, median(loop))},
            {"share_of_roofline", roofline / median(loop)},
            {"loop_cycles", percentiles(c.times)},
            {"drops", boost::json::object{}},  // one would have thrown
            {"stages", stages_of(c.staged.stages)}};
}

const std::vector<std::string> kColumns{"flows",
                                        "direction",
                                        "frames",
                                        "rules",
                                        "cycles_per_packet",
                                        "cycles_per_packet_least",
                                        "cycles_per_packet_most",
                                        "mpps",
                                        "cycles_per_packet_with_generator",
                                        "cycles_per_packet_roofline",
                                        "loop_cycles.p50",
                                        "loop_cycles.p99",
                                        "loop_cycles.p99.9"};

Section run(const Scenario& scenario, const Options& o, Devices& devices, Nat nat,
            const std::vector<std::uint32_t>& rules) {
    std::vector<Flows> flows;
    for (const std::uint32_t n : o.flows_or(kFlows)) flows.push_back(open(devices, o, n, nat));
    paint(devices.pool, o.protocol);
    std::vector<Case> cases;
    for (Flows& f : flows)
        for (const Frames frames : o.frames)
            for (const std::string& direction : o.directions) {
                const PortIndex in = direction == "out" ? BenchBox::kLan : BenchBox::kWan;
                for (const std::uint32_t r : rules)
                    cases.push_back({&f, direction, frames, r, in,
                                     Traffic(in == BenchBox::kLan ? f.at_lan : f.at_wan, f.order, o.protocol,
                                             f.box->mac(in), test::kAck, frames)});
            }
    if (o.verify)
        for (Case& c : cases) check(c, o, devices);
    // Cases take turns, so that a machine that gets slower for a while does so for all of them.
    for (unsigned round = 0; round < o.rounds; ++round)
        for (Case& c : cases) run_round(c, o, devices, round + 1 == o.rounds);
    Section section{scenario.name, scenario.about, kColumns, {}};
    for (const Case& c : cases) section.rows.push_back(row_of(c, o));
    return section;
}

constexpr std::uint32_t kOffice = PolicyWish::kOfficeRules;

Section run_io(const Options& o, Devices& devices) {
    Section section{
        kIo.name,
        kIo.about,
        {"flows", "frames", "cycles_per_packet", "cycles_per_packet_least", "cycles_per_packet_most", "mpps"},
        {}};
    paint(devices.pool, o.protocol);
    for (const std::uint32_t n : o.flows_or(kFlows))
        for (const Frames frames : o.frames) {
            Traffic traffic(client_tuples(n, o.protocol, o.pattern), permutation(n), o.protocol, {}, test::kAck,
                            frames);
            std::vector<double> rounds;
            for (unsigned round = 0; round < o.rounds; ++round)
                rounds.push_back(measure_io(traffic, devices.null_wan, devices.pool, o.packets));
            const auto [least, most] = std::minmax_element(rounds.begin(), rounds.end());
            section.rows.push_back({{"flows", n},
                                    {"frames", kFrameNames[static_cast<std::size_t>(frames)]},
                                    {"cycles_per_packet", median(rounds)},
                                    {"cycles_per_packet_least", *least},
                                    {"cycles_per_packet_most", *most},
                                    {"mpps", mpps(rte_get_tsc_hz(), median(rounds))}});
        }
    return section;
}

Section run_counting(const Options& o, Devices& devices) {
    Section section{kO1.name,
                    kO1.about,
                    {"flows", "direction", "cycles_per_packet", "counting_live", "counting_live_percent",
                     "counting_all", "counting_all_percent"},
                    {}};
    for (const std::uint32_t n : o.flows_or({1000})) {
        Flows f = open(devices, o, n, Nat::source);
        paint(devices.pool, o.protocol);
        for (const std::string& direction : o.directions) {
            const PortIndex in = direction == "out" ? BenchBox::kLan : BenchBox::kWan;
            Traffic traffic(in == BenchBox::kLan ? f.at_lan : f.at_wan, f.order, o.protocol, f.box->mac(in), test::kAck,
                            Frames::smallest);
            std::vector<double> pipeline, live, all;
            for (unsigned round = 0; round < o.rounds; ++round) {
                const CountingCost cost = measure_counting(*f.box, traffic, in, devices.pool, o.packets);
                pipeline.push_back(cost.pipeline);
                live.push_back(cost.live);
                all.push_back(cost.all);
                f.box->serve_control();
            }
            const double cycles = median(std::move(pipeline));
            const double more = median(std::move(live)), most = median(std::move(all));
            section.rows.push_back({{"flows", n},
                                    {"direction", direction},
                                    {"cycles_per_packet", cycles},
                                    {"counting_live", more},
                                    {"counting_live_percent", 100 * more / cycles},
                                    {"counting_all", most},
                                    {"counting_all_percent", 100 * most / cycles}});
        }
    }
    return section;
}

}  // namespace

const Scenario kIo{"IO", "the roofline: generator and null device without the pipeline", "flows proto pattern frames",
                   [](const Options&) { return std::uint64_t{0}; }, run_io};
const Scenario kE1{"E1",
                   "established flows, masquerade; table 1.5 times the flows, timeout 120 s (TCP 5 d), no erasing",
                   "flows direction proto pattern frames verify", memory,
                   [](const Options& o, Devices& d) { return run(kE1, o, d, Nat::source, {kOffice}); }};
const Scenario kE2{"E2", "as E1, a forwarded port: NAT of the destination",
                   "flows direction proto pattern frames verify", memory,
                   [](const Options& o, Devices& d) { return run(kE2, o, d, Nat::destination, {kOffice}); }};
const Scenario kE3{"E3", "as E1, connection tracking without NAT", "flows direction proto pattern frames verify",
                   memory, [](const Options& o, Devices& d) { return run(kE3, o, d, Nat::none, {kOffice}); }};
const Scenario kE4{"E4", "E1 with 10, 1000 and 10000 rules loaded (--rules), the last of them the flows'",
                   "flows direction proto pattern frames verify rules", memory, [](const Options& o, Devices& d) {
                       return run(kE4, o, d, Nat::source, o.rules_or({10, 1000, 10000}));
                   }};
const Scenario kO1{
    "O1", "E1 without and with cycles counted by stage, of one loop in seven as on a live box, and of all",
    "flows direction proto pattern",
    [](const Options& o) {
        return o.most_over_flows({1000}, [](std::uint32_t flows) { return BenchBox::memory_bytes(slots_for(flows)); });
    },
    run_counting};

}  // namespace sluice::bench

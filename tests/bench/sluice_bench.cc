// sluice-bench: what an established packet costs in the data plane, in cycles, stage by stage; in process, without a
// device. tools/bench builds and runs it as it should be run; docs/performance.md says what the figures mean.
//
// Exit status: 0; 1 when something went wrong (a wrong translation is wrong); CLI11's codes for bad options.
#include <iostream>
#include <memory>
#include <optional>
#include <sched.h>
#include <string>
#include <vector>

#include <CLI/CLI.hpp>
#include <rte_cycles.h>
#include <rte_eal.h>
#include <rte_errno.h>

#include "dataplane/worker/eal_plan.hh"
#include "tests/bench/report.hh"

namespace sluice::bench {

namespace {

struct Options {
    std::vector<std::uint32_t> flows{1, 1000, 65536};
    std::vector<std::string> directions{"out", "in"};
    Protocol protocol = Protocol::udp;
    Pattern pattern = Pattern::sequential;
    std::uint64_t packets = 500000;
    unsigned rounds = 5;
    unsigned megabytes = 512;
    bool json = false, verify = false, ordinary_pages = false;
};

const std::map<std::string, Protocol> kProtocols{{"udp", Protocol::udp}, {"tcp", Protocol::tcp}};
const std::map<std::string, Pattern> kPatterns{{"sequential", Pattern::sequential}, {"random", Pattern::random}};

template <class T>
std::string name_of(const std::map<std::string, T>& names, T value) {
    for (const auto& [name, v] : names)
        if (v == value) return name;
    return {};
}

/// One lcore on the first CPU that we may use (taskset chooses). Returns what kind of memory it is.
std::string start_eal(unsigned megabytes, bool ordinary_pages) {
    const MachineFacts machine = read_machine_facts("/");
    const bool huge = !ordinary_pages && machine.free_hugepage_bytes >= std::uint64_t{megabytes} << 20;
    std::vector<std::string> words{"sluice-bench",
                                   "--no-pci",
                                   "--no-telemetry",
                                   "--iova-mode=va",
                                   "-m",
                                   std::to_string(megabytes),
                                   "--lcores",
                                   "0@" + std::to_string(machine.usable_cpus.empty() ? 0 : machine.usable_cpus.front()),
                                   "--log-level=*:error"};
    if (huge) {
        words.emplace_back("--in-memory");
    } else {
        words.insert(words.end(), {"--no-huge", "--no-shconf"});
    }
    static std::vector<char*> arguments;  // DPDK keeps pointers
    static std::vector<std::string> kept;
    kept = std::move(words);
    for (std::string& word : kept) arguments.push_back(word.data());
    if (rte_eal_init(static_cast<int>(arguments.size()), arguments.data()) < 0)
        throw std::runtime_error(std::string("DPDK could not start: ") + rte_strerror(rte_errno));
    return huge ? "hugepages" : "ordinary pages";
}

/// A box with its flows, and one direction of their packets.
struct Case {
    BenchBox* box;
    PortIndex in;
    Traffic traffic;
    std::vector<Tuple> expected;
    CaseResult result;
};

struct Bench {
    explicit Bench(const Options& o) : options(o) {
        unsigned number = 0;
        for (const std::uint32_t flows : o.flows) {
            auto& box = *boxes.emplace_back(std::make_unique<BenchBox>(devices, "s" + std::to_string(number++), flows));
            const auto tuples = client_tuples(flows, o.protocol, o.pattern);
            const auto replies = box.open(tuples, o.protocol);
            const auto order = permutation(flows);
            for (const std::string& direction : o.directions) {
                const bool out = direction == "out";
                const PortIndex in = out ? BenchBox::kLan : BenchBox::kWan;
                std::vector<Tuple> expected(flows);
                for (std::uint32_t i = 0; i < flows; ++i) {
                    const Tuple& from = out ? replies[i] : tuples[i];
                    expected[i] = {from.dst, from.src, from.dport, from.sport};
                }
                cases.push_back({&box,
                                 in,
                                 Traffic(out ? tuples : replies, order, o.protocol, box.mac(in), test::kAck),
                                 std::move(expected),
                                 {flows, direction, {}, {}, {}}});
            }
        }
    }

    void run() {
        if (options.verify)
            for (Case& c : cases) verify(*c.box, c.traffic, c.in, devices.pool, options.packets, c.expected);
        // Cases take turns, so that a machine that gets slower for a while does so for all of them.
        for (unsigned round = 0; round < options.rounds; ++round)
            for (Case& c : cases) {
                c.result.io.push_back(measure_io(c.traffic, c.box->device(c.in), devices.pool, options.packets / 4));
                (void)measure(*c.box, c.traffic, c.in, devices.pool, c.result.flows, false);  // back into the caches
                c.result.rounds.push_back(measure(*c.box, c.traffic, c.in, devices.pool, options.packets, false));
                if (round + 1 == options.rounds)
                    c.result.staged = measure(*c.box, c.traffic, c.in, devices.pool, options.packets, true);
                c.box->serve_control();
            }
    }

    const Options& options;
    Devices devices;
    std::vector<std::unique_ptr<BenchBox>> boxes;
    std::vector<Case> cases;
};

int run(int argc, char** argv) {
    Options o;
    CLI::App app("Cycles per packet of established flows through sluice's data plane, in process.", "sluice-bench");
    app.add_option("--flows", o.flows, "numbers of flows, 1 to 1000000 (default 1,1000,65536)")
        ->delimiter(',')
        ->check(CLI::Range(1, 1000000));
    app.add_option("--direction", o.directions, "out (inside to outside), in (the answers), or out,in")
        ->delimiter(',')
        ->check(CLI::IsMember({"out", "in"}));
    app.add_option("--proto", o.protocol, "udp or tcp")->transform(CLI::CheckedTransformer(kProtocols));
    app.add_option("--pattern", o.pattern, "tuples: sequential (clients and ports in a row) or random")
        ->transform(CLI::CheckedTransformer(kPatterns));
    app.add_option("--packets", o.packets, "packets per round (default 500000)")
        ->check(CLI::Range(std::uint64_t{1}, std::uint64_t{1} << 40));
    app.add_option("--rounds", o.rounds, "rounds of each case (default 5)")->check(CLI::Range(1, 1000));
    app.add_option("--memory", o.megabytes, "MB for tables and packets (default 512)")->check(CLI::Range(64, 65536));
    app.add_flag("--no-huge", o.ordinary_pages, "no hugepages, also when there are enough: valgrind has none");
    app.add_flag("--json", o.json, "print JSON");
    app.add_flag("--verify", o.verify, "first send as many packets and check every translation and checksum");
    CLI11_PARSE(app, argc, argv);

    Report report;
    report.memory = start_eal(o.megabytes, o.ordinary_pages);
    {
        Bench bench(o);
        bench.run();
        for (Case& c : bench.cases) report.cases.push_back(std::move(c.result));
    }
    report.protocol = name_of(kProtocols, o.protocol);
    report.pattern = name_of(kPatterns, o.pattern);
    report.packets = o.packets;
    report.hz = rte_get_tsc_hz();
    report.verified = o.verify;
    if (o.json) {
        print_json(std::cout, report);
    } else {
        print_table(std::cout, report);
    }
    rte_eal_cleanup();
    return 0;
}

}  // namespace

}  // namespace sluice::bench

int main(int argc, char** argv) {
    try {
        return sluice::bench::run(argc, argv);
    } catch (const std::exception& e) {
        std::cerr << "sluice-bench: " << e.what() << "\n";
        return 1;
    }
}

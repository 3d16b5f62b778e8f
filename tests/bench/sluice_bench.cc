// sluice-bench: what packets, flows and tables cost in the data plane, in cycles, in process and without a device.
// tools/bench builds and runs it as it should be run; docs/performance.md says what the figures mean; --list says what
// can be measured.
//
// Exit status: 0; 1 when something went wrong (a wrong translation is wrong, a lost packet is, where none may be lost);
// CLI11's codes for bad options.
#include <algorithm>
#include <array>
#include <cctype>
#include <iostream>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include <CLI/CLI.hpp>
#include <rte_cycles.h>
#include <rte_eal.h>

#include "tests/bench/scenario.hh"
#include "tests/bench/start.hh"

namespace sluice::bench {

namespace {

constexpr std::uint32_t kMostFlows = 10000000;

const std::map<std::string, Protocol> kProtocols{{"udp", Protocol::udp}, {"tcp", Protocol::tcp}};
const std::map<std::string, Pattern> kPatterns{{"sequential", Pattern::sequential}, {"random", Pattern::random}};
const std::map<std::string, Frames> kFrames{
    {"64", Frames::smallest}, {"imix", Frames::imix}, {"1500", Frames::largest}};

template <class T>
std::string name_of(const std::map<std::string, T>& names, T value) {
    for (const auto& [name, v] : names)
        if (v == value) return name;
    return {};
}

/// One of `names`, which help and errors call by name. (CLI::CheckedTransformer has the values there, too: as bytes.)
template <class T>
CLI::Validator one_of(const std::map<std::string, T>& names) {
    std::string all;
    for (const auto& [name, value] : names) all.append(all.empty() ? "{" : ",").append(name);
    all += "}";
    const auto read = [names, all](std::string& text) {
        const auto found = names.find(text);
        if (found == names.end()) return "'" + text + "' is not in " + all;
        text = std::to_string(static_cast<unsigned>(found->second));
        return std::string();
    };
    return {read, all, ""};
}

std::string upper(std::string text) {
    for (char& c : text) c = static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
    return text;
}

void add_options(CLI::App& app, Options& o, bool& list, bool& io) {
    const auto known = [](const std::string& name) {
        return find_scenario(upper(name)) == nullptr ? "there is no scenario '" + name + "' (--list)" : std::string();
    };
    app.add_option("scenario,--scenario", o.scenarios, "what to measure, see --list (default E1)")
        ->delimiter(',')
        ->check(known);
    app.add_flag("--list", list, "say what scenarios there are");
    app.add_flag("--io", io, "the roofline: the same as the scenario IO");
    app.add_option("--flows", o.flows, "numbers of flows, 1 to 10000000; what they are depends on the scenario")
        ->delimiter(',')
        ->check(CLI::Range(std::uint32_t{1}, kMostFlows));
    app.add_option("--direction", o.directions, "E1-E4: out (inside to outside), in, or out,in")
        ->delimiter(',')
        ->check(CLI::IsMember({"out", "in"}));
    app.add_option("--proto", o.protocol, "udp or tcp, of established flows")->transform(one_of(kProtocols));
    app.add_option("--pattern", o.pattern, "tuples: sequential (clients and ports in a row) or random")
        ->transform(one_of(kPatterns));
    app.add_option("--frames", o.frames, "IO, E1-E4: sizes of frames, 64, imix, 1500 or several (default 64)")
        ->delimiter(',')
        ->transform(one_of(kFrames));
    app.add_option("--rules", o.rules, "E4, N1, R1: numbers of rules, 5 to 100000")
        ->delimiter(',')
        ->check(CLI::Range(PolicyWish::kOfficeRules, std::uint32_t{100000}));
    app.add_option("--table", o.slots, "slots of the flow table where flows are made")
        ->check(CLI::Range(std::uint32_t{1024}, std::uint32_t{32} << 20));
    app.add_option("--packets", o.packets, "packets per round, in whole blocks of at least 2048 (default 500000)")
        ->check(CLI::Range(std::uint64_t{1}, std::uint64_t{1} << 40));
    app.add_option("--rounds", o.rounds, "rounds of each case (default 5)")->check(CLI::Range(1, 1000));
    app.add_option("--seconds", o.seconds, "C1, C2, R1: of worker time; J1 (default 5)")->check(CLI::Range(1, 3600));
    app.add_option("--memory", o.megabytes, "MB for tables and packets (default: what is needed)")
        ->check(CLI::Range(64, 1048576));
    app.add_flag("--no-huge", o.ordinary_pages, "no hugepages, also when there are enough: valgrind has none");
    app.add_flag("--json", o.json, "print JSON");
    app.add_flag("--verify", o.verify, "E1-E4, N1, N2: first check every packet's addresses and checksums");
}

/// Who asks for what none of the scenarios does must not believe to have got it. Throws std::runtime_error.
void must_be_used(const CLI::App& app, const std::vector<const Scenario*>& scenarios) {
    constexpr auto kChanging = std::to_array<std::string_view>(
        {"flows", "direction", "proto", "pattern", "frames", "rules", "table", "seconds", "verify"});
    for (const std::string_view name : kChanging) {
        const std::string option = std::string("--").append(name);
        const auto uses = [&](const Scenario* s) {
            return std::string(" ").append(s->uses).append(" ").find(std::string(" ").append(name).append(" ")) !=
                   std::string::npos;
        };
        if (app.count(option) != 0 && std::none_of(scenarios.begin(), scenarios.end(), uses))
            throw std::runtime_error(option + " changes nothing of " +
                                     (scenarios.size() == 1 ? scenarios[0]->name : "these scenarios"));
    }
}

std::uint64_t megabytes_for(const Options& o, const std::vector<const Scenario*>& scenarios) {
    constexpr std::uint64_t kPackets = 64, kLeast = 128;
    std::uint64_t bytes = 0;
    for (const Scenario* s : scenarios) bytes = std::max(bytes, s->memory(o));
    const std::uint64_t needed = std::max(kLeast, kPackets + ((bytes + bytes / 16) >> 20) + 1);
    if (o.megabytes != 0 && o.megabytes < needed)
        throw std::runtime_error("these scenarios take " + std::to_string(needed) +
                                 " MB of memory for tables, --memory gives " + std::to_string(o.megabytes));
    return std::max<std::uint64_t>(o.megabytes, needed);
}

int run(int argc, char** argv) {
    Options o;
    bool list = false, io = false;
    CLI::App app("What packets, flows and tables cost in sluice's data plane, in process.", "sluice-bench");
    add_options(app, o, list, io);
    CLI11_PARSE(app, argc, argv);
    if (list) {
        for (const Scenario* s : all_scenarios()) std::cout << s->name << "  " << s->about << "\n";
        return 0;
    }
    if (io && app.count("--scenario") != 0) throw std::runtime_error("--io is a scenario, too: name one of the two");
    if (io) o.scenarios = {"IO"};
    std::vector<const Scenario*> scenarios;
    for (const std::string& name : o.scenarios) scenarios.push_back(find_scenario(upper(name)));

    must_be_used(app, scenarios);

    Report report;
    const Started started = start_eal(megabytes_for(o, scenarios), o.ordinary_pages);
    {
        Devices devices;
        for (const Scenario* s : scenarios) report.sections.push_back(s->run(o, devices));
    }
    report.memory = started.memory;
    report.cpus = started.cpus;
    report.protocol = name_of(kProtocols, o.protocol);
    report.pattern = name_of(kPatterns, o.pattern);
    report.packets = o.packets;
    report.rounds = o.rounds;
    report.hz = rte_get_tsc_hz();
    report.verified = o.verify;
    if (o.json) {
        print_json(std::cout, report);
    } else {
        print_tables(std::cout, report);
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

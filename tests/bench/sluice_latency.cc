// sluice-latency: how long packets are under way through a program that forwards between two memif ports, as its
// client. tools/bench runs it (docs/benchmarking.md): it listens, says "ready", waits for a line on its standard input,
// opens the flows, looks for the highest rate without loss, and measures at shares of that and at rates that it is
// told.
//
// The highest rate is looked for from above, where there is loss, in steps of 4 %, so that a machine that is busy for a
// moment costs a step. It begins a quarter above what came through when there was more than enough. A trial fails when
// it loses more than a packet in 100,000, three times in a row: on a shared machine one time may be the machine's. The
// generator has an end, too: when it cannot send what it should, its rate is the highest. When there is loss down to
// two fifths of what came through, the rate with the least loss counts, and the loss is said.
//
// Prints a line of JSON. Exit status: 0; 1 with a line on stderr; CLI11's codes for bad options.
#include <algorithm>
#include <array>
#include <cstdio>
#include <fstream>
#include <iostream>
#include <stdexcept>
#include <string>
#include <vector>

#include <CLI/CLI.hpp>
#include <boost/json.hpp>
#include <rte_cycles.h>
#include <rte_eal.h>

#include "tests/bench/memif_line.hh"
#include "tests/bench/start.hh"

namespace sluice::bench {

namespace {

namespace json = boost::json;

constexpr double kFloodRate = 64e6, kAbove = 1.25, kBelow = 0.4, kStep = 0.04;
constexpr unsigned kChances = 3;
constexpr double kLossAllowed = 1e-5, kSentAtLeast = 0.96;
/// Linux, and sluice with it, calls a UDP flow a stream after two seconds.
constexpr double kStreamAfterSeconds = 2.2, kWarmRate = 0.25e6;

struct Options {
    std::string socket, box = "02:70:63:61:70:00";
    std::uint32_t flows = 1000;
    std::vector<double> loads{10, 50, 90}, rates;
    double seconds = 3, search_seconds = 0.5, patience = 30;
    bool ordinary_pages = false;
};

struct Highest {
    double pps = 0;
    bool by_generator = false;  ///< which could not send more; the program may do more
    double lost = 0;            ///< share; above what is allowed when every rate had loss
};

bool sent_all(const Trial& t) {
    return t.pps() >= kSentAtLeast * t.wanted_pps;
}

/// The best of up to three.
Trial trial(MemifLine& line, double pps, double seconds) {
    Trial best;
    for (unsigned chance = 0; chance < kChances; ++chance) {
        const Trial t = line.run(pps, seconds);
        if (chance == 0 || t.lost() < best.lost() || (t.lost() == best.lost() && t.sent > best.sent)) best = t;
        if (best.lost() <= kLossAllowed && sent_all(best)) break;
    }
    return best;
}

Highest highest(MemifLine& line, double seconds) {
    double through = 0;
    for (unsigned chance = 0; chance < kChances; ++chance) {
        const Trial flood = line.run(kFloodRate, seconds);
        through = std::max(through, static_cast<double>(flood.received) / flood.seconds);
    }
    if (through == 0) throw std::runtime_error("nothing comes through");
    Highest best{0, false, 1};
    for (double pps = kAbove * through; pps > kBelow * through; pps *= 1 - kStep) {
        const Trial t = trial(line, pps, seconds);
        // What the generator did send is what came through.
        if (best.pps == 0 || t.lost() < best.lost) best = {std::min(pps, t.pps()), !sent_all(t), t.lost()};
        if (best.lost <= kLossAllowed) break;
    }
    return best;
}

/// Nanoseconds that a thread has waited for a core so far; 0 without a path.
std::uint64_t waited_ns(const std::string& schedstat) {
    if (schedstat.empty()) return 0;
    std::ifstream in(schedstat);
    std::uint64_t ran = 0, waited = 0;
    if (!(in >> ran >> waited)) throw std::runtime_error(schedstat + " cannot be read: has the program ended?");
    return waited;
}

json::object measure(MemifLine& line, double pps, double seconds, const std::string& schedstat) {
    const std::uint64_t before = waited_ns(schedstat);
    const Trial t = line.run(pps, seconds);
    const auto waited = static_cast<double>(waited_ns(schedstat) - before);
    const double us = 1e6 / static_cast<double>(rte_get_tsc_hz());
    const auto quantile = [&](double q) { return static_cast<double>(t.latency.quantile(q)) * us; };
    return {{"rate_mpps", t.pps() / 1e6},
            {"p50_us", quantile(0.5)},
            {"p99_us", quantile(0.99)},
            {"p999_us", quantile(0.999)},
            {"max_us", static_cast<double>(t.latency.longest()) * us},
            {"sent", t.sent},
            {"lost", t.sent - t.received},
            {"reordered", t.reordered},
            {"generator_pause_us", static_cast<double>(t.pause) * us},
            {"program_waited_us", waited / 1e3}};
}

MacAddress mac_of(const std::string& text) {
    MacAddress mac{};
    std::array<unsigned, 6> bytes{};
    char more = 0;
    if (std::sscanf(text.c_str(), "%2x:%2x:%2x:%2x:%2x:%2x%c", &bytes[0], &bytes[1], &bytes[2], &bytes[3], &bytes[4],
                    &bytes[5], &more) != 6)
        throw std::runtime_error("'" + text + "' is no MAC address");
    std::copy(bytes.begin(), bytes.end(), mac.bytes.begin());
    return mac;
}

int run(int argc, char** argv) {
    Options o;
    CLI::App app("Latency through a program between two memif ports.", "sluice-latency");
    app.add_option("--socket", o.socket, "path where it listens: id 0 is the inside, id 1 the outside")->required();
    app.add_option("--box", o.box, "MAC address of the program's inside port");
    app.add_option("--flows", o.flows, "UDP flows (default 1000)")->check(CLI::Range(1, 1000000));
    app.add_option("--loads", o.loads, "percent of the highest rate without loss (default 10,50,90)")
        ->delimiter(',')
        ->check(CLI::Range(0.1, 100.0));
    app.add_option("--rates", o.rates, "Mpps, measured besides")->delimiter(',')->check(CLI::Range(0.001, 60.0));
    app.add_option("--seconds", o.seconds, "of each measurement (default 3)")->check(CLI::Range(0.01, 3600.0));
    app.add_option("--search-seconds", o.search_seconds, "of each trial of the search (default 0.5)")
        ->check(CLI::Range(0.01, 60.0));
    app.add_option("--patience", o.patience, "seconds for ports to connect, and for flows to be answered (default 30)")
        ->check(CLI::Range(0.1, 600.0));
    app.add_flag("--no-huge", o.ordinary_pages, "no hugepages, also when there are enough");
    CLI11_PARSE(app, argc, argv);
    const MacAddress box = mac_of(o.box);

    (void)start_eal(64, o.ordinary_pages);
    json::object result;
    {
        MemifLine line(o.socket, o.flows, box);
        std::cout << "ready" << std::endl;
        std::string schedstat;
        if (!std::getline(std::cin, schedstat)) throw std::runtime_error("nobody said when to begin");
        line.wait_for_links(o.patience);
        line.open(o.patience);
        (void)line.run(kWarmRate, kStreamAfterSeconds);
        const Highest top = highest(line, o.search_seconds);
        json::array loads, rates;
        for (const double load : o.loads) {
            json::object measured = measure(line, top.pps * load / 100, o.seconds, schedstat);
            measured["load"] = load;
            loads.emplace_back(std::move(measured));
        }
        for (const double rate : o.rates) rates.emplace_back(measure(line, rate * 1e6, o.seconds, schedstat));
        result = {{"flows", o.flows},
                  {"outside_source", test::to_text(line.outside_source())},
                  {"highest_mpps", top.pps / 1e6},
                  {"highest_lost", top.lost},
                  {"limited_by_generator", top.by_generator},
                  {"tolerance", kStep},
                  {"loss_allowed", kLossAllowed},
                  {"loads", std::move(loads)},
                  {"rates", std::move(rates)}};
    }
    std::cout << json::serialize(result) << std::endl;
    rte_eal_cleanup();
    return 0;
}

}  // namespace

}  // namespace sluice::bench

int main(int argc, char** argv) {
    try {
        return sluice::bench::run(argc, argv);
    } catch (const std::exception& e) {
        std::cerr << "sluice-latency: " << e.what() << "\n";
        return 1;
    }
}

#include "tests/bench/report.hh"

#include <algorithm>
#include <cstdio>
#include <ostream>

#include <boost/json.hpp>

namespace sluice::bench {

namespace {

struct Figures {
    double median = 0, least = 0, most = 0, loop = 0, io = 0;
};

Figures figures_of(const CaseResult& c) {
    std::vector<double> pipeline, loop;
    for (const Round& r : c.rounds) {
        pipeline.push_back(r.pipeline);
        loop.push_back(r.loop);
    }
    Figures f;
    f.median = median(pipeline);
    f.least = *std::min_element(pipeline.begin(), pipeline.end());
    f.most = *std::max_element(pipeline.begin(), pipeline.end());
    f.loop = median(loop);
    f.io = median(c.io);
    return f;
}

double sum_of_stages(const CaseResult& c) {
    double sum = 0;
    for (const double s : c.staged.stages) sum += s;
    return sum;
}

double mpps(std::uint64_t hz, double cycles) {
    return cycles > 0 ? static_cast<double>(hz) / cycles / 1e6 : 0;
}

template <class... Values>
std::string text(const char* format, Values... values) {
    char line[256];
    std::snprintf(line, sizeof line, format, values...);
    return line;
}

}  // namespace

void print_table(std::ostream& out, const Report& r) {
    out << text("established SNAT, %s, %s tuples, 64-byte frames in random order of flows, bursts of %u\n",
                r.protocol.c_str(), r.pattern.c_str(), kBurst)
        << text("TSC %.3f GHz, %s, %llu packets a round, %zu rounds%s\n\n", static_cast<double>(r.hz) / 1e9,
                r.memory.c_str(), static_cast<unsigned long long>(r.packets),
                r.cases.empty() ? std::size_t{0} : r.cases.front().rounds.size(),
                r.verified ? ", translations and checksums verified" : "");
    out << text("%8s %4s | %9s %7s %7s %7s | %9s %9s\n", "flows", "dir", "cycles/pkt", "least", "most", "Mpps",
                "with gen.", "roofline");
    for (const CaseResult& c : r.cases) {
        const Figures f = figures_of(c);
        out << text("%8u %4s | %10.1f %7.1f %7.1f %7.2f | %9.1f %9.1f\n", c.flows, c.direction.c_str(), f.median,
                    f.least, f.most, mpps(r.hz, f.median), f.loop, f.io);
    }
    out << "\ncycles per packet in each stage (share)\n" << text("%8s %4s", "flows", "dir");
    for (const auto name : kStageNames) out << text(" | %12.*s", static_cast<int>(name.size()), name.data());
    out << "\n";
    for (const CaseResult& c : r.cases) {
        out << text("%8u %4s", c.flows, c.direction.c_str());
        const double sum = sum_of_stages(c);
        for (const double s : c.staged.stages) out << text(" | %6.1f %4.0f%%", s, sum > 0 ? 100 * s / sum : 0);
        out << "\n";
    }
}

void print_json(std::ostream& out, const Report& r) {
    boost::json::array cases;
    for (const CaseResult& c : r.cases) {
        const Figures f = figures_of(c);
        boost::json::object stages;
        for (std::size_t s = 0; s < kStageCount; ++s) stages[kStageNames[s]] = c.staged.stages[s];
        cases.push_back(boost::json::object{{"flows", c.flows},
                                            {"direction", c.direction},
                                            {"cycles_per_packet", f.median},
                                            {"cycles_per_packet_least", f.least},
                                            {"cycles_per_packet_most", f.most},
                                            {"mpps", mpps(r.hz, f.median)},
                                            {"cycles_per_packet_with_generator", f.loop},
                                            {"cycles_per_packet_roofline", f.io},
                                            {"stages", std::move(stages)}});
    }
    out << boost::json::serialize(boost::json::object{{"protocol", r.protocol},
                                                      {"pattern", r.pattern},
                                                      {"memory", r.memory},
                                                      {"packets_per_round", r.packets},
                                                      {"tsc_hz", r.hz},
                                                      {"verified", r.verified},
                                                      {"cases", std::move(cases)}})
        << "\n";
}

}  // namespace sluice::bench

// What a run prints: tables for people, JSON for programs. A scenario gives rows, one for each case; a row is what JSON
// has of it, and the table shows the members that `columns` names. What cannot be said by one number is an object in
// the row: `stages` (cycles per packet), `loop_cycles` (percentiles of loop times), `drops` (by reason).
#pragma once

#include <cstdint>
#include <iosfwd>
#include <string>
#include <vector>

#include <boost/json.hpp>

#include "tests/bench/bench_box.hh"
#include "tests/bench/loop_times.hh"

namespace sluice::bench {

struct Section {
    std::string scenario;
    std::string about;  ///< what is measured and under which conditions, in a sentence
    std::vector<std::string> columns;
    std::vector<boost::json::object> rows;
};

struct Report {
    std::string protocol, pattern, memory;  ///< `memory`: what kind of pages
    std::uint64_t packets = 0;              ///< per round
    unsigned rounds = 0;
    std::uint64_t hz = 0;  ///< of the TSC
    unsigned cpus = 0;     ///< that the program may use
    bool verified = false;
    std::vector<Section> sections;
};

/// p50, p99, p99.9 and the longest, in cycles.
boost::json::object percentiles(const LoopTimes& times);
/// Those that happened, since `before` was taken.
boost::json::object drops_since(const BenchBox& box, const std::vector<std::uint64_t>& before);
/// Throws std::runtime_error with the reasons when there are any: `scenario` lost packets.
void must_not_drop(const std::string& scenario, const boost::json::object& drops);
/// By name.
boost::json::object stages_of(const std::array<double, kStageCount>& cycles);

double mpps(std::uint64_t hz, double cycles);

void print_tables(std::ostream& out, const Report& report);
/// {…, "cases": every row of every scenario with its name, "scenarios": what each is}
void print_json(std::ostream& out, const Report& report);

}  // namespace sluice::bench

// What a run prints: a table for people, JSON for programs.
#pragma once

#include <cstdint>
#include <iosfwd>
#include <string>
#include <vector>

#include "tests/bench/measure.hh"

namespace sluice::bench {

struct CaseResult {
    std::uint32_t flows = 0;
    std::string direction;      ///< "out": inside to outside; "in": the answers
    std::vector<Round> rounds;  ///< stage accounting off
    std::vector<double> io;     ///< the roofline, as often
    Round staged;               ///< one more, stage accounting on
};

struct Report {
    std::string protocol, pattern, memory;  ///< `memory`: what kind of pages
    std::uint64_t packets = 0;              ///< per round
    std::uint64_t hz = 0;                   ///< of the TSC
    bool verified = false;
    std::vector<CaseResult> cases;
};

void print_table(std::ostream& out, const Report& report);
void print_json(std::ostream& out, const Report& report);

}  // namespace sluice::bench

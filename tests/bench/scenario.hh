// The scenarios: what each is, how much memory it takes and how it runs. One file for each family; a scenario fails by
// throwing when a packet is lost that may not be, or when what it is about did not happen.
#pragma once

#include <cstdint>
#include <span>

#include "tests/bench/options.hh"
#include "tests/bench/report.hh"

namespace sluice::bench {

struct Scenario {
    const char* name;
    const char* about;  ///< a line for --list
    const char* uses;   ///< the options that change anything, by name, but for those of every scenario
    /// Bytes of DPDK memory at a time.
    std::uint64_t (*memory)(const Options&);
    Section (*run)(const Options&, Devices&);
};

// established.cc
extern const Scenario kIo, kE1, kE2, kE3, kE4, kO1;
// new_flows.cc
extern const Scenario kN1;
// tcp_lives.cc
extern const Scenario kN2;
// flood.cc
extern const Scenario kN3;
// churn.cc
extern const Scenario kC1, kC2;
// reload.cc
extern const Scenario kR1;
// memory.cc
extern const Scenario kM1;
// handover.cc
extern const Scenario kS1;
// ftp.cc
extern const Scenario kA1;
// key_table.cc
extern const Scenario kK1;
// machine.cc
extern const Scenario kJ1;

/// In the order of --list.
std::span<const Scenario* const> all_scenarios();
/// nullptr when there is none.
const Scenario* find_scenario(std::string_view name);

}  // namespace sluice::bench

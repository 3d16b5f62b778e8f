// Numbers of a policy that are no rules: table limits, timeouts, helpers, punt buckets. Totals in the configuration are
// of the whole box; a worker gets its share.
#pragma once

#include <cstdint>

#include "control/compile/compile.hh"
#include "control/config/memory.hh"

namespace sluice::compile {

/// One worker's share of `total` flows or expectations. Homes are spread by a hash of addresses and so never evenly:
/// with several workers each may hold a quarter more than its even share (design: memory). Also what tables are sized
/// by at start.
using config::share_of;

/// The other way: the largest total whose shares fit tables of `capacity` each.
[[nodiscard]] std::uint32_t total_of(std::uint32_t capacity, unsigned workers) noexcept;

/// conntrack.max as `config` wants it: as the file says, else by the memory (config/memory.hh).
[[nodiscard]] std::uint32_t wanted_flows(const config::Config& config);

/// conntrack.max in force, all workers together: a file that leaves it to the memory gets at most what the tables were
/// made for.
[[nodiscard]] std::uint32_t flow_limit(const config::Config& config, const CompileTarget& target);

/// conntrack.half_open in force, all workers together.
[[nodiscard]] std::uint32_t half_open_limit(const config::Config& config, const CompileTarget& target);

void set_limits(const config::Config& config, const CompileTarget& target, Policy& policy);

/// After set_limits. What an id stands for whose name is gone is the usual timeouts.
void set_timeout_policies(const config::Config& config, const TimeoutIds& ids, Policy& policy);

}  // namespace sluice::compile

// Numbers of a policy that are no rules: table limits, timeouts, helpers, punt buckets. Totals in the configuration are
// of the whole box; a worker gets its share.
#pragma once

#include <cstdint>

#include "control/compile/compile.hh"

namespace sluice::compile {

/// One worker's share of `total` flows or expectations. Homes are spread by a hash of addresses and so never evenly:
/// with several workers each may hold a quarter more than its even share (design: memory). Also what tables are sized
/// by at start.
[[nodiscard]] std::uint32_t share_of(std::uint32_t total, unsigned workers) noexcept;

/// What an id stands for whose name is gone is the usual timeouts.
void set_timeout_policies(const config::Config& config, const TimeoutIds& ids, Policy& policy);

void set_limits(const config::Config& config, const CompileTarget& target, Policy& policy);

}  // namespace sluice::compile

// Config → Policy: what operators wrote becomes what workers read. Groups become shared sets, names become bits and
// numbers, totals become shares of one worker. Nothing here depends on what the box does at the moment, so the same
// Config always gives the same policy (but for its generation).
//
// Owner: the compile helper (or the control thread before workers start). Touches nothing live.
// Failure: CompileError for what a valid Config can ask for and no policy can hold; std::bad_alloc.
#pragma once

#include <cstdint>
#include <memory>
#include <stdexcept>

#include "control/compile/names.hh"
#include "control/config/schema.hh"
#include "dataplane/policy/policy.hh"

namespace sluice {

struct CompileError : std::runtime_error {
    using std::runtime_error::runtime_error;
};

/// What was fixed when the daemon started.
struct CompileTarget {
    unsigned workers = 1;
    std::uint32_t flow_capacity = 0;         ///< slots of each worker's flow table
    std::uint32_t expectation_capacity = 0;  ///< of each worker's table of expectations
};

struct CompiledPolicy {
    std::unique_ptr<Policy> policy;
    PolicyNames names;
};

/// `config` comes from the loader (or is as well-formed). `former`, `gauges` and `timeout_ids` are of the policy before
/// this one: log prefixes that both have keep their ids, source NAT rules their gauges, timeout policies their ids.
CompiledPolicy compile_policy(const config::Config& config, const CompileTarget& target, std::uint32_t generation,
                              LogPrefixes former = {}, NatGauges gauges = {}, TimeoutIds timeout_ids = {});

}  // namespace sluice

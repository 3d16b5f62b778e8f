// Builds the indexes of a policy's rule lists (dataplane/policy/rule_index.hh).
//
// Work and memory are bounded (kMostWork), whatever the rules are. A field whose ranges overlap so much that it would
// cost more is left out, and the index is the coarser for it: each packet then has more candidates, and the same rule
// decides. Compile helper; std::bad_alloc.
#pragma once

#include <cstddef>
#include <vector>

#include "dataplane/policy/policy.hh"
#include "dataplane/policy/rule_index.hh"

namespace sluice::compile {

/// Lists of fewer rules are gone through faster than an index is.
inline constexpr std::size_t kFewestIndexed = 4;
/// For one field of one list: cells times ranges that hold them, and rules of all rows. A policy of 10 000 rules with
/// a network each needs 40 000.
inline constexpr std::size_t kMostWork = std::size_t{1} << 20;

/// Of `rules`, whose sets are those of `policy`. `most_work`: kMostWork, but for tests.
[[nodiscard]] RuleIndex index_rules(const std::vector<const MatchSpec*>& rules, const Policy& policy,
                                    std::size_t most_work = kMostWork);

/// Of all filter chains and NAT rules.
void index_policy(Policy& policy);

}  // namespace sluice::compile

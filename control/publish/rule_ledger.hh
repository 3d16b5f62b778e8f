// Rule counters that outlive policies. A policy has its own counters, written by workers; a rule that the next policy
// has too goes on counting where it was:
//
//   total of a rule = carried (policies that are gone) + live (policies in grace) + live (the policy in force)
//
// A worker may count on a policy until its grace period ends, so its counters are carried only then, in retire(): not
// one increment is lost, and totals never step back.
//
// Rules are the same when their identities are (control/compile/names.hh). A rule that a reload takes out loses its
// counts; put back later, it starts at zero.
//
// Owner: control thread.
#pragma once

#include <cstdint>
#include <unordered_map>
#include <vector>

#include "control/compile/names.hh"
#include "dataplane/policy/policy.hh"

namespace sluice {

struct RuleTotal {
    std::uint64_t packets = 0;
    std::uint64_t bytes = 0;
    std::uint64_t exhausted = 0;
    friend bool operator==(const RuleTotal&, const RuleTotal&) = default;
};

class RuleLedger {
public:
    /// `policy` is in force from now on; the one before stays live until retire(). It must live until then.
    void start(const Policy& policy, const PolicyNames& names);
    /// The grace period of `policy` is over and it is about to be freed.
    void retire(const Policy& policy);

    /// By rule number of the policy in force.
    [[nodiscard]] std::vector<RuleTotal> totals() const;

private:
    using Identity = std::uint64_t;
    static constexpr Identity kNobody = 0;
    struct Live {
        const Policy* policy;
        std::vector<Identity> identities;  // by rule number; kNobody: nobody asks for its counts any more
    };

    std::vector<Live> live_;  // oldest first; the last one is in force
    std::unordered_map<Identity, RuleTotal> carried_;
};

}  // namespace sluice

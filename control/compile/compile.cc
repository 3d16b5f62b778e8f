#include "control/compile/compile.hh"

#include "control/compile/limits.hh"
#include "control/compile/rules.hh"

namespace sluice {
namespace {

/// Between the counters of two workers, so that they never share a cache line wherever the allocator puts them.
constexpr std::size_t kPadding = 64 / sizeof(RuleCounter);

void make_counters(Policy& policy, unsigned workers) {
    policy.counters.reserve(workers);
    for (unsigned worker = 0; worker < workers; ++worker)
        policy.counters.push_back(std::make_unique<RuleCounter[]>(policy.rule_count + kPadding));
}

}  // namespace

CompiledPolicy compile_policy(const config::Config& config, const CompileTarget& target, std::uint32_t generation,
                              LogPrefixes former) {
    CompiledPolicy result{std::make_unique<Policy>(), {}};
    Policy& policy = *result.policy;
    PolicyNames& names = result.names;
    policy.generation = generation;
    names.log_prefixes = std::move(former);
    names.log_prefixes.next_policy();

    compile::SetInterner sets(config.groups);
    compile::RuleCompiler rules(config, sets, policy, names);
    rules.filter();
    rules.nat();
    rules.chain_policies();
    std::move(sets).give_to(policy);

    compile::make_identities_unique(names.rules);
    for (auto* list : {&policy.dnat, &policy.snat})
        for (NatRule& rule : *list) rule.identity = names.rules[rule.rule].identity;
    policy.rule_count = static_cast<std::uint32_t>(names.rules.size());
    make_counters(policy, target.workers);
    compile::set_limits(config, target, policy);
    return result;
}

}  // namespace sluice

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

void give_gauges(Policy& policy, NatGauges& gauges) {
    for (NatRule& rule : policy.snat) {
        if (const auto known = gauges.find(rule.identity); known != gauges.end()) {
            rule.gauge = known->second;
        } else if (gauges.size() < kNatGauges) {
            rule.gauge = static_cast<std::uint16_t>(gauges.size());
            gauges.emplace(rule.identity, rule.gauge);
        }
    }
}

}  // namespace

CompiledPolicy compile_policy(const config::Config& config, const CompileTarget& target, std::uint32_t generation,
                              LogPrefixes former, NatGauges gauges) {
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
    rules.raw();
    rules.chain_policies();
    std::move(sets).give_to(policy);

    compile::make_identities_unique(names.rules);
    for (auto* list : {&policy.dnat, &policy.snat})
        for (NatRule& rule : *list) rule.identity = names.rules[rule.rule].identity;
    names.nat_gauges = std::move(gauges);
    give_gauges(policy, names.nat_gauges);
    policy.rule_count = static_cast<std::uint32_t>(names.rules.size());
    make_counters(policy, target.workers);
    compile::set_limits(config, target, policy);
    return result;
}

}  // namespace sluice

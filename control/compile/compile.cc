#include "control/compile/compile.hh"

#include "control/compile/index_rules.hh"
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

void number_timeout_policies(const config::Config& config, TimeoutIds& ids) {
    constexpr std::size_t kMost = 255;
    for (const config::TimeoutPolicy& policy : config.conntrack.timeout_policies) {
        if (ids.contains(policy.name)) continue;
        if (ids.size() == kMost)
            throw CompileError("more than 255 names of timeout policies since sluiced was started");
        ids.emplace(policy.name, static_cast<std::uint8_t>(ids.size() + 1));
    }
}

void give_gauges(Policy& policy, const std::vector<RuleName>& names, NatGauges& gauges) {
    for (NatRule& rule : policy.snat) {
        if (const auto known = gauges.find(names[rule.rule].place); known != gauges.end()) {
            rule.gauge = known->second;
        } else if (gauges.size() < kNatGauges) {
            rule.gauge = static_cast<std::uint16_t>(gauges.size());
            gauges.emplace(names[rule.rule].place, rule.gauge);
        }
    }
}

}  // namespace

CompiledPolicy compile_policy(const config::Config& config, const CompileTarget& target, std::uint32_t generation,
                              LogPrefixes former, NatGauges gauges, TimeoutIds timeout_ids) {
    CompiledPolicy result{std::make_unique<Policy>(), {}};
    Policy& policy = *result.policy;
    PolicyNames& names = result.names;
    policy.generation = generation;
    names.log_prefixes = std::move(former);
    names.log_prefixes.next_policy();

    names.timeout_ids = std::move(timeout_ids);
    number_timeout_policies(config, names.timeout_ids);

    compile::SetInterner sets(config.groups);
    compile::RuleCompiler rules(config, sets, policy, names);
    rules.filter();
    rules.nat();
    rules.raw();
    rules.chain_policies();
    std::move(sets).give_to(policy);
    compile::index_policy(policy);

    compile::make_identities_unique(names.rules);
    for (auto* list : {&policy.dnat, &policy.snat})
        for (NatRule& rule : *list) rule.identity = names.rules[rule.rule].identity;
    names.nat_gauges = std::move(gauges);
    give_gauges(policy, names.rules, names.nat_gauges);
    policy.rule_count = static_cast<std::uint32_t>(names.rules.size());
    make_counters(policy, target.workers);
    compile::set_limits(config, target, policy);
    compile::set_timeout_policies(config, names.timeout_ids, policy);
    return result;
}

}  // namespace sluice

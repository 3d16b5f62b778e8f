#include "control/publish/rule_ledger.hh"

#include <algorithm>
#include <unordered_set>
#include <utility>

namespace sluice {
namespace {

void add_to(RuleTotal& total, RuleTotal more) noexcept {
    total.packets += more.packets;
    total.bytes += more.bytes;
    total.exhausted += more.exhausted;
}

RuleTotal read(const Policy& policy, std::uint32_t rule) noexcept {
    RuleTotal total;
    for (const auto& counters : policy.counters)
        add_to(total, {counters[rule].packets.get(), counters[rule].bytes.get(), counters[rule].exhausted.get()});
    return total;
}

}  // namespace

void RuleLedger::start(const Policy& policy, const PolicyNames& names) {
    Live next{&policy, {}};
    next.identities.reserve(names.rules.size());
    for (const RuleName& rule : names.rules) next.identities.push_back(rule.identity);

    const std::unordered_set<Identity> wanted(next.identities.begin(), next.identities.end());
    std::erase_if(carried_, [&](const auto& entry) { return !wanted.contains(entry.first); });
    for (Live& older : live_)
        for (Identity& identity : older.identities)
            if (!wanted.contains(identity)) identity = kNobody;
    live_.push_back(std::move(next));
}

void RuleLedger::retire(const Policy& policy) {
    const auto gone = std::ranges::find(live_, &policy, &Live::policy);
    if (gone == live_.end()) return;
    for (std::uint32_t rule = 0; rule < gone->identities.size(); ++rule) {
        if (gone->identities[rule] != kNobody) add_to(carried_[gone->identities[rule]], read(policy, rule));
    }
    live_.erase(gone);
}

std::vector<RuleTotal> RuleLedger::totals() const {
    std::vector<RuleTotal> totals;
    if (live_.empty()) return totals;
    const Live& current = live_.back();
    // What older policies counted, by identity: few of them, and usually none.
    std::unordered_map<Identity, RuleTotal> before;
    for (auto older = live_.begin(); older != live_.end() - 1; ++older)
        for (std::uint32_t rule = 0; rule < older->identities.size(); ++rule)
            if (older->identities[rule] != kNobody) add_to(before[older->identities[rule]], read(*older->policy, rule));

    totals.reserve(current.identities.size());
    for (std::uint32_t rule = 0; rule < current.identities.size(); ++rule) {
        RuleTotal& total = totals.emplace_back(read(*current.policy, rule));
        for (const auto* earlier : {&carried_, &std::as_const(before)})
            if (const auto found = earlier->find(current.identities[rule]); found != earlier->end())
                add_to(total, found->second);
    }
    return totals;
}

}  // namespace sluice

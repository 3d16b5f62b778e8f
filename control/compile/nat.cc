// NAT rules: one list in the file becomes two, source and destination, since each half of a flow's translation is
// decided by the first rule of its own kind.
#include <algorithm>

#include "control/compile/rules.hh"
#include "control/config/resolve.hh"

namespace sluice::compile {
namespace {

ExistingFlows existing_of(config::ExistingFlows existing) noexcept {
    switch (existing) {
        case config::ExistingFlows::keep:
            return ExistingFlows::keep;
        case config::ExistingFlows::rebind:
            return ExistingFlows::rebind;
        case config::ExistingFlows::kill:
            break;
    }
    return ExistingFlows::kill;
}

Schedule schedule_of(config::Schedule schedule) noexcept {
    switch (schedule) {
        case config::Schedule::round_robin:
            return Schedule::round_robin;
        case config::Schedule::random:
            return Schedule::random;
        case config::Schedule::source_hash:
            break;
    }
    return Schedule::source_hash;
}

void translate_prefix(NatRule& rule, const config::TranslatedPrefix& prefix) {
    const AddressRange range = AddressRange::prefix(prefix.address, prefix.prefix_length);
    rule.pool = {{range}, range.size()};
    rule.prefix_length = prefix.prefix_length;
}

}  // namespace

AddressPool RuleCompiler::pool_of(const std::vector<config::AddressItem>& items) const {
    AddressPool pool;
    pool.ranges = config::expand_addresses(config_.groups, items);
    // Sizes of IPv6 ranges may go beyond 64 bits; what lies beyond is never chosen.
    constexpr std::uint64_t kMost = std::uint64_t{1} << 62;
    for (const AddressRange& range : pool.ranges) pool.size = std::min(kMost, pool.size + range.size());
    return pool;
}

NatRule RuleCompiler::source_nat(NatRule rule, const config::Snat& snat) const {
    if (snat.masquerade) {
        rule.snat = SnatKind::masquerade;
    } else if (snat.prefix) {
        rule.snat = SnatKind::prefix;
        translate_prefix(rule, *snat.prefix);
    } else {
        rule.snat = SnatKind::addresses;
        rule.pool = pool_of(snat.to);
    }
    rule.has_ports = snat.ports.has_value();
    if (snat.ports) rule.ports = *snat.ports;
    return rule;
}

NatRule RuleCompiler::destination_nat(NatRule rule, const config::NatRule& from, const config::Dnat& dnat) const {
    rule.dnat = true;
    rule.zone = dnat.zone;
    // Routing comes after this: a packet has no exit yet, so no rule may ask for one.
    rule.match.out_ports = ~std::uint64_t{0};
    if (dnat.prefix) {
        translate_prefix(rule, *dnat.prefix);
    } else {
        rule.pool = pool_of(dnat.to);
    }
    rule.schedule = schedule_of(dnat.schedule);
    rule.has_ports = dnat.ports.has_value();
    if (!dnat.ports) return rule;
    rule.ports = *dnat.ports;
    if (rule.ports.size() == 1) return rule;
    const auto* matched = from.dport.items.size() == 1 ? std::get_if<PortRange>(&from.dport.items.front()) : nullptr;
    if (from.dport.negated || matched == nullptr || matched->size() != rule.ports.size())
        throw CompileError("dnat ports shift those of dport, which must be one range of the same width");
    rule.shift_ports = true;
    rule.shift_from = matched->first;
    return rule;
}

void RuleCompiler::nat() {
    for (std::size_t i = 0; i < config_.nat.size(); ++i) {
        const config::NatRule& from = config_.nat[i];
        NatRule rule;
        rule.match = conditions(from);
        rule.rule = next_number();
        rule.existing = existing_of(from.existing);
        try {
            if (const auto* snat = std::get_if<config::Snat>(&from.action)) {
                rule = source_nat(std::move(rule), *snat);
            } else {
                rule = destination_nat(std::move(rule), from, std::get<config::Dnat>(from.action));
            }
            if (rule.snat != SnatKind::masquerade && rule.pool.size == 0)
                throw CompileError("no address to translate to: the groups named are empty");
        } catch (const CompileError& error) {
            throw CompileError("nat[" + std::to_string(i) + "]: " + error.what());
        }
        (rule.dnat ? policy_.dnat : policy_.snat).push_back(std::move(rule));
        names_.rules.push_back(name_rule(static_cast<std::uint32_t>(i) + 1, from));
    }
}

}  // namespace sluice::compile

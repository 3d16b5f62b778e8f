// The rules of one compilation: filter chains and NAT lists share numbers, sets and names.
//
// Order of calls: filter(), nat(), raw(), then chain_policies(): rule numbers follow it.
#pragma once

#include "control/compile/compile.hh"
#include "control/compile/sets.hh"
#include "control/config/families.hh"

namespace sluice::compile {

class RuleCompiler {
public:
    /// All must outlive it.
    RuleCompiler(const config::Config& config, SetInterner& sets, Policy& policy, PolicyNames& names)
        : config_(config), families_(config.groups), sets_(sets), policy_(policy), names_(names) {}

    void filter();          // filter.cc
    void nat();             // nat.cc
    void raw();             // filter.cc
    void chain_policies();  // filter.cc

private:
    void chain(Chain chain, const config::Chain& from);
    FilterRule filter_rule(Chain chain, const config::FilterRule& from);
    std::int32_t log_prefix(const std::string& text);
    NatRule source_nat(NatRule rule, const config::Snat& snat) const;
    NatRule destination_nat(NatRule rule, const config::NatRule& from, const config::Dnat& dnat) const;
    [[nodiscard]] AddressPool pool_of(const std::vector<config::AddressItem>& items) const;
    [[nodiscard]] std::uint64_t port_mask(const config::PortNameMatch& match) const noexcept;
    [[nodiscard]] static MarkMatch mark_match(const config::MarkMatch& from) noexcept {
        return {from.value, from.mask, from.negated};
    }

    /// A rule that says of itself that no packet matches it (no loader lets it through) keeps to one family.
    [[nodiscard]] static Family family_of(config::Families families) noexcept {
        return families == config::Families::both  ? Family::any
               : families == config::Families::ip6 ? Family::ip6
                                                   : Family::ip4;
    }

    /// What filter and NAT rules have in common.
    template <class Rule>
    MatchSpec conditions(const Rule& rule) {
        MatchSpec spec;
        spec.in_ports = port_mask(rule.in);
        spec.out_ports = port_mask(rule.out);
        if (rule.proto) spec.proto = *rule.proto;
        spec.family = family_of(families_.matched_by(rule));
        spec.src = sets_.addresses(rule.src);
        spec.dst = sets_.addresses(rule.dst);
        spec.sport = sets_.ports(rule.sport);
        spec.dport = sets_.ports(rule.dport);
        spec.mark = mark_match(rule.mark);
        spec.ct_mark = mark_match(rule.ct_mark);
        spec.needs_flow = !rule.ct_mark.any();
        return spec;
    }
    [[nodiscard]] std::uint32_t next_number() const noexcept { return static_cast<std::uint32_t>(names_.rules.size()); }

    const config::Config& config_;
    const config::FamilyIndex families_;
    SetInterner& sets_;
    Policy& policy_;
    PolicyNames& names_;
};

}  // namespace sluice::compile

// Does a rule match, and which is the first in a list that does: of those that its index leaves (rule_index.hh), or,
// without one, of all. Rules see a packet as
// netfilter's hooks do: filter rules after DNAT and before SNAT, NAT rules likewise for their half. Marks are what the
// rules before have made of them.
//
// Pure; worker threads; nothing here fails.
#pragma once

#include <cstdint>

#include "dataplane/flow/flow_entry.hh"
#include "dataplane/flow/flow_key.hh"
#include "dataplane/policy/policy.hh"

namespace sluice {

/// What rules can set and match: the packet's own mark, which ends with it, and that of its flow.
struct Marks {
    std::uint32_t packet = 0;
    std::uint32_t flow = 0;
};

/// What rules look at. Ports in host order; for ICMP they are 0 and type/code are set.
struct MatchInput {
    IpAddress src{}, dst{};
    std::uint16_t sport = 0, dport = 0;
    std::uint8_t proto = 0;
    std::uint8_t icmp_type = 0;
    PortIndex in_port = kNoPort;
    PortIndex out_port = kNoPort;
    PacketState state = PacketState::new_flow;
    InvalidReason invalid_reason{};  ///< when state is INVALID
    Marks marks{};
    bool has_flow = true;       ///< false: marks.flow means nothing
    std::uint8_t timeouts = 0;  ///< what rules have given to a flow that begins

    /// The facts of a tuple.
    static MatchInput of(const FlowKey& key) noexcept {
        MatchInput in;
        in.src = key.src();
        in.dst = key.dst();
        in.proto = key.proto;
        const TupleShape shape = key.shape();
        if (shape == TupleShape::query) {
            in.icmp_type = key.icmp_type();
        } else if (shape == TupleShape::ports) {
            in.sport = key.sport.host();
            in.dport = key.dport.host();
        }
        return in;
    }
};

namespace detail {

constexpr bool port_bit(std::uint64_t mask, PortIndex port) noexcept {
    return mask == ~std::uint64_t{0} || (port < 64 && ((mask >> port) & 1) != 0);
}
/// What is left when state, protocol and ports fit.
[[nodiscard]] bool matches_else(const MatchSpec& spec, const MatchInput& input, const Policy& policy) noexcept;

}  // namespace detail

/// What costs least and rules out most is asked first, and in place: of a list without an index every packet asks all.
[[nodiscard]] inline bool matches(const MatchSpec& spec, const MatchInput& in, const Policy& policy) noexcept {
    return (spec.states & static_cast<std::uint8_t>(in.state)) != 0 && (spec.proto < 0 || spec.proto == in.proto) &&
           detail::port_bit(spec.in_ports, in.in_port) && detail::port_bit(spec.out_ports, in.out_port) &&
           detail::matches_else(spec, in, policy);
}

struct FilterVerdict {
    FilterAction action = FilterAction::accept;
    RejectWith reject_with = RejectWith::port_unreachable;
    std::uint32_t rule = kNoRule;  ///< number of the deciding rule or chain policy
    bool cacheable = true;         ///< false: a rule logs, or one more than this one is to be counted
    std::int32_t log = -1;         ///< prefix of the last rule that logs, -1: none
};

/// What `rule` sets.
inline void apply_sets(const FilterRule& rule, MatchInput& input) noexcept {
    Marks& m = input.marks;
    m.packet = rule.set_mark.of(m.packet, m.flow);
    if (input.has_flow) m.flow = rule.set_ct_mark.of(m.flow, m.packet);
    if (rule.set_timeouts != 0) input.timeouts = rule.set_timeouts;
}

/// First match that decides, else the chain's policy. Marks change on the way; `passed(rule)` hears of each rule that
/// matched and decided nothing. Counts nothing.
template <class Passed>
[[nodiscard]] FilterVerdict judge(const Policy& policy, Chain chain, MatchInput& input, Passed&& passed) noexcept {
    const FilterChain& rules = policy.chain(chain);
    bool alone = true;
    Candidates candidates(rules.index, rules.rules.size(), input);
    for (std::uint32_t i; (i = candidates.next()) != kNoCandidate;) {
        const FilterRule& r = rules.rules[i];
        if (!matches(r.match, input, policy)) continue;
        apply_sets(r, input);
        if (r.action != FilterAction::next) return {r.action, r.reject_with, r.rule, alone && r.log < 0, r.log};
        alone = false;
        passed(r);
    }
    return {rules.policy, RejectWith::port_unreachable, rules.policy_rule, alone, -1};
}

/// The first NAT rule of `rules`, whose index is `index`, that matches, or nullptr.
[[nodiscard]] const NatRule* first_match(const std::vector<NatRule>& rules, const RuleIndex& index,
                                         const MatchInput& input, const Policy& policy) noexcept;

}  // namespace sluice

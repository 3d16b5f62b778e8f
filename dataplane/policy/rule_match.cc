#include "dataplane/policy/rule_match.hh"

#include <algorithm>

namespace sluice {

namespace {

/// Sets are disjoint and ascending: the only candidate is the last range that begins at or before `value`.
template <class Set, class Value>
bool in_set(const Set& set, const Value& value) noexcept {
    auto after =
        std::upper_bound(set.begin(), set.end(), value, [](const Value& v, const auto& r) { return v < r.first; });
    return after != set.begin() && std::prev(after)->contains(value);
}

/// Most packets are IPv4, of which the last word says all.
bool in_set(const AddressSet& set, const IpAddress& value) noexcept {
    if (!value.is_v4()) return in_set<AddressSet, IpAddress>(set, value);
    const std::uint32_t v4 = value.low.host();
    const auto after = std::ranges::partition_point(set, [&](const AddressRange& r) noexcept {
        return r.first.is_v4() ? r.first.low.host() <= v4 : r.first < value;
    });
    if (after == set.begin()) return false;
    const IpAddress& last = std::prev(after)->last;
    return last.is_v4() ? v4 <= last.low.host() : value < last;
}

template <class Sets, class Value>
bool set_matches(SetMatch m, const Sets& sets, const Value& value) noexcept {
    return m.set == kAnySet || in_set(sets[m.set], value) != m.negated;
}

}  // namespace

bool detail::matches_else(const MatchSpec& spec, const MatchInput& in, const Policy& policy) noexcept {
    if (spec.invalid_reasons != 0 && (in.state != PacketState::invalid ||
                                      (spec.invalid_reasons >> static_cast<unsigned>(in.invalid_reason) & 1) == 0))
        return false;
    if (spec.family != Family::any && (spec.family == Family::ip4) != in.src.is_v4()) return false;
    if (!set_matches(spec.dport, policy.port_sets, in.dport) || !set_matches(spec.sport, policy.port_sets, in.sport))
        return false;
    if (spec.icmp_types >= 0 && !policy.icmp_type_sets[static_cast<std::size_t>(spec.icmp_types)].test(in.icmp_type))
        return false;
    if (!spec.mark.matches(in.marks.packet) || !spec.ct_mark.matches(in.marks.flow)) return false;
    if (spec.needs_flow && !in.has_flow) return false;
    return set_matches(spec.src, policy.address_sets, in.src) && set_matches(spec.dst, policy.address_sets, in.dst);
}

const NatRule* first_match(const std::vector<NatRule>& rules, const RuleIndex& index, const MatchInput& input,
                           const Policy& policy) noexcept {
    Candidates candidates(index, rules.size(), input);
    for (std::uint32_t i; (i = candidates.next()) != kNoCandidate;)
        if (matches(rules[i].match, input, policy)) return &rules[i];
    return nullptr;
}

}  // namespace sluice

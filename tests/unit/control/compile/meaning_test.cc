// A compiled policy means what its configuration says: random rules with nested groups, random packets, and an
// evaluation that walks the Config itself - names, groups and all - beside judge() and first_match().
#include <algorithm>
#include <array>
#include <random>

#include <catch2/catch.hpp>

#include "control/config/resolve.hh"
#include "dataplane/policy/rule_match.hh"
#include "tests/unit/control/compile/configs.hh"

using namespace sluice;
using namespace sluice::test;

namespace {

// --- the naive reading

const std::vector<config::AddressItem>& members(const config::Config& c, const std::string& name, const IpAddress&) {
    return std::ranges::find(c.groups.addresses, name, &config::AddressGroup::name)->items;
}
const std::vector<config::PortItem>& members(const config::Config& c, const std::string& name, std::uint16_t) {
    return std::ranges::find(c.groups.ports, name, &config::PortGroup::name)->items;
}

bool same_kind(const IpAddress& a, const IpAddress& b) {
    return a.is_v4() == b.is_v4();
}
bool same_kind(std::uint16_t, std::uint16_t) {
    return true;
}

template <class Item, class Value>
bool holds(const config::Config& c, const std::vector<Item>& items, Value value) {
    for (const Item& item : items) {
        if (const auto* name = std::get_if<std::string>(&item)) {
            if (holds(c, members(c, *name, value), value)) return true;
        } else if (const auto& r = std::get<0>(item);
                   same_kind(r.first, value) && r.first <= value && value <= r.last) {
            return true;
        }
    }
    return false;
}

/// Of which families the items have addresses: bit 0 IPv4, bit 1 IPv6.
unsigned families(const config::Config& c, const std::vector<config::AddressItem>& items) {
    unsigned found = 0;
    for (const auto& item : items) {
        const auto* name = std::get_if<std::string>(&item);
        found |= name != nullptr ? families(c, members(c, *name, IpAddress{})) : std::get<0>(item).is_v4() ? 1U : 2U;
    }
    return found;
}

/// What the rule says of its packets' family; 0: it contradicts itself.
template <class Rule>
unsigned allowed(const config::Config& c, const Rule& rule) {
    unsigned all = rule.family == config::Family::any ? 3 : rule.family == config::Family::ip4 ? 1 : 2;
    for (const auto* match : {&rule.src, &rule.dst})
        if (const unsigned of = families(c, match->items); of != 0) all &= of;
    if constexpr (requires { rule.icmp_type; }) {
        if (rule.icmp_type) all &= rule.proto == 58 ? 2U : 1U;
    } else if (!rule.is_snat()) {
        all &= families(c, std::get<config::Dnat>(rule.action).to);
    }
    return all;
}

template <class Match, class Value>
bool meets(const config::Config& c, const Match& match, Value value) {
    return match.items.empty() || holds(c, match.items, value) != match.negated;
}

bool meets(const config::Config& c, const config::PortNameMatch& match, PortIndex port) {
    return match.names.empty() || std::ranges::any_of(match.names, [&](const std::string& name) {
               return port < c.ports.size() && c.ports[port].name == name;
           });
}

bool meets(const config::StateMatch& match, PacketState state) {
    switch (state) {
        case PacketState::new_flow:
            return match.any() || match.new_flow;
        case PacketState::established:
            return match.any() || match.established;
        case PacketState::related:
            return match.any() || match.related;
        case PacketState::invalid:
            return match.any() || match.invalid;
        case PacketState::untracked:
            return match.any() || match.untracked;
        case PacketState::none:
            break;
    }
    return false;
}

bool meets(const config::MarkMatch& match, std::uint32_t mark) {
    return match.any() || ((mark & match.mask) == match.value) != match.negated;
}

std::uint32_t changed(const config::MarkSet& set, std::uint32_t mark, std::uint32_t other) {
    return (mark & ~set.mask) | ((set.copy ? other : set.value) & set.mask);
}

template <class Rule>
bool meets_conditions(const config::Config& c, const Rule& rule, const MatchInput& in) {
    return (allowed(c, rule) & (in.src.is_v4() ? 1U : 2U)) != 0 && (!rule.proto || *rule.proto == in.proto) &&
           meets(c, rule.src, in.src) && meets(c, rule.dst, in.dst) && meets(c, rule.sport, in.sport) &&
           meets(c, rule.dport, in.dport) && meets(rule.mark, in.marks.packet) && meets(rule.ct_mark, in.marks.flow) &&
           (in.has_flow || rule.ct_mark.any());
}

struct Expected {
    config::FilterAction action;
    std::uint32_t place;  // in its chain; the number of rules stands for the chain's policy
    Marks marks;
    std::uint32_t passed = 0;  // rules that matched before, and decided nothing
};

Expected expected(const config::Config& c, const config::Chain& chain, MatchInput in) {
    std::uint32_t passed = 0;
    for (std::uint32_t i = 0; i < chain.rules.size(); ++i) {
        const config::FilterRule& rule = chain.rules[i];
        if (!meets_conditions(c, rule, in) || !meets(c, rule.in, in.in_port) || !meets(c, rule.out, in.out_port) ||
            !meets(rule.state, in.state) || (rule.icmp_type && *rule.icmp_type != in.icmp_type) ||
            (rule.set_mark.copy && !in.has_flow))
            continue;
        in.marks.packet = changed(rule.set_mark, in.marks.packet, in.marks.flow);
        if (in.has_flow) in.marks.flow = changed(rule.set_ct_mark, in.marks.flow, in.marks.packet);
        if (rule.action != config::FilterAction::next) return {rule.action, i, in.marks, passed};
        ++passed;
    }
    return {chain.policy == config::ChainPolicy::accept ? config::FilterAction::accept : config::FilterAction::drop,
            static_cast<std::uint32_t>(chain.rules.size()), in.marks, passed};
}

// --- random configurations and packets, from a small world so that they meet

class Dice {
public:
    explicit Dice(unsigned seed) : engine_(seed) {}
    unsigned below(unsigned n) { return static_cast<unsigned>(engine_() % n); }
    bool one_in(unsigned n) { return below(n) == 0; }

    IpAddress address(bool v6) {
        if (v6) return one_in(16) ? prefix_edge(IpAddress{}, 0, one_in(2)) : six(below(40));
        return one_in(16) ? Ip4::from_host(one_in(2) ? 0 : 0xffffffffU) : ip4(192, 0, 2, below(40));
    }
    std::uint16_t port() { return static_cast<std::uint16_t>(one_in(16) ? 65535 : below(40)); }

private:
    std::mt19937 engine_;
};

AddressRange random_range(Dice& dice, const IpAddress&) {
    const unsigned first = dice.below(40);
    if (dice.one_in(3)) {
        if (dice.one_in(24)) return AddressRange::prefix(IpAddress{}, 0);
        return {six(first), six(first + dice.below(6))};
    }
    if (dice.one_in(24)) return {};  // every address
    return {ip4(192, 0, 2, first), ip4(192, 0, 2, first + dice.below(6))};
}
PortRange random_range(Dice& dice, std::uint16_t) {
    const unsigned first = dice.below(40);
    if (dice.one_in(12)) return {static_cast<std::uint16_t>(first), 65535};
    return {static_cast<std::uint16_t>(first), static_cast<std::uint16_t>(first + dice.below(6))};
}

std::string group_name(unsigned number) {
    std::string name = "g";
    name += std::to_string(number);
    return name;
}

/// Up to three, groups among them when there are any: "g0" … one less than `groups`.
template <class Value, class Item>
std::vector<Item> random_items(Dice& dice, unsigned groups, unsigned least) {
    std::vector<Item> items;
    for (unsigned n = least + dice.below(3); n > 0; --n) {
        if (groups > 0 && dice.one_in(2)) {
            items.emplace_back(group_name(dice.below(groups)));
        } else {
            items.emplace_back(random_range(dice, Value{}));
        }
    }
    return items;
}

constexpr unsigned kGroups = 6;

template <class Value, class Match>
void random_match(Dice& dice, Match& match) {
    if (!dice.one_in(3)) return;
    using Item = typename decltype(match.items)::value_type;
    match.items = random_items<Value, Item>(dice, kGroups, 1);
    match.negated = dice.one_in(3);
}

config::PortNameMatch random_names(Dice& dice, const config::Config& c) {
    config::PortNameMatch match;
    if (dice.one_in(3))
        for (unsigned n = 1 + dice.below(2); n > 0; --n) match.names.push_back(c.ports[dice.below(3)].name);
    return match;
}

std::uint32_t random_mask(Dice& dice) {
    return dice.one_in(2) ? 0xffffffffU : 1 + dice.below(3);
}

void random_mark(Dice& dice, config::MarkMatch& match) {
    if (!dice.one_in(6)) return;
    match.mask = random_mask(dice);
    match.value = dice.below(4) & match.mask;
    match.negated = dice.one_in(3);
}

void random_set(Dice& dice, config::MarkSet& set) {
    if (!dice.one_in(5)) return;
    set.mask = random_mask(dice);
    set.copy = dice.one_in(3);
    if (!set.copy) set.value = dice.below(4) & set.mask;
}

template <class Rule>
void random_conditions(Dice& dice, Rule& rule) {
    random_mark(dice, rule.mark);
    random_mark(dice, rule.ct_mark);
    random_match<IpAddress>(dice, rule.src);
    random_match<IpAddress>(dice, rule.dst);
    if (dice.one_in(4)) rule.family = dice.one_in(2) ? config::Family::ip4 : config::Family::ip6;
    constexpr std::array<std::uint8_t, 5> kProtos{1, 6, 17, 47, 58};
    if (dice.one_in(2)) rule.proto = kProtos[dice.below(5)];
    if (!rule.proto || (*rule.proto != 6 && *rule.proto != 17)) return;
    random_match<std::uint16_t>(dice, rule.sport);
    random_match<std::uint16_t>(dice, rule.dport);
}

config::FilterRule random_rule(Dice& dice, const config::Config& c, const config::Chain& chain) {
    config::FilterRule rule;
    random_conditions(dice, rule);
    if (&chain != &c.filter.output) rule.in = random_names(dice, c);
    if (&chain != &c.filter.input) rule.out = random_names(dice, c);
    if (dice.one_in(3)) {
        bool* const states[]{&rule.state.new_flow, &rule.state.established, &rule.state.related, &rule.state.invalid,
                             &rule.state.untracked};
        for (bool* state : states) *state = dice.one_in(2);
    }
    if ((rule.proto == 1 || rule.proto == 58) && dice.one_in(2)) rule.icmp_type = dice.one_in(2) ? 8 : 0;
    rule.action = static_cast<config::FilterAction>(dice.below(3));
    random_set(dice, rule.set_mark);
    random_set(dice, rule.set_ct_mark);
    if (dice.one_in(4)) rule.action = config::FilterAction::next;
    if (dice.one_in(5)) rule.log = group_name(dice.below(3));
    return rule;
}

config::Config random_config(Dice& dice) {
    config::Config c = three_ports();
    for (unsigned i = 0; i < kGroups; ++i) {  // a group names only groups before it: no circles
        c.groups.addresses.push_back({group_name(i), random_items<IpAddress, config::AddressItem>(dice, i, 0)});
        c.groups.ports.push_back({group_name(i), random_items<std::uint16_t, config::PortItem>(dice, i, 0)});
    }
    for (config::Chain* chain : {&c.filter.input, &c.filter.forward, &c.filter.output}) {
        for (unsigned n = dice.below(10); n > 0; --n) {
            const config::FilterRule rule = random_rule(dice, c, *chain);
            if (allowed(c, rule) != 0) chain->rules.push_back(rule);  // the loader refuses the others
        }
        chain->policy = dice.one_in(2) ? config::ChainPolicy::drop : config::ChainPolicy::accept;
    }
    for (unsigned n = dice.below(8); n > 0; --n) {
        config::NatRule& rule = c.nat.emplace_back();
        random_conditions(dice, rule);
        if (dice.one_in(2)) {
            rule.out.names = {c.ports[dice.below(3)].name};
            rule.action = config::Snat{true, {}, {}};
        } else {
            rule.in = random_names(dice, c);
            rule.action = config::Dnat{
                {dice.one_in(3) ? net6(200, 128) : net(192, 0, 2, 200, 32)}, {}, config::Schedule::round_robin};
        }
        if (allowed(c, rule) == 0) c.nat.pop_back();
    }
    return c;
}

MatchInput random_packet(Dice& dice, Chain chain) {
    MatchInput in;
    const bool v6 = dice.one_in(3);
    in.src = dice.address(v6);
    in.dst = dice.address(v6);
    constexpr std::array<std::uint8_t, 6> kProtos{1, 6, 17, 47, 58, 132};
    in.proto = kProtos[dice.below(6)];
    if (in.proto == 6 || in.proto == 17) {
        in.sport = dice.port();
        in.dport = dice.port();
    }
    if (in.proto == (v6 ? 58 : 1)) in.icmp_type = static_cast<std::uint8_t>(dice.one_in(3) ? 8 : dice.below(4));
    in.in_port = chain == Chain::output ? kKernelPort : static_cast<PortIndex>(dice.below(3));
    in.out_port = chain == Chain::input ? kKernelPort : static_cast<PortIndex>(dice.below(3));
    in.state = static_cast<PacketState>(1U << dice.below(5));
    in.marks = {dice.below(4), dice.below(4)};
    in.has_flow = !dice.one_in(4);
    return in;
}

const config::Chain& chain_of(const config::Config& c, Chain chain) {
    if (chain == Chain::input) return c.filter.input;
    return chain == Chain::forward ? c.filter.forward : c.filter.output;
}

}  // namespace

TEST_CASE("random policies say of random packets what their configurations say") {
    std::array<unsigned, 3> actions{};
    unsigned wrong = 0, by_rule = 0, passed_by = 0;
    for (unsigned seed = 0; seed < 300; ++seed) {
        Dice dice(seed);
        const config::Config c = random_config(dice);
        const auto compiled = compile_policy(c, kOneWorker, 1);
        for (unsigned i = 0; i < 300; ++i) {
            const auto chain = static_cast<Chain>(dice.below(3));
            MatchInput in = random_packet(dice, chain);
            const Expected want = expected(c, chain_of(c, chain), in);
            std::uint32_t passed = 0;
            const FilterVerdict got = judge(*compiled.policy, chain, in, [&](const FilterRule&) { ++passed; });
            const RuleName& name = compiled.names.rules[got.rule];
            const bool policy_decides = want.place == chain_of(c, chain).rules.size();
            if (static_cast<unsigned>(got.action) != static_cast<unsigned>(want.action) || name.chain != chain ||
                name.number != (policy_decides ? 0 : want.place + 1) || passed != want.passed ||
                in.marks.packet != want.marks.packet || in.marks.flow != want.marks.flow)
                ++wrong;
            if (!policy_decides) ++by_rule;
            passed_by += passed;
            ++actions[static_cast<unsigned>(want.action)];
        }
    }
    CHECK(wrong == 0);
    // The packets met rules of every kind, not only chain policies.
    CHECK(by_rule > 20000);
    CHECK(passed_by > 10000);
    for (const unsigned count : actions) CHECK(count > 5000);
}

TEST_CASE("random NAT rules: the first of its kind that the configuration says") {
    unsigned wrong = 0, translated = 0;
    for (unsigned seed = 1000; seed < 1200; ++seed) {
        Dice dice(seed);
        const config::Config c = random_config(dice);
        const auto compiled = compile_policy(c, kOneWorker, 1);
        for (unsigned i = 0; i < 200; ++i) {
            for (const bool snat : {true, false}) {
                MatchInput in = random_packet(dice, Chain::forward);
                if (!snat) in.out_port = kNoPort;
                std::uint32_t want = 0;  // 1 is the first of the list
                for (std::uint32_t n = 0; n < c.nat.size() && want == 0; ++n) {
                    const config::NatRule& rule = c.nat[n];
                    if (rule.is_snat() == snat && meets_conditions(c, rule, in) && meets(c, rule.in, in.in_port) &&
                        meets(c, rule.out, in.out_port))
                        want = n + 1;
                }
                const Policy& policy = *compiled.policy;
                const NatRule* got = snat ? first_match(policy.snat, policy.snat_index, in, policy)
                                          : first_match(policy.dnat, policy.dnat_index, in, policy);
                if ((got == nullptr ? 0 : compiled.names.rules[got->rule].number) != want) ++wrong;
                if (want != 0) ++translated;
            }
        }
    }
    CHECK(wrong == 0);
    CHECK(translated > 10000);
}

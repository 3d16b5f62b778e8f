// filter and raw: chains of rules, and what contradicts itself within one rule.
#include <algorithm>

#include "control/config/read_match.hh"
#include "control/config/sections.hh"

namespace sluice::config {
namespace {

constexpr std::size_t kLongestLogPrefix = 64;

void read_states(const Value& value, StateMatch& out) {
    read_one_or_list(value, [&](const Value& item) {
        const std::size_t errors = item.findings().error_count();
        bool StateMatch::*state = nullptr;
        read_enum(item, kStates, state);
        if (item.findings().error_count() != errors) return;
        if (out.*state) item.error("the state " + in_quotes(item.node().text) + " is there twice");
        out.*state = true;
    });
}

void read_invalid_reasons(const Value& value, std::uint32_t& out) {
    read_one_or_list(value, [&](const Value& item) {
        const std::string* text = item.scalar("why a packet is INVALID");
        if (text == nullptr) return;
        const auto name = std::ranges::find(kInvalidReasonNames, *text);
        if (name == kInvalidReasonNames.end()) {
            return report_unknown_word(item, *text, {kInvalidReasonNames.begin(), kInvalidReasonNames.end()});
        }
        const std::uint32_t bit = std::uint32_t{1} << (name - kInvalidReasonNames.begin());
        if ((out & bit) != 0) item.error("the reason " + in_quotes(*text) + " is there twice");
        out |= bit;
    });
}

void read_mark_set(const Value& value, std::string_view other, MarkSet& out) {
    const std::string* text = value.scalar("a mark");
    if (text == nullptr) return;
    Parsed<MarkSet> parsed = parse_mark_set(*text, other);
    if (!parsed.value) return value.error(std::move(parsed.error));
    out = *parsed.value;
}

void read_log_prefix(const Value& value, FilterRule& out) {
    const std::size_t errors = value.findings().error_count();
    std::string prefix;
    read_text(value, prefix, kLongestLogPrefix);
    if (value.findings().error_count() == errors) out.log = std::move(prefix);
}

void read_set(const Value& value, FilterRule& out) {
    constexpr std::array<Field<FilterRule>, 3> kFields{{
        {"mark", [](const Value& v, FilterRule& r) { read_mark_set(v, "ct_mark", r.set_mark); }},
        {"ct_mark", [](const Value& v, FilterRule& r) { read_mark_set(v, "mark", r.set_ct_mark); }},
        {"timeout",
         [](const Value& v, FilterRule& r) {
             const std::string* name = v.scalar("the name of a timeout policy");
             if (name == nullptr) return;
             r.set_timeout = *name;
             v.refer(Reference::Kind::timeout_policy, *name);
         }},
    }};
    read_map(value, kFields, out);
    if (value.is(YamlNode::Kind::map) && value.node().items.empty()) value.error("there is nothing to set");
}

/// Read when the protocol is known: the two have types of their own.
void read_icmp_type(const Value& rule, FilterRule& out) {
    const YamlNode* entry = rule.find("icmp_type");
    if (entry == nullptr || entry->kind == YamlNode::Kind::null) return;
    const bool v6 = out.proto == static_cast<std::uint8_t>(IpProto::icmpv6);
    if (!v6 && out.proto != static_cast<std::uint8_t>(IpProto::icmp)) {
        return rule.error_at("icmp_type", "icmp_type needs proto: icmp or icmpv6");
    }
    const Value value = rule.child(*entry);
    const std::string* text = value.scalar(v6 ? "an ICMPv6 type" : "an ICMP type");
    if (text == nullptr) return;
    Parsed<std::uint8_t> parsed = parse_icmp_type(*text, v6);
    if (!parsed.value) return value.error(std::move(parsed.error));
    out.icmp_type = *parsed.value;
}

/// A key that another reader takes.
void read_later(const Value&, FilterRule&) {}

/// Conditions that no packet can meet, and answers that nothing asks for. Only for a rule whose parts are all good.
void check_rule(const Value& value, const FilterRule& rule) {
    check_ports_need_proto(value, rule.proto);
    if (rule.invalid_reasons != 0 && !rule.state.any() && !rule.state.invalid) {
        value.error_at("invalid", "the rule's state is not invalid");
    }
    if (rule.action == FilterAction::next && rule.log) value.error_at("log", "log needs an action");
    if (value.has("reject_with") && rule.action != FilterAction::reject) {
        value.error_at("reject_with", "reject_with needs action: reject");
    } else if (rule.reject_with == RejectWith::tcp_reset && rule.proto != static_cast<std::uint8_t>(IpProto::tcp)) {
        value.error_at("reject_with", "tcp-reset needs proto: tcp");
    }
}

template <std::size_t N>
void read_rule_by(const std::array<Field<FilterRule>, N>& fields, const Value& value, FilterRule& out) {
    const std::size_t errors = value.findings().error_count();
    out.action = FilterAction::next;
    read_map(value, fields, out);
    if (value.is(YamlNode::Kind::map) && !value.has("action") && !value.has("set")) {
        value.error("the key 'action' is missing");
    }
    if (!value.is(YamlNode::Kind::map)) return;
    const bool knows_proto = !value.has("proto") || out.proto || value.find("proto")->text == "any";
    if (knows_proto) read_icmp_type(value, out);
    if (value.findings().error_count() == errors) check_rule(value, out);
}

/// What a rule of any chain can match.
constexpr std::array<Field<FilterRule>, 10> kMatches{{
    {"in", [](const Value& v, FilterRule& r) { read_port_names(v, r.in); }},
    {"out", [](const Value& v, FilterRule& r) { read_port_names(v, r.out); }},
    {"family", [](const Value& v, FilterRule& r) { read_family(v, r.family); }},
    {"src", [](const Value& v, FilterRule& r) { read_address_match(v, r.src); }},
    {"dst", [](const Value& v, FilterRule& r) { read_address_match(v, r.dst); }},
    {"proto", [](const Value& v, FilterRule& r) { read_proto(v, r.proto); }},
    {"sport", [](const Value& v, FilterRule& r) { read_port_match(v, r.sport); }},
    {"dport", [](const Value& v, FilterRule& r) { read_port_match(v, r.dport); }},
    {"icmp_type", read_later},
    {"mark", [](const Value& v, FilterRule& r) { read_mark_match(v, r.mark); }},
}};

/// And what else it can say.
constexpr std::array<Field<FilterRule>, 2> kRemarks{{
    {"log", read_log_prefix},
    {"comment", [](const Value& v, FilterRule& r) { read_comment(v, r.comment); }},
}};

/// The fields of all chains with a chain's own between them, in the order in which errors list them.
template <std::size_t N>
constexpr auto fields_with(const std::array<Field<FilterRule>, N>& own) {
    std::array<Field<FilterRule>, kMatches.size() + N + kRemarks.size()> all{};
    auto next = std::ranges::copy(kMatches, all.begin()).out;
    next = std::ranges::copy(own, next).out;
    std::ranges::copy(kRemarks, next);
    return all;
}

void read_rule(const Value& value, FilterRule& out) {
    constexpr auto kFields = fields_with<6>({{
        {"state", [](const Value& v, FilterRule& r) { read_states(v, r.state); }},
        {"invalid", [](const Value& v, FilterRule& r) { read_invalid_reasons(v, r.invalid_reasons); }},
        {"ct_mark", [](const Value& v, FilterRule& r) { read_mark_match(v, r.ct_mark); }},
        {"set", read_set},
        {"action", [](const Value& v, FilterRule& r) { read_enum(v, kFilterActions, r.action); }},
        {"reject_with", [](const Value& v, FilterRule& r) { read_enum(v, kRejectWith, r.reject_with); }},
    }});
    read_rule_by(kFields, value, out);
}

void read_rules(const Value& value, Chain& out) {
    read_list(value, [&](const Value& item) { read_rule(item, out.rules.emplace_back()); });
}

void read_chain(const Value& value, Chain& out) {
    constexpr std::array<Field<Chain>, 2> kFields{{
        {"policy", [](const Value& v, Chain& c) { read_enum(v, kChainPolicies, c.policy); }},
        {"rules", read_rules},
    }};
    read_map(value, kFields, out);
}

/// Packets of these rules have no port on one side: `key` can never match.
void check_one_sided(const Value& rules, std::string_view key, const std::string& why) {
    if (!rules.is(YamlNode::Kind::sequence)) return;
    for (std::size_t i = 0; i < rules.node().items.size(); ++i) {
        const Value rule = rules.item(i);
        if (rule.has(key)) rule.error_at(key, why);
    }
}

void read_one_sided_chain(const Value& value, Chain& out, std::string_view key, const std::string& why) {
    read_chain(value, out);
    if (const YamlNode* rules = value.find("rules")) check_one_sided(value.child(*rules), key, why);
}

void read_raw_set(const Value& value, FilterRule& out) {
    constexpr std::array<Field<FilterRule>, 1> kFields{{
        {"mark", [](const Value& v, FilterRule& r) { read_mark_set(v, {}, r.set_mark); }, Need::required},
    }};
    read_map(value, kFields, out);
}

/// What is known of a packet before it is tracked.
void read_raw_rule(const Value& value, FilterRule& out) {
    constexpr auto kFields = fields_with<2>({{
        {"set", read_raw_set},
        {"action", [](const Value& v, FilterRule& r) { read_enum(v, kRawActions, r.action); }},
    }});
    read_rule_by(kFields, value, out);
}

void read_raw_rules(const Value& value, std::vector<FilterRule>& out) {
    read_list(value, [&](const Value& item) { read_raw_rule(item, out.emplace_back()); });
}

}  // namespace

void read_filter(const Value& value, Filter& out) {
    constexpr std::array<Field<Filter>, 3> kFields{{
        {"input", [](const Value& v,
                     Filter& f) { read_one_sided_chain(v, f.input, "out", "packets for the box have no out port"); }},
        {"forward", [](const Value& v, Filter& f) { read_chain(v, f.forward); }},
        {"output", [](const Value& v,
                      Filter& f) { read_one_sided_chain(v, f.output, "in", "packets from the box have no in port"); }},
    }};
    read_map(value, kFields, out);
}

void read_raw(const Value& value, Raw& out) {
    constexpr std::array<Field<Raw>, 2> kFields{{
        {"prerouting",
         [](const Value& v, Raw& r) {
             read_raw_rules(v, r.prerouting);
             check_one_sided(v, "out", "raw comes before routing: the out port is not known yet");
         }},
        {"output",
         [](const Value& v, Raw& r) {
             read_raw_rules(v, r.output);
             check_one_sided(v, "in", "packets from the box have no in port");
         }},
    }};
    read_map(value, kFields, out);
}

}  // namespace sluice::config

#include "control/compile/names.hh"

#include <algorithm>
#include <unordered_map>

#include "control/config/enum_names.hh"
#include "control/config/parse_values.hh"

namespace sluice {

void LogPrefixes::next_policy() noexcept {
    for (Entry& entry : entries_) entry.used = false;
}

std::optional<std::uint8_t> LogPrefixes::intern(std::string_view text) {
    const auto same = std::ranges::find(entries_, text, &Entry::text);
    const auto place =
        same != entries_.end() || entries_.size() < kMost ? same : std::ranges::find(entries_, false, &Entry::used);
    const auto id = static_cast<std::size_t>(place - entries_.begin());
    if (id == kMost) return std::nullopt;
    if (place == entries_.end()) {
        entries_.push_back({std::string{text}, true});
    } else {
        *place = {std::string{text}, true};
    }
    return static_cast<std::uint8_t>(id);
}

std::string_view LogPrefixes::text(std::uint8_t id) const noexcept {
    return id < entries_.size() ? std::string_view{entries_[id].text} : std::string_view{};
}

namespace compile {
namespace {

constexpr auto kIcmpv6 = static_cast<std::uint8_t>(IpProto::icmpv6);

/// FNV-1a, finished by a multiply-shift so that texts that differ in one character differ everywhere. Not keyed: a rule
/// has the same identity on every box.
std::uint64_t hash_text(std::string_view text) noexcept {
    std::uint64_t hash = 0xcbf29ce484222325U;
    for (const char c : text) hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001b3U;
    hash ^= hash >> 32;
    hash *= 0x9e3779b97f4a7c15U;
    hash ^= hash >> 29;
    return hash == 0 ? 1 : hash;
}

class Line {
public:
    void word(std::string_view w) {
        if (!text_.empty()) text_ += ' ';
        text_ += w;
    }
    void pair(std::string_view key, std::string_view value) {
        word(key);
        word(value);
    }
    void names(std::string_view key, const config::PortNameMatch& match) {
        if (match.any()) return;
        std::string list;
        for (const std::string& name : match.names) {
            if (!list.empty()) list += ',';
            list += name;
        }
        pair(key, list);
    }
    template <class Match>
    void items(std::string_view key, const Match& match) {
        if (match.any()) return;
        word(key);
        word(match.negated ? "!" : "");
        text_ += list_of(match.items);
    }
    template <class Item>
    static std::string list_of(const std::vector<Item>& items) {
        std::string list;
        for (const Item& item : items) {
            if (!list.empty()) list += ',';
            const auto* name = std::get_if<std::string>(&item);
            list += name != nullptr ? *name : config::to_string(std::get<0>(item));
        }
        return list;
    }
    /// What filter and NAT rules have in common.
    template <class Rule>
    void conditions(const Rule& rule) {
        names("in", rule.in);
        names("out", rule.out);
        if (rule.family != config::Family::any) pair("family", config::name_of(config::kFamilies, rule.family));
        items("src", rule.src);
        items("dst", rule.dst);
        if (rule.proto) pair("proto", config::proto_name(*rule.proto));
        items("sport", rule.sport);
        items("dport", rule.dport);
        mark("mark", rule.mark);
        mark("ct_mark", rule.ct_mark);
    }
    void mark(std::string_view key, const config::MarkMatch& match) {
        if (!match.any()) pair(key, (match.negated ? "!" : "") + config::to_string(match));
    }
    void set(std::string_view key, const config::MarkSet& set, std::string_view other) {
        if (set.none()) return;
        word("set");
        pair(key, config::to_string(set, other));
    }
    [[nodiscard]] std::string take() { return std::move(text_); }

private:
    std::string text_;
};

std::string list_of(const config::StateMatch& state) {
    std::string list;
    const auto add = [&](bool set, std::string_view name) {
        if (set) (list += list.empty() ? "" : ",") += name;
    };
    add(state.new_flow, "new");
    add(state.established, "established");
    add(state.related, "related");
    add(state.invalid, "invalid");
    add(state.untracked, "untracked");
    return list;
}

std::string list_of(const std::vector<std::string_view>& names) {
    std::string list;
    for (const std::string_view name : names) (list += list.empty() ? "" : ",") += name;
    return list;
}

void add_action(Line& line, const config::FilterRule& rule) {
    switch (rule.action) {
        case config::FilterAction::accept:
            return line.word("accept");
        case config::FilterAction::drop:
            return line.word("drop");
        case config::FilterAction::next:
            return;
        case config::FilterAction::notrack:
            return line.word("notrack");
        case config::FilterAction::reject:
            break;
    }
    switch (rule.reject_with) {
        case config::RejectWith::port_unreachable:
            return line.word("reject with port-unreachable");
        case config::RejectWith::admin_prohibited:
            return line.word("reject with admin-prohibited");
        case config::RejectWith::tcp_reset:
            return line.word("reject with tcp-reset");
    }
}

void add_action(Line& line, const config::Snat& snat) {
    if (snat.masquerade) {
        line.word("snat masquerade");
    } else if (snat.prefix) {
        line.pair("snat prefix", config::to_string(*snat.prefix));
    } else {
        line.pair("snat to", Line::list_of(snat.to));
    }
    if (snat.ports) line.pair("ports", config::to_string(*snat.ports));
}

void add_action(Line& line, const config::Dnat& dnat) {
    if (dnat.prefix) {
        line.pair("dnat prefix", config::to_string(*dnat.prefix));
    } else {
        line.pair("dnat to", Line::list_of(dnat.to));
    }
    if (dnat.zone) line.pair("zone", std::to_string(*dnat.zone));
    if (dnat.ports) line.pair(dnat.ports->size() == 1 ? "port" : "ports", config::to_string(*dnat.ports));
    switch (dnat.schedule) {
        case config::Schedule::round_robin:
            return;  // the default
        case config::Schedule::random:
            return line.pair("schedule", "random");
        case config::Schedule::source_hash:
            return line.pair("schedule", "source-hash");
    }
}

/// The part of the rule that makes it this rule: an operator who adds a log or a comment has not made a new one.
std::string core_of(const config::FilterRule& rule) {
    Line line;
    line.conditions(rule);
    if (!rule.state.any()) line.pair("state", list_of(rule.state));
    if (rule.invalid_reasons != 0) line.pair("invalid", list_of(config::invalid_reason_names(rule.invalid_reasons)));
    if (rule.icmp_type) line.pair("icmp_type", config::icmp_type_name(*rule.icmp_type, rule.proto == kIcmpv6));
    line.set("mark", rule.set_mark, "ct_mark");
    line.set("ct_mark", rule.set_ct_mark, "mark");
    if (!rule.set_timeout.empty()) line.pair("set timeout", rule.set_timeout);
    add_action(line, rule);
    return line.take();
}

/// The number of times the content was seen makes the identity; on a clash with another rule count on.
void make_unique(std::uint64_t& hash, std::unordered_map<std::uint64_t, unsigned>& seen) {
    const std::uint64_t content = hash;
    unsigned& times = seen[content];
    if (times++ == 0) return;
    unsigned copy = times;
    do hash = hash_text(std::to_string(content) + '#' + std::to_string(copy++));
    while (seen.contains(hash));
    seen.emplace(hash, 1);
}

}  // namespace

std::string text_of(const config::FilterRule& rule) {
    std::string text = core_of(rule);
    if (rule.log) text += " log \"" + *rule.log + '"';
    return text;
}

std::string text_of(const config::NatRule& rule) {
    Line line;
    line.conditions(rule);
    std::visit([&](const auto& action) { add_action(line, action); }, rule.action);
    return line.take();
}

RuleName name_rule(Chain chain, std::uint32_t number, const config::FilterRule& rule) {
    const std::uint64_t identity = hash_text(std::string{name_of(chain)} + ": " + core_of(rule));
    return {RuleKind::filter, chain, number, text_of(rule), rule.comment, identity, 0};
}

RuleName name_rule(std::uint32_t number, const config::NatRule& rule) {
    const auto* snat = std::get_if<config::Snat>(&rule.action);
    const RuleKind kind = snat == nullptr ? RuleKind::dnat : snat->masquerade ? RuleKind::masquerade : RuleKind::snat;
    std::string text = text_of(rule);
    const std::uint64_t identity = hash_text("nat: " + text);
    Line where;
    where.conditions(rule);
    const std::uint64_t place = hash_text(std::string(snat == nullptr ? "dnat: " : "snat: ") + where.take());
    return {kind, Chain::forward, number, std::move(text), rule.comment, identity, place};
}

RuleName name_policy(Chain chain, config::ChainPolicy policy) {
    const std::string text = policy == config::ChainPolicy::accept ? "policy accept" : "policy drop";
    return {RuleKind::chain_policy, chain, 0, text, {}, hash_text(std::string{name_of(chain)} + ": " + text), 0};
}

void make_identities_unique(std::vector<RuleName>& rules) {
    std::unordered_map<std::uint64_t, unsigned> identities, places;
    for (RuleName& rule : rules) {
        make_unique(rule.identity, identities);
        if (rule.place != 0) make_unique(rule.place, places);
    }
}

}  // namespace compile
}  // namespace sluice

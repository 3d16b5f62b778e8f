#include "control/compile/index_rules.hh"

#include <algorithm>
#include <limits>
#include <map>
#include <optional>
#include <set>
#include <utility>

namespace sluice::compile {

namespace {

template <class Value>
using Ranges = std::vector<std::pair<Value, Value>>;  // disjoint, both ends included

/// What some rules ask of a field.
template <class Value>
struct Condition {
    Ranges<Value> ranges;
    bool negated = false;
    std::vector<std::uint32_t> rules;
};
/// By what makes it the same: a set and whether it is negated, a mask.
template <class Value>
using Conditions = std::map<std::pair<std::uint64_t, bool>, Condition<Value>>;

template <class Value>
class FieldBuilder {
public:
    FieldBuilder(std::uint32_t rules, std::size_t most_work)
        : left_(most_work), blocks_((rules + 63) / 64), asking_(blocks_) {}

    /// The field as `conditions` want it; empty if no rule asks, or if it would be too much work.
    RuleIndex::Field<Value> build(const Conditions<Value>& conditions) {
        if (conditions.empty()) return {};
        RuleIndex::Rows& rows = field_.rules;
        summaries_ = (blocks_ + 63) / 64;
        for (const auto& [what, c] : conditions) {
            all_.push_back(&c);
            for (const std::uint32_t rule : c.rules) asking_[rule / 64] |= std::uint64_t{1} << (rule % 64);
        }
        rows.any_summary.resize(summaries_);
        for (std::size_t block = 0; block < blocks_; ++block) {
            rows.any.push_back(~asking_[block]);
            if (rows.any[block] != 0) rows.any_summary[block / 64] |= std::uint64_t{1} << (block % 64);
        }
        if (!cut()) return {};
        if (blocks_ == 1) make_whole();
        if constexpr (sizeof(Value) == 1) by_value();
        return std::move(field_);
    }

private:
    /// A condition begins to hold or no longer holds from `at` on.
    struct Edge {
        Value at;
        std::uint32_t condition;
        bool inwards;
    };

    /// The cells, and the row of each. False: too much.
    bool cut() {
        std::vector<Edge> edges;
        std::vector<std::uint32_t> inside(all_.size());  // in how many of its ranges: 0 or 1, but for a moment
        std::set<std::uint32_t> holding;
        for (std::uint32_t i = 0; i < all_.size(); ++i) {
            if (all_[i]->negated) holding.insert(i);
            for (const auto& [first, last] : all_[i]->ranges) {
                edges.push_back({first, i, true});
                if (last != kLast) edges.push_back({static_cast<Value>(last + 1), i, false});
            }
        }
        std::ranges::sort(edges, [](const Edge& a, const Edge& b) { return a.at < b.at; });
        if (edges.empty() || edges.front().at != 0)
            if (!add_cell(0, holding)) return false;
        for (std::size_t i = 0; i < edges.size();) {
            const Value at = edges[i].at;
            const std::size_t from = i;
            for (; i < edges.size() && edges[i].at == at; ++i)
                inside[edges[i].condition] += edges[i].inwards ? 1U : ~0U;
            for (std::size_t e = from; e < i; ++e) {
                const std::uint32_t c = edges[e].condition;
                if ((inside[c] != 0) != all_[c]->negated) {
                    holding.insert(c);
                } else {
                    holding.erase(c);
                }
            }
            if (!add_cell(at, holding)) return false;
        }
        return true;
    }
    bool add_cell(Value at, const std::set<std::uint32_t>& holding) {
        if (!spend(1 + holding.size())) return false;
        const std::vector<std::uint32_t> conditions(holding.begin(), holding.end());
        auto row = known_.find(conditions);
        if (row == known_.end()) {
            const auto made = make_row(conditions);
            if (!made) return false;
            row = known_.emplace(conditions, *made).first;
        }
        if (!field_.rows.empty() && field_.rows.back() == row->second) return true;  // nothing changes here
        field_.cells.push_back(at);
        field_.rows.push_back(row->second);
        return true;
    }
    std::optional<std::uint32_t> make_row(const std::vector<std::uint32_t>& conditions) {
        std::map<std::uint32_t, std::uint64_t> blocks;
        for (const std::uint32_t c : conditions) {
            if (!spend(all_[c]->rules.size())) return std::nullopt;
            for (const std::uint32_t rule : all_[c]->rules) blocks[rule / 64] |= std::uint64_t{1} << (rule % 64);
        }
        if (!spend(summaries_)) return std::nullopt;
        RuleIndex::Rows& rows = field_.rules;
        const std::size_t row = rows.summary.size();
        rows.summary.resize(row + summaries_);
        auto block = blocks.begin();
        for (std::size_t s = 0; s < summaries_; ++s) {
            rows.first.push_back(static_cast<std::uint32_t>(rows.words.size()));
            for (; block != blocks.end() && block->first / 64 == s; ++block) {
                rows.summary[row + s] |= std::uint64_t{1} << (block->first % 64);
                rows.words.push_back(block->second);
            }
        }
        return static_cast<std::uint32_t>(row / summaries_);
    }
    void make_whole() {
        const RuleIndex::Rows& rows = field_.rules;
        std::vector<std::uint64_t> whole;
        for (std::size_t row = 0; row < rows.summary.size(); ++row)
            whole.push_back(rows.any[0] | (rows.summary[row] != 0 ? rows.words[rows.first[row]] : 0));
        field_.rules = {};
        field_.rules.whole = std::move(whole);
    }
    void by_value() {
        std::vector<std::uint32_t> rows;
        for (std::size_t cell = 0; cell < field_.cells.size(); ++cell) {
            const std::size_t end = cell + 1 < field_.cells.size() ? std::size_t{field_.cells[cell + 1]} : 256;
            rows.resize(end, field_.rows[cell]);
        }
        field_.rows = std::move(rows);
        field_.cells.clear();
    }
    [[nodiscard]] bool spend(std::size_t work) {
        if (work > left_) return false;
        left_ -= work;
        return true;
    }

    static constexpr Value kLast = static_cast<Value>(~Value{0});
    std::size_t left_;
    std::size_t blocks_, summaries_ = 0;
    std::vector<std::uint64_t> asking_;
    std::vector<const Condition<Value>*> all_;
    std::map<std::vector<std::uint32_t>, std::uint32_t> known_;  // rows by the conditions that hold
    RuleIndex::Field<Value> field_;
};

/// Also what a range of IPv6 has of them, where they lie as mapped ones: ::/0 has all.
Ranges<std::uint32_t> ranges4(const AddressSet& set) {
    constexpr AddressRange kAll{};
    Ranges<std::uint32_t> ranges;
    for (const AddressRange& r : set) {
        const IpAddress first = std::max(r.first, kAll.first), last = std::min(r.last, kAll.last);
        if (first <= last) ranges.emplace_back(first.low.host(), last.low.host());
    }
    return ranges;
}
Ranges<RuleIndex::Wide> ranges6(const AddressSet& set) {
    Ranges<RuleIndex::Wide> ranges;
    for (const AddressRange& r : set)
        if (!r.first.is_v4() || !r.last.is_v4())
            ranges.emplace_back(RuleIndex::value_of(r.first), RuleIndex::value_of(r.last));
    return ranges;
}
Ranges<std::uint16_t> ranges_of(const PortSet& set) {
    Ranges<std::uint16_t> ranges;
    for (const PortRange& r : set) ranges.emplace_back(r.first, r.last);
    return ranges;
}
/// Each bit is a value: its number, or that bit alone.
Ranges<std::uint8_t> ranges_of(std::uint64_t mask, bool by_number) {
    Ranges<std::uint8_t> ranges;
    for (unsigned bit = 0; bit < (by_number ? 64U : 8U); ++bit) {
        if ((mask >> bit & 1) == 0) continue;
        const auto value = static_cast<std::uint8_t>(by_number ? bit : 1U << bit);
        ranges.emplace_back(value, value);
    }
    return ranges;
}

class IndexBuilder {
public:
    IndexBuilder(const std::vector<const MatchSpec*>& rules, const Policy& policy, std::size_t most_work)
        : rules_(rules), policy_(policy), most_work_(most_work) {}

    RuleIndex build() {
        RuleIndex index;
        index.rules = static_cast<std::uint32_t>(rules_.size());
        index.src4 = of_set<std::uint32_t>(&MatchSpec::src, policy_.address_sets, ranges4);
        index.dst4 = of_set<std::uint32_t>(&MatchSpec::dst, policy_.address_sets, ranges4);
        index.src6 = of_set<RuleIndex::Wide>(&MatchSpec::src, policy_.address_sets, ranges6);
        index.dst6 = of_set<RuleIndex::Wide>(&MatchSpec::dst, policy_.address_sets, ranges6);
        const auto ports = [](const PortSet& set) { return ranges_of(set); };
        index.sport = of_set<std::uint16_t>(&MatchSpec::sport, policy_.port_sets, ports);
        index.dport = of_set<std::uint16_t>(&MatchSpec::dport, policy_.port_sets, ports);
        index.proto = of<std::uint8_t>([](const MatchSpec& m, auto& add) {
            const auto proto = static_cast<std::uint8_t>(m.proto);
            if (m.proto >= 0) add({proto, false}).ranges = {{proto, proto}};
        });
        index.state = of<std::uint8_t>([](const MatchSpec& m, auto& add) {
            if (m.states != 0xff) add({m.states, false}).ranges = ranges_of(m.states, false);
        });
        index.in_port = of_mask(&MatchSpec::in_ports);
        index.out_port = of_mask(&MatchSpec::out_ports);
        return index;
    }

private:
    /// `conditions(rule's match, add)` calls add(what) when the rule asks for the field, and says what in the result.
    template <class Value, class Ask>
    RuleIndex::Field<Value> of(Ask&& ask) {
        Conditions<Value> conditions;
        for (std::uint32_t rule = 0; rule < rules_.size(); ++rule) {
            const auto add = [&](std::pair<std::uint64_t, bool> what) -> Condition<Value>& {
                Condition<Value>& c = conditions[what];
                c.negated = what.second;
                c.rules.push_back(rule);
                return c;
            };
            ask(*rules_[rule], add);
        }
        return FieldBuilder<Value>(static_cast<std::uint32_t>(rules_.size()), most_work_).build(conditions);
    }
    template <class Value, class Sets, class RangesOf>
    RuleIndex::Field<Value> of_set(SetMatch MatchSpec::*match, const Sets& sets, RangesOf&& ranges_of_set) {
        return of<Value>([&](const MatchSpec& m, auto& add) {
            const SetMatch& asked = m.*match;
            if (asked.set == kAnySet) return;
            Condition<Value>& c = add({asked.set, asked.negated});
            if (c.rules.size() == 1) c.ranges = ranges_of_set(sets[asked.set]);
        });
    }
    RuleIndex::Field<std::uint8_t> of_mask(std::uint64_t MatchSpec::*mask) {
        return of<std::uint8_t>([&](const MatchSpec& m, auto& add) {
            if (m.*mask != ~std::uint64_t{0}) add({m.*mask, false}).ranges = ranges_of(m.*mask, true);
        });
    }

    const std::vector<const MatchSpec*>& rules_;
    const Policy& policy_;
    std::size_t most_work_;
};

template <class Rules>
RuleIndex index_of(const Rules& rules, const Policy& policy) {
    std::vector<const MatchSpec*> matches;
    matches.reserve(rules.size());
    for (const auto& rule : rules) matches.push_back(&rule.match);
    return index_rules(matches, policy);
}

}  // namespace

RuleIndex index_rules(const std::vector<const MatchSpec*>& rules, const Policy& policy, std::size_t most_work) {
    if (rules.size() < kFewestIndexed) return {};
    return IndexBuilder(rules, policy, most_work).build();
}

void index_policy(Policy& policy) {
    for (FilterChain& chain : policy.filter) chain.index = index_of(chain.rules, policy);
    policy.dnat_index = index_of(policy.dnat, policy);
    policy.snat_index = index_of(policy.snat, policy);
}

}  // namespace sluice::compile

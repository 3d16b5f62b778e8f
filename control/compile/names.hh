// What control keeps beside a compiled policy: for each rule number its place, its text and its identity, and the text
// of log prefixes. Workers never see any of it.
//
// Life cycle: made together with the Policy by the compiler, then read by the control thread for as long as the policy
// may still be counted. Plain values.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "control/config/schema.hh"
#include "dataplane/policy/policy.hh"

namespace sluice {

enum class RuleKind : std::uint8_t { filter, snat, masquerade, dnat, chain_policy };

/// One rule as people know it.
struct RuleName {
    RuleKind kind = RuleKind::filter;
    Chain chain = Chain::input;  ///< for filter and chain_policy
    std::uint32_t number = 0;    ///< from 1, in its chain or in the list `nat`; 0 for a chain policy
    std::string text;            ///< "in lan out wan proto tcp dport web accept"
    std::string comment;         ///< as in the file
    std::uint64_t identity = 0;  ///< hash of what the rule does and where; never 0, unique in its policy
    std::uint64_t place = 0;     ///< NAT: hash of where alone, whatever the pool; unique in its policy
};

/// The texts of log prefixes by the id that log records carry. Records carry 8 bits and may arrive after a reload, so a
/// prefix keeps its id for as long as it is in use, and its text until the id is needed for another.
class LogPrefixes {
public:
    static constexpr std::size_t kMost = 256;

    /// Marks all ids as free for others, their texts kept: the start of the next policy.
    void next_policy() noexcept;
    /// The id of `text`; nothing when kMost others are in use.
    std::optional<std::uint8_t> intern(std::string_view text);
    /// Empty for an id that never was.
    [[nodiscard]] std::string_view text(std::uint8_t id) const noexcept;
    /// One more than the highest id handed out.
    [[nodiscard]] std::size_t size() const noexcept { return entries_.size(); }

private:
    struct Entry {
        std::string text;
        bool used = false;
    };
    std::vector<Entry> entries_;
};

/// Which gauge of live mappings a source NAT rule has, by its place: a rule whose pool a reload made another one has
/// the flows of both. A gauge is never another rule's: flows of a rule that a reload took out live on. When all are
/// given away, later rules go without.
using NatGauges = std::unordered_map<std::uint64_t, std::uint16_t>;

/// The ids of timeout policies by name: 1 to 255. A name keeps its id for as long as sluiced runs, since flows carry
/// ids.
using TimeoutIds = std::map<std::string, std::uint8_t, std::less<>>;

struct PolicyNames {
    std::vector<RuleName> rules;  ///< by rule number, rule_count of them
    LogPrefixes log_prefixes;
    NatGauges nat_gauges;
    TimeoutIds timeout_ids;
};

constexpr std::string_view name_of(Chain chain) noexcept {
    constexpr std::string_view kNames[]{"input", "forward", "output", "raw", "raw_output"};
    return kNames[static_cast<std::size_t>(chain)];
}

namespace compile {

/// One line, keys as in the file, groups and ports by name, the comment left out.
std::string text_of(const config::FilterRule& rule);
std::string text_of(const config::NatRule& rule);

RuleName name_rule(Chain chain, std::uint32_t number, const config::FilterRule& rule);
RuleName name_rule(std::uint32_t number, const config::NatRule& rule);
RuleName name_policy(Chain chain, config::ChainPolicy policy);

/// Rules that say the same twice get identities of their own, by their order.
void make_identities_unique(std::vector<RuleName>& rules);

}  // namespace compile
}  // namespace sluice

// Which families of addresses a rule is about. A rule may say it (`family`), and its addresses say it: a packet has
// one family, so a rule with an IPv4 address never matches an IPv6 packet, not even when the match is negated (as
// `ip saddr != …` of nftables). NAT targets say it too: an address is translated to one of its own family.
//
// Pure functions of the configuration; groups are looked through once.
#pragma once

#include <cstdint>
#include <map>
#include <string_view>
#include <vector>

#include "control/config/schema.hh"

namespace sluice::config {

/// A set of families.
enum class Families : std::uint8_t { none = 0, ip4 = 1, ip6 = 2, both = 3 };

constexpr Families operator&(Families a, Families b) noexcept {
    return static_cast<Families>(static_cast<unsigned>(a) & static_cast<unsigned>(b));
}
constexpr Families operator|(Families a, Families b) noexcept {
    return static_cast<Families>(static_cast<unsigned>(a) | static_cast<unsigned>(b));
}
constexpr Families families_of(const IpAddress& address) noexcept {
    return address.is_v4() ? Families::ip4 : Families::ip6;
}
constexpr Families families_of(Family family) noexcept {
    return family == Family::any ? Families::both : family == Family::ip4 ? Families::ip4 : Families::ip6;
}
/// "IPv4", "IPv6"; of one family.
constexpr std::string_view name_of(Families family) noexcept {
    return family == Families::ip4 ? "IPv4" : "IPv6";
}

/// One part of a rule that says of which families its packets are.
struct FamilyClue {
    std::string_view key;  ///< as in the file
    Families families = Families::both;
};

class FamilyIndex {
public:
    /// Keeps views of the names in `groups`, which must outlive it.
    explicit FamilyIndex(const Groups& groups);

    /// Those that the items have addresses of, groups followed; unknown names have none.
    [[nodiscard]] Families of(const std::vector<AddressItem>& items) const;

    /// All that the rule says, in the order of the keys. Parts that say nothing are left out.
    [[nodiscard]] std::vector<FamilyClue> clues(const FilterRule& rule) const;
    [[nodiscard]] std::vector<FamilyClue> clues(const NatRule& rule) const;

    /// What all clues allow.
    template <class Rule>
    [[nodiscard]] Families matched_by(const Rule& rule) const {
        Families families = Families::both;
        for (const FamilyClue& clue : clues(rule)) families = families & clue.families;
        return families;
    }

private:
    template <class Rule>
    [[nodiscard]] std::vector<FamilyClue> common_clues(const Rule& rule) const;

    std::map<std::string_view, Families> groups_;
};

}  // namespace sluice::config

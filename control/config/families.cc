#include "control/config/families.hh"

#include "dataplane/base/types.hh"

namespace sluice::config {

FamilyIndex::FamilyIndex(const Groups& groups) {
    // A group has what its own addresses are, and what the groups in it have. Whatever a group learns goes on to those
    // that name it; each can learn twice, so nesting of any depth, and in circles, is done with soon.
    std::map<std::string_view, std::vector<std::string_view>> named_by;
    std::vector<std::string_view> fresh;
    for (const AddressGroup& group : groups.addresses) {
        Families& own = groups_.emplace(group.name, Families::none).first->second;
        for (const AddressItem& item : group.items) {
            if (const auto* range = std::get_if<AddressRange>(&item)) {
                own = own | families_of(range->first);
            } else {
                named_by[std::get<std::string>(item)].push_back(group.name);
            }
        }
        if (own != Families::none) fresh.push_back(group.name);
    }
    while (!fresh.empty()) {
        const std::string_view name = fresh.back();
        fresh.pop_back();
        const auto users = named_by.find(name);
        if (users == named_by.end()) continue;
        for (const std::string_view user : users->second) {
            Families& known = groups_[user];
            const Families more = known | groups_[name];
            if (more == known) continue;
            known = more;
            fresh.push_back(user);
        }
    }
}

Families FamilyIndex::of(const std::vector<AddressItem>& items) const {
    Families families = Families::none;
    for (const AddressItem& item : items) {
        if (const auto* range = std::get_if<AddressRange>(&item)) {
            families = families | families_of(range->first);
        } else if (const auto group = groups_.find(std::get<std::string>(item)); group != groups_.end()) {
            families = families | group->second;
        }
    }
    return families;
}

template <class Rule>
std::vector<FamilyClue> FamilyIndex::common_clues(const Rule& rule) const {
    std::vector<FamilyClue> clues;
    const auto add = [&](std::string_view key, Families families) {
        // None at all: a group without addresses, or one that there is not, which is a mistake of its own.
        if (families != Families::both && families != Families::none) clues.push_back({key, families});
    };
    add("family", families_of(rule.family));
    add("src", of(rule.src.items));
    add("dst", of(rule.dst.items));
    return clues;
}

std::vector<FamilyClue> FamilyIndex::clues(const FilterRule& rule) const {
    auto clues = common_clues(rule);
    if (rule.icmp_type) {
        const bool v6 = rule.proto == static_cast<std::uint8_t>(IpProto::icmpv6);
        clues.push_back({"icmp_type", v6 ? Families::ip6 : Families::ip4});
    }
    return clues;
}

std::vector<FamilyClue> FamilyIndex::clues(const NatRule& rule) const {
    auto clues = common_clues(rule);
    const auto add = [&](std::string_view key, const auto& target) {
        const Families families = target.prefix ? Families::ip6 : of(target.to);
        if (families != Families::both && families != Families::none) clues.push_back({key, families});
    };
    if (const Snat* snat = std::get_if<Snat>(&rule.action)) add("snat", *snat);
    if (const Dnat* dnat = std::get_if<Dnat>(&rule.action)) add("dnat", *dnat);
    return clues;
}

}  // namespace sluice::config

#include "control/compile/sets.hh"

#include "control/compile/compile.hh"
#include "control/config/resolve.hh"
#include "dataplane/base/ip_text.hh"

namespace sluice::compile {
namespace {

std::string text_of(const AddressRange& range) {
    return to_string(range.first) + '-' + to_string(range.last);
}
std::string text_of(const PortRange& range) {
    return std::to_string(range.first) + '-' + std::to_string(range.last);
}

/// A key for the items as they are written; names cannot hold the separators.
template <class Item>
std::string key_of(const std::vector<Item>& items) {
    std::string key;
    for (const Item& item : items) {
        if (const auto* name = std::get_if<std::string>(&item)) {
            key += *name;
        } else {
            key += text_of(std::get<0>(item));
        }
        key += ' ';
    }
    return key;
}

template <class Index, class Sets, class Match, class Flatten>
SetMatch intern(Index& index, Sets& sets, const Match& match, const Flatten& flatten) {
    if (match.any()) return {};
    const auto [by_text, unseen] = index.by_text.try_emplace(key_of(match.items), kAnySet);
    if (unseen) {
        auto set = flatten(match.items);
        typename Index::Bounds bounds;
        bounds.reserve(set.size());
        for (const auto& range : set) bounds.emplace_back(range.first, range.last);
        const auto [by_bounds, fresh] = index.by_bounds.try_emplace(std::move(bounds), static_cast<SetId>(sets.size()));
        if (fresh) {
            if (sets.size() >= kAnySet) throw CompileError("more than 65535 different sets of addresses or ports");
            sets.push_back(std::move(set));
        }
        by_text->second = by_bounds->second;
    }
    return {by_text->second, match.negated};
}

}  // namespace

SetMatch SetInterner::addresses(const config::AddressMatch& match) {
    return intern(address_index_, address_sets_, match,
                  [&](const auto& items) { return config::flatten_addresses(groups_, items); });
}

SetMatch SetInterner::ports(const config::PortMatch& match) {
    return intern(port_index_, port_sets_, match,
                  [&](const auto& items) { return config::flatten_ports(groups_, items); });
}

std::int32_t SetInterner::icmp_type(std::uint8_t type) {
    const auto [at, fresh] = icmp_index_.try_emplace(type, static_cast<std::int32_t>(icmp_sets_.size()));
    if (fresh) icmp_sets_.emplace_back().set(type);
    return at->second;
}

void SetInterner::give_to(Policy& policy) && {
    policy.address_sets = std::move(address_sets_);
    policy.port_sets = std::move(port_sets_);
    policy.icmp_type_sets = std::move(icmp_sets_);
}

}  // namespace sluice::compile

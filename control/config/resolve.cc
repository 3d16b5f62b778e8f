#include "control/config/resolve.hh"

#include <algorithm>
#include <set>
#include <string>

namespace sluice::config {
namespace {

template <class Group>
const Group* find_group(const std::vector<Group>& groups, std::string_view name) {
    const auto found = std::find_if(groups.begin(), groups.end(), [&](const Group& g) { return g.name == name; });
    return found == groups.end() ? nullptr : &*found;
}

/// The literals in the order of the file. A group that is named twice counts where it comes first: groups that name
/// others many times over would else grow without bound. No recursion, for the same reason.
template <class Range, class Group, class Item>
std::vector<Range> expand(const std::vector<Group>& groups, const std::vector<Item>& items) {
    struct Open {
        const std::vector<Item>* items;
        std::size_t next = 0;
    };
    std::vector<Range> out;
    std::set<std::string_view> seen;
    std::vector<Open> open{{&items}};
    while (!open.empty()) {
        if (open.back().next == open.back().items->size()) {
            open.pop_back();
            continue;
        }
        const Item& item = (*open.back().items)[open.back().next++];
        if (const Range* range = std::get_if<Range>(&item)) {
            out.push_back(*range);
            continue;
        }
        const std::string& name = std::get<std::string>(item);
        if (!seen.insert(name).second) continue;
        if (const Group* group = find_group(groups, name)) open.push_back({&group->items});
    }
    return out;
}

/// `next(last)` is the value after `last`, as a number that cannot wrap.
template <class Range, class Next>
std::vector<Range> merge(std::vector<Range> ranges, Next next) {
    std::sort(ranges.begin(), ranges.end(), [](const Range& a, const Range& b) { return a.first < b.first; });
    std::vector<Range> out;
    for (const Range& range : ranges) {
        if (!out.empty() && next(out.back()) >= next({range.first, range.first}) - 1) {
            out.back().last = std::max(out.back().last, range.last);
        } else {
            out.push_back(range);
        }
    }
    return out;
}

}  // namespace

PortIndex port_index(const Config& config, std::string_view name) noexcept {
    for (std::size_t i = 0; i < config.ports.size() && i < kMaxPorts; ++i) {
        if (config.ports[i].name == name) return static_cast<PortIndex>(i);
    }
    return kNoPort;
}

std::vector<Ip4Range> expand_addresses(const Groups& groups, const std::vector<AddressItem>& items) {
    return expand<Ip4Range>(groups.addresses, items);
}

std::vector<Ip4Range> flatten_addresses(const Groups& groups, const std::vector<AddressItem>& items) {
    return merge(expand_addresses(groups, items),
                 [](const Ip4Range& range) { return std::uint64_t{range.last.host()} + 1; });
}

std::vector<PortRange> flatten_ports(const Groups& groups, const std::vector<PortItem>& items) {
    return merge(expand<PortRange>(groups.ports, items), [](const PortRange& range) { return range.last + 1U; });
}

}  // namespace sluice::config

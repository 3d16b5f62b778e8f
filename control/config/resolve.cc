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

/// `adjoin(a, b)`: nothing lies between the end of a and the beginning of b, which does not begin before a.
template <class Range, class Adjoin>
std::vector<Range> merge(std::vector<Range> ranges, Adjoin adjoin) {
    std::sort(ranges.begin(), ranges.end(), [](const Range& a, const Range& b) { return a.first < b.first; });
    std::vector<Range> out;
    for (const Range& range : ranges) {
        if (!out.empty() && adjoin(out.back(), range)) {
            out.back().last = std::max(out.back().last, range.last);
        } else {
            out.push_back(range);
        }
    }
    return out;
}

/// IPv4 addresses are values in the midst of IPv6's (ip_address.hh), but no part of a range of those: ::/0 is cut in
/// two.
std::vector<AddressRange> without_ip4_within(std::vector<AddressRange> ranges) {
    constexpr AddressRange kIp4{};
    constexpr IpAddress kBefore = IpAddress::from_host64(0, kIp4.first.lower64() - 1);
    constexpr IpAddress kAfter = IpAddress::from_host64(0, kIp4.last.lower64() + 1);
    const std::size_t count = ranges.size();
    for (std::size_t i = 0; i < count; ++i) {
        AddressRange& range = ranges[i];
        if (range.is_v4() || range.first > kIp4.first || range.last < kIp4.last) continue;
        const AddressRange after{kAfter, range.last};
        range.last = kBefore;
        ranges.push_back(after);
    }
    return ranges;
}

/// b is the address after a.
bool follows(const IpAddress& a, const IpAddress& b) noexcept {
    const std::uint64_t low = a.lower64() + 1;
    return b == IpAddress::from_host64(a.upper64() + (low == 0 ? 1 : 0), low);
}

}  // namespace

PortIndex port_index(const Config& config, std::string_view name) noexcept {
    for (std::size_t i = 0; i < config.ports.size() && i < kMaxPorts; ++i) {
        if (config.ports[i].name == name) return static_cast<PortIndex>(i);
    }
    return kNoPort;
}

std::vector<AddressRange> expand_addresses(const Groups& groups, const std::vector<AddressItem>& items) {
    return expand<AddressRange>(groups.addresses, items);
}

std::vector<AddressRange> flatten_addresses(const Groups& groups, const std::vector<AddressItem>& items) {
    return merge(without_ip4_within(expand_addresses(groups, items)), [](const AddressRange& a, const AddressRange& b) {
        return a.is_v4() == b.is_v4() && (b.first <= a.last || follows(a.last, b.first));
    });
}

std::vector<PortRange> flatten_ports(const Groups& groups, const std::vector<PortItem>& items) {
    return merge(expand<PortRange>(groups.ports, items),
                 [](const PortRange& a, const PortRange& b) { return b.first <= a.last + 1U; });
}

}  // namespace sluice::config

// Names in a loaded Config, looked up: ports to indices, groups to flat ranges. Only for a Config that load.hh returned
// (or one as well-formed): an unknown name is a programming error there and gives an empty result here.
#pragma once

#include <string_view>
#include <vector>

#include "control/config/schema.hh"

namespace sluice::config {

/// The position of the port in config.ports; kNoPort when there is none of that name.
PortIndex port_index(const Config& config, std::string_view name) noexcept;

/// The addresses of all items, groups followed, sorted, overlaps and neighbours merged. No range of IPv6 addresses goes
/// round those of IPv4.
std::vector<AddressRange> flatten_addresses(const Groups& groups, const std::vector<AddressItem>& items);

/// As written: groups followed, order and overlaps kept (pools and lists of targets take turns in this order).
std::vector<AddressRange> expand_addresses(const Groups& groups, const std::vector<AddressItem>& items);

/// The ports of all items, groups followed, sorted, overlaps and neighbours merged.
std::vector<PortRange> flatten_ports(const Groups& groups, const std::vector<PortItem>& items);

}  // namespace sluice::config

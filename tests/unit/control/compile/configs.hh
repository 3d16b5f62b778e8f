// Configurations made by hand, for tests of what becomes of them.
#pragma once

#include <string>
#include <vector>

#include "control/compile/compile.hh"
#include "control/config/schema.hh"

namespace sluice::test {

inline constexpr CompileTarget kOneWorker{1, 1U << 20, 1U << 16};

/// Ports lan (0, inside), wan (1, outside), dmz (2, VLAN 20 of wan); nothing else but defaults.
inline config::Config three_ports() {
    config::Config config;
    config.ports.resize(3);
    config.ports[0].name = config.ports[0].tap = "lan";
    config.ports[0].device = "net_null0";
    config.ports[1].name = config.ports[1].tap = "wan";
    config.ports[1].device = "net_null1";
    config.ports[1].role = PortRole::outside;
    config.ports[2].name = config.ports[2].tap = "dmz";
    config.ports[2].parent = "wan";
    config.ports[2].vlan = 20;
    return config;
}

inline config::AddressItem net(unsigned a, unsigned b, unsigned c, unsigned d, unsigned length) {
    const Ip4 first = ip4(a, b, c, d);
    return AddressRange{first, Ip4::from_host(first.host() | (length == 0 ? 0xffffffffU : (1U << (32 - length)) - 1U))};
}
/// 2001:db8::…, its last 16 bits.
constexpr IpAddress six(unsigned last) {
    return ip6(0x2001, 0xdb8, 0, 0, 0, 0, 0, last);
}
inline config::AddressItem net6(unsigned last, unsigned length) {
    return AddressRange::prefix(six(last), length);
}
inline config::AddressItem range(const IpAddress& first, const IpAddress& last) {
    return AddressRange{first, last};
}
inline config::AddressItem group(std::string name) {
    return name;
}
inline config::PortItem port(unsigned first, unsigned last = 0) {
    return PortRange{static_cast<std::uint16_t>(first), static_cast<std::uint16_t>(last == 0 ? first : last)};
}
inline config::PortItem port_group(std::string name) {
    return name;
}

template <class Change>
config::FilterRule filter_rule(Change change) {
    config::FilterRule rule;
    change(rule);
    return rule;
}
template <class Change>
config::NatRule nat_rule(Change change) {
    config::NatRule rule;
    change(rule);
    return rule;
}

}  // namespace sluice::test

// The small texts of a configuration - addresses, durations, ports, names - each to its typed value or to a sentence
// that says what is wrong. Pure: no YAML, no DPDK, no system call.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "control/config/schema.hh"
#include "dataplane/base/ip_text.hh"

namespace sluice::config {

/// A value, or why there is none.
template <class T>
struct Parsed {
    std::optional<T> value;
    std::string error;

    static Parsed good(T v) { return {std::move(v), {}}; }
    static Parsed bad(std::string why) { return {std::nullopt, std::move(why)}; }
};

/// In single quotes, for a message: control characters replaced, a long text cut.
std::string in_quotes(std::string_view text);

/// Decimal digits only.
Parsed<std::uint64_t> parse_number(std::string_view text, std::uint64_t min, std::uint64_t max);

/// true, false; also yes, no, on, off.
Parsed<bool> parse_bool(std::string_view text);

/// 30s, 5m, 2h, 5d or plain seconds; 1 s to 180 d.
Parsed<seconds> parse_duration(std::string_view text);

/// 192.0.2.1, 2001:db8::1.
Parsed<IpAddress> parse_address(std::string_view text);

/// 192.0.2.0/24, 2001:db8::/32, without host bits.
Parsed<InterfaceAddress> parse_network(std::string_view text);

/// 192.0.2.1/24, 2001:db8::1/64: a unicast address that the network can give to a host.
Parsed<InterfaceAddress> parse_interface_address(std::string_view text);

/// 192.0.2.1, 192.0.2.0/24, 192.0.2.1-192.0.2.9, the same of IPv6, or the name of a group.
Parsed<AddressItem> parse_address_item(std::string_view text);

/// 80 or 8000-8080.
Parsed<PortRange> parse_port_range(std::string_view text, std::uint16_t min = 0);

/// A port range or the name of a group.
Parsed<PortItem> parse_port_item(std::string_view text);

/// tcp, udp, icmp, icmpv6, igmp, gre, esp, ah, sctp, udplite or 0–255; nothing for any.
Parsed<std::optional<std::uint8_t>> parse_proto(std::string_view text);

/// The names of nftables, of ICMP or ICMPv6, or 0–255.
Parsed<std::uint8_t> parse_icmp_type(std::string_view text, bool v6);

/// 16, 0x10, 0x10/0xf0.
Parsed<MarkMatch> parse_mark_match(std::string_view text);

/// The same, or the name of the other mark (ct_mark, mark; empty: none) with or without a mask.
Parsed<MarkSet> parse_mark_set(std::string_view text, std::string_view other);

/// 1000 or 50%.
Parsed<FlowBudget> parse_flow_budget(std::string_view text);

Parsed<MacAddress> parse_mac(std::string_view text);

/// What a port or a group may be called: a letter, then up to 30 letters, digits, '_', '-' or '.'.
Parsed<std::string> parse_name(std::string_view text);

/// What the kernel takes for a device: 1–15 characters, no space, no '/'.
Parsed<std::string> parse_device_name(std::string_view text);

/// 127.0.0.1:9140, [::1]:9140.
Parsed<std::string> parse_endpoint(std::string_view text);

/// The other way, for messages and for printing.
std::string to_string(const InterfaceAddress& address);
/// As CIDR when it is one, a single address as such, else as a-b.
std::string to_string(const AddressRange& range);
std::string to_string(const PortRange& range);
/// Hexadecimal, with the mask unless it is whole; without the negation.
std::string to_string(const MarkMatch& match);
std::string to_string(const MarkSet& set, std::string_view other);
std::string to_string(const MacAddress& mac);
std::string to_string(const FlowBudget& budget);
/// Whole days, hours or minutes when it is that.
std::string to_string(seconds duration);
std::string proto_name(std::uint8_t proto);
std::string icmp_type_name(std::uint8_t type, bool v6);

/// Not unspecified, loopback, multicast or reserved.
bool is_unicast(const IpAddress& address) noexcept;
/// "IPv4", "IPv6".
std::string_view family_of(const IpAddress& address) noexcept;
/// The addresses of the network that `address` lies in.
AddressRange network_range(const InterfaceAddress& address) noexcept;

}  // namespace sluice::config

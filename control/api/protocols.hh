// Names of IP protocols and of connection states, as conntrack(8) spells them.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

namespace sluice::api {

/// What a listing prints for a protocol: "tcp", …, or "unknown" for those that Linux has no tracker for.
std::string_view protocol_name(std::uint8_t proto);
/// "tcp", "TCP", "6" or "0x6".
std::optional<std::uint8_t> parse_protocol(std::string_view text);
bool has_ports(std::uint8_t proto);
bool is_icmp(std::uint8_t proto);
/// Whether some tracker has a state of this name ("SYN_SENT", "ESTABLISHED", "COOKIE_WAIT", …).
bool is_state_name(std::string_view name);

/// A decimal number up to `max`, nothing else around it.
std::optional<std::uint64_t> parse_number(std::string_view text, std::uint64_t max);

/// A number as strtoul(3) has it: 0x in front is hexadecimal, any other 0 octal. Nothing else around it.
std::optional<std::uint32_t> parse_any_base(std::string_view text);

}  // namespace sluice::api

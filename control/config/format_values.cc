// Typed values as text: the reverse of parse_values.cc.
#include <algorithm>
#include <array>
#include <charconv>

#include "control/config/parse_values.hh"
#include "control/config/protocol_names.hh"

namespace sluice::config {
namespace {

constexpr IpAddress kLoopback6 = ip6(0, 0, 0, 0, 0, 0, 0, 1);

std::string hex(std::uint32_t value) {
    std::array<char, 8> digits{};
    const auto end = std::to_chars(digits.data(), digits.data() + digits.size(), value, 16).ptr;
    return "0x" + std::string(digits.data(), end);
}

std::string masked(std::string text, std::uint32_t mask) {
    if (mask != 0xffffffffU) text += '/' + hex(mask);
    return text;
}

}  // namespace

std::string in_quotes(std::string_view text) {
    constexpr std::size_t kLongest = 80;
    std::string shown = "'";
    for (const char c : text.substr(0, kLongest)) shown += static_cast<unsigned char>(c) < 0x20 || c == 0x7f ? '?' : c;
    return shown + (text.size() > kLongest ? "...'" : "'");
}

std::string to_string(const InterfaceAddress& address) {
    return to_string(address.address) + "/" + std::to_string(address.prefix_length);
}

std::string to_string(const AddressRange& range) {
    if (range.first == range.last) return to_string(range.first);
    for (unsigned length = 0; length < range.first.bits(); ++length) {
        if (AddressRange::prefix(range.first, length) == range)
            return to_string(InterfaceAddress{range.first, static_cast<std::uint8_t>(length)});
    }
    return to_string(range.first) + "-" + to_string(range.last);
}

std::string to_string(const PortRange& range) {
    if (range.first == range.last) return std::to_string(range.first);
    return std::to_string(range.first) + "-" + std::to_string(range.last);
}

std::string to_string(const MarkMatch& match) {
    return masked(hex(match.value), match.mask);
}
std::string to_string(const MarkSet& set, std::string_view other) {
    return masked(set.copy ? std::string{other} : hex(set.value), set.mask);
}
std::string to_string(const FlowBudget& budget) {
    return std::to_string(budget.value) + (budget.percent ? "%" : "");
}
std::string to_string(const MacAddress& mac) {
    constexpr std::string_view kHex = "0123456789abcdef";
    std::string text;
    for (const std::uint8_t byte : mac.bytes) {
        if (!text.empty()) text += ':';
        text += kHex[byte >> 4];
        text += kHex[byte & 15];
    }
    return text;
}

std::string to_string(seconds duration) {
    const auto count = duration.count();
    if (count != 0 && count % 86400 == 0) return std::to_string(count / 86400) + "d";
    if (count != 0 && count % 3600 == 0) return std::to_string(count / 3600) + "h";
    if (count != 0 && count % 60 == 0) return std::to_string(count / 60) + "m";
    return std::to_string(count) + "s";
}

std::string proto_name(std::uint8_t proto) {
    for (const auto& protocol : kProtocols) {
        if (protocol.value == proto) return std::string{protocol.name};
    }
    return std::to_string(proto);
}

std::string icmp_type_name(std::uint8_t type, bool v6) {
    const std::span<const NamedNumber> types = icmp_types(v6);
    const auto known = std::ranges::find(types, type, &NamedNumber::value);
    return known == types.end() ? std::to_string(type) : std::string{known->name};
}

std::string_view family_of(const IpAddress& address) noexcept {
    return address.is_v4() ? "IPv4" : "IPv6";
}

bool is_unicast(const IpAddress& address) noexcept {
    if (!address.is_v4()) return !address.is_multicast() && !address.is_none() && address != kLoopback6;
    const std::uint32_t first = address.v4().host() >> 24;
    return first != 0 && first != 127 && first < 224;
}

AddressRange network_range(const InterfaceAddress& address) noexcept {
    return AddressRange::prefix(address.address, address.prefix_length);
}

}  // namespace sluice::config

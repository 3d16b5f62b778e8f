#include "control/config/parse_values.hh"

#include <algorithm>
#include <arpa/inet.h>
#include <array>
#include <cctype>
#include <charconv>

#include "control/config/protocol_names.hh"

namespace sluice::config {
namespace {

constexpr seconds kMaxDuration = std::chrono::hours{24 * 180};

bool is_digit(char c) {
    return c >= '0' && c <= '9';
}
bool is_letter(char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

bool all_digits(std::string_view text) {
    return !text.empty() && std::all_of(text.begin(), text.end(), is_digit);
}

/// Digits that fit 64 bits.
std::optional<std::uint64_t> digits(std::string_view text) {
    std::uint64_t value = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (!all_digits(text) || error != std::errc{} || end != text.data() + text.size()) return std::nullopt;
    return value;
}

/// Names have no colon, and IPv4 addresses neither.
bool looks_like_ipv6(std::string_view text) {
    return text.find(':') != std::string_view::npos;
}

/// Decimal, or hexadecimal with 0x, in 32 bits.
std::optional<std::uint32_t> word32(std::string_view text) {
    const bool hex = text.starts_with("0x") || text.starts_with("0X");
    if (hex) text.remove_prefix(2);
    std::uint32_t value = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value, hex ? 16 : 10);
    if (text.empty() || error != std::errc{} || end != text.data() + text.size()) return std::nullopt;
    return value;
}

/// VALUE or VALUE/MASK; `take` says whether it could make something of the value.
template <class T, class Take>
Parsed<T> parse_masked(std::string_view text, std::string_view wanted, T out, Take take) {
    const std::size_t slash = text.find('/');
    if (!take(text.substr(0, slash), out)) {
        return Parsed<T>::bad("expected " + std::string{wanted} + ", found " + in_quotes(text));
    }
    out.mask = 0xffffffffU;
    if (slash != std::string_view::npos) {
        const auto mask = word32(text.substr(slash + 1));
        if (!mask) return Parsed<T>::bad("the mask of " + in_quotes(text) + " is not a number of 32 bits");
        if (*mask == 0) return Parsed<T>::bad("the mask of " + in_quotes(text) + " has no bit");
        out.mask = *mask;
    }
    if ((out.value & ~out.mask) != 0) return Parsed<T>::bad(in_quotes(text) + " has bits outside of its mask");
    return Parsed<T>::good(out);
}

/// Address and length, host bits allowed.
Parsed<InterfaceAddress> parse_prefix(std::string_view text) {
    using Result = Parsed<InterfaceAddress>;
    const std::size_t slash = text.find('/');
    const auto address = parse_address(text.substr(0, slash));
    if (slash == std::string_view::npos) {
        const bool v6 = address.value ? !address.value->is_v4() : looks_like_ipv6(text);
        return Result::bad(in_quotes(text) + " has no prefix length: write it as " +
                           (v6 ? "2001:db8::1/64" : "192.0.2.1/24"));
    }
    if (!address.value) return Result::bad(address.error);
    const auto length = digits(text.substr(slash + 1));
    const unsigned longest = address.value->bits();
    if (!length || *length > longest) {
        return Result::bad("the prefix length of " + in_quotes(text) + " is not 0.." + std::to_string(longest));
    }
    return Result::good({*address.value, static_cast<std::uint8_t>(*length)});
}

Parsed<IpAddress> parse_ipv6(std::string_view text) {
    using Result = Parsed<IpAddress>;
    if (text.front() == '[') {
        return Result::bad(in_quotes(text) + " is not an address: brackets and ports are not part of it");
    }
    if (text.find('%') != std::string_view::npos) {
        return Result::bad(in_quotes(text) + " names a link: write the address alone, and the port by its own key");
    }
    in6_addr address{};
    if (inet_pton(AF_INET6, std::string{text}.c_str(), &address) != 1) {
        return Result::bad(in_quotes(text) + " is not an IPv6 address");
    }
    const IpAddress value = IpAddress::from_bytes(&address);
    if (value.is_v4()) {
        return Result::bad(in_quotes(text) + " is an IPv4 address: write it as " + to_string(value));
    }
    return Result::good(value);
}

}  // namespace

Parsed<std::uint64_t> parse_number(std::string_view text, std::uint64_t min, std::uint64_t max) {
    using Result = Parsed<std::uint64_t>;
    const bool negative = text.size() > 1 && text.front() == '-' && all_digits(text.substr(1));
    if (!negative && !all_digits(text)) return Result::bad("expected a number, found " + in_quotes(text));
    const auto value = negative ? std::nullopt : digits(text);
    if (!value || *value < min || *value > max) {
        return Result::bad(std::string{text} + " is out of range " + std::to_string(min) + ".." + std::to_string(max));
    }
    return Result::good(*value);
}

Parsed<bool> parse_bool(std::string_view text) {
    if (text == "true" || text == "yes" || text == "on") return Parsed<bool>::good(true);
    if (text == "false" || text == "no" || text == "off") return Parsed<bool>::good(false);
    return Parsed<bool>::bad("expected true or false, found " + in_quotes(text));
}

Parsed<seconds> parse_duration(std::string_view text) {
    using Result = Parsed<seconds>;
    std::string_view number = text;
    std::uint64_t unit = 1;
    if (!text.empty() && !is_digit(text.back())) {
        switch (text.back()) {
            case 's':
                unit = 1;
                break;
            case 'm':
                unit = 60;
                break;
            case 'h':
                unit = 3600;
                break;
            case 'd':
                unit = 86400;
                break;
            default:
                unit = 0;
                break;
        }
        number.remove_suffix(1);
    }
    if (unit == 0 || !all_digits(number)) {
        return Result::bad("expected a duration such as 30s, 5m, 2h or 5d, found " + in_quotes(text));
    }
    const auto count = digits(number);
    const auto longest = static_cast<std::uint64_t>(kMaxDuration.count());
    if (!count || *count < 1 || *count > longest / unit) {
        return Result::bad(std::string{text} + " is out of range 1s..180d");
    }
    return Result::good(seconds{static_cast<seconds::rep>(*count * unit)});
}

Parsed<IpAddress> parse_address(std::string_view text) {
    using Result = Parsed<IpAddress>;
    const bool cut = text.find('\0') != std::string_view::npos;  // c_str() would end there
    if (!cut && looks_like_ipv6(text)) return parse_ipv6(text);
    in_addr address{};
    if (cut || inet_pton(AF_INET, std::string{text}.c_str(), &address) != 1) {
        return Result::bad(in_quotes(text) + " is not an IP address");
    }
    return Result::good(Ip4::from_raw(address.s_addr));
}

Parsed<InterfaceAddress> parse_network(std::string_view text) {
    auto prefix = parse_prefix(text);
    if (!prefix.value) return prefix;
    const IpAddress first = network_range(*prefix.value).first;
    if (first != prefix.value->address) {
        return Parsed<InterfaceAddress>::bad(in_quotes(text) + " has host bits set: did you mean " +
                                             to_string(InterfaceAddress{first, prefix.value->prefix_length}) + "?");
    }
    return prefix;
}

Parsed<InterfaceAddress> parse_interface_address(std::string_view text) {
    using Result = Parsed<InterfaceAddress>;
    auto prefix = parse_prefix(text);
    if (!prefix.value) return prefix;
    const InterfaceAddress& value = *prefix.value;
    const bool v4 = value.address.is_v4();
    if (!is_unicast(value.address)) return Result::bad(in_quotes(text) + " is not a unicast address");
    if (value.prefix_length == 0) {
        return Result::bad("the prefix length of " + in_quotes(text) + " is not 1.." + (v4 ? "32" : "128"));
    }
    if (!v4 && value.address.is_link_local()) {
        return Result::bad(in_quotes(text) + " is an address of the link, which each port has by itself");
    }
    const AddressRange range = network_range(value);
    // RFC 3021, RFC 6164: of two addresses both are for hosts.
    if (value.prefix_length + 1U < value.address.bits() && value.address == range.first) {
        return Result::bad(in_quotes(text) + (v4 ? " is the address of the network, not of a host in it"
                                                 : " is that of any router of the network (RFC 4291), not of a host"));
    }
    if (v4 && value.prefix_length < 31 && value.address == range.last) {
        return Result::bad(in_quotes(text) + " is the broadcast address of its network");
    }
    return prefix;
}

Parsed<AddressItem> parse_address_item(std::string_view text) {
    using Result = Parsed<AddressItem>;
    if (text.empty() || (!is_digit(text.front()) && !looks_like_ipv6(text))) {
        const auto name = parse_name(text);
        if (!name.value) return Result::bad(in_quotes(text) + " is neither an address nor the name of a group");
        return Result::good(AddressItem{*name.value});
    }
    if (text.find('/') != std::string_view::npos) {
        const auto network = parse_network(text);
        if (!network.value) return Result::bad(network.error);
        return Result::good(AddressItem{network_range(*network.value)});
    }
    const std::size_t dash = text.find('-');
    const auto first = parse_address(text.substr(0, dash));
    if (!first.value) return Result::bad(first.error);
    if (dash == std::string_view::npos) return Result::good(AddressItem{AddressRange{*first.value, *first.value}});
    const auto last = parse_address(text.substr(dash + 1));
    if (!last.value) return Result::bad(last.error);
    if (first.value->is_v4() != last.value->is_v4()) {
        return Result::bad("the range " + in_quotes(text) + " begins with an address of " +
                           std::string{family_of(*first.value)} + " and ends with one of " +
                           std::string{family_of(*last.value)});
    }
    if (*last.value < *first.value) return Result::bad("the range " + in_quotes(text) + " runs backwards");
    return Result::good(AddressItem{AddressRange{*first.value, *last.value}});
}

Parsed<PortRange> parse_port_range(std::string_view text, std::uint16_t min) {
    using Result = Parsed<PortRange>;
    const std::size_t dash = text.empty() ? std::string_view::npos : text.find('-', 1);
    const auto first = parse_number(text.substr(0, dash), min, 65535);
    if (!first.value) return Result::bad(first.error);
    const auto last = dash == std::string_view::npos ? first : parse_number(text.substr(dash + 1), min, 65535);
    if (!last.value) return Result::bad(last.error);
    if (*last.value < *first.value) return Result::bad("the range " + in_quotes(text) + " runs backwards");
    return Result::good({static_cast<std::uint16_t>(*first.value), static_cast<std::uint16_t>(*last.value)});
}

Parsed<PortItem> parse_port_item(std::string_view text) {
    using Result = Parsed<PortItem>;
    if (!text.empty() && (is_digit(text.front()) || text.front() == '-')) {
        const auto range = parse_port_range(text);
        return range.value ? Result::good(PortItem{*range.value}) : Result::bad(range.error);
    }
    const auto name = parse_name(text);
    if (!name.value) return Result::bad(in_quotes(text) + " is neither a port, a range nor the name of a group");
    return Result::good(PortItem{*name.value});
}

Parsed<std::optional<std::uint8_t>> parse_proto(std::string_view text) {
    using Result = Parsed<std::optional<std::uint8_t>>;
    if (text == "any") return Result::good(std::nullopt);
    for (const auto& protocol : kProtocols) {
        if (protocol.name == text) return Result::good(protocol.value);
    }
    if (!text.empty() && (is_digit(text.front()) || text.front() == '-')) {
        const auto number = parse_number(text, 0, 255);
        if (!number.value) return Result::bad(number.error);
        return Result::good(static_cast<std::uint8_t>(*number.value));
    }
    return Result::bad("unknown protocol " + in_quotes(text) +
                       ": one of tcp, udp, icmp, icmpv6, igmp, gre, esp, ah, sctp, udplite, any, or a number 0..255");
}

Parsed<std::uint8_t> parse_icmp_type(std::string_view text, bool v6) {
    using Result = Parsed<std::uint8_t>;
    const std::span<const NamedNumber> types = icmp_types(v6);
    const auto named = std::ranges::find(types, text, &NamedNumber::name);
    if (named != types.end()) return Result::good(named->value);
    if (!text.empty() && (is_digit(text.front()) || text.front() == '-')) {
        const auto number = parse_number(text, 0, 255);
        if (!number.value) return Result::bad(number.error);
        return Result::good(static_cast<std::uint8_t>(*number.value));
    }
    return Result::bad(std::string{v6 ? "unknown ICMPv6 type " : "unknown ICMP type "} + in_quotes(text) +
                       ": a name as in nft (echo-request, ...) or a number 0..255");
}

Parsed<MarkMatch> parse_mark_match(std::string_view text) {
    return parse_masked(text, "a mark (16, 0x10 or 0x10/0xf0)", MarkMatch{}, [](std::string_view word, MarkMatch& out) {
        const auto value = word32(word);
        out.value = value.value_or(0);
        return value.has_value();
    });
}

Parsed<MarkSet> parse_mark_set(std::string_view text, std::string_view other) {
    std::string wanted = "a mark (16, 0x10 or 0x10/0xf0)";
    if (!other.empty()) wanted += " or " + std::string{other};
    return parse_masked(text, wanted, MarkSet{}, [&](std::string_view word, MarkSet& out) {
        const auto value = word32(word);
        out.value = value.value_or(0);
        out.copy = !other.empty() && word == other;
        return value.has_value() || out.copy;
    });
}

Parsed<FlowBudget> parse_flow_budget(std::string_view text) {
    using Result = Parsed<FlowBudget>;
    const bool percent = text.ends_with('%');
    const std::string_view number = percent ? text.substr(0, text.size() - 1) : text;
    if (!all_digits(number))
        return Result::bad("expected a number of flows or a share (50%), found " + in_quotes(text));
    const auto value = percent ? parse_number(number, 1, 100) : parse_number(number, 1, kMostFlows);
    if (!value.value) return Result::bad(value.error);
    return Result::good({static_cast<std::uint32_t>(*value.value), percent});
}

Parsed<MacAddress> parse_mac(std::string_view text) {
    using Result = Parsed<MacAddress>;
    const auto wrong = [&] { return Result::bad(in_quotes(text) + " is not a MAC address such as 02:00:00:00:00:01"); };
    if (text.size() != 17) return wrong();
    MacAddress mac;
    for (std::size_t i = 0; i < mac.bytes.size(); ++i) {
        const char* at = text.data() + 3 * i;
        const auto [end, error] = std::from_chars(at, at + 2, mac.bytes[i], 16);
        if (error != std::errc{} || end != at + 2 || (i < 5 && at[2] != ':')) return wrong();
    }
    if (mac.is_group() || mac.is_zero()) return Result::bad(in_quotes(text) + " is not the MAC address of one station");
    return Result::good(mac);
}

Parsed<std::string> parse_name(std::string_view text) {
    using Result = Parsed<std::string>;
    const auto allowed = [](char c) { return is_letter(c) || is_digit(c) || c == '_' || c == '-' || c == '.'; };
    if (text.empty() || text.size() > 31 || !is_letter(text.front()) ||
        !std::all_of(text.begin(), text.end(), allowed)) {
        return Result::bad(in_quotes(text) +
                           " is not a name: a letter, then up to 30 letters, digits, '_', '-' or '.'");
    }
    for (const std::string_view reserved : {"any", "kernel", "masquerade"}) {
        if (text == reserved) return Result::bad(in_quotes(text) + " is reserved and cannot be a name");
    }
    return Result::good(std::string{text});
}

Parsed<std::string> parse_device_name(std::string_view text) {
    using Result = Parsed<std::string>;
    const auto allowed = [](char c) { return c > ' ' && c < 0x7f && c != '/' && c != ':' && c != '%'; };
    if (text.empty() || text.size() > 15 || text == "." || text == ".." ||
        !std::all_of(text.begin(), text.end(), allowed)) {
        return Result::bad(in_quotes(text) + " is not a device name: 1..15 characters, no space, '/', ':' or '%'");
    }
    return Result::good(std::string{text});
}

Parsed<std::string> parse_endpoint(std::string_view text) {
    using Result = Parsed<std::string>;
    const std::size_t colon = text.rfind(':');
    if (colon == std::string_view::npos) return Result::bad(in_quotes(text) + " is not address:port");
    std::string_view host = text.substr(0, colon);
    const bool in_brackets = host.starts_with('[') && host.ends_with(']');
    if (in_brackets) host = host.substr(1, host.size() - 2);
    if (looks_like_ipv6(host) && !in_brackets) {
        return Result::bad(in_quotes(text) + " is not address:port: an IPv6 address stands in brackets, [::1]:9140");
    }
    const auto address = parse_address(host);
    if (!address.value) return Result::bad(address.error);
    if (in_brackets && address.value->is_v4()) return Result::bad(in_quotes(text) + " is not address:port");
    const auto port = parse_number(text.substr(colon + 1), 1, 65535);
    if (!port.value) return Result::bad(port.error);
    return Result::good(std::string{text});
}

}  // namespace sluice::config

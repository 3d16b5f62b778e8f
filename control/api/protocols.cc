// Tables behind protocols.hh. Listing names follow libnetfilter_conntrack; the filter also knows names of protocols
// that only the generic tracker handles.
#include "control/api/protocols.hh"

#include <algorithm>
#include <array>
#include <charconv>

namespace sluice::api {
namespace {

struct Protocol {
    std::uint8_t number;
    std::string_view name;
    bool tracked;  ///< Linux has a tracker, so a listing shows the name
    bool ports;
};

constexpr auto kProtocols = std::to_array<Protocol>({
    {1, "icmp", true, false},
    {2, "igmp", false, false},
    {6, "tcp", true, true},
    {17, "udp", true, true},
    {33, "dccp", true, true},
    {41, "ipv6", false, false},
    {47, "gre", true, false},
    {50, "esp", false, false},
    {51, "ah", false, false},
    {58, "icmpv6", true, false},
    {89, "ospf", false, false},
    {112, "vrrp", false, false},
    {132, "sctp", true, true},
    {136, "udplite", true, true},
});

constexpr auto kStates = std::to_array<std::string_view>(
    {"NONE", "SYN_SENT", "SYN_RECV", "ESTABLISHED", "FIN_WAIT", "CLOSE_WAIT", "LAST_ACK", "TIME_WAIT", "CLOSE",
     "SYN_SENT2", "LISTEN", "CLOSED", "COOKIE_WAIT", "COOKIE_ECHOED", "SHUTDOWN_SENT", "SHUTDOWN_RECD",
     "SHUTDOWN_ACK_SENT", "HEARTBEAT_SENT", "HEARTBEAT_ACKED"});

const Protocol* find(std::uint8_t number) {
    const auto* found = std::ranges::find(kProtocols, number, &Protocol::number);
    return found == kProtocols.end() ? nullptr : found;
}

char lower(char c) {
    return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
}

}  // namespace

std::string_view protocol_name(std::uint8_t proto) {
    const Protocol* known = find(proto);
    return known != nullptr && known->tracked ? known->name : "unknown";
}

std::optional<std::uint8_t> parse_protocol(std::string_view text) {
    for (const Protocol& known : kProtocols)
        if (std::ranges::equal(text, known.name, {}, lower)) return known.number;
    if (const auto number = parse_number(text, 255)) return static_cast<std::uint8_t>(*number);
    return std::nullopt;
}

bool has_ports(std::uint8_t proto) {
    const Protocol* known = find(proto);
    return known != nullptr && known->ports;
}

bool is_icmp(std::uint8_t proto) {
    return proto == 1 || proto == 58;
}

bool is_state_name(std::string_view name) {
    return std::ranges::find(kStates, name) != kStates.end();
}

std::optional<std::uint64_t> parse_number(std::string_view text, std::uint64_t max) {
    std::uint64_t value = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (error != std::errc{} || end != text.data() + text.size() || text.empty() || value > max) return std::nullopt;
    return value;
}

}  // namespace sluice::api

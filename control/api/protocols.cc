// Tables behind protocols.hh. Listing names follow libnetfilter_conntrack; the filter also knows names of protocols
// that only the generic tracker handles.
#include "control/api/protocols.hh"

#include <algorithm>
#include <array>
#include <charconv>

#include "dataplane/l4/trackers.hh"

namespace sluice::api {
namespace {

/// Protocols without a tracker of their own here.
struct Protocol {
    std::uint8_t number;
    std::string_view name;
    bool tracked;  ///< Linux has a tracker, so a listing shows the name
    bool ports;
};

constexpr auto kProtocols = std::to_array<Protocol>({
    {2, "igmp", false, false},
    {33, "dccp", true, true},
    {41, "ipv6", false, false},
    {50, "esp", false, false},
    {51, "ah", false, false},
    {89, "ospf", false, false},
    {112, "vrrp", false, false},
});

/// Names of states that conntrack(8) knows and no flow is in.
constexpr auto kFormerStates = std::to_array<std::string_view>({"LISTEN", "HEARTBEAT_ACKED"});

const Protocol* find(std::uint8_t number) {
    const auto* found = std::ranges::find(kProtocols, number, &Protocol::number);
    return found == kProtocols.end() ? nullptr : found;
}

/// By number alone: ICMPv6's is taken for ICMPv6 and ICMP's for ICMP also where the other family carries it, as
/// conntrack(8) has it.
L4Kind kind_of(std::uint8_t proto) {
    return l4_kind(proto, proto == static_cast<std::uint8_t>(IpProto::icmpv6));
}

/// A tracker may exist without Linux having one: then a listing shows the flow as Linux does.
bool tracked_by_name(std::uint8_t proto) {
    return name_of(kind_of(proto)) != name_of(L4Kind::generic);
}

char lower(char c) {
    return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
}

}  // namespace

std::string_view protocol_name(std::uint8_t proto) {
    if (tracked_by_name(proto)) return name_of(kind_of(proto));
    const Protocol* known = find(proto);
    return known != nullptr && known->tracked ? known->name : "unknown";
}

std::optional<std::uint8_t> parse_protocol(std::string_view text) {
    for (std::uint8_t number = 1; number != 0; ++number)
        if (tracked_by_name(number) && std::ranges::equal(text, name_of(kind_of(number)), {}, lower)) return number;
    for (const Protocol& known : kProtocols)
        if (std::ranges::equal(text, known.name, {}, lower)) return known.number;
    if (std::ranges::equal(text, std::string_view("ipv6-icmp"), {}, lower)) return parse_protocol("icmpv6");
    if (const auto number = parse_number(text, 255)) return static_cast<std::uint8_t>(*number);
    return std::nullopt;
}

bool has_ports(std::uint8_t proto) {
    if (shape_of(kind_of(proto)) == TupleShape::ports) return true;
    const Protocol* known = find(proto);
    return known != nullptr && known->ports;
}

bool is_icmp(std::uint8_t proto) {
    return proto == 1 || proto == 58;
}

bool is_state_name(std::string_view name) {
    const auto has = [&](const auto& names) { return std::ranges::find(names, name) != names.end(); };
    return has(kFormerStates) || std::ranges::any_of(kTrackers, [&](const Tracker& t) { return has(t.states); });
}

std::optional<std::uint64_t> parse_number(std::string_view text, std::uint64_t max) {
    std::uint64_t value = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (error != std::errc{} || end != text.data() + text.size() || text.empty() || value > max) return std::nullopt;
    return value;
}

}  // namespace sluice::api

// Tables behind protocols.hh. Listing names follow libnetfilter_conntrack; the filter also knows names of protocols
// that only the generic tracker handles.
#include "control/api/protocols.hh"

#include <algorithm>
#include <array>
#include <charconv>

#include "dataplane/l4/trackers.hh"

namespace sluice::api {
namespace {

/// Names without a tracker behind them, as /etc/protocols has them: listings do not show them.
struct Protocol {
    std::uint8_t number;
    std::string_view name;
};

constexpr auto kProtocols = std::to_array<Protocol>({
    {0, "ip"},
    {2, "igmp"},
    {4, "ipencap"},
    {33, "dccp"},
    {41, "ipv6"},
    {50, "esp"},
    {51, "ah"},
    {88, "eigrp"},
    {89, "ospf"},
    {94, "ipip"},
    {97, "etherip"},
    {103, "pim"},
    {108, "ipcomp"},
    {112, "vrrp"},
    {115, "l2tp"},
});

/// Names of states that conntrack(8) knows and no flow is in.
constexpr auto kFormerStates = std::to_array<std::string_view>({"LISTEN", "HEARTBEAT_ACKED"});

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
    return tracked_by_name(proto) ? name_of(kind_of(proto)) : "unknown";
}

std::optional<std::uint8_t> parse_protocol(std::string_view text) {
    for (std::uint8_t number = 1; number != 0; ++number)
        if (tracked_by_name(number) && std::ranges::equal(text, name_of(kind_of(number)), {}, lower)) return number;
    for (const Protocol& known : kProtocols)
        if (std::ranges::equal(text, known.name, {}, lower)) return known.number;
    if (std::ranges::equal(text, std::string_view("ipv6-icmp"), {}, lower)) return parse_protocol("icmpv6");
    const auto number = parse_any_base(text);
    if (!number || *number > 255) return std::nullopt;
    return static_cast<std::uint8_t>(*number);
}

bool has_ports(std::uint8_t proto) {
    return shape_of(kind_of(proto)) == TupleShape::ports;
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

std::optional<std::uint32_t> parse_any_base(std::string_view text) {
    int base = 10;
    if (text.starts_with("0x") || text.starts_with("0X")) {
        text.remove_prefix(2);
        base = 16;
    } else if (text.starts_with('0')) {
        base = 8;
    }
    std::uint32_t value = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value, base);
    if (text.empty() || error != std::errc{} || end != text.data() + text.size()) return std::nullopt;
    return value;
}

}  // namespace sluice::api

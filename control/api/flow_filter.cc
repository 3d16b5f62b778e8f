// Matching and parsing of FlowFilter. A parameter that is unknown, doubled or malformed is an error: a filter that was
// misread must never widen a deletion.
#include "control/api/flow_filter.hh"

#include <algorithm>
#include <array>
#include <set>

#include <boost/asio/ip/network_v4.hpp>
#include <boost/asio/ip/network_v6.hpp>

#include "control/api/protocols.hh"

namespace sluice::api {
namespace {

namespace ip = boost::asio::ip;

/// A setter answers the empty string, or what the value should have been.
using Setter = std::string (*)(FlowFilter&, const std::string&);

template <auto Member>
std::string set_address(FlowFilter& filter, const std::string& text) {
    filter.*Member = AddressMatch::parse(text);
    return (filter.*Member).has_value() ? "" : "an address or prefix";
}

template <auto Member>
std::string set_port(FlowFilter& filter, const std::string& text) {
    const auto number = parse_number(text, 65535);
    if (!number) return "a port (0-65535)";
    filter.*Member = static_cast<std::uint16_t>(*number);
    return "";
}

template <auto Member>
std::string set_byte(FlowFilter& filter, const std::string& text) {
    const auto number = parse_number(text, 255);
    if (!number) return "a number from 0 to 255";
    filter.*Member = static_cast<std::uint8_t>(*number);
    return "";
}

template <auto Member>
std::string set_u16(FlowFilter& filter, const std::string& text) {
    const auto number = parse_number(text, 65535);
    if (!number) return "a number from 0 to 65535";
    filter.*Member = static_cast<std::uint16_t>(*number);
    return "";
}

/// "", "any", ADDRESS, ADDRESS:PORT, [ADDRESS]:PORT or :PORT.
template <auto Member>
std::string set_nat(FlowFilter& filter, const std::string& text) {
    FlowFilter::Nat& nat = filter.*Member;
    nat.wanted = true;
    if (text.empty() || text == "any") return "";
    constexpr const char* kWanted = "an address, a prefix, an address with a port, or 'any'";
    nat.to = AddressMatch::parse(text);
    if (nat.to) return "";
    const auto colon = text.rfind(':');
    if (colon == std::string::npos) return kWanted;
    const auto port = parse_number(std::string_view(text).substr(colon + 1), 65535);
    if (!port) return kWanted;
    nat.port = static_cast<std::uint16_t>(*port);
    std::string_view address = std::string_view(text).substr(0, colon);
    if (address.empty()) return "";
    if (address.starts_with('[') && address.ends_with(']')) address = address.substr(1, address.size() - 2);
    nat.to = AddressMatch::parse(address);
    return nat.to ? "" : kWanted;
}

std::string set_proto(FlowFilter& filter, const std::string& text) {
    filter.proto = parse_protocol(text);
    return filter.proto ? "" : "a protocol (tcp, udp, icmp, …, or 0-255)";
}

std::string set_family(FlowFilter& filter, const std::string& text) {
    if (text != "ipv4" && text != "ipv6") return "ipv4 or ipv6";
    filter.v6 = text == "ipv6";
    return "";
}

std::string set_state(FlowFilter& filter, const std::string& text) {
    if (!is_state_name(text)) return "a state (SYN_SENT, ESTABLISHED, TIME_WAIT, …)";
    filter.state = text;
    return "";
}

/// Case does not count, as in conntrack(8). FIXED_TIMEOUT and OFFLOAD are states that flows have on Linux only.
std::string set_status(FlowFilter& filter, const std::string& text) {
    std::string_view rest = text;
    while (true) {
        const auto comma = rest.find(',');
        std::string word(rest.substr(0, comma));
        for (char& c : word)
            if (c >= 'a' && c <= 'z') c = static_cast<char>(c - 'a' + 'A');
        if (word == "ASSURED") {
            filter.assured = true;
        } else if (word == "SEEN_REPLY" && filter.seen_reply != false) {
            filter.seen_reply = true;
        } else if (word == "UNREPLIED" && filter.seen_reply != true) {
            filter.seen_reply = false;
        } else if (word == "EXPECTED") {
            filter.expected = true;
        } else if (word == "FIXED_TIMEOUT" || word == "OFFLOAD" || word == "HW_OFFLOAD") {
            filter.never = true;
        } else {
            return "a list of ASSURED, EXPECTED, FIXED_TIMEOUT, OFFLOAD, and SEEN_REPLY or UNREPLIED";
        }
        if (comma == std::string_view::npos) return "";
        rest.remove_prefix(comma + 1);
    }
}

/// In any base, as in conntrack(8).
template <auto Member>
std::string set_zone(FlowFilter& filter, const std::string& text) {
    const auto number = parse_any_base(text);
    if (!number || *number > 65535) return "a zone (0-65535)";
    filter.*Member = static_cast<std::uint16_t>(*number);
    return "";
}

std::string set_mark(FlowFilter& filter, const std::string& text) {
    filter.mark = parse_mark(text);
    return filter.mark ? "" : "a mark (number, or value/mask)";
}

std::string set_id(FlowFilter& filter, const std::string& text) {
    const auto number = parse_number(text, UINT64_MAX);
    if (!number) return "a flow id";
    filter.id = *number;
    return "";
}

struct Parameter {
    std::string_view name;
    Setter set;
};

constexpr auto kParameters = std::to_array<Parameter>({
    {"proto", set_proto},
    {"family", set_family},
    {"src", set_address<&FlowFilter::src>},
    {"dst", set_address<&FlowFilter::dst>},
    {"reply_src", set_address<&FlowFilter::reply_src>},
    {"reply_dst", set_address<&FlowFilter::reply_dst>},
    {"sport", set_port<&FlowFilter::sport>},
    {"dport", set_port<&FlowFilter::dport>},
    {"reply_sport", set_port<&FlowFilter::reply_sport>},
    {"reply_dport", set_port<&FlowFilter::reply_dport>},
    {"icmp_type", set_byte<&FlowFilter::icmp_type>},
    {"icmp_code", set_byte<&FlowFilter::icmp_code>},
    {"icmp_id", set_u16<&FlowFilter::icmp_id>},
    {"state", set_state},
    {"status", set_status},
    {"src_nat", set_nat<&FlowFilter::src_nat>},
    {"dst_nat", set_nat<&FlowFilter::dst_nat>},
    {"any_nat", set_nat<&FlowFilter::any_nat>},
    {"zone", set_zone<&FlowFilter::zone>},
    {"orig_zone", set_zone<&FlowFilter::orig_zone>},
    {"reply_zone", set_zone<&FlowFilter::reply_zone>},
    {"mark", set_mark},
    {"id", set_id},
    {"worker", set_u16<&FlowFilter::worker>},
});

template <class T>
bool agrees(const std::optional<T>& wanted, const T& actual) {
    return !wanted || *wanted == actual;
}
bool agrees(const std::optional<AddressMatch>& wanted, const IpAddress& actual) {
    return !wanted || wanted->matches(actual);
}

/// Ports mean something only for protocols that have them: `dport=0` must not match every ICMP flow.
bool ports_agree(const FlowFilter& f, const FlowRecord& flow) {
    if (!f.sport && !f.dport && !f.reply_sport && !f.reply_dport) return true;
    return has_ports(flow.proto) && agrees(f.sport, flow.original.sport) && agrees(f.dport, flow.original.dport) &&
           agrees(f.reply_sport, flow.reply.sport) && agrees(f.reply_dport, flow.reply.dport);
}

bool icmp_agrees(const FlowFilter& f, const FlowRecord& flow) {
    if (!f.icmp_type && !f.icmp_code && !f.icmp_id) return true;
    return is_icmp(flow.proto) && agrees(f.icmp_type, flow.original.icmp_type) &&
           agrees(f.icmp_code, flow.original.icmp_code) && agrees(f.icmp_id, flow.original.icmp_id);
}

bool zones_agree(const FlowFilter& f, const FlowRecord& flow) {
    const std::uint16_t original = flow.original.zone, reply = flow.reply.zone, none = 0;
    const bool same = original == reply;
    return agrees(f.zone, same ? original : none) && agrees(f.orig_zone, same ? none : original) &&
           agrees(f.reply_zone, same ? none : reply);
}

/// As in conntrack(8): the source is translated when replies go to another address (or port) than the original's
/// source, the destination when replies come from another one than the original's destination.
bool nat_agrees(const FlowFilter& f, const FlowRecord& flow) {
    const auto& o = flow.original;
    const auto& r = flow.reply;
    const bool ports = has_ports(flow.proto);
    const bool src_moved = r.dst != o.src, dst_moved = r.src != o.dst;
    const bool sport_moved = ports ? r.dport != o.sport : is_icmp(flow.proto) && r.icmp_id != o.icmp_id;
    const bool dport_moved = ports && r.sport != o.dport;
    // What is named must have been changed, and to that.
    const auto changed = [](const FlowFilter::Nat& wanted, bool address_moved, const IpAddress& address,
                            bool port_moved, std::uint16_t port) {
        if (!wanted.to && !wanted.port) return address_moved || port_moved;
        return (!wanted.to || (address_moved && wanted.to->matches(address))) &&
               (!wanted.port || (port_moved && *wanted.port == port));
    };
    const auto source = [&](const FlowFilter::Nat& w) { return changed(w, src_moved, r.dst, sport_moved, r.dport); };
    const auto target = [&](const FlowFilter::Nat& w) { return changed(w, dst_moved, r.src, dport_moved, r.sport); };
    if (f.src_nat.wanted && !source(f.src_nat)) return false;
    if (f.dst_nat.wanted && !target(f.dst_nat)) return false;
    return !f.any_nat.wanted || source(f.any_nat) || target(f.any_nat);
}

}  // namespace

std::optional<std::pair<std::uint32_t, std::uint32_t>> parse_mark(std::string_view text) {
    const auto slash = text.find('/');
    const auto value = parse_any_base(text.substr(0, slash));
    const auto mask = slash == std::string_view::npos ? 0xffffffffU : parse_any_base(text.substr(slash + 1));
    if (!value || !mask) return std::nullopt;
    return std::pair{*value, *mask};
}

std::optional<AddressMatch> AddressMatch::parse(std::string_view text) {
    if (text.find('%') != std::string_view::npos) return std::nullopt;  // a zone names an interface, not an address
    const auto slash = text.find('/');
    boost::system::error_code error;
    AddressMatch match;
    match.address_ = ip::make_address(std::string(text.substr(0, slash)), error);
    if (error) return std::nullopt;
    const unsigned bits = match.address_.is_v6() ? 128 : 32;
    match.prefix_ = bits;
    if (slash != std::string_view::npos) {
        const auto prefix = parse_number(text.substr(slash + 1), bits);
        if (!prefix) return std::nullopt;
        match.prefix_ = static_cast<unsigned>(*prefix);
    }
    return match;
}

bool AddressMatch::matches(const IpAddress& address) const {
    if (address.is_v6() != address_.is_v6()) return false;
    if (address.is_v4()) {
        const std::uint64_t mask = ~std::uint64_t{0} << (32 - prefix_);
        return ((std::uint64_t{address.to_v4().to_uint()} ^ address_.to_v4().to_uint()) & mask) == 0;
    }
    const auto a = address.to_v6().to_bytes();
    const auto b = address_.to_v6().to_bytes();
    const unsigned whole = prefix_ / 8;
    if (!std::equal(a.begin(), a.begin() + whole, b.begin())) return false;
    const unsigned rest = prefix_ % 8;
    return rest == 0 || ((a[whole] ^ b[whole]) >> (8 - rest)) == 0;
}

std::string AddressMatch::text() const {
    const bool host = prefix_ == (address_.is_v6() ? 128U : 32U);
    return host ? address_.to_string() : address_.to_string() + '/' + std::to_string(prefix_);
}

bool FlowFilter::matches(const FlowRecord& flow) const {
    return agrees(proto, flow.proto) && agrees(v6, flow.original.src.is_v6()) && agrees(src, flow.original.src) &&
           agrees(dst, flow.original.dst) && agrees(reply_src, flow.reply.src) && agrees(reply_dst, flow.reply.dst) &&
           ports_agree(*this, flow) && icmp_agrees(*this, flow) && agrees(state, flow.state) &&
           agrees(assured, flow.assured) && agrees(seen_reply, !flow.unreplied) && agrees(expected, flow.expected) &&
           !never && zones_agree(*this, flow) && nat_agrees(*this, flow) &&
           (!mark || (flow.mark & mark->second) == mark->first) && agrees(id, flow.id) && agrees(worker, flow.worker);
}

bool FlowFilter::matches_all() const {
    return !proto && !v6 && !src && !dst && !reply_src && !reply_dst && !sport && !dport && !reply_sport &&
           !reply_dport && !icmp_type && !icmp_code && !icmp_id && !state && !assured && !seen_reply && !expected &&
           !never && !zone && !orig_zone && !reply_zone && !src_nat.wanted && !dst_nat.wanted && !any_nat.wanted &&
           !mark && !id && !worker;
}

std::variant<FlowFilter, std::string> parse_flow_filter(const QueryParameters& parameters) {
    FlowFilter filter;
    std::set<std::string_view> seen;
    for (const auto& [name, value] : parameters) {
        const auto* parameter = std::ranges::find(kParameters, std::string_view(name), &Parameter::name);
        if (parameter == kParameters.end()) return "unknown parameter '" + name + "'";
        if (!seen.insert(parameter->name).second) return "parameter '" + name + "' is given twice";
        if (const std::string wanted = parameter->set(filter, value); !wanted.empty())
            return "parameter '" + name + "': '" + value + "' is not " + wanted;
    }
    return filter;
}

}  // namespace sluice::api

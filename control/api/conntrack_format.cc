// Field order: [L3] L4 seconds [state] original [zone-orig] [counters] [UNREPLIED] reply [zone-reply] [counters]
// [ASSURED] mark zone delta-time helper use id.
#include "control/api/conntrack_format.hh"

#include <array>
#include <ctime>

#include <spdlog/fmt/fmt.h>

#include "control/api/protocols.hh"

namespace sluice::api {
namespace {

constexpr std::uint8_t kGre = 47;
/// conntrack(8) knows it by name, with ports; kernels have no tracker for it any more, so that these are always 0.
constexpr std::uint8_t kDccp = 33;

std::string_view name_in_tool(std::uint8_t proto) {
    return proto == kDccp ? "dccp" : protocol_name(proto);
}

std::string address_text(const IpAddress& address, bool whole) {
    return whole && address.is_v6() ? full_text(address.to_v6().to_bytes()) : address.to_string();
}

void append_tuple(std::string& out, std::uint8_t proto, const FlowTuple& t, const ConntrackStyle& style) {
    out += fmt::format("src={} dst={} ", address_text(t.src, style.whole_addresses),
                       address_text(t.dst, style.whole_addresses));
    if (has_ports(proto) || (proto == kDccp && !style.kernel)) {
        out += fmt::format("sport={} dport={} ", t.sport, t.dport);
    } else if (is_icmp(proto)) {
        out += fmt::format("type={} code={} id={} ", t.icmp_type, t.icmp_code, t.icmp_id);
    } else if (proto == kGre) {
        out += fmt::format("srckey=0x{:x} dstkey=0x{:x} ", t.sport, t.dport);
    }
}

/// Of a tuple, unless the other one is in the same zone.
void append_zone(std::string& out, std::string_view name, const FlowRecord& flow, std::uint16_t zone) {
    if (zone != 0 && flow.original.zone != flow.reply.zone) out += fmt::format("{}={} ", name, zone);
}

void append_counters(std::string& out, const FlowCounters& c) {
    out += fmt::format("packets={} bytes={} ", c.packets, c.bytes);
}

/// What a line has of a flow, and in front of it.
struct Parts {
    std::string_view front;
    bool timeout = true;
    bool state = true;
    bool counters = true;
    bool mark = true;
    bool age = true;
    std::string_view times;
    bool helper = true;
    bool use = true;
};

std::string line_of(const FlowRecord& flow, const ConntrackStyle& style, const Parts& parts) {
    std::string out;
    out.reserve(256);
    out += parts.front;
    if (style.extended) out += flow.original.src.is_v6() ? "ipv6     10 " : "ipv4     2 ";
    out += fmt::format("{:<8} {} ", style.kernel ? protocol_name(flow.proto) : name_in_tool(flow.proto), flow.proto);
    if (parts.timeout) out += fmt::format("{} ", flow.timeout_s);
    if (parts.state && !flow.state.empty()) out += fmt::format("{} ", flow.state);
    if (style.timeouts && flow.timeouts_s[0] != 0)
        out += fmt::format("timeout={}, stream_timeout={} ", flow.timeouts_s[0], flow.timeouts_s[1]);
    append_tuple(out, flow.proto, flow.original, style);
    append_zone(out, "zone-orig", flow, flow.original.zone);
    const bool counters = style.counters && parts.counters && flow.counted;
    if (counters) append_counters(out, flow.counters[0]);
    if (flow.unreplied) out += "[UNREPLIED] ";
    append_tuple(out, flow.proto, flow.reply, style);
    append_zone(out, "zone-reply", flow, flow.reply.zone);
    if (counters) append_counters(out, flow.counters[1]);
    if (flow.assured) out += "[ASSURED] ";
    if (parts.mark) out += fmt::format("mark={} ", flow.mark);
    if (flow.original.zone == flow.reply.zone && (style.zone || flow.original.zone != 0))
        out += fmt::format("zone={} ", flow.original.zone);
    if (parts.age && flow.age_s) out += fmt::format("delta-time={} ", *flow.age_s);
    out += parts.times;
    if (style.helper && parts.helper && !flow.helper.empty()) out += fmt::format("helper={} ", flow.helper);
    if (parts.use) out += fmt::format("use={} ", flow.use + style.references);
    if (style.id) out += fmt::format("id={} ", flow.id);
    out.pop_back();
    return out;
}

/// As ctime(3) has it, in local time.
std::string date_text(std::uint64_t unix_s) {
    const auto seconds = static_cast<std::time_t>(unix_s);
    std::tm local{};
    std::array<char, 64> text{};
    if (::localtime_r(&seconds, &local) == nullptr) return {};
    return {text.data(), std::strftime(text.data(), text.size(), "%a %b %e %H:%M:%S %Y", &local)};
}

std::string save_line(const FlowRecord& flow, char verb, bool timeout, bool with_state) {
    const FlowTuple& o = flow.original;
    const FlowTuple& r = flow.reply;
    std::string status = flow.expected ? "EXPECTED," : "";
    if (!flow.unreplied) status += "SEEN_REPLY,";
    if (flow.assured) status += "ASSURED,";
    if (status.empty()) status = "UNSET,";
    status.pop_back();
    std::string out = fmt::format("-{} ", verb);
    if (timeout) out += fmt::format("-t {} ", flow.timeout_s);
    out += fmt::format("-u {} ", status);
    if (o.zone == r.zone) {
        if (o.zone != 0) out += fmt::format("-w {} ", o.zone);
    } else {
        if (o.zone != 0) out += fmt::format("--orig-zone {} ", o.zone);
        if (r.zone != 0) out += fmt::format("--reply-zone {} ", r.zone);
    }
    out += fmt::format("-s {} -d {} ", o.src.to_string(), o.dst.to_string());
    out += fmt::format("{} {} {} {} ", r.src == o.dst ? "-r" : "-g", r.src.to_string(), r.dst == o.src ? "-q" : "-n",
                       r.dst.to_string());
    if (const auto name = name_in_tool(flow.proto); name == "unknown") {
        out += fmt::format("-p {}", flow.proto);
    } else {
        out += fmt::format("-p {}", name);
    }
    if (has_ports(flow.proto)) {
        out += fmt::format(" --sport {} --dport {} --reply-port-src {} --reply-port-dst {}", o.sport, o.dport, r.sport,
                           r.dport);
    } else if (is_icmp(flow.proto)) {
        out += fmt::format(" --{0}-type {1} --{0}-code {2} --{0}-id {3}", protocol_name(flow.proto), o.icmp_type,
                           o.icmp_code, o.icmp_id);
    } else if (flow.proto == kGre) {
        out += fmt::format(" --srckey {} --dstkey {} --reply-key-src {} --reply-key-dst {}", o.sport, o.dport, r.sport,
                           r.dport);
    }
    if (with_state && !flow.state.empty()) out += fmt::format(" --state {}", flow.state);
    return out;
}

}  // namespace

std::string full_text(const std::array<std::uint8_t, 16>& address) {
    std::string text;
    for (std::size_t i = 0; i < address.size(); i += 2)
        text += fmt::format("{}{:02x}{:02x}", i == 0 ? "" : ":", address[i], address[i + 1]);
    return text;
}

std::string conntrack_line(const FlowRecord& flow, const ConntrackStyle& style) {
    return line_of(flow, style, {});
}

std::string conntrack_save_line(const FlowRecord& flow, char verb) {
    return save_line(flow, verb, true, true);
}

std::string conntrack_event_line(const FlowEventRecord& event, const ConntrackStyle& style, const EventStyle& more) {
    const bool ended = event.kind == FlowEventKind::destroyed;
    Parts parts;
    parts.timeout = !ended || event.flow.timeout_s != 0;
    parts.state = event.tells_state();
    const auto time =
        more.time ? fmt::format("[{}.{:06}]\t", event.time_us / 1'000'000, event.time_us % 1'000'000) : "";
    if (more.save) {
        constexpr std::string_view kVerbs = "AUD";
        return time + save_line(event.flow, kVerbs[static_cast<std::size_t>(event.kind)], parts.timeout, parts.state);
    }
    constexpr std::array<std::string_view, 3> kNames{"    [NEW] ", " [UPDATE] ", "[DESTROY] "};
    const std::string front = time + std::string(kNames[static_cast<std::size_t>(event.kind)]);
    std::string times;
    if (more.kernel && event.start_s && event.stop_s)
        times = fmt::format("[start={}] [stop={}] ", date_text(*event.start_s), date_text(*event.stop_s));
    parts.front = front;
    parts.times = times;
    parts.mark = event.tells_mark();
    parts.counters = parts.age = ended;
    parts.helper = !ended;
    parts.use = false;
    return line_of(event.flow, style, parts);
}

std::string expectation_line(const ExpectationRecord& e) {
    // A source port of 0 means that the helper does not know it; Linux shows that as a zero mask.
    std::string out = fmt::format("{} proto={} src={} dst={} ", e.timeout_s, e.proto, e.tuple.src.to_string(),
                                  e.tuple.dst.to_string());
    if (has_ports(e.proto)) out += fmt::format("sport={} dport={} ", e.tuple.sport, e.tuple.dport);
    out += e.tuple.src.is_v6()
               ? "mask-src=ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff mask-dst=ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff "
               : "mask-src=255.255.255.255 mask-dst=255.255.255.255 ";
    if (has_ports(e.proto)) out += fmt::format("sport={} dport=65535 ", e.tuple.sport == 0 ? 0 : 65535);
    out += fmt::format("master-src={} master-dst={} ", e.master.src.to_string(), e.master.dst.to_string());
    if (has_ports(e.master_proto)) out += fmt::format("sport={} dport={} ", e.master.sport, e.master.dport);
    out += fmt::format("class=0 helper={}", e.helper);
    return out;
}

std::string conntrack_message(std::string_view text) {
    return fmt::format("conntrack v1.4.7 (conntrack-tools): {}", text);
}

std::string conntrack_trailer(std::uint64_t count, std::string_view done) {
    return conntrack_message(fmt::format("{} flow entries have been {}.", count, done));
}

}  // namespace sluice::api

// workers, memory, ipv6, conntrack, helpers, punt, neighbours, fragments, metrics, control, log.
#include <algorithm>

#include "control/config/read_match.hh"
#include "control/config/sections.hh"

namespace sluice::config {
namespace {

constexpr unsigned kMaxCore = 127;  // DPDK as Debian builds it: RTE_MAX_LCORE is 128
constexpr std::size_t kMaxFtpPorts = 8;
constexpr std::size_t kMaxTimeoutPolicies = 255;  // their ids are bytes
constexpr std::size_t kLongestSocketPath = 107;   // sun_path

void read_cores(const Value& value, Workers& out) {
    out.cores.clear();
    // A core that cannot be read keeps its place in the list, as none that overlaps with another.
    read_list(value, [&](const Value& item) { read_number(item, out.cores.emplace_back(kNoCore), 0, kMaxCore); });
    if (value.is(YamlNode::Kind::sequence) && value.node().items.empty()) value.error("at least one core is needed");
}

void read_ftp_ports(const Value& value, FtpHelper& out) {
    out.ports.clear();
    read_one_or_list(value, [&](const Value& item) {
        if (out.ports.size() == kMaxFtpPorts) return item.error("more than 8 ports");
        const std::size_t errors = item.findings().error_count();
        std::uint16_t port = 0;
        read_number(item, port, 1, 65535);
        if (item.findings().error_count() != errors) return;
        for (const std::uint16_t other : out.ports) {
            if (other == port) return item.error("port " + std::to_string(port) + " is there twice");
        }
        out.ports.push_back(port);
    });
}

void read_ftp(const Value& value, FtpHelper& out) {
    constexpr std::array<Field<FtpHelper>, 5> kFields{{
        {"enabled", [](const Value& v, FtpHelper& f) { read_bool(v, f.enabled); }},
        {"ports", read_ftp_ports},
        {"loose", [](const Value& v, FtpHelper& f) { read_bool(v, f.loose); }},
        {"max_expected", [](const Value& v, FtpHelper& f) { read_number(v, f.max_expected, 1, 255); }},
        {"expect_timeout", [](const Value& v, FtpHelper& f) { read_duration(v, f.expect_timeout); }},
    }};
    read_map(value, kFields, out);
}

void read_timeouts(const Value& value, Timeouts& out) {
    constexpr std::array<Field<Timeouts>, 29> kFields{{
        {"tcp_syn_sent", [](const Value& v, Timeouts& t) { read_duration(v, t.tcp_syn_sent); }},
        {"tcp_syn_recv", [](const Value& v, Timeouts& t) { read_duration(v, t.tcp_syn_recv); }},
        {"tcp_established", [](const Value& v, Timeouts& t) { read_duration(v, t.tcp_established); }},
        {"tcp_fin_wait", [](const Value& v, Timeouts& t) { read_duration(v, t.tcp_fin_wait); }},
        {"tcp_close_wait", [](const Value& v, Timeouts& t) { read_duration(v, t.tcp_close_wait); }},
        {"tcp_last_ack", [](const Value& v, Timeouts& t) { read_duration(v, t.tcp_last_ack); }},
        {"tcp_time_wait", [](const Value& v, Timeouts& t) { read_duration(v, t.tcp_time_wait); }},
        {"tcp_close", [](const Value& v, Timeouts& t) { read_duration(v, t.tcp_close); }},
        {"tcp_syn_sent2", [](const Value& v, Timeouts& t) { read_duration(v, t.tcp_syn_sent2); }},
        {"tcp_max_retrans", [](const Value& v, Timeouts& t) { read_duration(v, t.tcp_max_retrans); }},
        {"tcp_unacknowledged", [](const Value& v, Timeouts& t) { read_duration(v, t.tcp_unacknowledged); }},
        {"udp", [](const Value& v, Timeouts& t) { read_duration(v, t.udp); }},
        {"udp_stream", [](const Value& v, Timeouts& t) { read_duration(v, t.udp_stream); }},
        {"icmp", [](const Value& v, Timeouts& t) { read_duration(v, t.icmp); }},
        {"icmpv6", [](const Value& v, Timeouts& t) { read_duration(v, t.icmpv6); }},
        {"generic", [](const Value& v, Timeouts& t) { read_duration(v, t.generic); }},
        {"sctp_closed", [](const Value& v, Timeouts& t) { read_duration(v, t.sctp_closed); }},
        {"sctp_cookie_wait", [](const Value& v, Timeouts& t) { read_duration(v, t.sctp_cookie_wait); }},
        {"sctp_cookie_echoed", [](const Value& v, Timeouts& t) { read_duration(v, t.sctp_cookie_echoed); }},
        {"sctp_established", [](const Value& v, Timeouts& t) { read_duration(v, t.sctp_established); }},
        {"sctp_shutdown_sent", [](const Value& v, Timeouts& t) { read_duration(v, t.sctp_shutdown_sent); }},
        {"sctp_shutdown_recd", [](const Value& v, Timeouts& t) { read_duration(v, t.sctp_shutdown_recd); }},
        {"sctp_shutdown_ack_sent", [](const Value& v, Timeouts& t) { read_duration(v, t.sctp_shutdown_ack_sent); }},
        {"sctp_heartbeat_sent", [](const Value& v, Timeouts& t) { read_duration(v, t.sctp_heartbeat_sent); }},
        {"gre", [](const Value& v, Timeouts& t) { read_duration(v, t.gre); }},
        {"gre_stream", [](const Value& v, Timeouts& t) { read_duration(v, t.gre_stream); }},
        {"udplite", [](const Value& v, Timeouts& t) { read_duration(v, t.udplite); }},
        {"udplite_stream", [](const Value& v, Timeouts& t) { read_duration(v, t.udplite_stream); }},
        {"esp", [](const Value& v, Timeouts& t) { read_duration(v, t.esp); }},
    }};
    read_map(value, kFields, out);
}

/// What keys there are follows from the protocol.
void read_timeout_policy(const Value& value, TimeoutPolicy& out) {
    MapChecker checker{value};
    if (!checker.is_map()) return;
    const YamlNode* named = value.find("proto");
    if (named == nullptr) return checker.missing("proto");
    std::optional<std::uint8_t> proto;
    const std::size_t errors = value.findings().error_count();
    read_proto(value.child(*named), proto);
    if (value.findings().error_count() != errors) return;
    if (!proto) return value.error_at("proto", "a timeout policy is for one protocol");
    out.proto = *proto;
    std::vector<std::string_view> known{"proto"};
    for (const TimeoutKey& key : timeout_keys(out.proto)) known.push_back(key.name);
    for (const YamlNode& entry : value.node().items) {
        if (std::ranges::find(known, entry.key) == known.end()) {
            checker.unknown(entry, known);
        } else if (checker.take(entry) && entry.key != "proto") {
            TimeoutPolicy::Value& added = out.values.emplace_back();
            for (const TimeoutKey& key : timeout_keys(out.proto))
                if (key.name == entry.key) added.of = key.value;
            read_duration(value.child(entry), added.value);
        }
    }
    if (value.findings().error_count() == errors && out.values.empty()) value.error("the policy sets no timeout");
}

void read_timeout_policies(const Value& value, std::vector<TimeoutPolicy>& out) {
    MapChecker checker{value};
    if (!checker.is_map()) return;
    for (const YamlNode& entry : value.node().items) {
        if (!checker.take(entry)) continue;
        const Value policy = value.child(entry);
        if (out.size() == kMaxTimeoutPolicies)
            return value.findings().error(entry.key_at, policy.path(), "more than 255 timeout policies");
        const Parsed<std::string> name = parse_name(entry.key);
        if (!name.value) value.findings().error(entry.key_at, policy.path(), name.error);
        out.emplace_back().name = entry.key;
        read_timeout_policy(policy, out.back());
    }
}

void read_tcp(const Value& value, TcpTracking& out) {
    constexpr std::array<Field<TcpTracking>, 4> kFields{{
        {"loose", [](const Value& v, TcpTracking& t) { read_bool(v, t.loose); }},
        {"be_liberal", [](const Value& v, TcpTracking& t) { read_bool(v, t.be_liberal); }},
        {"ignore_invalid_rst", [](const Value& v, TcpTracking& t) { read_bool(v, t.ignore_invalid_rst); }},
        {"max_retrans", [](const Value& v, TcpTracking& t) { read_number(v, t.max_retrans, 0, 255); }},
    }};
    read_map(value, kFields, out);
}

void read_max(const Value& value, Conntrack& out) {
    if (value.is(YamlNode::Kind::scalar) && value.node().text == "auto") {
        out.max.reset();
        return;
    }
    std::uint32_t max = 0;
    read_number(value, max, 64, kMostFlows);
    if (max != 0) out.max = max;
}

void read_limit(const Value& value, PuntLimit& out) {
    constexpr std::array<Field<PuntLimit>, 2> kFields{{
        {"rate", [](const Value& v, PuntLimit& l) { read_number(v, l.rate, 1, 10000000); }},
        {"burst", [](const Value& v, PuntLimit& l) { read_number(v, l.burst, 1, 1000000); }},
    }};
    read_map(value, kFields, out);
}

void read_listen(const Value& value, Metrics& out) {
    if (value.is(YamlNode::Kind::scalar) && value.node().text == "off") {
        out.listen.clear();
        return;
    }
    read_parsed(value, parse_endpoint, "address:port, or off", out.listen);
}

void read_socket(const Value& value, Control& out) {
    const std::size_t errors = value.findings().error_count();
    std::string path;
    read_text(value, path, kLongestSocketPath);
    if (value.findings().error_count() != errors) return;
    if (!path.starts_with('/') || path.ends_with('/')) {
        return value.error(in_quotes(path) + " is not the absolute path of a file");
    }
    out.socket = std::move(path);
}

}  // namespace

void read_workers(const Value& value, Workers& out) {
    constexpr std::array<Field<Workers>, 3> kFields{{
        {"cores", read_cores},
        {"main", [](const Value& v, Workers& w) { read_number(v, w.main, 0, kMaxCore); }},
        {"idle", [](const Value& v, Workers& w) { read_enum(v, kIdleModes, w.idle); }},
    }};
    read_map(value, kFields, out);
}

void read_memory(const Value& value, Memory& out) {
    constexpr std::array<Field<Memory>, 2> kFields{{
        {"hugepages", [](const Value& v, Memory& m) { read_enum(v, kHugepageModes, m.hugepages); }},
        {"megabytes", [](const Value& v, Memory& m) { read_number(v, m.megabytes, 64, 1048576); }},
    }};
    read_map(value, kFields, out);
}

void read_ipv6(const Value& value, Ipv6Mode& out) {
    read_enum(value, kIpv6Modes, out);
}

void read_conntrack(const Value& value, Conntrack& out) {
    constexpr std::array<Field<Conntrack>, 9> kFields{{
        {"max", read_max},
        {"half_open",
         [](const Value& v, Conntrack& c) { read_parsed(v, parse_flow_budget, "a number or a share", c.half_open); }},
        {"profile", [](const Value& v, Conntrack& c) { read_enum(v, kProfiles, c.profile); }},
        {"expect_max", [](const Value& v, Conntrack& c) { read_number(v, c.expect_max, 1, 1048576); }},
        {"accounting", [](const Value& v, Conntrack& c) { read_bool(v, c.accounting); }},
        {"timestamps", [](const Value& v, Conntrack& c) { read_bool(v, c.timestamps); }},
        {"tcp", [](const Value& v, Conntrack& c) { read_tcp(v, c.tcp); }},
        {"timeouts", [](const Value& v, Conntrack& c) { read_timeouts(v, c.timeouts); }},
        {"timeout_policies", [](const Value& v, Conntrack& c) { read_timeout_policies(v, c.timeout_policies); }},
    }};
    read_map(value, kFields, out);
}

void read_helpers(const Value& value, Helpers& out) {
    constexpr std::array<Field<Helpers>, 1> kFields{{
        {"ftp", [](const Value& v, Helpers& h) { read_ftp(v, h.ftp); }},
    }};
    read_map(value, kFields, out);
}

void read_punt(const Value& value, Punt& out) {
    constexpr std::array<Field<Punt>, 5> kFields{{
        {"arp_nd", [](const Value& v, Punt& p) { read_limit(v, p.arp_nd); }},
        {"routing", [](const Value& v, Punt& p) { read_limit(v, p.routing); }},
        {"established", [](const Value& v, Punt& p) { read_limit(v, p.established); }},
        {"new", [](const Value& v, Punt& p) { read_limit(v, p.new_flow); }},
        {"exception", [](const Value& v, Punt& p) { read_limit(v, p.exception); }},
    }};
    read_map(value, kFields, out);
}

void read_neighbours(const Value& value, Neighbours& out) {
    constexpr std::array<Field<Neighbours>, 3> kFields{{
        {"hold", [](const Value& v, Neighbours& n) { read_number(v, n.hold, 0, 1024); }},
        {"hold_total", [](const Value& v, Neighbours& n) { read_number(v, n.hold_total, 0, 65536); }},
        {"hold_timeout", [](const Value& v, Neighbours& n) { read_duration(v, n.hold_timeout); }},
    }};
    read_map(value, kFields, out);
}

void read_fragments(const Value& value, Fragments& out) {
    constexpr std::array<Field<Fragments>, 4> kFields{{
        {"timeout", [](const Value& v, Fragments& f) { read_duration(v, f.timeout); }},
        {"max", [](const Value& v, Fragments& f) { read_number(v, f.max, 2, 65536); }},
        {"max_datagrams", [](const Value& v, Fragments& f) { read_number(v, f.max_datagrams, 1, 65536); }},
        {"max_per_datagram", [](const Value& v, Fragments& f) { read_number(v, f.max_per_datagram, 2, 8192); }},
    }};
    read_map(value, kFields, out);
}

void read_metrics(const Value& value, Metrics& out) {
    constexpr std::array<Field<Metrics>, 1> kFields{{{"listen", read_listen}}};
    read_map(value, kFields, out);
}

void read_control(const Value& value, Control& out) {
    constexpr std::array<Field<Control>, 1> kFields{{{"socket", read_socket}}};
    read_map(value, kFields, out);
}

void read_log(const Value& value, Log& out) {
    constexpr std::array<Field<Log>, 1> kFields{{
        {"level", [](const Value& v, Log& l) { read_enum(v, kLogLevels, l.level); }},
    }};
    read_map(value, kFields, out);
}

}  // namespace sluice::config

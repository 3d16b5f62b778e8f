#include "control/config/print.hh"

#include <yaml-cpp/emitter.h>
#include <yaml-cpp/stlemitter.h>

#include "control/config/enum_names.hh"
#include "control/config/parse_values.hh"

namespace sluice::config {
namespace {

using YAML::BeginMap;
using YAML::BeginSeq;
using YAML::EndMap;
using YAML::EndSeq;
using YAML::Flow;

constexpr auto kIcmpv6 = static_cast<std::uint8_t>(IpProto::icmpv6);

template <class T>
void put(YAML::Emitter& out, const char* key, const T& value) {
    out << YAML::Key << key << YAML::Value << value;
}

void put(YAML::Emitter& out, const char* key, std::string_view value) {
    put(out, key, std::string{value});
}
void put(YAML::Emitter& out, const char* key, seconds value) {
    put(out, key, to_string(value));
}

/// Text of the user's own: always in quotes, so that nothing in it can be taken for YAML.
void put_quoted(YAML::Emitter& out, const char* key, const std::string& value) {
    out << YAML::Key << key << YAML::Value << YAML::DoubleQuoted << value;
}

void begin(YAML::Emitter& out, const char* key) {
    out << YAML::Key << key << YAML::Value << BeginMap;
}
void begin_flow(YAML::Emitter& out, const char* key) {
    out << YAML::Key << key << YAML::Value << Flow << BeginMap;
}

/// Group names stand as they are, literals in their shortest form.
template <class Item>
void items(YAML::Emitter& out, const std::vector<Item>& list) {
    out << Flow << BeginSeq;
    for (const Item& item : list) {
        out << std::visit(
            [](const auto& value) {
                if constexpr (std::is_same_v<std::decay_t<decltype(value)>, std::string>) {
                    return value;
                } else {
                    return to_string(value);
                }
            },
            item);
    }
    out << EndSeq;
}

template <class Match>
void put_match(YAML::Emitter& out, const char* key, const Match& match) {
    if (match.any()) return;
    out << YAML::Key << key << YAML::Value;
    if (match.negated) out << Flow << BeginMap << YAML::Key << "not" << YAML::Value;
    items(out, match.items);
    if (match.negated) out << EndMap;
}

void put_names(YAML::Emitter& out, const char* key, const PortNameMatch& match) {
    if (!match.any()) put(out, key, match.names);
}

void put_mark(YAML::Emitter& out, const char* key, const MarkMatch& match) {
    if (match.any()) return;
    out << YAML::Key << key << YAML::Value;
    if (match.negated) out << Flow << BeginMap << YAML::Key << "not" << YAML::Value;
    out << to_string(match);
    if (match.negated) out << EndMap;
}

void put_set(YAML::Emitter& out, const FilterRule& rule) {
    if (rule.set_mark.none() && rule.set_ct_mark.none() && rule.set_timeout.empty()) return;
    begin_flow(out, "set");
    if (!rule.set_mark.none()) put(out, "mark", to_string(rule.set_mark, "ct_mark"));
    if (!rule.set_ct_mark.none()) put(out, "ct_mark", to_string(rule.set_ct_mark, "mark"));
    if (!rule.set_timeout.empty()) put(out, "timeout", rule.set_timeout);
    out << EndMap;
}

/// What filter and NAT rules match alike.
template <class Rule>
void put_matches(YAML::Emitter& out, const Rule& rule) {
    put_names(out, "in", rule.in);
    put_names(out, "out", rule.out);
    if (rule.family != Family::any) put(out, "family", name_of(kFamilies, rule.family));
    put_match(out, "src", rule.src);
    put_match(out, "dst", rule.dst);
    if (rule.proto) put(out, "proto", proto_name(*rule.proto));
    put_match(out, "sport", rule.sport);
    put_match(out, "dport", rule.dport);
    put_mark(out, "mark", rule.mark);
    put_mark(out, "ct_mark", rule.ct_mark);
}

void print_port(YAML::Emitter& out, const Port& port) {
    out << BeginMap;
    put(out, "name", port.name);
    if (port.is_vlan()) {
        put(out, "parent", port.parent);
        put(out, "vlan", port.vlan);
    } else {
        put_quoted(out, "device", port.device);
    }
    put(out, "role", name_of(kPortRoles, port.role));
    if (port.zone != 0) put(out, "zone", port.zone);
    put(out, "tap", port.tap);
    out << YAML::Key << "addresses" << YAML::Value << Flow << BeginSeq;
    for (const InterfaceAddress& address : port.addresses) out << to_string(address);
    out << EndSeq;
    if (port.mtu) put(out, "mtu", *port.mtu);
    if (port.mac) put_quoted(out, "mac", to_string(*port.mac));
    if (!port.is_vlan()) {
        put(out, "rx_queue_size", port.rx_queue_size);
        put(out, "tx_queue_size", port.tx_queue_size);
    }
    out << EndMap;
}

void print_route(YAML::Emitter& out, const Route& route) {
    out << Flow << BeginMap;
    put(out, "to", to_string(InterfaceAddress{route.network, route.prefix_length}));
    if (route.via) put(out, "via", to_string(*route.via));
    if (!route.out.empty()) put(out, "out", route.out);
    out << EndMap;
}

template <class Group>
void put_groups(YAML::Emitter& out, const char* key, const std::vector<Group>& groups) {
    begin(out, key);
    for (const Group& group : groups) {
        out << YAML::Key << group.name << YAML::Value;
        items(out, group.items);
    }
    out << EndMap;
}

const char* timeout_name(std::uint8_t proto, const TimeoutPolicy::Value& value) {
    for (const TimeoutKey& key : timeout_keys(proto))
        if (key.value == value.of) return key.name.data();
    return "";
}

void print_conntrack(YAML::Emitter& out, const Conntrack& conntrack) {
    const Timeouts& t = conntrack.timeouts;
    begin(out, "conntrack");
    put(out, "max", conntrack.max ? std::to_string(*conntrack.max) : "auto");
    put(out, "half_open", to_string(conntrack.half_open));
    put(out, "profile", name_of(kProfiles, conntrack.profile));
    put(out, "expect_max", conntrack.expect_max);
    put(out, "accounting", conntrack.accounting);
    put(out, "timestamps", conntrack.timestamps);
    begin(out, "tcp");
    put(out, "loose", conntrack.tcp.loose);
    put(out, "be_liberal", conntrack.tcp.be_liberal);
    put(out, "ignore_invalid_rst", conntrack.tcp.ignore_invalid_rst);
    put(out, "max_retrans", unsigned{conntrack.tcp.max_retrans});
    out << EndMap;
    begin(out, "timeouts");
    put(out, "tcp_syn_sent", t.tcp_syn_sent);
    put(out, "tcp_syn_recv", t.tcp_syn_recv);
    put(out, "tcp_established", t.tcp_established);
    put(out, "tcp_fin_wait", t.tcp_fin_wait);
    put(out, "tcp_close_wait", t.tcp_close_wait);
    put(out, "tcp_last_ack", t.tcp_last_ack);
    put(out, "tcp_time_wait", t.tcp_time_wait);
    put(out, "tcp_close", t.tcp_close);
    put(out, "tcp_syn_sent2", t.tcp_syn_sent2);
    put(out, "tcp_max_retrans", t.tcp_max_retrans);
    put(out, "tcp_unacknowledged", t.tcp_unacknowledged);
    put(out, "udp", t.udp);
    put(out, "udp_stream", t.udp_stream);
    put(out, "icmp", t.icmp);
    put(out, "icmpv6", t.icmpv6);
    put(out, "generic", t.generic);
    put(out, "sctp_closed", t.sctp_closed);
    put(out, "sctp_cookie_wait", t.sctp_cookie_wait);
    put(out, "sctp_cookie_echoed", t.sctp_cookie_echoed);
    put(out, "sctp_established", t.sctp_established);
    put(out, "sctp_shutdown_sent", t.sctp_shutdown_sent);
    put(out, "sctp_shutdown_recd", t.sctp_shutdown_recd);
    put(out, "sctp_shutdown_ack_sent", t.sctp_shutdown_ack_sent);
    put(out, "sctp_heartbeat_sent", t.sctp_heartbeat_sent);
    put(out, "gre", t.gre);
    put(out, "gre_stream", t.gre_stream);
    put(out, "udplite", t.udplite);
    put(out, "udplite_stream", t.udplite_stream);
    put(out, "esp", t.esp);
    out << EndMap;
    begin(out, "timeout_policies");
    for (const TimeoutPolicy& policy : conntrack.timeout_policies) {
        out << YAML::Key << policy.name << YAML::Value << Flow << BeginMap;
        put(out, "proto", proto_name(policy.proto));
        for (const TimeoutPolicy::Value& value : policy.values)
            put(out, timeout_name(policy.proto, value), value.value);
        out << EndMap;
    }
    out << EndMap << EndMap;
}

void print_ftp(YAML::Emitter& out, const FtpHelper& ftp) {
    begin(out, "helpers");
    begin(out, "ftp");
    put(out, "enabled", ftp.enabled);
    out << YAML::Key << "ports" << YAML::Value << Flow << ftp.ports;
    put(out, "loose", ftp.loose);
    put(out, "max_expected", unsigned{ftp.max_expected});
    put(out, "expect_timeout", ftp.expect_timeout);
    out << EndMap << EndMap;
}

void print_filter_rule(YAML::Emitter& out, const FilterRule& rule) {
    out << Flow << BeginMap;
    put_matches(out, rule);
    if (!rule.state.any()) {
        out << YAML::Key << "state" << YAML::Value << Flow << BeginSeq;
        for (const auto& state : kStates) {
            if (rule.state.*state.value) out << std::string{state.name};
        }
        out << EndSeq;
    }
    if (rule.invalid_reasons != 0) {
        out << YAML::Key << "invalid" << YAML::Value << Flow << BeginSeq;
        for (const std::string_view name : invalid_reason_names(rule.invalid_reasons)) out << std::string{name};
        out << EndSeq;
    }
    if (rule.icmp_type) put(out, "icmp_type", icmp_type_name(*rule.icmp_type, rule.proto == kIcmpv6));
    put_set(out, rule);
    if (rule.action == FilterAction::notrack) {
        put(out, "action", name_of(kRawActions, rule.action));
    } else if (rule.action != FilterAction::next) {
        put(out, "action", name_of(kFilterActions, rule.action));
    }
    if (rule.action == FilterAction::reject) put(out, "reject_with", name_of(kRejectWith, rule.reject_with));
    if (rule.log) put_quoted(out, "log", *rule.log);
    if (!rule.comment.empty()) put_quoted(out, "comment", rule.comment);
    out << EndMap;
}

void print_rules(YAML::Emitter& out, const char* key, const std::vector<FilterRule>& rules) {
    out << YAML::Key << key << YAML::Value << BeginSeq;
    for (const FilterRule& rule : rules) print_filter_rule(out, rule);
    out << EndSeq;
}

void print_chain(YAML::Emitter& out, const char* key, const Chain& chain) {
    begin(out, key);
    put(out, "policy", name_of(kChainPolicies, chain.policy));
    print_rules(out, "rules", chain.rules);
    out << EndMap;
}

void print_snat(YAML::Emitter& out, const Snat& snat) {
    if (snat.masquerade && !snat.ports) return put(out, "snat", "masquerade");
    begin_flow(out, "snat");
    if (snat.prefix) {
        put_quoted(out, "prefix", to_string(*snat.prefix));
        out << EndMap;
        return;
    }
    out << YAML::Key << "to" << YAML::Value;
    if (snat.masquerade) {
        out << "masquerade";
    } else {
        items(out, snat.to);
    }
    if (snat.ports) put(out, "ports", to_string(*snat.ports));
    out << EndMap;
}

void print_dnat(YAML::Emitter& out, const Dnat& dnat) {
    begin_flow(out, "dnat");
    if (dnat.zone) put(out, "zone", *dnat.zone);
    if (dnat.prefix) {
        put_quoted(out, "prefix", to_string(*dnat.prefix));
        out << EndMap;
        return;
    }
    out << YAML::Key << "to" << YAML::Value;
    items(out, dnat.to);
    if (dnat.ports) put(out, "ports", to_string(*dnat.ports));
    put(out, "schedule", name_of(kSchedules, dnat.schedule));
    out << EndMap;
}

void print_nat_rule(YAML::Emitter& out, const NatRule& rule) {
    out << Flow << BeginMap;
    put_matches(out, rule);
    if (const Snat* snat = std::get_if<Snat>(&rule.action)) print_snat(out, *snat);
    if (const Dnat* dnat = std::get_if<Dnat>(&rule.action)) print_dnat(out, *dnat);
    put(out, "existing", name_of(kExistingFlows, rule.existing));
    if (!rule.comment.empty()) put_quoted(out, "comment", rule.comment);
    out << EndMap;
}

void put_limit(YAML::Emitter& out, const char* key, const PuntLimit& limit) {
    begin_flow(out, key);
    put(out, "rate", limit.rate);
    put(out, "burst", limit.burst);
    out << EndMap;
}

void print_policy(YAML::Emitter& out, const Config& config) {
    begin(out, "raw");
    print_rules(out, "prerouting", config.raw.prerouting);
    print_rules(out, "output", config.raw.output);
    out << EndMap;
    begin(out, "filter");
    print_chain(out, "input", config.filter.input);
    print_chain(out, "forward", config.filter.forward);
    print_chain(out, "output", config.filter.output);
    out << EndMap;
    out << YAML::Key << "nat" << YAML::Value << BeginSeq;
    for (const NatRule& rule : config.nat) print_nat_rule(out, rule);
    out << EndSeq;
}

void print_network(YAML::Emitter& out, const Config& config) {
    out << YAML::Key << "ports" << YAML::Value << BeginSeq;
    for (const Port& port : config.ports) print_port(out, port);
    out << EndSeq;
    out << YAML::Key << "routes" << YAML::Value << BeginSeq;
    for (const Route& route : config.routes) print_route(out, route);
    out << EndSeq;
    begin(out, "groups");
    put_groups(out, "addresses", config.groups.addresses);
    put_groups(out, "ports", config.groups.ports);
    out << EndMap;
}

void print_box(YAML::Emitter& out, const Config& config) {
    begin(out, "punt");
    put_limit(out, "arp_nd", config.punt.arp_nd);
    put_limit(out, "routing", config.punt.routing);
    put_limit(out, "established", config.punt.established);
    put_limit(out, "new", config.punt.new_flow);
    put_limit(out, "exception", config.punt.exception);
    out << EndMap;
    begin(out, "neighbours");
    put(out, "hold", config.neighbours.hold);
    put(out, "hold_total", config.neighbours.hold_total);
    put(out, "hold_timeout", config.neighbours.hold_timeout);
    out << EndMap;
    begin(out, "fragments");
    put(out, "timeout", config.fragments.timeout);
    put(out, "max", config.fragments.max);
    put(out, "max_datagrams", config.fragments.max_datagrams);
    put(out, "max_per_datagram", config.fragments.max_per_datagram);
    out << EndMap;
    begin(out, "metrics");
    put(out, "listen", config.metrics.listen.empty() ? std::string{"off"} : config.metrics.listen);
    out << EndMap;
    begin(out, "control");
    put_quoted(out, "socket", config.control.socket);
    out << EndMap;
    begin(out, "log");
    put(out, "level", name_of(kLogLevels, config.log.level));
    out << EndMap;
}

}  // namespace

std::string to_yaml(const Config& config) {
    YAML::Emitter out;
    out << BeginMap;
    begin(out, "workers");
    out << YAML::Key << "cores" << YAML::Value << Flow << config.workers.cores;
    put(out, "main", config.workers.main);
    put(out, "idle", name_of(kIdleModes, config.workers.idle));
    out << EndMap;
    begin(out, "memory");
    put(out, "hugepages", name_of(kHugepageModes, config.memory.hugepages));
    put(out, "megabytes", config.memory.megabytes);
    out << EndMap;
    put(out, "ipv6", name_of(kIpv6Modes, config.ipv6));
    print_network(out, config);
    print_conntrack(out, config.conntrack);
    print_ftp(out, config.helpers.ftp);
    print_policy(out, config);
    print_box(out, config);
    out << EndMap;
    return std::string{out.c_str()} + "\n";
}

}  // namespace sluice::config

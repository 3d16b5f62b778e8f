// nat: rules that translate the source (snat) or the destination (dnat), and what contradicts itself within one.
#include <algorithm>
#include <initializer_list>

#include "control/config/read_match.hh"
#include "control/config/sections.hh"

namespace sluice::config {
namespace {

constexpr std::string_view kMasquerade = "masquerade";
/// RFC 6296 makes up for the checksum in 16 bits behind the prefix.
constexpr unsigned kLongestTranslatedPrefix = 112;

/// A prefix that takes the place of `matched`, which must be one prefix of the same length.
void read_target_prefix(const Value& value, std::optional<TranslatedPrefix>& out) {
    TranslatedPrefix prefix;
    if (!read_parsed(value, parse_network, "an IPv6 prefix", prefix)) return;
    if (prefix.address.is_v4()) {
        return value.error(in_quotes(to_string(prefix)) + " is IPv4: prefixes are translated of IPv6 (RFC 6296)");
    }
    if (prefix.prefix_length == 0 || prefix.prefix_length > kLongestTranslatedPrefix) {
        return value.error("the prefix length of " + in_quotes(to_string(prefix)) + " is not 1.." +
                           std::to_string(kLongestTranslatedPrefix));
    }
    if (!is_unicast(prefix.address) || prefix.address.is_link_local()) {
        return value.error(in_quotes(to_string(prefix)) + " is not a prefix of unicast addresses");
    }
    out = prefix;
}

/// Targets that no host can have. Groups are looked through when the whole file has been read (validate.cc).
void check_targets(const Value& value, const std::vector<AddressItem>& targets) {
    for (const AddressItem& item : targets) {
        const auto* range = std::get_if<AddressRange>(&item);
        if (range != nullptr && (!is_unicast(range->first) || !is_unicast(range->last))) {
            value.error(in_quotes(to_string(*range)) + " is not a unicast address");
        }
    }
}

void read_target_ports(const Value& value, std::optional<PortRange>& out) {
    constexpr auto parse = +[](std::string_view text) { return parse_port_range(text, 1); };
    read_parsed(value, parse, "a port or a range of ports", out);
}

void read_snat_to(const Value& value, Snat& out) {
    if (value.is(YamlNode::Kind::scalar) && value.node().text == kMasquerade) {
        out.masquerade = true;
        return;
    }
    read_address_items(value, out.to);
    check_targets(value, out.to);
}

/// One of `to` and `prefix`; a prefix alone.
void check_target_keys(const Value& value, const std::string& wanted, std::initializer_list<std::string_view> others) {
    if (!value.is(YamlNode::Kind::map)) return;
    if (!value.has("to") && !value.has("prefix")) return value.error("the key " + wanted + " is missing");
    if (!value.has("prefix")) return;
    if (value.has("to")) value.error_at("prefix", "either to or prefix, not both");
    for (const std::string_view key : others) {
        if (value.has(key)) value.error_at(key, std::string{key} + " has no meaning with a prefix: ports are kept");
    }
}

void read_snat(const Value& value, NatRule& out) {
    constexpr std::array<Field<Snat>, 3> kFields{{
        {"to", read_snat_to},
        {"prefix", [](const Value& v, Snat& s) { read_target_prefix(v, s.prefix); }},
        {"ports", [](const Value& v, Snat& s) { read_target_ports(v, s.ports); }},
    }};
    Snat& snat = out.action.emplace<Snat>();
    if (!value.is(YamlNode::Kind::scalar)) {
        read_map(value, kFields, snat);
        return check_target_keys(value, "'to' or 'prefix'", {"ports"});
    }
    if (value.node().text != kMasquerade) {
        return value.error("expected masquerade or {to: ...}, found " + in_quotes(value.node().text));
    }
    snat.masquerade = true;
}

void read_dnat_to(const Value& value, Dnat& out) {
    read_address_items(value, out.to);
    check_targets(value, out.to);
}

void read_dnat(const Value& value, NatRule& out) {
    constexpr std::array<Field<Dnat>, 6> kFields{{
        {"to", read_dnat_to},
        {"prefix", [](const Value& v, Dnat& d) { read_target_prefix(v, d.prefix); }},
        {"port",
         [](const Value& v, Dnat& d) {
             std::uint16_t port = 0;
             read_number(v, port, 1, 65535);
             if (port != 0) d.ports = PortRange{port, port};
         }},
        {"ports", [](const Value& v, Dnat& d) { read_target_ports(v, d.ports); }},
        {"schedule", [](const Value& v, Dnat& d) { read_enum(v, kSchedules, d.schedule); }},
        {"zone",
         [](const Value& v, Dnat& d) {
             constexpr std::uint32_t kNone = 65536;
             std::uint32_t zone = kNone;
             read_number(v, zone, 0, 65535);
             if (zone != kNone) d.zone = static_cast<std::uint16_t>(zone);
         }},
    }};
    read_map(value, kFields, out.action.emplace<Dnat>());
    check_target_keys(value, "'to' or 'prefix'", {"port", "ports", "schedule"});
    if (value.has("port") && value.has("ports")) value.error_at("ports", "either port or ports, not both");
}

void read_existing(const Value& value, NatRule& out) {
    read_enum(value, kExistingFlows, out.existing);
    if (out.existing == ExistingFlows::keep) return;
    value.error(in_quotes(name_of(kExistingFlows, out.existing)) +
                " is not supported yet: a NAT decision stays with its flow (keep)");
}

/// What is translated by prefix is one prefix, as long: each address has one other.
void check_prefix(const Value& value, std::string_view key, const AddressMatch& match, const TranslatedPrefix& prefix,
                  std::string_view action) {
    const auto* range =
        !match.negated && match.items.size() == 1 ? std::get_if<AddressRange>(&match.items.front()) : nullptr;
    if (range != nullptr && AddressRange::prefix(range->first, prefix.prefix_length) == *range) return;
    value.error_at(action, "the prefix takes the place of " + std::string{key} + ", which must be one prefix of /" +
                               std::to_string(prefix.prefix_length));
}

void check_snat(const Value& value, const NatRule& rule, const Snat& snat) {
    if (value.has("in")) value.error_at("in", "snat happens after routing: it matches the out port, not the in port");
    if (rule.out.any()) value.error("snat needs the key 'out': the ports where it applies");
    if (snat.prefix) check_prefix(value, "src", rule.src, *snat.prefix, "snat");
    if (snat.ports && rule.proto && !has_ports(*rule.proto)) {
        value.error_at(
            "snat", "ports need proto: tcp, udp, sctp or udplite, and the rule has proto: " + proto_name(*rule.proto));
    }
}

/// Ports shift only as a whole: a range in dnat must be as wide as the one that the rule matches.
void check_shift(const Value& value, const NatRule& rule, const Dnat& dnat) {
    if (dnat.ports->size() == 1) return;
    const PortRange* matched = nullptr;
    if (!rule.dport.negated && rule.dport.items.size() == 1)
        matched = std::get_if<PortRange>(&rule.dport.items.front());
    if (matched != nullptr && matched->size() == dnat.ports->size()) return;
    value.error_at("dnat", "the ports " + to_string(*dnat.ports) +
                               " shift those of dport, which must be one range of the same width");
}

void check_dnat(const Value& value, const NatRule& rule, const Dnat& dnat) {
    if (value.has("out")) value.error_at("out", "dnat happens before routing: the out port is not known yet");
    if (dnat.prefix) check_prefix(value, "dst", rule.dst, *dnat.prefix, "dnat");
    if (!dnat.ports) return;
    if (!rule.proto || !has_ports(*rule.proto)) {
        return value.error_at("dnat", "a port needs proto: tcp, udp, sctp or udplite, and the rule has " +
                                          (rule.proto ? "proto: " + proto_name(*rule.proto) : "none of them"));
    }
    check_shift(value, rule, dnat);
}

void read_rule(const Value& value, NatRule& out) {
    constexpr std::array<Field<NatRule>, 14> kFields{{
        {"in", [](const Value& v, NatRule& r) { read_port_names(v, r.in); }},
        {"out", [](const Value& v, NatRule& r) { read_port_names(v, r.out); }},
        {"family", [](const Value& v, NatRule& r) { read_family(v, r.family); }},
        {"src", [](const Value& v, NatRule& r) { read_address_match(v, r.src); }},
        {"dst", [](const Value& v, NatRule& r) { read_address_match(v, r.dst); }},
        {"proto", [](const Value& v, NatRule& r) { read_proto(v, r.proto); }},
        {"sport", [](const Value& v, NatRule& r) { read_port_match(v, r.sport); }},
        {"dport", [](const Value& v, NatRule& r) { read_port_match(v, r.dport); }},
        {"mark", [](const Value& v, NatRule& r) { read_mark_match(v, r.mark); }},
        {"ct_mark", [](const Value& v, NatRule& r) { read_mark_match(v, r.ct_mark); }},
        {"snat", read_snat},
        {"dnat", read_dnat},
        {"existing", read_existing},
        {"comment", [](const Value& v, NatRule& r) { read_comment(v, r.comment); }},
    }};
    const std::size_t errors = value.findings().error_count();
    read_map(value, kFields, out);
    if (!value.is(YamlNode::Kind::map)) return;
    if (value.has("snat") && value.has("dnat")) {
        return value.error_at("dnat", "a rule has either snat or dnat: write two rules");
    }
    if (!value.has("snat") && !value.has("dnat")) return value.error("a NAT rule needs snat or dnat");
    if (value.findings().error_count() != errors) return;
    check_ports_need_proto(value, out.proto);
    if (value.findings().error_count() != errors) return;
    if (const Snat* snat = std::get_if<Snat>(&out.action)) check_snat(value, out, *snat);
    if (const Dnat* dnat = std::get_if<Dnat>(&out.action)) check_dnat(value, out, *dnat);
}

}  // namespace

void read_nat(const Value& value, std::vector<NatRule>& out) {
    read_list(value, [&](const Value& item) { read_rule(item, out.emplace_back()); });
}

}  // namespace sluice::config

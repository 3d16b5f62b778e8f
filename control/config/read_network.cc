// ports, routes, groups.
#include <bit>

#include "control/config/read_match.hh"
#include "control/config/sections.hh"

namespace sluice::config {
namespace {

void read_optional_mtu(const Value& value, Port& out) {
    std::uint16_t mtu = 0;
    read_number(value, mtu, 68, 9216);
    if (mtu != 0) out.mtu = mtu;
}

void read_queue_size(const Value& value, std::uint16_t& out) {
    const std::uint16_t before = out;
    read_number(value, out, 64, 32768);
    if (std::has_single_bit(out)) return;
    value.error(std::to_string(out) + " is not a power of two");
    out = before;
}

void read_addresses(const Value& value, Port& out) {
    read_list(value, [&](const Value& item) {
        read_parsed(item, parse_interface_address, "an address with its prefix length", out.addresses.emplace_back());
    });
}

/// A device port or a VLAN port, and nothing between.
void check_port(const Value& value) {
    const bool vlan_port = value.has("parent") || value.has("vlan");
    if (value.has("device") && vlan_port) {
        return value.error_at("device", "a port has either a device, or a parent and a vlan");
    }
    if (!value.has("device") && !vlan_port) return value.error("a port needs a device, or a parent and a vlan");
    if (!vlan_port) return;
    if (!value.has("parent")) value.error("a vlan needs the key 'parent': the port that carries it");
    if (!value.has("vlan")) value.error("a parent needs the key 'vlan': the number of the VLAN on it");
    for (const std::string_view key : {"mac", "rx_queue_size", "tx_queue_size"}) {
        if (value.has(key)) value.error_at(key, std::string{key} + " belongs to the parent, not to a VLAN of it");
    }
}

void read_port(const Value& value, Port& out) {
    constexpr std::array<Field<Port>, 12> kFields{{
        {"name", [](const Value& v, Port& p) { read_parsed(v, parse_name, "a name", p.name); }, Need::required},
        {"device",
         [](const Value& v, Port& p) {
             read_text(v, p.device, 255);
             if (v.is(YamlNode::Kind::scalar) && v.node().text.empty()) v.error("an empty device");
         }},
        {"parent", [](const Value& v, Port& p) { read_port_name(v, p.parent); }},
        {"vlan", [](const Value& v, Port& p) { read_number(v, p.vlan, 1, 4094); }},
        {"role", [](const Value& v, Port& p) { read_enum(v, kPortRoles, p.role); }, Need::required},
        {"zone", [](const Value& v, Port& p) { read_number(v, p.zone, 0, 65535); }},
        {"tap", [](const Value& v, Port& p) { read_parsed(v, parse_device_name, "the name of a device", p.tap); }},
        {"addresses", read_addresses},
        {"mtu", read_optional_mtu},
        {"mac", [](const Value& v, Port& p) { read_parsed(v, parse_mac, "a MAC address", p.mac); }},
        {"rx_queue_size", [](const Value& v, Port& p) { read_queue_size(v, p.rx_queue_size); }},
        {"tx_queue_size", [](const Value& v, Port& p) { read_queue_size(v, p.tx_queue_size); }},
    }};
    read_map(value, kFields, out);
    if (!value.is(YamlNode::Kind::map)) return;
    check_port(value);
    if (value.has("tap") || out.name.empty()) return;
    const Parsed<std::string> tap = parse_device_name(out.name);
    if (tap.value) {
        out.tap = *tap.value;
    } else {
        value.error_at("name", "the name cannot be that of the twin too (" + tap.error + "): add the key 'tap'");
    }
}

void read_to(const Value& value, Route& out) {
    const std::string* text = value.scalar("a prefix, or default");
    if (text == nullptr) return;
    if (*text == "default") return;  // of which family, `via` says
    const Parsed<InterfaceAddress> to = parse_network(*text);
    if (!to.value) return value.error(to.error);
    out.network = to.value->address;
    out.prefix_length = to.value->prefix_length;
}

void read_via(const Value& value, Route& out) {
    IpAddress via{};
    if (!read_parsed(value, parse_address, "an address", via)) return;
    if (!is_unicast(via)) return value.error(in_quotes(to_string(via)) + " is not a unicast address");
    out.via = via;
}

void read_route(const Value& value, Route& out) {
    constexpr std::array<Field<Route>, 3> kFields{{
        {"to", read_to, Need::required},
        {"via", read_via},
        {"out", [](const Value& v, Route& r) { read_port_name(v, r.out); }},
    }};
    const std::size_t errors = value.findings().error_count();
    read_map(value, kFields, out);
    if (!value.is(YamlNode::Kind::map)) return;
    if (!value.has("via") && !value.has("out")) value.error("a route needs via, out or both");
    if (!out.via) return;
    if (!out.via->is_v4() && out.via->is_link_local() && !value.has("out")) {
        value.error_at("via", in_quotes(to_string(*out.via)) + " is an address of the link: add the key 'out'");
    }
    const YamlNode* to = value.find("to");
    if (to == nullptr || to->kind != YamlNode::Kind::scalar) return;
    if (to->text == "default") {
        out.network = out.via->is_v4() ? IpAddress{Ip4{}} : IpAddress{};
    } else if (value.findings().error_count() == errors && out.via->is_v4() != out.network.is_v4()) {
        value.error_at("via", in_quotes(to_string(*out.via)) + " is an address of " + std::string{family_of(*out.via)} +
                                  ", and the route is one of " + std::string{family_of(out.network)});
    }
}

/// One group for each key of a map.
template <class Group, class Items>
void read_group_map(const Value& value, std::vector<Group>& out, void (*read_items)(const Value&, Items&)) {
    MapChecker checker{value};
    if (!checker.is_map()) return;
    for (const YamlNode& entry : value.node().items) {
        if (!checker.take(entry)) continue;
        const Value group = value.child(entry);
        const Parsed<std::string> name = parse_name(entry.key);
        if (!name.value) value.findings().error(entry.key_at, group.path(), name.error);
        Group& added = out.emplace_back();
        added.name = entry.key;
        read_items(group, added.items);
    }
}

}  // namespace

void read_ports(const Value& value, std::vector<Port>& out) {
    read_list(value, [&](const Value& item) { read_port(item, out.emplace_back()); });
    if (!value.is(YamlNode::Kind::sequence)) return;
    if (out.empty()) value.error("at least one port is needed");
    if (out.size() > kMaxPorts) {
        value.error(std::to_string(out.size()) + " ports: at most " + std::to_string(kMaxPorts) + " are possible");
    }
}

void read_routes(const Value& value, std::vector<Route>& out) {
    read_list(value, [&](const Value& item) { read_route(item, out.emplace_back()); });
}

void read_groups(const Value& value, Groups& out) {
    constexpr std::array<Field<Groups>, 2> kFields{{
        {"addresses", [](const Value& v, Groups& g) { read_group_map(v, g.addresses, read_address_items); }},
        {"ports", [](const Value& v, Groups& g) { read_group_map(v, g.ports, read_port_items); }},
    }};
    read_map(value, kFields, out);
}

}  // namespace sluice::config

// What filter rules, NAT rules and groups have in common: lists of addresses, of ports and of port names, and the
// checks on them. Names are noted as references and checked when the whole file has been read.
#pragma once

#include "control/config/reader.hh"
#include "control/config/schema.hh"
#include "dataplane/flow/protocols.hh"

namespace sluice::config {

/// An address, prefix, range or group, or a list of them.
void read_address_items(const Value& value, std::vector<AddressItem>& out);
/// A port, range or group, or a list of them.
void read_port_items(const Value& value, std::vector<PortItem>& out);

/// Also "!x" for one item and {not: x} for one or a list.
void read_address_match(const Value& value, AddressMatch& out);
void read_port_match(const Value& value, PortMatch& out);

/// A mark with or without a mask; also "!x" and {not: x}.
void read_mark_match(const Value& value, MarkMatch& out);

/// The name of a port, or a list of them.
void read_port_names(const Value& value, PortNameMatch& out);
/// The name of one port.
void read_port_name(const Value& value, std::string& out);

/// ipv4 or ipv6.
void read_family(const Value& value, Family& out);
void read_proto(const Value& value, std::optional<std::uint8_t>& out);
void read_comment(const Value& value, std::string& out);

/// Complains about sport or dport on a rule whose protocol has no ports.
void check_ports_need_proto(const Value& rule, std::optional<std::uint8_t> proto);

[[nodiscard]] constexpr bool has_ports(std::uint8_t proto) noexcept {
    return shape_of(l4_kind(proto, false)) == TupleShape::ports;
}

}  // namespace sluice::config

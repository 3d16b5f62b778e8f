#include "control/config/read_match.hh"

#include "control/config/enum_names.hh"

namespace sluice::config {
namespace {

constexpr std::string_view kAddressWanted = "an address, prefix, range or group";
constexpr std::string_view kPortWanted = "a port, range or group";

/// How addresses and ports differ where they are read alike.
struct Addresses {
    using Item = AddressItem;
    using Match = AddressMatch;
    static Parsed<Item> parse(std::string_view text) { return parse_address_item(text); }
    static constexpr std::string_view kWanted = kAddressWanted;
    static constexpr Reference::Kind kGroup = Reference::Kind::address_group;
};

struct Ports {
    using Item = PortItem;
    using Match = PortMatch;
    static Parsed<Item> parse(std::string_view text) { return parse_port_item(text); }
    static constexpr std::string_view kWanted = kPortWanted;
    static constexpr Reference::Kind kGroup = Reference::Kind::port_group;
};

template <class Kind>
void read_item_text(const Value& value, std::string_view text, std::vector<typename Kind::Item>& out) {
    auto parsed = Kind::parse(text);
    if (!parsed.value) return value.error(std::move(parsed.error));
    if (const auto* name = std::get_if<std::string>(&*parsed.value)) value.refer(Kind::kGroup, *name);
    out.push_back(*std::move(parsed.value));
}

template <class Kind>
void read_item(const Value& value, std::vector<typename Kind::Item>& out) {
    const std::string* text = value.scalar(Kind::kWanted);
    if (text == nullptr) return;
    if (text->starts_with('!')) return value.error("'!' negates a whole match: write {not: [...]} here");
    read_item_text<Kind>(value, *text, out);
}

template <class Kind>
void read_items(const Value& value, std::vector<typename Kind::Item>& out) {
    read_one_or_list(value, [&](const Value& item) { read_item<Kind>(item, out); });
}

template <class Kind>
void read_match(const Value& value, typename Kind::Match& out) {
    using Match = typename Kind::Match;
    if (value.is(YamlNode::Kind::map)) {
        constexpr std::array<Field<Match>, 1> kFields{{
            {"not", [](const Value& v, Match& m) { read_items<Kind>(v, m.items); }, Need::required},
        }};
        out.negated = true;
        return read_map(value, kFields, out);
    }
    if (value.is(YamlNode::Kind::scalar) && value.node().text.starts_with('!')) {
        out.negated = true;
        return read_item_text<Kind>(value, std::string_view{value.node().text}.substr(1), out.items);
    }
    read_items<Kind>(value, out.items);
}

void read_mark_text(const Value& value, std::string_view text, MarkMatch& out) {
    Parsed<MarkMatch> parsed = parse_mark_match(text);
    if (!parsed.value) return value.error(std::move(parsed.error));
    out.value = parsed.value->value;
    out.mask = parsed.value->mask;
}

}  // namespace

void read_mark_match(const Value& value, MarkMatch& out) {
    static constexpr std::string_view kWanted = "a mark";
    if (value.is(YamlNode::Kind::map)) {
        constexpr std::array<Field<MarkMatch>, 1> kFields{{
            {"not",
             [](const Value& v, MarkMatch& m) {
                 if (const std::string* text = v.scalar(kWanted)) read_mark_text(v, *text, m);
             },
             Need::required},
        }};
        out.negated = true;
        return read_map(value, kFields, out);
    }
    const std::string* text = value.scalar(kWanted);
    if (text == nullptr) return;
    out.negated = text->starts_with('!');
    read_mark_text(value, std::string_view{*text}.substr(out.negated ? 1 : 0), out);
}

void read_address_items(const Value& value, std::vector<AddressItem>& out) {
    read_items<Addresses>(value, out);
}
void read_port_items(const Value& value, std::vector<PortItem>& out) {
    read_items<Ports>(value, out);
}
void read_address_match(const Value& value, AddressMatch& out) {
    read_match<Addresses>(value, out);
}
void read_port_match(const Value& value, PortMatch& out) {
    read_match<Ports>(value, out);
}

void read_port_name(const Value& value, std::string& out) {
    const std::string* text = value.scalar("the name of a port");
    if (text == nullptr) return;
    out = *text;
    value.refer(Reference::Kind::port, *text);
}

void read_port_names(const Value& value, PortNameMatch& out) {
    read_one_or_list(value, [&](const Value& item) {
        std::string name;
        read_port_name(item, name);
        if (!name.empty()) out.names.push_back(std::move(name));
    });
}

void read_family(const Value& value, Family& out) {
    read_enum(value, kFamilies, out);
}

void read_proto(const Value& value, std::optional<std::uint8_t>& out) {
    read_parsed(value, parse_proto, "a protocol", out);
}

void read_comment(const Value& value, std::string& out) {
    read_text(value, out, 128);
}

void check_ports_need_proto(const Value& rule, std::optional<std::uint8_t> proto) {
    for (const std::string_view key : {"sport", "dport"}) {
        if (!rule.has(key) || (proto && has_ports(*proto))) continue;
        rule.error_at(key, std::string{key} + " needs proto: tcp, udp, sctp or udplite, and the rule has " +
                               (proto ? "proto: " + proto_name(*proto) : "none of them"));
    }
}

}  // namespace sluice::config

// JSON of flows and expectations, both ways.
#include <algorithm>

#include <boost/json/value.hpp>
#include <boost/json/value_to.hpp>

#include "control/api/json.hh"
#include "control/api/protocols.hh"
#include "dataplane/base/types.hh"

namespace sluice::api {
namespace {

namespace json = boost::json;

constexpr std::uint8_t kGre = 47, kEsp = 50;

/// By the number of the changed:: bit.
constexpr std::array<std::string_view, 5> kChangeNames{"reply", "assured", "state", "helper", "mark"};
static_assert(changed::kAll == (1U << kChangeNames.size()) - 1);

json::object tuple_json(std::uint8_t proto, const FlowTuple& t) {
    json::object out{{"src", t.src.to_string()}, {"dst", t.dst.to_string()}, {"zone", t.zone}};
    if (has_ports(proto)) {
        out["sport"] = t.sport;
        out["dport"] = t.dport;
    } else if (is_icmp(proto)) {
        out["icmp_type"] = t.icmp_type;
        out["icmp_code"] = t.icmp_code;
        out["icmp_id"] = t.icmp_id;
    } else if (proto == kGre) {
        out["srckey"] = t.sport;
        out["dstkey"] = t.dport;
    } else if (proto == kEsp) {
        out["spi"] = t.spi;
    }
    return out;
}

/// Reading throws on anything unexpected; the public functions turn that into "nothing".
template <class T>
T number(const json::object& object, std::string_view key) {
    return object.at(key).to_number<T>();
}

std::string text(const json::object& object, std::string_view key) {
    return std::string(object.at(key).as_string());
}

IpAddress address(const json::object& object, std::string_view key) {
    return boost::asio::ip::make_address(text(object, key));
}

FlowTuple tuple_from(std::uint8_t proto, const json::object& object) {
    FlowTuple t{.src = address(object, "src"), .dst = address(object, "dst")};
    t.zone = number<std::uint16_t>(object, "zone");
    if (has_ports(proto)) {
        t.sport = number<std::uint16_t>(object, "sport");
        t.dport = number<std::uint16_t>(object, "dport");
    } else if (is_icmp(proto)) {
        t.icmp_type = number<std::uint8_t>(object, "icmp_type");
        t.icmp_code = number<std::uint8_t>(object, "icmp_code");
        t.icmp_id = number<std::uint16_t>(object, "icmp_id");
    } else if (proto == kGre) {
        t.sport = number<std::uint16_t>(object, "srckey");
        t.dport = number<std::uint16_t>(object, "dstkey");
    } else if (proto == kEsp) {
        t.spi = number<std::uint32_t>(object, "spi");
    }
    return t;
}

json::object direction_json(const FlowRecord& flow, Direction direction) {
    json::object out = tuple_json(flow.proto, direction == Direction::original ? flow.original : flow.reply);
    const FlowCounters& counters = flow.counters[index_of(direction)];
    out["packets"] = counters.packets;
    out["bytes"] = counters.bytes;
    return out;
}

FlowCounters counters_from(const json::object& object) {
    return {number<std::uint64_t>(object, "packets"), number<std::uint64_t>(object, "bytes")};
}

}  // namespace

json::object to_json(const FlowRecord& flow) {
    return {{"id", std::to_string(flow.id)},
            {"family", flow.original.src.is_v6() ? "ipv6" : "ipv4"},
            {"proto", flow.proto},
            {"proto_name", protocol_name(flow.proto)},
            {"state", flow.state},
            {"timeout_s", flow.timeout_s},
            {"original", direction_json(flow, Direction::original)},
            {"reply", direction_json(flow, Direction::reply)},
            {"unreplied", flow.unreplied},
            {"assured", flow.assured},
            {"expected", flow.expected},
            {"mark", flow.mark},
            {"timeouts_s", {flow.timeouts_s[0], flow.timeouts_s[1]}},
            {"accounting", flow.counted},
            {"age_s", flow.age_s ? json::value(*flow.age_s) : json::value(nullptr)},
            {"use", flow.use},
            {"helper", flow.helper},
            {"worker", flow.worker},
            {"rule", flow.rule},
            {"nat_rule", flow.nat_rule}};
}

std::optional<FlowRecord> flow_from_json(const json::object& object) try {
    FlowRecord flow;
    const auto id = parse_number(text(object, "id"), UINT64_MAX);
    if (!id) return std::nullopt;
    flow.id = *id;
    flow.proto = number<std::uint8_t>(object, "proto");
    flow.state = text(object, "state");
    flow.timeout_s = number<std::uint32_t>(object, "timeout_s");
    const auto& original = object.at("original").as_object();
    const auto& reply = object.at("reply").as_object();
    flow.original = tuple_from(flow.proto, original);
    flow.reply = tuple_from(flow.proto, reply);
    flow.counters = {counters_from(original), counters_from(reply)};
    flow.unreplied = object.at("unreplied").as_bool();
    flow.assured = object.at("assured").as_bool();
    flow.expected = object.at("expected").as_bool();
    flow.mark = number<std::uint32_t>(object, "mark");
    flow.counted = object.at("accounting").as_bool();
    if (!object.at("age_s").is_null()) flow.age_s = number<std::uint32_t>(object, "age_s");
    flow.use = number<std::uint32_t>(object, "use");
    flow.helper = text(object, "helper");
    const auto& timeouts = object.at("timeouts_s").as_array();
    for (std::size_t i = 0; i < flow.timeouts_s.size(); ++i)
        flow.timeouts_s[i] = timeouts.at(i).to_number<std::uint32_t>();
    flow.worker = number<std::uint16_t>(object, "worker");
    flow.rule = text(object, "rule");
    flow.nat_rule = text(object, "nat_rule");
    return flow;
} catch (const std::exception&) {
    return std::nullopt;
}

json::object to_json(const FlowEventRecord& event) {
    json::array changes;
    for (std::size_t bit = 0; bit < kChangeNames.size(); ++bit)
        if ((event.changes >> bit & 1) != 0) changes.emplace_back(kChangeNames[bit]);
    const auto seconds = [](const auto& value) { return value ? json::value(*value) : json::value(nullptr); };
    return {{"event", kEventNames[static_cast<std::size_t>(event.kind)]},
            {"time_us", event.time_us},
            {"changes", std::move(changes)},
            {"by", event.by},
            {"start_s", seconds(event.start_s)},
            {"stop_s", seconds(event.stop_s)},
            {"flow", to_json(event.flow)}};
}

std::optional<FlowEventRecord> event_from_json(const json::object& object) try {
    FlowEventRecord event;
    const auto name = std::ranges::find(kEventNames, std::string_view(object.at("event").as_string()));
    auto flow = flow_from_json(object.at("flow").as_object());
    if (name == kEventNames.end() || !flow) return std::nullopt;
    event.kind = static_cast<FlowEventKind>(name - kEventNames.begin());
    event.flow = std::move(*flow);
    event.time_us = number<std::uint64_t>(object, "time_us");
    event.by = number<std::uint32_t>(object, "by");
    for (const auto& change : object.at("changes").as_array()) {
        const auto known = std::ranges::find(kChangeNames, std::string_view(change.as_string()));
        if (known == kChangeNames.end()) return std::nullopt;
        event.changes = static_cast<std::uint8_t>(event.changes | 1U << (known - kChangeNames.begin()));
    }
    if (!object.at("start_s").is_null()) event.start_s = number<std::uint64_t>(object, "start_s");
    if (!object.at("stop_s").is_null()) event.stop_s = number<std::uint64_t>(object, "stop_s");
    return event;
} catch (const std::exception&) {
    return std::nullopt;
}

json::object to_json(const ExpectationRecord& e) {
    return {{"proto", e.proto},
            {"proto_name", protocol_name(e.proto)},
            {"timeout_s", e.timeout_s},
            {"tuple", tuple_json(e.proto, e.tuple)},
            {"master_proto", e.master_proto},
            {"master", tuple_json(e.master_proto, e.master)},
            {"helper", e.helper},
            {"worker", e.worker}};
}

std::optional<ExpectationRecord> expectation_from_json(const json::object& object) try {
    ExpectationRecord e;
    e.proto = number<std::uint8_t>(object, "proto");
    e.timeout_s = number<std::uint32_t>(object, "timeout_s");
    e.tuple = tuple_from(e.proto, object.at("tuple").as_object());
    e.master_proto = number<std::uint8_t>(object, "master_proto");
    e.master = tuple_from(e.master_proto, object.at("master").as_object());
    e.helper = text(object, "helper");
    e.worker = number<std::uint16_t>(object, "worker");
    return e;
} catch (const std::exception&) {
    return std::nullopt;
}

}  // namespace sluice::api

#include "control/api/flow_update.hh"

#include <boost/json/object.hpp>
#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>
#include <boost/json/value.hpp>
#include <spdlog/fmt/fmt.h>

#include "control/api/flow_filter.hh"
#include "dataplane/flow/conn_state.hh"

namespace sluice::api {
namespace {

namespace json = boost::json;

/// Sets what `name` means; an answer other than "" says what the value should have been.
std::string set_one(FlowUpdate& update, std::string_view name, const json::value& value) {
    if (name == "mark") {
        const auto mark = value.is_string()   ? parse_mark(value.get_string())
                          : value.is_number() ? parse_mark(json::serialize(value))
                                              : std::nullopt;
        if (!mark) return "a mark (number, or \"value/mask\")";
        update.set_mark = true;
        update.mark = mark->first;
        update.mark_mask = mark->second;
        return "";
    }
    if (name == "timeout_s") {
        boost::system::error_code error;
        const auto seconds = value.is_number() ? value.to_number<std::uint32_t>(error) : 0;
        if (!value.is_number() || error || seconds > kLongestTimeout)
            return fmt::format("a number of seconds from 0 to {}", kLongestTimeout);
        update.set_timeout = true;
        update.timeout_s = seconds;
        return "";
    }
    constexpr const char* kStatus = "a list of ASSURED and SEEN_REPLY";
    if (!value.is_string()) return kStatus;
    const auto bits = parse_status_change(value.get_string());
    if (std::holds_alternative<std::string>(bits)) return kStatus;
    update.status = std::get<std::uint8_t>(bits);
    return "";
}

}  // namespace

std::variant<std::uint8_t, std::string> parse_status_change(std::string_view list) {
    std::uint8_t bits = 0;
    while (true) {
        const auto comma = list.find(',');
        std::string word(list.substr(0, comma));
        for (char& c : word)
            if (c >= 'a' && c <= 'z') c = static_cast<char>(c - 'a' + 'A');
        if (word == "ASSURED") {
            bits |= status::kAssured;
        } else if (word == "SEEN_REPLY") {
            bits |= status::kSeenReply;
        } else if (word == "EXPECTED") {
            return "Device or resource busy";
        } else if (word == "FIXED_TIMEOUT" || word == "OFFLOAD" || word == "HW_OFFLOAD") {
            return "Operation not supported";
        } else if (word != "UNSET" && word != "UNREPLIED") {
            return "invalid parameters";
        }
        if (comma == std::string_view::npos) return bits;
        list.remove_prefix(comma + 1);
    }
}

std::variant<FlowUpdate, std::string> parse_flow_update(std::string_view body) {
    boost::system::error_code error;
    const auto parsed = json::parse(json::string_view(body.data(), body.size()), error);
    const auto* object = error ? nullptr : parsed.if_object();
    if (object == nullptr || object->empty())
        return "the body is not an object with at least one of mark, timeout_s and status";
    FlowUpdate update;
    for (const auto& [key, value] : *object) {
        const std::string_view name(key.data(), key.size());
        if (name != "mark" && name != "timeout_s" && name != "status") return fmt::format("unknown key '{}'", name);
        if (const std::string wanted = set_one(update, name, value); !wanted.empty())
            return fmt::format("'{}': {} is not {}", name, json::serialize(value), wanted);
    }
    return update;
}

std::string flow_update_text(const FlowUpdate& update) {
    json::object out;
    if (update.set_mark) out["mark"] = fmt::format("{:#x}/{:#x}", update.mark, update.mark_mask);
    if (update.set_timeout) out["timeout_s"] = update.timeout_s;
    if (update.status != 0) {
        std::string list = (update.status & status::kSeenReply) != 0 ? "SEEN_REPLY," : "";
        if ((update.status & status::kAssured) != 0) list += "ASSURED,";
        list.pop_back();
        out["status"] = list;
    }
    return json::serialize(out);
}

}  // namespace sluice::api

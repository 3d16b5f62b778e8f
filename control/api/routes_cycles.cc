// GET /v1/cycles: what the workers spend their cycles on from now on for `seconds`, one answer when they are over.
// Nothing is counted but while somebody waits for such an answer; a client that leaves waits no longer.
#include <chrono>
#include <memory>

#include <spdlog/fmt/fmt.h>

#include "control/api/json.hh"
#include "control/api/protocols.hh"
#include "control/api/routes_impl.hh"

namespace sluice::api {
namespace {

constexpr std::uint64_t kMostSeconds = 3600;

/// The time, or one sentence that names the parameter at fault.
std::variant<std::chrono::seconds, std::string> parse(const QueryParameters& query) {
    std::chrono::seconds time{1};
    bool seen = false;
    for (const auto& [name, value] : query) {
        if (name != "seconds") return "unknown parameter '" + name + "'";
        if (seen) return "parameter 'seconds' is given twice";
        seen = true;
        const auto number = parse_number(value, kMostSeconds);
        if (!number || *number == 0)
            return fmt::format("parameter 'seconds': '{}' is not a number from 1 to {}", value, kMostSeconds);
        time = std::chrono::seconds(*number);
    }
    return time;
}

}  // namespace

void add_cycles_route(Router& router, Box& box) {
    router.add(http::verb::get, "/v1/cycles", [&box](const ExchangePtr& exchange) {
        const auto parsed = parse(exchange->request().query);
        if (const auto* error = std::get_if<std::string>(&parsed))
            return reply_error(*exchange, http::status::bad_request, *error);
        // Held by the exchange until it is answered or its client is gone.
        const auto measurement = std::make_shared<std::unique_ptr<CycleMeasurement>>();
        exchange->on_gone([measurement] { measurement->reset(); });
        *measurement = box.measure_cycles(
            std::get<std::chrono::seconds>(parsed),
            [exchange](const CycleReport& report) { reply_json(*exchange, http::status::ok, to_json(report)); });
    });
}

}  // namespace sluice::api

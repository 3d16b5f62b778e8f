// The short answers: one snapshot or one call to the box, one JSON. What takes its time is in the other routes_*.cc.
#include "control/api/routes.hh"

#include <boost/json/array.hpp>
#include <boost/json/serialize.hpp>
#include <boost/json/value_from.hpp>
#include <spdlog/spdlog.h>

#include "control/api/json.hh"
#include "control/api/routes_impl.hh"
#include "control/metrics/exporter.hh"

namespace sluice::api {
namespace {

namespace json = boost::json;

/// These paths take no parameters: a misspelt one is an error, never silently ignored.
bool takes_no_parameters(Exchange& exchange) {
    const auto& query = exchange.request().query;
    if (query.empty()) return true;
    reply_error(exchange, http::status::bad_request, "unknown parameter '" + query.front().first + "'");
    return false;
}

/// GET of something that one snapshot answers.
template <class ToJson>
void add_snapshot_route(Router& router, Box& box, const char* path, ToJson to_json_value) {
    router.add(http::verb::get, path, [&box, to_json_value](const ExchangePtr& exchange) {
        if (!takes_no_parameters(*exchange)) return;
        reply_json(*exchange, http::status::ok, to_json_value(box.snapshot()));
    });
}

void reply_issues(Exchange& exchange, std::string_view error, const std::vector<ConfigIssue>& issues) {
    json::array list;
    for (const auto& issue : issues) list.push_back(to_json(issue));
    reply_json(exchange, http::status::unprocessable_entity,
               json::object{{"error", error}, {"issues", std::move(list)}});
}

void add_config_routes(Router& router, Box& box) {
    router.add(http::verb::get, "/v1/config", [&box](const ExchangePtr& exchange) {
        if (takes_no_parameters(*exchange))
            exchange->reply(http::status::ok, "application/yaml", box.effective_config());
    });
    router.add(http::verb::post, "/v1/reload", [&box](const ExchangePtr& exchange) {
        if (!takes_no_parameters(*exchange)) return;
        box.reload([exchange](const ReloadResult& result) {
            if (!result.issues.empty())
                return reply_issues(
                    *exchange,
                    result.restart_needed
                        ? "the configuration is valid but needs a restart of sluiced; nothing was changed"
                        : "the configuration has errors; nothing was changed",
                    result.issues);
            reply_json(*exchange, http::status::ok, json::object{{"generation", result.generation}});
        });
    });
    router.add(http::verb::post, "/v1/check", [&box](const ExchangePtr& exchange) {
        if (!takes_no_parameters(*exchange)) return;
        if (exchange->request().body.empty())
            return reply_error(*exchange, http::status::bad_request, "the body must be the configuration to check");
        box.check(exchange->request().body, [exchange](const CheckResult& result) {
            if (!result.issues.empty()) return reply_issues(*exchange, "the configuration has errors", result.issues);
            reply_json(
                *exchange, http::status::ok,
                json::object{{"issues", json::array{}}, {"restart_needed", json::value_from(result.restart_needed)}});
        });
    });
}

void add_expectation_route(Router& router, Box& box) {
    router.add(http::verb::get, "/v1/expectations", [&box](const ExchangePtr& exchange) {
        if (!takes_no_parameters(*exchange)) return;
        box.list_expectations([exchange](const std::vector<ExpectationRecord>& expectations) {
            json::array list;
            for (const auto& expectation : expectations) list.push_back(to_json(expectation));
            reply_json(*exchange, http::status::ok, list);
        });
    });
}

}  // namespace

void reply_json(Exchange& exchange, http::status status, const json::value& value) {
    exchange.reply(status, "application/json", json::serialize(value) + '\n');
}

void add_metrics_route(Router& router, Box& box) {
    router.add(http::verb::get, "/metrics", [&box](const ExchangePtr& exchange) {
        // Prometheus never asks for this, sluicectl does.
        if (exchange->request().accept.find("application/json") != std::string::npos)
            return reply_json(*exchange, http::status::ok, metrics_json(box.snapshot()));
        const metrics::SnapshotCollector collector([&box] { return box.snapshot(); });
        exchange->reply(http::status::ok, "text/plain; version=0.0.4; charset=utf-8",
                        metrics::exposition({&collector}));
    });
}

void add_api_routes(Router& router, Box& box) {
    add_flow_routes(router, box);
    add_event_route(router, box);
    add_capture_route(router, box);
    add_cycles_route(router, box);
    add_expectation_route(router, box);
    add_config_routes(router, box);
    add_metrics_route(router, box);
    add_snapshot_route(router, box, "/v1/ports", ports_json);
    add_snapshot_route(router, box, "/v1/rules", rules_json);
    add_snapshot_route(router, box, "/v1/nat", nat_json);
    add_snapshot_route(router, box, "/v1/stats", stats_json);
    add_snapshot_route(router, box, "/v1/version", version_json);
}

}  // namespace sluice::api

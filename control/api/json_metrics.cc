// The metric families as JSON, for scripts that read JSON anyway. The names, helps and values are the exporter's own.
#include <cmath>

#include <prometheus/client_metric.h>
#include <prometheus/metric_type.h>

#include "control/api/json.hh"
#include "control/metrics/exporter.hh"

namespace sluice::api {
namespace {

namespace json = boost::json;

const char* name_of(prometheus::MetricType type) {
    switch (type) {
        case prometheus::MetricType::Counter:
            return "counter";
        case prometheus::MetricType::Gauge:
            return "gauge";
        case prometheus::MetricType::Summary:
            return "summary";
        default:
            return "untyped";
    }
}

/// Counters are whole numbers, which JSON readers would like to see as such; a double holds them exactly up to 2^53.
json::value number(double value) {
    constexpr double kExact = 9007199254740992.0;
    if (value >= 0 && value <= kExact && value == std::floor(value)) return static_cast<std::uint64_t>(value);
    return value;
}

json::object to_json(const prometheus::ClientMetric& metric, prometheus::MetricType type) {
    json::object labels;
    for (const auto& label : metric.label) labels[label.name] = label.value;
    json::object out{{"labels", std::move(labels)}};
    if (type == prometheus::MetricType::Summary) {
        out["count"] = metric.summary.sample_count;
        out["sum"] = number(metric.summary.sample_sum);
    } else {
        out["value"] = number(type == prometheus::MetricType::Counter ? metric.counter.value : metric.gauge.value);
    }
    return out;
}

}  // namespace

json::array metrics_json(const metrics::Snapshot& snapshot) {
    json::array families;
    for (const auto& family : metrics::families_of(snapshot)) {
        json::array metrics;
        for (const auto& metric : family.metric) metrics.push_back(to_json(metric, family.type));
        families.push_back(json::object{{"name", family.name},
                                        {"help", family.help},
                                        {"type", name_of(family.type)},
                                        {"metrics", std::move(metrics)}});
    }
    return families;
}

}  // namespace sluice::api

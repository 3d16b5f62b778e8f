// The Prometheus endpoint: turns a Snapshot into metric families and text. prometheus-cpp does the exposition format;
// its own HTTP server (civetweb, with threads) is not used: the control thread answers /metrics.
//
// Cost of a scrape is bounded: rules beyond kMaxRuleSeries and NAT rules beyond it get no series of their own (their
// number is exported), everything else is bounded by the numbers of ports, workers, reasons and states.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include <prometheus/collectable.h>
#include <prometheus/metric_family.h>

#include "control/metrics/snapshot.hh"

namespace sluice::metrics {

inline constexpr std::size_t kMaxRuleSeries = 2048;

/// All families of a snapshot. Names start with sluice_, units are base units (seconds, bytes), all have HELP.
std::vector<prometheus::MetricFamily> families_of(const Snapshot& snapshot);

/// The app's counters as a Collectable beside others. `take` is called in Collect(), on the control thread.
class SnapshotCollector : public prometheus::Collectable {
public:
    explicit SnapshotCollector(std::function<Snapshot()> take) : take_(std::move(take)) {}
    [[nodiscard]] std::vector<prometheus::MetricFamily> Collect() const override { return families_of(take_()); }

private:
    std::function<Snapshot()> take_;
};

/// Text exposition format 0.0.4 of several collectables (none may be null).
std::string exposition(const std::vector<const prometheus::Collectable*>& collectables);

}  // namespace sluice::metrics

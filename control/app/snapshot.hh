// All figures of the running box, summed for the API and the metrics. Reads relaxed counters only; walks no table.
// Control thread.
#pragma once

#include "control/ageing/ageing.hh"
#include "control/app/engine.hh"
#include "control/app/kernel_side.hh"
#include "control/metrics/snapshot.hh"
#include "control/publish/policy_publisher.hh"

namespace sluice::app {

struct SnapshotSources {
    const Machine& machine;
    Engine& engine;
    const KernelSide& kernel;
    const PolicyPublisher& publisher;
    const Ageing& ageing;
};

struct ReloadFigures {
    std::uint64_t reloads = 0;
    std::uint64_t failures = 0;
    double last_s = 0;  ///< UNIX time
};

/// Everything but the version and the uptime, which the caller knows.
metrics::Snapshot take_snapshot(const SnapshotSources& from, const ReloadFigures& reloads);

}  // namespace sluice::app

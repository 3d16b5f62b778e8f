// JSON of what workers spend their cycles on.
#include <boost/json/array.hpp>

#include "control/api/json.hh"

namespace sluice::api {
namespace {

namespace json = boost::json;

json::object worker_json(const WorkerCycles& w) {
    json::array stages;
    for (std::size_t s = 0; s < kStageCount; ++s)
        stages.push_back(
            json::object{{"stage", kStageNames[s]}, {"packets", w.stages[s].packets}, {"cycles", w.stages[s].cycles}});
    return {{"worker", w.worker},
            {"lcore", w.lcore},
            {"busy_loops", w.busy_loops},
            {"idle_loops", w.idle_loops},
            {"busy_cycles", w.busy_cycles},
            {"idle_cycles", w.idle_cycles},
            {"received", w.received},
            {"from_kernel", w.from_kernel},
            {"handed_in", w.handed_in},
            {"handed_out", w.handed_out},
            {"fast_path", w.fast_path},
            {"measured", json::object{{"loops", w.measured_loops},
                                      {"bursts", w.measured_bursts},
                                      {"packets", w.measured_packets},
                                      {"stages", std::move(stages)}}}};
}

}  // namespace

json::object to_json(const CycleReport& report) {
    json::array workers;
    for (const WorkerCycles& w : report.workers) workers.push_back(worker_json(w));
    return {{"seconds", report.seconds},
            {"tsc_hz", report.tsc_hz},
            {"one_busy_loop_in", report.one_busy_loop_in},
            {"workers", std::move(workers)}};
}

}  // namespace sluice::api

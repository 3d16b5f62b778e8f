#include "control/app/cycle_meter.hh"

#include <algorithm>
#include <array>
#include <utility>

#include "dataplane/base/stage_clock.hh"

namespace sluice {

namespace {

api::WorkerCycles figures_of(const WorkerCounters& c) {
    api::WorkerCycles w;
    w.busy_loops = c.loops_busy.get();
    w.idle_loops = c.loops_idle.get();
    w.busy_cycles = c.cycles_busy.get();
    w.idle_cycles = c.cycles_idle.get();
    w.received = c.balance.received.get();
    w.from_kernel = c.balance.from_twins.get();
    w.handed_in = c.balance.handed_in.get();
    w.handed_out = c.balance.handed_out.get();
    w.fast_path = c.fast_path.get();
    w.measured_loops = c.measured_loops.get();
    w.measured_bursts = c.measured_bursts.get();
    w.measured_packets = c.measured_packets.get();
    for (std::size_t s = 0; s < kStageCount; ++s) w.stages[s] = {c.stage_packets[s].get(), c.stage_cycles[s].get()};
    return w;
}

/// What came to pass between two readings.
void subtract(api::WorkerCycles& now, const api::WorkerCycles& then) {
    using W = api::WorkerCycles;
    for (std::uint64_t W::*figure :
         {&W::busy_loops, &W::idle_loops, &W::busy_cycles, &W::idle_cycles, &W::received, &W::from_kernel,
          &W::handed_in, &W::handed_out, &W::fast_path, &W::measured_loops, &W::measured_bursts, &W::measured_packets})
        now.*figure -= then.*figure;
    for (std::size_t s = 0; s < kStageCount; ++s) {
        now.stages[s].packets -= then.stages[s].packets;
        now.stages[s].cycles -= then.stages[s].cycles;
    }
}

}  // namespace

/// What a client holds.
class CycleMeter::Measurement : public api::CycleMeasurement {
public:
    Measurement(CycleMeter& meter, Now now, std::chrono::milliseconds time, Handler handler)
        : began(now),
          due_ms(now.ms + static_cast<TimeMs>(time.count())),
          before(meter.read()),
          tell(std::move(handler)),
          meter_(meter) {
        meter_.running_.push_back(this);
    }
    ~Measurement() override {
        if (std::erase(meter_.running_, this) != 0) meter_.order();
    }
    Measurement(const Measurement&) = delete;
    Measurement& operator=(const Measurement&) = delete;

    const Now began;
    const TimeMs due_ms;
    const std::vector<api::WorkerCycles> before;
    Handler tell;

private:
    CycleMeter& meter_;
};

CycleMeter::CycleMeter(const std::vector<Worker>& workers, std::uint64_t tsc_hz) : tsc_hz_(tsc_hz) {
    for (const Worker& worker : workers) sources_.push_back({worker, false});
}

CycleMeter::~CycleMeter() = default;

std::unique_ptr<api::CycleMeasurement> CycleMeter::start(Now now, std::chrono::milliseconds time, Handler handler) {
    auto measurement = std::make_unique<Measurement>(*this, now, time, std::move(handler));
    order();
    return measurement;
}

/// Tells the workers what has changed. A full order ring is tried again by poll().
void CycleMeter::order() {
    const bool wanted = !running_.empty();
    for (Source& source : sources_) {
        if (source.counting == wanted) continue;
        if (source.worker.orders->post({.kind = OrderKind::measure, .detail = wanted ? StageClock::kLiveEvery : 0}))
            source.counting = wanted;
    }
}

std::vector<api::WorkerCycles> CycleMeter::read() const {
    std::vector<api::WorkerCycles> figures;
    figures.reserve(sources_.size());
    for (const Source& source : sources_) figures.push_back(figures_of(*source.worker.counters));
    return figures;
}

void CycleMeter::poll(Now now) {
    order();
    while (true) {
        const auto due = std::ranges::find_if(running_, [&](const Measurement* m) { return now.ms >= m->due_ms; });
        if (due == running_.end()) return;
        Measurement& over = **due;
        running_.erase(due);
        order();
        api::CycleReport report{static_cast<double>(now.tsc - over.began.tsc) / static_cast<double>(tsc_hz_), tsc_hz_,
                                StageClock::kLiveEvery, read()};
        for (std::uint32_t i = 0; i < report.workers.size(); ++i) {
            report.workers[i].worker = i;
            report.workers[i].lcore = sources_[i].worker.lcore;
            subtract(report.workers[i], over.before[i]);
        }
        // The measurement may be destroyed in its own handler.
        const Handler tell = std::exchange(over.tell, nullptr);
        tell(report);
    }
}

}  // namespace sluice

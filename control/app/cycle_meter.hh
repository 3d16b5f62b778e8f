// What workers spend their cycles on, measured while somebody asks (sluicectl cycles).
//
//   first measurement → the order to every worker to count
//   poll()            → whose time is over gets a report: the counters now less those at its begin
//   last one is over  → the order to stop
//
// Each measurement has a begin and an end of its own and none resets a counter, so any number of clients can measure at
// once. It ends by itself when its time is over, and at once when it is destroyed, as that of a client that leaves.
//
// Owner: control thread.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

#include "control/api/box.hh"
#include "dataplane/base/clock.hh"
#include "dataplane/base/counters.hh"
#include "dataplane/flow/mailbox.hh"

namespace sluice {

class CycleMeter {
public:
    struct Worker {
        std::uint32_t lcore = 0;
        Ring<Order>* orders = nullptr;
        const WorkerCounters* counters = nullptr;
    };
    using Handler = std::function<void(const api::CycleReport&)>;

    /// `workers` in the order of their numbers; what they point to outlives this.
    CycleMeter(const std::vector<Worker>& workers, std::uint64_t tsc_hz);
    ~CycleMeter();
    CycleMeter(const CycleMeter&) = delete;
    CycleMeter& operator=(const CycleMeter&) = delete;

    /// poll() calls the handler once the time is over, unless the measurement has been destroyed by then. That it is
    /// destroyed later, or in the handler, is as well.
    [[nodiscard]] std::unique_ptr<api::CycleMeasurement> start(Now now, std::chrono::milliseconds time,
                                                               Handler handler);
    /// Reports of those whose time is over; orders that found no room.
    void poll(Now now);

    [[nodiscard]] std::size_t running() const noexcept { return running_.size(); }

private:
    class Measurement;
    struct Source {
        Worker worker;
        bool counting = false;  // what it was ordered last
    };
    void order();
    [[nodiscard]] std::vector<api::WorkerCycles> read() const;

    std::vector<Source> sources_;
    std::uint64_t tsc_hz_;
    std::vector<Measurement*> running_;
};

}  // namespace sluice

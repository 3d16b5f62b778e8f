// Runs a worker on its lcore. The EAL made the thread and pinned it; this gives it the loop and takes it back.
//
// Owner: control thread. The destructor stops the loop and waits for its end (one loop, at most one short sleep).
// Failure policy: std::runtime_error when the lcore is busy or does not exist.
#pragma once

#include <atomic>
#include <stdexcept>
#include <string>

#include <rte_launch.h>

#include "dataplane/worker/tsc_clock.hh"
#include "dataplane/worker/worker.hh"

namespace sluice {

template <class Pipeline>
class WorkerThread {
public:
    /// `worker` and `clock` must outlive it.
    WorkerThread(Worker<Pipeline>& worker, const TscClock& clock, Idle idle, unsigned lcore)
        : worker_(worker), clock_(clock), idle_(idle), lcore_(lcore) {
        if (rte_eal_remote_launch(&enter, this, lcore) != 0)
            throw std::runtime_error("worker " + std::to_string(worker.number()) + " could not start on lcore " +
                                     std::to_string(lcore));
    }
    ~WorkerThread() { stop(); }
    WorkerThread(const WorkerThread&) = delete;
    WorkerThread& operator=(const WorkerThread&) = delete;

    /// Asks the loop to end without waiting, so that several end at once.
    void ask_to_stop() noexcept { stop_.store(true, std::memory_order_relaxed); }
    /// Asks, and waits. From then on the caller may touch what the worker owned.
    void stop() noexcept {
        ask_to_stop();
        rte_eal_wait_lcore(lcore_);
    }

private:
    static int enter(void* self) noexcept {
        auto& t = *static_cast<WorkerThread*>(self);
        t.worker_.run(t.stop_, t.clock_, t.idle_);
        return 0;
    }

    Worker<Pipeline>& worker_;
    const TscClock& clock_;
    Idle idle_;
    unsigned lcore_;
    std::atomic<bool> stop_{false};
};

}  // namespace sluice

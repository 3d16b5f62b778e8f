// The data plane as the daemon holds it, in two steps, because the policy is compiled in between:
//
//   Machine: EAL, clock, devices, packet buffers, grace periods
//   Engine:  routes, the lcores' tables and rings, workers on their cores
//
// Life cycle: Machine → publication of the first policy → Engine → start() → … → stop() → destroy in reverse order.
// Owner: control thread. Failure policy: std::runtime_error, one line.
#pragma once

#include <memory>
#include <vector>

#include "control/ageing/ageing.hh"
#include "control/app/punt_bridge.hh"
#include "control/config/memory.hh"
#include "control/config/schema.hh"
#include "dataplane/worker/eal.hh"
#include "dataplane/worker/lcore.hh"
#include "dataplane/worker/ports.hh"
#include "dataplane/worker/worker_thread.hh"

namespace sluice::app {

class Machine {
public:
    Machine(const config::Config& config, EalLogSink log);

    Eal eal;
    TscClock clock;
    HomeMap homes;
    PortTable table;
    Ports ports;
    GracePeriods grace;
};

class Engine {
public:
    static constexpr std::uint32_t kMaxRoutes = config::kMostRoutes;
    static constexpr std::uint32_t kMaxNextHops = 1U << 16;

    Engine(Machine& machine, const config::Config& config, const Publication<Policy>& policy);
    ~Engine();
    Engine(const Engine&) = delete;
    Engine& operator=(const Engine&) = delete;

    void start();
    /// Workers end, devices fall silent. Twice is harmless.
    void stop() noexcept;

    /// Every worker gets the order; one whose ring is full gets it at a later call of retry_orders().
    void tell_all(const Order& order);
    /// True while some wait on.
    bool retry_orders();

    [[nodiscard]] RouteTable& routes() noexcept { return routes_; }
    [[nodiscard]] const std::vector<std::unique_ptr<Lcore>>& lcores() const noexcept { return lcores_; }
    [[nodiscard]] std::vector<AgeingWorker> ageing_workers() const;
    [[nodiscard]] std::vector<PuntRings> punt_rings() const;
    [[nodiscard]] std::vector<Ring<Order>*> order_rings() const;

private:
    struct Unsent {
        unsigned worker;
        Order order;
    };

    Machine& machine_;
    Idle idle_;
    RouteTable routes_;
    HandoffRings handoff_;
    std::vector<std::unique_ptr<Lcore>> lcores_;
    std::vector<std::unique_ptr<Worker<Pipeline>>> workers_;
    std::vector<std::unique_ptr<WorkerThread<Pipeline>>> threads_;
    std::vector<Unsent> unsent_;
};

}  // namespace sluice::app

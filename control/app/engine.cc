#include "control/app/engine.hh"

#include <random>
#include <sys/resource.h>
#include <utility>

#include "control/app/settings.hh"

namespace sluice::app {

namespace {

constexpr unsigned kHandoffRing = 1024;
constexpr std::size_t kMostUnsent = 65536;  // each is a neighbour; beyond, held packets wait for their timeout

std::uint64_t random_word() {
    std::random_device device;  // the kernel's
    return std::uint64_t{device()} << 32 | device();
}

EalOptions with_unlimited_locked_memory(EalOptions options) {
    // AF_XDP pins its buffers, and older kernels count BPF programs against this limit too. Without the right to lift
    // it, what does not fit says so itself.
    const rlimit unlimited{RLIM_INFINITY, RLIM_INFINITY};
    (void)::setrlimit(RLIMIT_MEMLOCK, &unlimited);
    return options;
}

}  // namespace

Machine::Machine(const config::Config& config, EalLogSink log)
    : eal(with_unlimited_locked_memory(eal_options(config)), std::move(log)),
      clock(TscClock::start_now()),
      homes(static_cast<unsigned>(config.workers.cores.size())),
      ports(port_configs(config), homes, table, buffer_demand(config)),
      grace(homes.workers()) {
    table.enable_ipv6(config::uses_ipv6(config));
}

Engine::Engine(Machine& machine, const config::Config& config, const Publication<Policy>& policy)
    : machine_(machine),
      idle_(idle_mode(config)),
      routes_("routes", machine.grace, kMaxRoutes, kMaxNextHops, SOCKET_ID_ANY, machine.table.ipv6()),
      handoff_("handoff", machine.homes.workers(), kHandoffRing, SOCKET_ID_ANY) {
    for (const std::uint16_t zone : config::zones_of(config)) routes_.add_zone(zone);
    const unsigned workers = machine.homes.workers();
    const SharedParts shared{
        machine.table, machine.homes, policy, routes_, handoff_, machine.ports.pool(), {random_word(), random_word()},
        random_word()};
    for (unsigned i = 0; i < workers; ++i)
        lcores_.push_back(std::make_unique<Lcore>("w", static_cast<std::uint8_t>(i), workers, shared,
                                                  lcore_sizes(config), SOCKET_ID_ANY));
    Lcore::connect(lcores_);
    for (unsigned i = 0; i < workers; ++i) {
        Lcore& lcore = *lcores_[i];
        for (const std::uint16_t device : machine.ports.device_ids()) {
            const std::uint16_t queue = machine.ports.tx_queue(device, i);
            if (queue != kNoQueue) lcore.tx.use_queue(device, queue);
            lcore.transmit_by(device, machine.ports.tx_worker(device, i));
        }
        workers_.push_back(std::make_unique<Worker<Pipeline>>(
            i, WorkerParts<Pipeline>{*lcore.pipeline, lcore.handoff, lcore.from_kernel, machine.grace, lcore.counters},
            machine.ports.rx_queues(i)));
    }
}

Engine::~Engine() {
    stop();
}

void Engine::start() {
    machine_.ports.start();
    for (unsigned i = 0; i < workers_.size(); ++i)
        threads_.push_back(
            std::make_unique<WorkerThread<Pipeline>>(*workers_[i], machine_.clock, idle_, lcore_of_worker(i)));
}

void Engine::stop() noexcept {
    for (auto& thread : threads_) thread->ask_to_stop();
    threads_.clear();
    for (auto& lcore : lcores_) {  // what still waits is counted as lost
        lcore->egress.shutdown();
        lcore->reassembly.shutdown();
    }
    machine_.ports.stop();
}

void Engine::tell_all(const Order& order) {
    for (unsigned i = 0; i < lcores_.size(); ++i)
        if (!lcores_[i]->orders.post(order) && unsent_.size() < kMostUnsent) unsent_.push_back({i, order});
}

bool Engine::retry_orders() {
    std::erase_if(unsent_, [this](const Unsent& u) { return lcores_[u.worker]->orders.post(u.order); });
    return !unsent_.empty();
}

std::vector<AgeingWorker> Engine::ageing_workers() const {
    std::vector<AgeingWorker> workers;
    for (const auto& l : lcores_) workers.push_back({&l->store, &l->to_control, &l->orders});
    return workers;
}

std::vector<PuntRings> Engine::punt_rings() const {
    std::vector<PuntRings> rings;
    for (const auto& l : lcores_) rings.push_back({&l->punt_ring, &l->from_kernel});
    return rings;
}

std::vector<Ring<Order>*> Engine::order_rings() const {
    std::vector<Ring<Order>*> rings;
    for (const auto& l : lcores_) rings.push_back(&l->orders);
    return rings;
}

}  // namespace sluice::app

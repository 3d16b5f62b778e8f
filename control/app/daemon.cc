#include "control/app/daemon.hh"

#include <chrono>
#include <csignal>
#include <utility>

#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/signal_set.hpp>
#include <boost/asio/steady_timer.hpp>
#include <rte_log.h>
#include <spdlog/spdlog.h>

#include "control/ageing/ageing.hh"
#include "control/api/http_server.hh"
#include "control/api/routes.hh"
#include "control/app/engine.hh"
#include "control/app/kernel_side.hh"
#include "control/app/live_box.hh"
#include "control/app/packet_log.hh"
#include "control/app/settings.hh"
#include "control/app/start_signals.hh"
#include "control/app/table_log.hh"
#include "control/app/tick_backoff.hh"
#include "control/compile/limits.hh"
#include "control/logging/log.hh"
#include "control/publish/policy_publisher.hh"

namespace sluice::app {

namespace {

using namespace std::chrono_literals;

constexpr unsigned kPuntsPerTick = 256;
constexpr unsigned kStepsPerTick = 1024;  // of ageing, for each worker
constexpr unsigned kEventsPerTick = 256;  // for those who listen, of each worker
constexpr auto kSlowTick = 500ms;         // carrier, full tables

void log_dpdk(int level, std::string_view line) {
    if (level <= static_cast<int>(RTE_LOG_ERR))
        spdlog::warn("{}", line);
    else if (level <= static_cast<int>(RTE_LOG_WARNING))
        spdlog::info("{}", line);
    else
        spdlog::debug("{}", line);
}

metrics::Listener listener_of(std::string name, const api::HttpServer& server) {
    const api::HttpCounts& counts = server.counts();
    return {std::move(name), server.connections(), counts.accepted, counts.evicted, counts.refused, counts.timed_out};
}

CompileTarget target_of(const config::Config& config) {
    const LcoreSizes sizes = lcore_sizes(config);
    return {static_cast<unsigned>(config.workers.cores.size()), sizes.flows, sizes.expectations};
}

}  // namespace

/// Members in the order in which they are made; the language takes them apart in reverse.
struct Daemon::State {
    State(const config::Config& config, std::filesystem::path config_file, std::string version, StartSignals& start)
        : server(io, router),
          metrics_server(io, metrics_router),
          listening(listen(config)),
          machine(start.before(config), &log_dpdk),
          target(target_of(start.before(config))),
          publisher(io, machine.grace, target, config),
          engine(start.before(machine), config, publisher.publication()),
          kernel(start.before(io), machine, engine, config),
          ageing(engine.ageing_workers(), machine.clock.now().ms,
                 [this](unsigned, const Notice& notice) { hear(notice); }),
          box({io, machine, engine, kernel, publisher, ageing, std::move(config_file), std::move(version), target,
               [this] { return listeners(); }}) {
        logging::share_cores();  // DPDK has put this thread on a core of its own
        if (!machine.eal.remark().empty()) spdlog::warn("{}", machine.eal.remark());
        for (const auto& remark : machine.ports.remarks()) spdlog::warn("{}", remark);
        api::add_api_routes(router, box);
        api::add_metrics_route(metrics_router, box);
        start.check();
        engine.start();
        kernel.start();
    }
    ~State() {
        // Nothing of control may run while its parts go, and no worker may touch what goes.
        metrics_server.stop();
        server.stop();
        engine.stop();
    }

    /// First of all, because it fails the most easily; whoever connects waits for run(). The control socket decides
    /// whether another box runs.
    bool listen(const config::Config& config) {
        server.listen_unix(config.control.socket);
        if (!config.metrics.listen.empty()) metrics_server.listen_tcp(config.metrics.listen);
        return true;
    }

    void hear(const Notice& notice) {
        if (notice.kind == NoticeKind::resolve)
            kernel.resolve(notice);
        else
            packet_log.write(notice, publisher.names().log_prefixes, publisher.config(),
                             std::chrono::steady_clock::now());
    }

    std::vector<metrics::Listener> listeners() const {
        std::vector<metrics::Listener> all{listener_of("control", server)};
        if (metrics_server.tcp_port() != 0) all.push_back(listener_of("metrics", metrics_server));
        return all;
    }

    /// What must not wait: punts, notices, expiries, replaced publications.
    void tick() {
        const bool more_punts = kernel.serve(kPuntsPerTick);
        const bool more_ageing = ageing.poll(machine.clock.now().ms, kStepsPerTick);
        const bool more_events = box.events().poll(kEventsPerTick);
        box.cycles().poll(machine.clock.now());
        const bool orders_wait = engine.retry_orders();
        machine.grace.reclaim();
        if (more_punts || more_ageing || more_events) {
            boost::asio::post(io, [this] { tick(); });
            return;
        }
        const std::uint64_t done = work_done();
        const bool worked = std::exchange(work_done_, done) != done || orders_wait || machine.grace.pending() != 0;
        timer.expires_after(backoff.after_tick(worked, std::chrono::steady_clock::now()));
        timer.async_wait([this](const boost::system::error_code& error) {
            if (!error) tick();
        });
    }

    /// Grows with whatever the workers had for control or control for them.
    std::uint64_t work_done() const {
        const PuntBridgeStats& punts = kernel.punts().stats();
        const AgeingStats aged = ageing.stats();
        return punts.to_kernel + punts.twin_refused + punts.twin_absent + punts.from_kernel + aged.notices +
               aged.expires_posted + box.events().told();
    }

    void slow_tick() {
        kernel.refresh();
        table_log.look(
            table_events(engine),
            {compile::flow_limit(publisher.config(), target), compile::half_open_limit(publisher.config(), target)},
            std::chrono::steady_clock::now());
        slow_timer.expires_after(kSlowTick);
        slow_timer.async_wait([this](const boost::system::error_code& error) {
            if (!error) slow_tick();
        });
    }

    void wait_for_signal() {
        signals.async_wait([this](const boost::system::error_code& error, int signal) {
            if (error) return;
            if (signal == SIGHUP) {
                box.reload([](const api::ReloadResult&) {});
                wait_for_signal();
                return;
            }
            spdlog::info("ending on signal {}", signal);
            io.stop();
        });
    }

    boost::asio::io_context io{1};
    boost::asio::signal_set signals{io, SIGHUP, SIGTERM, SIGINT};
    api::Router router;
    api::Router metrics_router;
    api::HttpServer server;
    api::HttpServer metrics_server;
    bool listening;  ///< the control socket is ours: no other box runs
    Machine machine;
    CompileTarget target;
    PolicyPublisher publisher;
    Engine engine;
    PacketLog packet_log;
    TableLog table_log;
    KernelSide kernel;
    Ageing ageing;
    LiveBox box;
    TickBackoff backoff;
    std::uint64_t work_done_ = 0;
    boost::asio::steady_timer timer{io};
    boost::asio::steady_timer slow_timer{io};
};

Daemon::Daemon(const config::Config& config, std::filesystem::path config_file, std::string version) {
    StartSignals start;
    state_ = std::make_unique<State>(config, std::move(config_file), std::move(version), start);
}

Daemon::~Daemon() = default;

void Daemon::run() {
    state_->wait_for_signal();
    state_->tick();
    state_->slow_tick();
    const config::Config& config = state_->publisher.config();
    spdlog::info(
        "conntrack: {} flows at most ({}), {} of them half-open", compile::flow_limit(config, state_->target),
        config.conntrack.max ? "conntrack.max" : fmt::format("from memory.megabytes {}", config.memory.megabytes),
        compile::half_open_limit(config, state_->target));
    spdlog::info("running, {} worker(s)", state_->engine.lcores().size());
    state_->io.run();
}

}  // namespace sluice::app

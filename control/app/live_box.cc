#include "control/app/live_box.hh"

#include <algorithm>

#include <boost/asio/post.hpp>
#include <spdlog/spdlog.h>

#include "control/app/settings.hh"
#include "control/config/print.hh"
#include "control/logging/log.hh"
#include "control/publish/restart_check.hh"

namespace sluice::app {

namespace {

std::vector<api::ConfigIssue> issues_of(const std::vector<config::ConfigError>& errors) {
    std::vector<api::ConfigIssue> issues;
    issues.reserve(errors.size());
    for (const auto& e : errors) issues.push_back({e.file, e.line, e.column, e.path, e.message});
    return issues;
}

std::vector<api::ConfigIssue> issues_of(const std::string& file, const std::vector<std::string>& messages) {
    std::vector<api::ConfigIssue> issues;
    issues.reserve(messages.size());
    for (const auto& message : messages) issues.push_back({file, 0, 0, "", message});
    return issues;
}

std::vector<EventHub::Worker> event_workers(const Engine& engine) {
    std::vector<EventHub::Worker> workers;
    for (const auto& lcore : engine.lcores()) workers.push_back({&lcore->orders, &lcore->counters.events_lost});
    return workers;
}

std::vector<CycleMeter::Worker> measured_workers(const Engine& engine) {
    std::vector<CycleMeter::Worker> workers;
    for (unsigned i = 0; i < engine.lcores().size(); ++i) {
        Lcore& lcore = *engine.lcores()[i];
        workers.push_back({lcore_of_worker(i), &lcore.orders, &lcore.counters});
    }
    return workers;
}

double unix_time() {
    return std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count();
}

}  // namespace

LiveBox::LiveBox(const Parts& parts)
    : at_(parts),
      lister_(
          parts.io, parts.engine.order_rings(), [this] { return at_.machine.clock.now().ms; },
          [this](const FlowCopy& flow, TimeMs now_ms, api::FlowRecord& record) { describe(flow, now_ms, record); }),
      events_(event_workers(parts.engine),
              [this](unsigned worker, const FlowEvent& event) { return event_record(worker, event); }),
      cycles_(measured_workers(parts.engine), parts.machine.clock.hz()),
      captures_(parts.io, parts.machine.grace) {
    reloads_.last_s = unix_time();  // the start has loaded a configuration as well
}

LiveBox::~LiveBox() {
    helper_.join();
}

metrics::Snapshot LiveBox::snapshot() {
    auto out = take_snapshot({at_.machine, at_.engine, at_.kernel, at_.publisher, at_.ageing}, reloads_);
    out.version = at_.version;
    out.listeners = at_.listeners();
    out.event_listeners = events_.listeners();
    out.events_lost_by_listeners = events_.lost_by_listeners();
    out.log_lines_lost = logging::lines_lost();
    out.uptime_s = std::chrono::duration<double>(std::chrono::steady_clock::now() - started_).count();
    return out;
}

std::string LiveBox::effective_config() {
    return config::to_yaml(at_.publisher.config());
}

std::uint64_t LiveBox::count_flows() {
    std::uint64_t flows = 0;
    for (const auto& lcore : at_.engine.lcores()) {
        const WorkerCounters& c = lcore->counters;
        flows += c.flow_births.get();
        for (const Counter& deaths : c.flow_deaths) flows -= deaths.get();
    }
    return flows;
}

void LiveBox::describe(const FlowCopy& flow, TimeMs now_ms, api::FlowRecord& record) const {
    const config::Conntrack& conntrack = at_.publisher.config().conntrack;
    record.counted = conntrack.accounting;
    if (conntrack.timestamps)
        record.age_s = static_cast<std::uint32_t>((now_ms - std::min(now_ms, flow.created_ms)) / 1000);
    // Rule numbers mean something in their own policy only.
    if (flow.nat_generation != at_.publisher.generation()) return;
    const auto& rules = at_.publisher.names().rules;
    for (const std::uint32_t rule : {flow.dnat_rule, flow.snat_rule}) {
        if (rule >= rules.size()) continue;
        if (!record.nat_rule.empty()) record.nat_rule += "; ";
        record.nat_rule += rules[rule].text;
    }
}

std::unique_ptr<api::FlowCursor> LiveBox::list_flows(api::FlowFilter filter) {
    return lister_.list(std::move(filter));
}

void LiveBox::delete_flows(std::vector<api::FlowId> ids, std::uint32_t by,
                           std::function<void(std::vector<api::FlowId>)> handler) {
    lister_.erase(ids, by, std::move(handler));
}

void LiveBox::flush_flows(std::uint32_t by, std::function<void(std::uint64_t)> handler) {
    lister_.flush(by, std::move(handler));
}

void LiveBox::update_flows(std::vector<api::FlowId> ids, const FlowUpdate& what, std::uint32_t by,
                           std::function<void(std::vector<api::FlowRecord>)> handler) {
    lister_.update(ids, what, by, std::move(handler));
}

std::unique_ptr<api::EventWatch> LiveBox::watch_events(api::EventHandlers handlers) {
    return events_.watch(std::move(handlers));
}

std::unique_ptr<api::CycleMeasurement> LiveBox::measure_cycles(std::chrono::milliseconds time,
                                                               std::function<void(const api::CycleReport&)> handler) {
    return cycles_.start(at_.machine.clock.now(), time, std::move(handler));
}

api::FlowEventRecord LiveBox::event_record(unsigned worker, const FlowEvent& event) const {
    api::FlowEventRecord record;
    record.kind = event.kind;
    record.changes = event.changes;
    record.by = event.by;
    record.flow = lister_.record_of(worker, event.flow, event.at_ms);
    // The workers' clock counts from the start, at whole milliseconds.
    const TimeMs now_ms = at_.machine.clock.now().ms;
    const auto now = std::chrono::system_clock::now().time_since_epoch();
    const auto unix_us = [&](TimeMs at_ms) {
        const auto ago = std::chrono::milliseconds(now_ms - std::min(now_ms, at_ms));
        return static_cast<std::uint64_t>(std::chrono::duration_cast<std::chrono::microseconds>(now - ago).count());
    };
    record.time_us = unix_us(event.at_ms);
    if (event.kind == FlowEventKind::destroyed && at_.publisher.config().conntrack.timestamps) {
        record.start_s = unix_us(event.flow.created_ms) / 1'000'000;
        record.stop_s = record.time_us / 1'000'000;
    }
    return record;
}

void LiveBox::list_expectations(std::function<void(std::vector<api::ExpectationRecord>)> handler) {
    lister_.expectations(std::move(handler));
}

void LiveBox::load(std::function<config::ConfigResult()> read, std::function<void(config::ConfigResult)> then) {
    boost::asio::post(helper_, [&io = at_.io, alive = std::weak_ptr<char>(alive_), read = std::move(read),
                                then = std::move(then)]() mutable {
        auto loaded = std::make_shared<config::ConfigResult>(read());
        boost::asio::post(io, [alive, loaded, then = std::move(then)] {
            if (!alive.expired()) then(std::move(*loaded));
        });
    });
}

void LiveBox::reload(std::function<void(api::ReloadResult)> handler) {
    load([file = at_.config_file] { return config::load_config_file(file); },
         [this, handler = std::move(handler)](config::ConfigResult loaded) {
             finish_reload(std::move(loaded), handler);
         });
}

void LiveBox::finish_reload(config::ConfigResult loaded, std::function<void(api::ReloadResult)> handler) {
    if (!loaded.ok()) {
        answer_reload(issues_of(loaded.errors), handler);
        return;
    }
    at_.publisher.apply(std::move(*loaded.config), [this, handler = std::move(handler)](const ApplyResult& result) {
        if (!result.ok()) {
            auto messages = result.messages;
            if (messages.empty()) messages.emplace_back("a newer reload took the place of this one");
            answer_reload(issues_of(at_.config_file.string(), messages), handler,
                          result.outcome == ApplyOutcome::refused);
            return;
        }
        at_.kernel.apply(at_.publisher.config());
        (void)logging::set_level(level_name(at_.publisher.config().log.level));
        answer_reload({}, handler);
    });
}

void LiveBox::answer_reload(std::vector<api::ConfigIssue> issues, const std::function<void(api::ReloadResult)>& handler,
                            bool restart_needed) {
    if (issues.empty()) {
        ++reloads_.reloads;
        reloads_.last_s = unix_time();
        spdlog::info("configuration loaded, policy generation {}", at_.publisher.generation());
    } else {
        ++reloads_.failures;
        spdlog::error("the configuration {}, the running one stays:",
                      restart_needed ? "is valid but needs a restart" : "was not loaded");
        for (const auto& i : issues)
            spdlog::error("{}", config::to_string(config::ConfigError{i.file, i.line, i.column, i.path, i.message}));
    }
    handler({std::move(issues), at_.publisher.generation(), restart_needed});
}

void LiveBox::check(std::string yaml, std::function<void(api::CheckResult)> handler) {
    load([yaml = std::move(yaml)] { return config::load_config_text(yaml, "configuration"); },
         [this, handler = std::move(handler)](const config::ConfigResult& loaded) {
             if (!loaded.ok())
                 handler({issues_of(loaded.errors), {}});
             else
                 handler({{}, needs_restart(at_.publisher.config(), *loaded.config, at_.target)});
         });
}

std::unique_ptr<api::Capture> LiveBox::start_capture(const std::string& port, std::uint32_t snaplen_bytes,
                                                     api::CaptureHandler handler) {
    const auto& ports = at_.publisher.config().ports;
    for (std::size_t i = 0; i < ports.size(); ++i) {
        if (ports[i].name != port) continue;
        const PortInfo& info = at_.machine.table[static_cast<PortIndex>(i)];
        const auto [rx, tx] = at_.machine.ports.queue_counts(info.device);
        return captures_.start({info.device, info.vlan, rx, tx}, snaplen_bytes, std::move(handler));
    }
    throw api::CaptureRefused("no port is named '" + port + "' any more");
}

}  // namespace sluice::app

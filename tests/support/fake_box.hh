// A Box over vectors, for tests of the API and of sluicectl. Slices are small and come later (posted), as with real
// workers, so that streams are cut in many places.
#pragma once

#include <algorithm>
#include <list>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>

#include "control/api/box.hh"
#include "dataplane/flow/conn_state.hh"

namespace sluice::test {

/// A TCP flow between documentation addresses; SNAT to 198.51.100.2 when `translated`.
inline api::FlowRecord tcp_flow(api::FlowId id, std::uint16_t sport, bool translated = true) {
    using boost::asio::ip::make_address;
    api::FlowRecord flow;
    flow.id = id;
    flow.proto = 6;
    flow.state = "ESTABLISHED";
    flow.timeout_s = 431995;
    flow.original = {
        .src = make_address("192.0.2.10"), .dst = make_address("203.0.113.9"), .sport = sport, .dport = 21};
    flow.reply = {.src = make_address("203.0.113.9"),
                  .dst = make_address(translated ? "198.51.100.2" : "192.0.2.10"),
                  .sport = 21,
                  .dport = sport};
    flow.assured = true;
    flow.counters = {api::FlowCounters{7, 401}, api::FlowCounters{6, 1434}};
    flow.helper = "ftp";
    return flow;
}

inline api::FlowRecord udp_flow(api::FlowId id, std::uint16_t sport) {
    using boost::asio::ip::make_address;
    api::FlowRecord flow;
    flow.id = id;
    flow.proto = 17;
    flow.timeout_s = 29;
    flow.original = {
        .src = make_address("192.0.2.11"), .dst = make_address("203.0.113.53"), .sport = sport, .dport = 53};
    flow.reply = {.src = make_address("203.0.113.53"), .dst = make_address("192.0.2.11"), .sport = 53, .dport = sport};
    flow.unreplied = true;
    flow.counters[0] = {1, 60};
    flow.mark = 7;
    return flow;
}

inline api::FlowRecord icmp_flow(api::FlowId id) {
    using boost::asio::ip::make_address;
    api::FlowRecord flow;
    flow.id = id;
    flow.proto = 1;
    flow.timeout_s = 29;
    flow.original = {
        .src = make_address("192.0.2.10"), .dst = make_address("203.0.113.9"), .icmp_type = 8, .icmp_id = 77};
    flow.reply = {.src = make_address("203.0.113.9"), .dst = make_address("198.51.100.2"), .icmp_id = 77};
    flow.counters = {api::FlowCounters{1, 84}, api::FlowCounters{1, 84}};
    return flow;
}

/// Two workers: the first half busy with 7000 packets at 200 cycles each, the other without any.
inline api::CycleReport cycle_report() {
    api::CycleReport report{.seconds = 1, .tsc_hz = 2'800'000, .one_busy_loop_in = 7, .workers = {}};
    api::WorkerCycles busy;
    busy.lcore = 1;
    busy.busy_loops = 700;
    busy.idle_loops = 90000;
    busy.busy_cycles = 1'400'000;
    busy.idle_cycles = 1'400'000;
    busy.received = 6990;
    busy.from_kernel = 4;
    busy.handed_in = 6;
    busy.handed_out = 14;
    busy.fast_path = 6300;
    busy.measured_loops = 100;
    busy.measured_bursts = 125;
    busy.measured_packets = 1000;
    const auto stage = [&](Stage s, std::uint64_t packets, std::uint64_t cycles) {
        busy.stages[static_cast<std::size_t>(s)] = {packets, cycles};
    };
    stage(Stage::receive, 1000, 30'000);
    stage(Stage::parse, 1000, 50'000);
    stage(Stage::lookup, 1000, 40'000);
    stage(Stage::fast_path, 1000, 20'000);
    stage(Stage::policy, 100, 50'000);
    stage(Stage::control, 0, 4'000);
    stage(Stage::flush, 0, 6'000);
    api::WorkerCycles idle;
    idle.worker = 1;
    idle.lcore = 2;
    idle.idle_loops = 180000;
    idle.idle_cycles = 2'800'000;
    report.workers = {busy, idle};
    return report;
}

/// A snapshot in which every kind of family has values.
inline metrics::Snapshot full_snapshot() {
    metrics::Snapshot s;
    s.version = "0.1.0";
    s.dpdk_version = "DPDK 22.11.3";
    s.uptime_s = 3723.5;
    s.ports = {{.name = "lan",
                .device = "net_af_xdp0,iface=l1",
                .role = "inside",
                .tap = "lan0",
                .mac = "02:00:00:00:00:01",
                .addresses = {"192.0.2.1/24"},
                .up = true,
                .mtu = 1500,
                .received = {1000, 64000},
                .transmitted = {900, 90000}},
               {.name = "wan",
                .device = "net_af_xdp1,iface=w1",
                .role = "outside",
                .tap = "wan0",
                .mac = "02:00:00:00:00:02",
                .addresses = {"203.0.113.1/24", "203.0.113.2/24"},
                .up = false,
                .mtu = 1500,
                .receive_missed = 3}};
    s.rules = {{.chain = "forward",
                .number = 1,
                .text = "state established,related accept",
                .comment = "web \"out\"",
                .hits = {12, 3456}},
               {.chain = "forward", .number = 0, .text = "policy drop", .hits = {1, 60}}};
    s.nat = {{.number = 1,
              .kind = "masquerade",
              .text = "out wan src 192.0.2.0/24 masquerade",
              .flows_created = 5,
              .pool_addresses = 2,
              .pool_in_use = 4,
              .pool_exhausted = 1},
             {.number = 2, .kind = "dnat", .text = "in wan tcp dport 8080 dnat to 192.0.2.10:80", .comment = "web"}};
    s.flows = {{"tcp", "ESTABLISHED", 3}, {"udp", "UNREPLIED", 1}, {"icmp", "-", 1}};
    metrics::Worker worker;
    worker.lcore = 1;
    worker.flows = 5;
    worker.flow_capacity = 65536;
    worker.flows_born = 9;
    worker.flows_died = 4;
    worker.flows_evicted = 7;
    worker.half_open = 4;
    worker.half_open_evicted = 6;
    worker.half_open_refused = 3;
    worker.invalid[0] = 1;
    worker.invalid[1] = 2;
    worker.first_packet_waits = 31;
    worker.first_packets_lost = 1;
    worker.busy_cycles = 250;
    worker.idle_cycles = 750;
    s.lateness_events = 4;
    s.lateness_sum_ms = 40;
    s.lateness_max_ms = 25;
    worker.drops[static_cast<std::size_t>(DropReason::ip_checksum)] = 2;
    worker.drops[static_cast<std::size_t>(DropReason::flow_table_full)] = 40;
    s.workers = {worker};
    s.punts = {{"arp_nd", 10, 0}, {"new", 4, 2}};
    s.listeners = {{.name = "control", .connections = 2, .accepted = 90, .evicted = 3, .refused = 1, .timed_out = 5}};
    s.ftp = {.commands_seen = 6,
             .rewrites = 4,
             .refused_foreign_address = 1,
             .refused_privileged_port = 2,
             .expectations_replaced = 8,
             .expectations_forgotten = 9};
    s.balance = {.split = 51, .merged = 52};
    s.from_twins = {20, 2000};
    s.flow_limit = 1000;
    s.half_open_limit = 500;
    s.flow_limit_from_memory = true;
    s.flow_capacity = 65536;
    s.policy_generation = 3;
    s.reloads = 2;
    s.reload_failures = 1;
    s.last_reload_s = 1.7e9;
    s.log_lines_lost = 12;
    return s;
}

class FakeBox : public api::Box {
public:
    explicit FakeBox(boost::asio::io_context& io) : io_(io) {}

    std::vector<api::FlowRecord> flows;
    std::vector<api::ExpectationRecord> expectations;
    std::vector<api::ConfigIssue> issues;     ///< what reload and check find
    std::vector<std::string> restart_needed;  ///< what check says
    bool reload_needs_restart = false;        ///< the issues of a reload are no mistakes
    std::size_t slice = 3;
    std::size_t live_cursors = 0;
    std::size_t live_captures = 0;
    std::size_t slices_fetched = 0;
    bool refuse_captures = false;
    bool throw_in_snapshot = false;
    bool refuse_events = false;
    std::uint64_t generation = 3;
    std::uint32_t asked_by = 0;                 ///< the process that wanted the last deletion, flush or update
    std::chrono::milliseconds measured_time{};  ///< what the last measurement of cycles asked for
    std::map<unsigned, std::function<void(const api::CycleReport&)>> measuring;  ///< who waits for cycles
    std::list<api::EventHandlers> watches;                                       ///< of those who listen to events
    std::uint64_t lost_by_listeners = 0;
    api::CaptureHandler on_packet;  ///< of the running capture; call it to capture a packet

    metrics::Snapshot snapshot() override {
        if (throw_in_snapshot) throw std::runtime_error("no counters");
        return full_snapshot();
    }
    std::string effective_config() override { return "workers: {cores: [1]}\n"; }
    std::uint64_t count_flows() override { return flows.size(); }

    std::unique_ptr<api::FlowCursor> list_flows(api::FlowFilter filter) override {
        return std::make_unique<Cursor>(*this, std::move(filter));
    }
    void delete_flows(std::vector<api::FlowId> ids, std::uint32_t by,
                      std::function<void(std::vector<api::FlowId>)> handler) override {
        asked_by = by;
        std::vector<api::FlowId> deleted;
        for (const auto id : ids)
            if (std::erase_if(flows, [&](const auto& flow) { return flow.id == id; }) > 0) deleted.push_back(id);
        boost::asio::post(io_, [handler = std::move(handler), deleted] { handler(deleted); });
    }
    void flush_flows(std::uint32_t by, std::function<void(std::uint64_t)> handler) override {
        asked_by = by;
        const auto count = flows.size();
        flows.clear();
        boost::asio::post(io_, [handler = std::move(handler), count] { handler(count); });
    }
    void update_flows(std::vector<api::FlowId> ids, const FlowUpdate& what, std::uint32_t by,
                      std::function<void(std::vector<api::FlowRecord>)> handler) override {
        asked_by = by;
        std::vector<api::FlowRecord> updated;
        for (auto& flow : flows) {
            if (std::ranges::find(ids, flow.id) == ids.end()) continue;
            const api::FlowRecord before = flow;
            if (what.set_mark) flow.mark = (flow.mark & ~what.mark_mask) ^ what.mark;
            if (what.set_timeout) flow.timeout_s = what.timeout_s;
            if ((what.status & status::kAssured) != 0) flow.assured = true;
            if ((what.status & status::kSeenReply) != 0) flow.unreplied = false;
            if (flow != before) updated.push_back(flow);
        }
        boost::asio::post(io_, [handler = std::move(handler), updated] { handler(updated); });
    }
    std::unique_ptr<api::EventWatch> watch_events(api::EventHandlers handlers) override {
        if (refuse_events) throw api::EventsRefused("no memory for the rings of events");
        watches.push_back(std::move(handlers));
        return std::make_unique<RunningWatch>(*this, watches.back());
    }
    std::unique_ptr<api::CycleMeasurement> measure_cycles(
        std::chrono::milliseconds time, std::function<void(const api::CycleReport&)> handler) override {
        measured_time = time;
        measuring.emplace(++measurements_, std::move(handler));
        return std::make_unique<RunningMeasurement>(*this, measurements_);
    }
    /// The time of all who measure is over.
    void report(const api::CycleReport& report) {
        for (const auto& [number, to] : std::exchange(measuring, {})) to(report);
    }
    /// All listeners hear of it.
    void tell(const api::FlowEventRecord& event) {
        for (const auto& to : watches) to.event(event);
    }
    void tell_lost(std::uint64_t events) {
        for (const auto& to : watches) to.lost(events);
    }
    void list_expectations(std::function<void(std::vector<api::ExpectationRecord>)> handler) override {
        boost::asio::post(io_, [this, handler = std::move(handler)] { handler(expectations); });
    }
    void reload(std::function<void(api::ReloadResult)> handler) override {
        if (issues.empty()) ++generation;
        boost::asio::post(io_, [this, handler = std::move(handler)] {
            handler({issues, generation, reload_needs_restart});
        });
    }
    void check(std::string, std::function<void(api::CheckResult)> handler) override {
        boost::asio::post(io_, [this, handler = std::move(handler)] { handler({issues, restart_needed}); });
    }
    std::unique_ptr<api::Capture> start_capture(const std::string&, std::uint32_t,
                                                api::CaptureHandler handler) override {
        if (refuse_captures) throw api::CaptureRefused("4 captures are running");
        on_packet = std::move(handler);
        return std::make_unique<RunningCapture>(*this);
    }

private:
    /// Walks by position in a copy of the ids, so deletion while listing skips nothing.
    class Cursor : public api::FlowCursor {
    public:
        Cursor(FakeBox& box, api::FlowFilter filter) : box_(box), filter_(std::move(filter)) {
            ++box_.live_cursors;
            for (const auto& flow : box_.flows) ids_.push_back(flow.id);
        }
        Cursor(const Cursor&) = delete;
        Cursor& operator=(const Cursor&) = delete;
        ~Cursor() override { --box_.live_cursors; }

        void next(api::SliceHandler handler) override {
            ++box_.slices_fetched;
            boost::asio::post(box_.io_, [this, alive = std::weak_ptr(alive_), handler = std::move(handler)] {
                if (alive.expired()) return;
                std::vector<api::FlowRecord> slice;
                const auto end = std::min(position_ + box_.slice, ids_.size());
                for (; position_ < end; ++position_) {
                    const auto flow = std::ranges::find(box_.flows, ids_[position_], &api::FlowRecord::id);
                    if (flow != box_.flows.end() && filter_.matches(*flow)) slice.push_back(*flow);
                }
                handler(std::move(slice), position_ == ids_.size());
            });
        }

    private:
        FakeBox& box_;
        api::FlowFilter filter_;
        std::vector<api::FlowId> ids_;
        std::size_t position_ = 0;
        std::shared_ptr<int> alive_ = std::make_shared<int>(0);
    };

    class RunningWatch : public api::EventWatch {
    public:
        RunningWatch(FakeBox& box, api::EventHandlers& handlers) : box_(box), handlers_(&handlers) {}
        RunningWatch(const RunningWatch&) = delete;
        RunningWatch& operator=(const RunningWatch&) = delete;
        ~RunningWatch() override {
            box_.watches.remove_if([this](const api::EventHandlers& one) { return &one == handlers_; });
        }
        void count_lost(std::uint64_t events) override { box_.lost_by_listeners += events; }

    private:
        FakeBox& box_;
        api::EventHandlers* handlers_;
    };

    class RunningMeasurement : public api::CycleMeasurement {
    public:
        RunningMeasurement(FakeBox& box, unsigned number) : box_(box), number_(number) {}
        RunningMeasurement(const RunningMeasurement&) = delete;
        RunningMeasurement& operator=(const RunningMeasurement&) = delete;
        ~RunningMeasurement() override { box_.measuring.erase(number_); }

    private:
        FakeBox& box_;
        unsigned number_;
    };

    class RunningCapture : public api::Capture {
    public:
        explicit RunningCapture(FakeBox& box) : box_(box) { ++box_.live_captures; }
        RunningCapture(const RunningCapture&) = delete;
        RunningCapture& operator=(const RunningCapture&) = delete;
        ~RunningCapture() override {
            --box_.live_captures;
            box_.on_packet = nullptr;
        }
        [[nodiscard]] std::uint64_t lost_packets() const override { return 0; }

    private:
        FakeBox& box_;
    };

    boost::asio::io_context& io_;
    unsigned measurements_ = 0;
};

}  // namespace sluice::test

// What the API needs from the running box, and nothing else of it. The app implements Box over the data plane; tests
// implement it over vectors. Every call comes from the control thread (the one io_context thread), and every handler is
// called on it, either before the call returns or later. No call may block or take longer than 5 ms: what needs the
// workers (flows, expectations, deletion) or the compile helper (reload, check) answers through a handler, and flows
// come in slices.
//
// A handler that was handed over is called exactly once, unless the object that its comment names is destroyed first.
// The Box outlives the HTTP server.
#pragma once

#include <array>
#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <stdexcept>
#include <string>
#include <vector>

#include "control/api/flow_filter.hh"
#include "control/api/flow_record.hh"
#include "control/metrics/snapshot.hh"
#include "dataplane/base/counters.hh"

namespace sluice::api {

/// A slice of a listing: at most a few hundred flows, all matching. `last` says that no further slice exists (the
/// slice itself may hold flows or be empty).
using SliceHandler = std::function<void(std::vector<FlowRecord> slice, bool last)>;

/// A listing in progress. It is not a snapshot: flows born or dead meanwhile may or may not show, as in Linux; none
/// shows twice in one place of the table.
struct FlowCursor {
    virtual ~FlowCursor() = default;  ///< ends the listing; a pending handler is not called any more
    /// Fetches the next slice (on the control thread, perhaps after a round trip to a worker). Called again only after
    /// the handler ran and only if it was not the last: this is the back-pressure of a slow reader.
    virtual void next(SliceHandler handler) = 0;
};

/// One thing that is wrong in a configuration.
struct ConfigIssue {
    std::string file;
    unsigned line = 0;    ///< from 1; 0: unknown
    unsigned column = 0;  ///< from 1; 0: unknown
    std::string path;     ///< dotted: "nat[2].dnat.port"
    std::string message;
};

struct ReloadResult {
    std::vector<ConfigIssue> issues;  ///< empty: the new configuration is in force
    std::uint64_t generation = 0;     ///< policy generation now in force
    bool restart_needed = false;      ///< the issues are no mistakes: each names what only a restart can change
};

struct CheckResult {
    std::vector<ConfigIssue> issues;          ///< empty: the configuration is valid
    std::vector<std::string> restart_needed;  ///< what of it a reload of this box would refuse; one sentence for each
};

struct CapturedPacket {
    std::uint64_t time_us = 0;     ///< UNIX time
    bool transmitted = false;      ///< left by the port (else arrived)
    std::uint32_t wire_bytes = 0;  ///< length of the frame on the wire
    std::span<const std::uint8_t>
        data;  ///< from the Ethernet header on, at most the snap length; valid during the call
};
using CaptureHandler = std::function<void(const CapturedPacket&)>;

/// Why there is no capture to be had: one sentence for people.
struct CaptureRefused : std::runtime_error {
    using std::runtime_error::runtime_error;
};

/// Called for each event, and with the number of those that a worker could not tell.
struct EventHandlers {
    std::function<void(const FlowEventRecord&)> event;
    std::function<void(std::uint64_t lost)> lost;
};

/// Why there are no events to be had: one sentence for people.
struct EventsRefused : std::runtime_error {
    using std::runtime_error::runtime_error;
};

/// Somebody listens to events.
struct EventWatch {
    virtual ~EventWatch() = default;  ///< no more: the handlers are not called again
    /// For the metrics: so many events were not passed on, because the listener took too few.
    virtual void count_lost(std::uint64_t events) = 0;
};

struct StageCycles {
    std::uint64_t packets = 0;  ///< that came into it; none where a part of the loop is not about packets
    std::uint64_t cycles = 0;
};

/// What a worker did within the time of a measurement. Cycles are those of the TSC.
struct WorkerCycles {
    std::uint32_t worker = 0;
    std::uint32_t lcore = 0;
    std::uint64_t busy_loops = 0, idle_loops = 0;    ///< idle: without a packet or an order
    std::uint64_t busy_cycles = 0, idle_cycles = 0;  ///< together all of its time
    std::uint64_t received = 0;                      ///< packets from devices
    std::uint64_t from_kernel = 0;
    std::uint64_t handed_in = 0, handed_out = 0;  ///< from and to other workers
    std::uint64_t fast_path = 0;                  ///< packets that took it
    // Of the busy loops that were measured:
    std::uint64_t measured_loops = 0, measured_bursts = 0, measured_packets = 0;
    std::array<StageCycles, kStageCount> stages{};  ///< by Stage; their cycles together are all of those loops
};

struct CycleReport {
    double seconds = 0;
    std::uint64_t tsc_hz = 0;
    std::uint32_t one_busy_loop_in = 0;  ///< how many were measured: about one of so many
    std::vector<WorkerCycles> workers;
};

/// Somebody waits for a report.
struct CycleMeasurement {
    virtual ~CycleMeasurement() = default;  ///< no more: the handler is not called any more
};

/// A capture in progress.
struct Capture {
    virtual ~Capture() = default;  ///< stops the capture; the handler is not called any more
    /// Packets that matched nothing because the ring from a worker was full.
    [[nodiscard]] virtual std::uint64_t lost_packets() const = 0;
};

struct Box {
    virtual ~Box() = default;

    /// All counters, ports, rules and NAT rules now.
    [[nodiscard]] virtual metrics::Snapshot snapshot() = 0;
    /// The configuration in force, defaults filled in, as YAML.
    [[nodiscard]] virtual std::string effective_config() = 0;

    /// Flows in the tables now (without walking them).
    [[nodiscard]] virtual std::uint64_t count_flows() = 0;
    /// Starts a listing of the flows that match; use `filter.matches(record)`.
    [[nodiscard]] virtual std::unique_ptr<FlowCursor> list_flows(FlowFilter filter) = 0;
    /// Deletes these flows; the handler gets those that were alive and are gone now. `by`: the process that wants it
    /// (0: nobody knows), here and below.
    virtual void delete_flows(std::vector<FlowId> ids, std::uint32_t by,
                              std::function<void(std::vector<FlowId> deleted)> handler) = 0;
    /// Deletes all flows; the handler gets their number.
    virtual void flush_flows(std::uint32_t by, std::function<void(std::uint64_t deleted)> handler) = 0;
    /// Changes these flows; the handler gets those that are different now, as they are now.
    virtual void update_flows(std::vector<FlowId> ids, const FlowUpdate& what, std::uint32_t by,
                              std::function<void(std::vector<FlowRecord> updated)> handler) = 0;
    /// Tells what happens to flows until the watch is destroyed. Throws EventsRefused.
    [[nodiscard]] virtual std::unique_ptr<EventWatch> watch_events(EventHandlers handlers) = 0;
    /// Measures what the workers spend their cycles on, from now on for `time`; the handler gets the report.
    [[nodiscard]] virtual std::unique_ptr<CycleMeasurement> measure_cycles(
        std::chrono::milliseconds time, std::function<void(const CycleReport&)> handler) = 0;
    /// Bounded by the limits of the helpers, so it comes in one piece.
    virtual void list_expectations(std::function<void(std::vector<ExpectationRecord>)> handler) = 0;

    /// Reads the configuration file again; all or nothing.
    virtual void reload(std::function<void(ReloadResult)> handler) = 0;
    /// Checks a configuration text (at most 1 MB) and compares it with the one in force; changes nothing.
    virtual void check(std::string yaml, std::function<void(CheckResult)> handler) = 0;

    /// Copies every packet of a port (a name that `snapshot().ports` has), cut to `snaplen_bytes`, to the handler until
    /// the Capture is destroyed. Throws CaptureRefused when the box has none to spare.
    [[nodiscard]] virtual std::unique_ptr<Capture> start_capture(const std::string& port, std::uint32_t snaplen_bytes,
                                                                 CaptureHandler handler) = 0;
};

}  // namespace sluice::api

// The running box as the API sees it. Every call comes from the control thread; nothing blocks: files are read by a
// helper thread, policies compiled by the publisher's, flows listed by the workers.
#pragma once

#include <chrono>
#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include <boost/asio/io_context.hpp>
#include <boost/asio/thread_pool.hpp>

#include "control/ageing/ageing.hh"
#include "control/api/box.hh"
#include "control/app/cycle_meter.hh"
#include "control/app/engine.hh"
#include "control/app/event_hub.hh"
#include "control/app/flow_lister.hh"
#include "control/app/kernel_side.hh"
#include "control/app/port_capture.hh"
#include "control/app/snapshot.hh"
#include "control/config/load.hh"
#include "control/publish/policy_publisher.hh"

namespace sluice::app {

class LiveBox final : public api::Box {
public:
    struct Parts {
        boost::asio::io_context& io;
        Machine& machine;
        Engine& engine;
        KernelSide& kernel;
        PolicyPublisher& publisher;
        Ageing& ageing;
        std::filesystem::path config_file;
        std::string version;
        CompileTarget target;
        std::function<std::vector<metrics::Listener>()> listeners;  ///< their figures now
    };
    explicit LiveBox(const Parts& parts);
    ~LiveBox() override;

    [[nodiscard]] metrics::Snapshot snapshot() override;
    [[nodiscard]] std::string effective_config() override;
    [[nodiscard]] std::uint64_t count_flows() override;
    [[nodiscard]] std::unique_ptr<api::FlowCursor> list_flows(api::FlowFilter filter) override;
    void delete_flows(std::vector<api::FlowId> ids, std::uint32_t by,
                      std::function<void(std::vector<api::FlowId>)> handler) override;
    void flush_flows(std::uint32_t by, std::function<void(std::uint64_t)> handler) override;
    void update_flows(std::vector<api::FlowId> ids, const FlowUpdate& what, std::uint32_t by,
                      std::function<void(std::vector<api::FlowRecord>)> handler) override;
    [[nodiscard]] std::unique_ptr<api::EventWatch> watch_events(api::EventHandlers handlers) override;
    [[nodiscard]] EventHub& events() noexcept { return events_; }
    [[nodiscard]] const EventHub& events() const noexcept { return events_; }
    [[nodiscard]] std::unique_ptr<api::CycleMeasurement> measure_cycles(
        std::chrono::milliseconds time, std::function<void(const api::CycleReport&)> handler) override;
    [[nodiscard]] CycleMeter& cycles() noexcept { return cycles_; }
    void list_expectations(std::function<void(std::vector<api::ExpectationRecord>)> handler) override;
    void reload(std::function<void(api::ReloadResult)> handler) override;
    void check(std::string yaml, std::function<void(api::CheckResult)> handler) override;
    [[nodiscard]] std::unique_ptr<api::Capture> start_capture(const std::string& port, std::uint32_t snaplen_bytes,
                                                              api::CaptureHandler handler) override;

private:
    void load(std::function<config::ConfigResult()> read, std::function<void(config::ConfigResult)> then);
    void finish_reload(config::ConfigResult loaded, std::function<void(api::ReloadResult)> handler);
    void answer_reload(std::vector<api::ConfigIssue> issues, const std::function<void(api::ReloadResult)>& handler,
                       bool restart_needed = false);
    void describe(const FlowCopy& flow, TimeMs now_ms, api::FlowRecord& record) const;
    [[nodiscard]] api::FlowEventRecord event_record(unsigned worker, const FlowEvent& event) const;

    Parts at_;
    std::chrono::steady_clock::time_point started_ = std::chrono::steady_clock::now();
    ReloadFigures reloads_;
    FlowLister lister_;
    EventHub events_;
    CycleMeter cycles_;
    PortCaptures captures_;
    std::shared_ptr<char> alive_ = std::make_shared<char>();  // handlers on the io_context see by it that we are gone
    boost::asio::thread_pool helper_{1};                      // last: joined first
};

}  // namespace sluice::app

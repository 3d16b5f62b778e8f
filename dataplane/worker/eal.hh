// Starts and ends DPDK's environment. One per process: DPDK cannot be started twice.
//
// Life cycle: construct before anything else of DPDK, on the thread that is to be the control thread (it becomes lcore
// 0 and is pinned to main_core, the worker threads wait on theirs); destroy last, after every port, pool and ring.
// Threads that the process starts afterwards inherit the pinning of their creator.
// Failure policy: std::runtime_error with one line that names the setting to change. Nothing stays behind.
//
// What DPDK and its drivers log goes to `sink`, line by line, from whatever thread logs; stderr stays ours. So does
// what libbpf and libxdp print for the driver of AF_XDP, as debug messages (xdp_log.hh).
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "dataplane/worker/eal_plan.hh"
#include "dataplane/worker/xdp_log.hh"

namespace sluice {

/// `level` as RTE_LOG_*: 1 (emergency) … 8 (debug).
using EalLogSink = std::function<void(int level, std::string_view line)>;

class Eal {
public:
    Eal(const EalOptions& options, EalLogSink sink);
    ~Eal();
    Eal(const Eal&) = delete;
    Eal& operator=(const Eal&) = delete;

    [[nodiscard]] bool hugepages() const noexcept { return plan_.hugepages; }
    /// What an operator should know about this start; empty: nothing.
    [[nodiscard]] const std::string& remark() const noexcept { return plan_.remark; }

private:
    class Log;
    EalPlan plan_;
    std::unique_ptr<Log> log_;
    std::unique_ptr<XdpLog> xdp_log_;
};

}  // namespace sluice

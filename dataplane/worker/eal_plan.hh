// What to tell DPDK's environment (EAL): from our own options and from what the machine has, to an argument list.
//
// Pure but for reading the facts, so that every case is a unit test. The choices that are made here:
//  * nothing is left on disk and nothing is shared: hugepages are anonymous (freed with the process even after
//    kill -9), no shared configuration, no telemetry socket. Two daemons never meet, so no lock is needed here; that
//    one box runs once is decided by its control socket. (DPDK's runtime directory is made, and stays empty.)
//  * lcore 0 is the control thread, lcore 1 + n is worker n, whatever CPU each is pinned to.
//  * a missing core, missing hugepages or too little memory is found before DPDK sees it, because DPDK says it in ten
//    lines that do not name the setting to change.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

namespace sluice {

enum class Hugepages : std::uint8_t { automatic, off };

struct EalOptions {
    unsigned main_core = 0;              ///< CPU of the control thread
    std::vector<unsigned> worker_cores;  ///< CPU of each worker, in worker order
    Hugepages hugepages = Hugepages::automatic;
    std::uint32_t megabytes = 1024;        ///< memory for tables and packet buffers
    std::vector<std::string> pci_devices;  ///< "0000:03:00.0", with devargs behind a comma; no other is touched
    unsigned simd_bits = 0;                ///< upper limit for vector code: 64, 128, 256, 512; 0: DPDK's choice
};

struct MachineFacts {
    std::vector<unsigned> usable_cpus;         ///< affinity of this process
    std::uint64_t free_hugepage_bytes = 0;     ///< of all sizes and nodes
    std::uint64_t available_memory_bytes = 0;  ///< MemAvailable
};

struct EalPlan {
    std::vector<std::string> arguments;  ///< program name first
    bool hugepages = false;
    std::string remark;   ///< what an operator should know (no hugepages although asked for); empty: nothing
    std::string problem;  ///< why this cannot start, one line; empty: it can
};

/// `root` is / but in tests. Facts that cannot be read are zero.
MachineFacts read_machine_facts(const std::filesystem::path& root);

EalPlan plan_eal(const EalOptions& options, const MachineFacts& machine);

/// lcore number of a worker.
constexpr unsigned lcore_of_worker(unsigned worker) noexcept {
    return worker + 1;
}

}  // namespace sluice

#include "dataplane/worker/eal_plan.hh"

#include <algorithm>
#include <fstream>
#include <sched.h>
#include <set>

#include <rte_build_config.h>

namespace sluice {

namespace {

constexpr std::uint64_t kMegabyte = 1U << 20;

std::uint64_t read_number(const std::filesystem::path& file) {
    std::ifstream in(file);
    std::uint64_t value = 0;
    return in >> value ? value : 0;
}

/// Sum over /sys/kernel/mm/hugepages/hugepages-<kB>kB/free_hugepages.
std::uint64_t free_hugepage_bytes(const std::filesystem::path& root) {
    std::uint64_t sum = 0;
    std::error_code ignored;
    for (const auto& entry : std::filesystem::directory_iterator(root / "sys/kernel/mm/hugepages", ignored)) {
        const std::string name = entry.path().filename().string();
        unsigned long long kilobytes = 0;
        if (std::sscanf(name.c_str(), "hugepages-%llukB", &kilobytes) == 1)
            sum += kilobytes * 1024 * read_number(entry.path() / "free_hugepages");
    }
    return sum;
}

std::uint64_t available_memory_bytes(const std::filesystem::path& root) {
    std::ifstream in(root / "proc/meminfo");
    for (std::string word; in >> word;) {
        std::uint64_t kilobytes = 0;
        if (word == "MemAvailable:" && in >> kilobytes) return kilobytes * 1024;
    }
    return 0;
}

/// 0, 1, 4: what an operator may choose from.
std::string list(const std::vector<unsigned>& numbers) {
    std::string text;
    for (const unsigned n : numbers) text += (text.empty() ? "" : ", ") + std::to_string(n);
    return text;
}

std::string core_problem(const EalOptions& options, const MachineFacts& machine) {
    std::set<unsigned> seen;
    std::vector<unsigned> cores{options.main_core};
    cores.insert(cores.end(), options.worker_cores.begin(), options.worker_cores.end());
    if (options.worker_cores.empty()) return "workers.cores is empty: at least one core must work";
    if (cores.size() > RTE_MAX_LCORE)
        return "workers.cores lists " + std::to_string(cores.size() - 1) + " cores; DPDK has room for " +
               std::to_string(RTE_MAX_LCORE - 1);
    for (const unsigned core : cores) {
        const auto& usable = machine.usable_cpus;
        if (std::find(usable.begin(), usable.end(), core) == usable.end())
            return "workers: core " + std::to_string(core) +
                   " is not available to this process (available: " + list(usable) + ")";
        if (!seen.insert(core).second) return "workers: core " + std::to_string(core) + " is named twice";
    }
    return {};
}

}  // namespace

MachineFacts read_machine_facts(const std::filesystem::path& root) {
    MachineFacts facts;
    cpu_set_t cpus;
    CPU_ZERO(&cpus);
    if (sched_getaffinity(0, sizeof cpus, &cpus) == 0)
        for (unsigned cpu = 0; cpu < CPU_SETSIZE; ++cpu)
            if (CPU_ISSET(cpu, &cpus)) facts.usable_cpus.push_back(cpu);
    facts.free_hugepage_bytes = free_hugepage_bytes(root);
    facts.available_memory_bytes = available_memory_bytes(root);
    return facts;
}

EalPlan plan_eal(const EalOptions& options, const MachineFacts& machine) {
    EalPlan plan;
    plan.problem = core_problem(options, machine);
    if (!plan.problem.empty()) return plan;

    const std::uint64_t wanted = std::uint64_t{options.megabytes} * kMegabyte;
    plan.hugepages = options.hugepages == Hugepages::automatic && machine.free_hugepage_bytes >= wanted;
    if (!plan.hugepages && machine.available_memory_bytes < wanted) {
        plan.problem = "memory.megabytes is " + std::to_string(options.megabytes) + ", but only " +
                       std::to_string(machine.available_memory_bytes / kMegabyte) + " MB of memory and " +
                       std::to_string(machine.free_hugepage_bytes / kMegabyte) + " MB of hugepages are free";
        return plan;
    }
    if (!plan.hugepages && options.hugepages == Hugepages::automatic)
        plan.remark = "running on ordinary pages: " + std::to_string(machine.free_hugepage_bytes / kMegabyte) +
                      " MB of hugepages are free, memory.megabytes is " + std::to_string(options.megabytes);
    if (!plan.hugepages && !options.pci_devices.empty()) {
        plan.problem = "PCI devices need " + std::to_string(options.megabytes) + " MB of hugepages; " +
                       std::to_string(machine.free_hugepage_bytes / kMegabyte) + " MB are free (vm.nr_hugepages)";
        return plan;
    }

    std::string lcores = "0@";
    lcores += std::to_string(options.main_core);
    for (unsigned i = 0; i < options.worker_cores.size(); ++i)
        lcores.append(",")
            .append(std::to_string(lcore_of_worker(i)))
            .append("@")
            .append(std::to_string(options.worker_cores[i]));
    plan.arguments = {
        "sluiced",        "--lcores",      lcores,  "--main-lcore", "0", "-m", std::to_string(options.megabytes),
        "--no-telemetry", "--file-prefix", "sluice"};
    if (plan.hugepages) {
        // One descriptor for many pages: with one for each, 2 GB take those below FD_SETSIZE, and libnftables, which
        // uses select(), aborts the process.
        plan.arguments.insert(plan.arguments.end(), {"--in-memory", "--single-file-segments"});
    } else {
        // Ordinary pages imply DPDK's legacy memory mode, which refuses --in-memory but keeps no files either.
        plan.arguments.insert(plan.arguments.end(), {"--no-huge", "--no-shconf"});
    }
    if (options.pci_devices.empty()) {
        // Without devices that do DMA, physical addresses are nobody's business (and root's alone).
        plan.arguments.insert(plan.arguments.end(), {"--no-pci", "--iova-mode=va"});
    }
    for (const auto& device : options.pci_devices) plan.arguments.insert(plan.arguments.end(), {"-a", device});
    if (options.simd_bits != 0)
        plan.arguments.push_back("--force-max-simd-bitwidth=" + std::to_string(options.simd_bits));
    return plan;
}

}  // namespace sluice

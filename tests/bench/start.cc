#include "tests/bench/start.hh"

#include <algorithm>
#include <stdexcept>
#include <vector>

#include <rte_eal.h>
#include <rte_errno.h>

#include "dataplane/worker/eal_plan.hh"

namespace sluice::bench {

namespace {

constexpr std::uint64_t kMega = 1U << 20;

/// Besides the tables there are lists, wheels and the generator's tuples, a quarter as much.
void check_room(std::uint64_t megabytes, bool huge, const MachineFacts& machine) {
    const std::uint64_t ordinary = megabytes / 4 + (huge ? 0 : megabytes);
    if (machine.available_memory_bytes == 0 || machine.available_memory_bytes >= ordinary * kMega) return;
    throw std::runtime_error("these scenarios take " + std::to_string(megabytes) + " MB of memory for tables and " +
                             std::to_string(megabytes / 4) + " MB besides, and " +
                             std::to_string(machine.free_hugepage_bytes / kMega) + " MB are free in hugepages, " +
                             std::to_string(machine.available_memory_bytes / kMega) +
                             " MB in all: ask for fewer --flows, or a smaller --table");
}

}  // namespace

Started start_eal(std::uint64_t megabytes, bool ordinary_pages) {
    const MachineFacts machine = read_machine_facts("/");
    const bool huge = !ordinary_pages && machine.free_hugepage_bytes >= megabytes * kMega;
    check_room(megabytes, huge, machine);
    std::vector<unsigned> cpus = machine.usable_cpus;
    if (cpus.empty()) cpus.push_back(0);
    std::string lcores = "0@";
    lcores.append(std::to_string(cpus[0]));
    if (cpus.size() > 1) lcores.append(",1@").append(std::to_string(cpus[1]));
    // DPDK keeps pointers to the words.
    static std::vector<std::string> words;
    words = {"sluice-bench", "--no-pci", "--no-telemetry", "--iova-mode=va",     "-m", std::to_string(megabytes),
             "--lcores",     lcores,     "--main-lcore=0", "--log-level=*:error"};
    if (huge) {
        words.emplace_back("--in-memory");
    } else {
        words.insert(words.end(), {"--no-huge", "--no-shconf"});
    }
    static std::vector<char*> arguments;
    for (std::string& word : words) arguments.push_back(word.data());
    if (rte_eal_init(static_cast<int>(arguments.size()), arguments.data()) < 0)
        throw std::runtime_error(std::string("DPDK could not start: ") + rte_strerror(rte_errno));
    return {huge ? "hugepages" : "ordinary pages", static_cast<unsigned>(cpus.size())};
}

}  // namespace sluice::bench

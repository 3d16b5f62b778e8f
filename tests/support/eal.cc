#include "tests/support/eal.hh"

#include <sched.h>
#include <stdexcept>
#include <string>
#include <vector>

#include <rte_eal.h>
#include <rte_errno.h>

namespace sluice::test {

namespace {

unsigned first_cpu_of(const cpu_set_t& cpus) {
    for (unsigned cpu = 0; cpu < CPU_SETSIZE; ++cpu)
        if (CPU_ISSET(cpu, &cpus)) return cpu;
    return 0;
}

/// What went wrong; empty when the EAL runs.
std::string start(unsigned megabytes) {
    cpu_set_t cpus;
    CPU_ZERO(&cpus);
    sched_getaffinity(0, sizeof cpus, &cpus);
    std::vector<std::string> words{"unit-test",
                                   "--no-huge",
                                   "--no-pci",
                                   "--no-telemetry",
                                   "--no-shconf",
                                   "--iova-mode=va",
                                   "-m",
                                   std::to_string(megabytes),
                                   "--lcores",
                                   "0@" + std::to_string(first_cpu_of(cpus)),
                                   "--log-level=lib.eal:error"};
    std::vector<char*> arguments;
    for (std::string& word : words) arguments.push_back(word.data());
    if (rte_eal_init(static_cast<int>(arguments.size()), arguments.data()) < 0)
        return std::string("rte_eal_init: ") + rte_strerror(rte_errno);
    // The EAL pins the caller; threads that a test starts would inherit that and share one CPU.
    sched_setaffinity(0, sizeof cpus, &cpus);
    return {};
}

}  // namespace

void ensure_eal(unsigned megabytes) {
    // A failed start is final too: the EAL refuses a second one with a misleading message.
    static const std::string problem = start(megabytes);
    if (!problem.empty()) throw std::runtime_error(problem);
}

}  // namespace sluice::test

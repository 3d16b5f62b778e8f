// Starts DPDK's environment for the bench. Failure policy: std::runtime_error, one line that says what to do.
#pragma once

#include <cstdint>
#include <string>

namespace sluice::bench {

struct Started {
    std::string memory;  ///< "hugepages" or "ordinary pages"
    unsigned cpus = 0;   ///< that the program may use
};

/// One lcore on the first CPU that we may use (taskset chooses), another on the second if there is one. `megabytes` for
/// tables and packets: of hugepages if there are as many and `ordinary_pages` does not forbid it.
Started start_eal(std::uint64_t megabytes, bool ordinary_pages);

}  // namespace sluice::bench

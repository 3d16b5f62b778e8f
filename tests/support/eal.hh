// A DPDK environment for unit tests: no hugepages, no devices, no files shared with other processes, one lcore.
#pragma once

namespace sluice::test {

/// Starts the EAL at the first call and does nothing afterwards; it lives until the process ends (DPDK cannot start it
/// twice). Throws std::runtime_error when it cannot start. The calling thread becomes the main lcore and keeps the CPU
/// affinity that it had. Call from one thread.
/// `megabytes`: for tables and packets; the first call decides.
void ensure_eal(unsigned megabytes = 512);

/// Base of Catch2 fixtures: TEST_CASE_METHOD(EalFixture, "…").
struct EalFixture {
    EalFixture() { ensure_eal(); }
};

}  // namespace sluice::test

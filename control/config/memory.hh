// What a configuration needs of the memory that DPDK is given (memory.megabytes), and what is left of it for flows: the
// one place that adds up packet buffers, routes, rings and tables. Reckoned on ordinary pages, which take more than
// hugepages do, so that what begins on the ones begins on the others as well. Pure functions.
//
// What the file does not say is taken as usual: 1500 bytes for the MTU of a device, and as many queues as workers for
// one of hardware. A start that finds more tells what it lacks (no memory for …).
#pragma once

#include <cstdint>
#include <string>

#include "control/config/schema.hh"
#include "dataplane/worker/ports.hh"

namespace sluice::config {

inline constexpr std::uint32_t kMostRoutes = 1U << 17;  ///< of each family

/// One worker's share of `total` flows or expectations. Homes are spread by a hash of addresses and so never evenly:
/// with several workers each may hold a quarter more than its even share (design: memory). Also what tables are sized
/// by at start.
[[nodiscard]] std::uint32_t share_of(std::uint32_t total, unsigned workers) noexcept;

/// Packet buffers that workers and control have under way at most.
[[nodiscard]] BufferDemand buffers_under_way(const Config& config) noexcept;

/// In MB, each rounded up.
struct MemoryNeed {
    std::uint64_t buffers = 0;  ///< packets, and the copies of a capture
    std::uint64_t routes = 0;
    std::uint64_t rings = 0;  ///< messages, expectations, and what DPDK and its drivers keep for themselves
    std::uint64_t flows = 0;  ///< with conntrack.max: auto the least that is worth a start

    [[nodiscard]] std::uint64_t fixed() const noexcept { return buffers + routes + rings; }
    [[nodiscard]] std::uint64_t megabytes() const noexcept { return fixed() + flows; }
};
[[nodiscard]] MemoryNeed memory_need(const Config& config);
/// 162 for packet buffers, 130 for routes, …
[[nodiscard]] std::string to_string(const MemoryNeed& need);

/// conntrack.max: auto. For each MB beyond what all else needs 2048 flows, with IPv6 1792: slots and keys of a flow
/// take at most 512 bytes with the allowance for several workers, with IPv6 585.
[[nodiscard]] std::uint32_t flows_of_memory(const Config& config);

}  // namespace sluice::config

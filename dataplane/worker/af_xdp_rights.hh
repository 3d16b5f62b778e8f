// Which rights AF_XDP lacks in this process. DPDK's driver tells a queue that another program uses from a missing
// capability, or a limit, in its log only, so this is asked when a queue could not be had.
//
// Owner: control thread. Failure policy: a kernel that does not tell counts as one that allows everything.
#pragma once

#include <cstdint>
#include <string>

namespace sluice {

/// The effective capabilities of the calling thread, a bit for each CAP_*.
[[nodiscard]] std::uint64_t capabilities_in_force();

/// Those of CAP_NET_ADMIN, CAP_NET_RAW and CAP_BPF (or CAP_SYS_ADMIN) that are not in the set, "CAP_A, CAP_B"; may be
/// empty.
[[nodiscard]] std::string missing_for_af_xdp(std::uint64_t effective);

/// Bytes that this process may lock (RLIMIT_MEMLOCK); all ones without a limit.
[[nodiscard]] std::uint64_t locked_memory_limit();

/// Whether the kernel lets a process with these capabilities and that limit lock `bytes` for AF_XDP.
[[nodiscard]] bool may_lock(std::uint64_t effective, std::uint64_t limit_bytes, std::uint64_t bytes);

}  // namespace sluice

// The configurations that the scenarios run under: a small office's rules, as many more as asked for, and one kind of
// translation. Failure policy: std::runtime_error with the loader's errors.
#pragma once

#include <cstdint>
#include <memory>

#include "dataplane/base/types.hh"
#include "dataplane/policy/policy.hh"
#include "tests/bench/traffic.hh"

namespace sluice::bench {

/// source: masquerade; destination: a service of the box's outside address, at a server inside on another port.
enum class Nat : std::uint8_t { none, source, destination };

inline constexpr Ip4 kLanAddress = ip4(192, 168, 1, 1), kInsideRouter = ip4(192, 168, 1, 254);
inline constexpr Ip4 kWanAddress = ip4(203, 0, 113, 1), kProvider = ip4(203, 0, 113, 254);
inline constexpr Ip4 kServer = ip4(10, 1, 1, 10);
inline constexpr std::uint16_t kServerPort = 5353;
/// Where a probe goes, which rules may turn against (PolicyWish::against_probe).
inline constexpr Ip4 kProbed = ip4(198, 18, 255, 7);

struct PolicyWish {
    static constexpr std::uint32_t kOfficeRules = 5;

    Nat nat = Nat::source;
    std::uint32_t slots = 4096;  ///< of each worker's table, all of which flows may use
    unsigned workers = 1;
    std::uint32_t rules = kOfficeRules;  ///< of the forward chain; what opens flows is the last of them
    unsigned half_open_percent = 100;
    std::uint32_t udp_s = 30, time_wait_s = 120;
    bool against_probe = false;
};

/// The forward chain has exactly wish.rules rules, at least kOfficeRules.
std::unique_ptr<const Policy> bench_policy(const PolicyWish& wish, std::uint32_t generation);

}  // namespace sluice::bench

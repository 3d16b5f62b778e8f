// The one clock of the process: milliseconds since the daemon started, from the cycle counter. Workers read it once a
// loop, the control thread when it wants to compare with a worker's times. Tests make a `Now` by hand instead.
//
// Life cycle: made once after the EAL knows the counter's frequency; constant, so any thread may read it.
#pragma once

#include <cstdint>

#include <rte_cycles.h>

#include "dataplane/base/clock.hh"

namespace sluice {

class TscClock {
    __extension__ using Fixed = unsigned __int128;

public:
    /// `hz` cycles per second, at least 1000.
    TscClock(std::uint64_t start, std::uint64_t hz) noexcept
        : start_(start), hz_(hz), milliseconds_per_cycle_((Fixed{1000} << 64) / hz) {}
    /// Starts now.
    static TscClock start_now() noexcept { return {rte_rdtsc(), rte_get_tsc_hz()}; }

    /// A multiplication and a shift, no division. Never runs backwards; before the start it is 0.
    [[nodiscard]] Now at(std::uint64_t tsc) const noexcept {
        const std::uint64_t cycles = tsc > start_ ? tsc - start_ : 0;
        return {static_cast<TimeMs>((cycles * milliseconds_per_cycle_) >> 64), tsc};
    }
    [[nodiscard]] Now now() const noexcept { return at(rte_rdtsc()); }
    [[nodiscard]] std::uint64_t hz() const noexcept { return hz_; }

private:
    std::uint64_t start_;
    std::uint64_t hz_;
    Fixed milliseconds_per_cycle_;  // 64 fractional bits
};

}  // namespace sluice

// When a worker that finds no packets may sleep, and for how long.
//
// Spinning is the default of a poll-mode worker. With `sleep`, a worker first spins for a while (traffic comes in
// groups, and a sleep costs two context switches), then sleeps a little, then twice as long, up to a limit that keeps
// the delay of the first packet after a pause well below a millisecond. Only a worker that has had nothing to do for
// two seconds goes to the second limit, a millisecond: a burst of a million packets a second that ends a long silence
// still fits into a receive queue, and into the ring from another worker, until it wakes. A loop with work starts it
// over.
//
// Then a worker wakes about a thousand times a second for a few microseconds each. DPDK's AF_XDP and AF_PACKET drivers
// offer no receive interrupt to wait for, so a timer is what all devices have in common.
#pragma once

#include <algorithm>
#include <cstdint>

namespace sluice {

enum class Idle : std::uint8_t { spin, sleep };

class IdleBackoff {
public:
    static constexpr std::uint32_t kSpinMicroseconds = 100;
    static constexpr std::uint32_t kFirstSleepNanoseconds = 50'000;
    static constexpr std::uint32_t kLongestSleepNanoseconds = 400'000;
    static constexpr std::uint32_t kSilenceMilliseconds = 2000;
    static constexpr std::uint32_t kSleepInSilenceNanoseconds = 1'000'000;

    IdleBackoff(Idle mode, std::uint64_t tsc_hz) noexcept
        : mode_(mode),
          spin_cycles_(tsc_hz / 1'000'000 * kSpinMicroseconds),
          silence_cycles_(tsc_hz / 1000 * kSilenceMilliseconds) {}

    /// After each loop; nanoseconds to sleep before the next, 0: go on at once.
    [[nodiscard]] std::uint32_t after_loop(bool worked, std::uint64_t tsc) noexcept {
        if (mode_ == Idle::spin) return 0;
        if (worked || last_work_tsc_ == 0) {
            last_work_tsc_ = tsc;
            next_sleep_ns_ = kFirstSleepNanoseconds;
            return 0;
        }
        const std::uint64_t idle_cycles = tsc - last_work_tsc_;
        if (idle_cycles < spin_cycles_) return 0;
        if (idle_cycles >= silence_cycles_) return kSleepInSilenceNanoseconds;
        const std::uint32_t sleep = next_sleep_ns_;
        next_sleep_ns_ = std::min(2 * next_sleep_ns_, kLongestSleepNanoseconds);
        return sleep;
    }

private:
    Idle mode_;
    std::uint64_t spin_cycles_;
    std::uint64_t silence_cycles_;
    std::uint64_t last_work_tsc_ = 0;
    std::uint32_t next_sleep_ns_ = kFirstSleepNanoseconds;
};

}  // namespace sluice

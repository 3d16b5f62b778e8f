// Last-seen time and the timeout in force, in one 64-bit word, so that one relaxed store per packet tells the control
// thread all that ageing needs (design: ageing). 40 bits of milliseconds, 24 bits of seconds (194 days).
#pragma once

#include <atomic>
#include <cstdint>

#include "dataplane/base/clock.hh"

namespace sluice {

struct Lifetime {
    TimeMs last_seen_ms = 0;
    std::uint32_t timeout_s = 0;

    [[nodiscard]] TimeMs deadline_ms() const noexcept { return last_seen_ms + TimeMs{timeout_s} * 1000; }
    [[nodiscard]] std::uint64_t pack() const noexcept { return (last_seen_ms << 24) | (timeout_s & 0xffffffU); }
    static Lifetime unpack(std::uint64_t word) noexcept {
        return {word >> 24, static_cast<std::uint32_t>(word & 0xffffffU)};
    }
};

/// writer: the worker that owns the flow; readers: control (wheel), both relaxed.
class LifetimeWord {
public:
    void store(Lifetime l) noexcept { word_.store(l.pack(), std::memory_order_relaxed); }
    [[nodiscard]] Lifetime load() const noexcept { return Lifetime::unpack(word_.load(std::memory_order_relaxed)); }

private:
    std::atomic<std::uint64_t> word_{0};
};

/// When the control thread's wheel will next look at a slot: 24 bits of slot generation, 40 bits of milliseconds.
/// The generation keeps an answer about the slot's former flow from being taken for one about its present flow.
/// writer: control; reader: the worker.
class ArmedWord {
public:
    void store(std::uint32_t generation, TimeMs until_ms) noexcept {
        word_.store((std::uint64_t{generation & 0xffffffU} << 40) | (until_ms & kMask), std::memory_order_release);
    }
    /// The armed time, or "never" when the word speaks of another generation.
    [[nodiscard]] TimeMs load(std::uint32_t generation) const noexcept {
        const auto w = word_.load(std::memory_order_acquire);
        return (w >> 40) == (generation & 0xffffffU) ? (w & kMask) : kNotArmed;
    }
    static constexpr TimeMs kNotArmed = ~TimeMs{0};

private:
    static constexpr std::uint64_t kMask = (std::uint64_t{1} << 40) - 1;
    std::atomic<std::uint64_t> word_{0};
};

}  // namespace sluice

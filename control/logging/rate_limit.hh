// Keeps a message that could repeat with every packet from flooding the log: a token bucket like Linux's
// net_ratelimit (10 messages per 5 s), with the count of what was kept back. Time is passed in.
//
// Owner: one thread (control).
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>

namespace sluice::logging {

class RateLimit {
public:
    using Clock = std::chrono::steady_clock;

    /// At most `burst` messages in any `interval`.
    constexpr RateLimit(std::uint32_t burst, Clock::duration interval) : burst_(burst), interval_(interval) {}

    /// Whether to write now; if so, the value is the number of messages kept back since the last one written.
    [[nodiscard]] constexpr std::optional<std::uint64_t> admit(Clock::time_point now) {
        if (!started_ || now - window_start_ >= interval_) {
            started_ = true;
            window_start_ = now;
            written_ = 0;
        }
        if (written_ >= burst_) {
            ++kept_back_;
            return std::nullopt;
        }
        ++written_;
        const auto kept_back = kept_back_;
        kept_back_ = 0;
        return kept_back;
    }

private:
    std::uint32_t burst_;
    Clock::duration interval_;
    Clock::time_point window_start_{};
    std::uint32_t written_ = 0;
    std::uint64_t kept_back_ = 0;
    bool started_ = false;
};

}  // namespace sluice::logging

// A token bucket of one worker: no clock of its own, no division per packet.
#pragma once

#include <algorithm>
#include <cstdint>

#include "dataplane/base/clock.hh"

namespace sluice {

/// Rate in packets per second, burst in packets. Rate 0 means unlimited.
struct BucketSpec {
    std::uint32_t rate_pps = 0;
    std::uint32_t burst = 0;
    friend bool operator==(const BucketSpec&, const BucketSpec&) = default;
};

class TokenBucket {
public:
    void configure(BucketSpec spec) noexcept {
        spec_ = spec;
        milli_tokens_ = std::uint64_t{spec.burst} * 1000;
    }
    /// `cost`: what the packet counts for; at most what a full bucket holds.
    [[nodiscard]] bool take(Now now, std::uint32_t cost = 1) noexcept {
        if (spec_.rate_pps == 0) return true;
        if (now.ms > last_ms_) {
            milli_tokens_ =
                std::min(std::uint64_t{spec_.burst} * 1000,
                         milli_tokens_ + std::min<std::uint64_t>(now.ms - last_ms_, 1U << 20) * spec_.rate_pps);
            last_ms_ = now.ms;
        }
        const std::uint64_t milli_cost = std::uint64_t{cost <= spec_.burst ? cost : std::max(spec_.burst, 1U)} * 1000;
        if (milli_tokens_ < milli_cost) return false;
        milli_tokens_ -= milli_cost;
        return true;
    }

private:
    BucketSpec spec_{};
    std::uint64_t milli_tokens_ = 0;
    TimeMs last_ms_ = 0;
};

}  // namespace sluice

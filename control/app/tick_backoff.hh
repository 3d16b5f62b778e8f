// How long the control thread may rest between two looks at the workers' rings.
//
// Workers make no system call for control's sake, so control has to look: every millisecond while punts and notices
// come, and for two seconds after the last of them (who pings once a second is served like anybody). Then less often:
// what ends a silence waits a few milliseconds, once, and an idle box hardly runs. What comes from the kernel, from
// clients and from timers of its own wakes the control thread at once, whatever the tick.
#pragma once

#include <algorithm>
#include <chrono>

namespace sluice::app {

class TickBackoff {
public:
    static constexpr std::chrono::milliseconds kShortest{1};
    static constexpr std::chrono::milliseconds kLongest{4};
    static constexpr std::chrono::milliseconds kPatience{2000};

    /// After each tick at `now`: until the next.
    [[nodiscard]] std::chrono::milliseconds after_tick(bool worked,
                                                       std::chrono::steady_clock::time_point now) noexcept {
        if (worked) last_work_ = now;
        if (now - last_work_ < kPatience) return rest_ = kShortest;
        return rest_ = std::min(2 * rest_, kLongest);
    }

private:
    std::chrono::steady_clock::time_point last_work_{};
    std::chrono::milliseconds rest_ = kShortest;
};

}  // namespace sluice::app

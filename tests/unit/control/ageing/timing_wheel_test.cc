#include "control/ageing/timing_wheel.hh"

#include <algorithm>
#include <map>
#include <optional>
#include <random>
#include <stdexcept>
#include <vector>

#include <catch2/catch.hpp>

using namespace sluice;

namespace {

constexpr std::size_t kPlenty = 1'000'000'000;
constexpr TimeMs kTick = TimingWheel::kTickMs;

/// Slots fired by one advance, in ascending order.
std::vector<std::uint32_t> fired(TimingWheel& wheel, TimeMs now_ms, std::size_t budget = kPlenty) {
    std::vector<std::uint32_t> slots;
    wheel.advance(now_ms, budget, [&](std::uint32_t slot) { slots.push_back(slot); });
    std::sort(slots.begin(), slots.end());
    return slots;
}

/// The specification: deadlines in a multimap.
class Model {
public:
    explicit Model(std::uint32_t capacity) : where_(capacity) {}
    void arm(std::uint32_t slot, TimeMs deadline_ms) {
        disarm(slot);
        where_[slot] = queue_.emplace(deadline_ms, slot);
    }
    void disarm(std::uint32_t slot) {
        if (where_[slot]) queue_.erase(*where_[slot]);
        where_[slot].reset();
    }
    [[nodiscard]] std::optional<TimeMs> deadline(std::uint32_t slot) const {
        return where_[slot] ? std::optional((*where_[slot])->first) : std::nullopt;
    }
    /// Number of deadlines in ticks that are over at `now_ms`.
    [[nodiscard]] bool due(TimeMs now_ms) const {
        return !queue_.empty() && queue_.begin()->first <= now_ms / kTick * kTick;
    }
    [[nodiscard]] std::size_t size() const { return queue_.size(); }

private:
    std::multimap<TimeMs, std::uint32_t> queue_;
    std::vector<std::optional<std::multimap<TimeMs, std::uint32_t>::iterator>> where_;
};

}  // namespace

TEST_CASE("a slot fires once, at its deadline rounded up to a tick, and is disarmed then") {
    TimingWheel wheel(4, 1000);
    wheel.arm(2, 1100);
    CHECK(wheel.armed(2));
    CHECK_FALSE(wheel.armed(1));
    CHECK(wheel.deadline(2) == 1100);
    CHECK(wheel.armed_count() == 1);
    CHECK(fired(wheel, 1099).empty());
    CHECK(fired(wheel, 1103).empty());
    CHECK(fired(wheel, 1104) == std::vector{2U});
    CHECK_FALSE(wheel.armed(2));
    CHECK(wheel.armed_count() == 0);
    CHECK(fired(wheel, 100'000'000).empty());
}

TEST_CASE("around every level boundary, from every kind of start, deadlines are met to the tick") {
    const std::uint64_t levels[]{1,
                                 2,
                                 255,
                                 256,
                                 257,
                                 511,
                                 512,
                                 65535,
                                 65536,
                                 65537,
                                 1U << 24,
                                 (1U << 24) + 1,
                                 0xffffffffU,
                                 0x100000000U,
                                 0x100000001U,
                                 0x1ffffffffU};
    const std::uint64_t starts[]{0,        1,         255,        256,        65535,       65536,
                                 0xffffff, 0x1000000, 0xfffffffe, 0xffffffff, 0x123456789a};
    for (const std::uint64_t start : starts) {
        for (const std::uint64_t delta : levels) {
            for (const std::uint64_t step_back : {0U, 1U}) {
                const std::uint64_t due = start + delta - step_back;
                if (due <= start) continue;
                TimingWheel wheel(2, start * kTick);
                wheel.arm(0, due * kTick);
                wheel.arm(1, due * kTick + 1);
                INFO("start tick " << start << ", delta " << delta - step_back);
                CHECK(fired(wheel, due * kTick - 1).empty());
                CHECK(fired(wheel, due * kTick) == std::vector{0U});
                CHECK(fired(wheel, (due + 1) * kTick) == std::vector{1U});
            }
        }
    }
}

TEST_CASE("stepping tick by tick over three rounds of level 1, each slot fires in its tick") {
    constexpr std::uint32_t kSlots = 4000;
    TimingWheel wheel(kSlots, 0);
    std::mt19937 random(3);
    std::vector<std::uint64_t> due(kSlots);
    constexpr std::uint64_t kEnd = 3 * 65536;
    for (std::uint32_t slot = 0; slot < kSlots; ++slot) {
        due[slot] = 1 + random() % kEnd;
        wheel.arm(slot, due[slot] * kTick);
    }
    unsigned wrong = 0;
    unsigned total = 0;
    for (std::uint64_t tick = 1; tick <= kEnd; ++tick) {
        for (const std::uint32_t slot : fired(wheel, tick * kTick)) {
            ++total;
            if (due[slot] != tick) ++wrong;
        }
    }
    CHECK(wrong == 0);
    CHECK(total == kSlots);
}

TEST_CASE("the wheel agrees with a multimap over millions of operations and jumps of any size") {
    constexpr std::uint32_t kSlots = 2000;
    std::mt19937_64 random(GENERATE(1U, 2U, 3U));
    TimeMs now = random() % (std::uint64_t{1} << 36);
    TimingWheel wheel(kSlots, now);
    Model model(kSlots);
    unsigned wrong = 0;
    unsigned fires = 0;
    unsigned over_budget = 0;
    unsigned partial = 0;
    for (unsigned step = 0; step < 1'000'000; ++step) {
        const auto slot = static_cast<std::uint32_t>(random() % kSlots);
        const auto dice = random() % 100;
        if (dice < 60) {
            // Distances of all magnitudes, a few in the past, a few beyond the horizon of 2^32 ticks.
            const TimeMs distance = random() >> (random() % 36 + (random() % 8 == 0 ? 20 : 28));
            const TimeMs deadline = dice == 0 ? now - std::min(now, distance) : now + distance;
            wheel.arm(slot, deadline);
            model.arm(slot, deadline);
        } else if (dice < 80) {
            wheel.disarm(slot);
            model.disarm(slot);
        } else {
            now += dice == 99 ? random() >> (random() % 30 + 28) : random() % 3000;
            const std::size_t budget = dice < 95 ? kPlenty : random() % 20;
            std::size_t calls = 0;
            const bool more = wheel.advance(now, budget, [&](std::uint32_t due) {
                ++calls;
                const auto known = model.deadline(due);
                if (!known || *known > now || wheel.armed(due)) ++wrong;
                model.disarm(due);
                if (random() % 4 != 0) return;
                // As ageing does: look again later, also at another slot.
                const auto other = static_cast<std::uint32_t>(random() % kSlots);
                const TimeMs again = now + random() % 5000;
                wheel.arm(due, again);
                model.arm(due, again);
                wheel.disarm(other);
                model.disarm(other);
            });
            fires += static_cast<unsigned>(calls);
            if (calls > budget) ++over_budget;
            if (more) ++partial;
            // Whoever is not done says so; whoever says it is done has missed nothing.
            if (!more && model.due(now)) ++wrong;
            if (budget == kPlenty && more) ++wrong;
            if (!more && wheel.lateness_ms() != 0) ++wrong;
        }
        const auto known = model.deadline(slot);
        if (wheel.armed(slot) != known.has_value()) ++wrong;
        if (known && wheel.deadline(slot) != *known) ++wrong;
        if (wheel.armed_count() != model.size()) ++wrong;
    }
    CHECK(wrong == 0);
    CHECK(over_budget == 0);
    CHECK(fires > 50'000);
    CHECK(partial > 100);
}

TEST_CASE("fires and cascades together keep to the budget, and the rest comes later") {
    constexpr std::uint32_t kSlots = 10'000;
    constexpr TimeMs kDeadline = 300 * kTick;  // level 1: has to come down before it fires
    TimingWheel wheel(kSlots, 0);
    for (std::uint32_t slot = 0; slot < kSlots; ++slot) wheel.arm(slot, kDeadline);
    std::vector<unsigned> times(kSlots);
    unsigned calls = 0;
    bool more = true;
    TimeMs now = kDeadline;
    while (more) {
        std::size_t fires = 0;
        more = wheel.advance(now, 100, [&](std::uint32_t slot) {
            ++fires;
            ++times[slot];
        });
        CHECK(fires <= 100);
        CHECK((wheel.lateness_ms() > 0) == more);
        ++calls;
        now += kTick;
    }
    // Each slot costs one operation to come down and one to fire.
    CHECK(calls >= 2 * kSlots / 100);
    CHECK(calls <= 2 * kSlots / 100 + 1);
    CHECK(std::all_of(times.begin(), times.end(), [](unsigned n) { return n == 1; }));
}

TEST_CASE("no budget means no fire, but the wheel knows that it is late") {
    TimingWheel wheel(1, 0);
    wheel.arm(0, 80);
    CHECK(wheel.advance(480, 0, [](std::uint32_t) { FAIL("fired without budget"); }));
    CHECK(wheel.lateness_ms() == 400);
    CHECK(fired(wheel, 480) == std::vector{0U});
    CHECK(wheel.lateness_ms() == 0);
}

TEST_CASE("a deadline in the past fires at the next advance, also when time stands still or goes back") {
    TimingWheel wheel(3, 10'000);
    wheel.arm(0, 0);
    wheel.arm(1, 9'999);
    wheel.arm(2, 10'000);
    CHECK(fired(wheel, 10'000) == std::vector{0U, 1U, 2U});
    wheel.arm(1, 10'000);
    CHECK(fired(wheel, 5'000) == std::vector{1U});
}

TEST_CASE("a slot that is armed in the past again and again fires once per advance") {
    TimingWheel wheel(1, 0);
    wheel.arm(0, 8);
    for (TimeMs now = 8; now < 100; now += 8) {
        unsigned calls = 0;
        const bool more = wheel.advance(now, kPlenty, [&](std::uint32_t slot) {
            ++calls;
            wheel.arm(slot, 0);
        });
        CHECK(calls == 1);
        CHECK(more);
    }
}

TEST_CASE("what on_due disarms does not fire any more, though it was due") {
    TimingWheel wheel(10, 0);
    for (std::uint32_t slot = 0; slot < 10; ++slot) wheel.arm(slot, 80);
    unsigned calls = 0;
    wheel.advance(80, kPlenty, [&](std::uint32_t slot) {
        ++calls;
        wheel.disarm(slot ^ 1U);
    });
    CHECK(calls == 5);
    CHECK(wheel.armed_count() == 0);
}

TEST_CASE("moving a deadline later or earlier counts, the former one is forgotten") {
    TimingWheel wheel(2, 0);
    wheel.arm(0, 1000);
    wheel.arm(0, 500'000);
    wheel.arm(1, 500'000);
    wheel.arm(1, 1000);
    CHECK(wheel.armed_count() == 2);
    CHECK(fired(wheel, 2000) == std::vector{1U});
    CHECK(fired(wheel, 499'999).empty());
    CHECK(fired(wheel, 500'000) == std::vector{0U});
}

TEST_CASE("a century with nothing in it passes in one step") {
    constexpr TimeMs kCentury = TimeMs{100} * 365 * 86'400'000;
    TimingWheel wheel(2, 0);
    CHECK_FALSE(wheel.advance(kCentury, 0, [](std::uint32_t) { FAIL("nothing was armed"); }));
    CHECK(wheel.lateness_ms() == 0);
    wheel.arm(0, 2 * kCentury);  // beyond 2^32 ticks: placed anew on the way
    CHECK(fired(wheel, 2 * kCentury - 1).empty());
    CHECK(fired(wheel, 2 * kCentury) == std::vector{0U});
}

TEST_CASE("a wheel of impossible size is refused") {
    CHECK_THROWS_AS(TimingWheel(0xffffffffU, 0), std::invalid_argument);
    CHECK(TimingWheel(0, 0).capacity() == 0);
}

// Hierarchical timing wheel over the flow slots of one worker (Varghese and Lauck, 1987, scheme 7): 4 levels of 256
// buckets, a tick of 8 ms. Level 0 holds the next 256 ticks one by one, level 1 the next 65536 in groups of 256, and so
// on; 2^32 ticks are 397 days, and what lies further away waits in the last bucket and is placed anew from there.
// Arming and disarming are O(1): most timers are moved long before they fire.
//
//   arm ──► bucket of its level ──(time reaches the bucket: cascade)──► lower level ──► due ──► on_due(slot), disarmed
//    └──deadline passed already──► late ──(next advance)──► due
//
// Work per call is bounded: advance() spends at most `budget` operations, each one slot fired or moved down a level,
// and goes on there next time. Time that holds nothing costs nothing: bitmaps say which bucket is next.
//
// Life cycle: memory for `capacity` slots is taken at construction (16 bytes each), none later. A slot is known by its
// index only; it has one deadline or none. Owner: the control thread. Time is passed in. Nothing fails after
// construction; time that goes backwards is taken as time that stands still.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "dataplane/base/clock.hh"

namespace sluice {

class TimingWheel {
public:
    static constexpr TimeMs kTickMs = 8;
    static constexpr std::uint32_t kMaxCapacity = 0xffff0000U;

    /// For slots 0 … capacity - 1, all disarmed; time begins at `start_ms`. Throws std::invalid_argument above
    /// kMaxCapacity and std::bad_alloc.
    TimingWheel(std::uint32_t capacity, TimeMs start_ms);

    /// Sets or moves the deadline of `slot`. One that has passed fires at the next advance().
    void arm(std::uint32_t slot, TimeMs deadline_ms) noexcept;
    /// Takes the deadline away; nothing happens to a slot without one.
    void disarm(std::uint32_t slot) noexcept;
    [[nodiscard]] bool armed(std::uint32_t slot) const noexcept { return nodes_[slot].next != kNone; }
    /// The deadline as it was armed, only for an armed slot.
    [[nodiscard]] TimeMs deadline(std::uint32_t slot) const noexcept { return nodes_[slot].deadline_ms; }

    /// Calls on_due(slot) for slots whose deadline is `now_ms` or earlier, disarmed by then; never early, up to one
    /// tick late. At most `budget` slots are fired or moved between levels; true when more was due at `now_ms`. on_due
    /// may arm and disarm any slot, its own too; a deadline in the past then waits for the next call.
    template <class OnDue>
    bool advance(TimeMs now_ms, std::size_t budget, OnDue&& on_due) {
        begin(now_ms);
        for (std::uint32_t slot = next_due(budget); slot != kNone; slot = next_due(budget)) on_due(slot);
        return more_due();
    }

    /// How far the wheel was behind time when advance() returned: 0 unless the budget ran out.
    [[nodiscard]] TimeMs lateness_ms() const noexcept;
    /// Slots with a deadline.
    [[nodiscard]] std::uint32_t armed_count() const noexcept { return armed_count_; }
    [[nodiscard]] std::uint32_t capacity() const noexcept { return capacity_; }

private:
    static constexpr std::uint32_t kNone = 0xffffffffU;
    static constexpr unsigned kLevels = 4;
    static constexpr unsigned kBits = 8;
    static constexpr unsigned kBuckets = 1U << kBits;
    // List numbers: the buckets, level by level, then three lists of slots on their way.
    static constexpr unsigned kDue = kLevels * kBuckets;  // fire now
    static constexpr unsigned kCascade = kDue + 1;        // their bucket was reached: place anew
    static constexpr unsigned kLate = kDue + 2;           // armed too late: due at the next advance
    static constexpr unsigned kLists = kDue + 3;

    /// A slot, or the head of a circular list (behind the slots in the same array, so that unlinking needs no cases).
    struct Node {
        std::uint32_t next = kNone;
        std::uint32_t prev = kNone;
        TimeMs deadline_ms = 0;
    };
    static_assert(sizeof(Node) == 16);

    using Tick = std::uint64_t;
    /// Rounded up: a slot never fires before its deadline.
    static constexpr Tick tick_of(TimeMs deadline_ms) noexcept {
        return deadline_ms / kTickMs + (deadline_ms % kTickMs != 0 ? 1 : 0);
    }

    void begin(TimeMs now_ms) noexcept;
    /// The next slot to fire, disarmed; kNone when nothing is due or the budget is spent.
    std::uint32_t next_due(std::size_t& budget) noexcept;
    [[nodiscard]] bool more_due() const noexcept;

    [[nodiscard]] std::uint32_t head(unsigned list) const noexcept { return capacity_ + list; }
    [[nodiscard]] bool empty(unsigned list) const noexcept { return nodes_[head(list)].next == head(list); }
    void append(std::uint32_t slot, unsigned list) noexcept;
    void unlink(std::uint32_t slot) noexcept;
    void splice(unsigned from, unsigned to) noexcept;
    /// Puts an unlinked slot into the list that its deadline belongs to, `passed` when that is not in the future.
    void place(std::uint32_t slot, unsigned passed) noexcept;
    /// The first tick after tick_ at which a bucket has to be emptied; may be beyond the target.
    [[nodiscard]] Tick next_stop() const noexcept;
    void enter(Tick tick) noexcept;

    std::uint32_t capacity_;
    std::uint32_t armed_count_ = 0;
    Tick tick_;    // everything up to here has left its bucket
    Tick target_;  // where the last advance() wants to get to
    TimeMs now_ms_;
    std::vector<Node> nodes_;
    std::array<std::array<std::uint64_t, kBuckets / 64>, kLevels> occupied_{};
};

}  // namespace sluice

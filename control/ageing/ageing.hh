// Ageing: ends flows that nobody used for as long as their timeout says. One timing wheel per worker, indexed by slot.
//
//   worker                                     control (here)
//   born(slot, generation)                 →   arm at the deadline; write `armed`
//   packets store last-seen and timeout        …
//   shortened(slot, generation)            →   re-arm, when a packet moved the deadline before the armed time
//                                              due: read the lifetime. Alive → re-arm at the true deadline.
//   kill, if it is still past its deadline ←   Dead → order expire(slot, generation) and re-arm, to ask again
//   died(slot, generation)                 →   off the wheel
//
// A packet may shorten the deadline just after we read the lifetime and before it can see the new `armed`: the worker
// then keeps silent. So whatever was armed is looked at once more at the next poll, when both have long seen each
// other's stores. Even a late look costs memory only: past its deadline a flow is a miss to every packet.
//
// Owner: control thread. Nothing here waits: what finds the order ring full is tried again by the wheel itself, as many
// at a time as the ring holds, so that many flows that end together neither wait for long nor are tried in vain. Work
// per call is bounded by its budget.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

#include "control/ageing/timing_wheel.hh"
#include "dataplane/flow/mailbox.hh"
#include "dataplane/lookup/flow_store.hh"

namespace sluice {

/// One worker as ageing sees it: of its store only lifetimes are read and `armed` written.
struct AgeingWorker {
    FlowStore* store = nullptr;
    Ring<Notice>* notices = nullptr;
    Ring<Order>* orders = nullptr;
};

struct AgeingStats {
    std::uint64_t notices = 0;
    std::uint64_t rearmed = 0;  ///< due, but a packet had come
    std::uint64_t expires_posted = 0;
    std::uint64_t expires_repeated = 0;  ///< asked again: refused, or not answered yet
    std::uint64_t orders_full = 0;       ///< the worker's order ring had no room
    std::uint32_t armed = 0;
    std::uint64_t found_dead = 0;       ///< due and past the deadline, not asked for before
    std::uint64_t lateness_sum_ms = 0;  ///< over found_dead: when found minus deadline
    TimeMs lateness_max_ms = 0;         ///< the worst of them
    TimeMs lateness_ms = 0;             ///< how far the latest wheel is behind, now
};

class Ageing {
public:
    /// Notices that are not about lifetimes (resolve, log) go to `others(worker, notice)`.
    using Others = std::function<void(unsigned, const Notice&)>;

    /// Throws std::bad_alloc. The stores and rings outlive it.
    Ageing(const std::vector<AgeingWorker>& workers, TimeMs now_ms, Others others);

    /// Takes notices and turns the wheels, at most `budget` steps for each worker. True when more is due. A time before
    /// the latest counts as that: what the wheels have passed and nobody takes for due would be due for ever.
    bool poll(TimeMs now_ms, unsigned budget);

    [[nodiscard]] AgeingStats stats() const;

private:
    static constexpr TimeMs kAskAgainMs = 1000;                   ///< an order that was posted and not answered
    static constexpr TimeMs kDrainMs = 2 * TimingWheel::kTickMs;  ///< in which a worker empties its order ring

    struct Watch {
        AgeingWorker worker;
        TimingWheel wheel;
        std::vector<std::uint32_t> generation;  // of the flow that a slot was armed for
        std::vector<SlotIndex> recheck;         // armed since the last poll
        std::vector<bool> asked;                // an expire was posted and not answered
        TimeMs refused_ms = 0;                  // when the ring last had no room,
        std::uint32_t refused = 0;              // and for how many since then
    };

    bool take_notices(unsigned index, Watch& watch, unsigned budget);
    void arm(Watch& watch, SlotIndex slot, TimeMs until_ms);
    void verify(Watch& watch);
    void due(Watch& watch, SlotIndex slot, TimeMs now_ms);
    /// When an order that the ring had no room for is tried again.
    [[nodiscard]] static TimeMs retry(Watch& watch, TimeMs now_ms);

    std::vector<std::unique_ptr<Watch>> watches_;
    TimeMs latest_ms_;
    Others others_;
    AgeingStats stats_;
};

}  // namespace sluice

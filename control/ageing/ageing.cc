#include "control/ageing/ageing.hh"

#include <algorithm>
#include <array>
#include <utility>

namespace sluice {

Ageing::Ageing(const std::vector<AgeingWorker>& workers, TimeMs now_ms, Others others)
    : latest_ms_(now_ms), others_(std::move(others)) {
    for (const AgeingWorker& w : workers) {
        const std::uint32_t capacity = w.store->capacity();
        watches_.push_back(std::make_unique<Watch>(Watch{w,
                                                         TimingWheel(capacity, now_ms),
                                                         std::vector<std::uint32_t>(capacity),
                                                         {},
                                                         std::vector<bool>(capacity),
                                                         0,
                                                         0}));
    }
}

bool Ageing::poll(TimeMs now_ms, unsigned budget) {
    latest_ms_ = now_ms = std::max(latest_ms_, now_ms);
    bool more = false;
    for (unsigned i = 0; i < watches_.size(); ++i) {
        Watch& watch = *watches_[i];
        verify(watch);
        more = take_notices(i, watch, budget) || more;
        more = watch.wheel.advance(now_ms, budget, [&](SlotIndex slot) { due(watch, slot, now_ms); }) || more;
    }
    return more;
}

bool Ageing::take_notices(unsigned index, Watch& watch, unsigned budget) {
    std::array<Notice, 64> batch;
    unsigned taken = 0;
    while (taken < budget) {
        const unsigned n = watch.worker.notices->take(batch.data(), std::min<unsigned>(batch.size(), budget - taken));
        if (n == 0) return false;
        taken += n;
        stats_.notices += n;
        for (unsigned i = 0; i < n; ++i) {
            const Notice& notice = batch[i];
            switch (notice.kind) {
                case NoticeKind::born:
                    watch.generation[notice.slot] = notice.generation;
                    watch.asked[notice.slot] = false;
                    arm(watch, notice.slot, notice.deadline_ms);
                    break;
                case NoticeKind::shortened:
                    if (watch.generation[notice.slot] == notice.generation && watch.wheel.armed(notice.slot))
                        arm(watch, notice.slot, watch.worker.store->hot(notice.slot).lifetime.load().deadline_ms());
                    break;
                case NoticeKind::died:
                    if (watch.generation[notice.slot] == notice.generation) watch.wheel.disarm(notice.slot);
                    break;
                case NoticeKind::resolve:
                case NoticeKind::log:
                    others_(index, notice);
                    break;
            }
        }
    }
    return watch.worker.notices->count() != 0;
}

void Ageing::arm(Watch& watch, SlotIndex slot, TimeMs until_ms) {
    watch.wheel.arm(slot, until_ms);
    watch.worker.store->hot(slot).armed.store(watch.generation[slot], until_ms);
    watch.recheck.push_back(slot);
}

/// What was armed a poll ago: has its deadline moved before that meanwhile?
void Ageing::verify(Watch& watch) {
    for (std::size_t i = 0, n = watch.recheck.size(); i < n; ++i) {
        const SlotIndex slot = watch.recheck[i];
        if (!watch.wheel.armed(slot) || watch.asked[slot]) continue;
        const TimeMs deadline = watch.worker.store->hot(slot).lifetime.load().deadline_ms();
        if (deadline >= watch.wheel.deadline(slot)) continue;
        watch.wheel.arm(slot, deadline);
        watch.worker.store->hot(slot).armed.store(watch.generation[slot], deadline);
    }
    watch.recheck.clear();
}

void Ageing::due(Watch& watch, SlotIndex slot, TimeMs now_ms) {
    const TimeMs deadline = watch.worker.store->hot(slot).lifetime.load().deadline_ms();
    if (deadline > now_ms) {
        ++stats_.rearmed;
        watch.asked[slot] = false;
        arm(watch, slot, deadline);
        return;
    }
    if (watch.asked[slot]) {
        ++stats_.expires_repeated;
    } else {
        ++stats_.found_dead;
        stats_.lateness_sum_ms += now_ms - deadline;
        stats_.lateness_max_ms = std::max(stats_.lateness_max_ms, now_ms - deadline);
    }
    const Order order{OrderKind::expire, slot, watch.generation[slot], 0, 0};
    if (watch.worker.orders->post(order)) {
        ++stats_.expires_posted;
        watch.asked[slot] = true;
        // Until `died` comes the slot stays on the wheel, so that a refused or lost order is given again.
        watch.wheel.arm(slot, now_ms + kAskAgainMs);
    } else {
        ++stats_.orders_full;
        watch.wheel.arm(slot, retry(watch, now_ms));
    }
}

TimeMs Ageing::retry(Watch& watch, TimeMs now_ms) {
    if (watch.refused_ms != now_ms) watch.refused = 0;
    watch.refused_ms = now_ms;
    const TimeMs rings_before_it = watch.refused++ / std::max(1U, watch.worker.orders->capacity());
    return now_ms + std::min(kAskAgainMs, kDrainMs * (1 + rings_before_it));
}

AgeingStats Ageing::stats() const {
    AgeingStats s = stats_;
    for (const auto& watch : watches_) {
        s.armed += watch->wheel.armed_count();
        s.lateness_ms = std::max(s.lateness_ms, watch->wheel.lateness_ms());
    }
    return s;
}

}  // namespace sluice

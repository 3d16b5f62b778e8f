#include "control/ageing/timing_wheel.hh"

#include <algorithm>
#include <bit>
#include <cassert>
#include <limits>
#include <stdexcept>
#include <string>

namespace sluice {

TimingWheel::TimingWheel(std::uint32_t capacity, TimeMs start_ms)
    : capacity_(capacity), tick_(start_ms / kTickMs), target_(tick_), now_ms_(start_ms) {
    if (capacity > kMaxCapacity)
        throw std::invalid_argument("a timing wheel cannot hold " + std::to_string(capacity) + " slots");
    nodes_.resize(std::size_t{capacity} + kLists);
    for (unsigned list = 0; list < kLists; ++list) nodes_[head(list)] = {head(list), head(list), 0};
}

void TimingWheel::arm(std::uint32_t slot, TimeMs deadline_ms) noexcept {
    assert(slot < capacity_);
    disarm(slot);
    nodes_[slot].deadline_ms = deadline_ms;
    place(slot, kLate);
    ++armed_count_;
}

void TimingWheel::disarm(std::uint32_t slot) noexcept {
    assert(slot < capacity_);
    if (!armed(slot)) return;
    unlink(slot);
    nodes_[slot].next = kNone;
    --armed_count_;
}

TimeMs TimingWheel::lateness_ms() const noexcept {
    const TimeMs reached_ms = tick_ * kTickMs;
    return more_due() && now_ms_ > reached_ms ? now_ms_ - reached_ms : 0;
}

void TimingWheel::begin(TimeMs now_ms) noexcept {
    now_ms_ = std::max(now_ms_, now_ms);
    target_ = now_ms_ / kTickMs;
    splice(kLate, kDue);
}

std::uint32_t TimingWheel::next_due(std::size_t& budget) noexcept {
    for (;;) {
        if (!empty(kDue)) {
            if (budget == 0) return kNone;
            --budget;
            const std::uint32_t slot = nodes_[head(kDue)].next;
            disarm(slot);
            return slot;
        }
        if (!empty(kCascade)) {
            if (budget == 0) return kNone;
            --budget;
            const std::uint32_t slot = nodes_[head(kCascade)].next;
            unlink(slot);
            place(slot, kDue);
            continue;
        }
        // Time moves on only when everything up to tick_ is done: that keeps the place of a slot a function of tick_.
        const Tick stop = next_stop();
        if (stop > target_) {
            tick_ = std::max(tick_, target_);
            return kNone;
        }
        enter(stop);
    }
}

bool TimingWheel::more_due() const noexcept {
    return !empty(kDue) || !empty(kCascade) || !empty(kLate) || tick_ < target_;
}

void TimingWheel::append(std::uint32_t slot, unsigned list) noexcept {
    const std::uint32_t at = head(list);
    const std::uint32_t last = nodes_[at].prev;
    nodes_[slot].next = at;
    nodes_[slot].prev = last;
    nodes_[last].next = slot;
    nodes_[at].prev = slot;
}

void TimingWheel::unlink(std::uint32_t slot) noexcept {
    const auto [next, prev, deadline] = nodes_[slot];
    nodes_[next].prev = prev;
    nodes_[prev].next = next;
    // Equal neighbours: the head, whose list is empty now.
    if (next != prev) return;
    const std::uint32_t list = next - capacity_;
    if (list < kDue) occupied_[list / kBuckets][list % kBuckets / 64] &= ~(std::uint64_t{1} << list % 64);
}

void TimingWheel::splice(unsigned from, unsigned to) noexcept {
    if (from < kDue) occupied_[from / kBuckets][from % kBuckets / 64] &= ~(std::uint64_t{1} << from % 64);
    if (empty(from)) return;
    Node& source = nodes_[head(from)];
    Node& target = nodes_[head(to)];
    nodes_[source.next].prev = target.prev;
    nodes_[target.prev].next = source.next;
    nodes_[source.prev].next = head(to);
    target.prev = source.prev;
    source.next = source.prev = head(from);
}

void TimingWheel::place(std::uint32_t slot, unsigned passed) noexcept {
    Tick tick = tick_of(nodes_[slot].deadline_ms);
    if (tick <= tick_) {
        append(slot, passed);
        return;
    }
    // Beyond the horizon: as far as the wheel reaches; placed anew when time comes there.
    constexpr Tick kHorizon = std::numeric_limits<std::uint32_t>::max();
    tick = std::min(tick, tick_ + kHorizon);
    const unsigned level = static_cast<unsigned>(std::bit_width(tick - tick_) - 1) / kBits;
    const unsigned bucket = static_cast<unsigned>(tick >> (level * kBits)) % kBuckets;
    append(slot, level * kBuckets + bucket);
    occupied_[level][bucket / 64] |= std::uint64_t{1} << bucket % 64;
}

TimingWheel::Tick TimingWheel::next_stop() const noexcept {
    for (unsigned level = 0; level < kLevels; ++level) {
        const unsigned shift = level * kBits;
        const Tick here = tick_ >> shift;
        const auto& words = occupied_[level];
        // Buckets after ours in this round of the level.
        const unsigned first = static_cast<unsigned>(here % kBuckets) + 1;
        for (unsigned word = first / 64; word < words.size(); ++word) {
            const std::uint64_t later = word == first / 64 ? words[word] >> first % 64 << first % 64 : words[word];
            if (later != 0)
                return (here - here % kBuckets + word * 64 + static_cast<unsigned>(std::countr_zero(later))) << shift;
        }
        // Buckets up to ours are of the next round, which begins where the level above takes its next step.
        if (std::any_of(words.begin(), words.end(), [](std::uint64_t word) { return word != 0; }))
            return (here / kBuckets + 1) << (shift + kBits);
    }
    return std::numeric_limits<Tick>::max();
}

void TimingWheel::enter(Tick tick) noexcept {
    tick_ = tick;
    for (unsigned level = 1; level < kLevels; ++level) {
        // A level takes a step when all levels below it have come round.
        if (tick % (Tick{1} << (level * kBits)) != 0) break;
        splice(level * kBuckets + static_cast<unsigned>(tick >> (level * kBits)) % kBuckets, kCascade);
    }
    splice(static_cast<unsigned>(tick % kBuckets), kDue);
}

}  // namespace sluice

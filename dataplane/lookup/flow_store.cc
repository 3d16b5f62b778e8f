#include "dataplane/lookup/flow_store.hh"

#include <algorithm>
#include <new>

#include "dataplane/l4/trackers.hh"
#include "dataplane/lookup/flow_room.hh"

namespace sluice {

namespace {

constexpr std::uint8_t kBorn = 1;
constexpr std::uint8_t kShortened = 2;
constexpr std::uint8_t kDied = 4;
constexpr std::uint8_t kStubGone = 8;  // to the worker that keeps the flow's stub

}  // namespace

FlowStore::FlowStore(const Options& options, WorkerCounters& counters, Ring<Notice>& to_control)
    : counters_(counters),
      to_control_(to_control),
      events_(counters),
      capacity_(options.capacity),
      hot_(capacity_, options.socket),
      cold_(capacity_, options.socket),
      high_(options.ipv6 ? HugeArray<FlowHigh>(capacity_, options.socket) : HugeArray<FlowHigh>()),
      stubs_(options.alone ? 0 : stub_capacity(capacity_)),
      table_(key_capacity(capacity_, options.alone), options.socket, options.secret,
             StoredKeys(capacity_, hot_.data(), cold_.data(), high_.data(), stubs_.data())),
      free_(capacity_, options.socket),
      mappings_(capacity_, cold_.data(), options.socket) {
    for (SlotIndex i = capacity_; i-- > 0;) free_[free_count_++] = i;
    free_stubs_.reserve(stubs_.size());
    for (std::uint32_t i = static_cast<std::uint32_t>(stubs_.size()); i-- > 0;) free_stubs_.push_back(i);
}

SlotIndex FlowStore::allocate() noexcept {
    if (free_count_ == 0) return kNoSlot;
    const SlotIndex slot = free_[--free_count_];
    // Which ones will be next is known: their lines come while these are filled.
    constexpr std::uint32_t kAhead = 3;
    if (free_count_ >= kAhead) {
        const SlotIndex later = free_[free_count_ - kAhead];
        for (const DirectionHalf& half : hot_[later].half) __builtin_prefetch(&half, 1);
        prefetch_slot(later);
    }
    used_ = std::max(used_, slot + 1);
    FlowHot& h = hot_[slot];
    // Field by field: control may still look at `lifetime` and `armed` of the slot's former flow.
    const std::uint32_t generation = h.generation;
    // In place: a temporary is written in pieces and read back in wide ones, and waits for that.
    ::new (static_cast<void*>(&h.half[0])) DirectionHalf;
    ::new (static_cast<void*>(&h.half[1])) DirectionHalf;
    h.announced_ms = kNotAnnounced;
    h.generation = generation;
    h.tcp_state = TcpState::none;
    h.kind = L4Kind::generic;
    h.status = 0;
    h.alive = false;
    h.mark = 0;
    ::new (static_cast<void*>(&h.tcp)) TcpMemory;
    h.half_open_older = h.half_open_newer = kNoSlot;
    ::new (static_cast<void*>(&cold_[slot])) FlowCold;
    cold_[slot].id = next_id_++;
    return slot;
}

void FlowStore::abandon(SlotIndex slot) noexcept {
    recycle(slot);
}

void FlowStore::prefetch_ends(std::span<const SlotIndex> slots) const noexcept {
    for (const SlotIndex slot : slots) {
        const FlowHot& h = hot_[slot];
        if (h.has(status::kSourceNat)) mappings_.prefetch_neighbours(slot);
        for (const SlotIndex neighbour : {h.half_open_older, h.half_open_newer})
            if (neighbour != kNoSlot) __builtin_prefetch(&hot_[neighbour].half_open_older, 1);
        for (const std::uint32_t hash : h.hash) table_.prefetch(hash);
    }
}

bool FlowStore::publish(SlotIndex slot) noexcept {
    const FlowKey original = key(slot, Direction::original), reply = key(slot, Direction::reply);
    const std::uint32_t original_hash = table_.hash(original), reply_hash = table_.hash(reply);
    const bool reply_here = cold_[slot].stub_worker == 255;
    if (table_.lookup(original, original_hash) || (reply_here && table_.lookup(reply, reply_hash))) {
        abandon(slot);
        return false;
    }
    return publish_new(slot, {original_hash, reply_hash, source_hash(original)});
}

bool FlowStore::publish_new(SlotIndex slot, const Hashes& hashes) noexcept {
    FlowHot& h = hot_[slot];
    h.hash[0] = hashes.original;
    h.hash[1] = hashes.reply;
    const bool reply_here = cold_[slot].stub_worker == 255;
    // Each is new, but they may be one and the same.
    if (reply_here && (sends_to_itself(slot) || !table_.insert_new(hashes.reply, FlowRef(slot, Direction::reply)))) {
        abandon(slot);
        return false;
    }
    if (!table_.insert_new(hashes.original, FlowRef(slot, Direction::original))) {
        if (reply_here) table_.erase(hashes.reply, FlowRef(slot, Direction::reply));
        abandon(slot);
        return false;
    }
    settle_in(slot, hashes.source);
    return true;
}

bool FlowStore::sends_to_itself(SlotIndex slot) const noexcept {
    const FlowHot& h = hot_[slot];
    const std::array<std::uint64_t, 2>&a = h.key[0].words, &b = h.key[1].words;
    return ((a[0] ^ b[0]) | (a[1] ^ b[1])) == 0 && key(slot, Direction::original) == key(slot, Direction::reply);
}

void FlowStore::settle_in(SlotIndex slot, std::uint32_t source_hash) noexcept {
    FlowHot& h = hot_[slot];
    const FlowCold& c = cold_[slot];
    h.alive = true;
    ++live_;
    account(h, true);
    if (is_half_open(h)) join_half_open(slot);
    if (h.has(status::kSourceNat)) mappings_.join(slot, source_hash);
    if (c.nat_gauge < kNatGauges) counters_.nat_mappings[c.nat_gauge].add();
    counters_.flow_births.add();
    if (h.kind == L4Kind::esp) insert_quoted(slot, Direction::original);
    if (events_.on()) events_.created(copy(slot));
    notify(slot, kBorn);
}

void FlowStore::kill(SlotIndex slot, DeathCause cause, std::uint32_t by) noexcept {
    FlowHot& h = hot_[slot];
    FlowCold& c = cold_[slot];
    if (events_.on()) events_.destroyed(copy(slot), by);
    if (c.untold != 0) --untold_;
    if (h.has(status::kHelper) && death_hook_ != nullptr) death_hook_(death_context_, slot);
    if (h.kind == L4Kind::esp) erase_quoted(slot);
    table_.erase(h.hash[0], FlowRef(slot, Direction::original));
    if (c.stub_worker == 255) table_.erase(h.hash[1], FlowRef(slot, Direction::reply));
    account(h, false);
    if (is_half_open(h)) leave_half_open(slot);
    if (h.has(status::kSourceNat)) mappings_.leave(slot);
    if (c.nat_gauge < kNatGauges) counters_.nat_mappings[c.nat_gauge].sub();
    --live_;
    h.alive = false;
    counters_.flow_deaths[static_cast<std::size_t>(cause)].add();
    // The stub goes first: behind `died` the slot may be another flow's.
    if (c.stub_worker != 255) notify(slot, kStubGone);
    notify(slot, kDied);
}

bool FlowStore::has_source(SlotIndex slot, const FlowKey& original) const noexcept {
    const FlowKey own = key(slot, Direction::original);
    return own.src() == original.src() && own.sport == original.sport && own.proto == original.proto &&
           own.zone == original.zone;
}

void FlowStore::withdraw_stub(std::uint8_t worker, const FlowKey& reply, const FlowKey& original) noexcept {
    if (pending_head_ == kNoSlot && post_remove_stub(worker, reply, original)) return;
    // A free slot carries the message until there is room: to control it is a flow that was born and died unheard of.
    const SlotIndex slot = allocate();
    if (slot == kNoSlot) {
        static_cast<void>(post_remove_stub(worker, reply, original));
        return;
    }
    flow(slot).set_key(Direction::original, original);
    flow(slot).set_key(Direction::reply, reply);
    cold_[slot].stub_worker = worker;
    defer(slot, kStubGone | kBorn | kDied);
}

bool FlowStore::post_stub_gone(SlotIndex slot) noexcept {
    return post_remove_stub(cold_[slot].stub_worker, key(slot, Direction::reply), key(slot, Direction::original));
}

void FlowStore::announce_shortened(SlotIndex slot, std::uint32_t arming) noexcept {
    hot_[slot].announced_ms = arming;
    notify(slot, kShortened);
}

void FlowStore::set_tcp_state(SlotIndex slot, TcpState state) noexcept {
    FlowHot& h = hot_[slot];
    if (h.tcp_state == state) return;
    if (h.alive) account(h, false);
    h.tcp_state = state;
    if (h.alive) account(h, true);
}

void FlowStore::set_status(SlotIndex slot, std::uint8_t bits) noexcept {
    FlowHot& h = hot_[slot];
    const auto after = static_cast<std::uint8_t>(h.status | bits);
    if (after == h.status) return;
    if ((bits & status::kAssured) != 0 && !h.has(status::kAssured) && h.alive) counters_.flows_assured.add();
    const bool was_half_open = is_half_open(h);
    h.status = after;
    if (h.alive && was_half_open && !is_half_open(h)) leave_half_open(slot);
}

void FlowStore::join_half_open(SlotIndex slot) noexcept {
    FlowHot& h = hot_[slot];
    h.half_open_older = newest_half_open_;
    h.half_open_newer = kNoSlot;
    (newest_half_open_ == kNoSlot ? oldest_half_open_ : hot_[newest_half_open_].half_open_newer) = slot;
    newest_half_open_ = slot;
    ++half_open_;
    counters_.flows_half_open.add();
}

void FlowStore::leave_half_open(SlotIndex slot) noexcept {
    FlowHot& h = hot_[slot];
    (h.half_open_older == kNoSlot ? oldest_half_open_ : hot_[h.half_open_older].half_open_newer) = h.half_open_newer;
    (h.half_open_newer == kNoSlot ? newest_half_open_ : hot_[h.half_open_newer].half_open_older) = h.half_open_older;
    h.half_open_older = kNoSlot;
    h.half_open_newer = kNoSlot;
    --half_open_;
    counters_.flows_half_open.sub();
}

SlotIndex FlowStore::eviction_victim(Now now) noexcept {
    if (oldest_half_open_ != kNoSlot) return oldest_half_open_;
    // Free slots do not count as looked at, or a limit below the capacity would seldom find anyone.
    constexpr unsigned kFlowsLooked = 16, kSlotsLooked = 256;
    for (unsigned slots = 0, flows = 0; flows < kFlowsLooked && slots < kSlotsLooked && slots < used_; ++slots) {
        if (hand_ >= used_) hand_ = 0;
        const SlotIndex slot = hand_++;
        const FlowHot& h = hot_[slot];
        if (!h.alive) continue;
        if (!h.has(status::kAssured) || expired(slot, now) || tracker_of(h.kind).is_closing(h)) return slot;
        ++flows;
    }
    return kNoSlot;
}

void FlowStore::account(const FlowHot& h, bool arrives) noexcept {
    Counter& gauge = h.kind == L4Kind::tcp ? counters_.flows_tcp[static_cast<std::size_t>(h.tcp_state)]
                                           : counters_.flows_of[static_cast<std::size_t>(h.kind)];
    if (arrives) {
        gauge.add();
    } else {
        gauge.sub();
    }
    if (!h.has(status::kAssured)) return;
    // set_tcp_state takes a flow out and in again, so the two calls cancel out.
    if (arrives) {
        counters_.flows_assured.add();
    } else {
        counters_.flows_assured.sub();
    }
}

inline bool FlowStore::post(SlotIndex slot, std::uint8_t bit) noexcept {
    if (bit == kStubGone) return post_stub_gone(slot);
    const FlowHot& h = hot_[slot];
    Notice n;
    n.kind = bit == kBorn ? NoticeKind::born : bit == kShortened ? NoticeKind::shortened : NoticeKind::died;
    n.slot = slot;
    n.generation = h.generation;
    n.deadline_ms = h.lifetime.load().deadline_ms();
    if (!to_control_.post(n)) return false;
    counters_.notices_sent.add();
    return true;
}

void FlowStore::notify(SlotIndex slot, std::uint8_t bit) noexcept {
    PendingNotice& waiting = cold_[slot].notice;
    if (waiting.bits == 0 && pending_head_ == kNoSlot && post(slot, bit)) {
        if (bit == kDied) recycle(slot);
        return;
    }
    defer(slot, bit);
}

void FlowStore::defer(SlotIndex slot, std::uint8_t bits) noexcept {
    PendingNotice& waiting = cold_[slot].notice;
    counters_.notices_deferred.add();
    const bool listed = waiting.bits != 0;
    waiting.bits = static_cast<std::uint8_t>(waiting.bits | bits);
    if (listed) return;
    waiting.next = kNoSlot;
    if (pending_tail_ == kNoSlot) {
        pending_head_ = slot;
    } else {
        cold_[pending_tail_].notice.next = slot;
    }
    pending_tail_ = slot;
}

void FlowStore::recycle(SlotIndex slot) noexcept {
    ++hot_[slot].generation;
    free_[free_count_++] = slot;
}

bool FlowStore::pump(unsigned budget) noexcept {
    while (pending_head_ != kNoSlot && budget-- != 0) {
        const SlotIndex slot = pending_head_;
        PendingNotice& waiting = cold_[slot].notice;
        if ((waiting.bits & kStubGone) != 0) {
            if (!post(slot, kStubGone)) return false;
            waiting.bits = static_cast<std::uint8_t>(waiting.bits & ~kStubGone);
        }
        const bool unknown_to_control = (waiting.bits & kBorn) != 0;
        if ((waiting.bits & kDied) != 0) {
            // Control never heard of a flow whose birth still waits: nothing to tell.
            if (!unknown_to_control && !post(slot, kDied)) return false;
        } else if ((waiting.bits & (kBorn | kShortened)) != 0 && !post(slot, unknown_to_control ? kBorn : kShortened)) {
            return false;
        }
        pending_head_ = waiting.next;
        if (pending_head_ == kNoSlot) pending_tail_ = kNoSlot;
        const bool died = (waiting.bits & kDied) != 0;
        waiting = {};
        if (died) recycle(slot);
    }
    return pending_head_ == kNoSlot;
}

}  // namespace sluice

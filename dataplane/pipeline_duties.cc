// What a pipeline does besides packets: orders of control, messages of other workers, timers. All bounded per call.
#include <algorithm>
#include <utility>

#include "dataplane/pipeline.hh"

namespace sluice {

namespace {

constexpr unsigned kOrdersPerLoop = 64;
constexpr unsigned kLoopsPerOrder = 2, kOrdersAtLeast = 16;  // while packets wait
constexpr unsigned kMessagesPerLoop = 64;
constexpr unsigned kFlushedPerLoop = 256;
constexpr unsigned kSweptPerCall = 32;
constexpr unsigned kNoticesPerCall = 128;

/// Slot generations in names of flows: what a FlowId has room for.
constexpr std::uint32_t kNamed = 0xffffffU;

bool names(const FlowStore& store, SlotIndex slot, std::uint32_t generation) noexcept {
    if (slot >= store.capacity()) return false;
    const FlowHot& h = store.hot(slot);
    return h.alive && (h.generation & kNamed) == (generation & kNamed);
}

}  // namespace

unsigned Pipeline::orders(Now now) noexcept {
    unsigned done = 0;
    p_.store.events().at(now.ms);
    if (flush_from_ != kNoSlot) {
        flush_slice();
        ++done;
    }
    const unsigned most = most_orders();
    while (done < most && (next_order_ != taken_count_ || take_orders(most - done, now))) {
        const Order order = taken_[next_order_++];
        obey_order(order, now);
        ++done;
        // However many listings there are, a loop does one piece of one of them.
        if (order.kind == OrderKind::list || order.kind == OrderKind::erase || order.kind == OrderKind::update) break;
    }
    done += hear_peers(now);
    if (p_.store.events().waiting()) p_.store.events().tell_all();
    return done;
}

unsigned Pipeline::hear_peers(Now now) noexcept {
    unsigned heard = 0;
    PeerMessage message;
    for (Ring<PeerMessage>* peer : p_.from_peers) {
        if (peer == nullptr) continue;
        for (unsigned i = 0; i < kMessagesPerLoop && peer->take(&message, 1) == 1; ++i, ++heard)
            hear_peer(message, now);
    }
    return heard;
}

/// While packets come in full bursts, more of them wait to be received: flows that are due have time, packets have not.
/// Then so many may end as begin, so that the table does not fill up however long that lasts, or one in two loops, and
/// several at once, which costs less than each by itself.
unsigned Pipeline::most_orders() noexcept {
    const std::uint64_t received = p_.counters.balance.received.get(), births = p_.counters.flow_births.get();
    const std::uint64_t packets = received - std::exchange(received_before_, received);
    const std::uint64_t born = births - std::exchange(births_before_, births);
    if (packets < kBurst) {
        loops_of_orders_ = 0;
        return kOrdersPerLoop;
    }
    loops_of_orders_ += born * kLoopsPerOrder + 1;
    const std::uint64_t most = loops_of_orders_ / kLoopsPerOrder;
    if (most < kOrdersAtLeast) return 0;
    loops_of_orders_ = 0;
    return static_cast<unsigned>(std::min<std::uint64_t>(kOrdersPerLoop, most));
}

/// The next few at once, and what those flows need that have to end, one stage after the other. False: there is none.
bool Pipeline::take_orders(unsigned most, Now now) noexcept {
    next_order_ = 0;
    taken_count_ = p_.orders.take(taken_.data(), std::min(most, FlowStore::kMostEnding));
    const std::span<const Order> taken(taken_.data(), taken_count_);
    if (taken.size() < 2) return !taken.empty();
    for (const Order& o : taken)
        if (o.kind == OrderKind::expire && o.slot < p_.store.capacity()) p_.store.prefetch_slot(o.slot);
    std::array<SlotIndex, FlowStore::kMostEnding> ending;
    unsigned n = 0;
    for (const Order& o : taken)
        if (o.kind == OrderKind::expire && p_.store.is(o.slot, o.generation) && p_.store.expired(o.slot, now))
            ending[n++] = o.slot;
    if (n != 0) p_.store.prefetch_ends(std::span(ending.data(), n));
    return true;
}

void Pipeline::obey_order(const Order& order, Now now) noexcept {
    switch (order.kind) {
        case OrderKind::expire:
            // Only if it is still dead: a packet may have come since control looked.
            if (!p_.store.is(order.slot, order.generation)) return;
            if (p_.store.expired(order.slot, now)) {
                p_.store.kill(order.slot, DeathCause::timeout);
            } else {
                p_.counters.expire_refused.add();
            }
            return;
        case OrderKind::erase:
            erase(*reinterpret_cast<EraseBatch*>(order.target));
            return;
        case OrderKind::update:
            update(*reinterpret_cast<UpdateBatch*>(order.target), now);
            return;
        case OrderKind::watch:
            p_.store.events().listen(reinterpret_cast<Ring<FlowEvent>*>(order.target));
            return;
        case OrderKind::measure:
            stages_.measure(order.detail);
            return;
        case OrderKind::flush:
            // One at a time: control waits for the ticket before it asks again.
            flush_from_ = 0;
            flush_ticket_ = reinterpret_cast<FlushTicket*>(order.target);
            return;
        case OrderKind::list:
            list(*reinterpret_cast<ListSlice*>(order.target));
            return;
        case OrderKind::neighbour_changed:
            p_.egress.neighbour_changed(order.address, static_cast<PortIndex>(order.detail), now);
            return;
    }
}

void Pipeline::hear_peer(const PeerMessage& m, Now now) noexcept {
    switch (m.kind) {
        case PeerKind::remove_stub:
            p_.store.remove_stub(m.reply, static_cast<std::uint8_t>(m.from_worker), m.original);
            return;
        case PeerKind::expect:
            (void)p_.expectations.add(m.expectation, p_.policy.load()->ftp.max_expected, now);
            return;
        case PeerKind::remove_expect:
            p_.expectations.remove_of(m.expectation.master, m.expectation.master_generation,
                                      static_cast<std::uint8_t>(m.from_worker));
            return;
    }
}

void Pipeline::housekeeping(Now now) noexcept {
    p_.store.events().at(now.ms);
    p_.expectations.sweep(now, kSweptPerCall);
    p_.alg.sweep(now, kSweptPerCall);
    p_.egress.expire(now);
    p_.reassembly.expire(now, [&](const Packet& first) noexcept {
        // Only who was to get the datagram may say so (RFC 792), and Linux does it for itself alone.
        if (first.in_port < kKernelPort && p_.routes.addresses().is_own(first.destination()))
            p_.egress.answer(first, Answer::reassembly_timeout, 0, now);
    });
    if (p_.firsts.overdue(now)) {
        const Policy& policy = begin(now, 0);
        p_.firsts.expire(now, [&](rte_mbuf* m) noexcept { arrive_again(m, policy, now); });
        run(policy, now);
    }
    if (p_.store.events().waiting()) p_.store.events().tell_all();
    (void)p_.store.pump(kNoticesPerCall);
}

void Pipeline::flush_slice() noexcept {
    const SlotIndex end = std::min<SlotIndex>(flush_from_ + kFlushedPerLoop, p_.store.capacity());
    for (SlotIndex slot = flush_from_; slot < end; ++slot) {
        if (!p_.store.hot(slot).alive) continue;
        p_.store.kill(slot, DeathCause::flushed, flush_ticket_->by);
        ++flush_ticket_->erased;
    }
    flush_from_ = end == p_.store.capacity() ? kNoSlot : end;
    if (flush_from_ == kNoSlot) flush_ticket_->done.store(true, std::memory_order_release);
}

void Pipeline::erase(EraseBatch& batch) noexcept {
    for (unsigned i = 0; i < batch.count; ++i) {
        EraseBatch::Name& name = batch.flows[i];
        if (!names(p_.store, name.slot, name.generation)) continue;
        p_.store.kill(name.slot, DeathCause::flushed, batch.by);
        name.erased = true;
    }
    batch.done.store(true, std::memory_order_release);
}

void Pipeline::update(UpdateBatch& batch, Now now) noexcept {
    for (unsigned i = 0; i < batch.count; ++i) {
        UpdateBatch::One& one = batch.flows[i];
        if (!names(p_.store, one.slot, one.generation) || p_.store.expired(one.slot, now)) continue;
        one.result = p_.store.update(one.slot, batch.what, batch.by, now);
        if (one.result == UpdateBatch::Result::updated) one.flow = p_.store.copy(one.slot);
    }
    batch.done.store(true, std::memory_order_release);
}

void Pipeline::list(ListSlice& slice) noexcept {
    slice.count = 0;
    if (slice.what == ListSlice::What::flows) {
        list_flows(slice);
    } else {
        const std::uint32_t next =
            p_.expectations.copy(slice.from, slice.expectations.data(), ListSlice::kMaxFlows, slice.count);
        slice.next = next == 0 ? kNoSlot : next;
    }
    slice.done.store(true, std::memory_order_release);
}

void Pipeline::list_flows(ListSlice& slice) noexcept {
    const SlotIndex end = std::min<SlotIndex>(slice.from + ListSlice::kMaxSlotsLooked, p_.store.capacity());
    SlotIndex slot = slice.from;
    for (; slot < end && slice.count < ListSlice::kMaxFlows; ++slot)
        if (p_.store.hot(slot).alive) slice.flows[slice.count++] = p_.store.copy(slot);
    slice.next = slot >= p_.store.capacity() ? kNoSlot : slot;
}

}  // namespace sluice

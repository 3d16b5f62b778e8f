#include "dataplane/policy/newcomers.hh"

namespace sluice {

Decision Newcomers::admit_without_flow(Packet& p, const Policy& policy, Now now) noexcept {
    // Looked up with the burst and not found, and nobody has inserted it since.
    const bool absent = p.slot == kNoSlot && !p.stub && !p_.store.table().inserted(p.hash);
    // Past its deadline a flow is a miss, however late the wheel is; its owner erases it on the spot.
    if (stands(p, p_.store) && p_.store.expired(p.slot, now)) {
        p_.store.kill(p.slot, DeathCause::timeout);
        p_.counters.expire_late.add();
    }
    p.slot = kNoSlot;
    if (!p.trackable) return p_.creator.create(p, policy, now);
    if (absent && !p.foreseen) look_ahead();
    if (p_.firsts.away(p.key, p.hash)) return wait(p);
    // An earlier packet of this burst may have made the flow.
    if (const FlowRef ref = absent ? FlowRef{} : p.stub ? p.stub : p_.store.table().lookup(p.key, p.hash)) {
        if (p_.store.is_stub(ref)) return p_.creator.to_owner(p, ref);
        join(p, ref, p_.store);
        return {};
    }
    if (p.icmp_error) return p_.creator.create(p, policy, now);  // nothing of its own is at home anywhere
    if (p.key.shape() == TupleShape::spi) {
        if (const FlowRef waits = p_.store.find_waiting(p.key, now); waits && p_.store.answer(waits, p.key, p.hash)) {
            if (p_.store.is_stub(waits)) return p_.creator.to_owner(p, waits);
            join(p, waits, p_.store);
            return {};
        }
    }
    // A reply that a stub brought here, and its flow has ended: it opens one where its own tuple is at home.
    if (const std::uint8_t home = p_.steering.home(p); home != p_.steering.me()) {
        begin_note(p, HandoffKind::arrived, p_.steering.me());
        return Decision::hand_over(home);
    }
    return p_.creator.create(p, policy, now);
}

/// Its own packets have gone through no stage yet, and what a stage has taken out of the burst may be looked at as
/// well: nothing is done with a packet but to read its key.
void Newcomers::look_ahead() noexcept {
    std::array<std::uint32_t, kBurst> sources;
    unsigned n = 0;
    for (Packet* p : p_.burst.packets()) {
        if (p->slot != kNoSlot || p->foreseen || !p->trackable || p->stub) continue;
        p->foreseen = true;
        sources[n++] = p->source_hash = p_.store.source_hash(p->key);
        p_.store.prefetch_source(p->source_hash);
        p_.store.prefetch_key(p_.creator.likely_reply(*p));
    }
    for (unsigned i = 0; i < n; ++i) p_.store.prefetch_newest(sources[i]);
}

Decision Newcomers::wait(Packet& p) noexcept {
    begin_note(p, HandoffKind::arrived, p_.steering.me());
    if (!p_.firsts.wait(p.key, p.hash, p.mbuf)) return Decision::drop(DropReason::first_packet_full);
    return Decision::wait();
}

bool Newcomers::find_by_original(Packet& p, const HandoffNote& note) noexcept {
    // The sender's table answered for the reply key; here the flow is found by its original one.
    const FlowRef ref = p_.store.table().lookup(note.reply, p_.store.table().hash(note.reply));
    if (ref && !p_.store.is_stub(ref) && p_.store.replies_with(ref.slot(), p.key)) {
        join(p, FlowRef(ref.slot(), Direction::reply), p_.store);
        return true;
    }
    p_.store.withdraw_stub(note.from_worker, p.key, note.reply);
    return false;
}

}  // namespace sluice

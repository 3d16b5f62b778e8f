// FlowStore: what changes of a live flow by a packet or by an operator, and how those who listen get to know.
#include "dataplane/l4/trackers.hh"
#include "dataplane/lookup/flow_store.hh"

namespace sluice {

namespace {

/// What it means for those who listen that a flow has got these status bits.
constexpr std::uint8_t changes_of(std::uint8_t status) noexcept {
    std::uint8_t changes = 0;
    if ((status & status::kSeenReply) != 0) changes |= changed::kReply;
    if ((status & status::kAssured) != 0) changes |= changed::kAssured;
    if ((status & status::kHelper) != 0) changes |= changed::kHelper;
    return changes;
}

}  // namespace

void FlowStore::set_status(Packet& p, std::uint8_t bits) noexcept {
    const FlowHot& h = hot_[p.slot];
    const auto fresh = static_cast<std::uint8_t>(bits & ~h.status);
    if (fresh == 0) return;  // streams say with each packet that they are ASSURED
    set_status(p.slot, bits);
    p.changes = static_cast<std::uint8_t>(p.changes | changes_of(fresh));
}

FlowCopy FlowStore::copy(SlotIndex slot) const noexcept {
    const FlowHot& h = hot_[slot];
    const FlowCold& c = cold_[slot];
    FlowCopy out;
    for (unsigned d = 0; d < 2; ++d) {
        out.key[d] = key(slot, static_cast<Direction>(d));
        out.packets[d] = h.half[d].packets;
        out.bytes[d] = h.half[d].bytes;
    }
    out.lifetime = h.lifetime.load();
    out.created_ms = h.created_ms;
    out.slot = slot;
    out.generation = h.generation;
    out.snat_rule = c.snat_rule;
    out.dnat_rule = c.dnat_rule;
    out.nat_generation = c.nat_generation;
    out.mark = h.mark;
    out.id = c.id;
    out.tcp_state = h.tcp_state;
    const Listed listed = tracker_of(h.kind).list(h);
    out.kind = h.kind;
    out.state = listed.state;
    out.timeouts_s = listed.timeouts_s;
    out.status = h.status;
    return out;
}

UpdateBatch::Result FlowStore::update(SlotIndex slot, const FlowUpdate& what, std::uint32_t by, Now now) noexcept {
    using Result = UpdateBatch::Result;
    const FlowHot& h = hot_[slot];
    bool changed = what.set_timeout || (what.status & ~h.status) != 0;
    set_status(slot, what.status);
    if (what.set_mark) changed = set_mark(slot, (hot_[slot].mark & ~what.mark_mask) ^ what.mark) || changed;
    if (!changed) return Result::unchanged;
    if (what.set_timeout) refresh(slot, now, what.timeout_s);
    if (events_.on()) events_.updated(copy(slot), changed::kAll, by);
    if (!expired(slot, now)) return Result::updated;
    kill(slot, DeathCause::timeout);
    return Result::gone;
}

void FlowStore::tell_events(std::span<Packet* const> leaving) noexcept {
    for (const Packet* p : leaving) {
        if (p->slot == kNoSlot || (p->changes == 0 && untold_ == 0) || !is(p->slot, p->generation)) continue;
        FlowCold& c = cold_[p->slot];
        const auto changes = static_cast<std::uint8_t>(p->changes | c.untold);
        if (changes == 0) continue;
        if (c.untold != 0) --untold_;
        c.untold = 0;
        const FlowCopy now = copy(p->slot);
        if (!events_.settle(p, p->fresh, now, changes)) events_.updated(now, changes, 0);
    }
    events_.tell([this](SlotIndex slot, std::uint32_t generation, const void* cause) noexcept {
        const std::uint8_t changes = static_cast<const Packet*>(cause)->changes;
        if (changes == 0 || !is(slot, generation)) return;
        FlowCold& c = cold_[slot];
        if (c.untold == 0) ++untold_;
        c.untold = static_cast<std::uint8_t>(c.untold | changes);
    });
}

}  // namespace sluice

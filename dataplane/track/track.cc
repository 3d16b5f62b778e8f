#include "dataplane/track/track.hh"

#include "dataplane/l4/trackers.hh"

namespace sluice {

namespace {

/// What a tracker says of the packet is done here, to the flow's lifetime and to what gauges count.
TrackResult carry_out(FlowStore& store, Packet& p, const Followed& followed, Now now) noexcept {
    if (followed.moved) p.changes |= changed::kState;
    if (followed.result != TrackResult::accept) return followed.result;
    if (followed.status != 0) store.set_status(p, followed.status);
    store.refresh(p.slot, now, followed.timeout_s);
    return followed.result;
}

/// TCP, UDP and ICMP by name, for the compiler's sake.
TrackResult follow(FlowStore& store, Packet& p, const TrackRules& rules, const SeqAdjust* shift, Now now) noexcept {
    FlowHot& h = store.hot(p.slot);
    switch (h.kind) {
        case L4Kind::tcp:
            return track_tcp(store, p, rules.timeouts, rules.tcp, shift, now);
        case L4Kind::udp:
            return carry_out(store, p, l4::Udp::follow(h, p, rules, now), now);
        case L4Kind::icmp:
            return carry_out(store, p, l4::Icmp::follow(h, p, rules, now), now);
        default:
            return carry_out(store, p, tracker_of(h.kind).follow(h, p, rules, now), now);
    }
}

}  // namespace

TrackResult track(FlowStore& store, Packet& p, const TrackRules& rules, const SeqAdjust* shift, Now now) noexcept {
    FlowHot& h = store.hot(p.slot);
    const TrackResult result = follow(store, p, rules, shift, now);
    if (result == TrackResult::invalid) {
        p.state = PacketState::invalid;
        p.slot = kNoSlot;
        return result;
    }
    if (result == TrackResult::reopen) return result;
    p.state = state_of(h, p.direction);
    // What ends a flow answers it no more.
    if (p.direction == Direction::reply && !h.has(status::kSeenReply) && result != TrackResult::kill)
        store.set_status(p, status::kSeenReply);
    if (result == TrackResult::ignore) return result;
    DirectionHalf& half = h.dir(p.direction);
    ++half.packets;
    half.bytes += p.l3_bytes;
    return result;
}

}  // namespace sluice

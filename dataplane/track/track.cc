#include "dataplane/track/track.hh"

#include "dataplane/track/datagram.hh"

namespace sluice {

namespace {

PacketState state_of(const FlowHot& h, Direction d) noexcept {
    if (d == Direction::reply || h.has(status::kSeenReply)) return PacketState::established;
    return h.has(status::kExpected) ? PacketState::related : PacketState::new_flow;
}

}  // namespace

TrackResult track(FlowStore& store, Packet& p, const TrackRules& rules, const SeqAdjust* shift, Now now) noexcept {
    FlowHot& h = store.hot(p.slot);
    TrackResult result = TrackResult::accept;
    if (h.kind == L4Kind::tcp) {
        result = track_tcp(store, p, rules.timeouts, rules.tcp, shift, now);
    } else {
        track_datagram(store, p, rules.timeouts, now);
    }
    if (result == TrackResult::invalid) {
        p.state = PacketState::invalid;
        p.slot = kNoSlot;
        return result;
    }
    if (result == TrackResult::reopen) return result;
    p.state = state_of(h, p.direction);
    if (p.direction == Direction::reply && !h.has(status::kSeenReply)) store.set_status(p.slot, status::kSeenReply);
    if (result == TrackResult::ignore) return result;
    DirectionHalf& half = h.dir(p.direction);
    ++half.packets;
    half.bytes += p.l3_bytes;
    return result;
}

}  // namespace sluice

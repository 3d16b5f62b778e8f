// Conntrack for a packet that hit a flow: lets the flow's tracker look at it, then says what state rules see.
//
//   reply direction           ESTABLISHED   (and from now on the flow has seen a reply)
//   original, reply seen      ESTABLISHED
//   original, expected flow   RELATED
//   original                  NEW
//
// as nf_conntrack_core.c, resolve_normal_ct() and nf_conntrack_in(). Owner: the flow's worker.
#pragma once

#include "dataplane/flow/packet.hh"
#include "dataplane/l4/tracker.hh"
#include "dataplane/lookup/flow_store.hh"
#include "dataplane/track/tcp_fsm.hh"

namespace sluice {

/// The state in which a packet of direction `d` meets the rules, as its flow is now.
[[nodiscard]] inline PacketState state_of(const FlowHot& h, Direction d) noexcept {
    if (d == Direction::reply || h.has(status::kSeenReply)) return PacketState::established;
    return h.has(status::kExpected) ? PacketState::related : PacketState::new_flow;
}

/// Sets p.state (and, when INVALID, takes the packet away from its flow: it is neither counted nor translated as part
/// of it). `reopen` and `kill` are for the caller to carry out. `shift`: what a helper did to the TCP numbers of the
/// opposite direction, or nullptr.
[[nodiscard]] TrackResult track(FlowStore& store, Packet& p, const TrackRules& rules, const SeqAdjust* shift,
                                Now now) noexcept;

}  // namespace sluice

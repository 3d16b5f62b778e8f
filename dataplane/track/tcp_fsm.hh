// TCP state of a flow: the transition table (flow/tcp_table.hh) and the rules that Linux puts on top of it
// (nf_conntrack_proto_tcp.c, nf_conntrack_tcp_packet()). Sequence windows are not looked at here.
//
// Owner: the flow's worker. The packet that created the flow does not come here; admission_of said where it begins.
#pragma once

#include "dataplane/flow/packet.hh"
#include "dataplane/flow/timeouts.hh"
#include "dataplane/lookup/flow_store.hh"

namespace sluice {

enum class TrackResult : std::uint8_t {
    accept,   ///< belongs to the flow; state and lifetime are up to date
    invalid,  ///< does not: PacketState::invalid, nothing changed
    reopen,   ///< a SYN for a closed connection: the old flow must go, the packet is NEW
    kill,     ///< accept, then the flow is over (RST to a SYN that nobody answered)
};

[[nodiscard]] TrackResult track_tcp(FlowStore& store, const Packet& p, const Timeouts& timeouts, Now now) noexcept;

}  // namespace sluice

// TCP state of a flow: the transition table (flow/tcp_table.hh), the window (tcp_window.hh), and the rules that Linux
// puts on top of both (nf_conntrack_proto_tcp.c, nf_conntrack_tcp_packet(), as of 6.18):
//
//   SYN that reopens       a connection that was closed or reset: the old flow goes, the packet is NEW (RFC 1122
//                          4.2.2.13)
//   ignored packet         perhaps the ends know better than we do: it passes and is remembered. A SYN/ACK that accepts
//                          an ignored SYN begins the tracking anew
//   challenge ACK          RFC 5961 section 4: the answer to a SYN that came too late closes nothing, and the RST which
//                          it provokes is believed
//   RST                    before what its receiver has acknowledged it is INVALID; inside the window, but not exactly
//                          at its edge, it does not close an established connection (RFC 5961 section 3.2)
//   caps on the timeout    repeats without an answer, data that nobody acknowledges, a closed window
//
// Owner: the flow's worker.
#pragma once

#include "dataplane/flow/packet.hh"
#include "dataplane/flow/seq_adjust.hh"
#include "dataplane/l4/tracker.hh"
#include "dataplane/lookup/flow_store.hh"

namespace sluice {

/// `shift`: what a helper did to the numbers of the opposite direction, or nullptr.
[[nodiscard]] TrackResult track_tcp(FlowStore& store, Packet& p, const Timeouts& timeouts, const TcpRules& rules,
                                    const SeqAdjust* shift, Now now) noexcept;

}  // namespace sluice

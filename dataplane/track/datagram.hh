// Trackers without a state machine: UDP (two stages), ICMP queries, everything else.
//
// UDP, nf_conntrack_proto_udp.c: the short timeout until a reply was seen *and* two seconds have passed since the flow
// began; from then on it is a stream, with the long timeout, and ASSURED. A lone question with its answer (DNS) never
// gets there. ICMP and generic flows just live on with every packet and are never ASSURED.
//
// Owner: the flow's worker.
#pragma once

#include "dataplane/flow/packet.hh"
#include "dataplane/flow/timeouts.hh"
#include "dataplane/lookup/flow_store.hh"

namespace sluice {

inline void track_datagram(FlowStore& store, const Packet& p, const Timeouts& timeouts, Now now) noexcept {
    constexpr TimeMs kStreamAfterMs = 2000;
    FlowHot& h = store.hot(p.slot);
    switch (h.kind) {
        case L4Kind::udp: {
            // What became a stream stays one: its cold lines are not looked at again.
            const bool stream = h.has(status::kAssured) ||
                                (h.has(status::kSeenReply) && now.ms > store.cold(p.slot).created_ms + kStreamAfterMs);
            if (stream) store.set_status(p.slot, status::kAssured);
            store.refresh(p.slot, now, stream ? timeouts.udp_stream : timeouts.udp);
            return;
        }
        case L4Kind::icmp:
            store.refresh(p.slot, now, timeouts.icmp);
            return;
        case L4Kind::generic:
        case L4Kind::tcp:
            store.refresh(p.slot, now, timeouts.generic);
            return;
    }
}

}  // namespace sluice

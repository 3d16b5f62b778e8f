// The fast path: a plain packet whose flow knows all about it, what the filter says, where it leaves, how it is
// translated, is carried from lookup to transmit in one piece. It does what the stages would do one after the other, to
// the same lines, and nothing else: it has no state of its own, and a packet of which any single thing is not as usual
// takes the stages' way instead, untouched. So nothing is ever decided here; a test sends the same traffic through with
// and without it and compares all that comes out.
//
// Order: packets of a flow keep theirs. The first one of a burst that has to take the stages' way takes those of its
// flow that come behind it along.
//
// Usual is: IPv4, UDP or TCP, in one buffer (ingress/plain_packet.hh); the flow answered or this not the first answer,
// not past its deadline, with no helper; of TCP a pure acknowledgement or data, in the window, of an established and
// ASSURED connection; the verdict cached for this policy, state and way; the route still that of the cache, with a
// neighbour that is known, by a port that is up, untagged and this worker's; and within time to live and MTU.
//
// Owner: one worker. Cannot fail.
#pragma once

#include "dataplane/base/clock.hh"
#include "dataplane/lookup/flow_store.hh"
#include "dataplane/policy/policy.hh"
#include "dataplane/policy/routes.hh"
#include "dataplane/transmit/nexthop.hh"
#include "dataplane/transmit/tx.hh"

namespace sluice {

class FastPath {
public:
    struct Parts {
        std::uint8_t worker;
        FlowStore& store;
        const RouteTable& routes;
        const PortTable& ports;
        const Egress& egress;
        TxBuffers& tx;
        WorkerCounters& counters;
    };
    explicit FastPath(const Parts& parts) noexcept : p_(parts) {}

    /// Packets that have just been looked up: those that can leave at once do, the others stay in the burst.
    void carry(Burst& burst, const Policy& policy, Now now) noexcept;

private:
    Parts p_;
};

}  // namespace sluice

// The way of plain packets that go as nearly all do: of an established flow, not the last of it, by the way its last
// packet went. In one piece, from lookup to transmit: what each stage would do to such a packet is done here at once,
// and nothing else. It decides nothing: where anything is not as usual the packet is left as it was for the stages, and
// so are later packets of its flow in the burst, or they would overtake it.
//
// Usual is: IPv4, UDP or TCP, in one buffer (flow/plain_packet.hh); the flow answered or this not the first answer,
// not past its deadline, with no helper; of TCP a pure acknowledgement or data, in the window, of an established
// connection that is ASSURED, or was picked up and not answered yet; the verdict cached for this policy, state and way;
// the route still that of the cache, with a neighbour that is known, by a port that is up, untagged and this worker's;
// and within time to live and MTU.
//
// Owner: one worker. Cannot fail.
#pragma once

#include "dataplane/base/clock.hh"
#include "dataplane/flow/plain_packet.hh"
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

    /// Plain packets that have just been looked up: those that can leave at once do, the others stay in `burst`.
    /// `others`: packets of the same burst that are not plain, looked up as well; they are not touched.
    void carry(PlainBurst& burst, const Burst& others, const Policy& policy, Now now) noexcept;

private:
    /// What is the same for all packets of a burst.
    struct Terms {
        const Policy& policy;
        RuleCounter* rule_counters;
        std::uint32_t generation;
        std::uint32_t route_epoch;
        Now now;
    };
    /// A next hop and all that a frame needs to leave by it, looked at once a burst.
    struct Way {
        std::uint32_t hop = kNoNextHop;  ///< whose it is
        std::uint16_t longest = 0;       ///< IP bytes; 0: nothing leaves by it from here
        std::uint16_t device = 0;
        PortIndex port = kNoPort;
        std::array<std::uint8_t, 12> addresses{};  ///< of the Ethernet header
    };
    [[nodiscard, gnu::always_inline]] bool leaves(const PlainPacket& p, const Terms& t) noexcept;
    [[nodiscard]] Way way_by(std::uint32_t hop) const noexcept;

    std::array<Way, 4> ways_{};  // by the lowest bits of their hops
    Parts p_;
};

}  // namespace sluice

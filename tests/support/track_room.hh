// One flow, made by its first packet as policy makes it, and the packets that follow. For tests of what packets do to
// flows.
#pragma once

#include <catch2/catch.hpp>

#include "dataplane/ingress/parse.hh"
#include "dataplane/l4/trackers.hh"
#include "tests/support/flow_room.hh"
#include "tests/support/packet_room.hh"

namespace sluice::test {

struct TrackRoom : PacketRoom {
    /// `with` must outlive the room.
    explicit TrackRoom(const Timeouts& with) : timeouts(with) {}

    /// A packet as ingress parses it; the caller owns the buffer.
    Packet parsed(const PacketBuilder& b) {
        Packet p = arrive(b);
        REQUIRE((parse(p, *ports, disposal) == Arrival::forward));
        return p;
    }
    void open(const PacketBuilder& b) {
        Packet p = parsed(b);
        REQUIRE(admission_of(p, {timeouts, rules}).admit);
        slot = flows.fill(p.key, invert(p.key), now);
        flows.store.refresh(slot, now, tracker_of(flow().kind).begin(flow(), p, {timeouts, rules}));
        REQUIRE(flows.store.publish(slot));
        rte_pktmbuf_free(p.mbuf);
    }
    FlowHot& flow() { return flows.store.hot(slot); }
    std::uint32_t timeout() { return flow().lifetime.load().timeout_s; }

    const Timeouts& timeouts;
    FlowRoom flows;
    TcpRules rules;
    SlotIndex slot = kNoSlot;
    Now now{1000, 0};
};

}  // namespace sluice::test

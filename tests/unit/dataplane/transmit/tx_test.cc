#include "dataplane/transmit/tx.hh"

#include "tests/unit/dataplane/transmit/egress_room.hh"

using namespace sluice;
using namespace sluice::test;

namespace {
struct Room : EgressRoom {
    PacketBuilder query = udp(kClient, 1, kServer, 2).payload("q");
};
}  // namespace

TEST_CASE_METHOD(Room, "frames wait for flush, or for a full buffer, and are counted by port") {
    tx.send(kWan, query.mbuf(pool));
    std::array<rte_mbuf*, 2> none;
    CHECK(rte_eth_rx_burst(1, 0, none.data(), 2) == 0);
    CHECK(balance().transmitted.get() == 0);
    const auto frames = sent(1);
    REQUIRE(frames.size() == 1);
    CHECK(frames[0] == query.bytes());
    CHECK(sent(0).empty());
    CHECK(balance().transmitted.get() == 1);
    CHECK(counters->ports[kWan].tx_packets.get() == 1);
    CHECK(counters->ports[kWan].tx_bytes.get() == query.bytes().size());

    for (unsigned i = 0; i < TxBuffers::kFrames; ++i) tx.send(kLan, query.mbuf(pool));
    CHECK(counters->ports[kLan].tx_packets.get() == TxBuffers::kFrames);
    CHECK(sent(0).size() == TxBuffers::kFrames);
}

TEST_CASE_METHOD(Room, "a VLAN port's frames get its tag and its counters") {
    tx.send(kDmz, query.mbuf(pool));
    tx.send(kLan, query.mbuf(pool));
    const auto frames = sent(0);
    REQUIRE(frames.size() == 2);
    CHECK(frames[0] == PacketBuilder(query).vlan(20).bytes());
    CHECK(frames[1] == query.bytes());
    CHECK(counters->ports[kDmz].tx_packets.get() == 1);
    CHECK(counters->ports[kDmz].tx_bytes.get() == query.bytes().size() + 4);
    CHECK(counters->ports[kLan].tx_packets.get() == 1);
}

TEST_CASE_METHOD(Room, "a port that is down drops") {
    (*ports)[kWan].up = false;
    tx.send(kWan, query.mbuf(pool));
    CHECK(drops(DropReason::port_down) == 1);
    CHECK(sent(1).empty());
}

TEST_CASE_METHOD(Room, "what the device does not take is dropped, in order, and counted") {
    constexpr unsigned kSend = 1500;  // more than the ring of the device holds, fewer than the pool
    unsigned capacity = 0;
    for (unsigned i = 0; i < kSend; ++i) tx.send(kWan, udp(kClient, i, kServer, 2).mbuf(pool));
    tx.flush();
    disposal.flush();
    const auto dropped = drops(DropReason::tx_full);
    const auto frames = sent(1);
    for (const auto& frame : frames) CHECK(decode(frame).sport == capacity++);
    CHECK(frames.size() + dropped == kSend);
    CHECK(balance().transmitted.get() == frames.size());
    CHECK(dropped > 0);
}

TEST_CASE_METHOD(Room, "frames for a device without a queue go to a worker that has one, complete") {
    TxBuffers mine(*ports, disposal);
    mine.use_queue(1, 0);
    tx.send(kWan, query.mbuf(pool));  // the other worker's
    static std::vector<rte_mbuf*> handed;
    handed.clear();
    mine.send(kDmz, query.mbuf(pool));
    CHECK(drops(DropReason::port_down) == 1);  // nobody was named yet
    mine.on_other_device(
        [](void* context, std::uint16_t device, rte_mbuf* m) noexcept {
            CHECK(context == &handed);
            CHECK(device == 0);
            handed.push_back(m);
        },
        &handed);
    mine.send(kDmz, query.mbuf(pool));
    REQUIRE(handed.size() == 1);
    CHECK(note_of(handed[0]).kind == HandoffKind::transmit);
    CHECK(note_of(handed[0]).device == 0);
    REQUIRE(note_of(handed[0]).out_port == kDmz);
    tx.send_complete(note_of(handed[0]).out_port, handed[0]);
    const auto frames = sent(0);
    REQUIRE(frames.size() == 1);
    CHECK(frames[0] == PacketBuilder(query).vlan(20).bytes());
    CHECK(counters->ports[kDmz].tx_packets.get() == 1);

    INFO("one that has none either does not pass it on");
    mine.send_complete(kLan, query.mbuf(pool));
    CHECK(drops(DropReason::port_down) == 2);
}

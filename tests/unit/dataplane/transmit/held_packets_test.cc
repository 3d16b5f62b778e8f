#include "dataplane/transmit/held_packets.hh"

#include "tests/unit/dataplane/transmit/egress_room.hh"

using namespace sluice;
using namespace sluice::test;

namespace {

struct Room : EgressRoom {
    HeldPackets few{{8, 3, 4, 3000}, *counters, to_control};
    rte_mbuf* packet(unsigned n = 0) { return udp(kClient, n, kServer, 2).mbuf(pool); }
    bool put(Ip4 address, unsigned n = 0, PortIndex port = kWan) {
        rte_mbuf* m = packet(n);
        if (few.hold(m, address, port, now)) return true;
        rte_pktmbuf_free(m);
        return false;
    }
    /// Source ports of what comes out, in order.
    std::vector<unsigned> out;
    auto collect() {
        out.clear();
        return [this](rte_mbuf* m) noexcept {
            out.push_back(decode(frame_of(m)).sport);
            rte_pktmbuf_free(m);
        };
    }
};

}  // namespace

TEST_CASE_METHOD(Room, "packets come out in order, for their neighbour and port only") {
    REQUIRE(put(kGateway, 1));
    REQUIRE(put(kServer, 2));
    REQUIRE(put(kGateway, 3));
    REQUIRE(put(kGateway, 4, kLan));
    CHECK(few.count() == 4);
    CHECK(balance().held.get() == 4);
    few.take(kGateway, kWan, collect());
    CHECK(out == std::vector<unsigned>{1, 3});
    CHECK(balance().held.get() == 2);
    few.take(kGateway, kWan, collect());
    CHECK(out.empty());
    few.take(kClient, kWan, collect());
    CHECK(out.empty());
    few.take(kGateway, kLan, collect());
    CHECK(out == std::vector<unsigned>{4});
}

TEST_CASE_METHOD(Room, "room is bounded per neighbour, in neighbours and in all") {
    for (unsigned i = 0; i < 4; ++i) REQUIRE(put(kGateway));
    CHECK_FALSE(put(kGateway));
    REQUIRE(put(kServer));
    REQUIRE(put(kClient));
    CHECK_FALSE(put(kBoxLan));  // a fourth neighbour
    REQUIRE(put(kServer));
    REQUIRE(put(kClient));
    CHECK_FALSE(put(kClient));  // a ninth packet
    CHECK(few.count() == 8);
}

TEST_CASE_METHOD(Room, "the kernel is asked also for a packet that finds no room") {
    for (unsigned i = 0; i < 4; ++i) REQUIRE(put(kGateway));
    for (unsigned i = 0; i < 4; ++i) REQUIRE(put(kServer));
    CHECK(notices().size() == 2);
    CHECK_FALSE(put(kClient));  // all places taken, by others
    const auto asked = notices();
    REQUIRE(asked.size() == 1);
    CHECK(asked[0].key.dst() == kClient);
}

TEST_CASE_METHOD(Room, "the kernel is asked once a second and neighbour") {
    REQUIRE(put(kGateway));
    REQUIRE(put(kGateway));
    auto asked = notices();
    REQUIRE(asked.size() == 1);
    CHECK(asked[0].kind == NoticeKind::resolve);
    CHECK(asked[0].detail == kWan);
    CHECK(asked[0].key.dst() == kGateway);
    now.ms += 999;
    REQUIRE(put(kGateway));
    CHECK(notices().empty());
    now.ms += 1;
    REQUIRE(put(kGateway));
    CHECK(notices().size() == 1);
    INFO("a packet that finds no room asks too");
    now.ms += 1000;
    CHECK_FALSE(put(kGateway));
    CHECK(notices().size() == 1);
    CHECK(counters->neighbour_requests.get() == 3);
}

TEST_CASE_METHOD(Room, "a full mailbox is tried again with the next packet") {
    while (to_control.post(Notice{})) {
    }
    REQUIRE(put(kGateway));
    CHECK(counters->neighbour_requests.get() == 0);
    static_cast<void>(notices());
    REQUIRE(put(kGateway));
    CHECK(notices().size() == 1);
}

TEST_CASE_METHOD(Room, "each packet waits its own three seconds, to the tick of the scan") {
    REQUIRE(put(kGateway, 1));
    now.ms += 500;
    REQUIRE(put(kGateway, 2));
    now.ms = 1000 + 2999;
    few.expire(now, collect());
    CHECK(out.empty());
    now.ms += 100;
    few.expire(now, collect());
    CHECK(out == std::vector<unsigned>{1});
    now.ms = 1500 + 3000;
    few.expire(now, collect());
    CHECK(out == std::vector<unsigned>{2});
    CHECK(few.count() == 0);
}

TEST_CASE_METHOD(Room, "neighbours that are done make room for others") {
    for (unsigned round = 0; round < 20; ++round) {
        for (unsigned i = 0; i < 3; ++i) REQUIRE(put(ip4(10, 0, round, i), i));
        CHECK_FALSE(put(kGateway));
        now.ms += 5000;
        few.expire(now, collect());
        CHECK(out.size() == 3);
    }
    CHECK(balance().held.get() == 0);
}

TEST_CASE_METHOD(Room, "memory of the last request outlives the packets") {
    REQUIRE(put(kGateway));
    few.take(kGateway, kWan, collect());
    few.expire(now, collect());
    REQUIRE(put(kGateway));
    CHECK(notices().size() == 1);
}

TEST_CASE_METHOD(Room, "at the end everything is handed out") {
    for (unsigned i = 0; i < 3; ++i) REQUIRE(put(ip4(10, 0, 0, i), i));
    few.drain(collect());
    CHECK(out.size() == 3);
    CHECK(few.count() == 0);
    REQUIRE(put(ip4(10, 0, 0, 0)));  // the destructor frees this one
}

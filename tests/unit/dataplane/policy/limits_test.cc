#include "dataplane/policy/limits.hh"

#include <vector>

#include <catch2/catch.hpp>

#include "dataplane/ingress/parse.hh"
#include "tests/support/packet_room.hh"

using namespace sluice;
using namespace sluice::test;

TEST_CASE_METHOD(PacketRoom, "TTL and size decide whether a packet travels on") {
    struct Row {
        const char* what;
        PacketBuilder packet;
        bool local_out;
        Fate fate;
        DropReason reason;
        Answer answer;
    };
    const auto plain = udp(ip4(192, 0, 2, 7), 1, ip4(203, 0, 113, 9), 2);
    const auto of_size = [&](std::size_t ip_bytes) { return PacketBuilder(plain).payload_bytes(ip_bytes - 28); };
    const std::vector<Row> rows{
        {"TTL 64", plain, false, Fate::go, {}, Answer::none},
        {"TTL 2", PacketBuilder(plain).ttl(2), false, Fate::go, {}, Answer::none},
        {"TTL 1", PacketBuilder(plain).ttl(1), false, Fate::drop, DropReason::ttl_exceeded, Answer::ttl_exceeded},
        {"TTL 0", PacketBuilder(plain).ttl(0), false, Fate::drop, DropReason::ttl_exceeded, Answer::ttl_exceeded},
        {"TTL 1 from the box itself", PacketBuilder(plain).ttl(1), true, Fate::go, {}, Answer::none},
        {"exactly the MTU", of_size(1500).dont_fragment(), false, Fate::go, {}, Answer::none},
        {"one byte more, DF", of_size(1501).dont_fragment(), false, Fate::drop, DropReason::mtu_exceeded,
         Answer::fragmentation_needed},
        {"one byte more, may be cut", of_size(1501), false, Fate::go, {}, Answer::none},
        {"TTL comes first", of_size(1501).dont_fragment().ttl(1), false, Fate::drop, DropReason::ttl_exceeded,
         Answer::ttl_exceeded},
    };
    for (const Row& row : rows) {
        INFO(row.what);
        Packet p = arrive(row.packet);
        REQUIRE(parse(p, *ports, disposal) == Arrival::forward);
        p.out_port = kWan;
        p.local_out = row.local_out;
        const Decision d = check_limits(p, 1500);
        CHECK(d.fate == row.fate);
        CHECK(d.answer == row.answer);
        if (row.fate == Fate::drop) CHECK(d.reason == row.reason);
        rte_pktmbuf_free(p.mbuf);
    }
}

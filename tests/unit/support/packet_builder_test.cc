// The tests' own tool, held against bytes written down by hand.
#include "tests/support/packet_builder.hh"

#include <array>

#include <catch2/catch.hpp>

#include "tests/support/eal.hh"

using namespace sluice;
using namespace sluice::test;

namespace {
constexpr Ip4 kClient = ip4(192, 0, 2, 7);
constexpr Ip4 kServer = ip4(203, 0, 113, 9);
}  // namespace

TEST_CASE("a SYN has the bytes that RFC 791 and 793 give it") {
    const auto packet =
        tcp(ip4(192, 168, 0, 1), 1, ip4(192, 168, 0, 2), 2).flags(kSyn).seq(0).window(0).ip_id(0).ip_packet();
    const std::vector<std::uint8_t> expected{0x45, 0, 0,   40,  0,    0, 0, 0, 64,   6,    0xf9, 0x7c, 192, 168,
                                             0,    1, 192, 168, 0,    2, 0, 1, 0,    2,    0,    0,    0,   0,
                                             0,    0, 0,   0,   0x50, 2, 0, 0, 0x2e, 0x8c, 0,    0};
    CHECK(packet == expected);
}

TEST_CASE("what is built is described, with right checksums") {
    const auto row = [](const PacketBuilder& b, const char* text) {
        CHECK(describe(b.bytes()) == text);
        CHECK(valid_checksums(b.bytes()));
    };
    row(tcp(kClient, 40000, kServer, 80).flags(kSyn).seq(7).mss(1460),
        "192.0.2.7:40000 > 203.0.113.9:80 tcp S seq 7 ttl 64");
    row(tcp(kClient, 40000, kServer, 80).flags(kAck | kPsh).seq(7).ack(9).payload("abc").pad_to(60).vlan(20),
        "vlan 20 192.0.2.7:40000 > 203.0.113.9:80 tcp P. seq 7 ack 9 ttl 64 len 3");
    row(udp(kClient, 53, kServer, 53).payload("x").ttl(3), "192.0.2.7:53 > 203.0.113.9:53 udp ttl 3 len 1");
    row(udp(kClient, 53, kServer, 53).no_udp_checksum(), "192.0.2.7:53 > 203.0.113.9:53 udp ttl 64");
    row(echo_request(kClient, kServer, 5, 6), "192.0.2.7 > 203.0.113.9 icmp 8/0 id 5 seq 6 ttl 64");
    row(icmp_error(kServer, kClient, 3, 4, udp(kClient, 1, kServer, 2).payload_bytes(1400), 8, 1280),
        "203.0.113.9 > 192.0.2.7 icmp 3/4 mtu 1280 {192.0.2.7:1 > 203.0.113.9:2 udp ttl 64} ttl 64");
    row(protocol(47, kClient, kServer).payload("data"), "192.0.2.7 > 203.0.113.9 proto 47 ttl 64 len 4");
    row(udp(kClient, 1, kServer, 2).payload_bytes(16).fragment(8, true),
        "192.0.2.7 > 203.0.113.9 fragment 8+ proto 17 ttl 64 len 16");
    row(arp_request(mac(9), kClient, kServer), "arp");
}

TEST_CASE("what is broken is called out") {
    CHECK(describe(udp(kClient, 1, kServer, 2).break_checksum().bytes()) ==
          "192.0.2.7:1 > 203.0.113.9:2 udp ttl 64 [bad checksum]");
    CHECK(describe(udp(kClient, 1, kServer, 2).break_ip_checksum().bytes()) ==
          "192.0.2.7:1 > 203.0.113.9:2 udp ttl 64 [bad ip checksum]");
    CHECK(decode(udp(kClient, 1, kServer, 2).version(6).bytes()).error == "ip version");
    CHECK(decode(udp(kClient, 1, kServer, 2).ihl(4).bytes()).error == "ip header length");
    CHECK(decode(udp(kClient, 1, kServer, 2).total_length(99).bytes()).error == "ip total length beyond the frame");
    CHECK(decode(udp(kClient, 1, kServer, 2).udp_length(7).bytes()).error == "udp length");
    CHECK(decode(tcp(kClient, 1, kServer, 2).data_offset(4).bytes()).error == "tcp data offset");
    CHECK(decode(tcp(kClient, 1, kServer, 2).cut_to(13).bytes()).error == "frame short");
    for (const auto& b : {tcp(kClient, 1, kServer, 2).break_checksum(), icmp(kClient, kServer, 8, 0).break_checksum()})
        CHECK_FALSE(valid_checksums(b.bytes()));
}

TEST_CASE("options, SACK blocks, padding and fields come back") {
    const std::array<std::pair<std::uint32_t, std::uint32_t>, 2> blocks{{{1, 2}, {0xfffffff0, 5}}};
    const auto d = decode(tcp(kClient, 1, kServer, 2)
                              .sack(blocks)
                              .window(77)
                              .tos(0x10)
                              .dont_fragment()
                              .payload("hello")
                              .pad_to(200)
                              .bytes());
    CHECK(d.sack.size() == 2);
    CHECK(d.sack.at(1).first == 0xfffffff0);
    CHECK(d.sack.at(1).second == 5);
    CHECK(d.window == 77);
    CHECK(d.tos == 0x10);
    CHECK(d.dont_fragment);
    CHECK(d.payload == "hello");
    CHECK(d.padding + d.total_length + 14 == 200);
    const std::array<std::uint8_t, 3> record_route{7, 3, 4};
    CHECK(decode(udp(kClient, 1, kServer, 2).ip_option(record_route).bytes()).ip_options ==
          std::vector<std::uint8_t>{7, 3, 4, 0});
}

TEST_CASE_METHOD(EalFixture, "an mbuf holds the frame") {
    rte_mempool* pool = rte_pktmbuf_pool_create("builder", 15, 0, 0, 2048, 0);
    REQUIRE(pool != nullptr);
    const auto frame = udp(kClient, 1, kServer, 2).payload_bytes(500).bytes();
    rte_mbuf* m = make_mbuf(pool, frame, 3);
    CHECK(frame_of(m) == frame);
    CHECK(m->port == 3);
    rte_pktmbuf_free(m);
    rte_mempool_free(pool);
}

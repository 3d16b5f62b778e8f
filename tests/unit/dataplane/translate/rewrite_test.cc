// The judge is the decoder of the tests, which sums every byte again.
#include "dataplane/translate/rewrite.hh"

#include <cstring>
#include <random>
#include <type_traits>

#include <catch2/catch.hpp>

#include "dataplane/ingress/parse.hh"
#include "tests/support/packet_room.hh"

using namespace sluice;
using namespace sluice::test;

namespace {

constexpr Ip4 kClient = ip4(192, 0, 2, 7);
constexpr Ip4 kServer = ip4(203, 0, 113, 9);
constexpr Ip4 kOutside = ip4(198, 51, 100, 1);

struct Room : PacketRoom {
    /// Parses what `b` builds, rewrites it to `to` (addresses and ports of a key), returns the frame.
    Frame rewritten(const PacketBuilder& b, FlowKey to) {
        Packet p = arrive(b);
        REQUIRE(parse(p, *ports, disposal) == Arrival::forward);
        to.proto = p.proto;
        rewrite(p, RewritePlan::between(p.key, to));
        CHECK((p.mbuf->ol_flags & (RTE_MBUF_F_RX_IP_CKSUM_MASK | RTE_MBUF_F_RX_L4_CKSUM_MASK)) == 0);
        Frame frame = frame_of(p.mbuf);
        rte_pktmbuf_free(p.mbuf);
        return frame;
    }
};

FlowKey to(Ip4 src, unsigned sport, Ip4 dst, unsigned dport) {
    return {src, dst, be16(sport), be16(dport)};
}

/// Any address that may arrive.
Ip4 some_address(std::mt19937& random) {
    return Ip4::from_host(static_cast<std::uint32_t>(0x01000000U + random() % 0x7d000000U));
}

}  // namespace

TEST_CASE_METHOD(Room, "one packet of each protocol comes out as the plan says") {
    CHECK(describe(rewritten(tcp(kClient, 40000, kServer, 21).seq(5).payload("USER x\r\n"),
                             to(kOutside, 1024, kServer, 2121))) ==
          "198.51.100.1:1024 > 203.0.113.9:2121 tcp . seq 5 ack 0 ttl 64 len 8");
    CHECK(describe(rewritten(udp(kClient, 5353, kServer, 53).payload("q"), to(kOutside, 6000, kServer, 53))) ==
          "198.51.100.1:6000 > 203.0.113.9:53 udp ttl 64 len 1");
    CHECK(
        describe(rewritten(echo_request(kClient, kServer, 7, 2).payload("abc"), to(kOutside, 9000, kServer, 0x0800))) ==
        "198.51.100.1 > 203.0.113.9 icmp 8/0 id 9000 seq 2 ttl 64 len 3");
    CHECK(describe(rewritten(protocol(47, kClient, kServer).payload("gre"), to(kOutside, 0, kServer, 0))) ==
          "198.51.100.1 > 203.0.113.9 proto 47 ttl 64 len 3");
}

TEST_CASE_METHOD(Room, "a plan that changes nothing leaves the packet and what the NIC said alone") {
    Packet p = arrive(udp(kClient, 1, kServer, 2));
    REQUIRE(parse(p, *ports, disposal) == Arrival::forward);
    const auto flags = p.mbuf->ol_flags;
    rewrite(p, RewritePlan::between(p.key, p.key));
    CHECK(frame_of(p.mbuf) == udp(kClient, 1, kServer, 2).bytes());
    CHECK(p.mbuf->ol_flags == flags);
    rte_pktmbuf_free(p.mbuf);
}

TEST_CASE_METHOD(Room, "a UDP datagram without checksum gets none") {
    const auto d =
        decode(rewritten(udp(kClient, 1, kServer, 2).no_udp_checksum().payload("x"), to(kOutside, 3, kServer, 2)));
    CHECK(d.udp_checksum == 0);
    CHECK(d.sport == 3);
    CHECK(d.valid_checksums());
}

TEST_CASE_METHOD(Room, "a UDP checksum that comes out as zero is sent as all ones") {
    // Walk the source port through all values: exactly one of them makes the sum zero.
    unsigned all_ones = 0;
    for (unsigned port = 0; port <= 0xffff; ++port) {
        const auto d = decode(rewritten(udp(kClient, 1, kServer, 2).payload("abcd"), to(kOutside, port, kServer, 2)));
        if (d.udp_checksum == 0) FAIL("a datagram with a checksum lost it at port " << port);
        if (d.udp_checksum == 0xffff) {
            ++all_ones;
            CHECK(d.valid_checksums());
        }
    }
    CHECK(all_ones >= 1);
}

TEST_CASE_METHOD(Room, "an echo reply of nothing but zeros has all ones for a checksum") {
    CHECK(describe(rewritten(echo_reply(kClient, kServer, 7, 0), to(kOutside, 0, kServer, 0))) ==
          "198.51.100.1 > 203.0.113.9 icmp 0/0 id 0 seq 0 ttl 64");
    CHECK(describe(rewritten(echo_reply(kClient, kServer, 0xffff, 0), to(kOutside, 0, kServer, 0))) ==
          "198.51.100.1 > 203.0.113.9 icmp 0/0 id 0 seq 0 ttl 64");
}

TEST_CASE_METHOD(Room, "deltas agree with a full sum for any packet and any plan") {
    std::mt19937 random(20241121);
    const auto port = [&] { return static_cast<unsigned>(random() & 0xffff); };
    for (unsigned round = 0; round < 4000; ++round) {
        const Ip4 from = some_address(random), towards = some_address(random);
        if (from == towards) continue;
        const std::size_t bytes = random() % 64;
        PacketBuilder b;
        switch (round % 4) {
            case 0:
                b = tcp(from, port(), towards, port()).seq(static_cast<std::uint32_t>(random()));
                break;
            case 1:
                b = udp(from, port(), towards, 1000 + port() % 1000);
                break;
            case 2:
                b = echo_request(from, towards, port(), port());
                break;
            default:
                b = protocol(90 + round % 40 / 4, from, towards);
                break;
        }
        b.payload_bytes(bytes).tos(port() & 0xff).ip_id(port());
        // Half of the plans change one side only, as SNAT and DNAT do.
        FlowKey target = to(some_address(random), port(), some_address(random), port());
        Packet probe = arrive(b);
        REQUIRE(parse(probe, *ports, disposal) == Arrival::forward);
        const FlowKey key = probe.key;
        rte_pktmbuf_free(probe.mbuf);
        if (round % 8 < 4) {
            target.set_dst(key.dst());
            target.dport = key.dport;
        }
        if (key.kind() == L4Kind::icmp) target.dport = key.dport;
        const auto d = decode(rewritten(b, target));
        INFO(d.text());
        REQUIRE(d.valid_checksums());
        REQUIRE(d.src == target.src());
        REQUIRE(d.dst == target.dst());
        if (key.kind() == L4Kind::tcp || key.kind() == L4Kind::udp) {
            REQUIRE(d.sport == target.sport.host());
            REQUIRE(d.dport == target.dport.host());
        }
        if (key.kind() == L4Kind::icmp) REQUIRE(d.icmp_id == target.sport.host());
        REQUIRE(d.payload.size() == bytes);
    }
}

TEST_CASE("the plan of the answers is the one that would be made for them alone, byte for byte") {
    std::mt19937 engine(11);
    const auto random = [&] { return static_cast<unsigned>(engine()); };
    const auto any_ip6 = [&] { return ip6(0x2001, 0xdb8, 0, random() % 3, 0, 0, 0, random() % 5); };
    unsigned differ = 0;
    for (unsigned i = 0; i < 20'000; ++i) {
        const bool v6 = random() % 4 == 0;
        const auto address = [&]() -> IpAddress {
            if (v6) return any_ip6();
            return IpAddress(Ip4::from_host(ip4(198, 51, 100, 0).host() + random() % 4));
        };
        FlowKey original;
        switch (random() % 4) {
            case 0:
                original = icmp_key(address(), address(), v6 ? 128 : 8, 0, be16(random() % 3));
                break;
            case 1:
                original = generic_key(static_cast<std::uint8_t>(random() % 2 == 0 ? IpProto::esp : IpProto::gre),
                                       address(), address());
                break;
            default:
                original = port_key(random() % 2 == 0 ? IpProto::udp : IpProto::tcp, address(),
                                    be16(random() % 2 == 0 ? 0xffff : random() % 3), address(), be16(random() % 3));
        }
        FlowKey reply = invert(original);
        if (random() % 2 == 0) reply.set_dst(address());
        if (random() % 4 == 0) reply.set_src(address());
        if (random() % 2 == 0 && original.shape() == TupleShape::ports) reply.dport = be16(random() % 65536);
        if (random() % 4 == 0 && original.shape() == TupleShape::ports) reply.sport = be16(random() % 65536);
        if (random() % 2 == 0 && original.shape() == TupleShape::query) reply.sport = be16(random() % 65536);
        const RewritePlan forth = RewritePlan::between(original, invert(reply));
        const RewritePlan made = RewritePlan::between(reply, invert(original));
        const RewritePlan derived = forth.of_answers(original, reply);
        static_assert(std::has_unique_object_representations_v<RewritePlan>);
        differ += std::memcmp(&made, &derived, sizeof made) == 0 ? 0 : 1;
    }
    CHECK(differ == 0);
}

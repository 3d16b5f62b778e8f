// The judge is the decoder of the tests, which sums every byte again, and the packet that should be quoted.
#include "dataplane/translate/icmp_inner.hh"

#include <random>

#include <catch2/catch.hpp>

#include "dataplane/ingress/parse.hh"
#include "tests/support/packet_room.hh"

using namespace sluice;
using namespace sluice::test;

namespace {

constexpr Ip4 kClient = ip4(192, 0, 2, 7);
constexpr Ip4 kServer = ip4(203, 0, 113, 9);
constexpr Ip4 kOutside = ip4(198, 51, 100, 1);
constexpr Ip4 kRouter = ip4(198, 51, 100, 99);

struct Room : PacketRoom {
    /// Parses an error, rewrites it by the plan from its key to `to`, and decodes what comes out.
    Decoded rewritten(const PacketBuilder& error, FlowKey to, bool replaces_source, const SeqAdjust* shift = nullptr) {
        Packet p = arrive(error);
        REQUIRE(parse(p, *ports, disposal) == Arrival::forward);
        REQUIRE(p.trackable);
        to.proto = p.key.proto;
        rewrite_error(p, RewritePlan::between(p.key, to), {to.src(), to.dst()}, replaces_source, shift);
        CHECK((p.mbuf->ol_flags & (RTE_MBUF_F_RX_IP_CKSUM_MASK | RTE_MBUF_F_RX_L4_CKSUM_MASK)) == 0);
        const Decoded d = decode(frame_of(p.mbuf));
        rte_pktmbuf_free(p.mbuf);
        return d;
    }
};

/// The tuple of packets that travel the error's way, as they leave.
FlowKey to(Ip4 src, unsigned sport, Ip4 dst, unsigned dport) {
    return {src, dst, be16(sport), be16(dport)};
}

}  // namespace

TEST_CASE_METHOD(Room, "the destination alone is translated: the error's source stays") {
    const Decoded d = rewritten(icmp_error(kRouter, kOutside, 11, 0, udp(kOutside, 6000, kServer, 53).payload("q"), 99),
                                to(kServer, 53, kClient, 5000), false);
    CHECK(d.text() == "198.51.100.99 > 192.0.2.7 icmp 11/0 {192.0.2.7:5000 > 203.0.113.9:53 udp ttl 64 len 1} ttl 64");
    CHECK(d.valid_checksums());
    CHECK(d.quoted == udp(kClient, 5000, kServer, 53).payload("q").ip_packet());
}

TEST_CASE_METHOD(Room, "sources are replaced: the error's too, whoever sent it") {
    const Decoded d = rewritten(icmp_error(kRouter, kServer, 3, 1, tcp(kServer, 80, kClient, 4000).payload("x"), 99),
                                to(kOutside, 4001, kServer, 80), true);
    CHECK(d.text() ==
          "198.51.100.1 > 203.0.113.9 icmp 3/1 {203.0.113.9:80 > 198.51.100.1:4001 tcp . seq 1000 ack 0 ttl 64 len 1} "
          "ttl 64");
    CHECK(d.valid_checksums());
    CHECK(d.quoted == tcp(kServer, 80, kOutside, 4001).payload("x").ip_packet());
}

TEST_CASE_METHOD(Room, "a helper's shift is taken out of the quoted sequence number") {
    SeqAdjust shift;
    shift.base = 5;  // every number of the sender came out five higher
    const Decoded d = rewritten(icmp_error(kServer, kOutside, 3, 4, tcp(kOutside, 6000, kServer, 21).seq(2005), 99),
                                to(kServer, 21, kClient, 5000), false, &shift);
    CHECK(d.valid_checksums());
    CHECK(d.quoted == tcp(kClient, 5000, kServer, 21).seq(2000).ip_packet());
    // Eight bytes are enough for it, four are not.
    const Decoded eight = rewritten(icmp_error(kServer, kOutside, 3, 4, tcp(kOutside, 6000, kServer, 21).seq(2005), 8),
                                    to(kServer, 21, kClient, 5000), false, &shift);
    CHECK(eight.valid_checksums());
    CHECK(decode_ip(eight.quoted, true).seq == 2000);
    CHECK(rewritten(icmp_error(kServer, kOutside, 3, 4, tcp(kOutside, 6000, kServer, 21).seq(2005), 4),
                    to(kServer, 21, kClient, 5000), false, &shift)
              .valid_checksums());
}

TEST_CASE_METHOD(Room, "any packet, any plan, any cut: the quote is the beginning of the packet that was sent") {
    std::mt19937 random(20241122);
    const auto port = [&] { return static_cast<unsigned>(random() & 0xffff); };
    const auto address = [&] {
        return Ip4::from_host(static_cast<std::uint32_t>(0x01000000U + random() % 0x7d000000U));
    };
    for (unsigned round = 0; round < 4000; ++round) {
        const Ip4 client = address(), outside = address(), server = address(), router = address();
        if (outside == server || client == server || outside == router) continue;
        const unsigned inner_port = port(), outer_port = port(), peer_port = port();
        const std::size_t payload = random() % 40, cut = random() % 72;
        const unsigned id = port();
        const auto make = [&](Ip4 source, unsigned source_port) {
            PacketBuilder b;
            switch (round % 4) {
                case 0:
                    b = tcp(source, source_port, server, peer_port).seq(id);
                    break;
                case 1:
                    b = udp(source, source_port, server, peer_port);
                    break;
                case 2:
                    b = echo_request(source, server, source_port, id);
                    break;
                default:
                    b = protocol(99, source, server);
                    break;
            }
            return b.payload_bytes(payload).ip_id(id);
        };
        const std::size_t least[] = {4, 4, 8, 0};
        const std::size_t behind = std::max(cut, least[round % 4]);
        FlowKey target = to(server, peer_port, client, inner_port);
        if (round % 4 == 2) target = to(server, inner_port, client, 0);  // the identifier rides in `sport`
        if (round % 4 == 3) target = to(server, 0, client, 0);
        const Decoded d =
            rewritten(icmp_error(router, outside, 3, 3, make(outside, outer_port), behind), target, false);
        INFO("round " << round << ", " << behind << " bytes");
        CHECK(d.valid_checksums());
        CHECK(d.src == router);
        CHECK(d.dst == client);
        auto expected = make(client, inner_port).ip_packet();
        expected.resize(std::min(expected.size(), 20 + behind));
        auto quoted = d.quoted;
        REQUIRE(quoted.size() == expected.size());
        // The checksum of a TCP header that is cut stays; one of UDP of which half is quoted cannot be corrected.
        const std::size_t sum = round % 4 == 0 ? 16 : 6, whole = round % 4 == 0 ? 20 : round % 4 == 1 ? 8 : 0;
        if (quoted.size() < 20 + whole && quoted.size() > 20 + sum) {
            quoted.resize(20 + sum);
            expected.resize(20 + sum);
        }
        CHECK(quoted == expected);
    }
}

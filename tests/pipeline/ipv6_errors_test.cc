// ICMPv6 errors about packets of flows: RELATED, translated outside and inside, and without effect on the flow. What
// they quote is compared byte by byte with what the receiver of the error once sent; IPv4's are in icmp_errors_test.cc.
#include <string>
#include <vector>

#include <catch2/catch.hpp>

#include "tests/support/l4_packets.hh"
#include "tests/support/two_ports.hh"

using namespace sluice;
using namespace sluice::test;

namespace {

constexpr IpAddress kRouter6 = ip6(0x2001, 0xdb8, 2, 0, 0, 0, 0, 0x77);       // on the way, outside
constexpr IpAddress kInnerRouter6 = ip6(0x2001, 0xdb8, 1, 0, 0, 0, 0, 0x99);  // on the way, inside
constexpr IpAddress kPoolAddress6 = ip6(0x2001, 0xdb8, 2, 0, 0, 0, 0, 0x50);

const std::string kOnlyRelated6 = R"(
filter:
  input: {policy: drop, rules: [{state: related, action: accept}]}
  forward:
    policy: drop
    rules:
      - {state: related, dst: "2001:db8:1::/64", action: accept}
      - {in: lan, state: [new, established], action: accept}
  output: {policy: accept, rules: []}
)";

struct ErrorBox6 : TwoPorts {
    [[nodiscard]] std::uint64_t unrelated() const {
        return sum([](const WorkerCounters& c) -> const Counter& {
            return c.invalid[static_cast<std::size_t>(InvalidReason::icmp_unrelated)];
        });
    }
};

constexpr std::size_t kWhole = 1200;

/// The decoder knows nothing of SCTP: its source port are the first two bytes behind the IP header.
unsigned sctp_port_of(const Decoded& packet) {
    REQUIRE(packet.payload.size() >= 2);
    return static_cast<unsigned>(static_cast<std::uint8_t>(packet.payload[0])) << 8 |
           static_cast<std::uint8_t>(packet.payload[1]);
}

}  // namespace

TEST_CASE_METHOD(ErrorBox6, "ICMPv6: an error about a packet that was translated quotes what its sender sent") {
    configure(kOnlyRelated6 +
              "nat: [{out: wan, src: \"2001:db8:1::/64\", snat: {to: \"2001:db8:2::50\", ports: 2000-2999}}]\n");
    const IpAddress speaker = GENERATE(kServer6, kRouter6);
    const auto [type, code] =
        GENERATE(std::pair(1U, 0U), std::pair(1U, 4U), std::pair(2U, 0U), std::pair(3U, 0U), std::pair(4U, 1U));
    PacketBuilder asked, seen;
    SECTION("TCP") {
        asked = tcp(kClient6, 40000, kServer6, 80).flags(kSyn).seq(77).mss(1440);
        send("lan", asked);
        const Decoded out = one("wan");
        CHECK(out.sport != 40000);
        seen = tcp(kPoolAddress6, out.sport, kServer6, 80).flags(kSyn).seq(77).mss(1440);
    }
    SECTION("UDP") {
        asked = udp(kClient6, 33000, kServer6, 33434).payload("probe");
        send("lan", asked);
        seen = udp(kPoolAddress6, one("wan").sport, kServer6, 33434).payload("probe");
    }
    SECTION("ping") {
        asked = echo_request(kClient6, kServer6, 7, 3).payload_bytes(56);
        send("lan", echo_request(kOtherClient6, kServer6, 7));  // takes the identifier
        CHECK(one("wan").src == kPoolAddress6);
        send("lan", asked);
        const Decoded out = one("wan");
        CHECK(out.icmp_id != 7);
        seen = echo_request(kPoolAddress6, kServer6, out.icmp_id, 3).payload_bytes(56);
    }
    SECTION("a protocol without ports") {
        asked = protocol(99, kClient6, kServer6).payload("something");
        send("lan", asked);
        CHECK(one("wan").src == kPoolAddress6);
        seen = protocol(99, kPoolAddress6, kServer6).payload("something");
    }
    SECTION("SCTP: the CRC of the quoted packet, too") {
        const std::vector<L4Bytes> init{sctp_chunk_of(1, 0, 99)};
        asked = sctp(kClient6, 33000, kServer6, 36412, 0, init);
        send("lan", asked);
        seen = sctp(kPoolAddress6, sctp_port_of(one("wan")), kServer6, 36412, 0, init);
    }
    SECTION("SCTP behind extension headers") {
        const std::vector<L4Bytes> init{sctp_chunk_of(1, 0, 99)};
        asked = sctp(kClient6, 33000, kServer6, 36412, 0, init).destination_options();
        send("lan", asked);
        seen = sctp(kPoolAddress6, sctp_port_of(one("wan")), kServer6, 36412, 0, init).destination_options();
    }
    SECTION("behind extension headers") {
        asked = udp(kClient6, 33000, kServer6, 33434).payload("probe").hop_by_hop().destination_options();
        send("lan", asked);
        seen =
            udp(kPoolAddress6, one("wan").sport, kServer6, 33434).payload("probe").hop_by_hop().destination_options();
    }
    send("wan", icmp_error(speaker, kPoolAddress6, type, code, seen, kWhole, type == 2 ? 1300 : 0));
    const Decoded error = one("lan");
    CHECK(error.src == speaker);
    CHECK(error.dst == kClient6);
    CHECK(error.ttl == 63);
    CHECK(error.icmp_type == type);
    CHECK(error.icmp_code == code);
    CHECK(error.mtu == (type == 2 ? 1300 : 0));
    CHECK(error.valid_checksums());
    CHECK(error.quoted == asked.ip_packet());
    CHECK(unrelated() == 0);
}

TEST_CASE_METHOD(ErrorBox6, "ICMPv6: path MTU discovery through masquerade: the quote of a large packet is cut") {
    configure(kMasquerade6);
    const auto asked = tcp(kClient6, 40000, kServer6, 80).payload_bytes(1400);
    send("lan", asked);
    CHECK(one("wan").src == kBoxOutside6);
    const auto seen = tcp(kBoxOutside6, 40000, kServer6, 80).payload_bytes(1400);
    send("wan", icmp_error(kRouter6, kBoxOutside6, 2, 0, seen, 1280 - 88, 1280));
    const Decoded error = one("lan");
    CHECK(error.mtu == 1280);
    CHECK(error.total_length == 1280);
    CHECK(error.valid_checksums());
    auto expected = asked.ip_packet();
    expected.resize(1280 - 48);
    CHECK(error.quoted == expected);
    // An MTU of more than 16 bits is all there.
    send("wan", icmp_error(kRouter6, kBoxOutside6, 2, 0, seen, 8, 0x12345));
    CHECK(one("lan").mtu == 0x12345);
}

TEST_CASE_METHOD(ErrorBox6, "ICMPv6: a quote that ends within an extension header is translated as far as it goes") {
    configure(kOnlyRelated6 + "nat: [{out: wan, src: \"2001:db8:1::/64\", snat: {to: \"2001:db8:2::50\"}}]\n");
    const PacketBuilder asked = protocol(99, kClient6, kServer6).payload("something").destination_options();
    send("lan", asked);
    CHECK(one("wan").src == kPoolAddress6);
    const PacketBuilder seen = protocol(99, kPoolAddress6, kServer6).payload("something").destination_options();
    for (const std::size_t quoted : {2U, 4U, 7U, 8U}) {
        send("wan", icmp_error(kRouter6, kPoolAddress6, 1, 0, seen, quoted));
        const Decoded error = one("lan");
        CHECK(error.dst == kClient6);
        CHECK(error.valid_checksums());
        auto expected = asked.ip_packet();
        expected.resize(40 + quoted);
        CHECK(error.quoted == expected);
    }
    send("wan", icmp_error(kRouter6, kPoolAddress6, 1, 0, seen, 1));
    CHECK(unrelated() == 1);
}

TEST_CASE_METHOD(ErrorBox6, "ICMPv6: errors about both directions of a published service") {
    configure(kAcceptAll + R"(
nat:
  - {in: wan, dst: "2001:db8:2::1", proto: udp, dport: 53, dnat: {to: "2001:db8:1::10", port: 5353}}
  - {in: wan, dst: "2001:db8:2::1", proto: tcp, dport: 80, dnat: {to: "2001:db8:1::10", port: 8080}}
  - {in: wan, dst: "2001:db8:2::1", proto: icmpv6, dnat: {to: "2001:db8:1::10"}}
)");
    const std::string what = GENERATE("TCP", "UDP", "ping");
    PacketBuilder asked, asked_seen, answered, answered_seen;
    if (what == "TCP") {
        asked = tcp(kServer6, 50000, kBoxOutside6, 80).flags(kSyn);
        asked_seen = tcp(kServer6, 50000, kClient6, 8080).flags(kSyn);
        answered = tcp(kClient6, 8080, kServer6, 50000).flags(kSyn | kAck).ack(1001);
        answered_seen = tcp(kBoxOutside6, 80, kServer6, 50000).flags(kSyn | kAck).ack(1001);
    } else if (what == "UDP") {
        asked = udp(kServer6, 50000, kBoxOutside6, 53).payload("q");
        asked_seen = udp(kServer6, 50000, kClient6, 5353).payload("q");
        answered = udp(kClient6, 5353, kServer6, 50000).payload("a");
        answered_seen = udp(kBoxOutside6, 53, kServer6, 50000).payload("a");
    } else {
        asked = echo_request(kServer6, kBoxOutside6, 9);
        asked_seen = echo_request(kServer6, kClient6, 9);
        answered = echo_reply(kClient6, kServer6, 9);
        answered_seen = echo_reply(kBoxOutside6, kServer6, 9);
    }
    send("wan", asked);
    CHECK(one("lan").dst == kClient6);
    send("lan", answered);
    CHECK(one("wan").src == kBoxOutside6);

    SECTION("from inside, about the question: whoever says so has the public address") {
        send("lan", icmp_error(GENERATE(kClient6, kInnerRouter6), kServer6, 1, 3, asked_seen, kWhole));
        const Decoded error = one("wan");
        CHECK(error.src == kBoxOutside6);
        CHECK(error.dst == kServer6);
        CHECK(error.valid_checksums());
        CHECK(error.quoted == asked.ip_packet());
    }
    SECTION("from outside, about the answer") {
        const IpAddress speaker = GENERATE(kServer6, kRouter6);
        send("wan", icmp_error(speaker, kBoxOutside6, 1, 4, answered_seen, kWhole));
        const Decoded error = one("lan");
        CHECK(error.src == speaker);
        CHECK(error.dst == kClient6);
        CHECK(error.valid_checksums());
        CHECK(error.quoted == answered.ip_packet());
    }
}

TEST_CASE_METHOD(ErrorBox6, "ICMPv6: errors through an exchanged prefix") {
    configure(kAcceptAll + R"(
nat:
  - {out: wan, src: "2001:db8:1::/48", snat: {prefix: "2001:db8:99::/48"}}
  - {in: wan, dst: "2001:db8:99::/48", dnat: {prefix: "2001:db8:1::/48"}}
)");
    const auto asked = udp(kClient6, 5000, kServer6, 33434).payload("probe");
    send("lan", asked);
    const IpAddress seen_as = one("wan").src;
    send("wan", icmp_error(kRouter6, seen_as, 3, 0, udp(seen_as, 5000, kServer6, 33434).payload("probe"), kWhole));
    const Decoded error = one("lan");
    CHECK(error.dst == kClient6);
    CHECK(error.src == kRouter6);
    CHECK(error.valid_checksums());
    CHECK(error.quoted == asked.ip_packet());
}

TEST_CASE_METHOD(ErrorBox6,
                 "ICMPv6: a quote may be cut anywhere: what names the flow is enough, and with NAT eight bytes") {
    const bool translated = GENERATE(false, true);
    configure(kOnlyRelated6 + (translated ? "nat: [{out: wan, src: \"2001:db8:1::/64\", snat: masquerade}]\n" : ""));
    const IpAddress as = translated ? kBoxOutside6 : kClient6;
    const auto packet = [&](const IpAddress& source) { return udp(source, 40000, kServer6, 80).payload("abc"); };
    const PacketBuilder asked = packet(kClient6), seen = packet(as);
    send("lan", asked);
    CHECK(one("wan").src == as);
    std::uint64_t invalid = 0, too_short = 0;
    for (std::size_t bytes = 0; bytes <= 11; ++bytes) {
        send("wan", icmp_error(kServer6, as, 1, 4, seen, bytes));
        INFO(bytes << " bytes behind the header");
        if (bytes < 4) {
            ++invalid;
            CHECK(quiet("lan"));
        } else if (bytes < 8 && translated) {
            ++too_short;
            CHECK(quiet("lan"));
        } else {
            const Decoded error = one("lan");
            CHECK(error.dst == kClient6);
            CHECK(error.valid_checksums());
            auto expected = asked.ip_packet();
            expected.resize(40 + bytes);
            CHECK(error.quoted == expected);
        }
    }
    CHECK(unrelated() == invalid);
    CHECK(drops(DropReason::icmp_quote_short) == too_short);
}

TEST_CASE_METHOD(ErrorBox6, "ICMPv6: what quotes no packet of a flow is related to none") {
    configure(kOnlyRelated6);
    send("lan", udp(kClient6, 5000, kServer6, 53));
    CHECK(sent("wan").size() == 1);
    const auto whole = udp(kClient6, 5000, kServer6, 53).ip_packet();
    const auto quoting = [&](const std::vector<std::uint8_t>& bytes) {
        send("wan", icmp(kServer6, kClient6, 1, 4).payload(bytes));
    };
    for (std::size_t bytes = 0; bytes < 40; bytes += 3)
        quoting({whole.begin(), whole.begin() + static_cast<long>(bytes)});
    auto bad = whole;
    bad[0] = 0x45;
    quoting(bad);
    quoting(udp(kClient, 5000, kServer, 53).ip_packet());                                          // IPv4 in ICMPv6
    quoting(udp(kOtherClient6, 5000, kServer6, 53).ip_packet());                                   // somebody else's
    quoting(udp(kClient6, 5001, kServer6, 53).ip_packet());                                        // no flow
    quoting(udp(kClient6, 5000, kServer6, 53).fragment(8, false).ip_packet());                     // a later fragment
    quoting(udp(kClient6, 5000, kServer6, 53).routing(0).ip_packet());                             // never forwarded
    quoting(icmp_error(kClient6, kServer6, 1, 4, udp(kServer6, 53, kClient6, 5000)).ip_packet());  // an error
    CHECK(quiet("lan"));
    CHECK(unrelated() == 14 + 7);
    // A first fragment does name one.
    send("wan", icmp_error(kServer6, kClient6, 3, 1, udp(kClient6, 5000, kServer6, 53).fragment(0, true), 16));
    CHECK(one("lan").icmp_code == 1);
    CHECK(flows().size() == 1);
}

TEST_CASE_METHOD(ErrorBox6, "ICMPv6: an error neither refreshes nor ends a flow, and is not counted as its packet") {
    configure(kMasquerade6);
    send("lan", tcp(kClient6, 40000, kServer6, 80).flags(kSyn));
    CHECK(one("wan").src == kBoxOutside6);
    const FlowCopy before = flow();
    advance(1000);
    send("wan", icmp_error(kServer6, kBoxOutside6, 1, 4, tcp(kBoxOutside6, 40000, kServer6, 80).flags(kSyn), 20));
    CHECK(one("lan").dst == kClient6);
    const FlowCopy after = flow();
    CHECK(after.lifetime.deadline_ms() == before.lifetime.deadline_ms());
    CHECK(after.tcp_state == before.tcp_state);
    CHECK(after.packets[1] == 0);
}

TEST_CASE_METHOD(ErrorBox6, "ICMPv6: errors about what the box itself sent are the kernel's") {
    configure(kOnlyRelated6);
    send_from_kernel("wan", udp(kBoxOutside6, 5000, kServer6, 53));
    CHECK(one("wan").src == kBoxOutside6);
    send("wan", icmp_error(kServer6, kBoxOutside6, 1, 4, udp(kBoxOutside6, 5000, kServer6, 53)));
    CHECK(punted("wan").size() == 1);
    send("wan", icmp_error(kServer6, kBoxOutside6, 1, 4, udp(kBoxOutside6, 5001, kServer6, 53)));
    CHECK(punted("wan").empty());
    CHECK(unrelated() == 1);
}

TEST_CASE_METHOD(ErrorBox6, "ICMPv6: the box's own errors about translated packets quote what their sender sent") {
    configure(kMasquerade6);
    send("lan", udp(kClient6, 5000, kServer6, 53));
    CHECK(one("wan").src == kBoxOutside6);
    const auto answer = udp(kServer6, 53, kBoxOutside6, 5000).payload("a").ttl(1);
    send("wan", answer);
    const Decoded error = one("wan");
    CHECK(error.src == kBoxOutside6);
    CHECK(error.dst == kServer6);
    CHECK(error.icmp_type == 3);
    CHECK(error.quoted == answer.ip_packet());
    CHECK(error.valid_checksums());
    CHECK(quiet("lan"));
}

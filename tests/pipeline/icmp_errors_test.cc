// ICMP errors about packets of flows: translated outside and inside. What they must quote is compared byte by byte with
// what the receiver of the error once sent. What they are to flows, rules and workers is in icmp_error_flows_test.cc.
#include <string>
#include <vector>

#include <catch2/catch.hpp>

#include "tests/support/error_box.hh"
#include "tests/support/ftp_session.hh"

using namespace sluice;
using namespace sluice::test;

namespace {

constexpr Ip4 kInnerRouter = ip4(192, 168, 1, 99);  // on the way, inside

const std::string kPublished =
    "nat: [{in: wan, dst: 203.0.113.1, proto: udp, dport: 53, dnat: {to: 192.168.1.10, port: 5353}},"
    "{in: wan, dst: 203.0.113.1, proto: tcp, dport: 80, dnat: {to: 192.168.1.10, port: 8080}},"
    "{in: wan, dst: 203.0.113.1, proto: icmp, dnat: {to: 192.168.1.10}}]\n";

/// The inner packet of an error, which is whole.
Decoded inner(const Decoded& error) {
    return decode_ip(error.quoted, true);
}

std::vector<std::uint8_t> begin_of(const PacketBuilder& packet, std::size_t behind_header) {
    auto bytes = packet.ip_packet();
    bytes.resize(std::min(bytes.size(), 20 + behind_header));
    return bytes;
}

}  // namespace

TEST_CASE_METHOD(ErrorBox, "an error about a packet that was masqueraded quotes what its sender sent") {
    configure(kOnlyRelated + "nat: [{out: wan, src: 192.168.1.0/24, snat: {to: 203.0.113.50, ports: 2000-2999}}]\n");
    const Ip4 speaker = GENERATE(kServer, kRouter);
    PacketBuilder asked, seen;
    SECTION("TCP") {
        asked = tcp(kClient, 40000, kServer, 80).flags(kSyn).seq(77).mss(1460);
        send("lan", asked);
        const Decoded out = one("wan");
        CHECK(out.sport != 40000);
        seen = tcp(kPool, out.sport, kServer, 80).flags(kSyn).seq(77).mss(1460);
    }
    SECTION("UDP") {
        asked = udp(kClient, 33000, kServer, 33434).payload("probe");
        send("lan", asked);
        seen = udp(kPool, one("wan").sport, kServer, 33434).payload("probe");
    }
    SECTION("UDP without checksum") {
        asked = udp(kClient, 33000, kServer, 33434).payload("probe").no_udp_checksum();
        send("lan", asked);
        seen = udp(kPool, one("wan").sport, kServer, 33434).payload("probe").no_udp_checksum();
    }
    SECTION("ping") {
        asked = echo_request(kClient, kServer, 7, 3).payload_bytes(56);
        send("lan", echo_request(kClient2, kServer, 7));  // takes the identifier
        CHECK(one("wan").src == kPool);
        send("lan", asked);
        const Decoded out = one("wan");
        CHECK(out.icmp_id != 7);
        seen = echo_request(kPool, kServer, out.icmp_id, 3).payload_bytes(56);
    }
    SECTION("a protocol without ports") {
        asked = protocol(99, kClient, kServer).payload("something");
        send("lan", asked);
        CHECK(one("wan").src == kPool);
        seen = protocol(99, kPool, kServer).payload("something");
    }
    send("wan", icmp_error(speaker, kPool, 11, 0, seen, kWhole));
    const Decoded error = one("lan");
    CHECK(error.src == speaker);
    CHECK(error.dst == kClient);
    CHECK(error.ttl == 63);
    CHECK(error.icmp_type == 11);
    CHECK(error.valid_checksums());
    CHECK(error.quoted == asked.ip_packet());
    CHECK(unrelated() == 0);
}

TEST_CASE_METHOD(ErrorBox, "path MTU discovery: the MTU in the error and the quote's options survive") {
    configure(kMasquerade);
    const std::uint8_t nops[] = {1, 1, 1, 1};
    const auto asked = tcp(kClient, 40000, kServer, 80).payload_bytes(1300).dont_fragment().ip_option(nops);
    send("lan", asked);
    CHECK(one("wan").src == kBoxOutside);
    const auto seen = tcp(kBoxOutside, 40000, kServer, 80).payload_bytes(1300).dont_fragment().ip_option(nops);
    send("wan", icmp_error(kRouter, kBoxOutside, 3, 4, seen, 24, 1280));
    const Decoded error = one("lan");
    CHECK(error.mtu == 1280);
    CHECK(error.valid_checksums());
    auto expected = asked.ip_packet();
    expected.resize(24 + 24);
    CHECK(error.quoted == expected);
}

TEST_CASE_METHOD(ErrorBox, "errors about both directions of a published service") {
    configure(kAcceptAll + kPublished);
    const std::string what = GENERATE("TCP", "UDP", "ping");
    PacketBuilder asked, asked_seen, answered, answered_seen;
    if (what == "TCP") {
        asked = tcp(kServer, 50000, kBoxOutside, 80).flags(kSyn);
        asked_seen = tcp(kServer, 50000, kClient, 8080).flags(kSyn);
        answered = tcp(kClient, 8080, kServer, 50000).flags(kSyn | kAck).ack(1001);
        answered_seen = tcp(kBoxOutside, 80, kServer, 50000).flags(kSyn | kAck).ack(1001);
    } else if (what == "UDP") {
        asked = udp(kServer, 50000, kBoxOutside, 53).payload("q");
        asked_seen = udp(kServer, 50000, kClient, 5353).payload("q");
        answered = udp(kClient, 5353, kServer, 50000).payload("a");
        answered_seen = udp(kBoxOutside, 53, kServer, 50000).payload("a");
    } else {
        asked = echo_request(kServer, kBoxOutside, 9);
        asked_seen = echo_request(kServer, kClient, 9);
        answered = echo_reply(kClient, kServer, 9);
        answered_seen = echo_reply(kBoxOutside, kServer, 9);
    }
    send("wan", asked);
    CHECK(one("lan").dst == kClient);
    send("lan", answered);
    CHECK(one("wan").src == kBoxOutside);

    SECTION("from inside, about the question: whoever says so has the public address") {
        send("lan", icmp_error(GENERATE(kClient, kInnerRouter), kServer, 3, 1, asked_seen, kWhole));
        const Decoded error = one("wan");
        CHECK(error.src == kBoxOutside);
        CHECK(error.dst == kServer);
        CHECK(error.valid_checksums());
        CHECK(error.quoted == asked.ip_packet());
    }
    SECTION("from outside, about the answer") {
        const Ip4 speaker = GENERATE(kServer, kRouter);
        send("wan", icmp_error(speaker, kBoxOutside, 3, 3, answered_seen, kWhole));
        const Decoded error = one("lan");
        CHECK(error.src == speaker);
        CHECK(error.dst == kClient);
        CHECK(error.valid_checksums());
        CHECK(error.quoted == answered.ip_packet());
    }
}

TEST_CASE_METHOD(ErrorBox, "an error from inside about the answer to a masqueraded packet hides the inside") {
    configure(kMasquerade);
    send("lan", udp(kClient, 5000, kServer, 53));
    CHECK(one("wan").src == kBoxOutside);
    const auto answer = udp(kServer, 53, kBoxOutside, 5000).payload("a");
    send("wan", answer);
    CHECK(one("lan").dst == kClient);
    send("lan", icmp_error(GENERATE(kClient, kInnerRouter), kServer, 3, 3, udp(kServer, 53, kClient, 5000).payload("a"),
                           kWhole));
    const Decoded error = one("wan");
    CHECK(error.src == kBoxOutside);
    CHECK(error.valid_checksums());
    CHECK(error.quoted == answer.ip_packet());
}

TEST_CASE_METHOD(ErrorBox, "source and destination translated at once") {
    configure(kAcceptAll + "nat: [{in: lan, dst: 203.0.113.66, proto: udp, dport: 53, dnat: {to: 203.0.113.10, port: " +
              "5353}}, {out: wan, src: 192.168.1.0/24, snat: {to: 203.0.113.50}}]\n");
    const auto asked = udp(kClient, 5000, ip4(203, 0, 113, 66), 53).payload("q");
    send("lan", asked);
    CHECK(one("wan").text() == "203.0.113.50:5000 > 203.0.113.10:5353 udp ttl 63 len 1");
    send("wan", icmp_error(kRouter, kPool, 3, 1, udp(kPool, 5000, kServer, 5353).payload("q"), kWhole));
    const Decoded error = one("lan");
    CHECK(error.dst == kClient);
    CHECK(error.src == ip4(203, 0, 113, 66));  // sources are replaced in this direction
    CHECK(error.valid_checksums());
    CHECK(error.quoted == asked.ip_packet());
}

TEST_CASE_METHOD(ErrorBox, "a quote may be cut anywhere: what names the flow is enough, and with NAT eight bytes") {
    const bool translated = GENERATE(false, true);
    configure(kOnlyRelated + (translated ? "nat: [{out: wan, src: 192.168.1.0/24, snat: masquerade}]\n" : ""));
    const Ip4 as = translated ? kBoxOutside : kClient;
    const bool with_tcp = GENERATE(false, true);
    const auto packet = [&](Ip4 source) {
        return with_tcp ? tcp(source, 40000, kServer, 80).flags(kSyn).payload("abc")
                        : udp(source, 40000, kServer, 80).payload("abc");
    };
    const PacketBuilder asked = packet(kClient), seen = packet(as);
    send("lan", asked);
    CHECK(one("wan").src == as);
    const std::size_t whole = asked.ip_packet().size() - 20;
    std::uint64_t invalid = 0, too_short = 0;
    for (std::size_t bytes = 0; bytes <= whole; ++bytes) {
        send("wan", icmp_error(kServer, as, 3, 3, seen, bytes));
        INFO(bytes << " bytes behind the header");
        if (bytes < 4) {
            ++invalid;
            CHECK(quiet("lan"));
        } else if (bytes < 8 && translated) {
            ++too_short;
            CHECK(quiet("lan"));
        } else {
            const Decoded error = one("lan");
            CHECK(error.dst == kClient);
            CHECK(error.valid_checksums());
            // The checksum of a header that is cut stays as it is, as in Linux.
            const std::size_t sure = with_tcp && bytes < 20 ? std::min<std::size_t>(bytes, 16) : bytes;
            CHECK(std::vector(error.quoted.begin(), error.quoted.begin() + static_cast<long>(20 + sure)) ==
                  begin_of(asked, sure));
        }
    }
    CHECK(unrelated() == invalid);
    CHECK(drops(DropReason::icmp_quote_short) == too_short);
}

TEST_CASE_METHOD(ErrorBox, "a quote with the header cut, of another version or a later fragment names no flow") {
    configure(kOnlyRelated);
    send("lan", udp(kClient, 5000, kServer, 53));
    CHECK(sent("wan").size() == 1);
    const auto whole = udp(kClient, 5000, kServer, 53).ip_packet();
    const auto quoting = [&](const std::vector<std::uint8_t>& bytes) {
        send("wan", icmp(kServer, kClient, 3, 3).payload(bytes));
    };
    for (std::size_t bytes = 0; bytes < 20; ++bytes) quoting({whole.begin(), whole.begin() + static_cast<long>(bytes)});
    auto bad = whole;
    bad[0] = 0x65;
    quoting(bad);
    bad[0] = 0x44;  // a header of 16 bytes
    quoting(bad);
    bad[0] = 0x4f;  // of 60
    quoting(bad);
    send("wan", icmp_error(kServer, kClient, 3, 3, udp(kClient, 5000, kServer, 53).fragment(8, false)));
    send("wan",
         icmp_error(kServer, kClient, 3, 3, icmp_error(kClient, kServer, 3, 3, udp(kServer, 53, kClient, 5000))));
    CHECK(quiet("lan"));
    CHECK(unrelated() == 25);
    // A first fragment does.
    send("wan", icmp_error(kServer, kClient, 11, 1, udp(kClient, 5000, kServer, 53).fragment(0, true)));
    CHECK(one("lan").icmp_code == 1);
}

TEST_CASE_METHOD(ErrorBox, "wrong checksums in the quote are passed on as wrong as they were") {
    configure(kMasquerade);
    send("lan", udp(kClient, 5000, kServer, 53).payload("q"));
    CHECK(one("wan").src == kBoxOutside);
    send("wan",
         icmp_error(kServer, kBoxOutside, 3, 3,
                    udp(kBoxOutside, 5000, kServer, 53).payload("q").break_checksum().break_ip_checksum(), kWhole));
    const Decoded error = one("lan");
    CHECK(error.valid_checksums());
    const Decoded quote = inner(error);
    CHECK(quote.src == kClient);
    CHECK(quote.sport == 5000);
    CHECK_FALSE(quote.ip_checksum_ok);
    CHECK_FALSE(quote.l4_checksum_ok);
}

TEST_CASE_METHOD(ErrorBox, "what sluice itself says of a packet that was to be translated quotes it as it was sent") {
    configure(kMasquerade);
    const auto probe = udp(kClient, 33000, kServer, 33434).ttl(1).payload("probe");
    send("lan", udp(kClient, 33000, kServer, 33434));  // its flow is there
    CHECK(sent("wan").size() == 1);
    send("lan", probe);
    const Decoded error = one("lan");
    CHECK(error.icmp_type == 11);
    CHECK(error.src == kBoxInside);
    CHECK(error.quoted == probe.ip_packet());
}

TEST_CASE_METHOD(FtpBox, "FTP: sequence numbers in a quote are the sender's own") {
    configure_nat(Nat::snat);
    Session s(*this, Nat::snat);
    s.open();
    CHECK(s.client_says("PORT 192,168,1,10,78,32\r\n").payload == "PORT 203,0,113,1,78,32\r\n");
    REQUIRE(s.client_shift == -1);
    const auto sent_by_client = tcp(kInside, 40000, kOutside, 21).seq(s.client_seq).payload("NOOP\r\n");
    const auto seen = tcp(s.client_seen, s.sport_seen, kOutside, 21).seq(s.client_seq - 1).payload("NOOP\r\n");
    send("wan", icmp_error(kRouter, s.client_seen, 3, 4, seen, kWhole, 1280));
    const Decoded error = one("lan");
    CHECK(error.valid_checksums());
    CHECK(inner(error).seq == s.client_seq);
    CHECK(error.quoted == sent_by_client.ip_packet());
}

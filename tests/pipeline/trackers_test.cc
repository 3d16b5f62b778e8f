// SCTP, GRE, ESP and UDP-Lite through the whole data plane, translated and not.
#include <catch2/catch.hpp>

#include "tests/support/l4_packets.hh"
#include "tests/support/two_ports.hh"

using namespace sluice;
using namespace sluice::test;

namespace {

std::span<const std::uint8_t> transport_of(const Frame& frame) {
    return {reinterpret_cast<const std::uint8_t*>(frame.data()) + 34, frame.size() - 34};
}
unsigned word(std::span<const std::uint8_t> bytes, unsigned at) {
    return static_cast<unsigned>(bytes[at] << 8 | bytes[at + 1]);
}

const std::string kStateful =
    "filter: {forward: {policy: drop, rules: [{state: [established, related], action: "
    "accept}, {state: new, in: lan, action: accept}]}}\n";
const std::string kHidden = kStateful + "nat: [{out: wan, src: 192.168.1.0/24, snat: masquerade}]\n";

std::uint64_t invalid(const TwoPorts& box, InvalidReason reason) {
    return box.sum(
        [&](const WorkerCounters& c) -> const Counter& { return c.invalid[static_cast<std::size_t>(reason)]; });
}

}  // namespace

TEST_CASE_METHOD(TwoPorts, "SCTP behind masquerade: ports and CRC32c are written anew, both ways") {
    configure(kMasquerade);
    for (const Ip4 client : {kClient, kClient2}) {
        send("lan", sctp(client, 4000, kServer, 80, 0, {sctp_chunk_of(1, 0, 7)}));
        const Frame out = only("wan");
        CHECK(decode(out).src == kBoxOutside);
        CHECK(sctp_sealed(transport_of(out)));
        const unsigned port = word(transport_of(out), 0);
        CHECK((port == 4000) == (client == kClient));  // taken for the second one
        send("wan", sctp(kServer, 80, kBoxOutside, port, 7, {sctp_chunk_of(2, 0, 9)}));
        const Frame back = only("lan");
        CHECK(decode(back).dst == client);
        CHECK(word(transport_of(back), 2) == 4000);
        CHECK(sctp_sealed(transport_of(back)));
    }
    CHECK(flows().size() == 2);
}

TEST_CASE_METHOD(TwoPorts, "SCTP: a wrong checksum and a wrong tag are INVALID, each for its own reason") {
    configure(kStateful);
    send("lan", sctp(kClient, 4000, kServer, 80, 0, {sctp_chunk_of(1, 0, 7)}, false));
    CHECK(quiet("wan"));
    CHECK(flows().empty());
    CHECK(invalid(*this, InvalidReason::sctp_checksum) == 1);
    send("lan", sctp(kClient, 4000, kServer, 80, 0, {sctp_chunk_of(1, 0, 7)}));
    CHECK(sent("wan").size() == 1);
    send("wan", sctp(kServer, 80, kClient, 4000, 8, {sctp_chunk_of(2, 0, 9)}));
    CHECK(quiet("lan"));
    CHECK(invalid(*this, InvalidReason::sctp_tag) == 1);
    CHECK(flow().timeouts_s == std::array<std::uint32_t, 2>{});
    CHECK(flow().state == 1);
}

TEST_CASE_METHOD(TwoPorts, "an ICMP error about SCTP finds its flow, and what it quotes is translated back") {
    configure(kMasquerade);
    send("lan", sctp(kClient, 4000, kServer, 80, 0, {sctp_chunk_of(1, 0, 7)}));
    (void)only("wan");
    const PacketBuilder seen = sctp(kBoxOutside, 4000, kServer, 80, 0, {sctp_chunk_of(1, 0, 7)});
    for (const std::size_t quoted : {8U, 32U}) {
        send("wan", icmp_error(kServer, kBoxOutside, 3, 3, seen, quoted));
        const Frame error = only("lan");
        CHECK(decode(error).dst == kClient);
        CHECK(decode(error).valid_checksums());
        const auto quote = transport_of(error).subspan(8 + 20);
        CHECK(word(quote, 0) == 4000);
        if (quoted == 32) CHECK(sctp_sealed(quote));
    }
}

TEST_CASE_METHOD(TwoPorts, "GRE by addresses, whatever its key; PPTP by its call id") {
    configure(kAcceptAll + "conntrack: {timeouts: {gre: 31s, gre_stream: 181s}}\n");
    send("lan", gre(kClient, kServer, 0x2000, 0x0800, 7, 4));
    send("wan", gre(kServer, kClient, 0x2000, 0x0800, 8, 4));
    CHECK(flow().lifetime.timeout_s == 31);
    CHECK((flow().status & status::kAssured) == 0);
    send("lan", gre(kClient, kServer, 0, 0x0800, 0, 0));
    CHECK(flow().lifetime.timeout_s == 181);
    CHECK((flow().status & status::kAssured) != 0);
    CHECK(flow().timeouts_s == std::array<std::uint32_t, 2>{31, 181});
    CHECK(sent("wan").size() == 2);

    send("lan", gre(kClient, kServer, 0x3001, 0x880b, 0x0004002a, 4));
    send("wan", gre(kServer, kClient, 0x3001, 0x880b, 0x0004002b, 4));
    CHECK(flows().size() == 3);
    send("lan", gre(kClient, kServer, 0x3001, 0x0800, 0x0004002a, 4));  // version 1 carries PPP and nothing else
    CHECK(invalid(*this, InvalidReason::gre_protocol) == 1);
}

TEST_CASE_METHOD(TwoPorts, "UDP-Lite: partial checksums hold through NAT, wrong ones are INVALID") {
    configure(kMasquerade);
    for (const unsigned coverage : {0U, 8U, 12U}) {
        CAPTURE(coverage);
        send("lan", udplite(kClient, 5000, kServer, 53, coverage, "0123456789"));
        const Frame out = only("wan");
        CHECK(decode(out).src == kBoxOutside);
        CHECK(udplite_sound(kBoxOutside, kServer, transport_of(out)));
    }
    CHECK(flow().lifetime.timeout_s == 30);
    send("wan", udplite(kServer, 53, kBoxOutside, 5000, 8, "answer"));
    const Frame back = only("lan");
    CHECK(decode(back).dst == kClient);
    CHECK(udplite_sound(kServer, kClient, transport_of(back)));
    advance(2500);
    send("lan", udplite(kClient, 5000, kServer, 53, 0, "more"));
    CHECK(flow().lifetime.timeout_s == 120);

    const auto broken = [](unsigned at, unsigned value) {
        auto bytes = udplite(kClient, 5000, kServer, 53, 0, "x").ip_packet();
        bytes[20 + at] = static_cast<std::uint8_t>(value);
        return protocol(136, kClient, kServer).payload(std::span(bytes).subspan(20));
    };
    send("lan", broken(5, 7));    // covers less than the header
    send("lan", broken(5, 200));  // more than the packet
    CHECK(invalid(*this, InvalidReason::udplite_coverage) == 2);
    send("lan", broken(8, 'y'));
    CHECK(invalid(*this, InvalidReason::udplite_checksum) == 1);
}

TEST_CASE_METHOD(TwoPorts, "ESP: the two directions of a tunnel are paired, the longest waiting first") {
    configure(kHidden);
    send("lan", esp(kClient, kServer, 0x1001));
    send("lan", esp(kClient2, kServer, 0x2002));
    CHECK(sent("wan").size() == 2);
    CHECK(flows().size() == 2);

    send("wan", esp(kServer, kBoxOutside, 0x9001));
    CHECK(one("lan").dst == kClient);
    send("wan", esp(kServer, kBoxOutside, 0x9002));
    CHECK(one("lan").dst == kClient2);
    // From now on each SPI has its receiver, and a third one nobody.
    send("wan", esp(kServer, kBoxOutside, 0x9002, 2));
    CHECK(one("lan").dst == kClient2);
    send("wan", esp(kServer, kBoxOutside, 0x9001, 2));
    CHECK(one("lan").dst == kClient);
    send("wan", esp(kServer, kBoxOutside, 0x9003));
    CHECK(quiet("lan"));

    send("lan", esp(kClient, kServer, 0x1001, 3));
    CHECK(one("wan").src == kBoxOutside);
    for (const FlowCopy& f : flows()) {
        if (f.key[0].src() != kClient || f.key[0].dst() != kServer) continue;
        CHECK(f.packets[0] == 2);
        CHECK(f.packets[1] == 2);
        CHECK((f.status & status::kAssured) != 0);
    }
}

TEST_CASE_METHOD(TwoPorts, "ESP: new keys find each other while the old ones are in use") {
    configure(kHidden);
    send("lan", esp(kClient, kServer, 0x1001));
    send("wan", esp(kServer, kBoxOutside, 0x9001));
    send("lan", esp(kClient, kServer, 0x1002));
    send("wan", esp(kServer, kBoxOutside, 0x9001, 2));  // still the old one
    send("wan", esp(kServer, kBoxOutside, 0x9002));
    CHECK(sent("lan").size() == 3);
    CHECK(flows().size() == 2);
}

TEST_CASE_METHOD(TwoPorts, "ESP: as many flows wait as there are places, and no SPI is one of these") {
    configure(kHidden);
    for (unsigned i = 0; i <= kWaitingPlaces; ++i) send("lan", esp(kClient, kServer, 0x1000 + i));
    CHECK(sent("wan").size() == kWaitingPlaces);
    CHECK(drops(DropReason::nat_pool_exhausted) == 1);
    send("wan", esp(kServer, kBoxOutside, 3));
    CHECK(quiet("lan"));
    CHECK(invalid(*this, InvalidReason::esp_spi) == 1);
    // An answer makes room for another one.
    send("wan", esp(kServer, kBoxOutside, 0x9001));
    CHECK(sent("lan").size() == 1);
    send("lan", esp(kClient, kServer, 0x3000));
    CHECK(sent("wan").size() == 1);
}

TEST_CASE_METHOD(TwoPorts, "an ICMP error about ESP finds the flow of the SPI that it quotes") {
    configure(kHidden);
    send("lan", esp(kClient, kServer, 0x1001));
    send("wan", esp(kServer, kBoxOutside, 0x9001));
    CHECK(sent("wan").size() == 1);
    CHECK(sent("lan").size() == 1);
    // From a router on the way, about what left: translated. And from one inside, about what came back.
    send("wan", icmp_error(ip4(203, 0, 113, 77), kBoxOutside, 3, 4, esp(kBoxOutside, kServer, 0x1001), 8, 1300));
    const Frame inwards = only("lan");
    CHECK(decode(inwards).dst == kClient);
    CHECK(decode(inwards).valid_checksums());
    const auto quote = transport_of(inwards).subspan(8);
    CHECK(word(quote, 12) == kClient.host() >> 16);  // the quoted source
    CHECK(word(quote, 14) == (kClient.host() & 0xffff));
    CHECK(word(quote, 22) == 0x1001);
    send("lan", icmp_error(ip4(192, 168, 1, 99), kServer, 3, 4, esp(kServer, kClient, 0x9001), 8, 1300));
    CHECK(one("wan").dst == kServer);
    send("wan", icmp_error(ip4(203, 0, 113, 77), kBoxOutside, 3, 4, esp(kBoxOutside, kServer, 0x1002), 8, 1300));
    CHECK(quiet("lan"));
    CHECK(invalid(*this, InvalidReason::icmp_unrelated) == 1);
    CHECK(flow().packets[0] == 1);
    flush();
    send("wan", icmp_error(ip4(203, 0, 113, 77), kBoxOutside, 3, 4, esp(kBoxOutside, kServer, 0x1001), 8, 1300));
    CHECK(quiet("lan"));
}

// NAT of IPv6, packet by packet: masquerade, pools, destination NAT, prefixes (RFC 6296). Translation of IPv4 is in
// nat_test.cc; what follows is that addresses of 128 bits reach every checksum, every table and both workers.
#include <random>
#include <set>
#include <string>

#include <catch2/catch.hpp>

#include "dataplane/policy/prefix_nat.hh"
#include "tests/support/l4_packets.hh"
#include "tests/support/two_ports.hh"
#include "tests/support/two_workers.hh"

using namespace sluice;
using namespace sluice::test;

namespace {

const std::string kPool6 = R"(
nat:
  - {out: wan, src: "2001:db8:1::/64", snat: {to: "2001:db8:2::50-2001:db8:2::53"}}
)";
const std::string kPublished6 = R"(
nat:
  - {in: wan, dst: "2001:db8:2::1", proto: tcp, dport: 8080, dnat: {to: "2001:db8:1::10", port: 80}}
  - {in: wan, dst: "2001:db8:2::1", proto: udp, dport: 53, dnat: {to: "2001:db8:1::10", port: 5353}}
  - {in: wan, dst: "2001:db8:2::66", dnat: {to: "2001:db8:1::11"}}
)";
const std::string kPrefixes = R"(
nat:
  - {out: wan, src: "2001:db8:1::/48", snat: {prefix: "2001:db8:99::/48"}}
  - {in: wan, dst: "2001:db8:99::/48", dnat: {prefix: "2001:db8:1::/48"}}
)";

IpAddress host6(std::uint32_t n) {
    IpAddress a = kClient6;
    a.set_word(3, n);
    return a;
}

}  // namespace

TEST_CASE_METHOD(TwoPorts, "NAT66: masquerade translates to the exit port's global address, and replies back") {
    configure(kMasquerade6);
    send("lan", tcp(kClient6, 40000, kServer6, 80).flags(kSyn).seq(7).mss(1440));
    Decoded out = one("wan");
    CHECK(out.text() == "[2001:db8:2::1]:40000 > [2001:db8:2::10]:80 tcp S seq 7 ttl 63");
    CHECK(out.valid_checksums());
    CHECK((flow().status & status::kSourceNat) != 0);
    CHECK(flow().key[1].dst() == kBoxOutside6);

    send("wan", tcp(kServer6, 80, kBoxOutside6, 40000).flags(kSyn | kAck));
    Decoded in = one("lan");
    CHECK(in.text() == "[2001:db8:2::10]:80 > [2001:db8:1::10]:40000 tcp S. seq 1000 ack 0 ttl 63");
    CHECK(in.valid_checksums());
    send("lan", tcp(kClient6, 40000, kServer6, 80).seq(8).ack(1001).payload("odd number"));
    CHECK(one("wan").valid_checksums());
    CHECK(flow().tcp_state == TcpState::established);
    CHECK(flows().size() == 1);
}

TEST_CASE_METHOD(TwoPorts, "NAT66: every protocol's checksum is right after translation, both ways") {
    configure(kMasquerade6);
    SECTION("UDP, of even and odd length") {
        for (const std::string text : {"", "odd", "even"}) {
            send("lan", udp(kClient6, 5000, kServer6, 53).payload(text));
            const Decoded out = one("wan");
            CHECK(out.src == kBoxOutside6);
            CHECK(out.valid_checksums());
            send("wan", udp(kServer6, 53, kBoxOutside6, out.sport).payload(text));
            CHECK(one("lan").valid_checksums());
        }
    }
    SECTION("UDP without a checksum stays without one") {
        // RFC 6935 allows it to tunnels; a router is not asked.
        send("lan", udp(kClient6, 5000, kServer6, 53).payload("q").no_udp_checksum());
        const Decoded out = one("wan");
        CHECK(out.src == kBoxOutside6);
        CHECK(out.udp_checksum == 0);
    }
    SECTION("ping: ICMPv6 has a pseudo header") {
        send("lan", echo_request(kClient6, kServer6, 77, 3).payload_bytes(57));
        const Decoded out = one("wan");
        CHECK(out.text() == "2001:db8:2::1 > 2001:db8:2::10 icmpv6 128/0 id 77 seq 3 ttl 63 len 57");
        send("wan", echo_reply(kServer6, kBoxOutside6, out.icmp_id, 3).payload_bytes(57));
        CHECK(one("lan").text() == "2001:db8:2::10 > 2001:db8:1::10 icmpv6 129/0 id 77 seq 3 ttl 63 len 57");
    }
    SECTION("behind extension headers") {
        const auto ask = udp(kClient6, 5000, kServer6, 53).payload("q").hop_by_hop().destination_options();
        send("lan", ask);
        const Decoded out = one("wan");
        CHECK(out.src == kBoxOutside6);
        CHECK(out.extensions == std::vector<std::uint8_t>{0, 60});
        CHECK(out.valid_checksums());
    }
    SECTION("SCTP: addresses are not in its checksum, ports are") {
        const std::vector<L4Bytes> init{sctp_chunk_of(1, 0, 99)};
        send("lan", sctp(kClient6, 5000, kServer6, 36412, 0, init));
        const Decoded out = one("wan");
        CHECK(out.src == kBoxOutside6);
        CHECK(sctp_sealed(std::vector<std::uint8_t>(out.payload.begin(), out.payload.end())));
    }
    SECTION("UDP-Lite: the pseudo header is covered, most of the text is not") {
        send("lan", udplite(kClient6, 5000, kServer6, 53, 8, "uncovered"));
        const Decoded out = one("wan");
        CHECK(out.src == kBoxOutside6);
        CHECK(udplite_sound(out.src, out.dst, std::vector<std::uint8_t>(out.payload.begin(), out.payload.end())));
    }
    SECTION("GRE, ESP and what has no tracker: the address alone") {
        send("lan", gre(kClient6, kServer6, 0x2000, 0x6558, 7, 4));
        CHECK(one("wan").src == kBoxOutside6);
        send("lan", esp(kClient6, kServer6, 0x1234));
        CHECK(one("wan").src == kBoxOutside6);
        send("lan", protocol(99, kClient6, kServer6).payload("x"));
        CHECK(one("wan").src == kBoxOutside6);
        send("wan", protocol(99, kServer6, kBoxOutside6).payload("y"));
        CHECK(one("lan").dst == kClient6);
    }
    CHECK(all_drops() == 0);
}

TEST_CASE_METHOD(TwoPorts, "NAT66: UDP sums that come out as zero are sent as all ones") {
    configure(kMasquerade6);
    // Somewhere among 65536 payloads of two bytes is the one whose sum is zero after translation.
    unsigned all_ones = 0;
    for (unsigned word = 0; word < 0x10000; ++word) {
        const std::uint8_t bytes[] = {static_cast<std::uint8_t>(word >> 8), static_cast<std::uint8_t>(word)};
        const auto translated = udp(kBoxOutside6, 5000, kServer6, 53).payload(bytes);
        if (decode(translated.bytes()).udp_checksum != 0xffff) continue;
        send("lan", udp(kClient6, 5000, kServer6, 53).payload(bytes));
        const Decoded out = one("wan");
        CHECK(out.udp_checksum == 0xffff);
        CHECK(out.valid_checksums());
        ++all_ones;
    }
    CHECK(all_ones > 0);
}

TEST_CASE_METHOD(TwoPorts, "NAT66: two clients with one source port towards one server get different outside ports") {
    configure(kMasquerade6);
    send("lan", udp(kClient6, 5000, kServer6, 53));
    send("lan", udp(kOtherClient6, 5000, kServer6, 53));
    const auto frames = sent("wan");
    REQUIRE(frames.size() == 2);
    CHECK(decode(frames[0]).sport == 5000);
    const auto second = decode(frames[1]);
    CHECK(second.sport != 5000);
    CHECK(second.sport >= 1024);
    CHECK(second.valid_checksums());
    send("wan", udp(kServer6, 53, kBoxOutside6, second.sport));
    CHECK(one("lan").dst == kOtherClient6);
    // The same identifier of pings.
    send("lan", echo_request(kClient6, kServer6, 7));
    send("lan", echo_request(kOtherClient6, kServer6, 7));
    const auto pings = sent("wan");
    REQUIRE(pings.size() == 2);
    const auto other = decode(pings[1]);
    CHECK(other.icmp_id != 7);
    CHECK(other.valid_checksums());
    send("wan", echo_reply(kServer6, kBoxOutside6, other.icmp_id));
    CHECK(one("lan").text() == "2001:db8:2::10 > 2001:db8:1::11 icmpv6 129/0 id 7 seq 1 ttl 63");
}

TEST_CASE_METHOD(TwoPorts, "NAT66: a client keeps its address of a pool, and all of the pool is used") {
    configure(kAcceptAll + kPool6);
    std::set<IpAddress> used;
    for (unsigned n = 0x100; n < 0x140; ++n) {
        std::set<IpAddress> of_client;
        for (unsigned port = 5000; port < 5003; ++port) {
            send("lan", udp(host6(n), port, kServer6, 53));
            const Decoded out = one("wan");
            CHECK(out.valid_checksums());
            of_client.insert(out.src);
            send("wan", udp(kServer6, 53, out.src, out.sport));
            CHECK(one("lan").dst == host6(n));
        }
        CHECK(of_client.size() == 1);
        used.merge(of_client);
    }
    CHECK(used.size() == 4);
    CHECK(*used.begin() == ip6(0x2001, 0xdb8, 2, 0, 0, 0, 0, 0x50));
    CHECK(*used.rbegin() == ip6(0x2001, 0xdb8, 2, 0, 0, 0, 0, 0x53));
}

TEST_CASE_METHOD(TwoPorts, "NAT66: a whole prefix is a pool; one that is used up drops with its own reason") {
    configure(kAcceptAll + R"(
nat:
  - {out: wan, src: "2001:db8:1::10", proto: udp, snat: {to: "2001:db8:2::50", ports: 2000-2004}}
  - {out: wan, src: "2001:db8:1::/64", snat: {to: "2001:db8:2:1::/64"}}
)");
    for (unsigned i = 0; i < 5; ++i) send("lan", udp(kClient6, 5000 + i, kServer6, 53));
    CHECK(sent("wan").size() == 5);
    send("lan", udp(kClient6, 6000, kServer6, 53));
    CHECK(quiet("wan"));
    CHECK(drops(DropReason::nat_pool_exhausted) == 1);
    const auto said = logged();
    REQUIRE(said.size() == 1);
    CHECK(said[0].key.src() == kClient6);

    std::set<IpAddress> used;
    for (unsigned n = 0x100; n < 0x110; ++n) {
        send("lan", udp(host6(n), 5000, kServer6, 53));
        const Decoded out = one("wan");
        CHECK(in_prefix(out.src, ip6(0x2001, 0xdb8, 2, 1, 0, 0, 0, 0), 64));
        CHECK(out.sport == 5000);
        used.insert(out.src);
    }
    CHECK(used.size() == 16);
}

TEST_CASE_METHOD(TwoPorts, "NAT66: masquerade without a global address on the exit port") {
    configure(kMasquerade6);
    send("lan", udp(kClient6, 5000, kServer6, 53));
    CHECK(one("wan").src == kBoxOutside6);
    remove_address("wan", kBoxOutside6);
    SECTION("a flow that has it dies at its next packet; there is none for another") {
        send("lan", udp(kClient6, 5000, kServer6, 53));
        send("lan", udp(kClient6, 5001, kServer6, 53));
        CHECK(quiet("wan"));
        CHECK(drops(DropReason::nat_no_address) == 2);
        CHECK(flows().empty());
    }
    SECTION("another one takes its place") {
        address("wan", "2001:db8:2::2/64");
        send("lan", udp(kClient6, 5000, kServer6, 53));
        CHECK(one("wan").src == ip6(0x2001, 0xdb8, 2, 0, 0, 0, 0, 2));
        CHECK(flows().size() == 1);
    }
    // IPv4 does not mind.
    send("lan", udp(kClient, 5000, kServer, 53));
    CHECK(one("wan").src == kBoxOutside);
}

TEST_CASE_METHOD(TwoPorts, "NAT66: destination NAT forwards ports and addresses to inside servers") {
    configure(kAcceptAll + kPublished6);
    send("wan", tcp(kServer6, 50000, kBoxOutside6, 8080).flags(kSyn));
    Decoded in = one("lan");
    CHECK(in.text() == "[2001:db8:2::10]:50000 > [2001:db8:1::10]:80 tcp S seq 1000 ttl 63");
    CHECK(in.valid_checksums());
    send("lan", tcp(kClient6, 80, kServer6, 50000).flags(kSyn | kAck));
    Decoded out = one("wan");
    CHECK(out.text() == "[2001:db8:2::1]:8080 > [2001:db8:2::10]:50000 tcp S. seq 1000 ack 0 ttl 63");
    CHECK(out.valid_checksums());

    send("wan", udp(kServer6, 50000, kBoxOutside6, 53).payload("q"));
    CHECK(one("lan").text() == "[2001:db8:2::10]:50000 > [2001:db8:1::10]:5353 udp ttl 63 len 1");

    const IpAddress published = ip6(0x2001, 0xdb8, 2, 0, 0, 0, 0, 0x66);
    send("wan", echo_request(kServer6, published, 9));
    CHECK(one("lan").text() == "2001:db8:2::10 > 2001:db8:1::11 icmpv6 128/0 id 9 seq 1 ttl 63");
    send("lan", echo_reply(kOtherClient6, kServer6, 9));
    CHECK(one("wan").text() == "2001:db8:2::66 > 2001:db8:2::10 icmpv6 129/0 id 9 seq 1 ttl 63");
    // What is not published is the box's.
    send("wan", tcp(kServer6, 50000, kBoxOutside6, 22).flags(kSyn));
    CHECK(punted("wan").size() == 1);
    CHECK(all_drops() == 0);
}

TEST_CASE_METHOD(TwoPorts, "NAT66: source and destination at once") {
    configure(kAcceptAll + R"(
nat:
  - {in: lan, dst: "2001:db8:2::66", proto: udp, dport: 53, dnat: {to: "2001:db8:2::10", port: 5353}}
  - {out: wan, src: "2001:db8:1::/64", snat: {to: "2001:db8:2::50"}}
)");
    const IpAddress asked = ip6(0x2001, 0xdb8, 2, 0, 0, 0, 0, 0x66), pool = ip6(0x2001, 0xdb8, 2, 0, 0, 0, 0, 0x50);
    send("lan", udp(kClient6, 5000, asked, 53).payload("q"));
    CHECK(one("wan").text() == "[2001:db8:2::50]:5000 > [2001:db8:2::10]:5353 udp ttl 63 len 1");
    send("wan", udp(kServer6, 5353, pool, 5000).payload("a"));
    CHECK(one("lan").text() == "[2001:db8:2::66]:53 > [2001:db8:1::10]:5000 udp ttl 63 len 1");
}

TEST_CASE("NAT66: who is told that a neighbour does not answer sees what it sent itself") {
    const bool by_prefix = GENERATE(false, true);
    Box box;
    box.port("lan", PortRole::inside, "192.168.1.1/24");
    box.port("wan", PortRole::outside, "203.0.113.1/24", true);
    box.address("lan", "2001:db8:1::1/64");
    box.address("wan", "2001:db8:2::1/64");
    box.configure(by_prefix ? kAcceptAll + kPrefixes : kMasquerade6);
    const std::vector<PacketBuilder> asked{udp(kClient6, 5000, kServer6, 53).payload("question"),
                                           tcp(kClient6, 40000, kServer6, 80).flags(kSyn).hop_by_hop(),
                                           echo_request(kClient6, kServer6, 7).payload_bytes(9)};
    for (const PacketBuilder& packet : asked) box.send("lan", packet);
    CHECK(box.quiet("wan"));
    box.neighbour("wan", kServer6, std::nullopt);
    const auto errors = box.sent("lan");
    REQUIRE(errors.size() == asked.size());
    for (std::size_t i = 0; i < asked.size(); ++i) {
        const Decoded error = decode(errors[i]);
        CHECK(error.icmp_type == 1);
        CHECK(error.icmp_code == 3);
        CHECK(error.dst == kClient6);
        CHECK(error.valid_checksums());
        CHECK(error.quoted == asked[i].ip_packet());
    }
}

TEST_CASE("NAT66: a full table makes room for either family") {
    TwoPorts box({.flows_per_worker = 64}, kMasquerade6 + "conntrack: {max: 64, half_open: 100%}\n");
    for (unsigned i = 0; i < 200; ++i) {
        box.send("lan", i % 2 == 0 ? udp(kClient6, 5000 + i, kServer6, 53) : udp(kClient, 5000 + i, kServer, 53));
        CHECK(box.one("wan").valid_checksums());
    }
    CHECK(box.flows().size() == 64);
    CHECK(box.sum([](auto& c) -> auto& { return c.early_drops; }) == 200 - 64);
}

// --- RFC 6296

TEST_CASE_METHOD(TwoPorts, "NPTv6: hosts are seen by another prefix, and reached by it") {
    configure(kAcceptAll + kPrefixes);
    const IpAddress outside = ip6(0x2001, 0xdb8, 0x99, 0, 0, 0, 0, 0);
    const IpAddress seen = exchange_prefix(kClient6, outside, 48).value();
    CHECK(in_prefix(seen, outside, 48));
    SECTION("from inside") {
        const auto ask = tcp(kClient6, 40000, kServer6, 80).flags(kSyn);
        send("lan", ask);
        const Frame frame = only("wan");
        const Decoded out = decode(frame);
        CHECK(out.src == seen);
        CHECK(out.sport == 40000);
        CHECK(out.valid_checksums());
        // No transport header is touched: the sum over the address is what it was.
        const Frame before = ask.bytes();
        CHECK(std::equal(frame.begin() + 54, frame.end(), before.begin() + 54, before.end()));
        send("wan", tcp(kServer6, 80, seen, 40000).flags(kSyn | kAck));
        CHECK(one("lan").dst == kClient6);
        CHECK(flows().size() == 1);
    }
    SECTION("from outside") {
        send("wan", udp(kServer6, 5000, seen, 53).payload("q"));
        const Decoded in = one("lan");
        CHECK(in.dst == kClient6);
        CHECK(in.valid_checksums());
        send("lan", udp(kClient6, 53, kServer6, 5000).payload("a"));
        CHECK(one("wan").text() == to_text(seen, 53) + " > [2001:db8:2::10]:5000 udp ttl 63 len 1");
        CHECK(flows().size() == 1);
    }
    SECTION("pings and protocols without ports") {
        send("lan", echo_request(kClient6, kServer6, 5));
        CHECK(one("wan").valid_checksums());
        send("wan", echo_reply(kServer6, seen, 5));
        CHECK(one("lan").dst == kClient6);
        send("lan", protocol(99, kClient6, kServer6).payload("x"));
        CHECK(one("wan").src == seen);
    }
    SECTION("two hosts, one port: no clash, they have different addresses") {
        send("lan", udp(kClient6, 5000, kServer6, 53));
        send("lan", udp(kOtherClient6, 5000, kServer6, 53));
        const auto frames = sent("wan");
        REQUIRE(frames.size() == 2);
        CHECK(decode(frames[0]).sport == 5000);
        CHECK(decode(frames[1]).sport == 5000);
        CHECK(decode(frames[0]).src != decode(frames[1]).src);
    }
    CHECK(all_drops() == 0);
}

TEST_CASE_METHOD(TwoPorts, "NPTv6: an address that cannot be exchanged is not forwarded") {
    configure(kAcceptAll + kPrefixes);
    address("lan", "2001:db8:1:ffff::1/64");
    send("lan", udp(ip6(0x2001, 0xdb8, 1, 0xffff, 0, 0, 0, 5), 5000, kServer6, 53));
    CHECK(drops(DropReason::nat_no_address) == 1);
    send("wan", udp(kServer6, 5000, ip6(0x2001, 0xdb8, 0x99, 0xffff, 0, 0, 0, 5), 53));
    CHECK(quiet("wan"));  // no answer that would show where it might be
    CHECK(quiet("lan"));
    CHECK(all_drops() == 2);
    CHECK(flows().empty());
}

TEST_CASE_METHOD(TwoPorts, "NPTv6: a prefix of /64, word by word of the interface identifier") {
    configure(kAcceptAll + R"(
nat:
  - {out: wan, src: "2001:db8:1::/64", snat: {prefix: "2001:db8:99:7::/64"}}
  - {in: wan, dst: "2001:db8:99:7::/64", dnat: {prefix: "2001:db8:1::/64"}}
)");
    for (const IpAddress& client :
         {kClient6, ip6(0x2001, 0xdb8, 1, 0, 0xffff, 0, 0, 9), ip6(0x2001, 0xdb8, 1, 0, 0xffff, 0xffff, 0xffff, 9)}) {
        send("lan", udp(client, 5000, kServer6, 53).payload("q"));
        const Decoded out = one("wan");
        CHECK(in_prefix(out.src, ip6(0x2001, 0xdb8, 0x99, 7, 0, 0, 0, 0), 64));
        CHECK(out.valid_checksums());
        send("wan", udp(kServer6, 9, out.src, 9).payload("from outside"));
        CHECK(one("lan").dst == client);
    }
    CHECK(all_drops() == 0);
}

// --- two workers

TEST_CASE_METHOD(TwoWorkers, "NAT66: no stub and no hand-off when packets come where they are at home") {
    configure(kMasquerade6);
    const unsigned home = GENERATE(0U, 1U);
    const IpAddress client = lan6(GENERATE(0U, 1U)), server = wan6(home);
    send("lan", tcp(client, 40000, server, 80).flags(kSyn), home);
    const Decoded out = one("wan");
    CHECK(out.src == kBoxOutside6);
    CHECK(out.valid_checksums());
    send("wan", tcp(server, 80, kBoxOutside6, out.sport).flags(kSyn | kAck), home);
    CHECK(one("lan").dst == client);
    CHECK(births(home) == 1);
    CHECK(handed_over() == 0);
    CHECK(stubs() == 0);
    // At the other queue: one hand-off each, and the same result.
    send("lan", tcp(client, 40000, server, 80).flags(kAck), 1 - home);
    CHECK(one("wan").sport == out.sport);
    send("wan", tcp(server, 80, kBoxOutside6, out.sport).flags(kAck).payload("x"), 1 - home);
    CHECK(one("lan").payload == "x");
    CHECK(handed_over() == 2);
    CHECK(flow().tcp_state == TcpState::established);
}

TEST_CASE_METHOD(TwoWorkers, "IPv6 between two inside networks: the reply's home keeps a stub") {
    configure(kAcceptAll);
    const unsigned home = GENERATE(0U, 1U);
    const IpAddress client = lan6(1 - home), server = dmz6(home);
    send("lan", tcp(client, 40000, server, 80).flags(kSyn), GENERATE(0U, 1U));
    CHECK(one("dmz").text() == to_text(client, 40000) + " > " + to_text(server, 80) + " tcp S seq 1000 ttl 63");
    CHECK(stub_requests() == 1);
    CHECK(stubs_at(1 - home) == 1);
    CHECK(stubs_at(home) == 0);
    CHECK(births(home) == 1);
    send("dmz", tcp(server, 80, client, 40000).flags(kSyn | kAck), GENERATE(0U, 1U));
    CHECK(one("lan").dport == 40000);
    CHECK(stub_hits() == 1);
    send("lan", tcp(client, 40000, server, 80).flags(kAck));
    CHECK(one("dmz").flags == kAck);
    CHECK(flow().tcp_state == TcpState::established);
    advance(432001 * 1000ULL);
    CHECK(flows().empty());
    CHECK(stubs() == 0);
}

TEST_CASE_METHOD(TwoWorkers, "IPv6: a port that is taken where the reply's home is") {
    // Destination NAT of what leaves: the reply comes from an address whose home is the other worker.
    const IpAddress real = wan6(1), asked = wan6(0);
    configure(kAcceptAll + "nat: [{in: lan, dst: \"" + to_text(asked) + "\", proto: udp, dport: 53, dnat: {to: \"" +
              to_text(real) + "\", port: 53}}, {out: wan, src: \"2001:db8:1::/64\", snat: masquerade}]\n");
    send("lan", udp(lan6(0), 5000, real, 53), 1);
    CHECK(one("wan").sport == 5000);
    send("lan", udp(lan6(1), 5000, asked, 53).payload("q"), 0);
    const Decoded out = one("wan");
    CHECK(out.dst == real);
    CHECK(out.src == kBoxOutside6);
    CHECK(out.sport != 5000);
    CHECK(out.valid_checksums());
    CHECK(stubs_at(1) == 1);
    send("wan", udp(real, 53, kBoxOutside6, out.sport).payload("a"), 1);
    const Decoded in = one("lan");
    CHECK(in.text() == to_text(asked, 53) + " > " + to_text(lan6(1), 5000) + " udp ttl 63 len 1");
    CHECK(in.valid_checksums());
    CHECK(stub_hits() == 1);
    flush();
    CHECK(stubs() == 0);
}

TEST_CASE_METHOD(TwoWorkers, "IPv6: ICMP errors come to the flow that they are about") {
    configure(kMasquerade6);
    const unsigned home = GENERATE(0U, 1U);
    const IpAddress client = lan6(0), server = wan6(home), router = wan6(1 - home);
    const auto ask = udp(client, 5000, server, 33434).payload("probe");
    send("lan", ask, home);
    const Decoded out = one("wan");
    const auto seen = udp(kBoxOutside6, out.sport, server, 33434).payload("probe");
    send("wan", icmp_error(router, kBoxOutside6, 3, 0, seen, 100), 1 - home);
    const Decoded error = one("lan");
    CHECK(error.src == router);
    CHECK(error.dst == client);
    CHECK(error.valid_checksums());
    CHECK(error.quoted == ask.ip_packet());
    CHECK(births(home) == 1);
    CHECK(births(1 - home) == 0);
}

TEST_CASE_METHOD(TwoPorts, "NAT66: random conversations keep every checksum right, and come back to who asked") {
    configure(kMasquerade6);
    std::mt19937 engine(6);
    const auto random = [&] { return static_cast<std::uint32_t>(engine()); };
    for (int i = 0; i < 300; ++i) {
        const IpAddress client = host6(0x1000 + random() % 50);
        IpAddress server = kServer6;
        const std::uint32_t place = random() % 100;  // a neighbour each, of which a worker knows some hundred
        server.set_word(2, place * 0x01010101U);
        server.set_word(3, place * 0x2468aceU + 5);
        const unsigned port = 1024 + random() % 60000;
        const std::size_t bytes = random() % 200;
        const bool with_tcp = random() % 2 != 0;
        send("lan", with_tcp ? tcp(client, port, server, 443).flags(kSyn).payload_bytes(bytes)
                             : udp(client, port, server, 443).payload_bytes(bytes));
        const Decoded out = one("wan");
        CHECK(out.src == kBoxOutside6);
        CHECK(out.valid_checksums());
        send("wan", with_tcp ? tcp(server, 443, out.src, out.sport).flags(kSyn | kAck).ack(1001)
                             : udp(server, 443, out.src, out.sport).payload_bytes(bytes));
        const Decoded in = one("lan");
        CHECK(in.dst == client);
        CHECK(in.dport == port);
        CHECK(in.valid_checksums());
    }
}

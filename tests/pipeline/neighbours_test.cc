// Packets whose next hop has no known MAC: they wait in order, leave when the answer comes, and are given back to their
// sender as host unreachable when it does not. Bounded, and nothing is kept for ever.
#include <string>

#include <catch2/catch.hpp>

#include "tests/support/two_ports.hh"

using namespace sluice;
using namespace sluice::test;

namespace {

constexpr Ip4 kServer2 = ip4(203, 0, 113, 20);
constexpr Ip4 kGateway = ip4(203, 0, 113, 254);
constexpr Ip4 kFar = ip4(198, 51, 100, 9);
constexpr MacAddress kServerMac = mac(0x51);
constexpr unsigned kPerNeighbour = 64;
constexpr unsigned kTimeoutMs = 3000;

/// The side whose neighbours answer only when the test says so.
struct SilentBox : Box {
    explicit SilentBox(bool silent_inside = false) {
        port("lan", PortRole::inside, "192.168.1.1/24", silent_inside);
        port("wan", PortRole::outside, "203.0.113.1/24", !silent_inside);
    }
    [[nodiscard]] std::uint64_t held() const {
        return sum([](const WorkerCounters& c) -> const Counter& { return c.balance.held; });
    }
    [[nodiscard]] std::uint64_t asked() const {
        return sum([](const WorkerCounters& c) -> const Counter& { return c.neighbour_requests; });
    }
};
struct SilentInside : SilentBox {
    SilentInside() : SilentBox(true) {}
};

/// `error` is host unreachable to `to`, and quotes a packet as `to` sent it.
Decoded quoted_in(const Decoded& error, Ip4 to) {
    CHECK(error.dst == to);
    CHECK(error.icmp_type == 3);
    CHECK(error.icmp_code == 1);
    CHECK(error.valid_checksums());
    const Decoded quoted = decode_ip(error.quoted, true);
    CHECK(quoted.src == to);
    CHECK(quoted.ip_checksum_ok);
    CHECK(quoted.ttl == 64);
    return quoted;
}

}  // namespace

TEST_CASE_METHOD(SilentBox, "packets wait for the neighbour and leave in order") {
    configure(kMasquerade);
    for (unsigned i = 0; i < 10; ++i)
        send("lan", udp(kClient, 5000, kServer, 53).ip_id(100 + i).payload(std::string(1, static_cast<char>('a' + i))));
    CHECK(quiet("wan"));
    CHECK(held() == 10);
    CHECK(asked() == 1);

    neighbour("wan", kServer, kServerMac);
    const auto frames = sent("wan");
    REQUIRE(frames.size() == 10);
    for (unsigned i = 0; i < 10; ++i) {
        const Decoded d = decode(frames[i]);
        CHECK(d.payload == std::string(1, static_cast<char>('a' + i)));
        CHECK(d.ip_id == 100 + i);
        CHECK(d.eth_dst == kServerMac);
        CHECK(d.eth_src == port_mac("wan"));
        CHECK(d.src == kBoxOutside);
        CHECK(d.ttl == 63);
        CHECK(d.valid_checksums());
    }
    CHECK(held() == 0);
    CHECK(all_drops() == 0);
    CHECK(flow().packets[0] == 10);

    send("lan", udp(kClient, 5000, kServer, 53).payload("k"));
    CHECK(one("wan").payload == "k");
}

TEST_CASE_METHOD(SilentBox, "packets that arrive together with the answer do not overtake those that waited") {
    configure(kMasquerade);
    for (unsigned i = 0; i < 3; ++i) send("lan", udp(kClient, 5000, kServer, 53).ip_id(i));
    for (unsigned i = 3; i < 6; ++i) queue("lan", udp(kClient, 5000, kServer, 53).ip_id(i));
    neighbour("wan", kServer, kServerMac);
    const auto frames = sent("wan");
    REQUIRE(frames.size() == 6);
    for (unsigned i = 0; i < 6; ++i) CHECK(decode(frames[i]).ip_id == i);
    CHECK(held() == 0);
}

TEST_CASE_METHOD(SilentBox, "packets of several flows wait for one gateway together") {
    configure(kMasquerade);
    route("198.51.100.0/24", "203.0.113.254");
    send("lan", udp(kClient, 5000, kFar, 53).payload("a"));
    send("lan", tcp(kClient2, 40000, kFar, 80).flags(kSyn));
    send("lan", udp(kClient, 5000, kFar, 53).payload("b"));
    CHECK(held() == 3);
    CHECK(asked() == 1);
    neighbour("wan", kGateway, kServerMac);
    const auto frames = sent("wan");
    REQUIRE(frames.size() == 3);
    CHECK(decode(frames[0]).payload == "a");
    CHECK(decode(frames[1]).flags == kSyn);
    CHECK(decode(frames[2]).payload == "b");
    for (const Frame& f : frames) CHECK(decode(f).eth_dst == kServerMac);
    CHECK(held() == 0);
}

TEST_CASE_METHOD(SilentBox, "an answer for one neighbour does not move what waits for another") {
    configure(kMasquerade);
    send("lan", udp(kClient, 5000, kServer, 53));
    send("lan", udp(kClient, 5000, kServer2, 53));
    CHECK(held() == 2);
    neighbour("wan", kServer2, kServerMac);
    CHECK(one("wan").dst == kServer2);
    CHECK(held() == 1);
    neighbour("wan", kServer, kServerMac);
    CHECK(one("wan").dst == kServer);
    CHECK(held() == 0);
}

TEST_CASE_METHOD(SilentBox, "a neighbour that fails is host unreachable to the sender") {
    configure(kAcceptAll);
    send("lan", tcp(kClient, 40000, kServer, 80).flags(kSyn).seq(77));
    neighbour("wan", kServer, std::nullopt);
    CHECK(quiet("wan"));
    CHECK(drops(DropReason::neighbour_failed) == 1);
    CHECK(held() == 0);
    const Decoded error = one("lan");
    CHECK(error.src == kBoxInside);
    const Decoded quoted = quoted_in(error, kClient);
    CHECK(quoted.dst == kServer);
    CHECK(quoted.sport == 40000);
    CHECK(quoted.dport == 80);
    CHECK(quoted.seq == 77);
}

TEST_CASE_METHOD(SilentBox, "behind SNAT the sender's own packet is quoted, not the translated one") {
    configure(kMasquerade);
    SECTION("UDP, with a port that had to be changed") {
        send("lan", udp(kClient, 5000, kServer, 53).payload("x"));
        neighbour("wan", kServer, kServerMac);
        CHECK(one("wan").sport == 5000);
        neighbour("wan", kServer, std::nullopt);  // it is gone again
        send("lan", udp(kClient2, 5000, kServer, 53).payload("y"));
        neighbour("wan", kServer, std::nullopt);
        const Decoded quoted = quoted_in(one("lan"), kClient2);
        CHECK(quoted.dst == kServer);
        CHECK(quoted.sport == 5000);
        CHECK(quoted.dport == 53);
        CHECK(quoted.l4_checksum_ok);
    }
    SECTION("TCP") {
        send("lan", tcp(kClient, 40000, kServer, 80).flags(kSyn).seq(7));
        neighbour("wan", kServer, std::nullopt);
        const Decoded quoted = quoted_in(one("lan"), kClient);
        CHECK(quoted.sport == 40000);
        CHECK(quoted.l4_checksum_ok);
    }
    SECTION("ping") {
        send("lan", echo_request(kClient, kServer, 77));
        neighbour("wan", kServer, std::nullopt);
        const Decoded quoted = quoted_in(one("lan"), kClient);
        CHECK(quoted.icmp_type == 8);
        CHECK(quoted.icmp_id == 77);
        CHECK(quoted.l4_checksum_ok);
    }
    SECTION("UDP without a checksum") {
        send("lan", udp(kClient, 5000, kServer, 53).no_udp_checksum());
        neighbour("wan", kServer, std::nullopt);
        CHECK(quoted_in(one("lan"), kClient).udp_checksum == 0);
    }
    CHECK(drops(DropReason::neighbour_failed) == 1);
    CHECK(quiet("wan"));
    CHECK(held() == 0);
}

TEST_CASE_METHOD(SilentInside, "behind DNAT the error names the address that the sender spoke to") {
    configure(kAcceptAll +
              "nat: [{in: wan, dst: 203.0.113.1, proto: tcp, dport: 8080, dnat: {to: 192.168.1.10, port: 80}}]\n");
    send("wan", tcp(kServer, 50000, kBoxOutside, 8080).flags(kSyn));
    CHECK(held() == 1);
    neighbour("lan", kClient, std::nullopt);
    const Decoded error = one("wan");
    CHECK(error.src == kBoxOutside);
    const Decoded quoted = quoted_in(error, kServer);
    CHECK(quoted.dst == kBoxOutside);
    CHECK(quoted.dport == 8080);
    CHECK(quoted.l4_checksum_ok);
    CHECK(held() == 0);
}

TEST_CASE_METHOD(SilentBox, "ICMP errors that cannot be delivered are not answered") {
    configure(kAcceptAll);
    // The error needs a flow that it speaks of; what it speaks of came from outside.
    neighbour("wan", kServer, kServerMac);
    send("wan", udp(kServer, 5000, kClient, 53));
    CHECK(one("lan").dst == kClient);
    neighbour("wan", kServer, std::nullopt);
    send("lan", icmp_error(kClient, kServer, 3, 3, udp(kServer, 5000, kClient, 53)));
    neighbour("wan", kServer, std::nullopt);
    CHECK(quiet("lan"));
    CHECK(quiet("wan"));
    CHECK(drops(DropReason::neighbour_failed) == 1);
    CHECK(held() == 0);
}

TEST_CASE_METHOD(SilentBox, "one neighbour holds a bounded number, and others are not its victims") {
    configure(kAcceptAll);
    for (unsigned i = 0; i < kPerNeighbour + 6; ++i) send("lan", udp(kClient, 5000, kServer, 53).ip_id(i));
    CHECK(held() == kPerNeighbour);
    CHECK(drops(DropReason::neighbour_queue_full) == 6);
    send("lan", udp(kClient, 5000, kServer2, 53));
    CHECK(held() == kPerNeighbour + 1);

    neighbour("wan", kServer, kServerMac);
    const auto frames = sent("wan");
    REQUIRE(frames.size() == kPerNeighbour);
    for (unsigned i = 0; i < frames.size(); ++i) CHECK(decode(frames[i]).ip_id == i);
    CHECK(held() == 1);
    neighbour("wan", kServer2, kServerMac);
    CHECK(held() == 0);
    CHECK(sent("wan").size() == 1);
    CHECK(all_drops() == 6);
}

TEST_CASE_METHOD(SilentBox, "without any answer a packet waits for three seconds") {
    configure(kMasquerade);
    send("lan", udp(kClient, 5000, kServer, 53));
    advance(kTimeoutMs - 200);
    CHECK(held() == 1);
    CHECK(quiet("lan"));
    send("lan", udp(kClient, 5001, kServer, 53));
    CHECK(asked() == 2);  // once a second at the most
    advance(400);
    CHECK(held() == 1);  // the younger one has its own time
    CHECK(drops(DropReason::neighbour_failed) == 1);
    CHECK(quoted_in(one("lan"), kClient).sport == 5000);
    advance(kTimeoutMs);
    CHECK(held() == 0);
    CHECK(drops(DropReason::neighbour_failed) == 2);
    CHECK(quoted_in(one("lan"), kClient).sport == 5001);
    CHECK(quiet("wan"));
    // It is asked again, and now it answers.
    send("lan", udp(kClient, 5000, kServer, 53));
    CHECK(asked() == 3);
    neighbour("wan", kServer, kServerMac);
    CHECK(one("wan").sport == 5000);
    CHECK(held() == 0);
}

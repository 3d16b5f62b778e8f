// Source and destination NAT, packet by packet.
#include <catch2/catch.hpp>

#include "tests/support/two_ports.hh"

using namespace sluice;
using namespace sluice::test;

TEST_CASE_METHOD(TwoPorts, "masquerade translates to the exit port's address, and replies back") {
    configure(kMasquerade);
    send("lan", tcp(kClient, 40000, kServer, 80).flags(kSyn));
    Decoded out = one("wan");
    CHECK(out.text() == "203.0.113.1:40000 > 203.0.113.10:80 tcp S seq 1000 ttl 63");
    CHECK(out.valid_checksums());

    send("wan", tcp(kServer, 80, kBoxOutside, 40000).flags(kSyn | kAck));
    Decoded in = one("lan");
    CHECK(in.dst == kClient);
    CHECK(in.dport == 40000);
    CHECK(in.valid_checksums());
}

TEST_CASE_METHOD(TwoPorts, "two clients with one source port towards one server get different outside ports") {
    configure(kMasquerade);
    send("lan", udp(kClient, 5000, kServer, 53));
    send("lan", udp(kClient2, 5000, kServer, 53));
    const auto frames = sent("wan");
    REQUIRE(frames.size() == 2);
    CHECK(decode(frames[0]).sport == 5000);
    const auto second = decode(frames[1]);
    CHECK(second.sport != 5000);
    CHECK(second.sport >= 1024);
    send("wan", udp(kServer, 53, kBoxOutside, second.sport));
    CHECK(one("lan").dst == kClient2);
}

TEST_CASE_METHOD(TwoPorts, "a pool that is used up drops with its own reason") {
    configure(kAcceptAll + "nat: [{out: wan, src: 192.168.1.0/24, snat: {to: 203.0.113.50, ports: 2000-2004}}]\n");
    for (unsigned i = 0; i < 5; ++i) send("lan", udp(kClient, 5000 + i, kServer, 53));
    CHECK(sent("wan").size() == 5);
    send("lan", udp(kClient, 6000, kServer, 53));
    CHECK(quiet("wan"));
    CHECK(drops(DropReason::nat_pool_exhausted) == 1);
    const auto said = logged();
    REQUIRE(said.size() == 1);
    CHECK(said[0].detail == static_cast<std::uint32_t>(LogEvent::pool_exhausted));
    CHECK(said[0].key.sport.host() == 6000);
    // Another destination is another tuple.
    send("lan", udp(kClient, 6000, ip4(203, 0, 113, 20), 53));
    CHECK(sent("wan").size() == 1);
}

TEST_CASE_METHOD(TwoPorts, "destination NAT forwards a port to an inside server") {
    configure(kAcceptAll +
              "nat: [{in: wan, dst: 203.0.113.1, proto: tcp, dport: 8080, dnat: {to: 192.168.1.10, port: 80}}]\n");
    send("wan", tcp(kServer, 50000, kBoxOutside, 8080).flags(kSyn));
    Decoded in = one("lan");
    CHECK(in.text() == "203.0.113.10:50000 > 192.168.1.10:80 tcp S seq 1000 ttl 63");
    CHECK(in.valid_checksums());
    send("lan", tcp(kClient, 80, kServer, 50000).flags(kSyn | kAck));
    Decoded out = one("wan");
    CHECK(out.src == kBoxOutside);
    CHECK(out.sport == 8080);
    CHECK(out.valid_checksums());
}

TEST_CASE_METHOD(TwoPorts, "ping through masquerade") {
    configure(kMasquerade);
    send("lan", echo_request(kClient, kServer, 77));
    Decoded out = one("wan");
    CHECK(out.src == kBoxOutside);
    CHECK(out.valid_checksums());
    send("wan", echo_reply(kServer, kBoxOutside, out.icmp_id));
    Decoded in = one("lan");
    CHECK(in.dst == kClient);
    CHECK(in.icmp_id == 77);
    CHECK(in.valid_checksums());
}

TEST_CASE_METHOD(TwoPorts, "live mappings are counted on their rule, also when a reload renumbers it") {
    const std::string pool = "{out: wan, src: 192.168.1.0/24, snat: {to: 203.0.113.50, ports: 2000-2001}}";
    configure(kAcceptAll + "nat: [" + pool + "]\n");
    const std::uint16_t gauge = policy().snat[0].gauge;
    REQUIRE(gauge < kNatGauges);
    const auto mappings = [&] { return sum([&](auto& c) -> auto& { return c.nat_mappings[gauge]; }); };
    send("lan", udp(kClient, 5000, kServer, 53));
    send("lan", udp(kClient, 5001, kServer, 53));
    send("lan", udp(kClient, 5002, kServer, 53));  // no port left
    CHECK(mappings() == 2);
    CHECK(policy().counter(0, policy().snat[0].rule).exhausted.get() == 1);
    send("wan", udp(kServer, 1, kBoxOutside, 9));  // a flow without source NAT
    CHECK(mappings() == 2);

    configure(kAcceptAll + "nat: [{out: lan, src: 198.51.100.0/24, snat: masquerade}, " + pool + "]\n");
    REQUIRE(policy().snat.size() == 2);
    CHECK(policy().snat[1].gauge == gauge);
    CHECK(policy().snat[0].gauge != gauge);
    CHECK(mappings() == 2);
    advance(31000);  // both die under a policy in which their rule has another number
    CHECK(flows().empty());
    CHECK(mappings() == 0);
}

TEST_CASE_METHOD(TwoPorts, "source ports from 512 to 599 are kept, with and without a rule") {
    SECTION("routed") {
        configure(kAcceptAll);
    }
    SECTION("masqueraded") {
        configure(kMasquerade);
    }
    for (const unsigned port : {511U, 512U, 514U, 520U, 599U, 600U}) {
        send("lan", udp(kClient, port, kServer, 53));
        CHECK(one("wan").sport == port);
    }
    if (policy().snat.empty()) {
        send("wan", udp(kServer, 554, kClient, 53));
        CHECK(one("lan").sport == 554);
        return;
    }
    // Only the replacement is of the class.
    send("lan", udp(kClient2, 520, kServer, 53));
    const Decoded other = one("wan");
    CHECK(other.sport >= 600);
    CHECK(other.sport < 1024);
}

TEST_CASE_METHOD(TwoPorts, "an endpoint keeps its mapping towards other destinations") {
    const Ip4 elsewhere = ip4(203, 0, 113, 20), third = ip4(203, 0, 113, 21);
    configure(kMasquerade);
    SECTION("a port that had to be replaced") {
        send("lan", udp(kClient, 5000, kServer, 53));
        send("lan", udp(kClient2, 5000, kServer, 53));
        const unsigned mapped = decode(sent("wan").at(1)).sport;
        REQUIRE(mapped != 5000);
        send("lan", udp(kClient2, 5000, elsewhere, 53));
        CHECK(one("wan").sport == mapped);
        send("lan", udp(kClient2, 5000, elsewhere, 5353));
        CHECK(one("wan").sport == mapped);
        send("lan", udp(kClient2, 5001, elsewhere, 53));  // another endpoint
        CHECK(one("wan").sport == 5001);
        send("lan", tcp(kClient2, 5000, elsewhere, 53).flags(kSyn));  // another protocol
        CHECK(one("wan").sport == 5000);
        // Taken towards the third: the port is kept instead.
        send("lan", udp(kClient, mapped, third, 53));
        CHECK(one("wan").sport == mapped);
        send("lan", udp(kClient2, 5000, third, 53));
        CHECK(one("wan").sport == 5000);
        // Gone with its flows.
        advance(31000);
        send("lan", udp(kClient2, 5000, elsewhere, 53));
        CHECK(one("wan").sport == 5000);
    }
    SECTION("an identifier") {
        send("lan", echo_request(kClient, kServer, 77));
        send("lan", echo_request(kClient2, kServer, 77));
        const unsigned mapped = decode(sent("wan").at(1)).icmp_id;
        REQUIRE(mapped != 77);
        send("lan", echo_request(kClient2, elsewhere, 77));
        CHECK(one("wan").icmp_id == mapped);
    }
    SECTION("a port of a range, and what another rule gives is not taken") {
        configure(kAcceptAll + "nat: [{out: wan, src: 192.168.1.0/24, snat: {to: 203.0.113.50, ports: 2000-2999}}]\n");
        send("lan", udp(kClient, 5000, kServer, 53));
        const unsigned mapped = one("wan").sport;
        send("lan", udp(kClient, 5000, elsewhere, 53));
        CHECK(one("wan").sport == mapped);
        configure(kAcceptAll + "nat: [{out: wan, src: 192.168.1.0/24, snat: {to: 203.0.113.50, ports: 3000-3999}}]\n");
        send("lan", udp(kClient, 5000, third, 53));
        const unsigned other = one("wan").sport;
        CHECK(other >= 3000);
        configure(kAcceptAll + "nat: [{out: wan, src: 192.168.1.0/24, snat: {to: 203.0.113.51}}]\n");
        send("lan", udp(kClient, 5000, third, 5353));
        const Decoded out = one("wan");
        CHECK(out.src == ip4(203, 0, 113, 51));
        CHECK(out.sport == 5000);
    }
}

TEST_CASE_METHOD(TwoPorts, "the port of a connection that has ended goes to a newer one when there is no other") {
    configure(kAcceptAll + "nat: [{out: wan, src: 192.168.1.0/24, snat: {to: 203.0.113.50, ports: 2000-2000}}]\n");
    const Ip4 outside = ip4(203, 0, 113, 50);
    const auto newcomer = [&](std::uint32_t seq) {
        send("lan", tcp(kClient2, 5001, kServer, 80).flags(kSyn).seq(seq));
        return sent("wan").size() == 1;
    };
    send("lan", tcp(kClient, 5000, kServer, 80).flags(kSyn).seq(1000));
    send("wan", tcp(kServer, 80, outside, 2000).flags(kSyn | kAck).seq(5000).ack(1001));
    send("lan", tcp(kClient, 5000, kServer, 80).flags(kAck).seq(1001).ack(5001));
    CHECK(sent("wan").size() == 2);
    CHECK_FALSE(newcomer(900000));  // ESTABLISHED
    send("lan", tcp(kClient, 5000, kServer, 80).flags(kRst | kAck).seq(1001).ack(5001));
    CHECK(sent("wan").size() == 1);
    CHECK_FALSE(newcomer(1000));  // its segments would be older
    const auto replaced = [&] {
        return sum([](auto& c) -> auto& { return c.flow_deaths[static_cast<std::size_t>(DeathCause::replaced)]; });
    };
    CHECK(replaced() == 0);
    CHECK(flows().size() == 1);
    CHECK(newcomer(1001));
    CHECK(replaced() == 1);
    CHECK(flows().size() == 1);
    send("lan", udp(kClient2, 5001, kServer, 80));
    CHECK(sent("wan").size() == 1);
    (void)sent("lan");
    send("wan", tcp(kServer, 80, outside, 2000).flags(kSyn | kAck).seq(7000).ack(1002));
    CHECK(one("lan").dst == kClient2);
}

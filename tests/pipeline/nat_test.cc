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

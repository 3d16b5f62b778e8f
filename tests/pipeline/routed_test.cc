// Flows without translation: the way of a packet from port to port, and what the box says when it does not go on.
#include <catch2/catch.hpp>

#include "tests/support/two_ports.hh"

using namespace sluice;
using namespace sluice::test;

namespace {

struct RoutedBox : TwoPorts {
    RoutedBox() : TwoPorts({}, kAcceptAll) {}
};

}  // namespace

TEST_CASE_METHOD(RoutedBox, "a TCP handshake passes, and the entry goes through its states") {
    send("lan", tcp(kClient, 40000, kServer, 80).flags(kSyn));
    Decoded out = one("wan");
    CHECK(out.text() == "192.168.1.10:40000 > 203.0.113.10:80 tcp S seq 1000 ttl 63");
    CHECK(out.valid_checksums());
    CHECK(out.eth_src == port_mac("wan"));
    CHECK(flow().tcp_state == TcpState::syn_sent);
    CHECK((flow().status & status::kSeenReply) == 0);

    send("wan", tcp(kServer, 80, kClient, 40000).flags(kSyn | kAck));
    CHECK(one("lan").valid_checksums());
    CHECK(flow().tcp_state == TcpState::syn_recv);
    CHECK((flow().status & status::kSeenReply) != 0);

    send("lan", tcp(kClient, 40000, kServer, 80).flags(kAck));
    CHECK(one("wan").flags == kAck);
    CHECK(flow().tcp_state == TcpState::established);
    CHECK((flow().status & status::kAssured) != 0);
    CHECK(flow().lifetime.timeout_s == 432000);
}

TEST_CASE_METHOD(RoutedBox, "several first packets of one flow in one burst make one flow") {
    for (int i = 0; i < 5; ++i) queue("lan", udp(kClient, 5000, kServer, 53).payload("q"));
    settle();
    CHECK(sent("wan").size() == 5);
    CHECK(flows().size() == 1);
}

TEST_CASE_METHOD(RoutedBox, "a packet whose TTL ends here is answered from the arrival port's address") {
    send("lan", udp(kClient, 5000, kServer, 33434).ttl(1));
    CHECK(quiet("wan"));
    const Decoded error = one("lan");
    CHECK(error.src == ip4(192, 168, 1, 1));
    CHECK(error.dst == kClient);
    CHECK(error.icmp_type == 11);
    CHECK(error.valid_checksums());
    CHECK(drops(DropReason::ttl_exceeded) == 1);
}

TEST_CASE_METHOD(RoutedBox, "no route is answered with net unreachable") {
    send("lan", udp(kClient, 5000, ip4(198, 51, 100, 1), 53));
    const Decoded error = one("lan");
    CHECK(error.icmp_type == 3);
    CHECK(error.icmp_code == 0);
    CHECK(drops(DropReason::no_route) == 1);
}

TEST_CASE_METHOD(RoutedBox, "so is a packet that is INVALID") {
    send("lan", tcp(kClient, 40000, ip4(198, 51, 100, 1), 80).flags(kSyn | kAck));
    CHECK(one("lan").text().find("icmp 3/0") != std::string::npos);
    CHECK(drops(DropReason::no_route) == 1);
}

TEST_CASE_METHOD(RoutedBox, "a thrown destination is answered with net unreachable, whatever the default route") {
    route("0.0.0.0/0", "203.0.113.254");
    route("198.51.100.0/24", HopKind::no_route);
    send("lan", udp(kClient, 5000, ip4(198, 51, 100, 1), 53));
    CHECK(quiet("wan"));
    const Decoded error = one("lan");
    CHECK(error.icmp_type == 3);
    CHECK(error.icmp_code == 0);
    CHECK(drops(DropReason::no_route) == 1);
    CHECK(flows().empty());
}

TEST_CASE_METHOD(RoutedBox, "what is for the box goes to the kernel, and its answers leave by the port") {
    send("lan", echo_request(kClient, ip4(192, 168, 1, 1), 7));
    REQUIRE(punted("lan").size() == 1);
    send_from_kernel("lan", echo_reply(ip4(192, 168, 1, 1), kClient, 7));
    CHECK(one("lan").icmp_type == 0);
    CHECK(flow().kind == L4Kind::icmp);
}

TEST_CASE_METHOD(RoutedBox, "ARP goes to the kernel") {
    send("lan", arp_request(mac(1), kClient, ip4(192, 168, 1, 1)));
    CHECK(punted("lan").size() == 1);
}

TEST_CASE_METHOD(RoutedBox, "the box's own packets leave by the port that the kernel chose, route or no route") {
    const Ip4 far = ip4(198, 51, 100, 9);  // no route of ours leads there
    send_from_kernel("wan", udp(ip4(203, 0, 113, 1), 5000, far, 53).payload("q"));
    CHECK(one("wan").text() == "203.0.113.1:5000 > 198.51.100.9:53 udp ttl 64 len 1");
    send("wan", udp(far, 53, ip4(203, 0, 113, 1), 5000).payload("a"));
    CHECK(punted("wan").size() == 1);
    CHECK(flows().size() == 1);
}

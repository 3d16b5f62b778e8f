// Rules that reject: what the sender is told, in its own terms, and when nobody is told anything.
#include <algorithm>

#include <catch2/catch.hpp>

#include "tests/support/two_ports.hh"

using namespace sluice;
using namespace sluice::test;

namespace {

constexpr std::uint8_t kRstAck = kRst | kAck;

/// What an ICMP error quotes is the packet as it came to the filter, to the last byte that there is room for: one that
/// was to be forwarded has its TTL counted down, as in Linux.
void check_quote(const Decoded& error, const PacketBuilder& offending) {
    const auto whole = offending.ip_packet();
    const std::size_t expected = std::min<std::size_t>(whole.size(), 576 - 20 - 8);
    CHECK(error.quoted.size() == expected);
    CHECK(std::equal(error.quoted.begin(), error.quoted.end(), whole.begin()));
}

}  // namespace

TEST_CASE_METHOD(TwoPorts, "reject with a TCP reset") {
    configure(R"(
filter:
  forward: {policy: accept, rules: [{proto: tcp, dport: 22, action: reject, reject_with: tcp-reset}]}
)");
    send("lan", tcp(kClient, 40000, kServer, 22).flags(kSyn).seq(7000));
    CHECK(quiet("wan"));
    const Decoded reset = one("lan");
    CHECK(reset.text() == "203.0.113.10:22 > 192.168.1.10:40000 tcp R. seq 0 ack 7001 ttl 64");
    CHECK(reset.valid_checksums());
    CHECK(reset.eth_dst == mac(1));
    CHECK(reset.eth_src == port_mac("lan"));
    CHECK(drops(DropReason::filter_reject) == 1);
    CHECK(counted(0) == 1);
    CHECK(flows().empty());

    // A segment that acknowledges: the reset continues there. Never a reset for a reset.
    send("lan", tcp(kClient, 40000, kServer, 22).flags(kAck | kPsh).seq(7001).ack(9000).payload("hello"));
    CHECK(one("lan").text() == "203.0.113.10:22 > 192.168.1.10:40000 tcp R seq 9000 ttl 64");
    send("lan", tcp(kClient, 40000, kServer, 22).flags(kRstAck).seq(7001).ack(9000));
    CHECK(quiet("lan"));
    CHECK(quiet("wan"));
}

TEST_CASE_METHOD(TwoPorts, "reject with ICMP errors that quote what was sent") {
    configure(R"(
filter:
  forward:
    rules:
      - {proto: udp, dport: 161, action: reject}
      - {dst: 203.0.113.66, action: reject, reject_with: admin-prohibited}
      - {proto: tcp, dport: 25, action: reject, reject_with: port-unreachable}
)");
    const auto snmp = udp(kClient, 5000, kServer, 161).payload("get").ttl(33);
    send("lan", snmp);
    Decoded error = one("lan");
    CHECK(error.text() ==
          "192.168.1.1 > 192.168.1.10 icmp 3/3 {192.168.1.10:5000 > 203.0.113.10:161 udp ttl 32 len 3} ttl 64");
    CHECK(error.valid_checksums());
    CHECK(error.eth_dst == mac(1));
    check_quote(error, PacketBuilder(snmp).ttl(32));

    const auto large = udp(kClient, 5000, ip4(203, 0, 113, 66), 9).payload_bytes(1200);
    send("lan", large);
    error = one("lan");
    CHECK(error.icmp_type == 3);
    CHECK(error.icmp_code == 13);
    CHECK(error.valid_checksums());
    check_quote(error, PacketBuilder(large).ttl(63));

    const auto mail = tcp(kClient, 40000, kServer, 25).flags(kSyn);
    send("lan", mail);
    error = one("lan");
    CHECK(error.icmp_code == 3);
    CHECK(error.valid_checksums());
    check_quote(error, PacketBuilder(mail).ttl(63));

    const auto ping = echo_request(kClient, ip4(203, 0, 113, 66), 9);
    send("lan", ping);
    error = one("lan");
    CHECK(error.icmp_code == 13);
    check_quote(error, PacketBuilder(ping).ttl(63));

    // No error about an error (RFC 1122 3.2.2).
    send("lan", icmp_error(kClient, ip4(203, 0, 113, 66), 3, 3, udp(ip4(203, 0, 113, 66), 1, kClient, 2)));
    CHECK(quiet("lan"));
    CHECK(quiet("wan"));
    CHECK(drops(DropReason::filter_reject) == 5);
}

TEST_CASE_METHOD(TwoPorts, "a rejected packet that was to be translated is answered in the sender's own terms") {
    configure(R"(
filter:
  forward:
    rules:
      - {in: wan, dst: 192.168.1.10, proto: tcp, dport: 80, action: reject, reject_with: tcp-reset}
      - {in: wan, dst: 192.168.1.10, proto: udp, dport: 53, action: reject}
nat:
  - {in: wan, dst: 203.0.113.1, proto: tcp, dport: 8080, dnat: {to: 192.168.1.10, port: 80}}
  - {in: wan, dst: 203.0.113.1, proto: udp, dport: 5353, dnat: {to: 192.168.1.10, port: 53}}
)");
    send("wan", tcp(kServer, 50000, kBoxOutside, 8080).flags(kSyn));
    const Decoded reset = one("wan");
    CHECK(reset.text() == "203.0.113.1:8080 > 203.0.113.10:50000 tcp R. seq 0 ack 1001 ttl 64");
    CHECK(reset.valid_checksums());
    CHECK(counted(0) == 1);

    const auto query = udp(kServer, 50000, kBoxOutside, 5353).payload("q");
    send("wan", query);
    const Decoded error = one("wan");
    CHECK(error.src == kBoxOutside);
    CHECK(error.dst == kServer);
    CHECK(error.valid_checksums());
    check_quote(error, PacketBuilder(query).ttl(63));
    CHECK(quiet("lan"));
}

TEST_CASE_METHOD(TwoPorts, "reject in the input and output chains") {
    configure(R"(
filter:
  input:
    rules:
      - {proto: tcp, action: reject, reject_with: tcp-reset}
      - {proto: udp, action: reject}
  output: {rules: [{proto: udp, dport: 123, action: reject, reject_with: admin-prohibited}]}
)");
    send("lan", tcp(kClient, 40000, kBoxInside, 22).flags(kSyn));
    CHECK(one("lan").text() == "192.168.1.1:22 > 192.168.1.10:40000 tcp R. seq 0 ack 1001 ttl 64");
    send("lan", udp(kClient, 5000, kBoxOutside, 53));  // an address of the box on another port answers as itself
    Decoded error = one("lan");
    CHECK(error.src == kBoxOutside);
    CHECK(error.icmp_code == 3);
    CHECK(error.valid_checksums());
    CHECK(punted("lan").empty());

    const auto ntp = udp(kBoxOutside, 5000, kServer, 123).payload("time");
    send_from_kernel("wan", ntp);
    CHECK(quiet("wan"));
    const auto told = punted("wan");
    REQUIRE(told.size() == 1);
    error = decode(told.front());
    CHECK(error.dst == kBoxOutside);
    CHECK(error.icmp_code == 13);
    CHECK(error.valid_checksums());
    check_quote(error, ntp);
    CHECK(drops(DropReason::filter_reject) == 3);
}

TEST_CASE_METHOD(TwoPorts, "a flow under way that is rejected now: the peer hears of it in its own terms") {
    const std::string nat = "nat: [{out: wan, src: 192.168.1.0/24, snat: masquerade}]\n";
    configure(nat);
    send("lan", udp(kClient, 5000, kServer, 53));
    CHECK(one("wan").src == kBoxOutside);
    configure("filter: {forward: {rules: [{in: wan, action: reject}]}}\n" + nat);
    const auto answer = udp(kServer, 53, kBoxOutside, 5000).payload("a");
    send("wan", answer);
    CHECK(quiet("lan"));
    const Decoded error = one("wan");
    CHECK(error.dst == kServer);
    CHECK(error.src == kBoxOutside);
    CHECK(error.valid_checksums());
    check_quote(error, PacketBuilder(answer).ttl(63));
}

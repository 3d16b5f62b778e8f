// Rules and families: what a rule without a family, with one, with addresses and with negated addresses is about; what
// a rejected sender of IPv6 is told (RFC 4443); ICMPv6's own types; raw rules and marks.
#include <algorithm>
#include <string>

#include <catch2/catch.hpp>

#include "tests/support/two_ports.hh"

using namespace sluice;
using namespace sluice::test;

namespace {

struct FilterBox6 : TwoPorts {
    std::uint64_t packets(std::uint32_t rule) const { return policy().counter(0, rule).packets.get(); }
    /// Configures one forward rule before "drop", sends one packet of each family; who passed: "4", "6", "46", "".
    std::string passed_by(const std::string& rule, const std::string& more = "") {
        configure(
            "filter:\n  input: {policy: accept, rules: []}\n  output: {policy: accept, rules: []}\n"
            "  forward: {policy: drop, rules: [" +
            rule + "]}\n" + more);
        flush();
        send("lan", udp(kClient, 5000, kServer, 53));
        send("lan", udp(kClient6, 5000, kServer6, 53));
        std::string out;
        for (const Frame& f : sent("wan")) out += decode(f).v6 ? '6' : '4';
        return out;
    }
};

const std::string kReject = R"(
filter:
  input: {policy: accept, rules: []}
  output: {policy: accept, rules: []}
  forward:
    policy: accept
    rules:
      - {proto: tcp, dport: 81, action: reject, reject_with: tcp-reset}
      - {proto: udp, dport: 81, action: reject, reject_with: admin-prohibited}
      - {dst: ["203.0.113.99", "2001:db8:2::99"], action: reject}
)";

}  // namespace

TEST_CASE_METHOD(FilterBox6, "families: a rule is of both, of the one that it names, or of that of its addresses") {
    CHECK(passed_by("{action: accept}") == "46");
    CHECK(passed_by("{proto: udp, dport: 53, action: accept}") == "46");
    CHECK(passed_by("{family: ipv4, action: accept}") == "4");
    CHECK(passed_by("{family: ipv6, action: accept}") == "6");
    CHECK(passed_by("{family: ipv6, proto: udp, dport: 53, action: accept}") == "6");
    CHECK(passed_by("{src: 192.168.1.0/24, action: accept}") == "4");
    CHECK(passed_by("{src: \"2001:db8:1::/64\", action: accept}") == "6");
    CHECK(passed_by("{src: [192.168.1.0/24, \"2001:db8:1::/64\"], action: accept}") == "46");
    CHECK(passed_by("{src: [192.168.1.0/24, \"2001:db8:7::/64\"], action: accept}") == "4");
    CHECK(passed_by("{dst: \"2001:db8:2::10\", action: accept}") == "6");
    CHECK(passed_by("{dst: \"2001:db8:2::11\", action: accept}").empty());
    CHECK(passed_by("{dst: \"2001:db8:2::1-2001:db8:2::ffff\", action: accept}") == "6");
    CHECK(passed_by("{src: \"::/0\", action: accept}") == "6");
    CHECK(passed_by("{src: 0.0.0.0/0, action: accept}") == "4");
}

TEST_CASE_METHOD(FilterBox6, "families: a negated address is of its family, too") {
    CHECK(passed_by("{src: {not: 192.168.7.0/24}, action: accept}") == "4");
    CHECK(passed_by("{src: {not: \"2001:db8:7::/64\"}, action: accept}") == "6");
    CHECK(passed_by("{src: {not: \"2001:db8:1::/64\"}, action: accept}").empty());
    CHECK(passed_by("{family: ipv6, dst: {not: \"2001:db8:2::11\"}, action: accept}") == "6");
}

TEST_CASE_METHOD(FilterBox6, "families: groups hold addresses of both") {
    const std::string groups = R"(
groups:
  addresses:
    clients: [192.168.1.10, "2001:db8:1::10"]
    others: ["2001:db8:1::11", 192.168.1.11]
    one: ["2001:db8:1::/64"]
)";
    CHECK(passed_by("{src: clients, action: accept}", groups) == "46");
    CHECK(passed_by("{src: others, action: accept}", groups).empty());
    CHECK(passed_by("{src: {not: others}, action: accept}", groups) == "46");
    CHECK(passed_by("{src: {not: clients}, action: accept}", groups).empty());
    CHECK(passed_by("{src: one, action: accept}", groups) == "6");
    CHECK(passed_by("{family: ipv4, src: clients, action: accept}", groups) == "4");
}

TEST_CASE_METHOD(FilterBox6, "reject: IPv6 senders get a reset, or the ICMPv6 error of their rule") {
    configure(kReject);
    SECTION("a reset, from whom was spoken to") {
        send("lan", tcp(kClient6, 40000, kServer6, 81).flags(kSyn).seq(7));
        const Decoded reset = one("lan");
        CHECK(reset.text() == "[2001:db8:2::10]:81 > [2001:db8:1::10]:40000 tcp R. seq 0 ack 8 ttl 64");
        CHECK(reset.valid_checksums());
        CHECK(reset.eth_dst == mac(1));
        send("lan", tcp(kClient6, 40000, kServer6, 81).flags(kAck).seq(7).ack(99));
        CHECK(one("lan").text() == "[2001:db8:2::10]:81 > [2001:db8:1::10]:40000 tcp R seq 99 ttl 64");
        send("lan", tcp(kClient6, 40000, kServer6, 81).flags(kRst));
        CHECK(quiet("lan"));  // a reset is not answered
    }
    SECTION("administratively prohibited, and the quote to the last byte that there is room for") {
        const auto asked = udp(kClient6, 5000, kServer6, 81).payload_bytes(1400);
        send("lan", asked);
        const Decoded error = one("lan");
        CHECK(error.src == kBoxInside6);
        CHECK(error.icmp_type == 1);
        CHECK(error.icmp_code == 1);
        CHECK(error.valid_checksums());
        CHECK(error.total_length == 1280);
        // It came to the filter as it would have left: the hop limit counted down, as in Linux.
        auto quoted = udp(kClient6, 5000, kServer6, 81).payload_bytes(1400).ttl(63).ip_packet();
        quoted.resize(1280 - 48);
        CHECK(error.quoted == quoted);
    }
    SECTION("port unreachable, of both families by one rule") {
        send("lan", udp(kClient6, 5000, ip6(0x2001, 0xdb8, 2, 0, 0, 0, 0, 0x99), 53));
        CHECK(one("lan").text() ==
              "2001:db8:1::1 > 2001:db8:1::10 icmpv6 1/4 "
              "{[2001:db8:1::10]:5000 > [2001:db8:2::99]:53 udp ttl 63} ttl 64");
        send("lan", udp(kClient, 5000, ip4(203, 0, 113, 99), 53));
        CHECK(one("lan").icmp_type == 3);
    }
    SECTION("errors are not answered") {
        send("lan", icmp_error(kClient6, ip6(0x2001, 0xdb8, 2, 0, 0, 0, 0, 0x99), 1, 4,
                               udp(ip6(0x2001, 0xdb8, 2, 0, 0, 0, 0, 0x99), 1, kClient6, 2)));
        CHECK(quiet("lan"));
    }
    CHECK(quiet("wan"));
    CHECK(flows().empty());
}

TEST_CASE_METHOD(FilterBox6, "ICMPv6 types are matched by their own names and numbers") {
    configure(R"(
filter:
  input: {policy: accept, rules: []}
  output: {policy: accept, rules: []}
  forward:
    policy: drop
    rules:
      - {proto: icmpv6, icmp_type: echo-request, action: accept}
      - {proto: icmpv6, icmp_type: packet-too-big, action: accept}
      - {proto: icmpv6, icmp_type: 3, action: accept}
)");
    send("lan", echo_request(kClient6, kServer6, 1));
    CHECK(one("wan").icmp_type == 128);
    send("lan", echo_request(kClient, kServer, 1));  // of IPv4: another protocol
    CHECK(quiet("wan"));
    const auto about = echo_request(kClient6, kServer6, 1);
    send("wan", icmp_error(kServer6, kClient6, 2, 0, about, 8, 1280));
    CHECK(one("lan").icmp_type == 2);
    send("wan", icmp_error(kServer6, kClient6, 3, 0, about));
    CHECK(one("lan").icmp_type == 3);
    send("wan", icmp_error(kServer6, kClient6, 1, 4, about));
    CHECK(quiet("lan"));
    send("lan", protocol(58, kClient, kServer).payload_bytes(8));
    send("lan", protocol(1, kClient6, kServer6).payload_bytes(8));
    CHECK(quiet("wan"));
    for (const std::uint32_t rule : {0U, 1U, 2U}) CHECK(packets(rule) == 1);
}

TEST_CASE_METHOD(FilterBox6, "IPv6: states, chains and counters are those of IPv4") {
    configure(R"(
filter:
  input:
    policy: drop
    rules:
      - {in: lan, proto: icmpv6, icmp_type: echo-request, action: accept}       # 0
  forward:
    policy: drop
    rules:
      - {state: [established, related], action: accept}                         # 1
      - {state: invalid, action: drop}                                          # 2
      - {in: lan, out: wan, proto: tcp, dport: 80, action: accept}              # 3
  output:
    policy: drop
    rules:
      - {out: wan, proto: udp, dport: 53, action: accept}                       # 4
)");
    send("lan", tcp(kClient6, 40000, kServer6, 80).flags(kSyn));
    CHECK(sent("wan").size() == 1);
    send("wan", tcp(kServer6, 80, kClient6, 40000).flags(kSyn | kAck));
    send("lan", tcp(kClient6, 40000, kServer6, 80).flags(kAck));
    for (int i = 0; i < 5; ++i) send("wan", tcp(kServer6, 80, kClient6, 40000).payload("ten bytes."));
    CHECK(sent("lan").size() == 6);
    CHECK(sent("wan").size() == 1);
    CHECK(packets(3) == 1);
    CHECK(packets(1) == 7);
    CHECK(policy().counter(0, 1).bytes.get() == 2 * 60 + 5 * 70);
    send("wan", tcp(kServer6, 81, kClient6, 40001).flags(kSyn));
    CHECK(drops(DropReason::filter_forward) == 1);
    send("lan", tcp(kClient6, 40002, kServer6, 80).flags(kSyn | kFin));
    CHECK(packets(2) == 1);
    CHECK(drops(DropReason::filter_forward) == 2);
    // input, output
    send("lan", echo_request(kClient6, kBoxInside6, 1));
    CHECK(punted("lan").size() == 1);
    send("wan", echo_request(kServer6, kBoxOutside6, 1));
    CHECK(punted("wan").empty());
    CHECK(drops(DropReason::filter_input) == 1);
    send_from_kernel("wan", udp(kBoxOutside6, 5000, kServer6, 53));
    CHECK(sent("wan").size() == 1);
    send_from_kernel("wan", udp(kBoxOutside6, 5000, kServer6, 54));
    CHECK(quiet("wan"));
    CHECK(drops(DropReason::filter_output) == 1);
}

TEST_CASE_METHOD(FilterBox6, "IPv6: raw rules and marks") {
    configure(kAcceptAll + R"(
raw:
  prerouting:
    - {family: ipv6, proto: udp, dport: 9, action: notrack}
    - {src: "2001:db8:1::11", action: drop}
)");
    send("lan", udp(kClient6, 5000, kServer6, 9));
    CHECK(one("wan").dport == 9);
    CHECK(flows().empty());
    send("lan", udp(kClient, 5000, kServer, 9));
    CHECK(one("wan").dport == 9);
    CHECK(flows().size() == 1);
    send("lan", udp(kOtherClient6, 5000, kServer6, 53));
    CHECK(quiet("wan"));
    CHECK(drops(DropReason::filter_raw) == 1);
}

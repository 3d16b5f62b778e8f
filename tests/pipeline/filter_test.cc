// The filter: three chains, first match, policies, what a rejected sender is told, counters, and what a new
// configuration does to packets of flows that are under way.
#include <algorithm>

#include <catch2/catch.hpp>

#include "tests/support/box.hh"

using namespace sluice;
using namespace sluice::test;

namespace {

constexpr Ip4 kClient = ip4(192, 168, 1, 10);
constexpr Ip4 kClient2 = ip4(192, 168, 1, 11);
constexpr Ip4 kServer = ip4(203, 0, 113, 10);
constexpr Ip4 kBoxInside = ip4(192, 168, 1, 1);
constexpr Ip4 kBoxOutside = ip4(203, 0, 113, 1);
constexpr std::uint8_t kRstAck = kRst | kAck;

struct FilterBox : Box {
    FilterBox() {
        port("lan", PortRole::inside, "192.168.1.1/24");
        port("wan", PortRole::outside, "203.0.113.1/24");
    }
    std::uint64_t packets(std::uint32_t rule) const { return policy().counter(0, rule).packets.get(); }
    std::uint64_t bytes(std::uint32_t rule) const { return policy().counter(0, rule).bytes.get(); }
    std::uint64_t policy_packets(Chain c) const { return packets(policy().chain(c).policy_rule); }
};

/// What an ICMP error quotes is the packet as it came to the filter, to the last byte that there is room for: one that
/// was to be forwarded has its TTL counted down, as in Linux.
void check_quote(const Decoded& error, const PacketBuilder& offending) {
    const auto whole = offending.ip_packet();
    const std::size_t expected = std::min<std::size_t>(whole.size(), 576 - 20 - 8);
    CHECK(error.quoted.size() == expected);
    CHECK(std::equal(error.quoted.begin(), error.quoted.end(), whole.begin()));
}

// Rules are numbered over the whole policy: input, forward, output.
const char* const kChains = R"(
filter:
  input:
    policy: drop
    rules:
      - {in: lan, proto: icmp, icmp_type: echo-request, action: accept}         # 0
  forward:
    policy: drop
    rules:
      - {state: [established, related], action: accept}                         # 1
      - {state: invalid, action: drop}                                          # 2
      - {in: lan, out: wan, proto: tcp, dport: 80, action: accept}              # 3
      - {proto: tcp, dport: [80, 81], action: drop}                             # 4
  output:
    policy: drop
    rules:
      - {out: wan, proto: udp, dport: 53, action: accept}                       # 5
)";

}  // namespace

TEST_CASE_METHOD(FilterBox, "forward: the first rule that matches decides and counts") {
    configure(kChains);
    send("lan", tcp(kClient, 40000, kServer, 80).flags(kSyn));
    CHECK(sent("wan").size() == 1);
    CHECK(packets(3) == 1);
    CHECK(bytes(3) == 40);

    send("lan", tcp(kClient, 40000, kServer, 81).flags(kSyn));
    send("wan", tcp(kServer, 40000, kClient, 80).flags(kSyn));
    CHECK(quiet("wan"));
    CHECK(quiet("lan"));
    CHECK(packets(4) == 2);
    CHECK(packets(3) == 1);
    CHECK(drops(DropReason::filter_forward) == 2);
    CHECK(flows().size() == 1);  // what is dropped opens no flow

    send("wan", tcp(kServer, 80, kClient, 40000).flags(kSyn | kAck));
    send("lan", tcp(kClient, 40000, kServer, 80).flags(kAck));
    CHECK(packets(1) == 2);
    const auto bytes_before = bytes(1);
    for (int i = 0; i < 10; ++i) send("wan", tcp(kServer, 80, kClient, 40000).payload("ten bytes."));
    CHECK(sent("lan").size() == 11);
    // Served from the flow's cache or judged: every packet counts once.
    CHECK(packets(1) == 12);
    CHECK(bytes(1) == bytes_before + 10 * 50);
    CHECK(packets(3) == 1);
    CHECK(policy_packets(Chain::forward) == 0);
}

TEST_CASE_METHOD(FilterBox, "forward: what no rule matches gets the policy, which counts too") {
    configure(kChains);
    send("lan", udp(kClient, 5000, kServer, 9999).payload("x"));
    CHECK(quiet("wan"));
    CHECK(drops(DropReason::filter_forward) == 1);
    CHECK(policy_packets(Chain::forward) == 1);
    CHECK(bytes(policy().chain(Chain::forward).policy_rule) == 29);
    CHECK(flows().empty());
}

TEST_CASE_METHOD(FilterBox, "input: packets for the box and no others") {
    configure(kChains);
    send("lan", echo_request(kClient, kBoxInside, 7));
    CHECK(punted("lan").size() == 1);
    CHECK(packets(0) == 1);

    send("wan", echo_request(kServer, kBoxOutside, 7));  // the right type on the wrong port
    send("lan", udp(kClient, 5000, kBoxInside, 53));
    CHECK(punted("wan").empty());
    CHECK(punted("lan").empty());
    CHECK(drops(DropReason::filter_input) == 2);
    CHECK(policy_packets(Chain::input) == 2);
    CHECK(drops(DropReason::filter_forward) == 0);
}

TEST_CASE_METHOD(FilterBox, "output: what the box itself sends") {
    configure(kChains);
    send_from_kernel("wan", udp(kBoxOutside, 5000, kServer, 53));
    CHECK(sent("wan").size() == 1);
    CHECK(packets(5) == 1);
    send_from_kernel("wan", udp(kBoxOutside, 5000, kServer, 123));
    send_from_kernel("lan", udp(kBoxInside, 5000, kClient, 53));
    CHECK(quiet("wan"));
    CHECK(quiet("lan"));
    CHECK(drops(DropReason::filter_output) == 2);
    CHECK(policy_packets(Chain::output) == 2);
    // The answer passes input, as established: no rule there says so.
    send("wan", udp(kServer, 53, kBoxOutside, 5000));
    CHECK(punted("wan").empty());
    CHECK(drops(DropReason::filter_input) == 1);
}

TEST_CASE_METHOD(FilterBox, "policy accept lets everything through, in every chain") {
    configure("");
    send("lan", udp(kClient, 5000, kServer, 9999));
    CHECK(sent("wan").size() == 1);
    CHECK(policy_packets(Chain::forward) == 1);
    send("lan", udp(kClient, 5000, kBoxInside, 9999));
    CHECK(punted("lan").size() == 1);
    CHECK(policy_packets(Chain::input) == 1);
    send_from_kernel("wan", udp(kBoxOutside, 5000, kServer, 9999));
    CHECK(sent("wan").size() == 1);
    CHECK(policy_packets(Chain::output) == 1);
}

TEST_CASE_METHOD(FilterBox, "state INVALID") {
    configure(kChains);
    send("lan", tcp(kClient, 40000, kServer, 80).flags(kSyn | kFin));
    CHECK(packets(2) == 1);
    send("lan", tcp(kClient, 40000, kServer, 80).flags(kRst));  // an RST of no flow
    CHECK(packets(2) == 2);
    send("lan", echo_reply(kClient, kServer, 5));  // an answer to nothing
    CHECK(packets(2) == 3);
    CHECK(flows().empty());

    send("lan", tcp(kClient, 40000, kServer, 80).flags(kSyn));
    send("lan", tcp(kClient, 40000, kServer, 80).flags(kAck));  // before the server said a word
    CHECK(packets(2) == 4);
    CHECK(flow().tcp_state == TcpState::syn_sent);
    CHECK(flow().packets[0] == 1);
    CHECK(sent("wan").size() == 1);
    CHECK(drops(DropReason::filter_forward) == 4);
}

TEST_CASE_METHOD(FilterBox, "an INVALID packet that is accepted travels on untranslated and opens no flow") {
    configure(R"(
filter:
  forward: {policy: drop, rules: [{state: invalid, action: accept}]}
nat: [{out: wan, src: 192.168.1.0/24, snat: masquerade}]
)");
    send("lan", tcp(kClient, 40000, kServer, 80).flags(kSyn | kFin));
    const Decoded out = one("wan");
    CHECK(out.src == kClient);
    CHECK(out.valid_checksums());
    CHECK(flows().empty());
}

TEST_CASE_METHOD(FilterBox, "ICMP types") {
    configure(R"(
filter:
  forward:
    policy: drop
    rules:
      - {proto: icmp, icmp_type: echo-request, state: new, action: accept}
      - {proto: icmp, icmp_type: echo-reply, state: established, action: accept}
)");
    send("lan", echo_request(kClient, kServer, 7));
    CHECK(sent("wan").size() == 1);
    send("wan", echo_reply(kServer, kClient, 7));
    CHECK(sent("lan").size() == 1);
    send("lan", icmp(kClient, kServer, 13, 0, 7U << 16 | 1));
    CHECK(quiet("wan"));
    CHECK(packets(0) == 1);
    CHECK(packets(1) == 1);
    CHECK(policy_packets(Chain::forward) == 1);
}

TEST_CASE_METHOD(FilterBox, "groups of addresses and ports, and their opposite") {
    configure(R"(
groups:
  addresses: {servers: [203.0.113.10, 203.0.113.20-203.0.113.29], lan: [192.168.1.0/24], both: [servers, lan]}
  ports: {web: [80, 443, 8000-8080]}
filter:
  forward:
    policy: drop
    rules:
      - {src: lan, dst: servers, proto: tcp, dport: web, action: accept}
      - {src: lan, dst: "!servers", proto: udp, dport: {not: [web, 53]}, action: accept}
      - {src: both, dst: both, proto: udp, dport: 53, action: accept}
)");
    const auto passes = [&](const PacketBuilder& p) {
        send("lan", p);
        return sent("wan").size() == 1;
    };
    for (const unsigned port : {80U, 443U, 8000U, 8040U, 8080U})
        CHECK(passes(tcp(kClient, 40000, kServer, port).flags(kSyn)));
    for (const unsigned port : {79U, 81U, 442U, 444U, 7999U, 8081U})
        CHECK_FALSE(passes(tcp(kClient, 40000, kServer, port).flags(kSyn)));
    for (const unsigned host : {10U, 20U, 25U, 29U})
        CHECK(passes(tcp(kClient, 40001, ip4(203, 0, 113, host), 80).flags(kSyn)));
    for (const unsigned host : {9U, 11U, 19U, 30U})
        CHECK_FALSE(passes(tcp(kClient, 40001, ip4(203, 0, 113, host), 80).flags(kSyn)));
    CHECK(packets(0) == 9);

    CHECK(passes(udp(kClient, 5000, ip4(203, 0, 113, 11), 54)));
    CHECK_FALSE(passes(udp(kClient, 5000, ip4(203, 0, 113, 11), 53)));
    CHECK_FALSE(passes(udp(kClient, 5000, ip4(203, 0, 113, 11), 8001)));
    CHECK_FALSE(passes(udp(kClient, 5000, kServer, 54)));
    CHECK(passes(udp(kClient, 5000, kServer, 53)));
    CHECK(packets(1) == 1);
    CHECK(packets(2) == 1);
}

TEST_CASE_METHOD(FilterBox, "reject with a TCP reset") {
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
    CHECK(packets(0) == 1);
    CHECK(flows().empty());

    // A segment that acknowledges: the reset continues there. Never a reset for a reset.
    send("lan", tcp(kClient, 40000, kServer, 22).flags(kAck | kPsh).seq(7001).ack(9000).payload("hello"));
    CHECK(one("lan").text() == "203.0.113.10:22 > 192.168.1.10:40000 tcp R seq 9000 ttl 64");
    send("lan", tcp(kClient, 40000, kServer, 22).flags(kRstAck).seq(7001).ack(9000));
    CHECK(quiet("lan"));
    CHECK(quiet("wan"));
}

TEST_CASE_METHOD(FilterBox, "reject with ICMP errors that quote what was sent") {
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

TEST_CASE_METHOD(FilterBox, "a rejected packet that was to be translated is answered in the sender's own terms") {
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
    CHECK(packets(0) == 1);

    const auto query = udp(kServer, 50000, kBoxOutside, 5353).payload("q");
    send("wan", query);
    const Decoded error = one("wan");
    CHECK(error.src == kBoxOutside);
    CHECK(error.dst == kServer);
    CHECK(error.valid_checksums());
    check_quote(error, PacketBuilder(query).ttl(63));
    CHECK(quiet("lan"));
}

TEST_CASE_METHOD(FilterBox, "reject in the input and output chains") {
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

TEST_CASE_METHOD(FilterBox, "a new configuration acts on a flow's next packet, whoever sends it") {
    const std::string accept = "filter: {forward: {policy: accept}}\n";
    const std::string drop_wan = "filter: {forward: {policy: accept, rules: [{in: wan, action: drop}]}}\n";
    configure(accept);
    for (int i = 0; i < 3; ++i) {
        send("lan", udp(kClient, 5000, kServer, 53));
        send("wan", udp(kServer, 53, kClient, 5000));
    }
    CHECK(sent("wan").size() == 3);
    CHECK(sent("lan").size() == 3);

    configure(drop_wan);
    CHECK(packets(0) == 0);  // a new policy counts from zero
    send("wan", udp(kServer, 53, kClient, 5000));
    CHECK(quiet("lan"));
    CHECK(packets(0) == 1);
    send("lan", udp(kClient, 5000, kServer, 53));
    CHECK(sent("wan").size() == 1);
    CHECK(policy_packets(Chain::forward) == 1);
    CHECK(flows().size() == 1);

    configure("filter: {forward: {policy: drop}}\n");
    send("lan", udp(kClient, 5000, kServer, 53));
    CHECK(quiet("wan"));
    CHECK(drops(DropReason::filter_forward) == 2);

    // The flow was there all the time.
    configure("filter: {forward: {policy: drop, rules: [{state: established, action: accept}]}}\n");
    send("lan", udp(kClient, 5000, kServer, 53));
    CHECK(sent("wan").size() == 1);
    CHECK(packets(0) == 1);
}

TEST_CASE_METHOD(FilterBox, "a flow under way that is rejected now: the peer hears of it in its own terms") {
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

TEST_CASE_METHOD(FilterBox, "the decision for translation stays with its flow when the rules change") {
    const auto translated_to = [&](Ip4 from, unsigned source) {
        send("lan", udp(from, source, kServer, 53));
        const Decoded out = one("wan");
        CHECK(out.valid_checksums());
        return out.src;
    };
    configure("nat: [{out: wan, src: 192.168.1.0/24, snat: masquerade}]\n");
    CHECK(translated_to(kClient, 5000) == kBoxOutside);
    send("wan", udp(kServer, 53, kBoxOutside, 5000));
    CHECK(one("lan").dst == kClient);
    CHECK(packets(0) == 1);

    configure("nat: [{out: wan, src: 192.168.1.0/24, snat: {to: 203.0.113.50}}]\n");
    CHECK(translated_to(kClient, 5000) == kBoxOutside);
    CHECK(packets(0) == 0);
    CHECK(translated_to(kClient2, 5000) == ip4(203, 0, 113, 50));
    CHECK(packets(0) == 1);

    configure("");
    CHECK(translated_to(kClient, 5000) == kBoxOutside);
    CHECK(translated_to(kClient2, 5000) == ip4(203, 0, 113, 50));
    CHECK(translated_to(kClient, 6000) == kClient);
    send("wan", udp(kServer, 53, kBoxOutside, 5000));
    CHECK(one("lan").text() == "203.0.113.10:53 > 192.168.1.10:5000 udp ttl 63");
    send("wan", udp(kServer, 53, ip4(203, 0, 113, 50), 5000));
    CHECK(one("lan").dst == kClient2);
    CHECK(flows().size() == 3);
}

TEST_CASE_METHOD(FilterBox, "a log rule says the addresses that it matched: behind DNAT, and in front of SNAT") {
    configure(R"(
filter:
  input: {policy: drop, rules: []}
  forward:
    policy: drop
    rules:
      - {dst: 192.168.1.10, log: "D ", action: accept}
      - {src: 192.168.1.10, log: "S ", action: accept}
  output: {policy: accept, rules: []}
nat:
  - {out: wan, src: 192.168.1.0/24, snat: masquerade}
  - {in: wan, dst: 203.0.113.1, proto: tcp, dport: 8080, dnat: {to: 192.168.1.10, port: 80}}
)");
    const auto said = [&] {
        const auto all = logged();
        REQUIRE(all.size() == 1);
        return all.front().key;
    };
    send("wan", tcp(kServer, 50000, kBoxOutside, 8080).flags(kSyn));
    CHECK(said() == port_key(IpProto::tcp, kServer, be16(50000), kClient, be16(80)));
    send("lan", tcp(kClient, 80, kServer, 50000).flags(kSyn | kAck));
    CHECK(said() == port_key(IpProto::tcp, kClient, be16(80), kServer, be16(50000)));
    send("lan", udp(kClient, 5000, kServer, 53));
    CHECK(said() == port_key(IpProto::udp, kClient, be16(5000), kServer, be16(53)));
    send("wan", udp(kServer, 53, kBoxOutside, 5000));
    CHECK(said() == port_key(IpProto::udp, kServer, be16(53), kClient, be16(5000)));
}

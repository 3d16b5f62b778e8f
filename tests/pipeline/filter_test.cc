// The filter: three chains, first match, policies, counters, and what a new configuration does to packets of flows that
// are under way. Rules that reject are in reject_test.cc.
#include <catch2/catch.hpp>

#include "tests/support/two_ports.hh"

using namespace sluice;
using namespace sluice::test;

namespace {

struct FilterBox : TwoPorts {
    std::uint64_t bytes(std::uint32_t rule) const { return policy().counter(0, rule).bytes.get(); }
    std::uint64_t policy_packets(Chain c) const { return counted(policy().chain(c).policy_rule); }
};

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
    CHECK(counted(3) == 1);
    CHECK(bytes(3) == 40);

    send("lan", tcp(kClient, 40000, kServer, 81).flags(kSyn));
    send("wan", tcp(kServer, 40000, kClient, 80).flags(kSyn));
    CHECK(quiet("wan"));
    CHECK(quiet("lan"));
    CHECK(counted(4) == 2);
    CHECK(counted(3) == 1);
    CHECK(drops(DropReason::filter_forward) == 2);
    CHECK(flows().size() == 1);  // what is dropped opens no flow

    send("wan", tcp(kServer, 80, kClient, 40000).flags(kSyn | kAck));
    send("lan", tcp(kClient, 40000, kServer, 80).flags(kAck));
    CHECK(counted(1) == 2);
    const auto bytes_before = bytes(1);
    for (int i = 0; i < 10; ++i) send("wan", tcp(kServer, 80, kClient, 40000).payload("ten bytes."));
    CHECK(sent("lan").size() == 11);
    // Served from the flow's cache or judged: every packet counts once.
    CHECK(counted(1) == 12);
    CHECK(bytes(1) == bytes_before + 10 * 50);
    CHECK(counted(3) == 1);
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
    CHECK(counted(0) == 1);

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
    CHECK(counted(5) == 1);
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
    CHECK(counted(2) == 1);
    send("lan", tcp(kClient, 40000, kServer, 80).flags(kRst));  // an RST of no flow
    CHECK(counted(2) == 2);
    send("lan", echo_reply(kClient, kServer, 5));  // an answer to nothing
    CHECK(counted(2) == 3);
    CHECK(flows().empty());

    send("lan", tcp(kClient, 40000, kServer, 80).flags(kSyn));
    send("lan", tcp(kClient, 40000, kServer, 80).flags(kAck));  // before the server said a word
    CHECK(counted(2) == 4);
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
    CHECK(counted(0) == 1);
    CHECK(counted(1) == 1);
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
    CHECK(counted(0) == 9);

    CHECK(passes(udp(kClient, 5000, ip4(203, 0, 113, 11), 54)));
    CHECK_FALSE(passes(udp(kClient, 5000, ip4(203, 0, 113, 11), 53)));
    CHECK_FALSE(passes(udp(kClient, 5000, ip4(203, 0, 113, 11), 8001)));
    CHECK_FALSE(passes(udp(kClient, 5000, kServer, 54)));
    CHECK(passes(udp(kClient, 5000, kServer, 53)));
    CHECK(counted(1) == 1);
    CHECK(counted(2) == 1);
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
    CHECK(counted(0) == 0);  // a new policy counts from zero
    send("wan", udp(kServer, 53, kClient, 5000));
    CHECK(quiet("lan"));
    CHECK(counted(0) == 1);
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
    CHECK(counted(0) == 1);
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
    CHECK(counted(0) == 1);

    configure("nat: [{out: wan, src: 192.168.1.0/24, snat: {to: 203.0.113.50}}]\n");
    CHECK(translated_to(kClient, 5000) == kBoxOutside);
    CHECK(counted(0) == 0);
    CHECK(translated_to(kClient2, 5000) == ip4(203, 0, 113, 50));
    CHECK(counted(0) == 1);

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

TEST_CASE_METHOD(TwoPorts, "answers to a DHCP client pass the input chain, where the documented rule admits them") {
    const auto offer = udp(kServer, 67, ip4(255, 255, 255, 255), 68).to(kBroadcastMac).payload_bytes(240);
    const std::string rules = R"(
filter:
  input:
    policy: drop
    rules:
      - {state: [established, related], action: accept}
      - {in: lan, action: accept}
)";
    configure(rules);
    send_from_kernel("wan", udp(Ip4{}, 68, ip4(255, 255, 255, 255), 67).to(kBroadcastMac).payload_bytes(240));
    CHECK(sent("wan").size() == 1);
    send("wan", offer);
    CHECK(punted("wan").empty());
    CHECK(drops(DropReason::filter_input) == 1);
    configure(rules + "      - {in: wan, proto: udp, sport: 67, dport: 68, action: accept}\n");
    send("wan", offer);
    CHECK(punted("wan").size() == 1);
    CHECK(drops(DropReason::filter_input) == 1);
}

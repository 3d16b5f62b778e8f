// Timeouts of their own: given by a filter rule to the flow that begins with the packet, kept by the flow's name for
// them over reloads, and the usual ones again when the name is gone.
#include <catch2/catch.hpp>

#include "tests/support/box.hh"
#include "tests/support/l4_packets.hh"

using namespace sluice;
using namespace sluice::test;

namespace {

constexpr Ip4 kClient = ip4(192, 168, 1, 10);
constexpr Ip4 kServer = ip4(203, 0, 113, 10);

std::string conntrack(const std::string& policies) {
    return "conntrack: {timeouts: {udp: 30s, udp_stream: 40s, tcp_syn_sent: 50s, tcp_established: 60s, icmp: 70s}, "
           "timeout_policies: {" +
           policies + "}}\n";
}

const std::string kDns = "dns: {proto: udp, unreplied: 5s, replied: 9s}";
const std::string kRules = R"(
filter:
  forward:
    rules:
      - {proto: udp, dport: 53, set: {timeout: dns}, action: accept}
)";

struct TimeoutBox : Box {
    explicit TimeoutBox(const std::string& yaml, BoxOptions options = {}) : Box(options) {
        port("lan", PortRole::inside, "192.168.1.1/24");
        port("wan", PortRole::outside, "203.0.113.1/24");
        configure(yaml);
    }
    void there(std::uint16_t port = 53) { send("lan", udp(kClient, 5000, kServer, port).payload("question")); }
    void back(std::uint16_t port = 53) { send("wan", udp(kServer, port, kClient, 5000).payload("answer")); }
    std::uint64_t left() { return (flow().lifetime.deadline_ms() - now()) / 1000; }
};

}  // namespace

TEST_CASE("a flow that begins with a packet of the rule has the policy's timeouts, in both directions and stages") {
    TimeoutBox box(conntrack(kDns) + kRules);
    box.there();
    CHECK(box.left() == 5);
    box.back();
    CHECK(box.left() == 5);
    box.advance(2500);
    box.back();
    CHECK(box.left() == 9);
    box.there();
    CHECK(box.left() == 9);
    box.advance(10000);
    CHECK(box.flows().empty());
    box.there(54);
    CHECK(box.left() == 30);
}

TEST_CASE("a flow that stands already keeps its timeouts, whatever rules say of its later packets") {
    TimeoutBox box(conntrack(kDns));
    box.there();
    box.configure(conntrack(kDns) + kRules);
    box.there();
    CHECK(box.left() == 30);
}

TEST_CASE("what the policy does not name is as usual, and it is for its protocol alone") {
    TimeoutBox box(conntrack("web: {proto: tcp, established: 7s}") +
                   "filter: {forward: {rules: [{proto: tcp, set: {timeout: web}}]}}\n");
    box.send("lan", tcp(kClient, 40000, kServer, 80).flags(kSyn));
    CHECK(box.left() == 50);
    box.send("wan", tcp(kServer, 80, kClient, 40000).flags(kSyn | kAck));
    box.send("lan", tcp(kClient, 40000, kServer, 80).flags(kAck));
    CHECK(box.left() == 7);
}

TEST_CASE("protocols with trackers of their own: one timeout per state, per stage, or one alone") {
    TimeoutBox box(
        conntrack("s: {proto: sctp, closed: 11s, cookie_wait: 12s}, g: {proto: gre, unreplied: 13s, replied: "
                  "14s}, u: {proto: udplite, unreplied: 15s, replied: 16s}, e: {proto: esp, timeout: 17s}, "
                  "a: {proto: ah, timeout: 18s}") +
        R"(
filter:
  forward:
    rules:
      - {proto: sctp, set: {timeout: s}, action: accept}
      - {proto: gre, set: {timeout: g}}
      - {proto: udplite, set: {timeout: u}}
      - {proto: esp, set: {timeout: e}}
      - {proto: ah, set: {timeout: a}}
)");
    SECTION("SCTP") {
        box.send("lan", sctp(kClient, 4000, kServer, 80, 0, {sctp_chunk_of(1, 0, 7)}));
        CHECK(box.left() == 11);
        box.send("wan", sctp(kServer, 80, kClient, 4000, 7, {sctp_chunk_of(2, 0, 9)}));
        CHECK(box.left() == 12);
    }
    SECTION("GRE, which lists them") {
        box.send("lan", gre(kClient, kServer, 0, 0x0800, 0, 0));
        CHECK(box.left() == 13);
        CHECK(box.flow().timeouts_s == std::array<std::uint32_t, 2>{13, 14});
        box.send("wan", gre(kServer, kClient, 0, 0x0800, 0, 0));
        box.send("lan", gre(kClient, kServer, 0, 0x0800, 0, 0));
        CHECK(box.left() == 14);
    }
    SECTION("UDP-Lite") {
        box.send("lan", udplite(kClient, 5000, kServer, 53, 8, "question"));
        CHECK(box.left() == 15);
        box.advance(2500);
        box.send("wan", udplite(kServer, 53, kClient, 5000, 8, "answer"));
        box.send("lan", udplite(kClient, 5000, kServer, 53, 8, "question"));
        CHECK(box.left() == 16);
    }
    SECTION("ESP") {
        box.send("lan", esp(kClient, kServer, 0x1000));
        CHECK(box.left() == 17);
        box.send("wan", esp(kServer, kClient, 0x2000));
        CHECK(box.left() == 17);
    }
    SECTION("any other") {
        box.send("lan", protocol(51, kClient, kServer).payload("12345678"));
        CHECK(box.left() == 18);
    }
}

TEST_CASE(
    "a reload changes the timeouts of live flows by the policy's name; without the name they are the usual ones") {
    TimeoutBox box(conntrack("other: {proto: udp, unreplied: 3s}, " + kDns) + kRules);
    box.there();
    CHECK(box.left() == 5);
    box.configure(conntrack("dns: {proto: udp, unreplied: 8s}") + kRules);
    box.there();
    CHECK(box.left() == 8);
    box.configure(conntrack("other: {proto: udp, unreplied: 3s}"));
    box.there();
    CHECK(box.left() == 30);
    box.configure(conntrack("new: {proto: udp, unreplied: 2s}, dns: {proto: udp, unreplied: 6s}"));
    box.there();
    CHECK(box.left() == 6);
}

TEST_CASE("the last rule that sets it counts, also when none of them decides") {
    TimeoutBox box(conntrack(kDns + ", slow: {proto: udp, unreplied: 90s}") + R"(
filter: {forward: {rules: [{proto: udp, set: {timeout: slow}}, {proto: udp, dport: 53, set: {timeout: dns}}]}}
)");
    box.there();
    CHECK(box.left() == 5);
    box.flush();
    box.there(54);
    CHECK(box.left() == 90);
}

TEST_CASE("a first packet keeps its policy while it visits the worker of its reply tuple") {
    BoxOptions options;
    options.workers = 2;
    TimeoutBox box(conntrack(kDns) + R"(
filter: {forward: {rules: [{proto: udp, set: {timeout: dns}, action: accept}]}}
nat:
  - {in: wan, dst: 203.0.113.1, proto: udp, dport: 53, dnat: {to: 192.168.1.10}}
  - {out: lan, snat: {to: 192.168.1.77}}
)",
                   options);
    for (std::uint8_t host = 20; host < 40; ++host)
        box.send("wan", udp(ip4(203, 0, 113, host), 5000, ip4(203, 0, 113, 1), 53).payload("q"));
    const auto flows = box.flows();
    CHECK(flows.size() == 20);
    for (const FlowCopy& flow : flows) CHECK(flow.lifetime.deadline_ms() <= box.now() + 5000);
    CHECK(box.sum([](auto& c) -> auto& { return c.stub_requests; }) > 3);
}

// Raw rules on the whole way: UNTRACKED packets have no flow and no translation, are routed and filtered each time, and
// are never INVALID; marks that raw rules set; drops; and that rules are asked once, however long a packet's way is.
#include <catch2/catch.hpp>

#include "tests/support/two_ports.hh"

using namespace sluice;
using namespace sluice::test;

TEST_CASE("notrack: no flow, no translation, and the filter judges each packet as UNTRACKED") {
    AskingBox box(R"(
raw: {prerouting: [{proto: udp, dport: 53, action: notrack}, {proto: udp, sport: 53, action: notrack}]}
filter:
  forward:
    policy: drop
    rules:
      - {state: untracked, proto: udp, action: accept}   # 0
      - {state: new, action: accept}                     # 1
nat:
  - {out: wan, snat: masquerade}                         # 2
  - {in: lan, proto: udp, dport: 53, dnat: {to: 203.0.113.99}}
)");
    for (unsigned i = 0; i < 3; ++i) {
        box.there();
        const Decoded out = box.one("wan");
        CHECK(out.src == kClient);
        CHECK(out.dst == kServer);
        CHECK(out.ttl == 63);
        box.back();
        CHECK(box.one("lan").dst == kClient);
    }
    CHECK(box.flows().empty());
    CHECK(box.counted(0) == 6);
    CHECK(box.sum([](auto& c) -> auto& { return c.lookups; }) == 0);
    box.there(54);
    CHECK(box.one("wan").src == kBoxOutside);
    CHECK(box.counted(1) == 1);
    CHECK(box.counted(2) == 1);
    CHECK(box.flows().size() == 1);
}

TEST_CASE("an UNTRACKED packet is never INVALID, and what is tracked is as before") {
    AskingBox box(R"(
raw: {prerouting: [{proto: tcp, dport: 80, action: notrack}]}
filter: {forward: {rules: [{state: invalid, action: drop}]}}
)");
    box.send("lan", tcp(kClient, 40000, kServer, 80).flags(kFin | kAck));
    CHECK(box.sent("wan").size() == 1);
    box.send("lan", tcp(kClient, 40000, kServer, 81).flags(kFin | kAck));
    CHECK(box.quiet("wan"));
    box.send("wan", tcp(kServer, 80, kClient, 40000).flags(kSyn | kAck));
    CHECK(box.quiet("lan"));
}

TEST_CASE("packets of a flow that a new raw rule keeps conntrack off leave it alone") {
    AskingBox box("conntrack: {timeouts: {udp: 30s}}\n");
    box.there();
    CHECK(box.sent("wan").size() == 1);
    box.configure("raw: {prerouting: [{in: lan, action: notrack}]}\n");
    box.advance(20000);
    box.there();
    CHECK(box.sent("wan").size() == 1);
    CHECK(box.flow().packets[0] == 1);
    box.advance(11000);
    CHECK(box.flows().empty());
}

TEST_CASE("an UNTRACKED packet without a route is answered, with the box's address as its source dropped") {
    AskingBox box("raw: {prerouting: [{proto: udp, action: notrack}]}\n");
    box.send("lan", udp(kClient, 5000, ip4(198, 51, 100, 1), 53).payload("q"));
    const Decoded error = box.one("lan");
    CHECK(error.icmp_type == 3);
    CHECK(error.icmp_code == 0);
    box.send("lan", udp(kBoxOutside, 5000, kServer, 53).payload("q"));
    CHECK(box.quiet("wan"));
    CHECK(box.drops(DropReason::ip_spoofed_own) == 1);
}

TEST_CASE("raw rules drop, count and log before anything else is done") {
    AskingBox box(R"(
raw:
  prerouting:
    - {in: lan, action: drop, log: "early "}   # 0
)");
    box.there();
    CHECK(box.quiet("wan"));
    CHECK(box.drops(DropReason::filter_raw) == 1);
    CHECK(box.counted(0) == 1);
    CHECK(box.logged().size() == 1);
    CHECK(box.sum([](auto& c) -> auto& { return c.lookups; }) == 0);
    box.back();
    CHECK(box.sent("lan").size() == 1);
}

TEST_CASE("a mark that a raw rule sets is seen by all rules behind it") {
    AskingBox box(R"(
raw: {prerouting: [{in: lan, set: {mark: 0x10}}, {mark: 0x10, proto: udp, dport: 53, set: {mark: 0x1/0xf}}]}
filter: {forward: {policy: drop, rules: [{mark: 0x11, set: {ct_mark: mark}, action: accept}, {ct_mark: 0x11, action: accept}]}}
nat: [{in: lan, mark: 0x11, dnat: {to: 203.0.113.20}}]
)");
    box.there();
    CHECK(box.one("wan").dst == ip4(203, 0, 113, 20));
    CHECK(box.flow().mark == 0x11);
    box.there();
    box.there();
    CHECK(box.sent("wan").size() == 2);
    box.send("wan", udp(ip4(203, 0, 113, 20), 53, kClient, 5000).payload("answer"));
    CHECK(box.one("lan").src == kServer);
    box.there(54);
    CHECK(box.quiet("wan"));
}

TEST_CASE("packets to the box and from it: prerouting and output") {
    AskingBox box(R"(
raw: {prerouting: [{proto: icmp, action: notrack}], output: [{out: lan, proto: icmp, action: notrack}]}
filter:
  input: {policy: drop, rules: [{state: untracked, action: accept}]}
  output: {policy: drop, rules: [{state: untracked, action: accept}]}
)");
    box.send("lan", echo_request(kClient, kBoxInside, 7));
    CHECK(box.punted("lan").size() == 1);
    box.send_from_kernel("lan", echo_reply(kBoxInside, kClient, 7));
    CHECK(box.sent("lan").size() == 1);
    CHECK(box.flows().empty());
    box.send_from_kernel("wan", echo_request(kBoxOutside, kServer, 7));
    CHECK(box.quiet("wan"));
}

TEST_CASE("raw rules are asked once, at home, also when the packet visits other workers") {
    BoxOptions options;
    options.workers = 2;
    AskingBox box(R"(
raw: {prerouting: [{in: wan, set: {mark: 6}}, {in: lan, action: accept}]}
nat:
  - {in: wan, dst: 203.0.113.1, proto: udp, dport: 53, dnat: {to: 192.168.1.10}}
  - {out: lan, mark: 6, snat: {to: 192.168.1.77}}
)",
                  options);
    const auto counted = [&](std::uint32_t rule) {
        return box.policy().counter(0, rule).packets.get() + box.policy().counter(1, rule).packets.get();
    };
    for (std::uint8_t host = 20; host < 40; ++host) {
        const PacketBuilder question = udp(ip4(203, 0, 113, host), 5000, kBoxOutside, 53).payload("q");
        box.queue("wan", question);
        box.queue("wan", question);  // waits for the first one when that is away
        box.settle();
        const std::vector<Frame> out = box.sent("lan");
        REQUIRE(out.size() == 2);
        const Decoded first = decode(out[0]);
        CHECK(first.src == ip4(192, 168, 1, 77));
        box.send("lan", udp(kClient, 53, first.src, first.sport).payload("a"));
        CHECK(box.one("wan").dst == ip4(203, 0, 113, host));
    }
    CHECK(counted(2) == 40);
    CHECK(counted(3) == 20);
    CHECK(box.sum([](auto& c) -> auto& { return c.stub_hits; }) > 3);
}

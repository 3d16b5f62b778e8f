// Marks of packets and flows on the whole way: set by the filter, matched by filter and NAT rules, inherited by what a
// helper announces, listed, and carried along when a first packet visits another worker.
#include <catch2/catch.hpp>

#include "tests/support/two_ports.hh"

using namespace sluice;
using namespace sluice::test;

namespace {

struct MarkBox : AskingBox {
    using AskingBox::AskingBox;

    std::uint64_t cached() const {
        return sum([](auto& c) -> auto& { return c.verdict_cached; });
    }
};

}  // namespace

TEST_CASE("a rule without an action marks the flow, and the rules behind it are asked") {
    MarkBox box(R"(
filter:
  forward:
    rules:
      - {state: new, proto: udp, dport: 53, set: {ct_mark: 0x5}}
      - {state: new, set: {ct_mark: 0x100/0xff00}}
      - {ct_mark: 0x105, action: accept}
      - {action: drop}
)");
    box.there();
    CHECK(box.sent("wan").size() == 1);
    CHECK(box.flow().mark == 0x105);
    box.back();
    box.back();
    CHECK(box.sent("lan").size() == 2);
    CHECK(box.counted(0) == 1);
    CHECK(box.counted(1) == 1);
    CHECK(box.counted(2) == 3);
    CHECK(box.cached() == 1);  // the second answer: no rule that decides nothing was on its way
    box.there(54);
    CHECK(box.quiet("wan"));
    CHECK(box.flows().size() == 1);
}

TEST_CASE("the packet's mark ends with the packet, the flow's stays, and one can be copied to the other") {
    MarkBox box(R"(
filter:
  forward:
    rules:
      - {in: lan, set: {mark: 0x7}}
      - {state: new, set: {ct_mark: mark/0xf}}
      - {in: wan, mark: 0, set: {mark: ct_mark}}
      - {in: wan, mark: 0x7, action: drop}
      - {mark: 0x7, action: accept}
      - {action: drop}
)");
    box.there();
    CHECK(box.sent("wan").size() == 1);
    CHECK(box.flow().mark == 7);
    box.back();
    CHECK(box.quiet("lan"));
    CHECK(box.counted(3) == 1);
}

TEST_CASE("a mark that rules of live flows change is judged by at once") {
    MarkBox box(R"(
filter:
  forward:
    rules:
      - {ct_mark: 0x2, action: drop}
      - {in: wan, set: {ct_mark: 0x2}, action: accept}
      - {action: accept}
)");
    box.there();
    box.there();
    box.there();
    CHECK(box.sent("wan").size() == 3);
    CHECK(box.cached() == 1);
    box.back();
    CHECK(box.sent("lan").size() == 1);
    CHECK(box.flow().mark == 2);
    box.there();
    box.back();
    CHECK(box.quiet("wan"));
    CHECK(box.quiet("lan"));
}

TEST_CASE("source NAT sees the marks that the filter has set") {
    MarkBox box(R"(
filter: {forward: {rules: [{proto: udp, dport: 53, set: {ct_mark: 1}}, {dport: 54, proto: udp, set: {mark: 9}}]}}
nat:
  - {out: wan, ct_mark: 1, snat: {to: 198.51.100.1}}
  - {out: wan, mark: 9, snat: {to: 198.51.100.2}}
)");
    box.there(53);
    CHECK(box.one("wan").src == ip4(198, 51, 100, 1));
    box.there(54);
    CHECK(box.one("wan").src == ip4(198, 51, 100, 2));
    box.there(55);
    CHECK(box.one("wan").src == kClient);
}

TEST_CASE("an ICMP error is judged by the mark of its flow, and may set it") {
    MarkBox box(R"(
filter:
  forward:
    rules:
      - {state: new, set: {ct_mark: 3}, action: accept}
      - {state: related, ct_mark: 3, set: {ct_mark: 4}, action: accept}
      - {action: drop}
)");
    const PacketBuilder question = udp(kClient, 5000, kServer, 53).payload("question");
    box.send("lan", question);
    CHECK(box.sent("wan").size() == 1);
    box.send("wan", icmp_error(kServer, kClient, 3, 3, question, 64));
    CHECK(box.sent("lan").size() == 1);
    CHECK(box.flow().mark == 4);
    box.send("wan", icmp_error(kServer, kClient, 3, 3, question, 64));
    CHECK(box.quiet("lan"));
}

TEST_CASE("INVALID packets match no mark of a flow") {
    MarkBox box(R"(
filter:
  forward:
    rules:
      - {ct_mark: "!5", action: accept}
      - {set: {ct_mark: 5}, action: drop}
)");
    box.send("lan", tcp(kClient, 40000, kServer, 80).flags(kFin | kAck));
    CHECK(box.quiet("wan"));
    CHECK(box.counted(1) == 1);
    CHECK(box.flows().empty());
}

TEST_CASE("a first packet keeps its marks while it visits the worker of its reply tuple") {
    BoxOptions options;
    options.workers = 2;
    MarkBox box(R"(
filter: {forward: {rules: [{set: {mark: 6, ct_mark: 0x55}, action: accept}]}}
nat:
  - {out: wan, mark: 6, ct_mark: 0x55, snat: {to: [198.51.100.1-198.51.100.8]}}
  - {in: wan, dst: 203.0.113.1, proto: udp, dport: 53, dnat: {to: 192.168.1.10}}
  - {out: lan, mark: 6, snat: {to: 192.168.1.77}}
)",
                options);
    unsigned visited = 0;
    for (std::uint8_t host = 20; host < 40; ++host) {
        const std::uint64_t before = box.sum([](auto& c) -> auto& { return c.stub_requests; });
        box.send("wan", udp(ip4(203, 0, 113, host), 5000, kBoxOutside, 53).payload("question"));
        CHECK(box.one("lan").src == ip4(192, 168, 1, 77));
        visited += box.sum([](auto& c) -> auto& { return c.stub_requests; }) != before;
    }
    for (const FlowCopy& flow : box.flows()) CHECK(flow.mark == 0x55);
    CHECK(visited > 3);
    CHECK(visited < 20);
}

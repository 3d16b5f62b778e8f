// Flows whose reply tuple is at home at another worker: while the first packet visits it, everything else of the flow
// keeps its place behind that packet; and two ends that speak first in the same instant have one flow.
#include <string>

#include <catch2/catch.hpp>

#include "tests/support/two_workers.hh"

using namespace sluice;
using namespace sluice::test;

namespace {

/// As many as must find room, in the order of first packets: what the limits of FirstPackets are.
BoxOptions limited(FirstPackets::Options limits) {
    BoxOptions options;
    options.first_packets = limits;
    return options;
}

struct FirstBox : TwoWorkers {
    explicit FirstBox(BoxOptions options = {}) : TwoWorkers(options) {}

    /// Between two inside hosts of different homes: worker 0 owns flows to the dmz, worker 1 those from it.
    [[nodiscard]] Ip4 a() const { return lan(1); }
    [[nodiscard]] Ip4 b() const { return dmz(0); }
    void from_a(unsigned id) { queue("lan", udp(a(), 5000, b(), 5000).ip_id(id), 0); }
    void from_b(unsigned id) { queue("dmz", udp(b(), 5000, a(), 5000).ip_id(id), 1); }

    /// Nothing waits, and every stub has its flow.
    void check_at_rest() {
        CHECK(held() == 0);
        CHECK(stubs() == flows().size());
    }
};

/// At most one packet of a tuple waits, and two in all, behind at most three.
struct SmallFirstBox : FirstBox {
    SmallFirstBox() : FirstBox(limited({.tuples = 3, .packets = 2, .per_tuple = 1})) {}
};

/// A ring between workers holds three packets.
struct NarrowBox : FirstBox {
    NarrowBox() : FirstBox({.handoffs = 4}) {}
};

}  // namespace

TEST_CASE_METHOD(FirstBox, "packets of later bursts do not overtake a first packet that is away") {
    configure(kAcceptAll);
    SECTION("all there from the start") {
        for (unsigned i = 0; i < 200; ++i) from_a(i);
    }
    SECTION("some in every loop") {
        for (unsigned i = 0; i < 200; ++i) {
            from_a(i);
            if (i % 7 == 0) loop();
        }
    }
    settle();
    check_order("dmz", 200);
    CHECK(flow().packets[0] == 200);
    CHECK(stub_requests() == 1);
    CHECK(all_drops() == 0);
    CHECK(count(&WorkerCounters::firsts_waited_for) > 0);
    check_at_rest();
}

TEST_CASE_METHOD(FirstBox, "the third packet of a handshake waits for the first, and is tracked behind it") {
    configure(kAcceptAll);
    queue("lan", tcp(a(), 40000, b(), 80).flags(kSyn).ip_id(0));
    loop();
    queue("lan", tcp(a(), 40000, b(), 80).flags(kRst).seq(1001).ip_id(1));
    settle();
    check_order("dmz", 2);
    CHECK(flows().empty());  // a RST to a SYN that nobody answered ends the flow: it found it
    check_at_rest();
}

TEST_CASE_METHOD(FirstBox, "an expected connection's second packet is not taken for a new one") {
    // The expectation is used up by the first packet: what comes behind it has only the flow to go by.
    configure(R"(
filter:
  input: {policy: accept, rules: []}
  forward:
    policy: drop
    rules:
      - {state: [established, related], action: accept}
      - {proto: tcp, dport: 21, action: accept}
  output: {policy: accept, rules: []}
)");
    const Ip4 client = a(), server = b();
    send("lan", tcp(client, 40000, server, 21).flags(kSyn).seq(99));
    send("dmz", tcp(server, 21, client, 40000).flags(kSyn | kAck).seq(499).ack(100));
    send("lan", tcp(client, 40000, server, 21).flags(kAck).seq(100).ack(500));
    std::string port = to_text(client) + ".19.136";
    for (char& c : port)
        if (c == '.') c = ',';
    send("lan", tcp(client, 40000, server, 21).flags(kAck | kPsh).seq(100).ack(500).payload("PORT " + port + "\r\n"));
    REQUIRE(count(&WorkerCounters::expectations) == 1);
    (void)sent("lan");
    (void)sent("dmz");
    queue("dmz", tcp(server, 20, client, 5000).flags(kSyn).ip_id(0), 1);
    loop();
    queue("dmz", tcp(server, 20, client, 5000).flags(kSyn).ip_id(1), 1);
    settle();
    check_order("lan", 2);
    CHECK(drops(DropReason::filter_forward) == 0);
}

TEST_CASE_METHOD(FirstBox, "what waited for a refused first packet is judged by itself") {
    const Ip4 asked = wan(0), answers = wan(1);
    configure(kAcceptAll + "nat: [{in: lan, dst: " + to_text(asked) + ", proto: udp, dport: 53, dnat: {to: " +
              to_text(answers) + "}}, {out: wan, src: 192.168.1.0/24, snat: {to: 203.0.113.50, ports: 2000-2000}}]\n");
    send("lan", udp(lan(0), 5000, asked, 53));
    (void)sent("wan");
    for (unsigned i = 0; i < 40; ++i) queue("lan", udp(lan(0), 6000, asked, 53));
    settle();
    CHECK(quiet("wan"));
    CHECK(drops(DropReason::nat_pool_exhausted) == 40);
    check_at_rest();
}

TEST_CASE_METHOD(SmallFirstBox, "what does not find room to wait is dropped with a name") {
    configure(kAcceptAll);
    SECTION("too many for one tuple") {
        for (unsigned i = 0; i < 4; ++i) from_a(i);
        settle();
        check_order("dmz", 2);
        CHECK(drops(DropReason::first_packet_full) == 2);
    }
    SECTION("too many in all") {
        for (unsigned i = 0; i < 6; ++i) queue("lan", udp(a(), 5000 + i % 3, b(), 53));
        settle();
        CHECK(sent("dmz").size() == 5);
        CHECK(flows().size() == 3);
        CHECK(drops(DropReason::first_packet_full) == 1);
    }
    SECTION("too many tuples") {
        for (unsigned i = 0; i < 5; ++i) queue("lan", udp(a(), 5000 + i, b(), 53));
        settle();
        CHECK(sent("dmz").size() == 3);
        CHECK(drops(DropReason::first_packet_full) == 2);
    }
    check_at_rest();
    // And there is room again.
    send("lan", udp(a(), 7000, b(), 53));
    CHECK(one("dmz").sport == 7000);
}

TEST_CASE_METHOD(NarrowBox, "a first packet that is lost on the way leaves nothing behind, and the next one is it") {
    configure(kAcceptAll);
    constexpr unsigned kFlows = 10;
    SECTION("on the way there") {
        for (unsigned i = 0; i < kFlows; ++i) queue("lan", udp(a(), 5000 + i, b(), 53).ip_id(0), 0);
        for (unsigned i = 0; i < kFlows; ++i) queue("lan", udp(a(), 5000 + i, b(), 53).ip_id(1), 0);
        settle();
    }
    SECTION("on the way back") {
        // Worker 1 has more for worker 0 than its ring takes: three packets that are at home there come first.
        for (unsigned i = 0; i < 2; ++i) queue("lan", udp(a(), 5000, b(), 53).ip_id(i), 0);
        loop(0);
        for (unsigned i = 0; i < 3; ++i) queue("lan", udp(lan(0, 1), 6000 + i, dmz(0), 53), 1);
        loop(1);
        CHECK(drops(DropReason::handoff_ring_full) == 1);
        CHECK(stubs() == 0);
        settle();
    }
    const std::uint64_t lost = drops(DropReason::handoff_ring_full);
    CHECK(lost > 0);
    CHECK(held() > 0);
    advance(150);
    CHECK(held() == 0);
    CHECK(count(&WorkerCounters::firsts_lost) > 0);
    advance(1000);
    for (const FlowCopy& f : flows()) CHECK(f.packets[0] >= 1);
    // Whatever is still a flow has its stub, and no stub is without one.
    std::size_t with_stub = 0;
    for (const FlowCopy& f : flows())
        if (home_of(f.key[0].src()) != home_of(f.key[0].dst())) ++with_stub;
    CHECK(stubs() == with_stub);
}

TEST_CASE_METHOD(FirstBox, "two ends that speak first in the same instant: both packets arrive, by one flow") {
    configure(kAcceptAll);
    const unsigned each = GENERATE(1U, 50U);
    SECTION("UDP") {
        for (unsigned i = 0; i < each; ++i) {
            from_a(i);
            from_b(i);
        }
    }
    SECTION("a protocol without ports, whose tuple nothing can replace") {
        for (unsigned i = 0; i < each; ++i) {
            queue("lan", protocol(47, a(), b()).payload("gre").ip_id(i), 0);
            queue("dmz", protocol(47, b(), a()).payload("gre").ip_id(i), 1);
        }
    }
    settle();
    check_order("dmz", each);
    check_order("lan", each);
    CHECK(flow().packets[0] == each);
    CHECK(flow().packets[1] == each);
    CHECK((flow().status & status::kSeenReply) != 0);
    CHECK((flow().status & (status::kSourceNat | status::kDestNat)) == 0);
    CHECK(stubs() == 1);
    CHECK(all_drops() == 0);
    check_at_rest();
}

TEST_CASE_METHOD(FirstBox, "a simultaneous open of TCP across workers is one connection") {
    configure(kAcceptAll);
    queue("lan", tcp(a(), 4000, b(), 4000).flags(kSyn).seq(100), 0);
    queue("dmz", tcp(b(), 4000, a(), 4000).flags(kSyn).seq(500), 1);
    settle();
    CHECK(one("dmz").flags == kSyn);
    CHECK(one("lan").flags == kSyn);
    CHECK(flow().tcp_state == TcpState::syn_sent2);
    send("lan", tcp(a(), 4000, b(), 4000).flags(kSyn | kAck).seq(100).ack(501), 0);
    send("dmz", tcp(b(), 4000, a(), 4000).flags(kSyn | kAck).seq(500).ack(101), 1);
    send("lan", tcp(a(), 4000, b(), 4000).flags(kAck).seq(101).ack(501), 0);
    send("dmz", tcp(b(), 4000, a(), 4000).flags(kAck).seq(501).ack(101), 1);
    CHECK(flow().tcp_state == TcpState::established);
    CHECK(all_drops() == 0);
}

TEST_CASE_METHOD(FirstBox, "a tuple whose own first packet is away is not given to another flow") {
    // b's packets to a are for c in truth, so a's packets to b are none of that flow's replies.
    const Ip4 c = lan(1, 1);
    configure(kAcceptAll + "nat: [{in: dmz, dst: " + to_text(a()) +
              ", proto: udp, dport: 5000, dnat: {to: " + to_text(c) + ", port: 5000}}]\n");
    from_a(0);
    from_b(1);
    settle();
    const Decoded at_b = one("dmz");
    CHECK(at_b.ip_id == 0);
    CHECK(at_b.sport != 5000);
    const Decoded at_c = one("lan");
    CHECK(at_c.ip_id == 1);
    CHECK(at_c.dst == c);
    CHECK(flows().size() == 2);
    CHECK(all_drops() == 0);
}

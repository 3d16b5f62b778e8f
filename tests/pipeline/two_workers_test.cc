// Two workers: every tuple has a home, and a flow whose two ends have different homes keeps a stub where its replies
// arrive. Who owns what follows from addresses alone, so the tests pick addresses by their home.
#include "tests/support/two_workers.hh"

#include <string>

#include <catch2/catch.hpp>

using namespace sluice;
using namespace sluice::test;

namespace {

constexpr Ip4 kPool = ip4(203, 0, 113, 50);

}  // namespace

TEST_CASE_METHOD(TwoWorkers, "source NAT needs neither stub nor hand-off when packets come where they are at home") {
    configure(kMasquerade);
    const unsigned home = GENERATE(0U, 1U);
    const Ip4 client = lan(0), server = wan(home);
    send("lan", tcp(client, 40000, server, 80).flags(kSyn), home);
    const Decoded out = one("wan");
    CHECK(out.src == kBoxOutside);
    CHECK(out.valid_checksums());
    send("wan", tcp(server, 80, kBoxOutside, out.sport).flags(kSyn | kAck), home);
    const Decoded in = one("lan");
    CHECK(in.dst == client);
    CHECK(in.dport == 40000);
    CHECK(births(home) == 1);
    CHECK(handed_over() == 0);
    CHECK(stub_requests() == 0);
    CHECK(stubs() == 0);

    // At the other queue, as from a NIC that cannot be told: one hand-off each, and the same result.
    send("lan", tcp(client, 40000, server, 80).flags(kAck), 1 - home);
    CHECK(one("wan").sport == out.sport);
    send("wan", tcp(server, 80, kBoxOutside, out.sport).flags(kAck).payload("x"), 1 - home);
    CHECK(one("lan").payload == "x");
    CHECK(handed_over() == 2);
    CHECK(stub_requests() == 0);
    CHECK(flow().tcp_state == TcpState::established);
}

TEST_CASE_METHOD(TwoWorkers, "a first packet at the other queue makes its flow at home") {
    configure(kMasquerade);
    const unsigned home = GENERATE(0U, 1U);
    send("lan", udp(lan(1 - home), 5000, wan(home), 53), 1 - home);
    CHECK(one("wan").src == kBoxOutside);
    CHECK(births(home) == 1);
    CHECK(births(1 - home) == 0);
    CHECK(handed_over() == 1);
    CHECK(stubs() == 0);
}

TEST_CASE_METHOD(TwoWorkers, "destination NAT from outside needs no stub either") {
    const unsigned home = GENERATE(0U, 1U);
    const Ip4 server = dmz(GENERATE(0U, 1U)), client = wan(home);
    configure(kAcceptAll + "nat: [{in: wan, dst: 203.0.113.1, proto: tcp, dport: 8080, dnat: {to: " + to_text(server) +
              ", port: 80}}]\n");
    send("wan", tcp(client, 50000, kBoxOutside, 8080).flags(kSyn), home);
    const Decoded in = one("dmz");
    CHECK(in.dst == server);
    CHECK(in.dport == 80);
    send("dmz", tcp(server, 80, client, 50000).flags(kSyn | kAck), home);
    const Decoded out = one("wan");
    CHECK(out.src == kBoxOutside);
    CHECK(out.sport == 8080);
    CHECK(out.valid_checksums());
    CHECK(handed_over() == 0);
    CHECK(stubs() == 0);
    send("dmz", tcp(server, 80, client, 50000).flags(kAck), 1 - home);
    CHECK(one("wan").sport == 8080);
    CHECK(handed_over() == 1);
    CHECK(births(home) == 1);
}

TEST_CASE_METHOD(TwoWorkers, "between two inside networks the reply's home keeps a stub") {
    configure(kAcceptAll);
    const unsigned home = GENERATE(0U, 1U);
    const Ip4 client = lan(1 - home), server = dmz(home);
    send("lan", tcp(client, 40000, server, 80).flags(kSyn), GENERATE(0U, 1U));
    const Decoded out = one("dmz");
    CHECK(out.text() == to_text(client) + ":40000 > " + to_text(server) + ":80 tcp S seq 1000 ttl 63");
    CHECK(out.valid_checksums());
    CHECK(stub_requests() == 1);
    CHECK(stubs_at(1 - home) == 1);
    CHECK(stubs_at(home) == 0);
    CHECK(births(home) == 1);
    CHECK(births(1 - home) == 0);

    send("dmz", tcp(server, 80, client, 40000).flags(kSyn | kAck), GENERATE(0U, 1U));
    CHECK(one("lan").text() == to_text(server) + ":80 > " + to_text(client) + ":40000 tcp S. seq 1000 ack 0 ttl 63");
    CHECK(stub_hits() == 1);
    send("lan", tcp(client, 40000, server, 80).flags(kAck));
    CHECK(one("dmz").flags == kAck);
    CHECK(flow().tcp_state == TcpState::established);
    CHECK(flow().packets[0] == 2);
    CHECK(flow().packets[1] == 1);
    CHECK(stub_requests() == 1);
}

TEST_CASE_METHOD(TwoWorkers, "between two inside hosts of one home there is no stub") {
    configure(kAcceptAll);
    const unsigned home = GENERATE(0U, 1U);
    send("lan", udp(lan(home), 5000, dmz(home), 53), home);
    CHECK(one("dmz").sport == 5000);
    send("dmz", udp(dmz(home), 53, lan(home), 5000), home);
    CHECK(one("lan").dport == 5000);
    CHECK(stub_requests() == 0);
    CHECK(handed_over() == 0);
    CHECK(flows().size() == 1);
}

TEST_CASE_METHOD(TwoWorkers, "a flow's end takes its stub with it") {
    configure(kAcceptAll);
    const Ip4 client = lan(1), server = dmz(0);
    SECTION("by its timeout") {
        send("lan", udp(client, 5000, server, 53));
        CHECK(stubs() == 1);
        advance(32000);
    }
    SECTION("by a RST that nobody had answered before") {
        send("lan", tcp(client, 40000, server, 80).flags(kSyn));
        CHECK(stubs() == 1);
        send("lan", tcp(client, 40000, server, 80).flags(kRst).seq(1001));
    }
    CHECK(flows().empty());
    CHECK(stubs() == 0);
    // And the tuple is free again.
    send("lan", udp(client, 5000, server, 53));
    CHECK(stubs() == 1);
    send("dmz", udp(server, 53, client, 5000));
    CHECK(one("lan").dport == 5000);
}

TEST_CASE_METHOD(TwoWorkers, "connections to the box itself, and from it, meet their replies") {
    configure(kAcceptAll);
    const unsigned far = 1 - home_of(kBoxInside);
    const Ip4 client = lan(far);
    SECTION("to the box") {
        send("lan", tcp(client, 40000, kBoxInside, 22).flags(kSyn));
        REQUIRE(punted("lan").size() == 1);
        CHECK(stubs_at(far) == 1);
        send_from_kernel("lan", tcp(kBoxInside, 22, client, 40000).flags(kSyn | kAck));
        CHECK(one("lan").flags == (kSyn | kAck));
        CHECK(stub_hits() == 1);
        CHECK(flow().tcp_state == TcpState::syn_recv);
        send("lan", tcp(client, 40000, kBoxInside, 22).flags(kAck));
        CHECK(punted("lan").size() == 1);
        CHECK(flow().tcp_state == TcpState::established);
    }
    SECTION("from the box") {
        send_from_kernel("lan", udp(kBoxInside, 5000, client, 53).payload("q"));
        CHECK(one("lan").payload == "q");
        CHECK(stubs_at(1 - far) == 1);
        send("lan", udp(client, 53, kBoxInside, 5000).payload("a"));
        REQUIRE(punted("lan").size() == 1);
        CHECK(stub_hits() == 1);
        CHECK((flow().status & status::kSeenReply) != 0);
    }
    CHECK(flows().size() == 1);
    CHECK(all_drops() == 0);
}

TEST_CASE_METHOD(TwoWorkers, "outbound traffic whose destination is translated to one of another home") {
    const unsigned home = GENERATE(0U, 1U);
    const Ip4 client = lan(0), asked = wan(home), answers = wan(1 - home);
    const std::string dnat = "{in: lan, dst: " + to_text(asked) +
                             ", proto: udp, dport: 53, dnat: {to: " + to_text(answers) + ", port: 5353}}";
    const bool twice = GENERATE(false, true);
    configure(kAcceptAll + "nat: [" + dnat + (twice ? ", {out: wan, src: 192.168.1.0/24, snat: masquerade}" : "") +
              "]\n");
    const Ip4 seen_as = twice ? kBoxOutside : client;

    send("lan", udp(client, 5000, asked, 53).payload("q"));
    const Decoded out = one("wan");
    CHECK(out.src == seen_as);
    CHECK(out.sport == 5000);
    CHECK(out.dst == answers);
    CHECK(out.dport == 5353);
    CHECK(out.valid_checksums());
    CHECK(stub_requests() == 1);
    CHECK(stubs_at(1 - home) == 1);
    CHECK(births(home) == 1);

    send("wan", udp(answers, 5353, seen_as, 5000).payload("a"), GENERATE(0U, 1U));
    const Decoded in = one("lan");
    CHECK(in.src == asked);
    CHECK(in.sport == 53);
    CHECK(in.dst == client);
    CHECK(in.dport == 5000);
    CHECK(in.payload == "a");
    CHECK(in.valid_checksums());
    CHECK(stub_hits() == 1);

    // The second packet of the flow does not travel.
    const std::uint64_t before = handed_over();
    send("lan", udp(client, 5000, asked, 53), home);
    CHECK(one("wan").dst == answers);
    CHECK(handed_over() == before);
    CHECK(stub_requests() == 1);
}

TEST_CASE_METHOD(TwoWorkers, "one source port that two flows want is given once, across workers too") {
    const Ip4 asked = wan(0), answers = wan(1);
    configure(kAcceptAll + "nat: [{in: lan, dst: " + to_text(asked) + ", proto: udp, dport: 53, dnat: {to: " +
              to_text(answers) + "}}, {out: wan, src: 192.168.1.0/24, snat: masquerade}]\n");
    send("lan", udp(lan(0), 5000, answers, 53));  // owned by the home of `answers`
    CHECK(one("wan").sport == 5000);
    send("lan", udp(lan(1), 5000, asked, 53));  // owned by the other, with a stub there
    const Decoded second = one("wan");
    CHECK(second.sport != 5000);
    send("wan", udp(answers, 53, kBoxOutside, second.sport));
    const Decoded in = one("lan");
    CHECK(in.dst == lan(1));
    CHECK(in.src == asked);
    CHECK(in.dport == 5000);
}

TEST_CASE_METHOD(TwoWorkers, "a pool that is used up at the peer is said to be so") {
    const Ip4 asked = wan(0), answers = wan(1);
    configure(kAcceptAll + "nat: [{in: lan, dst: " + to_text(asked) + ", proto: udp, dport: 53, dnat: {to: " +
              to_text(answers) + "}}, {out: wan, src: 192.168.1.0/24, snat: {to: 203.0.113.50, ports: 2000-2004}}]\n");
    for (unsigned i = 0; i < 5; ++i) send("lan", udp(lan(0), 5000 + i, asked, 53));
    CHECK(sent("wan").size() == 5);
    CHECK(stubs_at(1) == 5);
    send("lan", udp(lan(0), 6000, asked, 53));
    CHECK(quiet("wan"));
    CHECK(drops(DropReason::nat_pool_exhausted) == 1);
    CHECK(stubs() == 5);
    CHECK(flows().size() == 5);
    // A flow of the peer's own finds the same pool empty: reply tuples are one space.
    send("lan", udp(lan(0), 6000, answers, 53));
    CHECK(drops(DropReason::nat_pool_exhausted) == 2);
    // They come back when flows end.
    advance(32000);
    CHECK(stubs() == 0);
    send("lan", udp(lan(0), 6000, asked, 53));
    CHECK(one("wan").src == kPool);
}

TEST_CASE_METHOD(TwoWorkers, "first packets in flight at once make one flow and keep their order") {
    configure(kAcceptAll);
    const Ip4 client = lan(1), server = dmz(0);
    const unsigned count = GENERATE(5U, 32U);  // as many as travel together
    SECTION("UDP") {
        for (unsigned i = 0; i < count; ++i) queue("lan", udp(client, 5000, server, 53).ip_id(i));
    }
    SECTION("ping") {
        for (unsigned i = 0; i < count; ++i) queue("lan", echo_request(client, server, 77, i).ip_id(i));
    }
    SECTION("a protocol without ports, whose tuple nothing can replace") {
        for (unsigned i = 0; i < count; ++i) queue("lan", protocol(47, client, server).payload("gre").ip_id(i));
    }
    settle();
    check_order("dmz", count);
    CHECK(flow().packets[0] == count);
    CHECK(stubs() == 1);
    CHECK(all_drops() == 0);
}

TEST_CASE_METHOD(TwoWorkers, "first packets in flight at once share the one port that the pool has left") {
    const Ip4 asked = wan(0), answers = wan(1);
    configure(kAcceptAll + "nat: [{in: lan, dst: " + to_text(asked) + ", proto: udp, dport: 53, dnat: {to: " +
              to_text(answers) + "}}, {out: wan, src: 192.168.1.0/24, snat: {to: 203.0.113.50, ports: 2000-2000}}]\n");
    for (unsigned i = 0; i < 5; ++i) queue("lan", udp(lan(0), 5000, asked, 53).ip_id(i));
    settle();
    check_order("wan", 5);
    CHECK(flow().packets[0] == 5);
    CHECK(drops(DropReason::nat_pool_exhausted) == 0);
}

TEST_CASE_METHOD(TwoWorkers, "order is kept over hand-offs in both directions") {
    configure(kAcceptAll);
    const Ip4 client = lan(1), server = dmz(0);
    send("lan", udp(client, 5000, server, 53));
    CHECK(one("dmz").sport == 5000);
    // Both queues are the wrong one: to the home, and for the replies on to the owner.
    for (unsigned i = 0; i < 100; ++i) queue("lan", udp(client, 5000, server, 53).ip_id(i), 1);
    settle();
    check_order("dmz", 100);
    for (unsigned i = 0; i < 100; ++i) queue("dmz", udp(server, 53, client, 5000).ip_id(i), 0);
    settle();
    check_order("lan", 100);
    CHECK(stub_hits() == 100);
    CHECK(flow().packets[1] == 100);
}

TEST_CASE_METHOD(TwoWorkers, "a connection that is opened again keeps its port while its old stub goes") {
    configure(kAcceptAll);
    const Ip4 client = lan(1), server = dmz(0);
    const auto from_client = [&](unsigned flags) { send("lan", tcp(client, 40000, server, 80).flags(flags)); };
    const auto from_server = [&](unsigned flags) { send("dmz", tcp(server, 80, client, 40000).flags(flags)); };
    from_client(kSyn);
    from_server(kSyn | kAck);
    from_client(kAck);
    from_client(kFin | kAck);
    from_server(kAck);
    from_server(kFin | kAck);
    from_client(kAck);
    CHECK(flow().tcp_state == TcpState::time_wait);
    (void)sent("dmz");
    (void)sent("lan");

    from_client(kSyn);
    CHECK(one("dmz").sport == 40000);
    CHECK(flow().tcp_state == TcpState::syn_sent);
    CHECK(stubs() == 1);
    from_server(kSyn | kAck);
    CHECK(one("lan").dport == 40000);
    CHECK(flow().tcp_state == TcpState::syn_recv);
}

TEST_CASE_METHOD(TwoWorkers, "a reply to a flow past its deadline opens one at its own home") {
    configure(kAcceptAll);
    const Ip4 client = lan(1), server = dmz(0);
    send("lan", udp(client, 5000, server, 53));
    CHECK(one("dmz").sport == 5000);
    CHECK(births(0) == 1);
    neighbour("lan", client, mac(0x71));
    ageing_runs(false);  // nobody else tells that it is over
    advance(31000);
    CHECK(stubs_at(1) == 1);

    // By the stub to the former owner, which sends it back; the stub is gone before it arrives.
    send("dmz", udp(server, 53, client, 5000).payload("late"));
    const Decoded late = one("lan");
    CHECK(late.payload == "late");
    CHECK(late.sport == 53);
    CHECK(stub_hits() == 1);
    CHECK(births(0) == 1);
    CHECK(births(1) == 1);
    CHECK(stubs_at(1) == 0);
    CHECK(stubs_at(0) == 1);
    CHECK(flow().key[0].src() == server);
    send("lan", udp(client, 5000, server, 53).payload("answer"));
    CHECK(one("dmz").payload == "answer");
    CHECK((flow().status & status::kSeenReply) != 0);
    CHECK(all_drops() == 0);
    ageing_runs(true);
    settle();
}

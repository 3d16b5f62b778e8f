// ICMP errors and everything else: RELATED to the flow that they are about and without effect on it, judged each time,
// held for neighbours like other packets, and brought to the flow's owner wherever they arrive.
#include <catch2/catch.hpp>

#include "tests/support/error_box.hh"
#include "tests/support/two_workers.hh"

using namespace sluice;
using namespace sluice::test;

TEST_CASE_METHOD(ErrorBox, "errors neither refresh nor end the flow, nor count on it, nor are they its reply") {
    configure(kMasquerade);
    send("lan", udp(kClient, 5000, kServer, 53));
    const FlowCopy before = flow();
    advance(20000);
    for (unsigned type : {3U, 4U, 11U, 12U})
        send("wan", icmp_error(kServer, kBoxOutside, type, 1, udp(kBoxOutside, 5000, kServer, 53)));
    CHECK(sent("lan").size() == 4);
    const FlowCopy after = flow();
    CHECK(after.lifetime.deadline_ms() == before.lifetime.deadline_ms());
    CHECK(after.packets[0] == 1);
    CHECK(after.packets[1] == 0);
    CHECK(after.bytes[1] == 0);
    CHECK(after.status == before.status);
    advance(11000);
    CHECK(flows().empty());
    // And with the flow gone they are about nothing.
    send("wan", icmp_error(kServer, kClient, 3, 1, udp(kClient, 5000, kServer, 53)));
    CHECK(unrelated() == 1);
}

TEST_CASE_METHOD(ErrorBox, "an error about no flow is INVALID: untranslated, and the filter's to drop") {
    configure(kOnlyRelated);
    send("lan", udp(kClient, 5000, kServer, 53));
    CHECK(sent("wan").size() == 1);
    send("wan", icmp_error(kServer, kClient, 3, 3, udp(kClient, 5001, kServer, 53)));
    CHECK(quiet("lan"));
    // One that is sent to somebody else than who sent what it quotes.
    send("wan", icmp_error(kServer, kClient2, 3, 3, udp(kClient, 5000, kServer, 53)));
    CHECK(quiet("lan"));
    CHECK(unrelated() == 2);
    CHECK(drops(DropReason::filter_forward) == 2);
    // From a wire with an address of the box.
    send("wan", icmp_error(kBoxInside, kClient, 3, 3, udp(kClient, 5000, kServer, 53)));
    CHECK(drops(DropReason::ip_spoofed_own) == 1);

    configure(kAcceptAll);
    send("wan", icmp_error(kServer, kClient, 3, 3, udp(kClient, 5001, kServer, 53)));
    CHECK(one("lan").dst == kClient);
    CHECK(unrelated() == 3);
}

TEST_CASE_METHOD(ErrorBox, "rules see the error's own addresses, each time, and no verdict is kept for it") {
    configure(R"(
filter:
  forward:
    policy: drop
    rules:
      - {state: related, proto: icmp, src: 203.0.113.77, dst: 192.168.1.10, icmp_type: time-exceeded, action: accept}
      - {state: [new, established], action: accept}
nat: [{out: wan, src: 192.168.1.0/24, snat: masquerade}]
)");
    send("lan", udp(kClient, 5000, kServer, 53));
    send("wan", udp(kServer, 53, kBoxOutside, 5000));
    CHECK(sent("lan").size() == 1);
    const auto cached = [&] { return sum([](const WorkerCounters& c) -> const Counter& { return c.verdict_cached; }); };
    const std::uint64_t before = cached();
    const auto seen = udp(kBoxOutside, 5000, kServer, 53);
    send("wan", icmp_error(kRouter, kBoxOutside, 11, 0, seen));
    send("wan", icmp_error(kServer, kBoxOutside, 11, 0, seen));
    send("wan", icmp_error(kRouter, kBoxOutside, 3, 0, seen));
    send("wan", icmp_error(kRouter, kBoxOutside, 11, 0, seen));
    CHECK(sent("lan").size() == 2);
    CHECK(drops(DropReason::filter_forward) == 2);
    CHECK(cached() == before);
    // The flow's own verdict is still the one it had.
    send("wan", udp(kServer, 53, kBoxOutside, 5000));
    CHECK(sent("lan").size() == 1);
    CHECK(cached() == before + 1);
}

TEST_CASE_METHOD(ErrorBox, "a redirect about a translated flow is dropped, about another one it passes") {
    const bool translated = GENERATE(false, true);
    configure(translated ? kMasquerade : kAcceptAll);
    const Ip4 as = translated ? kBoxOutside : kClient;
    send("lan", udp(kClient, 5000, kServer, 53));
    send("wan", icmp_error(kServer, as, 5, 1, udp(as, 5000, kServer, 53)));
    CHECK(sent("lan").size() == (translated ? 0 : 1));
    CHECK(drops(DropReason::icmp_redirect_nat) == (translated ? 1 : 0));
}

TEST_CASE_METHOD(ErrorBox, "an error that comes in one burst with what it is about") {
    configure(kOnlyRelated + "nat: [{out: wan, src: 192.168.1.0/24, snat: masquerade}]\n");
    queue("lan", udp(kClient, 5000, kServer, 53));
    queue("wan", icmp_error(kServer, kBoxOutside, 3, 3, udp(kBoxOutside, 5000, kServer, 53)));
    settle();
    CHECK(one("lan").dst == kClient);
    // One flow ends and another takes its tuple while the error is under way.
    advance(31000);
    send("lan", udp(kClient, 5000, kServer, 53));
    CHECK(sent("wan").size() == 2);
    ageing_runs(false);
    advance(31000);
    send("wan", icmp_error(kServer, kBoxOutside, 3, 3, udp(kBoxOutside, 5000, kServer, 53)));
    CHECK(quiet("lan"));
    CHECK(unrelated() == 1);
    CHECK(flows().empty());
}

TEST_CASE_METHOD(ErrorBox, "errors to the box about its own packets, and from the box about others'") {
    configure(kOnlyRelated);
    send_from_kernel("wan", udp(kBoxOutside, 5000, kServer, 53).payload("q"));
    CHECK(one("wan").payload == "q");
    const auto about = icmp_error(kRouter, kBoxOutside, 3, 3, udp(kBoxOutside, 5000, kServer, 53).payload("q"), kWhole);
    send("wan", about);
    const auto told = punted("wan");
    REQUIRE(told.size() == 1);
    CHECK(decode(told[0]).quoted == udp(kBoxOutside, 5000, kServer, 53).payload("q").ip_packet());
    CHECK(decode(told[0]).valid_checksums());

    configure(kAcceptAll);
    send("lan", udp(kClient, 6000, kBoxInside, 9));
    CHECK(punted("lan").size() == 1);
    send_from_kernel("lan", icmp_error(kBoxInside, kClient, 3, 3, udp(kClient, 6000, kBoxInside, 9)));
    CHECK(one("lan").dst == kClient);
    CHECK(unrelated() == 0);
}

TEST_CASE_METHOD(ErrorBox, "limits hold for errors too, and no error answers them") {
    configure(kMasquerade);
    send("lan", udp(kClient, 5000, kServer, 53));
    CHECK(sent("wan").size() == 1);
    send("wan", icmp_error(kServer, kBoxOutside, 3, 3, udp(kBoxOutside, 5000, kServer, 53)).ttl(1));
    CHECK(quiet("lan"));
    CHECK(quiet("wan"));
    CHECK(drops(DropReason::ttl_exceeded) == 1);
}

TEST_CASE("an error waits for a neighbour as other packets do", "[neighbours]") {
    Box box;
    box.port("lan", PortRole::inside, "192.168.1.1/24", true);
    box.port("wan", PortRole::outside, "203.0.113.1/24");
    box.configure(kMasquerade);
    const auto asked = udp(kClient, 5000, kServer, 53).payload("q");
    box.send("lan", asked);
    CHECK(box.one("wan").src == kBoxOutside);
    box.send("wan", icmp_error(kServer, kBoxOutside, 3, 3, udp(kBoxOutside, 5000, kServer, 53).payload("q"), kWhole));
    CHECK(box.quiet("lan"));
    SECTION("it answers") {
        box.neighbour("lan", kClient, mac(0x51));
        const Decoded error = box.one("lan");
        CHECK(error.valid_checksums());
        CHECK(error.quoted == asked.ip_packet());
    }
    SECTION("it does not, and nobody is told of an error about an error") {
        box.advance(4000);
        CHECK(box.drops(DropReason::neighbour_failed) == 1);
        CHECK(box.quiet("wan"));
        CHECK(box.quiet("lan"));
    }
}

TEST_CASE_METHOD(TwoWorkers, "an error comes to the flow's owner, wherever it arrives") {
    const unsigned home = GENERATE(0U, 1U), queue = GENERATE(0U, 1U);
    const Ip4 client = lan(0), server = wan(home), router = wan(GENERATE(0U, 1U), 3);
    configure(kOnlyRelated + "nat: [{out: wan, src: 192.168.1.0/24, snat: masquerade}]\n");
    const auto asked = udp(client, 5000, server, 53).payload("q");
    send("lan", asked);
    CHECK(one("wan").src == kBoxOutside);
    const std::uint64_t before = handed_over();
    send("wan", icmp_error(router, kBoxOutside, 11, 0, udp(kBoxOutside, 5000, server, 53).payload("q"), kWhole), queue);
    const Decoded error = one("lan");
    CHECK(error.src == router);
    CHECK(error.valid_checksums());
    CHECK(error.quoted == asked.ip_packet());
    CHECK(handed_over() == before + (queue == home ? 0 : 1));
    CHECK(stub_hits() == 0);
}

TEST_CASE_METHOD(TwoWorkers, "an error finds its flow through the stub of the reply") {
    const unsigned home = GENERATE(0U, 1U), queue = GENERATE(0U, 1U);
    configure(kAcceptAll);
    const Ip4 client = lan(1 - home), server = dmz(home);
    const auto asked = udp(client, 5000, server, 53).payload("q");
    const auto answer = udp(server, 53, client, 5000).payload("a");
    send("lan", asked);
    send("dmz", answer);
    CHECK(one("dmz").payload == "q");
    CHECK(one("lan").payload == "a");
    REQUIRE(stubs_at(1 - home) == 1);
    const std::uint64_t hits = stub_hits();
    SECTION("about the question") {
        send("dmz", icmp_error(dmz(0, 5), client, 3, 1, asked, kWhole), queue);
        CHECK(one("lan").quoted == asked.ip_packet());
        CHECK(stub_hits() == hits + 1);
    }
    SECTION("about the answer") {
        send("lan", icmp_error(lan(0, 5), server, 3, 1, answer, kWhole), queue);
        CHECK(one("dmz").quoted == answer.ip_packet());
        CHECK(stub_hits() == hits);
    }
    CHECK(all_drops() == 0);
    CHECK(flow().packets[0] == 1);
    CHECK(flow().packets[1] == 1);
}

TEST_CASE_METHOD(TwoWorkers, "an error about a flow that is translated on both sides, from either worker's queue") {
    const unsigned home = GENERATE(0U, 1U), queue = GENERATE(0U, 1U);
    const Ip4 client = lan(0), asked_for = wan(home), answers = wan(1 - home);
    configure(kAcceptAll + "nat: [{in: lan, dst: " + to_text(asked_for) + ", proto: udp, dport: 53, dnat: {to: " +
              to_text(answers) + ", port: 5353}}, {out: wan, src: 192.168.1.0/24, snat: masquerade}]\n");
    const auto asked = udp(client, 5000, asked_for, 53).payload("q");
    send("lan", asked);
    CHECK(one("wan").dst == answers);
    send("wan", icmp_error(answers, kBoxOutside, 3, 3, udp(kBoxOutside, 5000, answers, 5353).payload("q"), kWhole),
         queue);
    const Decoded error = one("lan");
    CHECK(error.src == asked_for);
    CHECK(error.valid_checksums());
    CHECK(error.quoted == asked.ip_packet());
    CHECK(stub_hits() == 1);
}

TEST_CASE_METHOD(TwoWorkers, "errors about unknown flows stay where they are at home") {
    configure(kOnlyRelated);
    for (unsigned queue : {0U, 1U})
        for (unsigned home : {0U, 1U})
            send("wan", icmp_error(wan(home), lan(0), 3, 3, udp(lan(0), 5000, wan(1 - home), 53)), queue);
    CHECK(quiet("lan"));
    CHECK(drops(DropReason::filter_forward) == 4);
    CHECK(handed_over() == 2);
}

// Events of flows on the whole way: which ones a life has and in what order, what is one event and what are two, what
// waits for a packet to leave, and that nothing is told when nobody listens or lost without being counted.
#include <catch2/catch.hpp>

#include "tests/support/event_ear.hh"
#include "tests/support/l4_packets.hh"
#include "tests/support/two_ports.hh"
#include "tests/support/two_workers.hh"

using namespace sluice;
using namespace sluice::test;

namespace {

using Heard = std::vector<std::string>;

struct EventBox : TwoPorts {
    PacketBuilder there(std::uint8_t flags, std::uint32_t seq, std::uint32_t ack = 0) const {
        return tcp(kClient, 40000, kServer, 80).flags(flags).seq(seq).ack(ack);
    }
    PacketBuilder back(std::uint8_t flags, std::uint32_t seq, std::uint32_t ack) const {
        return tcp(kServer, 80, kBoxOutside, 40000).flags(flags).seq(seq).ack(ack);
    }
    void open() {
        send("lan", there(kSyn, 1000));
        send("wan", back(kSyn | kAck, 5000, 1001));
        send("lan", there(kAck, 1001, 5001));
    }
    [[nodiscard]] std::uint64_t told() const {
        return sum([](auto& c) -> auto& { return c.events_told; });
    }
    [[nodiscard]] std::uint64_t lost() const {
        return sum([](auto& c) -> auto& { return c.events_lost; });
    }
    UpdateBatch::One update(const FlowUpdate& what, std::uint32_t by = 7) {
        const FlowCopy now = flow();
        auto batch = std::make_unique<UpdateBatch>();
        batch->what = what;
        batch->by = by;
        batch->count = 1;
        batch->flows[0].slot = now.slot;
        batch->flows[0].generation = now.generation & 0xffffffU;
        REQUIRE(lcore(0).orders.post({OrderKind::update, 0, 0, 0, reinterpret_cast<std::uint64_t>(batch.get())}));
        settle();
        REQUIRE(batch->done.load());
        return batch->flows[0];
    }
};

}  // namespace

TEST_CASE_METHOD(EventBox, "the life of a TCP connection, event by event") {
    configure(kMasquerade);
    EventEar ear(*this);
    open();
    CHECK(ear.heard() ==
          Heard{"new SYN_SENT 120", "update SYN_RECV 60: reply state", "update ESTABLISHED 432000: assured state"});
    send("lan", there(kAck | kPsh, 1001, 5001).payload("hello"));
    send("wan", back(kAck, 5001, 1006));
    CHECK(ear.heard().empty());  // nothing has changed but time
    send("lan", there(kFin | kAck, 1006, 5001));
    send("wan", back(kFin | kAck, 5001, 1007));
    send("lan", there(kAck, 1007, 5002));
    advance(121'000);
    CHECK(ear.heard() == Heard{"update FIN_WAIT 120: state", "update LAST_ACK 30: state", "update TIME_WAIT 120: state",
                               "destroy TIME_WAIT 0"});
    CHECK(told() == 7);
    CHECK(lost() == 0);
}

TEST_CASE_METHOD(EventBox, "a record has both tuples, and at the end all that was counted") {
    configure(kMasquerade);
    EventEar ear(*this);
    const TimeMs began = now();
    open();
    const auto births = ear.events();
    REQUIRE(births.size() == 3);
    const FlowEvent& birth = births.front();
    CHECK(birth.flow.key[0].dst() == IpAddress(kServer));
    CHECK(birth.flow.key[1].dst() == IpAddress(kBoxOutside));
    CHECK(birth.flow.packets[0] == 1);
    CHECK(birth.at_ms == began);
    CHECK(birth.flow.created_ms == began);
    flush();
    const auto ends = ear.events();
    REQUIRE(ends.size() == 1);
    CHECK(ends[0].kind == FlowEventKind::destroyed);
    CHECK(ends[0].flow.id == birth.flow.id);
    CHECK(ends[0].flow.slot == birth.flow.slot);
    CHECK(ends[0].flow.generation == birth.flow.generation);
    CHECK(ends[0].flow.packets[0] == 2);
    CHECK(ends[0].flow.packets[1] == 1);
    CHECK((ends[0].flow.status & status::kAssured) != 0);
}

TEST_CASE_METHOD(EventBox, "packets of one burst have an event each, with the flow as it was between them") {
    configure(kMasquerade);
    send("lan", udp(kClient, 1, kServer, 53));  // the neighbours are known from here on
    send("wan", udp(kServer, 53, kBoxOutside, 1));
    EventEar ear(*this);
    queue("lan", there(kSyn, 1000));
    loop();
    queue("wan", back(kSyn | kAck, 5000, 1001));
    loop();
    queue("lan", there(kAck, 1001, 5001));
    queue("lan", there(kFin | kAck, 1001, 5001));
    loop();
    CHECK(ear.heard() == Heard{"new SYN_SENT 120", "update SYN_RECV 60: reply state",
                               "update ESTABLISHED 432000: assured state", "update FIN_WAIT 120: state"});
    queue("lan", udp(kClient, 2, kServer, 53));
    queue("lan", udp(kClient, 2, kServer, 53));
    queue("lan", udp(kClient, 3, kServer, 53));
    loop();
    CHECK(ear.heard() == Heard{"new 30", "new 30"});
}

TEST_CASE_METHOD(EventBox, "UDP: a birth, the answer, a stream") {
    configure(kMasquerade);
    EventEar ear(*this);
    const auto ask = [&] { send("lan", udp(kClient, 5000, kServer, 53)); };
    const auto answer = [&] { send("wan", udp(kServer, 53, kBoxOutside, 5000)); };
    ask();
    answer();
    answer();
    CHECK(ear.heard() == Heard{"new 30", "update 30: reply"});
    advance(2500);
    ask();
    answer();
    ask();
    CHECK(ear.heard() == Heard{"update 120: assured"});
    advance(121'000);
    CHECK(ear.heard() == Heard{"destroy 0"});
}

TEST_CASE_METHOD(EventBox, "an echo: a birth, the answer, the end") {
    configure(kMasquerade);
    EventEar ear(*this);
    send("lan", echo_request(kClient, kServer, 77));
    send("wan", echo_reply(kServer, kBoxOutside, 77));
    advance(31'000);
    CHECK(ear.heard() == Heard{"new 30", "update 30: reply", "destroy 0"});
}

TEST_CASE_METHOD(EventBox, "SCTP: its states are events") {
    configure(kAcceptAll);
    EventEar ear(*this);
    const auto out = [&](std::uint32_t tag, unsigned type, std::uint32_t init = 0) {
        send("lan", sctp(kClient, 4000, kServer, 80, tag, {sctp_chunk_of(type, 0, init)}));
    };
    const auto in = [&](std::uint32_t tag, unsigned type, std::uint32_t init = 0) {
        send("wan", sctp(kServer, 80, kClient, 4000, tag, {sctp_chunk_of(type, 0, init)}));
    };
    out(0, 1, 7);
    in(7, 2, 9);
    out(9, 10);
    in(7, 11);
    out(9, 0);
    out(9, 7);
    in(7, 8);
    out(9, 14);
    CHECK(ear.heard() == Heard{"new CLOSED 10", "update COOKIE_WAIT 3: reply state", "update COOKIE_ECHOED 3: state",
                               "update ESTABLISHED 210: assured state", "update SHUTDOWN_SENT 3: state",
                               "update SHUTDOWN_ACK_SENT 3: state", "update CLOSED 10: state"});
}

TEST_CASE_METHOD(EventBox, "an RST that nobody answered ends the flow as unreplied") {
    configure(kMasquerade);
    EventEar ear(*this);
    send("lan", there(kSyn, 1000));
    send("wan", back(kRst | kAck, 0, 1001));
    const auto events = ear.events();
    REQUIRE(events.size() == 2);
    CHECK(event_text(events[1]) == "destroy CLOSE 120");
    CHECK((events[1].flow.status & status::kSeenReply) == 0);
    CHECK(events[1].flow.packets[1] == 1);
}

TEST_CASE_METHOD(EventBox, "a SYN/ACK that answers a SYN which was let through begins the connection anew") {
    configure(kMasquerade);
    EventEar ear(*this);
    send("lan", there(kSyn, 1000));
    send("wan", back(kSyn | kAck, 5000, 1001));
    send("lan", there(kSyn, 900'000));
    CHECK(ear.heard() == Heard{"new SYN_SENT 120", "update SYN_RECV 60: reply state"});
    send("wan", back(kSyn | kAck, 5000, 900'001));
    CHECK(ear.heard() == Heard{"update SYN_RECV 60: state"});
}

TEST_CASE_METHOD(EventBox, "a SYN that takes over a closed connection: the old one ends before the new one begins") {
    configure(kMasquerade);
    open();
    send("lan", there(kFin | kAck, 1001, 5001));
    send("wan", back(kFin | kAck, 5001, 1002));
    send("lan", there(kAck, 1002, 5002));
    EventEar ear(*this);
    send("lan", there(kSyn, 90000));
    CHECK(ear.heard() == Heard{"destroy TIME_WAIT 120", "new SYN_SENT 120"});
}

TEST_CASE_METHOD(EventBox, "what a dropped packet has changed is told with the next one that leaves") {
    configure(R"(
filter:
  forward:
    rules:
      - {in: wan, action: drop}
      - {action: accept}
)");
    EventEar ear(*this);
    send("lan", tcp(kClient, 40000, kServer, 80).flags(kSyn).seq(1000));
    send("wan", tcp(kServer, 80, kClient, 40000).flags(kSyn | kAck).seq(5000).ack(1001));
    CHECK(flow().tcp_state == TcpState::syn_recv);
    CHECK(ear.heard() == Heard{"new SYN_SENT 120"});
    send("lan", tcp(kClient, 40000, kServer, 80).flags(kSyn).seq(1000));  // passes, and changes nothing
    CHECK(ear.heard() == Heard{"update SYN_RECV 60: reply state"});
    send("lan", tcp(kClient, 40000, kServer, 80).flags(kSyn).seq(1000));
    CHECK(ear.heard().empty());
}

TEST_CASE_METHOD(EventBox, "marks: part of the birth, and an event when a later packet changes it") {
    configure(R"(
filter:
  forward:
    rules:
      - {state: new, set: {ct_mark: 5}}
      - {in: wan, set: {ct_mark: 6}}
      - {action: accept}
)");
    EventEar ear(*this);
    send("lan", udp(kClient, 5000, kServer, 53));
    auto events = ear.events();
    REQUIRE(events.size() == 1);
    CHECK(events[0].flow.mark == 5);
    send("wan", udp(kServer, 53, kClient, 5000));
    events = ear.events();
    REQUIRE(events.size() == 1);
    CHECK(event_text(events[0]) == "update 30: reply mark");
    CHECK(events[0].flow.mark == 6);
    send("wan", udp(kServer, 53, kClient, 5000));
    CHECK(ear.events().empty());
}

TEST_CASE_METHOD(EventBox, "a helper is part of the birth") {
    configure(kMasquerade + "helpers: {ftp: {ports: [21]}}\n");
    EventEar ear(*this);
    send("lan", tcp(kClient, 40000, kServer, 21).flags(kSyn));
    const auto events = ear.events();
    REQUIRE(events.size() == 1);
    CHECK((events[0].flow.status & status::kHelper) != 0);
}

TEST_CASE_METHOD(EventBox, "nobody listens: nothing is told, then or later") {
    configure(kMasquerade);
    open();
    CHECK(told() == 0);
    EventEar ear(*this);
    CHECK(ear.heard().empty());
    send("lan", there(kFin | kAck, 1001, 5001));
    CHECK(ear.heard() == Heard{"update FIN_WAIT 120: state"});
    ear.stop();
    send("wan", back(kFin | kAck, 5001, 1002));
    flush();
    CHECK(ear.heard().empty());
    CHECK(told() == 1);
    CHECK(lost() == 0);
    ear.listen();
    send("lan", udp(kClient, 5000, kServer, 53));
    CHECK(ear.heard() == Heard{"new 30"});
}

TEST_CASE_METHOD(EventBox, "a full ring: what finds no room is counted, and every packet is forwarded") {
    configure(kMasquerade);
    send("lan", udp(kClient, 1, kServer, 53));
    static_cast<void>(sent("wan"));
    constexpr unsigned kRing = 16, kFlows = 40;
    EventEar ear(*this, 1, kRing);
    for (unsigned i = 0; i < kFlows; ++i) send("lan", udp(kClient, 5000 + i, kServer, 53));
    CHECK(sent("wan").size() == kFlows);
    const auto heard = ear.heard();
    CHECK(heard.size() == kRing - 1);
    CHECK(told() == heard.size());
    CHECK(told() + lost() == kFlows);
    send("lan", udp(kClient, 6000, kServer, 53));
    CHECK(ear.heard() == Heard{"new 30"});
}

TEST_CASE_METHOD(EventBox, "many flows end in one loop: each end is told") {
    configure(kMasquerade + "conntrack: {half_open: 100%}\n");
    constexpr unsigned kFlows = 700;
    for (unsigned i = 0; i < kFlows; ++i) send("lan", udp(kClient, 5000 + i, kServer, 53));
    EventEar ear(*this);
    flush();
    CHECK(ear.heard().size() == kFlows);
    CHECK(lost() == 0);
}

TEST_CASE_METHOD(EventBox, "conntrack -U: mark, timeout and status of a flow, one event with all of it") {
    configure(kMasquerade);
    send("lan", udp(kClient, 5000, kServer, 53));
    EventEar ear(*this);
    const auto one = update({.set_mark = true,
                             .mark = 0x10,
                             .mark_mask = 0xf0,
                             .set_timeout = true,
                             .timeout_s = 500,
                             .status = status::kSeenReply | status::kAssured});
    CHECK(one.result == UpdateBatch::Result::updated);
    CHECK(one.flow.mark == 0x10);
    const auto events = ear.events();
    REQUIRE(events.size() == 1);
    CHECK(event_text(events[0]) == "update 500: reply assured state helper mark");
    CHECK(events[0].by == 7);
    CHECK(lcore(0).counters.flows_assured.get() == 1);
    CHECK(lcore(0).counters.flows_half_open.get() == 0);

    SECTION("what is so already is no change") {
        CHECK(update({.set_mark = true, .mark = 0x10, .mark_mask = 0xffffffff, .status = status::kAssured}).result ==
              UpdateBatch::Result::unchanged);
        CHECK(ear.events().empty());
    }
    SECTION("the longer timeout holds") {
        advance(400'000);
        CHECK(flows().size() == 1);
        advance(101'000);
        CHECK(flows().empty());
        CHECK(ear.heard() == Heard{"destroy 0"});
    }
    SECTION("a shorter one does, too") {
        CHECK(update({.set_timeout = true, .timeout_s = 3}).result == UpdateBatch::Result::updated);
        static_cast<void>(ear.events());
        advance(3'100);
        CHECK(ear.heard() == Heard{"destroy 0"});
    }
    SECTION("the next packet puts its own in force") {
        advance(3'000);
        send("lan", udp(kClient, 5000, kServer, 53));
        CHECK(flow().lifetime.timeout_s == 120);
    }
    SECTION("none at all ends the flow") {
        CHECK(update({.set_timeout = true, .timeout_s = 0}).result == UpdateBatch::Result::gone);
        CHECK(ear.heard() == Heard{"update 0: reply assured state helper mark", "destroy 0"});
        CHECK(flows().empty());
    }
}

TEST_CASE_METHOD(EventBox, "conntrack -U: rules see the new mark at the next packet") {
    configure(R"(
filter:
  forward:
    rules:
      - {ct_mark: 9, action: drop}
      - {action: accept}
)");
    send("lan", udp(kClient, 5000, kServer, 53));
    send("lan", udp(kClient, 5000, kServer, 53));
    CHECK(sent("wan").size() == 2);
    CHECK(update({.set_mark = true, .mark = 9, .mark_mask = 0xffffffff}).result == UpdateBatch::Result::updated);
    send("lan", udp(kClient, 5000, kServer, 53));
    CHECK(quiet("wan"));
}

TEST_CASE_METHOD(TwoWorkers, "two workers: a flow's events come from its owner, all of them") {
    configure(kAcceptAll);
    const unsigned home = GENERATE(0U, 1U);
    const Ip4 client = lan(1 - home), server = dmz(home);
    EventEar ear(*this, 2);
    send("lan", tcp(client, 40000, server, 80).flags(kSyn).seq(1000), GENERATE(0U, 1U));
    send("dmz", tcp(server, 80, client, 40000).flags(kSyn | kAck).seq(5000).ack(1001), GENERATE(0U, 1U));
    send("lan", tcp(client, 40000, server, 80).flags(kAck).seq(1001).ack(5001));
    REQUIRE(births(home) == 1);
    flush();
    CHECK(ear.heard(home) == Heard{"new SYN_SENT 120", "update SYN_RECV 60: reply state",
                                   "update ESTABLISHED 432000: assured state", "destroy ESTABLISHED 432000"});
    CHECK(ear.heard(1 - home).empty());
}

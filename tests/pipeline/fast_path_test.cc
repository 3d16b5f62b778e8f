// The fast path changes nothing but the time that a packet takes: the same traffic through two boxes, of which one has
// none, comes out the same, packet by packet of each flow, and leaves the same flows and counters behind.
#include <algorithm>
#include <cstring>
#include <map>
#include <random>
#include <string>
#include <vector>

#include <catch2/catch.hpp>

#include "tests/support/event_ear.hh"
#include "tests/support/two_ports.hh"

using namespace sluice;
using namespace sluice::test;

namespace {

const std::string kRules = R"(
filter:
  input: {policy: drop, rules: [{state: [established, related], action: accept}]}
  forward:
    policy: drop
    rules:
      - {state: [established, related], action: accept}
      - {state: invalid, action: drop}
      - {in: lan, out: wan, action: accept}
      - {in: wan, out: lan, dst: 192.168.1.20, proto: tcp, dport: 80, action: accept}
  output: {policy: accept, rules: []}
nat:
  - {in: wan, dst: 203.0.113.1, proto: tcp, dport: 8080, dnat: {to: 192.168.1.20, port: 80}}
  - {out: wan, src: 192.168.1.0/24, snat: masquerade}
)";
constexpr Ip4 kInsideServer = ip4(192, 168, 1, 20);
const std::array<std::uint8_t, 4> kRouterAlert{148, 4, 0, 0};

std::uint64_t carried(const Box& box) {
    return box.sum([](const WorkerCounters& c) -> const Counter& { return c.fast_path; });
}

/// Of one flow packets keep their order; what goes on between flows is nobody's business.
std::map<std::string, std::vector<Frame>> by_flow(const std::vector<Frame>& frames) {
    std::map<std::string, std::vector<Frame>> flows;
    for (const Frame& f : frames) {
        const Decoded d = decode(f);
        flows[to_text(d.src) + " " + to_text(d.dst) + " " + std::to_string(d.proto) + " " + std::to_string(d.sport) +
              " " + std::to_string(d.dport)]
            .push_back(f);
    }
    return flows;
}

struct Both {
    TwoPorts with{{}, kRules}, without{{}, kRules};

    Both() { without.lcore(0).pipeline->use_fast_path(false); }

    template <class Do>
    void each(Do&& act) {
        act(with);
        act(without);
    }
    void queue(const char* port, const PacketBuilder& packet) {
        each([&](Box& b) { b.queue(port, packet); });
    }
    void send(const char* port, const PacketBuilder& packet) {
        queue(port, packet);
        settle();
    }
    void settle() {
        each([](Box& b) { b.settle(); });
    }

    /// What came out since the last time, and what is left behind.
    void compare() {
        for (const char* port : {"lan", "wan"}) {
            CHECK(by_flow(with.sent(port)) == by_flow(without.sent(port)));
            CHECK(with.punted(port) == without.punted(port));
        }
        const auto flows = with.flows();
        REQUIRE(flows.size() == without.flows().size());
        for (const FlowCopy& f : flows) {
            // Lines that packets write, but for what control writes: when the wheel will look.
            FlowHot& a = with.lcore(0).store.hot(f.slot);
            FlowHot& b = without.lcore(0).store.hot(f.slot);
            CHECK(std::memcmp(a.half, b.half, sizeof a.half) == 0);
            CHECK(std::memcmp(&a.tcp, &b.tcp, sizeof a.tcp) == 0);
            CHECK(a.lifetime.load().pack() == b.lifetime.load().pack());
            CHECK(a.tcp_state == b.tcp_state);
            CHECK(a.status == b.status);
            CHECK(a.generation == b.generation);
        }
        const WorkerCounters& a = with.lcore(0).counters;
        const WorkerCounters& b = without.lcore(0).counters;
        CHECK(a.balance.transmitted.get() == b.balance.transmitted.get());
        CHECK(a.balance.generated.get() == b.balance.generated.get());
        CHECK(a.verdict_cached.get() == b.verdict_cached.get());
        CHECK(a.verdict_judged.get() == b.verdict_judged.get());
        CHECK(a.lookup_hits.get() == b.lookup_hits.get());
        for (std::size_t i = 0; i < a.drops.size(); ++i) CHECK(a.drops[i].get() == b.drops[i].get());
        for (std::size_t i = 0; i < a.ports.size(); ++i) {
            CHECK(a.ports[i].rx_packets.get() == b.ports[i].rx_packets.get());
            CHECK(a.ports[i].rx_bytes.get() == b.ports[i].rx_bytes.get());
            CHECK(a.ports[i].tx_packets.get() == b.ports[i].tx_packets.get());
            CHECK(a.ports[i].tx_bytes.get() == b.ports[i].tx_bytes.get());
        }
        for (std::uint32_t rule = 0; rule < with.policy().rule_count; ++rule) {
            CHECK(with.policy().counter(0, rule).packets.get() == without.policy().counter(0, rule).packets.get());
            CHECK(with.policy().counter(0, rule).bytes.get() == without.policy().counter(0, rule).bytes.get());
        }
    }
};

/// One end of a connection, as its packets are seen on its wire.
struct End {
    const char* port;
    Ip4 address, peer;
    std::uint16_t sport, dport;
    std::uint32_t next = 1000;  // sequence number
};

struct Connection {
    End ends[2];  // who opened it first

    PacketBuilder segment(unsigned from, unsigned flags) const {
        const End& e = ends[from];
        return tcp(e.address, e.sport, e.peer, e.dport).flags(flags).seq(e.next).ack(ends[1 - from].next);
    }
};

/// Talks over many connections at once, mostly as one should.
struct Conversation : Both {
    explicit Conversation(unsigned seed) : random(seed) {
        for (std::uint16_t i = 0; i < 6; ++i) {
            const auto port = static_cast<std::uint16_t>(40000 + i);
            if (i % 3 == 2) {  // from outside, to a server inside
                connections.push_back(
                    {{{"wan", kServer, kBoxOutside, port, 8080}, {"lan", kInsideServer, kServer, 80, port}}});
            } else {
                connections.push_back({{{"lan", kClient, kServer, port, 80}, {"wan", kServer, kBoxOutside, 80, port}}});
            }
        }
    }
    unsigned any(unsigned below) { return static_cast<unsigned>(random() % below); }

    void open(Connection& c) {
        for (End& e : c.ends) e.next = static_cast<std::uint32_t>(random());
        if (any(4) == 0) return;  // its packets are all that we shall see of it
        send(c.ends[0].port, c.segment(0, kSyn));
        c.ends[0].next += 1;
        send(c.ends[1].port, c.segment(1, kSyn | kAck));
        c.ends[1].next += 1;
        send(c.ends[0].port, c.segment(0, kAck));
    }
    /// One packet, into the burst of `port`, from whichever end of `c` is there.
    void say(Connection& c, const char* port) {
        const unsigned from = std::strcmp(c.ends[0].port, port) == 0 ? 0 : 1;
        End& e = c.ends[from];
        const auto data = [&](unsigned bytes) {
            const PacketBuilder p = c.segment(from, kAck | kPsh).payload_bytes(bytes);
            e.next += bytes;
            return p;
        };
        switch (any(120)) {
            case 0:
                return queue(port, c.segment(from, kFin | kAck));
            case 1:
                return queue(port, c.segment(from, kRst));
            case 2:
                return queue(port, c.segment(from, kSyn).seq(e.next + 100000));
            case 3:
                return queue(port, c.segment(from, kAck).seq(e.next - 200000));
            case 4:
                return queue(port, c.segment(from, kAck).ack(c.ends[1 - from].next + 1000000));
            case 5:
                return queue(port, data(9).ttl(1));
            case 6:
                return queue(port, data(10).ip_option(kRouterAlert));
            case 7:
                return queue(port, data(11).break_checksum());
            case 8:
                return queue(port, data(12).break_ip_checksum());
            case 9:
                return queue(port, data(1400).dont_fragment());
            case 10:
                return queue(port, c.segment(from, kAck | kUrg));
            case 11:
                return queue(port, c.segment(from, kAck).window(0));
            case 12:
                return queue(port, data(13).pad_to(100));
            case 13:
                return queue(port, c.segment(from, kFin | kSyn));
            case 14:
                return queue(port, data(20).fragment(0, true));
            case 15: {
                const std::pair<std::uint32_t, std::uint32_t> block{e.next + 10, e.next + 20};
                return queue(port, c.segment(from, kAck).sack(std::span(&block, 1)));
            }
            case 16:
                return queue(port, udp(e.address, e.sport, e.peer, 53).payload_bytes(any(40)));
            case 17:
                return queue(port, udp(e.address, e.sport, e.peer, 53).no_udp_checksum());
            case 18:
                return queue(port, icmp(e.address, e.peer, 8, 0, std::uint32_t{e.sport} << 16));
            case 19:
                return queue(port, icmp(kServer, kBoxOutside, 3, 3, 0).payload(c.segment(0, kAck).ip_packet()));
            case 20: {  // a quarrel within one burst: order is all
                queue(port, data(5).ip_option(kRouterAlert));
                queue(port, data(6));
                return queue(port, data(7));
            }
            default:
                break;
        }
        if (any(3) == 0) {
            queue(port, udp(e.address, 50000 + any(4), e.peer, 53).payload_bytes(any(200)));
        } else {
            queue(port, any(2) == 0 ? data(any(300)) : c.segment(from, kAck));
        }
    }
    void burst() {
        const char* port = any(2) == 0 ? "lan" : "wan";
        for (unsigned n = 1 + any(20); n > 0; --n) say(connections[any(6)], port);
        settle();
    }
    std::mt19937 random;
    std::vector<Connection> connections;
};

}  // namespace

TEST_CASE("with and without the fast path: the same packets, flows and counters") {
    for (unsigned seed = 1; seed <= 12; ++seed) {
        INFO("seed " << seed);
        Conversation talk(seed);
        for (Connection& c : talk.connections) talk.open(c);
        for (unsigned i = 0; i < 80; ++i) {
            talk.burst();
            talk.compare();
            if (i % 4 == 3) talk.open(talk.connections[talk.any(6)]);
            if (i % 16 == 9) talk.each([](Box& b) { b.advance(2500); });
            if (i == 30) talk.each([](TwoPorts& b) { b.configure(kRules); });
            if (i == 40) talk.each([](TwoPorts& b) { b.neighbour("wan", kServer, mac(0x77)); });
            if (i == 45) talk.each([](TwoPorts& b) { b.advance(31'000); });
        }
        CHECK(carried(talk.with) > 100);
        CHECK(carried(talk.without) == 0);
    }
}

TEST_CASE_METHOD(TwoPorts, "plain packets of established flows take the fast path, both ways") {
    configure(kRules);
    std::uint64_t before = 0;
    // Whether the packet took it.
    const auto fast = [&](const char* from, const PacketBuilder& packet) {
        before = carried(*this);
        send(from, packet);
        return carried(*this) == before + 1;
    };
    const auto ask = [&](unsigned port = 5000) { return fast("lan", udp(kClient, port, kServer, 53).payload("ask")); };
    const auto answer = [&](unsigned port = 5000) { return fast("wan", udp(kServer, 53, kBoxOutside, port)); };
    (void)ask(4999), (void)answer(4999);  // neighbours are known from now on

    CHECK_FALSE(ask());     // it makes its flow
    CHECK_FALSE(ask());     // the verdict on it is remembered from now on
    CHECK(ask());           // also while nobody has answered
    CHECK_FALSE(answer());  // the first answer changes what the flow is
    CHECK(answer());
    CHECK_FALSE(ask());  // ESTABLISHED now, which is judged anew
    CHECK(ask());
    advance(2500);
    CHECK_FALSE(ask());  // a stream from now on: ASSURED
    CHECK(ask());
    configure(kRules);
    CHECK_FALSE(ask());  // by the new policy
    CHECK(ask());
    neighbour("wan", kServer, mac(0x77));
    CHECK(ask());  // to the new one: the hop is read anew for each packet
    const auto frames = sent("wan");
    REQUIRE(!frames.empty());
    CHECK(describe(frames.back()) == "203.0.113.1:5000 > 203.0.113.10:53 udp ttl 63 len 3");
    CHECK(decode(frames.back()).eth_dst == mac(0x77));
}

TEST_CASE_METHOD(TwoPorts, "a connection picked up in the middle takes the fast path, answered or not") {
    configure(kRules);
    std::uint32_t seq = 1000;
    const auto fast = [&](const char* from, const PacketBuilder& packet) {
        const std::uint64_t before = carried(*this);
        send(from, packet);
        return carried(*this) == before + 1;
    };
    const auto data = [&](std::uint32_t ack) {
        seq += 10;
        return tcp(kClient, 5000, kServer, 80).flags(kAck | kPsh).seq(seq).ack(ack).payload_bytes(10);
    };
    send("lan", udp(kClient, 5000, kServer, 53));  // the neighbour is known from now on
    CHECK_FALSE(fast("lan", data(700)));           // it makes its flow
    CHECK_FALSE(fast("lan", data(700)));
    CHECK(fast("lan", data(700)));
    CHECK(fast("lan", data(999'999)));  // who knows what was sent to it
    CHECK_FALSE(fast("lan", data(700).seq(seq + 500'000)));
    const auto answer = [&] { return tcp(kServer, 80, kBoxOutside, 5000).flags(kAck).seq(999'999).ack(seq + 10); };
    CHECK_FALSE(fast("wan", answer()));
    CHECK_FALSE(fast("wan", answer()));  // ASSURED
    CHECK(fast("wan", answer()));
    CHECK_FALSE(fast("lan", data(999'999)));  // ESTABLISHED now
    CHECK(fast("lan", data(999'999)));
}

TEST_CASE_METHOD(TwoPorts, "a packet does not overtake one of its flow that takes the long way") {
    configure(kRules);
    for (unsigned i = 0; i < 2; ++i) {
        send("lan", udp(kClient, 5000, kServer, 53).payload("q"));
        send("wan", udp(kServer, 53, kBoxOutside, 5000).payload("a"));
    }
    (void)sent("wan");
    queue("lan", udp(kClient, 5000, kServer, 53).payload("first").ip_option(kRouterAlert));
    queue("lan", udp(kClient, 5000, kServer, 53).payload("second"));
    queue("lan", udp(kClient, 5000, kServer, 53).payload("third"));
    settle();
    const auto frames = sent("wan");
    REQUIRE(frames.size() == 3);
    CHECK(decode(frames[0]).payload == "first");
    CHECK(decode(frames[1]).payload == "second");
    CHECK(decode(frames[2]).payload == "third");
}

TEST_CASE_METHOD(TwoPorts, "while somebody listens to events, all packets take the stages' way") {
    configure(kRules);
    for (unsigned i = 0; i < 6; ++i) send("lan", udp(kClient, 5000, kServer, 53));
    const std::uint64_t before = carried(*this);
    CHECK(before > 0);
    EventEar ear(*this);
    for (unsigned i = 0; i < 4; ++i) send("lan", udp(kClient, 5000, kServer, 53));
    CHECK(carried(*this) == before);
    ear.stop();
    send("lan", udp(kClient, 5000, kServer, 53));
    CHECK(carried(*this) == before + 1);
}

TEST_CASE_METHOD(TwoPorts, "who scans for hosts that are not there slows nobody down") {
    port("dmz", PortRole::inside, "192.0.2.1/24", true);  // whose neighbours do not answer
    configure(kAcceptAll);
    for (unsigned i = 0; i < 6; ++i) send("lan", udp(kClient, 5000, kServer, 53));
    const std::uint64_t before = carried(*this);
    for (unsigned i = 2; i < 9; ++i) send("lan", udp(kClient, 5001, ip4(192, 0, 2, i), 2));
    CHECK(sum([](const WorkerCounters& c) -> const Counter& { return c.balance.held; }) == 7);
    send("lan", udp(kClient, 5000, kServer, 53));
    CHECK(carried(*this) == before + 1);
}

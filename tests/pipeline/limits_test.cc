// A full flow table: who makes room for whom under the profiles linux and cgn, and what the newcomer is told.
#include <set>

#include <catch2/catch.hpp>

#include "tests/support/box.hh"

using namespace sluice;
using namespace sluice::test;

namespace {

constexpr Ip4 kClient = ip4(192, 168, 1, 10);
constexpr Ip4 kServer = ip4(203, 0, 113, 10);
constexpr unsigned kMax = 64;

const std::string kLinux = "conntrack: {max: 64, half_open: 100%, profile: linux}\n";
const std::string kCgn = "conntrack: {max: 64, half_open: 100%, profile: cgn}\n";

struct FullBox : Box {
    explicit FullBox(std::uint32_t capacity = kMax) : Box({.flows_per_worker = capacity}) {
        port("lan", PortRole::inside, "192.168.1.1/24");
        port("wan", PortRole::outside, "203.0.113.1/24");
    }

    /// An ASSURED flow: a whole handshake.
    void connect(unsigned source) {
        send("lan", tcp(kClient, source, kServer, 80).flags(kSyn));
        send("wan", tcp(kServer, 80, kClient, source).flags(kSyn | kAck));
        send("lan", tcp(kClient, source, kServer, 80).flags(kAck));
    }
    void ask(unsigned source) { send("lan", udp(kClient, source, kServer, 53)); }
    void forget_sent() {
        static_cast<void>(sent("lan"));
        static_cast<void>(sent("wan"));
    }
    std::set<unsigned> sources(L4Kind kind) {
        std::set<unsigned> out;
        for (const FlowCopy& f : flows())
            if (f.kind == kind) out.insert(f.key[0].sport.host());
        return out;
    }
    std::uint64_t early_drops() const {
        return sum([](const WorkerCounters& c) -> const Counter& { return c.early_drops; });
    }
    std::uint64_t times_full() const {
        return sum([](const WorkerCounters& c) -> const Counter& { return c.table_full; });
    }
    std::uint64_t half_open() const {
        return sum([](const WorkerCounters& c) -> const Counter& { return c.flows_half_open; });
    }
    std::uint64_t deaths(DeathCause cause) const {
        return sum(
            [&](const WorkerCounters& c) -> const Counter& { return c.flow_deaths[static_cast<std::size_t>(cause)]; });
    }
};

}  // namespace

TEST_CASE_METHOD(FullBox, "linux: a flow that is not ASSURED makes room, ASSURED ones stay") {
    configure(kLinux);
    for (unsigned i = 0; i < kMax; i += 2) {
        connect(10000 + i);
        ask(20000 + i);
    }
    REQUIRE(flows().size() == kMax);
    CHECK(times_full() == 0);
    const auto assured = sources(L4Kind::tcp);
    REQUIRE(assured.size() == kMax / 2);
    forget_sent();

    ask(30000);
    CHECK(sent("wan").size() == 1);
    CHECK(flows().size() == kMax);
    CHECK(times_full() == 1);
    CHECK(early_drops() == 1);
    CHECK(deaths(DeathCause::evicted) == 1);
    CHECK(sources(L4Kind::udp).count(30000) == 1);
    CHECK(sources(L4Kind::udp).count(20000) == 0);  // who waited longest

    // A scan: many newcomers that never get an answer push out each other and nothing else.
    for (unsigned i = 1; i <= 500; ++i) ask(30000 + i);
    CHECK(sent("wan").size() == 500);
    CHECK(flows().size() == kMax);
    CHECK(sources(L4Kind::tcp) == assured);
    CHECK(all_drops() == 0);

    send("wan", tcp(kServer, 80, kClient, 10000).flags(kAck | kPsh).payload("still here"));
    CHECK(one("lan").payload == "still here");
}

TEST_CASE_METHOD(FullBox, "linux: with only ASSURED flows left the newcomer is dropped") {
    configure(kLinux);
    for (unsigned i = 0; i < kMax; ++i) connect(10000 + i);
    forget_sent();
    ask(30000);
    CHECK(quiet("wan"));
    CHECK(quiet("lan"));
    CHECK(drops(DropReason::flow_table_full) == 1);
    CHECK(early_drops() == 0);
    CHECK(flows().size() == kMax);

    // One connection that ends makes room for one.
    send("wan", tcp(kServer, 80, kClient, 10005).flags(kRst));
    advance(10000 + 2 * TimingWheel::kTickMs);
    CHECK(flows().size() == kMax - 1);
    forget_sent();
    ask(30000);
    CHECK(sent("wan").size() == 1);
    CHECK(drops(DropReason::flow_table_full) == 1);
}

TEST_CASE_METHOD(FullBox, "linux: an ASSURED flow past its deadline makes room before the wheel finds it") {
    configure("conntrack: {max: 64, half_open: 100%, profile: linux, timeouts: {tcp_established: 60s}}\n");
    for (unsigned i = 0; i < kMax; ++i) connect(10000 + i);
    ageing_runs(false);
    advance(60000);
    forget_sent();
    ask(30000);
    CHECK(sent("wan").size() == 1);
    CHECK(deaths(DeathCause::timeout) == 1);
    CHECK(deaths(DeathCause::evicted) == 0);
    CHECK(flows().size() == kMax);
}

TEST_CASE_METHOD(FullBox, "linux: newcomers of one burst that push out each other all travel on") {
    configure(kLinux);
    for (unsigned i = 0; i < kMax - 1; ++i) connect(10000 + i);
    forget_sent();
    // One free slot: each newcomer evicts the one before it, which is in the same burst and not yet sent.
    for (unsigned i = 0; i < 8; ++i) queue("lan", udp(kClient, 30000 + i, kServer, 53).payload("q"));
    settle();
    const auto left = sent("wan").size();
    CHECK(left + drops(DropReason::flow_table_full) == 8);
    CHECK(left >= 1);
    CHECK(flows().size() == kMax);
    CHECK(sources(L4Kind::tcp).size() == kMax - 1);
}

TEST_CASE("linux: a limit far below what the table could hold evicts just as well") {
    FullBox box(4096);
    box.configure(kLinux);
    for (unsigned i = 0; i < kMax; ++i) box.ask(20000 + i);
    box.forget_sent();
    for (unsigned i = 0; i < 300; ++i) box.ask(30000 + i);
    CHECK(box.sent("wan").size() == 300);
    CHECK(box.drops(DropReason::flow_table_full) == 0);
    CHECK(box.flows().size() == kMax);
}

TEST_CASE_METHOD(FullBox, "cgn: the newcomer is refused, whatever state the others are in") {
    configure(kCgn);
    for (unsigned i = 0; i < kMax; ++i) ask(20000 + i);
    const auto before = sources(L4Kind::udp);
    forget_sent();
    for (unsigned i = 0; i < 10; ++i) ask(30000 + i);
    CHECK(quiet("wan"));
    CHECK(drops(DropReason::flow_table_full) == 10);
    CHECK(times_full() == 10);
    CHECK(early_drops() == 0);
    CHECK(sources(L4Kind::udp) == before);
    // Each sender is told (RFC 5508, REQ-8).
    const auto told = sent("lan");
    REQUIRE(told.size() == 10);
    CHECK(decode(told[0]).text() ==
          "192.168.1.1 > 192.168.1.10 icmp 3/13 {192.168.1.10:30000 > 203.0.113.10:53 udp ttl 64} ttl 64");

    // Who has a flow notices nothing.
    ask(20007);
    CHECK(sent("wan").size() == 1);
    send("wan", udp(kServer, 53, kClient, 20007));
    CHECK(sent("lan").size() == 1);

    advance(30000 + 2 * TimingWheel::kTickMs);
    forget_sent();
    ask(30000);
    CHECK(sent("wan").size() == 1);
}

TEST_CASE("a new limit holds for newcomers and takes nobody's flow") {
    FullBox box(256);
    box.configure("conntrack: {max: 256, half_open: 100%, profile: cgn}\n");
    for (unsigned i = 0; i < 100; ++i) box.ask(20000 + i);
    box.configure(kCgn);
    CHECK(box.flows().size() == 100);
    box.forget_sent();
    box.ask(30000);
    CHECK(box.quiet("wan"));
    box.ask(20050);
    CHECK(box.sent("wan").size() == 1);
    box.configure("conntrack: {max: 256, half_open: 100%, profile: cgn}\n");
    box.ask(30000);
    CHECK(box.sent("wan").size() == 1);
    CHECK(box.flows().size() == 101);
}

namespace {

/// 20 established connections of every kind, and a flood that nobody vouches for.
struct FloodedBox : FullBox {
    static constexpr unsigned kBudget = 32, kEach = 20, kFlood = 10 * kBudget;

    FloodedBox() : FullBox(1024) {}

    void establish() {
        for (unsigned i = 0; i < kEach; ++i) {
            connect(10000 + i);
            ask(11000 + i);
            send("wan", udp(kServer, 53, kClient, 11000 + i));
            send("lan", echo_request(kClient, kServer, 12000 + i));
            send("wan", echo_reply(kServer, kClient, 12000 + i));
        }
        REQUIRE(flows().size() == 3 * kEach);
        REQUIRE(half_open() == 0);
        forget_sent();
    }
    /// Packet `i` of the flood: SYNs with and without an answer, UDP and pings from ever new sources.
    void flood(unsigned i) {
        const Ip4 source = Ip4::from_host(ip4(192, 168, 1, 64).host() + i % 128);
        switch (i % 4) {
            case 0:
                send("lan", tcp(source, 20000 + i, kServer, 80).flags(kSyn));
                break;
            case 1:
                send("lan", tcp(source, 20000 + i, kServer, 80).flags(kSyn));
                send("wan", tcp(kServer, 80, source, 20000 + i).flags(kSyn | kAck));
                break;
            case 2:
                send("lan", udp(source, 20000 + i, kServer, 53));
                break;
            default:
                send("lan", echo_request(source, kServer, 20000 + i));
                break;
        }
        forget_sent();
    }
    /// A packet of one established connection arrives translated, in both directions.
    void use(unsigned i) {
        const unsigned n = i / 3 % kEach;
        switch (i % 3) {
            case 0:
                send("wan", tcp(kServer, 80, kClient, 10000 + n).flags(kAck));
                CHECK(sent("lan").size() == 1);
                send("lan", tcp(kClient, 10000 + n, kServer, 80).flags(kAck));
                break;
            case 1:
                send("wan", udp(kServer, 53, kClient, 11000 + n));
                CHECK(sent("lan").size() == 1);
                send("lan", udp(kClient, 11000 + n, kServer, 53));
                break;
            default:
                send("wan", echo_reply(kServer, kClient, 12000 + n));
                CHECK(sent("lan").size() == 1);
                send("lan", echo_request(kClient, kServer, 12000 + n));
                break;
        }
        CHECK(sent("wan").size() == 1);
    }
    unsigned established() {
        unsigned n = 0;
        for (const FlowCopy& f : flows()) {
            const unsigned source = f.key[0].sport.host();
            n += f.key[0].src() == kClient && source >= 10000 && source < 20000 ? 1 : 0;
        }
        return n;
    }
};

}  // namespace

TEST_CASE_METHOD(FloodedBox, "linux: a flood of ten times the half-open budget takes no established flow") {
    configure("conntrack: {max: 1024, half_open: 32, profile: linux}\n");
    establish();
    for (unsigned i = 0; i < kFlood; ++i) {
        flood(i);
        use(i);
        if (i % 50 == 0) advance(10);
    }
    CHECK(established() == 3 * kEach);
    CHECK(half_open() == kBudget);
    CHECK(flows().size() == 3 * kEach + kBudget);
    CHECK(early_drops() == kFlood - kBudget);
    CHECK(deaths(DeathCause::evicted) == kFlood - kBudget);
    CHECK(times_full() == 0);
    CHECK(all_drops() == 0);
    for (unsigned i = 0; i < 3 * kEach; ++i) use(i);

    // Who answers in time gets through all the same.
    connect(13000);
    CHECK(sent("lan").size() == 1);
    CHECK(sent("wan").size() == 2);
    CHECK(half_open() == kBudget - 1);
    CHECK(sources(L4Kind::tcp).count(13000) == 1);
}

TEST_CASE_METHOD(FloodedBox, "linux: a flood against a full table takes no established flow") {
    configure("conntrack: {max: 64, half_open: 32, profile: linux}\n");
    establish();
    for (unsigned i = 0; i < kFlood; ++i) {
        flood(i);
        use(i);
    }
    CHECK(established() == 3 * kEach);
    CHECK(half_open() == 64 - 3 * kEach);
    CHECK(times_full() == early_drops());
    CHECK(all_drops() == 0);
}

TEST_CASE_METHOD(FloodedBox, "cgn: a flood of ten times the half-open budget is refused, with a reason of its own") {
    configure("conntrack: {max: 1024, half_open: 32, profile: cgn}\n");
    establish();
    for (unsigned i = 0; i < kFlood; ++i) {
        flood(i);
        use(i);
    }
    CHECK(established() == 3 * kEach);
    CHECK(half_open() == kBudget);
    CHECK(early_drops() == 0);
    CHECK(times_full() == 0);
    CHECK(drops(DropReason::half_open_full) == kFlood - kBudget);
    CHECK(drops(DropReason::flow_table_full) == 0);

    // The first to be over makes room for the next.
    advance(30000 + 2 * TimingWheel::kTickMs);
    CHECK(half_open() < kBudget);
    forget_sent();
    ask(14000);
    CHECK(sent("wan").size() == 1);
}

TEST_CASE_METHOD(FloodedBox, "the half-open budget of a new configuration holds at once and takes nobody's flow") {
    configure("conntrack: {max: 1024, half_open: 64, profile: cgn}\n");
    for (unsigned i = 0; i < 64; ++i) ask(20000 + i);
    CHECK(half_open() == 64);
    configure("conntrack: {max: 1024, half_open: 32, profile: cgn}\n");
    CHECK(half_open() == 64);
    forget_sent();
    ask(30000);
    CHECK(quiet("wan"));
    CHECK(drops(DropReason::half_open_full) == 1);
    for (unsigned i = 0; i < 33; ++i) send("wan", udp(kServer, 53, kClient, 20000 + i));
    CHECK(half_open() == 31);
    ask(30000);
    CHECK(sent("wan").size() == 1);
    configure("conntrack: {max: 1024, half_open: 50%, profile: cgn}\n");
    for (unsigned i = 0; i < 600; ++i) ask(40000 + i);
    CHECK(half_open() == 512);
}

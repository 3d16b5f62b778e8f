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

const std::string kLinux = "conntrack: {max: 64, profile: linux}\n";
const std::string kCgn = "conntrack: {max: 64, profile: cgn}\n";

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
    configure("conntrack: {max: 64, profile: linux, timeouts: {tcp_established: 60s}}\n");
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
    box.configure("conntrack: {max: 256, profile: cgn}\n");
    for (unsigned i = 0; i < 100; ++i) box.ask(20000 + i);
    box.configure(kCgn);
    CHECK(box.flows().size() == 100);
    box.forget_sent();
    box.ask(30000);
    CHECK(box.quiet("wan"));
    box.ask(20050);
    CHECK(box.sent("wan").size() == 1);
    box.configure("conntrack: {max: 256, profile: cgn}\n");
    box.ask(30000);
    CHECK(box.sent("wan").size() == 1);
    CHECK(box.flows().size() == 101);
}

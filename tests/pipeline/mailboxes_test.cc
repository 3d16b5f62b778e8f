// Mailboxes that are far too small: a full ring may make things late, but no flow is lost by it and none lives for
// ever.
#include <catch2/catch.hpp>

#include "tests/support/box.hh"

using namespace sluice;
using namespace sluice::test;

namespace {

constexpr Ip4 kServer = ip4(203, 0, 113, 10);
constexpr unsigned kFlows = 500;

constexpr Ip4 client(unsigned i) {
    return ip4(192, 168, 1, 10 + i % 50);
}
constexpr unsigned source(unsigned i) {
    return 10000 + i;
}

const char* const kTimeouts = R"(
conntrack: {half_open: 100%, timeouts: {udp: 5s, udp_stream: 6s, tcp_syn_sent: 7s, tcp_established: 9s, tcp_close: 2s}}
)";

struct SmallBox : Box {
    explicit SmallBox(unsigned workers = 1, std::uint32_t flows = 512)
        : Box({.workers = workers, .flows_per_worker = flows, .notices = 8, .orders = 8}) {
        port("lan", PortRole::inside, "192.168.1.1/24");
        port("dmz", PortRole::inside, "192.168.2.1/24");
        port("wan", PortRole::outside, "203.0.113.1/24");
        route("203.0.113.10/32", "203.0.113.10");
        route("192.168.2.20/32", "192.168.2.20");
        for (unsigned i = 0; i < 50; ++i) {
            const std::string host = "192.168.1." + std::to_string(10 + i);
            route(host + "/32", host);
        }
    }
    template <class Pick>
    std::uint64_t total(Pick pick) const {
        return sum([&](const WorkerCounters& c) -> const Counter& { return pick(c); });
    }
    std::uint64_t births() const {
        return total([](const WorkerCounters& c) -> const Counter& { return c.flow_births; });
    }
    std::uint64_t deaths(DeathCause cause) const {
        return total(
            [&](const WorkerCounters& c) -> const Counter& { return c.flow_deaths[static_cast<std::size_t>(cause)]; });
    }
    std::uint64_t deferred() const {
        return total([](const WorkerCounters& c) -> const Counter& { return c.notices_deferred; });
    }
    /// Nothing is left anywhere: not in the table, not in a gauge, not on the wheel, not on its way.
    void check_empty(unsigned workers = 1) {
        CHECK(flows().empty());
        for (std::size_t s = 0; s < kTcpStateCount; ++s) {
            INFO("TCP state " << s);
            CHECK(total([&](const WorkerCounters& c) -> const Counter& { return c.flows_tcp[s]; }) == 0);
        }
        CHECK(total([](const WorkerCounters& c) -> const Counter& {
                  return c.flows_of[static_cast<std::size_t>(L4Kind::udp)];
              }) == 0);
        CHECK(total([](const WorkerCounters& c) -> const Counter& { return c.flows_assured; }) == 0);
        CHECK(total([](const WorkerCounters& c) -> const Counter& { return c.flows_half_open; }) == 0);
        CHECK(total([](const WorkerCounters& c) -> const Counter& { return c.stubs; }) == 0);
        CHECK(ageing().stats().armed == 0);
        for (unsigned w = 0; w < workers; ++w) {
            CHECK_FALSE(lcore(w).store.has_pending());
            CHECK(lcore(w).store.live() == 0);
        }
    }
};

}  // namespace

TEST_CASE_METHOD(SmallBox, "500 flows through mailboxes of 8: all are born, all expire, all slots come back") {
    configure(kTimeouts);
    // Twice: the second time needs the slots of the first, of which there are 512.
    for (unsigned round = 1; round <= 2; ++round) {
        INFO("round " << round);
        const auto before = deferred();
        for (unsigned i = 0; i < kFlows; ++i) queue("lan", udp(client(i), source(i), kServer, 53));
        settle();
        CHECK(sent("wan").size() == kFlows);
        CHECK(flows().size() == kFlows);
        CHECK(deferred() > before);
        advance(4000);
        CHECK(flows().size() == kFlows);
        CHECK(ageing().stats().armed == kFlows);

        advance(1000 + kFlows / 7 * 16 + 500);  // seven orders at a time, every other tick
        check_empty();
        CHECK(births() == round * kFlows);
        CHECK(deaths(DeathCause::timeout) == round * kFlows);
    }
    CHECK(ageing().stats().orders_full > 0);
    CHECK(all_drops() == 0);
}

TEST_CASE_METHOD(SmallBox, "flows that are used live on while the orders to expire others queue") {
    configure(kTimeouts);
    for (unsigned i = 0; i < kFlows; ++i) queue("lan", udp(client(i), source(i), kServer, 53));
    settle();
    for (unsigned second = 0; second < 90; second += 3) {
        for (unsigned i = 0; i < kFlows; i += 50) queue("lan", udp(client(i), source(i), kServer, 53));
        settle();
        advance(3000);
    }
    CHECK(births() == kFlows);
    CHECK(flows().size() == kFlows / 50);
    CHECK(deaths(DeathCause::timeout) == kFlows - kFlows / 50);
    advance(20000);
    check_empty();
}

TEST_CASE_METHOD(SmallBox, "flows whose end comes before control heard of them leave nothing behind") {
    configure(kTimeouts);
    for (unsigned i = 0; i < kFlows; ++i) queue("lan", tcp(client(i), source(i), kServer, 80).flags(kSyn));
    for (unsigned i = 0; i < kFlows; ++i) queue("wan", tcp(kServer, 80, client(i), source(i)).flags(kRst | kAck));
    settle();
    CHECK(sent("wan").size() == kFlows);
    CHECK(sent("lan").size() == kFlows);
    CHECK(births() == kFlows);
    CHECK(deaths(DeathCause::closed) == kFlows);
    advance(1000);
    check_empty();
}

TEST_CASE_METHOD(SmallBox, "timeouts that shorten all at once") {
    configure(kTimeouts);
    for (unsigned i = 0; i < kFlows; ++i) queue("lan", tcp(client(i), source(i), kServer, 80).flags(kSyn));
    settle();
    for (unsigned i = 0; i < kFlows; ++i) queue("wan", tcp(kServer, 80, client(i), source(i)).flags(kSyn | kAck));
    settle();
    for (unsigned i = 0; i < kFlows; ++i) queue("lan", tcp(client(i), source(i), kServer, 80).flags(kAck));
    settle();
    advance(1000);
    CHECK(total([](const WorkerCounters& c) -> const Counter& {
              return c.flows_tcp[static_cast<std::size_t>(TcpState::established)];
          }) == kFlows);
    CHECK(total([](const WorkerCounters& c) -> const Counter& { return c.flows_assured; }) == kFlows);
    CHECK(total([](const WorkerCounters& c) -> const Counter& { return c.flows_half_open; }) == 0);
    for (unsigned i = 0; i < kFlows; ++i) queue("wan", tcp(kServer, 80, client(i), source(i)).flags(kRst));
    settle();
    advance(1999);
    CHECK(flows().size() == kFlows);
    advance(2000);
    // 9 s were in force when the wheel was set; two seconds after the RSTs the first are gone.
    CHECK(flows().size() < kFlows);
    advance(99000);
    check_empty();
    CHECK(deaths(DeathCause::timeout) == kFlows);
}

TEST_CASE("reply keys that other workers keep go with their flows, however full the mailboxes") {
    SmallBox box(2);
    box.configure(kTimeouts);
    for (unsigned i = 0; i < kFlows; ++i) box.queue("lan", udp(client(i), source(i), ip4(192, 168, 2, 20), 53), i % 2);
    box.settle();
    CHECK(box.sent("dmz").size() == kFlows);
    CHECK(box.flows().size() == kFlows);
    CHECK(box.total([](const WorkerCounters& c) -> const Counter& { return c.stubs; }) > 0);
    // The replies find their flows by them.
    for (unsigned i = 0; i < kFlows; ++i) box.queue("dmz", udp(ip4(192, 168, 2, 20), 53, client(i), source(i)), i % 2);
    box.settle();
    CHECK(box.sent("lan").size() == kFlows);
    CHECK(box.births() == kFlows);
    box.advance(99000);
    box.check_empty(2);
    CHECK(box.births() == box.deaths(DeathCause::timeout));
}

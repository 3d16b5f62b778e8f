// Every timeout of the configuration, by real packets on the virtual clock: a flow is there until the very millisecond
// of its deadline, gone one tick of the wheel later, and past its deadline no packet finds it, wheel or no wheel.
#include <functional>

#include <catch2/catch.hpp>

#include "tests/support/box.hh"

using namespace sluice;
using namespace sluice::test;

namespace {

constexpr Ip4 kClient = ip4(192, 168, 1, 10);
constexpr Ip4 kServer = ip4(203, 0, 113, 10);

/// All different, so that a timeout taken from the wrong state shows.
const char* const kSmall = R"(
conntrack:
  timeouts: {tcp_syn_sent: 11s, tcp_syn_recv: 12s, tcp_established: 30s, tcp_fin_wait: 13s, tcp_close_wait: 14s,
             tcp_last_ack: 15s, tcp_time_wait: 16s, tcp_close: 17s, tcp_syn_sent2: 18s, tcp_unacknowledged: 19s,
             tcp_max_retrans: 20s, udp: 21s, udp_stream: 22s, icmp: 23s, generic: 24s}
)";

struct TimeoutBox : Box {
    TimeoutBox() {
        port("lan", PortRole::inside, "192.168.1.1/24");
        port("wan", PortRole::outside, "203.0.113.1/24");
        neighbours_known();
    }

    /// The client's source port, ICMP id: one for each flow of a test.
    unsigned source = 40000;

    void c2s(unsigned flags) { send("lan", tcp(kClient, source, kServer, 80).flags(flags)); }
    void s2c(unsigned flags) { send("wan", tcp(kServer, 80, kClient, source).flags(flags)); }
    void handshake() {
        c2s(kSyn);
        s2c(kSyn | kAck);
        c2s(kAck);
    }
    std::uint64_t births() const {
        return sum([](const WorkerCounters& c) -> const Counter& { return c.flow_births; });
    }
    std::uint64_t deaths(DeathCause cause) const {
        return sum(
            [&](const WorkerCounters& c) -> const Counter& { return c.flow_deaths[static_cast<std::size_t>(cause)]; });
    }
    std::uint64_t found_late() const {
        return sum([](const WorkerCounters& c) -> const Counter& { return c.expire_late; });
    }

private:
    void neighbours_known() {
        route("203.0.113.10/32", "203.0.113.10");
        route("192.168.1.10/32", "192.168.1.10");
    }
};

struct Recipe {
    const char* name;
    std::uint32_t small_s, default_s;
    std::function<void(TimeoutBox&)> open;
    std::function<void(TimeoutBox&)> probe;  ///< a packet that would open a flow if there were none
};

void probe_tcp(TimeoutBox& b) {
    b.c2s(kAck);
}
void ask_udp(TimeoutBox& b) {
    b.send("lan", udp(kClient, b.source, kServer, 53));
}
void answer_udp(TimeoutBox& b) {
    b.send("wan", udp(kServer, 53, kClient, b.source));
}
void ping(TimeoutBox& b) {
    b.send("lan", echo_request(kClient, kServer, b.source));
}
/// One flow for each pair of addresses: nothing tells two of them apart.
void gre(TimeoutBox& b) {
    b.send("lan", protocol(99, kClient, kServer).payload("tunnelled"));
}

const std::vector<Recipe>& recipes() {
    static const std::vector<Recipe> all{
        {"SYN_SENT", 11, 120, [](TimeoutBox& b) { b.c2s(kSyn); }, probe_tcp},
        {"SYN_RECV", 12, 60,
         [](TimeoutBox& b) {
             b.c2s(kSyn);
             b.s2c(kSyn | kAck);
         },
         probe_tcp},
        {"ESTABLISHED", 30, 432000, [](TimeoutBox& b) { b.handshake(); }, probe_tcp},
        {"FIN_WAIT", 13, 120,
         [](TimeoutBox& b) {
             b.handshake();
             b.c2s(kFin | kAck);
         },
         probe_tcp},
        {"CLOSE_WAIT", 14, 60,
         [](TimeoutBox& b) {
             b.handshake();
             b.c2s(kFin | kAck);
             b.s2c(kAck);
         },
         probe_tcp},
        {"LAST_ACK", 15, 30,
         [](TimeoutBox& b) {
             b.handshake();
             b.c2s(kFin | kAck);
             b.s2c(kAck);
             b.s2c(kFin | kAck);
         },
         probe_tcp},
        {"TIME_WAIT", 16, 120,
         [](TimeoutBox& b) {
             b.handshake();
             b.c2s(kFin | kAck);
             b.s2c(kAck);
             b.s2c(kFin | kAck);
             b.c2s(kAck);
         },
         probe_tcp},
        {"CLOSE", 17, 10,
         [](TimeoutBox& b) {
             b.handshake();
             b.s2c(kRst);
         },
         probe_tcp},
        {"SYN_SENT2", 18, 120,
         [](TimeoutBox& b) {
             b.c2s(kSyn);
             b.s2c(kSyn);  // leaves the deadline as it was, as any SYN does in SYN_SENT
             b.c2s(kSyn);
         },
         probe_tcp},
        {"picked up, unacknowledged", 19, 300, [](TimeoutBox& b) { b.c2s(kAck); }, probe_tcp},
        {"picked up, the answer itself", 19, 300,
         [](TimeoutBox& b) {
             b.c2s(kAck);
             b.s2c(kAck);
         },
         probe_tcp},
        {"picked up, answered", 30, 432000,
         [](TimeoutBox& b) {
             b.c2s(kAck);
             b.s2c(kAck);
             b.c2s(kAck);
         },
         probe_tcp},
        {"UDP", 21, 30, ask_udp, ask_udp},
        {"UDP, a question and its answer", 21, 30,
         [](TimeoutBox& b) {
             ask_udp(b);
             answer_udp(b);
             b.advance(2000);
             ask_udp(b);
         },
         ask_udp},
        {"UDP stream", 22, 120,
         [](TimeoutBox& b) {
             ask_udp(b);
             answer_udp(b);
             b.advance(2001);
             ask_udp(b);
         },
         ask_udp},
        {"ICMP", 23, 30, ping, ping},
        {"generic", 24, 600, gre, gre},
    };
    return all;
}

}  // namespace

TEST_CASE_METHOD(TimeoutBox, "without a word in the configuration every timeout is that of Linux") {
    configure("");
    for (const Recipe& r : recipes()) {
        INFO(r.name);
        ++source;
        const auto before = births();
        r.open(*this);
        CHECK(births() == before + 1);
        std::optional<std::uint32_t> found;
        for (const FlowCopy& f : flows())
            if (f.kind == L4Kind::generic || f.key[0].sport.host() == source) found = f.lifetime.timeout_s;
        CHECK(found == r.default_s);
        // The next recipe's flow is found by its port; protocol 99 has none and comes last.
    }
}

TEST_CASE_METHOD(TimeoutBox, "a flow lives to its deadline and is gone a tick of the wheel later") {
    configure(kSmall);
    for (const Recipe& r : recipes()) {
        INFO(r.name);
        ++source;
        const auto timed_out = deaths(DeathCause::timeout);
        r.open(*this);
        CHECK(flow().lifetime.timeout_s == r.small_s);
        CHECK(flow().lifetime.last_seen_ms == now());
        advance(r.small_s * 1000 - 1);
        CHECK(flows().size() == 1);
        CHECK(deaths(DeathCause::timeout) == timed_out);
        advance(TimingWheel::kTickMs);
        CHECK(flows().empty());
        CHECK(deaths(DeathCause::timeout) == timed_out + 1);
    }
    CHECK(found_late() == 0);
    CHECK(ageing().stats().armed == 0);
}

TEST_CASE_METHOD(TimeoutBox,
                 "a packet in a flow's last millisecond belongs to it, one at its deadline opens a new one") {
    configure(kSmall);
    ageing_runs(false);
    for (const Recipe& r : recipes()) {
        INFO(r.name);
        ++source;
        r.open(*this);
        const auto first = flow().id;
        auto born = births(), late = found_late();
        advance(r.small_s * 1000 - 1);
        r.probe(*this);
        CHECK(births() == born);
        CHECK(flow().id == first);

        const TimeMs left = flow().lifetime.deadline_ms() - now();
        advance(left);
        r.probe(*this);
        CHECK(births() == born + 1);
        CHECK(found_late() == late + 1);
        CHECK(flow().id != first);
        CHECK((flow().status & (status::kSeenReply | status::kAssured)) == 0);
        CHECK(flow().created_ms == now());

        ageing_runs(true);
        advance(60000);
        CHECK(flows().empty());
        ageing_runs(false);
    }
}

TEST_CASE_METHOD(TimeoutBox, "a reply past the deadline finds no flow") {
    configure(std::string(kSmall) + R"(
filter:
  forward: {policy: drop, rules: [{state: established, action: accept}, {in: lan, action: accept}]}
)");
    ageing_runs(false);
    ask_udp(*this);
    advance(20999);
    answer_udp(*this);
    CHECK(sent("lan").size() == 1);
    advance(21000);
    answer_udp(*this);
    CHECK(quiet("lan"));
    CHECK(drops(DropReason::filter_forward) == 1);
    CHECK(flows().empty());
    CHECK(found_late() == 1);
}

TEST_CASE_METHOD(TimeoutBox, "a repeated SYN does not renew the timeout, a packet of any other state does") {
    configure(kSmall);
    c2s(kSyn);
    const TimeMs begun = now();
    advance(5000);
    c2s(kSyn);
    CHECK(flow().lifetime.deadline_ms() == begun + 11000);
    s2c(kSyn | kAck);
    CHECK(flow().lifetime.deadline_ms() == now() + 12000);
    advance(5000);
    c2s(kAck);
    advance(20000);
    s2c(kAck | kPsh);
    CHECK(flow().lifetime.deadline_ms() == now() + 30000);
    advance(29999);
    CHECK(flows().size() == 1);
    advance(8);
    CHECK(flows().empty());
}

TEST_CASE_METHOD(TimeoutBox, "new timeouts are in force from a flow's next packet on") {
    configure(kSmall);
    ask_udp(*this);
    configure("conntrack: {timeouts: {udp: 3s}}\n");
    CHECK(flow().lifetime.timeout_s == 21);
    advance(4000);
    CHECK(flow().lifetime.timeout_s == 21);
    ask_udp(*this);
    CHECK(flow().lifetime.timeout_s == 3);
    advance(2999);
    CHECK(flows().size() == 1);
    advance(8);
    CHECK(flows().empty());
}

TEST_CASE_METHOD(TimeoutBox, "a packet between the order to expire and its execution saves the flow") {
    configure(kSmall);
    ask_udp(*this);
    const auto id = flow().id;
    const TimeMs deadline = flow().lifetime.deadline_ms();
    advance(20999);
    ageing_runs(false);
    // Control's clock is a tick ahead of the worker's, whose next burst still meets the flow alive.
    ageing().poll(deadline + TimingWheel::kTickMs, 4096);
    CHECK(ageing().stats().expires_posted == 1);
    ask_udp(*this);
    CHECK(sum([](const WorkerCounters& c) -> const Counter& { return c.expire_refused; }) == 1);
    CHECK(flow().id == id);
    ageing_runs(true);

    const TimeMs saved_until = flow().lifetime.deadline_ms();
    CHECK(saved_until == now() + 21000);
    advance(20999);
    CHECK(flow().id == id);
    CHECK(ageing().stats().rearmed == 1);
    advance(TimingWheel::kTickMs);
    CHECK(flows().empty());
    CHECK(ageing().stats().armed == 0);
}

TEST_CASE_METHOD(TimeoutBox, "an order to expire that was refused is given again") {
    configure(kSmall);
    ask_udp(*this);
    const TimeMs deadline = flow().lifetime.deadline_ms();
    advance(20998);
    ageing_runs(false);
    ageing().poll(deadline + TimingWheel::kTickMs, 4096);
    settle();  // by the worker's clock it is not yet dead
    CHECK(sum([](const WorkerCounters& c) -> const Counter& { return c.expire_refused; }) == 1);
    CHECK(flows().size() == 1);
    ageing_runs(true);
    advance(500);
    CHECK(flows().size() == 1);
    advance(600);
    CHECK(flows().empty());
    CHECK(ageing().stats().expires_posted == 2);
    CHECK(ageing().stats().expires_repeated == 1);
    CHECK(ageing().stats().armed == 0);
    CHECK(deaths(DeathCause::timeout) == 1);
}

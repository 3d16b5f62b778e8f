// Every cell of the TCP table by whole packets: a connection is brought into each state by its segments, then each kind
// of segment comes from each end. What is expected was recorded from Linux (tests/judge/scenarios/tcp_table has the
// same cells), the rules on top of the table included.
#include <array>
#include <map>
#include <string>
#include <string_view>

#include <catch2/catch.hpp>

#include "tests/support/two_ports.hh"

using namespace sluice;
using namespace sluice::test;

namespace {

const std::string kRouted = R"(
filter:
  forward: {policy: accept, rules: [{state: invalid, action: drop}]}
)";

struct Connection : TwoPorts {
    Connection() : TwoPorts({.ipv6 = false}, kRouted) {}

    /// One segment with the numbers that its end has come to. A FIN or SYN that is repeated has its old number.
    void client(unsigned flags) { say("lan", "wan", kClient, 40000, kServer, 80, flags, out, back); }
    void server(unsigned flags) { say("wan", "lan", kServer, 80, kClient, 40000, flags, back, out); }
    /// Whether the last one came out.
    bool passed = false;

    /// Into the state of this name.
    void bring_to(std::string_view state) {
        client(kSyn);
        if (state == "SS") return;
        if (state == "S2") return server(kSyn);
        server(kSyn | kAck);
        if (state == "SR") return;
        client(kAck);
        if (state == "ES") return;
        if (state == "CL") return server(kRst | kAck);
        client(kFin | kAck);
        if (state == "FW") return;
        server(kAck);
        if (state == "CW") return;
        server(kFin | kAck);
        if (state == "LA") return;
        client(kAck);  // TW
    }

private:
    struct Numbers {
        std::uint32_t syn = 0, next = 0;
    };
    Numbers out{1000, 1000}, back{5000, 5000};

    void say(const char* from, const char* to, Ip4 src, unsigned sport, Ip4 dst, unsigned dport, unsigned flags,
             Numbers& mine, const Numbers& theirs) {
        const bool syn = (flags & kSyn) != 0, fin = (flags & kFin) != 0, acknowledges = (flags & kAck) != 0;
        send(from, tcp(src, sport, dst, dport)
                       .flags(flags)
                       .seq(syn ? mine.syn : mine.next)
                       .ack(acknowledges ? std::max(theirs.next, theirs.syn + 1) : 0)
                       .window(5840));
        passed = !quiet(to);
        if (syn || fin) mine.next = std::max(mine.next + (fin ? 1 : 0), mine.syn + 1);
    }
};

TcpState state_of(std::string_view letters) {
    static const std::map<std::string_view, TcpState> kStates{
        {"SS", TcpState::syn_sent},  {"SR", TcpState::syn_recv},   {"ES", TcpState::established},
        {"FW", TcpState::fin_wait},  {"CW", TcpState::close_wait}, {"LA", TcpState::last_ack},
        {"TW", TcpState::time_wait}, {"CL", TcpState::close},      {"S2", TcpState::syn_sent2}};
    return kStates.at(letters);
}

struct Row {
    const char* what;
    bool from_client;
    unsigned flags;
    /// By state: the next one (in small letters: and it neither counts nor lives longer); IV: INVALID; IG: passes and
    /// changes nothing; --: the flow is over; >S, <S: a new connection has begun in its place, of the client or of the
    /// server.
    std::array<const char*, 9> next;
};

// clang-format off
constexpr std::array<const char*, 9> kBefore{"SS", "SR", "ES", "FW", "CW", "LA", "TW", "CL", "S2"};
const Row kRows[] = {
    {"client SYN",     true,  kSyn,        {"IG", "IG", "IG", "IG", "IG", "IG", ">S", "IG", "S2"}},
    {"client SYN/ACK", true,  kSyn | kAck, {"IV", "SR", "IV", "IV", "IV", "IV", "IV", "IV", "SR"}},
    {"client FIN",     true,  kFin | kAck, {"IV", "FW", "FW", "LA", "LA", "LA", "TW", "CL", "IV"}},
    {"client ACK",     true,  kAck,        {"IV", "ES", "ES", "CW", "CW", "TW", "TW", "CL", "IV"}},
    {"client RST",     true,  kRst,        {"--", "CL", "CL", "CL", "CL", "CL", "CL", "CL", "CL"}},
    {"client nothing", true,  0,           {"IV", "IV", "IV", "IV", "IV", "IV", "IV", "IV", "IV"}},
    {"server SYN",     false, kSyn,        {"s2", "IV", "IV", "IV", "IV", "IV", "<S", "IV", "S2"}},
    {"server SYN/ACK", false, kSyn | kAck, {"SR", "IG", "IG", "IG", "IG", "IG", "IG", "IG", "SR"}},
    {"server FIN",     false, kFin | kAck, {"IV", "FW", "FW", "LA", "LA", "LA", "TW", "CL", "IV"}},
    {"server ACK",     false, kAck,        {"IG", "SR", "ES", "CW", "CW", "TW", "TW", "CL", "IG"}},
    {"server RST",     false, kRst | kAck, {"--", "CL", "CL", "CL", "CL", "CL", "CL", "CL", "CL"}},
    {"server nothing", false, 0,           {"IV", "IV", "IV", "IV", "IV", "IV", "IV", "IV", "IV"}},
};
// clang-format on

}  // namespace

TEST_CASE("every cell of the TCP table, by the segments of a connection") {
    for (const Row& row : kRows) {
        for (std::size_t i = 0; i < kBefore.size(); ++i) {
            INFO(row.what << " in " << kBefore[i]);
            Connection c;
            c.bring_to(kBefore[i]);
            const FlowCopy before = c.flow();
            REQUIRE(before.tcp_state == state_of(kBefore[i]));
            c.advance(2000);
            row.from_client ? c.client(row.flags) : c.server(row.flags);
            const std::string_view next = row.next[i];
            CHECK(c.passed == (next != "IV"));
            if (next == "--") {
                CHECK(c.flows().empty());
                continue;
            }
            const FlowCopy after = c.flow();
            if (next == "IV" || next == "IG") {
                CHECK(after.tcp_state == before.tcp_state);
                CHECK(after.id == before.id);
                CHECK(after.lifetime.deadline_ms() == before.lifetime.deadline_ms());
                CHECK(after.packets[0] + after.packets[1] == before.packets[0] + before.packets[1]);
            } else if (next == ">S" || next == "<S") {
                CHECK(after.tcp_state == TcpState::syn_sent);
                CHECK(after.id != before.id);
                CHECK(after.key[0].src() == (next == ">S" ? kClient : kServer));
                CHECK(after.packets[0] == 1);
                CHECK(after.packets[1] == 0);
            } else if (next == "s2") {
                CHECK(after.tcp_state == TcpState::syn_sent2);
                CHECK(after.lifetime.deadline_ms() == before.lifetime.deadline_ms());
                CHECK(after.packets[0] + after.packets[1] == before.packets[0] + before.packets[1]);
            } else {
                CHECK(after.tcp_state == state_of(next));
                CHECK(after.id == before.id);
                CHECK(after.lifetime.last_seen_ms == c.now());
            }
        }
    }
}

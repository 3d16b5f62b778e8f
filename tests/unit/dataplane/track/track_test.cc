// The trackers by real packets: every cell of the TCP table, the rules Linux puts on top of it, UDP's two stages, and
// what rules see of a packet (NEW, ESTABLISHED, RELATED, INVALID). An INVALID packet changes nothing. Sequence numbers
// are in tcp_numbers_test.cc; here they are always the same, and tracking is liberal with them.
#include "dataplane/track/track.hh"

#include <array>
#include <memory>
#include <string>

#include <catch2/catch.hpp>

#include "tests/support/track_room.hh"

using namespace sluice;
using namespace sluice::test;

namespace {

constexpr Ip4 kClient = ip4(192, 0, 2, 7), kServer = ip4(203, 0, 113, 9);
constexpr auto kOut = Direction::original, kBack = Direction::reply;

/// Every timeout is different, so that a lifetime names its state.
constexpr Timeouts kTimeouts = [] {
    Timeouts t{};
    for (std::size_t s = 0; s < kTcpStateCount; ++s) t.tcp[s] = static_cast<std::uint32_t>(1000 + 100 * s);
    t.tcp_unacknowledged = 77;
    t.tcp_max_retrans = 9999;  // caps have tests of their own, in tcp_numbers_test.cc
    t.udp = 30;
    t.udp_stream = 120;
    t.icmp = 25;
    t.generic = 600;
    return t;
}();

struct Room : TrackRoom {
    Room() : TrackRoom(kTimeouts) { rules.be_liberal = true; }

    TrackResult see(Direction d, const PacketBuilder& b) {
        Packet p = parsed(b);
        p.slot = slot;
        p.direction = d;
        const TrackResult result = track(flows.store, p, {kTimeouts, rules}, nullptr, now);
        state = p.state;
        reason = p.invalid_reason;
        kept_slot = p.slot;
        rte_pktmbuf_free(p.mbuf);
        return result;
    }
    /// A TCP segment; the client opened.
    TrackResult segment(Direction d, unsigned flags) {
        auto segment = d == kOut ? tcp(kClient, 40000, kServer, 80) : tcp(kServer, 80, kClient, 40000);
        return see(d, segment.flags(flags).seq(1000).ack(1000));
    }
    void handshake() {
        open(tcp(kClient, 40000, kServer, 80).flags(kSyn));
        REQUIRE(segment(kBack, kSyn | kAck) == TrackResult::accept);
        REQUIRE(segment(kOut, kAck) == TrackResult::accept);
        REQUIRE(flow().tcp_state == TcpState::established);
    }
    void close_by_client() {
        segment(kOut, kFin | kAck);
        segment(kBack, kAck);
        segment(kBack, kFin | kAck);
        segment(kOut, kAck);
        REQUIRE(flow().tcp_state == TcpState::time_wait);
    }
    TimeMs seen() { return flow().lifetime.load().last_seen_ms; }

    PacketState state{};
    InvalidReason reason{};
    SlotIndex kept_slot = kNoSlot;
};

struct Cell {
    unsigned flags;
    Direction direction;
    // now: SYNS SYNR EST FINW CLOW LACK TIMW CLOS SYN2, in the letters of nf_conntrack_proto_tcp.c. What the rules on
    // top of the table change is written out: a SYN for a closed connection passes as IG until one side closed it.
    std::array<const char*, 9> next;
};

// clang-format off
const Cell kCells[] = {
    {kSyn,        kOut,  {"SS", "IG", "IG", "IG", "IG", "IG", "IG", "IG", "S2"}},
    {kSyn | kAck, kOut,  {"IV", "SR", "IV", "IV", "IV", "IV", "IV", "IV", "SR"}},
    {kFin | kAck, kOut,  {"IV", "FW", "FW", "LA", "LA", "LA", "TW", "CL", "IV"}},
    {kAck,        kOut,  {"IV", "ES", "ES", "CW", "CW", "TW", "TW", "CL", "IV"}},
    {kRst,        kOut,  {"CL", "CL", "CL", "CL", "CL", "CL", "CL", "CL", "CL"}},
    {kSyn,        kBack, {"S2", "IV", "IV", "IV", "IV", "IV", "IG", "IV", "S2"}},
    {kSyn | kAck, kBack, {"SR", "IG", "IG", "IG", "IG", "IG", "IG", "IG", "SR"}},
    {kFin | kAck, kBack, {"IV", "FW", "FW", "LA", "LA", "LA", "TW", "CL", "IV"}},
    {kAck,        kBack, {"IG", "SR", "ES", "CW", "CW", "TW", "TW", "CL", "IG"}},
    {kRst,        kBack, {"CL", "CL", "CL", "CL", "CL", "CL", "CL", "CL", "CL"}},
};
// clang-format on

TcpState state_named(std::string_view letters) {
    const std::array<std::string_view, 10> names{"NO", "SS", "SR", "ES", "FW", "CW", "LA", "TW", "CL", "S2"};
    for (std::size_t i = 0; i < names.size(); ++i)
        if (names[i] == letters) return static_cast<TcpState>(i);
    FAIL("no state " << letters);
    return {};
}

}  // namespace

TEST_CASE("every cell of the TCP table does what Linux does") {
    for (const Cell& row : kCells) {
        for (std::size_t i = 0; i < row.next.size(); ++i) {
            Room room;
            room.open(tcp(kClient, 40000, kServer, 80).flags(kSyn));
            room.flows.store.set_status(room.slot, status::kSeenReply);
            const auto before = static_cast<TcpState>(i + 1);
            room.flows.store.set_tcp_state(room.slot, before);
            room.now.ms = 5000;
            const std::uint32_t old_timeout = room.timeout();
            INFO("flags " << row.flags << (row.direction == kOut ? " original " : " reply ") << name_of(before));
            const TrackResult result = room.segment(row.direction, row.flags);
            const std::string_view next = row.next[i];
            if (next == "IV") {
                CHECK((result == TrackResult::invalid));
                CHECK((room.state == PacketState::invalid));
                CHECK(room.kept_slot == kNoSlot);
                CHECK(room.flow().half[0].packets + room.flow().half[1].packets == 0);
            } else {
                CHECK((result == (next == "IG" ? TrackResult::ignore : TrackResult::accept)));
                CHECK((room.state == PacketState::established));
                CHECK(room.flow().dir(row.direction).packets == (next == "IG" ? 0 : 1));
            }
            if (next == "IV" || next == "IG") {
                CHECK((room.flow().tcp_state == before));
                CHECK(room.seen() == 1000);
                CHECK(room.timeout() == old_timeout);
            } else {
                const TcpState state = state_named(next);
                CHECK((room.flow().tcp_state == state));
                CHECK(room.seen() == 5000);
                CHECK(room.timeout() == kTimeouts.of(state));
            }
        }
    }
}

TEST_CASE("a connection from SYN to TIME_WAIT passes through the states and their timeouts") {
    Room room;
    room.open(tcp(kClient, 40000, kServer, 80).flags(kSyn));
    CHECK((room.flow().tcp_state == TcpState::syn_sent));
    struct Step {
        Direction direction;
        unsigned flags;
        TcpState state;
    };
    const Step steps[] = {{kBack, kSyn | kAck, TcpState::syn_recv},   {kOut, kAck, TcpState::established},
                          {kOut, kPsh | kAck, TcpState::established}, {kBack, kAck, TcpState::established},
                          {kBack, kFin | kAck, TcpState::fin_wait},   {kOut, kAck, TcpState::close_wait},
                          {kOut, kFin | kAck, TcpState::last_ack},    {kBack, kAck, TcpState::time_wait}};
    for (const Step& s : steps) {
        room.now.ms += 100;
        CHECK((room.segment(s.direction, s.flags) == TrackResult::accept));
        CHECK((room.flow().tcp_state == s.state));
        CHECK(room.timeout() == kTimeouts.of(s.state));
        CHECK(room.seen() == room.now.ms);
        CHECK((room.state == PacketState::established));
    }
    CHECK(room.flows.counters->flows_tcp[static_cast<std::size_t>(TcpState::time_wait)].get() == 1);
}

TEST_CASE("a repeated SYN passes as NEW and does not renew the timeout") {
    Room room;
    room.open(tcp(kClient, 40000, kServer, 80).flags(kSyn));
    room.now.ms = 9000;
    CHECK((room.segment(kOut, kSyn) == TrackResult::ignore));
    CHECK((room.state == PacketState::new_flow));
    CHECK(room.seen() == 1000);
    CHECK((room.flow().tcp_state == TcpState::syn_sent));
}

TEST_CASE("an RST that nobody answered ends the flow, one that was answered closes it") {
    Room room;
    room.open(tcp(kClient, 40000, kServer, 80).flags(kSyn));
    SECTION("the server refuses") {
        CHECK((room.segment(kBack, kRst | kAck) == TrackResult::kill));
    }
    SECTION("the client gives up") {
        CHECK((room.segment(kOut, kRst) == TrackResult::kill));
    }
    SECTION("after an answer") {
        room.segment(kBack, kSyn | kAck);
        CHECK((room.segment(kOut, kRst) == TrackResult::accept));
        CHECK((room.flow().tcp_state == TcpState::close));
        CHECK(room.timeout() == kTimeouts.of(TcpState::close));
    }
}

TEST_CASE("a TCP flow is ASSURED by the handshake's last ACK, as Linux has it") {
    Room room;
    room.open(tcp(kClient, 40000, kServer, 80).flags(kSyn));
    CHECK_FALSE(room.flow().has(status::kSeenReply));
    room.segment(kBack, kSyn | kAck);
    CHECK(room.flow().has(status::kSeenReply));
    CHECK_FALSE(room.flow().has(status::kAssured));
    room.segment(kOut, kAck);
    CHECK(room.flow().has(status::kAssured));
    CHECK(room.flows.counters->flows_assured.get() == 1);
}

TEST_CASE("a connection picked up in its middle gets the unacknowledged timeout until somebody answers") {
    Room room;
    room.open(tcp(kClient, 40000, kServer, 80).flags(kAck));
    CHECK((room.flow().tcp_state == TcpState::established));
    CHECK(room.timeout() == 77);
    room.segment(kOut, kAck);
    CHECK(room.timeout() == 77);
    CHECK((room.state == PacketState::new_flow));
    // The first answer itself is judged before it counts as one.
    room.segment(kBack, kAck);
    CHECK(room.timeout() == 77);
    CHECK_FALSE(room.flow().has(status::kAssured));
    room.segment(kOut, kAck);
    CHECK(room.timeout() == kTimeouts.of(TcpState::established));
    CHECK(room.flow().has(status::kAssured));
}

TEST_CASE("a SYN reopens a connection only when one side closed it or this side reset it") {
    Room room;
    room.handshake();
    SECTION("closed in order: either side") {
        room.close_by_client();
        CHECK((room.segment(kOut, kSyn) == TrackResult::reopen));
        CHECK((room.flow().tcp_state == TcpState::time_wait));  // the caller replaces it
    }
    SECTION("closed in order: the server asks anew") {
        room.close_by_client();
        CHECK((room.segment(kBack, kSyn) == TrackResult::reopen));
    }
    SECTION("reset by the side that asks") {
        room.segment(kOut, kRst);
        CHECK((room.segment(kOut, kSyn) == TrackResult::reopen));
    }
    SECTION("reset by the other side: passes, and the flow stays") {
        room.segment(kBack, kRst);
        const TimeMs seen = room.seen();
        room.now.ms += 500;
        CHECK((room.segment(kOut, kSyn) == TrackResult::ignore));
        CHECK((room.flow().tcp_state == TcpState::close));
        CHECK(room.seen() == seen);
    }
}

TEST_CASE("both sides may open at the same time") {
    Room room;
    room.open(tcp(kClient, 40000, kServer, 80).flags(kSyn));
    CHECK((room.segment(kBack, kSyn) == TrackResult::ignore));  // Linux: does not count, but moves the state
    CHECK((room.flow().tcp_state == TcpState::syn_sent2));
    room.segment(kOut, kSyn | kAck);
    CHECK((room.flow().tcp_state == TcpState::syn_recv));
    // Without the open being simultaneous this ACK would leave it in SYN_RECV.
    room.segment(kBack, kAck);
    CHECK((room.flow().tcp_state == TcpState::established));
}

TEST_CASE("an INVALID segment changes nothing and belongs to no flow") {
    Room room;
    room.handshake();
    const FlowHot& h = room.flow();
    const auto packets = h.half[0].packets;
    const auto last = h.tcp.last;
    room.now.ms = 50'000;
    for (const unsigned flags : {0U, unsigned{kSyn | kFin}, unsigned{kSyn | kRst}, unsigned{kFin}, unsigned{kPsh},
                                 unsigned{kFin | kSyn | kRst | kAck | kUrg | kPsh}}) {
        INFO("flags " << flags);
        CHECK((room.segment(kOut, flags) == TrackResult::invalid));
        CHECK((room.state == PacketState::invalid));
        CHECK(room.kept_slot == kNoSlot);
    }
    CHECK(room.seen() == 1000);
    CHECK(h.half[0].packets == packets);
    CHECK(h.tcp.last == last);
    CHECK((h.tcp_state == TcpState::established));
}

TEST_CASE("a flow in UDP is a stream from its third second on, if it is answered") {
    Room room;
    const auto ask = udp(kClient, 5000, kServer, 53), answer = udp(kServer, 53, kClient, 5000);
    room.open(ask);
    CHECK(room.timeout() == 30);
    SECTION("a question and its answer") {
        room.now.ms += 10;
        room.see(kBack, answer);
        CHECK((room.state == PacketState::established));
        CHECK(room.timeout() == 30);
        CHECK_FALSE(room.flow().has(status::kAssured));
        room.now.ms = 3000;  // two seconds are not yet over
        room.see(kOut, ask);
        CHECK(room.timeout() == 30);
        room.now.ms = 3001;
        room.see(kOut, ask);
        CHECK(room.timeout() == 120);
        CHECK(room.flow().has(status::kAssured));
        room.see(kBack, answer);
        CHECK(room.timeout() == 120);
    }
    SECTION("nobody answers") {
        for (unsigned i = 0; i < 10; ++i) {
            room.now.ms += 1000;
            room.see(kOut, ask);
            CHECK((room.state == PacketState::new_flow));
        }
        CHECK(room.timeout() == 30);
        CHECK(room.seen() == 11'000);
        CHECK_FALSE(room.flow().has(status::kAssured));
    }
    SECTION("the first answer comes late: it does not count for itself") {
        room.now.ms = 20'000;
        room.see(kBack, answer);
        CHECK(room.timeout() == 30);
        room.see(kBack, answer);
        CHECK(room.timeout() == 120);
    }
}

TEST_CASE("ICMP queries and protocols without ports live by their timeouts and are never ASSURED") {
    Room room;
    const bool ping = GENERATE(true, false);
    const auto ask = ping ? echo_request(kClient, kServer, 7) : protocol(99, kClient, kServer);
    const auto answer = ping ? echo_reply(kServer, kClient, 7) : protocol(99, kServer, kClient);
    room.open(ask);
    CHECK(room.timeout() == (ping ? 25 : 600));
    for (unsigned i = 1; i < 6; ++i) {
        room.now.ms += 1000;
        room.see(i % 2 == 0 ? kOut : kBack, i % 2 == 0 ? ask : answer);
        CHECK((room.state == PacketState::established));
        CHECK(room.seen() == room.now.ms);
    }
    CHECK(room.timeout() == (ping ? 25 : 600));
    CHECK_FALSE(room.flow().has(status::kAssured));
}

TEST_CASE("what rules see: NEW until answered, RELATED for an expected flow, then ESTABLISHED") {
    Room room;
    const auto ask = udp(kClient, 5000, kServer, 53), answer = udp(kServer, 53, kClient, 5000);
    room.open(ask);
    const bool expected = GENERATE(false, true);
    if (expected) room.flows.store.set_status(room.slot, status::kExpected);
    room.see(kOut, ask);
    CHECK((room.state == (expected ? PacketState::related : PacketState::new_flow)));
    room.see(kBack, answer);
    CHECK((room.state == PacketState::established));
    room.see(kOut, ask);
    CHECK((room.state == PacketState::established));
}

TEST_CASE("packets and IP bytes are counted by direction") {
    Room room;
    room.open(udp(kClient, 5000, kServer, 53));
    room.see(kOut, udp(kClient, 5000, kServer, 53).payload_bytes(100));
    room.see(kOut, udp(kClient, 5000, kServer, 53).payload_bytes(10));
    room.see(kBack, udp(kServer, 53, kClient, 5000).payload_bytes(1));
    CHECK(room.flow().half[0].packets == 2);
    CHECK(room.flow().half[0].bytes == 28 + 100 + 28 + 10);
    CHECK(room.flow().half[1].packets == 1);
    CHECK(room.flow().half[1].bytes == 29);
}

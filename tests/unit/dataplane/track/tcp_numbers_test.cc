// Sequence windows and the rules that depend on them, by real segments: what each end may send and acknowledge, with
// scaling, SACK and wrap-around; RSTs, challenge ACKs, SYNs that Linux lets through; what shortens a timeout.
// Numbers: the client begins at 1000, the server at 9000, both with a window of 10000 unless a test says otherwise.
#include <array>
#include <string>

#include <catch2/catch.hpp>

#include "dataplane/flow/tcp_window.hh"
#include "dataplane/track/track.hh"
#include "tests/support/track_room.hh"

using namespace sluice;
using namespace sluice::test;

namespace {

constexpr Ip4 kClient = ip4(192, 0, 2, 7), kServer = ip4(203, 0, 113, 9);
constexpr std::uint32_t kUnacknowledged = 300, kMaxRetrans = 299;  // different, so that a timeout names its cap

constexpr Timeouts kTimeouts = [] {
    Timeouts t{};
    for (std::size_t s = 0; s < kTcpStateCount; ++s) t.tcp[s] = static_cast<std::uint32_t>(10 * s);
    t.set(TcpState::established, 432000);
    t.tcp_unacknowledged = kUnacknowledged;
    t.tcp_max_retrans = kMaxRetrans;
    return t;
}();

constexpr std::array<std::uint8_t, 2> kSackOk{4, 2};
constexpr std::array<std::uint8_t, 3> kScale7{3, 3, 7};

PacketBuilder out(std::uint32_t seq, std::uint32_t ack) {
    return tcp(kClient, 40000, kServer, 80).seq(seq).ack(ack).window(10000);
}
PacketBuilder back(std::uint32_t seq, std::uint32_t ack) {
    return tcp(kServer, 80, kClient, 40000).seq(seq).ack(ack).window(10000);
}

struct Connection : TrackRoom {
    Connection() : TrackRoom(kTimeouts) {}

    /// Which way it goes is told by its addresses.
    TrackResult see(const PacketBuilder& b) {
        Packet p = parsed(b);
        p.slot = slot;
        p.direction = p.key == flows.store.key(slot, Direction::original) ? Direction::original : Direction::reply;
        const TrackResult result = track(flows.store, p, {kTimeouts, rules}, shift, now);
        reason = p.invalid_reason;
        rte_pktmbuf_free(p.mbuf);
        return result;
    }
    bool accepts(const PacketBuilder& b) { return see(b) == TrackResult::accept; }
    bool ignores(const PacketBuilder& b) { return see(b) == TrackResult::ignore; }
    bool refuses(const PacketBuilder& b, InvalidReason why) { return see(b) == TrackResult::invalid && reason == why; }

    /// Unless told otherwise both ends are at 1001 and 9001, and have said so.
    void handshake(const PacketBuilder& syn = out(1000, 0), const PacketBuilder& syn_ack = back(9000, 1001),
                   const PacketBuilder& ack = out(1001, 9001)) {
        open(PacketBuilder(syn).flags(kSyn));
        REQUIRE(accepts(PacketBuilder(syn_ack).flags(kSyn | kAck)));
        REQUIRE(accepts(ack));
        REQUIRE(state() == TcpState::established);
    }
    TcpState state() { return flow().tcp_state; }

    const SeqAdjust* shift = nullptr;
    InvalidReason reason{};
};

}  // namespace

TEST_CASE("data may fill the window of its receiver, and no more") {
    Connection c;
    c.handshake();
    CHECK(c.accepts(out(11001, 9001)));  // the first byte that is not allowed any more, as a bare number
    CHECK(c.accepts(out(10001, 9001).payload_bytes(1000)));  // ends exactly where the window does
    CHECK(c.refuses(out(21001, 9001), InvalidReason::tcp_sequence));

    SECTION("an acknowledgement opens it") {
        CHECK(c.accepts(back(9001, 11001)));
        CHECK(c.accepts(out(11001, 9001).payload_bytes(500)));
        CHECK(c.refuses(out(31001, 9001), InvalidReason::tcp_sequence));
    }
    SECTION("a closed window lets one probe through") {
        CHECK(c.accepts(back(9001, 11001).window(0)));
        CHECK(c.accepts(out(11001, 9001).payload_bytes(1)));
    }
}

TEST_CASE("a little more than was allowed passes, and may be acknowledged") {
    Connection c;
    c.handshake();
    CHECK(c.ignores(out(11002, 9001).payload_bytes(1000)));  // Linux: up to another window
    CHECK(c.accepts(back(9001, 12002)));
    CHECK(c.refuses(back(9001, 12003), InvalidReason::tcp_ack));
}

TEST_CASE("only what was sent can be acknowledged") {
    Connection c;
    c.handshake();
    CHECK(c.refuses(back(9001, 1002), InvalidReason::tcp_ack));
    CHECK(c.accepts(out(1001, 9001).payload_bytes(100)));
    CHECK(c.accepts(back(9001, 1101)));
    CHECK(c.refuses(back(9001, 1102), InvalidReason::tcp_ack));
}

TEST_CASE("old repeats pass and keep nothing alive") {
    Connection c;
    c.handshake();
    for (std::uint32_t at = 1001; at < 121001; at += 1000) {
        REQUIRE(c.accepts(out(at, 9001).payload_bytes(1000)));
        REQUIRE(c.accepts(back(9001, at + 1000)));
    }
    c.now.ms = 77'000;
    CHECK(c.ignores(out(1001, 9001).payload_bytes(100)));  // long acknowledged data
    CHECK(c.ignores(back(9001, 1001)));                    // and an acknowledgement of long ago
    CHECK(c.flow().lifetime.load().last_seen_ms == 1000);
    CHECK(c.accepts(back(9001, 121001 - 66000)));  // as old as may be
}

TEST_CASE("windows are scaled when both ends have offered it") {
    const bool client_offers = GENERATE(false, true), server_offers = GENERATE(false, true);
    INFO(client_offers << server_offers);
    Connection c;
    auto syn = out(1000, 0), syn_ack = back(9000, 1001);
    if (client_offers) syn.tcp_option(kScale7);
    if (server_offers) syn_ack.tcp_option(kScale7);
    c.handshake(syn, syn_ack);
    REQUIRE(c.accepts(back(9001, 1001)));  // the first window that is scaled
    const std::uint32_t allowed = client_offers && server_offers ? 10000 << 7 : 10000;
    CHECK(c.refuses(out(1001 + 2 * allowed, 9001), InvalidReason::tcp_sequence));
    CHECK(c.accepts(out(1001 + allowed, 9001)));
}

TEST_CASE("a scale above 14 counts as 14") {
    constexpr std::array<std::uint8_t, 3> kTooMuch{3, 3, 200};
    Connection c;
    c.handshake(out(1000, 0).tcp_option(kTooMuch), back(9000, 1001).tcp_option(kTooMuch));
    CHECK(c.flow().half[0].tcp_scale == 14);
}

TEST_CASE("SACK says how far a receiver is, once it was permitted") {
    const bool permitted = GENERATE(false, true);
    Connection c;
    auto syn = out(1000, 0);
    if (permitted) syn.tcp_option(kSackOk);
    c.handshake(syn);
    REQUIRE(c.accepts(out(3001, 9001).payload_bytes(1000)));  // 1001..3000 is lost behind us
    const std::array<std::pair<std::uint32_t, std::uint32_t>, 1> arrived{{{3001, 4001}}}, unsent{{{3001, 4002}}};
    CHECK(c.accepts(back(9001, 1001).sack(arrived)));
    CHECK(c.see(back(9001, 1001).sack(unsent)) == (permitted ? TrackResult::invalid : TrackResult::accept));
    CHECK(c.flow().tcp.ends[0].max_end == (permitted ? 14001U : 11001U));
}

TEST_CASE("malformed options are read as far as they make sense") {
    Connection c;
    const std::array<std::uint8_t, 4> cut{5, 40, 1, 1}, silly{5, 1, 0, 0};
    c.handshake(out(1000, 0).tcp_option(kSackOk));
    CHECK(c.accepts(back(9001, 1001).tcp_option(cut)));
    CHECK(c.accepts(back(9001, 1001).tcp_option(silly)));
}

TEST_CASE("the numbers may wrap") {
    Connection c;
    const std::uint32_t client = 0xffffff00U, server = 0xfffffffeU;
    c.handshake(out(client, 0), back(server, client + 1), out(client + 1, server + 1));
    CHECK(c.accepts(out(client + 1, server + 1).payload_bytes(1000)));
    CHECK(c.accepts(back(server + 1, client + 1001).payload_bytes(10)));
    CHECK(c.accepts(out(client + 1001, server + 11)));
    CHECK(c.refuses(back(server + 11, client + 1002), InvalidReason::tcp_ack));
}

TEST_CASE("liberal: nothing but an RST is refused for its numbers") {
    Connection c;
    c.rules.be_liberal = true;
    c.handshake();
    CHECK(c.accepts(out(500'000, 9001)));
    CHECK(c.accepts(back(9001, 500'000)));
    CHECK(c.refuses(out(1, 9001).flags(kRst), InvalidReason::tcp_reset));
    c.rules.ignore_invalid_rst = true;
    CHECK(c.accepts(out(1, 9001).flags(kRst)));
}

TEST_CASE("a connection that began before us is picked up, and its numbers are not held against it") {
    Connection c;
    c.open(out(5000, 7000).payload_bytes(100));
    CHECK(c.state() == TcpState::established);
    CHECK(c.accepts(back(7000, 5100).payload_bytes(1000)));
    CHECK(c.accepts(out(900'000, 8000)));
    CHECK(c.flow().has(status::kAssured));
}

TEST_CASE("nothing is picked up when tracking is not loose") {
    Connection c;
    c.rules.loose = false;
    Packet p = c.parsed(out(5000, 7000));
    const Admission refused = admission_of(p, {kTimeouts, c.rules});
    CHECK_FALSE(refused.admit);
    CHECK(refused.refused == InvalidReason::tcp_no_connection);
    rte_pktmbuf_free(p.mbuf);
}

TEST_CASE("a shift by a helper is taken back from what is acknowledged") {
    Connection c;
    c.handshake();
    SeqAdjust shift;
    REQUIRE(shift.record(1001, 1021, 6) == SeqRecord::recorded);
    REQUIRE(c.accepts(out(1001, 9001).payload_bytes(20)));
    c.shift = &shift;  // the server has received 26 bytes
    CHECK(c.accepts(back(9001, 1027)));
    CHECK(c.refuses(back(9001, 1028), InvalidReason::tcp_ack));
    c.shift = nullptr;
    CHECK(c.refuses(back(9001, 1027), InvalidReason::tcp_ack));
}

TEST_CASE("an RST closes when its receiver would believe it") {
    Connection c;
    c.handshake();
    REQUIRE(c.accepts(back(9001, 1001).payload_bytes(500)));
    REQUIRE(c.accepts(out(1001, 9501)));

    SECTION("exactly at what the other end has acknowledged") {
        CHECK(c.accepts(back(9501, 0).flags(kRst)));
        CHECK(c.state() == TcpState::close);
        CHECK(c.timeout() == kTimeouts.of(TcpState::close));
    }
    SECTION("not before that") {
        CHECK(c.refuses(back(9500, 0).flags(kRst), InvalidReason::tcp_reset));
        CHECK(c.state() == TcpState::established);
    }
    SECTION("inside of the window it stays open, for a while") {
        CHECK(c.accepts(back(9600, 0).flags(kRst)));
        CHECK(c.state() == TcpState::established);
        CHECK(c.timeout() == kTimeouts.of(TcpState::close));
        CHECK(c.accepts(out(1001, 9501)));      // the challenge ACK
        CHECK(c.timeout() == kUnacknowledged);  // the RST seemed to follow data that we did not see
    }
    SECTION("beyond the window it is refused") {
        CHECK(c.refuses(back(30000, 0).flags(kRst), InvalidReason::tcp_sequence));
        CHECK(c.state() == TcpState::established);
    }
    SECTION("at the end of the segment before it") {
        CHECK(c.accepts(back(9501, 1001).payload_bytes(19)));
        CHECK(c.accepts(back(9520, 1001).flags(kRst | kAck)));
        CHECK(c.state() == TcpState::close);
    }
    SECTION("while it closes, anywhere") {
        REQUIRE(c.accepts(out(1001, 9501).flags(kFin | kAck)));
        CHECK(c.accepts(back(77, 0).flags(kRst)));
        CHECK(c.state() == TcpState::close);
    }
}

TEST_CASE("the answer to a SYN may be an RST without a number") {
    Connection c;
    c.open(out(1000, 0).flags(kSyn));
    CHECK(c.see(back(0, 1001).flags(kRst | kAck)) == TrackResult::kill);
}

TEST_CASE("a SYN on a live connection passes; a SYN/ACK that accepts it begins the tracking anew") {
    Connection c;
    c.handshake();
    CHECK(c.ignores(out(500'000, 0).flags(kSyn).tcp_option(kScale7)));
    CHECK(c.state() == TcpState::established);

    SECTION("the server knows nothing of the old connection") {
        CHECK(c.accepts(back(70'000, 500'001).flags(kSyn | kAck).tcp_option(kScale7)));
        CHECK(c.state() == TcpState::syn_recv);
        CHECK(c.accepts(out(500'001, 70'001)));
        CHECK(c.state() == TcpState::established);
        CHECK(c.accepts(back(70'001, 500'001)));
        CHECK(c.accepts(out(500'001 + (10000 << 7), 70'001)));
        CHECK(c.refuses(out(500'001 + (20000 << 7), 70'001), InvalidReason::tcp_sequence));
    }
    SECTION("a SYN/ACK of another connection changes nothing") {
        CHECK(c.ignores(back(70'000, 500'002).flags(kSyn | kAck)));
        CHECK(c.state() == TcpState::established);
        CHECK(c.accepts(out(1001, 9001).payload_bytes(10)));
    }
    SECTION("an RST against it closes the connection") {
        CHECK(c.accepts(back(9001, 500'001).flags(kRst | kAck)));
        CHECK(c.state() == TcpState::close);
    }
}

TEST_CASE("a challenge ACK closes nothing, and the RST that it provokes is believed") {
    Connection c;
    SECTION("to a SYN while the last ACK is awaited") {
        c.handshake();
        REQUIRE(c.accepts(out(1001, 9001).flags(kFin | kAck)));
        REQUIRE(c.accepts(back(9001, 1002)));
        REQUIRE(c.accepts(back(9001, 1002).flags(kFin | kAck)));
        REQUIRE(c.state() == TcpState::last_ack);
        CHECK(c.ignores(out(500'000, 0).flags(kSyn)));
        CHECK(c.ignores(back(9002, 1002)));
        CHECK(c.state() == TcpState::last_ack);
        CHECK(c.accepts(out(1002, 0).flags(kRst)));
        CHECK(c.state() == TcpState::close);
    }
    SECTION("to a SYN of a connection that only the server remembers") {
        c.open(out(500'000, 0).flags(kSyn));
        CHECK(c.ignores(back(9001, 1001)));
        CHECK(c.state() == TcpState::syn_sent);
        CHECK(c.accepts(out(1001, 0).flags(kRst)));  // seen no other reply than one that was let through
        CHECK(c.state() == TcpState::close);
    }
}

TEST_CASE("an RST behind a SYN of the same side answers nothing: its numbers are looked at") {
    Connection c;
    c.handshake();
    CHECK(c.ignores(out(500'000, 0).flags(kSyn)));
    CHECK(c.ignores(out(3'000'000'000U, 500'001).flags(kRst)));
    CHECK(c.state() == TcpState::established);
}

TEST_CASE("a picked-up connection has the cap of what its first segment shows") {
    const bool far = GENERATE(false, true);
    Connection c;
    // Linux compares with the numbers of an end that has not spoken, which are zero: hence the odd place where the
    // window of the first segment counts.
    c.open(out(5000, far ? 7000 : 0xffffff00U).window(20));
    CHECK(c.timeout() == (far ? kMaxRetrans : kUnacknowledged));
}

TEST_CASE("each attempt to open has numbers of its own") {
    Connection c;
    c.open(out(1000, 0).flags(kSyn));
    CHECK(c.ignores(out(500'000, 0).flags(kSyn)));  // keeps nothing alive
    CHECK(c.accepts(back(9000, 500'001).flags(kSyn | kAck)));
    CHECK(c.accepts(out(500'001, 9001)));
    CHECK(c.state() == TcpState::established);
}

TEST_CASE("both ends may open at once") {
    Connection c;
    c.open(out(1000, 0).flags(kSyn));
    CHECK(c.ignores(back(9000, 0).flags(kSyn)));  // Linux: does not count, but moves the state
    CHECK(c.state() == TcpState::syn_sent2);
    CHECK(c.accepts(back(9000, 1001).flags(kSyn | kAck)));
    CHECK(c.accepts(out(1000, 9001).flags(kSyn | kAck)));
    CHECK(c.accepts(back(9001, 1001)));
    CHECK(c.state() == TcpState::established);
}

TEST_CASE("what shortens the timeout") {
    Connection c;
    c.handshake();
    CHECK(c.timeout() == 432000);

    SECTION("data that nobody has acknowledged yet") {
        CHECK(c.accepts(out(1001, 9001).payload_bytes(100)));
        CHECK(c.timeout() == kUnacknowledged);
        CHECK(c.accepts(back(9001, 1101)));
        CHECK(c.timeout() == 432000);
    }
    SECTION("a closed window") {
        CHECK(c.accepts(back(9001, 1001).window(0)));
        CHECK(c.timeout() == kMaxRetrans);
        CHECK(c.accepts(back(9001, 1001).window(1)));
        CHECK(c.timeout() == 432000);
    }
    SECTION("an ACK repeated as often as max_retrans says") {
        for (int i = 0; i < 3; ++i) {
            CHECK(c.timeout() == 432000);
            CHECK(c.accepts(out(1001, 9001)));
        }
        CHECK(c.timeout() == kMaxRetrans);
        CHECK(c.accepts(out(1001, 9001).payload_bytes(1)));
        CHECK(c.accepts(back(9001, 1002)));
        CHECK(c.timeout() == 432000);
    }
    SECTION("max_retrans 0 asks for no repeat") {
        c.rules.max_retrans = 0;
        CHECK(c.accepts(out(1001, 9001).payload_bytes(1)));
        CHECK(c.timeout() == kMaxRetrans);
        CHECK(c.accepts(back(9001, 1002)));
        CHECK(c.timeout() == kMaxRetrans);
    }
    SECTION("two ends that close each other out of every window") {
        CHECK(c.refuses(out(900'000, 9001).flags(kFin | kAck), InvalidReason::tcp_sequence));
        CHECK(c.timeout() == 432000);
        c.now.ms = 5000;
        CHECK(c.refuses(back(900'000, 1001).flags(kFin | kAck), InvalidReason::tcp_sequence));
        CHECK(c.timeout() == kUnacknowledged);
        CHECK(c.flow().lifetime.load().last_seen_ms == 5000);
        CHECK(c.state() == TcpState::established);
    }
}

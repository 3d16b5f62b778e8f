// The SCTP tracker by real packets: every cell of the table, the verification tag of each chunk, what may travel
// together, the checksum. A packet that is INVALID changes nothing.
#include "dataplane/l4/sctp.hh"

#include <array>
#include <string>

#include <catch2/catch.hpp>

#include "dataplane/ingress/parse.hh"
#include "dataplane/l4/trackers.hh"
#include "tests/support/l4_packets.hh"
#include "tests/support/packet_room.hh"

using namespace sluice;
using namespace sluice::test;
using l4::SctpState;

namespace {

constexpr Ip4 kClient = ip4(192, 0, 2, 7), kServer = ip4(203, 0, 113, 9);
constexpr auto kOut = Direction::original, kBack = Direction::reply;
constexpr std::uint32_t kToServer = 0x5e54e54e, kToClient = 0xc11e17c1;  // the tags of either way

constexpr Timeouts kTimeouts = [] {
    Timeouts t{};
    for (std::size_t s = 0; s < t.sctp.size(); ++s) t.sctp[s] = static_cast<std::uint32_t>(100 + s);
    return t;
}();
constexpr TcpRules kTcp{};
constexpr TrackRules kRules{kTimeouts, kTcp};

std::uint32_t raw(std::uint32_t tag) {
    return Be32::from_host(tag).raw;
}

struct Association : PacketRoom {
    Packet parsed(Direction d, std::uint32_t tag, const std::vector<L4Bytes>& chunks) {
        Packet p = arrive(d == kOut ? sctp(kClient, 4000, kServer, 80, tag, chunks)
                                    : sctp(kServer, 80, kClient, 4000, tag, chunks));
        REQUIRE((parse(p, *ports, disposal) == Arrival::forward));
        REQUIRE(p.trackable);
        p.direction = d;
        return p;
    }
    /// How the first packet of a flow is taken; with admission the flow begins.
    bool open(std::uint32_t tag, const std::vector<L4Bytes>& chunks) {
        Packet p = parsed(kOut, tag, chunks);
        const Admission a = admission_of(p, kRules);
        reason = a.refused;
        if (a.admit) timeout_s = l4::Sctp::begin(flow, p, kRules);
        rte_pktmbuf_free(p.mbuf);
        return a.admit;
    }
    TrackResult see(Direction d, std::uint32_t tag, const std::vector<L4Bytes>& chunks) {
        Packet p = parsed(d, tag, chunks);
        const Followed f = l4::Sctp::follow(flow, p, kRules, Now{1000, 0});
        reason = p.invalid_reason;
        if (f.result == TrackResult::accept) timeout_s = f.timeout_s;
        assured = assured || (f.status & status::kAssured) != 0;
        rte_pktmbuf_free(p.mbuf);
        return f.result;
    }
    TrackResult see(Direction d, std::uint32_t tag, unsigned type, unsigned chunk_flags = 0) {
        return see(d, tag, {sctp_chunk_of(type, chunk_flags, d == kOut ? kToClient : kToServer)});
    }
    void put(SctpState s) {
        l4::Sctp::Memory m{};
        m.tag[0] = raw(kToServer);
        m.tag[1] = raw(kToClient);
        m.state = s;
        flow.remember(m);
    }
    [[nodiscard]] SctpState state() const { return flow.memory<l4::Sctp::Memory>().state; }
    void establish() {
        REQUIRE(open(0, {sctp_chunk_of(1, 0, kToClient)}));
        REQUIRE(see(kBack, kToClient, 2) == TrackResult::accept);
        REQUIRE(see(kOut, kToServer, 10) == TrackResult::accept);
        REQUIRE(see(kBack, kToClient, 11) == TrackResult::accept);
    }

    FlowHot flow;
    InvalidReason reason{};
    std::uint32_t timeout_s = 0;
    bool assured = false;
};

struct Row {
    unsigned chunk;
    std::array<const char*, 9> next;  // now: NONE CL CW CE ES SS SR SA HS, in the letters of the kernel's table
};

constexpr std::array<Row, 12> kOriginal{{
    {1, {"CL", "CL", "CW", "CE", "ES", "CL", "CL", "SA", "CW"}},
    {2, {"CL", "CL", "CW", "CE", "ES", "SS", "SR", "SA", "CL"}},
    {6, {"CL", "CL", "CL", "CL", "CL", "CL", "CL", "CL", "CL"}},
    {7, {"CL", "CL", "CW", "CE", "SS", "SS", "SR", "SA", "CL"}},
    {8, {"SA", "CL", "CW", "CE", "ES", "SA", "SA", "SA", "SA"}},
    {9, {"CL", "CL", "CW", "CE", "ES", "SS", "SR", "SA", "CL"}},
    {10, {"CL", "CL", "CE", "CE", "ES", "SS", "SR", "SA", "CL"}},
    {11, {"CL", "CL", "CW", "ES", "ES", "SS", "SR", "SA", "CL"}},
    {14, {"CL", "CL", "CW", "CE", "ES", "SS", "SR", "CL", "CL"}},
    {4, {"HS", "CL", "CW", "CE", "ES", "SS", "SR", "SA", "HS"}},
    {5, {"CL", "CL", "CW", "CE", "ES", "SS", "SR", "SA", "HS"}},
    {0, {"IV", "CL", "CW", "CE", "ES", "SS", "SR", "SA", "HS"}},
}};
constexpr std::array<Row, 12> kReply{{
    {1, {"IV", "CL", "CW", "CE", "ES", "SS", "SR", "SA", "IV"}},
    {2, {"IV", "CW", "CW", "CE", "ES", "SS", "SR", "SA", "IV"}},
    {6, {"IV", "CL", "CL", "CL", "CL", "CL", "CL", "CL", "IV"}},
    {7, {"IV", "CL", "CW", "CE", "SR", "SS", "SR", "SA", "IV"}},
    {8, {"IV", "CL", "CW", "CE", "ES", "SA", "SA", "SA", "IV"}},
    {9, {"IV", "CL", "CW", "CL", "ES", "SS", "SR", "SA", "IV"}},
    {10, {"IV", "CL", "CE", "CE", "ES", "SS", "SR", "SA", "IV"}},
    {11, {"IV", "CL", "CW", "ES", "ES", "SS", "SR", "SA", "IV"}},
    {14, {"IV", "CL", "CW", "CE", "ES", "SS", "SR", "CL", "IV"}},
    {4, {"IV", "CL", "CW", "CE", "ES", "SS", "SR", "SA", "HS"}},
    {5, {"IV", "CL", "CW", "CE", "ES", "SS", "SR", "SA", "ES"}},
    {0, {"IV", "CL", "CW", "CE", "ES", "SS", "SR", "SA", "HS"}},
}};

std::string letters(SctpState s) {
    constexpr std::array<const char*, 9> kLetters{"NO", "CL", "CW", "CE", "ES", "SS", "SR", "SA", "HS"};
    return kLetters[static_cast<std::size_t>(s)];
}

}  // namespace

TEST_CASE("every cell of the SCTP table, by packets") {
    Association a;
    for (const Direction d : {kOut, kBack}) {
        for (const Row& row : d == kOut ? kOriginal : kReply) {
            for (std::size_t s = 1; s < row.next.size(); ++s) {
                const auto now = static_cast<SctpState>(s);
                CAPTURE(index_of(d), row.chunk, letters(now));
                a.put(now);
                const std::uint32_t tag = row.chunk == 1 ? 0 : d == kOut ? kToServer : kToClient;
                const TrackResult result = a.see(d, tag, row.chunk);
                if (std::string(row.next[s]) == "IV") {
                    CHECK(result == TrackResult::invalid);
                    CHECK(a.reason == InvalidReason::sctp_state);
                    CHECK(a.state() == now);
                    continue;
                }
                const bool repeated = row.chunk == 1 && now == SctpState::closed;
                CHECK(result == (repeated ? TrackResult::ignore : TrackResult::accept));
                CHECK(letters(a.state()) == row.next[s]);
                if (!repeated) CHECK(a.timeout_s == kTimeouts.sctp[static_cast<std::size_t>(a.state())]);
            }
        }
    }
}

TEST_CASE("what may open an SCTP flow") {
    struct Opening {
        unsigned chunk;
        std::uint32_t tag;
        const char* state;  // "": it may not
    };
    const std::array<Opening, 12> openings{{{1, 0, "CL"},
                                            {1, 5, ""},  // an INIT carries no tag
                                            {4, 5, "HS"},
                                            {8, 5, "SA"},
                                            {5, 5, "CL"},
                                            {2, 5, ""},  // answers nothing that we have seen: its tag is wrong
                                            {7, 5, ""},
                                            {9, 5, ""},
                                            {10, 5, ""},
                                            {6, 5, ""},
                                            {11, 5, ""},
                                            {0, 5, ""}}};
    for (const Opening& o : openings) {
        Association a;
        CAPTURE(o.chunk, o.tag);
        const bool opened = a.open(o.tag, {sctp_chunk_of(o.chunk, 0, kToClient)});
        CHECK(opened == (*o.state != '\0'));
        if (opened) CHECK(letters(a.state()) == o.state);
        if (opened) CHECK(a.timeout_s == kTimeouts.sctp[static_cast<std::size_t>(a.state())]);
    }
}

TEST_CASE("an association from INIT to SHUTDOWN COMPLETE") {
    Association a;
    a.establish();
    CHECK(a.state() == SctpState::established);
    CHECK(a.assured);
    CHECK(a.see(kOut, kToServer, 0) == TrackResult::accept);
    CHECK(a.timeout_s == 104);
    CHECK(a.see(kOut, kToServer, 7) == TrackResult::accept);
    CHECK(a.state() == SctpState::shutdown_sent);
    CHECK(a.see(kBack, kToClient, 8) == TrackResult::accept);
    CHECK(a.state() == SctpState::shutdown_ack_sent);
    CHECK(a.see(kOut, kToServer, 14) == TrackResult::accept);
    CHECK(a.state() == SctpState::closed);
    CHECK(a.timeout_s == 101);
}

TEST_CASE("a packet with another verification tag belongs to another association") {
    Association a;
    a.establish();
    for (const unsigned chunk : {0U, 2U, 3U, 6U, 7U, 9U, 10U, 11U, 14U}) {
        CAPTURE(chunk);
        CHECK(a.see(kOut, 77, chunk) == TrackResult::invalid);
        CHECK(a.reason == InvalidReason::sctp_tag);
        CHECK(a.state() == SctpState::established);
    }
    CHECK(a.see(kOut, 77, {sctp_chunk_of(1, 0, 3)}) == TrackResult::invalid);
    // The T flag: the tag is that of the sender, who knows no other.
    CHECK(a.see(kBack, kToServer, 6) == TrackResult::invalid);
    CHECK(a.see(kBack, kToServer, 6, 1) == TrackResult::accept);
    CHECK(a.state() == SctpState::closed);
}

TEST_CASE("no chunk is excused from its tag by another one in the packet") {
    Association a;
    a.establish();
    CHECK(a.see(kOut, 77, {sctp_chunk_of(8), sctp_chunk_of(7)}) == TrackResult::invalid);
    CHECK(a.see(kOut, 77, {sctp_chunk_of(4), sctp_chunk_of(7)}) == TrackResult::invalid);
    CHECK(a.state() == SctpState::established);
    CHECK(a.see(kOut, kToServer, {sctp_chunk_of(0), sctp_chunk_of(7)}) == TrackResult::accept);
    CHECK(a.state() == SctpState::shutdown_sent);
}

TEST_CASE("a heartbeat with another tag passes alone, and its answer begins the path anew") {
    Association a;
    a.establish();
    CHECK(a.see(kBack, 900, 5) == TrackResult::invalid);  // answers nothing
    CHECK(a.see(kOut, 800, 4) == TrackResult::ignore);
    CHECK(a.see(kOut, 900, 5) == TrackResult::invalid);  // from the same side
    CHECK(a.see(kBack, 900, 5) == TrackResult::accept);
    CHECK(a.see(kBack, 900, 0) == TrackResult::accept);
    CHECK(a.see(kOut, 800, 4) == TrackResult::accept);  // now it is the tag
    CHECK(a.see(kOut, 800, 0) == TrackResult::accept);
}

TEST_CASE("another path of an association is opened by a HEARTBEAT") {
    Association a;
    REQUIRE(a.open(kToServer, {sctp_chunk_of(4)}));
    CHECK(a.state() == SctpState::heartbeat_sent);
    CHECK(a.see(kBack, kToClient, 5) == TrackResult::accept);
    CHECK(a.state() == SctpState::established);
    CHECK(a.see(kOut, kToServer, 0) == TrackResult::accept);
}

TEST_CASE("a HEARTBEAT ACK that begins a flow says nothing of the tag that its answers have") {
    Association a;
    REQUIRE(a.open(kToServer, {sctp_chunk_of(5)}));
    CHECK(a.state() == SctpState::closed);
    CHECK(a.see(kBack, kToServer, 0) == TrackResult::invalid);
    CHECK(a.see(kBack, kToClient, 4) == TrackResult::accept);
    CHECK(a.see(kBack, kToClient, 0) == TrackResult::accept);
}

TEST_CASE("a repeated INIT does not renew the timeout") {
    Association a;
    REQUIRE(a.open(0, {sctp_chunk_of(1, 0, kToClient)}));
    CHECK(a.see(kOut, 0, {sctp_chunk_of(1, 0, kToClient)}) == TrackResult::ignore);
    // and may ask for another tag, which the answer then has
    CHECK(a.see(kOut, 0, {sctp_chunk_of(1, 0, 55)}) == TrackResult::ignore);
    CHECK(a.see(kBack, kToClient, 2) == TrackResult::invalid);
    CHECK(a.see(kBack, 55, 2) == TrackResult::accept);
}

TEST_CASE("an INIT with the tag that is known does not open the association to another one") {
    Association a;
    a.establish();
    const auto answered_with = [&](std::uint32_t vtag, std::uint32_t tag) {
        return a.see(kBack, vtag, {sctp_chunk_of(2, 0, tag)});
    };
    CHECK(a.see(kOut, 0, {sctp_chunk_of(1, 0, kToClient)}) == TrackResult::accept);
    CHECK(answered_with(kToClient, 99) == TrackResult::invalid);
    CHECK(a.reason == InvalidReason::sctp_tag);
    CHECK(answered_with(kToClient, kToServer) == TrackResult::accept);
    CHECK(a.see(kOut, kToServer, 0) == TrackResult::accept);
    // Whoever begins anew has a new tag.
    CHECK(a.see(kOut, 0, {sctp_chunk_of(1, 0, 55)}) == TrackResult::accept);
    CHECK(answered_with(55, 99) == TrackResult::accept);
    CHECK(a.see(kOut, 99, 0) == TrackResult::accept);
}

TEST_CASE("both ends ask at once: an INIT ACK must confirm the tag that its sender asked for") {
    Association a;
    REQUIRE(a.open(0, {sctp_chunk_of(1, 0, kToClient)}));
    CHECK(a.see(kBack, 0, {sctp_chunk_of(1, 0, kToServer)}) == TrackResult::ignore);
    CHECK(a.see(kBack, kToClient, {sctp_chunk_of(2, 0, 99)}) == TrackResult::invalid);
    CHECK(a.reason == InvalidReason::sctp_tag);
    CHECK(a.see(kBack, kToClient, {sctp_chunk_of(2, 0, kToServer)}) == TrackResult::accept);
}

TEST_CASE("chunks that may not travel together, or are none") {
    Association a;
    a.establish();
    const L4Bytes data = sctp_chunk_of(0);
    const std::vector<std::vector<L4Bytes>> wrong{{},
                                                  {sctp_chunk_of(1), data},
                                                  {data, sctp_chunk_of(1)},
                                                  {sctp_chunk_of(2), data},
                                                  {sctp_chunk_of(14), data},
                                                  {data, sctp_chunk_of(10)},
                                                  {data, sctp_chunk_of(11)},
                                                  {{0, 0, 0, 0}},
                                                  {{0, 0, 4}}};
    for (const auto& chunks : wrong) {
        CHECK(a.see(kOut, kToServer, chunks) == TrackResult::invalid);
        CHECK(a.reason == InvalidReason::sctp_chunks);
    }
    CHECK(a.see(kOut, kToServer, {sctp_chunk_of(10), data}) == TrackResult::accept);
    // An INIT that is cut short names no tag.
    CHECK(a.see(kOut, 0, {{1, 0, 0, 8, 0, 0, 0, 1}}) == TrackResult::invalid);
    // A length beyond the packet ends it.
    CHECK(a.see(kOut, kToServer, {{0, 0, 0xff, 0xff}}) == TrackResult::accept);
}

TEST_CASE("the CRC32c is that of the standard, and a wrong one makes a packet INVALID") {
    // RFC 3720, B.4: 32 bytes of zeros.
    CHECK(crc32c(L4Bytes(32, 0)) == 0x8a9136aaU);
    Association a;
    Packet good = a.arrive(sctp(kClient, 1, kServer, 2, 3, {sctp_chunk_of(0)}));
    REQUIRE((parse(good, *a.ports, a.disposal) == Arrival::forward));
    CHECK(good.trackable);
    CHECK(good.key == port_key(IpProto::sctp, kClient, be16(1), kServer, be16(2)));
    rte_pktmbuf_free(good.mbuf);

    Packet bad = a.arrive(sctp(kClient, 1, kServer, 2, 3, {sctp_chunk_of(0)}, false));
    REQUIRE((parse(bad, *a.ports, a.disposal) == Arrival::forward));
    CHECK_FALSE(bad.trackable);
    CHECK(admission_of(bad, kRules).refused == InvalidReason::sctp_checksum);
    rte_pktmbuf_free(bad.mbuf);

    Packet cut = a.arrive(protocol(132, kClient, kServer).payload_bytes(11));
    CHECK((parse(cut, *a.ports, a.disposal) == Arrival::gone));
    CHECK(a.drops(DropReason::l4_short) == 1);
}

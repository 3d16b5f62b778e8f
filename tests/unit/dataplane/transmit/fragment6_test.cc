// IPv6 datagrams in pieces: where the fragment header goes, what each piece says, which leave as they came.
#include <set>

#include "dataplane/ingress/parse.hh"
#include "dataplane/ingress/reassembly.hh"
#include "dataplane/policy/limits.hh"
#include "dataplane/transmit/fragment.hh"
#include "dataplane/transmit/fragment_ids.hh"
#include "tests/support/fragments6.hh"
#include "tests/unit/dataplane/transmit/egress_room.hh"

using namespace sluice;
using namespace sluice::test;

namespace {

constexpr IpAddress kFrom = ip6(0x2001, 0xdb8, 1, 0, 0, 0, 0, 7), kTo = ip6(0x2001, 0xdb8, 2, 0, 0, 0, 0, 9);
constexpr std::uint32_t kId = 0x12345678;

struct Room : EgressRoom {
    Room() { ports->enable_ipv6(true); }
    ~Room() { reassembly.shutdown(); }
    Room(const Room&) = delete;
    Room& operator=(const Room&) = delete;

    /// The datagram that the fragments make, on its way to WAN.
    Packet joined(const std::vector<Frame>& pieces) {
        for (const Frame& frame : pieces) {
            Packet p;
            p.mbuf = make_mbuf(pool, frame);
            REQUIRE(parse(p, *ports, disposal) == Arrival::fragment);
            rte_mbuf* m = reassembly.add(p, now);
            REQUIRE((m != nullptr) == (&frame == &pieces.back()));
            if (m == nullptr) continue;
            Packet whole;
            whole.mbuf = m;
            whole.in_port = kLan;
            whole.out_port = kWan;
            REQUIRE(parse(whole, *ports, disposal) == Arrival::forward);
            return whole;
        }
        return {};
    }
    /// Cuts and frees.
    std::vector<Frame> pieces_of(Packet& p, std::uint16_t mtu) {
        const auto before = balance().split.get();
        std::vector<Frame> made;
        each_piece(cut(p, mtu, pool, disposal, Be32::from_host(kId)), [&](rte_mbuf* m) {
            CHECK(m->next == nullptr);
            CHECK(m->nb_segs == 1);
            CHECK(m->pkt_len == m->data_len);
            made.push_back(frame_of(m));
            rte_pktmbuf_free(m);
        });
        CHECK(balance().split.get() - before == std::max<std::size_t>(made.size(), 1) - 1);
        CHECK(p.mbuf == nullptr);
        return made;
    }
    static std::vector<std::size_t> sizes(const std::vector<Frame>& frames) {
        std::vector<std::size_t> all;
        for (const Frame& f : frames) all.push_back(f.size() - 14);
        return all;
    }

    Reassembly reassembly{{}, HashSecret{1, 2}, disposal};
};

PacketBuilder datagram(std::size_t bytes) {
    return udp(kFrom, 5000, kTo, 53).payload_bytes(bytes);
}
using Sizes = std::vector<std::size_t>;

}  // namespace

TEST_CASE_METHOD(Room, "IPv6 fragments leave as they came, under a new identification") {
    const auto whole = datagram(3000).tos(0x28).ttl(9);
    Packet p = joined(fragments6_of(whole, 1448, 0xabcd0001));
    const auto made = pieces_of(p, 1500);
    CHECK(sizes(made) == Sizes{1496, 1496, 48 + 3008 - 2 * 1448});
    CHECK(rejoined6(made) == whole.bytes());
    for (const Frame& f : made) CHECK(fragment_id6(f) == kId);
    CHECK(counters->datagrams_cut.get() == 1);

    // Of different sizes, the smallest first, in the wrong order.
    const Frame frame = datagram(500).bytes();
    p = joined({piece6_of(frame, 408, 508, false), piece6_of(frame, 8, 408, true), piece6_of(frame, 0, 8, true)});
    const auto again = pieces_of(p, 1500);
    CHECK(sizes(again) == Sizes{56, 448, 148});
    CHECK(rejoined6(again) == frame);
}

TEST_CASE_METHOD(Room, "the fragment header goes behind what routers read") {
    const auto check = [&](const PacketBuilder& whole, std::size_t came, std::size_t leaves) {
        Packet p = joined(fragments6_of(whole, 1200, 1, came));
        const auto made = pieces_of(p, 1500);
        REQUIRE(made.size() == 3);
        for (const Frame& f : made) CHECK(seam_of(f) == leaves);
        CHECK(rejoined6(made) == whole.bytes());
    };
    check(datagram(3000), 40, 40);
    check(datagram(3000).hop_by_hop(), 48, 48);
    check(datagram(3000).hop_by_hop().destination_options().routing(4), 64, 64);
    check(datagram(3000).routing(4).destination_options(), 48, 48);
    // As in Linux in front of destination options only behind a routing header, wherever it was.
    check(datagram(3000).destination_options(), 48, 48);
    check(datagram(3000).destination_options(), 40, 48);
}

TEST_CASE_METHOD(Room, "an IPv6 datagram is cut anew when a piece can be none any more") {
    // A transport header that the first fragment did not hold whole.
    const std::vector<std::uint8_t> nops(40, 1);
    const auto segment = tcp(kFrom, 5000, kTo, 53).tcp_option(nops).payload_bytes(3000);
    Packet p = joined(fragments6_of(segment, 24));
    auto made = pieces_of(p, 1500);
    CHECK(made.size() > 100);  // as they came, if it was only read
    CHECK(rejoined6(made) == segment.bytes());

    p = joined(fragments6_of(segment, 24));
    p.l4[40] ^= 1;
    made = pieces_of(p, 1500);
    CHECK(sizes(made) == Sizes{1280, 1280, 48 + 3060 - 2 * 1232});  // what every link takes
    Frame written = segment.bytes();
    written[14 + 40 + 40] ^= std::byte{1};
    CHECK(rejoined6(made) == written);
}

TEST_CASE_METHOD(Room, "no piece is larger than the largest that came, or 1280 bytes") {
    const auto whole = datagram(1700);
    for (const std::size_t came : {std::size_t{24}, std::size_t{800}, std::size_t{1304}}) {
        Packet p = joined(fragments6_of(whole, came));
        const unsigned first = came == 24 ? 1280 : came == 800 ? 1280 : 1352;
        REQUIRE(rte_pktmbuf_linearize(p.mbuf) == 0);
        const auto made = pieces_of(p, 1500);
        CHECK(sizes(made) == Sizes{first, 48 + 1708 - (first - 48)});
        CHECK(rejoined6(made) == whole.bytes());
    }
}

TEST_CASE_METHOD(Room, "what fits one of the fragments that it came in leaves whole, as in Linux") {
    const auto whole = datagram(400);
    const Frame frame = whole.bytes();
    Packet p = joined({piece6_of(frame, 0, 8, true), piece6_of(frame, 8, 408, false)});
    CHECK(p.largest_piece == 448);
    REQUIRE(p.mbuf->nb_segs == 2);
    const auto made = pieces_of(p, 1500);
    REQUIRE(made.size() == 1);
    CHECK(made[0] == frame);
    CHECK(counters->datagrams_cut.get() == 0);

    p = joined({piece6_of(frame, 0, 16, true), piece6_of(frame, 16, 408, false)});
    CHECK(pieces_of(p, 1500).size() == 2);
    // A piece does not fit the way out, but the datagram does.
    const Frame odd = datagram(395).bytes();
    p = joined({piece6_of(odd, 0, 400, true), piece6_of(odd, 400, 403, false)});
    CHECK(p.l3_bytes == 443);
    CHECK(p.largest_piece == 448);
    CHECK(check_limits(p, 443).fate == Fate::go);
    CHECK(check_limits(p, 442).reason == DropReason::mtu_exceeded);
    const auto fitting = pieces_of(p, 443);
    REQUIRE(fitting.size() == 1);
    CHECK(fitting[0] == odd);
}

TEST_CASE_METHOD(Room, "Egress sends IPv6 pieces, each datagram's under an identification of its own") {
    std::set<std::uint32_t> ids;
    for (unsigned i = 0; i < 100; ++i) {
        Packet p = joined(fragments6_of(datagram(2000), 1200, 7));
        egress.send(p, resolved(), now);
        const auto made = sent(1);
        REQUIRE(made.size() == 2);
        const Decoded d = decode(rejoined6(made));
        CHECK(d.valid_checksums());
        CHECK(d.ttl == 63);
        CHECK(d.eth_dst == mac(50));
        ids.insert(fragment_id6(made[0]));
    }
    CHECK(ids.size() == 100);

    // The MTU has shrunk since it was asked for: no router cuts IPv6 to less than what came.
    (*ports)[kWan].mtu = 1300;
    Packet p = joined(fragments6_of(datagram(2000), 1400));
    egress.send(p, resolved(), now);
    p = forwarded(datagram(1400));
    egress.send(p, resolved(), now);
    CHECK(drops(DropReason::mtu_exceeded) == 2);
    CHECK(sent(1).empty());
}

TEST_CASE_METHOD(Room, "IPv6 that cannot be cut is dropped under its name") {
    Packet p = forwarded(datagram(1000));
    CHECK(cut(p, 55, pool, disposal) == nullptr);
    CHECK(drops(DropReason::fragment_failed) == 1);
    p = forwarded(datagram(1000));
    CHECK(pieces_of(p, 56).size() == 126);
    // A routing header so long that no piece would have room for data.
    const std::vector<std::uint8_t> segments(1246);
    std::vector<std::uint8_t> body{4, 0};
    body.insert(body.end(), segments.begin(), segments.end());
    p = forwarded(datagram(100).extension(43, body));
    CHECK(cut(p, 1280, pool, disposal) == nullptr);
    CHECK(drops(DropReason::fragment_failed) == 2);
    CHECK(drops() == 2);
}

TEST_CASE("SipHash-2-4 as its authors have it") {
    constexpr HashSecret kKey{0x0706050403020100U, 0x0f0e0d0c0b0a0908U};
    CHECK(siphash(kKey, 0x0706050403020100U) == 0x93f5f5799a932462U);
}

TEST_CASE("identifications do not repeat soon, and differ by secret and worker") {
    FragmentIds first(HashSecret{1, 2}, 0), same(HashSecret{1, 2}, 0), worker(HashSecret{1, 2}, 1),
        other(HashSecret{1, 3}, 0);
    std::set<std::uint32_t> seen;
    unsigned up = 0;
    for (std::uint32_t i = 0, last = 0; i < 1000; ++i) {
        const std::uint32_t id = first.next().host();
        CHECK(id != 0);
        CHECK(id == same.next().host());
        CHECK(id != worker.next().host());
        CHECK(id != other.next().host());
        up += id > last;
        last = id;
        seen.insert(id);
    }
    CHECK(seen.size() == 1000);
    CHECK(up > 400);
    CHECK(up < 600);
}

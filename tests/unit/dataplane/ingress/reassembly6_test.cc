// What reassembly does otherwise for IPv6: the fragment header, the headers in front of it and behind, RFC 7112, RFC
// 8200 4.5. What it does alike is tested with IPv4; a few of those tests are here again.
#include <algorithm>
#include <random>

#include "dataplane/flow/keyed_hash.hh"
#include "tests/support/fragments6.hh"
#include "tests/unit/dataplane/ingress/reassembly_room.hh"

using namespace sluice;
using namespace sluice::test;

namespace {

constexpr IpAddress kClient = ip6(0x2001, 0xdb8, 1, 0, 0, 0, 0, 7), kServer = ip6(0x2001, 0xdb8, 2, 0, 0, 0, 0, 9);

struct Room : ReassemblyRoom {
    explicit Room(Reassembly::Options o = {}) : ReassemblyRoom(o) { sender = kClient; }

    /// What parse alone says of it; it does not stay.
    Arrival read(const Frame& frame) {
        Packet p;
        p.mbuf = make_mbuf(pool, frame);
        const Arrival arrival = parse(p, *ports, disposal);
        if (p.mbuf != nullptr) {
            rte_pktmbuf_free(p.mbuf);
        } else {
            ++came;
        }
        return arrival;
    }
};

PacketBuilder datagram(std::size_t bytes) {
    return udp(kClient, 5000, kServer, 53).payload_bytes(bytes);
}
PacketBuilder segment_with(std::size_t option_bytes) {
    const std::vector<std::uint8_t> nops(option_bytes, 1);
    return tcp(kClient, 5000, kServer, 53).tcp_option(nops);
}

}  // namespace

TEST_CASE_METHOD(Room, "IPv6 fragments in any order make the datagram, byte for byte") {
    const Frame whole = datagram(4000).bytes();
    auto pieces = fragments6_of(whole, 1000);
    REQUIRE(pieces.size() == 5);
    std::sort(pieces.begin(), pieces.end());
    unsigned orders = 0;
    do {
        const auto made = add_all(pieces);
        REQUIRE(made);
        CHECK(parsed == Arrival::forward);
        CHECK(*made == whole);
        CHECK(largest == 1048);
        ++orders;
    } while (std::next_permutation(pieces.begin(), pieces.end()));
    CHECK(orders == 120);
    CHECK(reassembly->datagrams() == 0);
    CHECK(drops() == 0);
}

TEST_CASE_METHOD(Room, "an IPv6 datagram of 64 KB, and not a byte more") {
    std::mt19937 random(3);
    const Frame most = datagram(65535 - 48).bytes();
    for (const std::size_t size : {256U, 1232U, 1448U}) {
        auto pieces = fragments6_of(most, size);
        std::shuffle(pieces.begin(), pieces.end(), random);
        const auto made = add_all(pieces);
        REQUIRE(made);
        CHECK(parsed == Arrival::forward);
        CHECK(*made == most);
    }
    const std::size_t data = most.size() - 54;
    const auto last = [&](std::size_t begin, std::size_t bytes) {
        Frame f = piece6_of(most, 0, bytes, false, 9);
        bytes::put_word(f, 14 + 40 + 2, static_cast<unsigned>(begin));
        return f;
    };
    CHECK_FALSE(add(last(data / 8 * 8, data % 8)));
    CHECK(drops() == 0);
    now.ms += options.timeout_ms;
    CHECK_FALSE(add(last(data / 8 * 8, data % 8 + 1)));
    CHECK(drops(DropReason::fragment_length) == 1);
    CHECK(drops(DropReason::fragment_timeout) == 1);

    // Every fragment fits, but the first one has more in front of its data than the others.
    std::vector<Frame> pieces{piece6_of(datagram(100).hop_by_hop().bytes(), 0, 48, true, 10, 48)};
    for (std::size_t at = 48; at < data; at += 1448) {
        const std::size_t end = std::min(at + 1448, data);
        pieces.push_back(piece6_of(most, at, end, end != data, 10));
    }
    CHECK_FALSE(add_all(pieces));
    CHECK(drops(DropReason::fragment_length) == 1 + pieces.size());
}

TEST_CASE_METHOD(Room, "headers in front of the fragment header stay, those behind it are the first fragment's") {
    const auto check = [&](const PacketBuilder& packet, std::size_t seam) {
        const Frame whole = packet.bytes();
        const auto pieces = fragments6_of(whole, 96, 1, seam);
        REQUIRE(pieces.size() == 4);
        const auto made = add_all({pieces[2], pieces[0], pieces.back(), pieces[1]});
        REQUIRE(made);
        CHECK(parsed == Arrival::forward);
        CHECK(*made == whole);
        CHECK(largest == seam + 8 + 96);
    };
    check(datagram(300), 40);
    check(datagram(300).hop_by_hop(), 48);
    check(datagram(300).hop_by_hop().destination_options().routing(4), 64);
    check(datagram(300).hop_by_hop().destination_options().routing(4).destination_options(), 64);
    check(datagram(300).destination_options(), 40);
    check(datagram(300).destination_options(), 48);
    CHECK(drops() == 0);
}

TEST_CASE_METHOD(Room, "an IPv6 datagram has the headers of its first fragment, whatever the others say") {
    const Frame whole = datagram(100).tos(0x28).ttl(7).flow_label(0xabcde).bytes();
    auto pieces = fragments6_of(whole, 48);
    const auto other = fragments6_of(datagram(100).destination_options().tos(0x2c).ttl(9), 48, 1, 48);
    pieces[1] = other[1];
    pieces[2] = fragments6_of(whole, 48)[2];
    pieces[2][14 + 40] = std::byte{6};  // says that this is TCP
    const auto made = add_all({pieces[1], pieces[2], pieces[0]});
    REQUIRE(made);
    CHECK(*made == whole);
    CHECK(largest == 40 + 8 + 8 + 48);
}

TEST_CASE_METHOD(Room, "the first IPv6 fragment holds all headers") {
    const auto refused = [&](const Frame& first, DropReason why = DropReason::ip6_extension) {
        const std::uint64_t before = drops(why);
        CHECK(read(first) == Arrival::gone);
        CHECK(drops(why) == before + 1);
    };
    const Frame with_options = datagram(300).destination_options().destination_options().bytes();
    refused(piece6_of(with_options, 0, 0, true));
    refused(piece6_of(with_options, 0, 8, true));
    refused(piece6_of(with_options, 0, 16, true));
    CHECK(read(piece6_of(with_options, 0, 24, true)) == Arrival::fragment);
    Frame beyond = piece6_of(with_options, 0, 40, true);
    beyond[14 + 48 + 1] = std::byte{5};  // options of 48 bytes
    refused(beyond);

    const Frame segment = segment_with(12).payload_bytes(50).bytes();
    refused(piece6_of(segment, 0, 16, true));
    CHECK(read(piece6_of(segment, 0, 24, true)) == Arrival::fragment);  // options may come later, as in Linux
    const Frame ping = echo_request(kClient, kServer, 7).payload_bytes(100).bytes();
    CHECK(read(piece6_of(ping, 0, 8, true)) == Arrival::fragment);
    const Frame other = protocol(200, kClient, kServer).payload_bytes(100).bytes();
    CHECK(read(piece6_of(other, 0, 8, true)) == Arrival::fragment);

    // A fragment of a fragment, hop-by-hop options where they do not belong, a source route that hides.
    refused(piece6_of(piece6_of(datagram(100).bytes(), 0, 48, true), 0, 40, true));
    refused(piece6_of(datagram(100).destination_options().hop_by_hop().bytes(), 0, 80, true));
    refused(piece6_of(datagram(100).routing(0).bytes(), 0, 80, true), DropReason::ip_source_route);
    // Of later fragments nobody can tell.
    CHECK(read(piece6_of(segment, 16, 32, true)) == Arrival::fragment);
    CHECK(drops() == drops(DropReason::ip6_extension) + drops(DropReason::ip_source_route));
}

TEST_CASE_METHOD(Room, "a fragment that is alone is no fragment") {
    const Frame atomic = piece6_of(datagram(100).bytes(), 0, 108, false);
    CHECK(read(atomic) == Arrival::forward);
}

TEST_CASE_METHOD(Room, "neighbour discovery never comes in fragments") {
    const Frame whole = icmp(kClient, kServer, 135, 0).payload_bytes(16).ttl(255).bytes();
    CHECK(read(whole) == Arrival::punt);
    CHECK(add_all(fragments6_of(whole, 16)));
    CHECK(parsed == Arrival::gone);
    CHECK(drops(DropReason::ip6_extension) == 1);
}

TEST_CASE_METHOD(Room, "a repeated IPv6 fragment does no harm, an overlap spoils the datagram") {
    const Frame whole = datagram(100).bytes();
    const auto pieces = fragments6_of(whole, 40);
    CHECK_FALSE(add(pieces[2]));
    CHECK_FALSE(add(pieces[2]));
    CHECK_FALSE(add(pieces[0]));
    CHECK_FALSE(add(pieces[0]));
    CHECK(drops(DropReason::fragment_repeated) == 2);
    CHECK(*add(pieces[1]) == whole);

    std::uint32_t id = 10;
    for (const auto& [begin, end] : {std::pair<std::size_t, std::size_t>{24, 64}, {40, 56}, {40, 96}, {24, 88}}) {
        const auto of = fragments6_of(whole, 40, ++id);
        CHECK_FALSE(add(of[0]));
        CHECK_FALSE(add(piece6_of(whole, 48, 88, true, id)));
        const std::uint64_t before = drops(DropReason::fragment_overlap);
        CHECK_FALSE(add(piece6_of(whole, begin, end, true, id)));
        CHECK(reassembly->pieces() == 0);
        for (const Frame& piece : of) CHECK_FALSE(add(piece));
        CHECK(drops(DropReason::fragment_overlap) == before + 6);
    }
    CHECK(drops() == drops(DropReason::fragment_overlap) + 2);
}

TEST_CASE_METHOD(Room, "lengths that cannot be right spoil an IPv6 datagram") {
    const Frame whole = datagram(200).bytes();
    std::uint32_t id = 100;
    const auto spoilt = [&](const char* what, const std::vector<Frame>& pieces) {
        INFO(what);
        const std::uint64_t before = drops(DropReason::fragment_length);
        for (const Frame& f : pieces) CHECK_FALSE(add(f));
        CHECK(drops(DropReason::fragment_length) == before + pieces.size());
        CHECK(reassembly->pieces() == 0);
        ++id;
    };
    spoilt(
        "no multiple of eight, and more to come",
        {piece6_of(whole, 0, 48, true, id), piece6_of(whole, 48, 93, true, id), piece6_of(whole, 88, 208, false, id)});
    spoilt("no data", {piece6_of(whole, 8, 8, true, id)});
    spoilt("the last without data", {piece6_of(whole, 0, 40, true, id), piece6_of(whole, 40, 40, false, id)});
    spoilt("beyond the last", {piece6_of(whole, 40, 80, false, id), piece6_of(whole, 80, 120, true, id)});
    spoilt("two ends", {piece6_of(whole, 40, 80, false, id), piece6_of(whole, 40, 72, false, id)});
    spoilt("an end before what has come", {piece6_of(whole, 80, 120, true, id), piece6_of(whole, 40, 60, false, id)});
}

TEST_CASE_METHOD(Room,
                 "IPv6 datagrams are told apart by addresses, all of the identification, zone and who sent them") {
    const Frame whole = datagram(100).bytes();
    const auto pieces = fragments6_of(whole, 48, 0x00010001);
    CHECK_FALSE(add(pieces[0]));
    CHECK_FALSE(add(fragments6_of(whole, 48, 0x00020001)[0]));
    CHECK_FALSE(add(fragments6_of(whole, 48, 0x00010002)[0]));
    CHECK_FALSE(add(fragments6_of(udp(kServer, 1, kClient, 2).payload_bytes(100), 48, 0x00010001)[0]));
    constexpr IpAddress kNear = ip6(0x2001, 0xdb8, 1, 0, 0, 0, 1, 7);  // differs in the upper bits alone
    CHECK_FALSE(add(fragments6_of(udp(kNear, 1, kServer, 2).payload_bytes(100), 48, 0x00010001)[0]));
    CHECK_FALSE(add(fragments6_of(datagram(100).vlan(20), 48, 0x00010001)[0]));  // another zone
    CHECK(reassembly->datagrams() == 6);

    Packet own;
    own.mbuf = make_mbuf(pool, pieces[0]);
    own.local_out = true;
    own.in_port = kKernelPort;
    own.out_port = kWan;
    ++came;
    REQUIRE(parse(own, *ports, disposal) == Arrival::fragment);
    CHECK(reassembly->add(own, now) == nullptr);
    CHECK(reassembly->datagrams() == 7);

    CHECK_FALSE(add(pieces[1]));
    CHECK(*add(pieces[2]) == whole);
    CHECK(reassembly->datagrams() == 6);
    CHECK(drops() == 0);
}

TEST_CASE_METHOD(Room, "ECN of IPv6 fragments is that of the datagram, or they do not belong together") {
    std::uint32_t id = 1;
    const auto joined_class = [&](unsigned a, unsigned b, unsigned c) -> int {
        ++id;
        const auto with = [&](unsigned ecn, std::size_t which) {
            return fragments6_of(datagram(100).tos(0xb8 | ecn).flow_label(0xabcde), 48, id)[which];
        };
        const auto made = add_all({with(a, 0), with(b, 1), with(c, 2)});
        if (!made) return -1;
        CHECK(decode(*made).flow_label == 0xabcde);
        return decode(*made).tos;
    };
    constexpr unsigned kNone = 0, kEct1 = 1, kEct0 = 2, kCe = 3;
    CHECK(joined_class(kNone, kNone, kNone) == 0xb8);
    CHECK(joined_class(kEct0, kEct1, kEct0) == 0xba);
    CHECK(joined_class(kEct0, kCe, kEct0) == 0xbb);
    CHECK(joined_class(kEct1, kEct1, kCe) == 0xbb);
    CHECK(drops() == 0);
    CHECK(joined_class(kNone, kCe, kNone) == -1);
    CHECK(joined_class(kEct0, kNone, kEct0) == -1);
    CHECK(drops(DropReason::fragment_ecn) == 6);
}

TEST_CASE_METHOD(Room, "an IPv6 datagram that is not whole in time: who sent its first fragment can be told") {
    const auto timed_out = [&](const Frame& first, auto&& check) {
        CHECK_FALSE(add(first));
        now.ms += options.timeout_ms;
        unsigned told = 0;
        reassembly->expire(now, [&](const Packet& p) {
            ++told;
            CHECK(p.v6);
            CHECK(p.source() == kClient);
            CHECK(p.in_port == kLan);
            CHECK(p.l3_bytes == first.size() - 14);
            check(p);
        });
        disposal.flush();
        CHECK(told == 1);
    };
    timed_out(fragments6_of(datagram(300).destination_options(), 96)[0], [](const Packet& p) {
        CHECK(p.proto == 17);
        CHECK(p.l4 - p.l3 == 40 + 8 + 8);
        CHECK(p.l4_bytes == 96 - 8);
        CHECK_FALSE(p.icmp_error);
    });
    timed_out(fragments6_of(
                  icmp_error(kClient, kServer, 1, 4, udp(kServer, 1, kClient, 2).payload_bytes(200), 208).hop_by_hop(),
                  96, 1, 48)[0],
              [](const Packet& p) {
                  CHECK(p.proto == 58);
                  CHECK(p.icmp_error);
              });
    CHECK_FALSE(add(fragments6_of(datagram(300), 96)[1]));
    now.ms += options.timeout_ms;
    CHECK(expire() == 0);
    CHECK(drops(DropReason::fragment_timeout) == 3);
}

TEST_CASE("IPv4 and IPv6 share what may wait") {
    Room room({.pieces = 6, .datagrams = 3, .per_datagram = 4});
    const auto v4 = [](unsigned id) {
        return fragments_of(udp(ip4(192, 0, 2, 7), 1, ip4(203, 0, 113, 9), 2).payload_bytes(100).ip_id(id), 48);
    };
    CHECK_FALSE(room.add(v4(1)[0]));
    CHECK_FALSE(room.add(fragments6_of(datagram(100), 48, 1)[0]));
    CHECK_FALSE(room.add(v4(2)[0]));
    CHECK_FALSE(room.add(fragments6_of(datagram(100), 48, 2)[0]));
    CHECK(room.reassembly->datagrams() == 3);
    CHECK(room.drops(DropReason::fragment_evicted) == 1);
    CHECK_FALSE(room.add(fragments6_of(datagram(100), 48, 1)[1]));
    CHECK(room.add(fragments6_of(datagram(100), 48, 1)[2]));
    const auto many = fragments6_of(datagram(150), 32, 3);
    REQUIRE(many.size() == 5);
    for (const Frame& piece : many) CHECK_FALSE(room.add(piece));
    CHECK(room.drops(DropReason::fragment_limit) == 5);
}

TEST_CASE_METHOD(Room, "IPv6 identifications that fill one bucket for one secret spread for another") {
    const KeyedHash known(HashSecret{0xdead, 0xbeef});
    FlowKey key = generic_key(0, kClient, kServer);
    std::vector<std::uint32_t> chosen;
    for (std::uint32_t id = 0; chosen.size() < 512; ++id) {
        key.sport = Be16::from_raw(static_cast<std::uint16_t>(Be32::from_host(id).raw & 0xffffU));
        key.dport = Be16::from_raw(static_cast<std::uint16_t>(Be32::from_host(id).raw >> 16));
        if ((known(key) & 1023U) == 0) chosen.push_back(id);
    }
    for (const std::uint32_t id : chosen) CHECK_FALSE(add(fragments6_of(datagram(100), 48, id)[1]));
    CHECK(reassembly->datagrams() == 512);
    CHECK(reassembly->longest_bucket() <= 8);
}

TEST_CASE_METHOD(Room, "TCP options in later IPv6 fragments are pulled together") {
    const Frame segment = segment_with(40).payload_bytes(33).bytes();
    CHECK(*add_all(fragments6_of(segment, 24)) == segment);
    CHECK(parsed == Arrival::forward);
    CHECK(add_all(fragments6_of(datagram(100).break_checksum(), 48)));
    CHECK(parsed == Arrival::gone);
    CHECK(drops(DropReason::udp_checksum) == 1);
}

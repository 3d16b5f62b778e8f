#include "dataplane/ingress/reassembly.hh"

#include <algorithm>
#include <array>
#include <random>
#include <vector>

#include <catch2/catch.hpp>

#include "tests/support/fragments.hh"
#include "tests/unit/dataplane/ingress/reassembly_room.hh"

using namespace sluice;
using namespace sluice::test;

namespace {

constexpr Ip4 kClient = ip4(192, 0, 2, 7), kServer = ip4(203, 0, 113, 9);

using Room = ReassemblyRoom;

PacketBuilder datagram(std::size_t bytes, unsigned id = 1) {
    return udp(kClient, 5000, kServer, 53).payload_bytes(bytes).ip_id(id);
}

}  // namespace

TEST_CASE_METHOD(Room, "fragments in any order make the datagram, byte for byte") {
    const auto whole = datagram(4000);
    auto pieces = fragments_of(whole, 1000);
    REQUIRE(pieces.size() == 5);
    std::sort(pieces.begin(), pieces.end());
    unsigned orders = 0;
    do {
        const auto made = add_all(pieces);
        REQUIRE(made);
        CHECK(*made == whole.bytes());
        CHECK(largest == 1020);
        ++orders;
    } while (std::next_permutation(pieces.begin(), pieces.end()));
    CHECK(orders == 120);
    CHECK(reassembly->datagrams() == 0);
    CHECK(counters->datagrams_joined.get() == 120);
    CHECK(drops() == 0);
}

TEST_CASE_METHOD(Room, "a datagram of 64 KB in fragments of many sizes, shuffled") {
    std::mt19937 random(3);
    for (const std::size_t size : {8U, 256U, 576U, 1480U}) {
        options.per_datagram = 8192;
        options.pieces = 8192;
        // The pool of the room has 2047 buffers.
        const auto whole = datagram(size == 8 ? 8000 : 65507);
        auto pieces = fragments_of(whole, size);
        std::shuffle(pieces.begin(), pieces.end(), random);
        const auto made = add_all(pieces);
        REQUIRE(made);
        CHECK(*made == whole.bytes());
        CHECK(decode(*made).valid_checksums());
    }
}

TEST_CASE_METHOD(Room, "a repeated fragment is dropped and does no harm") {
    const auto whole = datagram(100);
    const auto pieces = fragments_of(whole, 40);
    REQUIRE(pieces.size() == 3);
    CHECK_FALSE(add(pieces[2]));
    CHECK_FALSE(add(pieces[2]));
    CHECK_FALSE(add(pieces[0]));
    CHECK_FALSE(add(pieces[0]));
    // A part of one that is here, as Linux sees it.
    CHECK_FALSE(add(piece_of(whole.bytes(), 8, 32, true)));
    CHECK(drops(DropReason::fragment_repeated) == 3);
    const auto made = add(pieces[1]);
    REQUIRE(made);
    CHECK(*made == whole.bytes());
    CHECK(drops() == 3);
}

TEST_CASE_METHOD(Room, "an overlap spoils the datagram, what has come and what is still to come") {
    const auto whole = datagram(100);
    const Frame frame = whole.bytes();
    const auto pieces = fragments_of(whole, 40);
    struct Row {
        const char* what;
        std::size_t begin, end;
    };
    unsigned id = 10;
    for (const Row& row : {Row{"begins in one that is here", 24, 64}, Row{"ends in it", 40, 56},
                           Row{"holds it whole", 40, 96}, Row{"lies over the two", 24, 88}}) {
        INFO(row.what);
        const auto of = [&](const Frame& f) {
            Frame copy = f;
            bytes::put_word(copy, 14 + 4, id);
            bytes::seal(copy);
            return copy;
        };
        const std::uint64_t before = drops(DropReason::fragment_overlap);
        CHECK_FALSE(add(of(pieces[0])));
        CHECK_FALSE(add(of(piece_of(frame, 48, 88, true))));
        CHECK_FALSE(add(of(piece_of(frame, row.begin, row.end, true))));
        CHECK(drops(DropReason::fragment_overlap) == before + 3);
        CHECK(reassembly->pieces() == 0);
        for (const Frame& piece : pieces) CHECK_FALSE(add(of(piece)));
        CHECK(drops(DropReason::fragment_overlap) == before + 6);
        ++id;
    }
    CHECK(drops() == drops(DropReason::fragment_overlap));
    // When its time is over the identification is free again.
    now.ms += options.timeout_ms;
    id = 10;
    std::optional<Frame> made;
    for (Frame piece : pieces) {
        bytes::put_word(piece, 14 + 4, id);
        bytes::seal(piece);
        made = add(piece);
    }
    CHECK(made);
}

TEST_CASE_METHOD(Room, "lengths that cannot be right spoil the datagram") {
    const Frame frame = datagram(200).bytes();
    const auto spoilt = [&](const char* what, std::vector<Frame> pieces) {
        static unsigned id = 100;
        ++id;
        INFO(what);
        const std::uint64_t before = drops(DropReason::fragment_length);
        const std::size_t held = reassembly ? reassembly->pieces() : 0;
        for (Frame& f : pieces) {
            bytes::put_word(f, 14 + 4, id);
            bytes::seal(f);
            CHECK_FALSE(add(f));
        }
        CHECK(drops(DropReason::fragment_length) == before + pieces.size());
        CHECK(reassembly->pieces() == held);
    };
    spoilt("no data", {piece_of(frame, 0, 0, true)});
    spoilt("less than eight bytes, and more to come", {piece_of(frame, 0, 7, true)});
    spoilt("the last without data", {piece_of(frame, 0, 40, true), piece_of(frame, 40, 40, false)});
    spoilt("beyond the last", {piece_of(frame, 40, 80, false), piece_of(frame, 80, 120, true)});
    spoilt("two ends", {piece_of(frame, 40, 80, false), piece_of(frame, 40, 72, false)});
    spoilt("an end before what has come", {piece_of(frame, 80, 120, true), piece_of(frame, 40, 60, false)});

    Frame far = piece_of(frame, 0, 40, false);
    bytes::put_word(far, 14 + 6, 65512 / 8);  // 65512 + 40 + 20 > 65535
    spoilt("beyond 64 KB", {far});

    // A longer header in the first fragment than in the others makes too much of it.
    const std::uint8_t nops[] = {1, 1, 1, 1};
    Frame first = piece_of(datagram(200).ip_option(nops).bytes(), 0, 8, true);
    std::vector<Frame> pieces{first};
    const Frame large = datagram(65507).bytes();
    for (std::size_t at = 8; at < 65515; at += 1480) {
        const std::size_t end = std::min<std::size_t>(at + 1480, 65515);
        pieces.push_back(piece_of(large, at, end, end != 65515));
    }
    spoilt("64 KB behind a header with options", pieces);
}

TEST_CASE_METHOD(Room, "a fragment whose length is no multiple of eight is cut to one") {
    const auto whole = datagram(100);
    const Frame frame = whole.bytes();
    CHECK_FALSE(add(piece_of(frame, 0, 45, true)));
    const auto made = add(piece_of(frame, 40, 108, false));
    REQUIRE(made);
    CHECK(*made == frame);
}

TEST_CASE_METHOD(Room, "datagrams are told apart by addresses, protocol, identification, zone and who sent them") {
    const auto whole = datagram(100);
    const auto pieces = fragments_of(whole, 48);
    const auto first_of = [](const PacketBuilder& b) { return fragments_of(b, 48)[0]; };
    CHECK_FALSE(add(first_of(whole)));
    CHECK_FALSE(add(first_of(datagram(100, 2))));
    CHECK_FALSE(add(first_of(udp(kServer, 5000, kClient, 53).payload_bytes(100).ip_id(1))));
    CHECK_FALSE(add(first_of(protocol(99, kClient, kServer).payload_bytes(108).ip_id(1))));
    CHECK_FALSE(add(first_of(datagram(100).vlan(20))));  // another zone
    CHECK(reassembly->datagrams() == 5);

    Packet own;
    own.mbuf = make_mbuf(pool, pieces[0]);
    own.local_out = true;
    own.in_port = kKernelPort;
    own.out_port = kWan;
    ++came;
    REQUIRE(parse(own, *ports, disposal) == Arrival::fragment);
    CHECK(reassembly->add(own, now) == nullptr);
    CHECK(reassembly->datagrams() == 6);

    CHECK_FALSE(add(pieces[1]));
    CHECK(add(pieces[2]));
    CHECK(reassembly->datagrams() == 5);
}

TEST_CASE_METHOD(Room, "DF stays when the largest fragment had it") {
    const auto with = datagram(100).dont_fragment(), without = datagram(100);
    const auto df = fragments_of(with, 48), plain = fragments_of(without, 48);
    CHECK(decode(*add_all(df)).dont_fragment);
    CHECK_FALSE(decode(*add_all(plain)).dont_fragment);
    CHECK_FALSE(decode(*add_all({plain[0], plain[1], df[2]})).dont_fragment);  // only the small one
    CHECK(decode(*add_all({df[0], plain[1], plain[2]})).dont_fragment);
}

TEST_CASE_METHOD(Room, "ECN of the fragments is that of the datagram, or they do not belong together") {
    const auto with = [](unsigned ecn, std::size_t which) {
        return fragments_of(datagram(100).tos(0x28 | ecn), 48)[which];
    };
    constexpr unsigned kNone = 0, kEct1 = 1, kEct0 = 2, kCe = 3;
    const auto joined_tos = [&](unsigned a, unsigned b, unsigned c) -> int {
        const auto made = add_all({with(a, 0), with(b, 1), with(c, 2)});
        now.ms += options.timeout_ms;
        expire();
        return made ? decode(*made).tos : -1;
    };
    CHECK(joined_tos(kNone, kNone, kNone) == 0x28);
    CHECK(joined_tos(kEct0, kEct0, kEct0) == 0x2a);
    CHECK(joined_tos(kEct0, kEct1, kEct0) == 0x2a);
    CHECK(joined_tos(kEct0, kCe, kEct0) == 0x2b);
    CHECK(joined_tos(kEct1, kEct1, kCe) == 0x2b);
    CHECK(joined_tos(kCe, kCe, kCe) == 0x2b);
    CHECK(drops() == 0);
    CHECK(joined_tos(kNone, kCe, kNone) == -1);
    CHECK(joined_tos(kEct0, kNone, kEct0) == -1);
    CHECK(drops(DropReason::fragment_ecn) == 6);
}

TEST_CASE_METHOD(Room, "the header is the first fragment's") {
    const auto whole = datagram(100);
    const Frame frame = whole.bytes();
    const std::uint8_t record[] = {7, 7, 4, 0, 0, 0, 0};
    const Frame first = piece_of(datagram(100).ip_option(record).ttl(7).tos(0x28).bytes(), 0, 48, true);
    CHECK_FALSE(add(piece_of(frame, 48, 108, false)));
    const auto made = add(first);
    REQUIRE(made);
    const Decoded d = decode(*made);
    CHECK(d.valid_checksums());
    CHECK(d.ttl == 7);
    CHECK(d.tos == 0x28);
    CHECK(d.ip_options.size() == 8);
    CHECK(d.payload.size() == 100);
    CHECK(largest == 20 + 60);
}

TEST_CASE_METHOD(Room, "a datagram has thirty seconds from its first fragment on, to the tick") {
    const auto pieces = fragments_of(datagram(100), 48);
    CHECK_FALSE(add(pieces[0]));
    now.ms += 29000;
    CHECK_FALSE(add(pieces[1]));  // starts nothing anew
    now.ms += 999;
    CHECK(expire() == 0);
    CHECK(reassembly->pieces() == 2);
    now.ms += 1;
    CHECK(expire() == 1);
    CHECK(reassembly->pieces() == 0);
    CHECK(drops(DropReason::fragment_timeout) == 2);

    SECTION("without the first fragment nobody is told") {
        CHECK_FALSE(add(pieces[1]));
        CHECK_FALSE(add(pieces[2]));
        now.ms += 30000;
        CHECK(expire() == 0);
        CHECK(drops(DropReason::fragment_timeout) == 4);
    }
    SECTION("a fragment that finds it over begins anew, however late the sweep is") {
        CHECK_FALSE(add(pieces[0]));
        CHECK_FALSE(add(pieces[1]));
        now.ms += 30000;
        CHECK_FALSE(add(pieces[2]));
        CHECK(drops(DropReason::fragment_timeout) == 4);
        CHECK(reassembly->pieces() == 1);
        CHECK_FALSE(add(pieces[0]));
        CHECK(add(pieces[1]));
    }
    SECTION("the sweep does a bounded part of a large heap") {
        for (unsigned id = 0; id < 1000; ++id) CHECK_FALSE(add(fragments_of(datagram(100, id), 48)[1]));
        now.ms += 30000;
        unsigned calls = 0;
        for (; reassembly->pieces() != 0; ++calls) {
            const std::uint32_t before = reassembly->pieces();
            expire();
            CHECK(before - reassembly->pieces() <= 256);
        }
        CHECK(calls >= 4);
        CHECK(reassembly->datagrams() == 0);
    }
}

TEST_CASE_METHOD(Room, "an ICMP error that never became whole is marked as one") {
    const auto pieces = fragments_of(
        icmp_error(kClient, kServer, 3, 3, udp(kServer, 1, kClient, 2).payload_bytes(200).ip_id(9), 128), 48);
    CHECK_FALSE(add(pieces[0]));
    now.ms += 30000;
    unsigned told = 0;
    reassembly->expire(now, [&](const Packet& first) {
        ++told;
        CHECK(first.icmp_error);
        CHECK(first.in_port == kLan);
        CHECK(first.l3_bytes == 68);
    });
    CHECK(told == 1);
}

namespace {

struct SmallRoom : Room {
    SmallRoom() : Room({.pieces = 8, .datagrams = 4, .per_datagram = 4}) {}
};

}  // namespace

TEST_CASE_METHOD(SmallRoom, "when no more datagrams may wait the oldest goes") {
    for (unsigned id = 0; id < 5; ++id) CHECK_FALSE(add(fragments_of(datagram(100, id), 48)[0]));
    CHECK(reassembly->datagrams() == 4);
    CHECK(drops(DropReason::fragment_evicted) == 1);
    const auto last = fragments_of(datagram(100, 4), 48);
    CHECK_FALSE(add(last[1]));
    CHECK(add(last[2]));
    const auto first = fragments_of(datagram(100, 0), 48);
    CHECK_FALSE(add(first[1]));
    CHECK_FALSE(add(first[2]));  // its first fragment is gone
}

TEST_CASE_METHOD(SmallRoom, "when no more fragments may wait the oldest datagram goes") {
    for (unsigned id = 0; id < 2; ++id)
        for (unsigned i = 0; i < 3; ++i) CHECK_FALSE(add(fragments_of(datagram(150, id), 40)[i]));
    const auto third = fragments_of(datagram(150, 2), 40);
    CHECK_FALSE(add(third[0]));
    CHECK_FALSE(add(third[1]));
    CHECK(reassembly->pieces() == 8);
    CHECK_FALSE(add(third[2]));
    CHECK(drops(DropReason::fragment_evicted) == 3);
    CHECK(reassembly->pieces() == 6);
    CHECK(add(third[3]));
    CHECK(add(fragments_of(datagram(150, 1), 40)[3]));
}

TEST_CASE_METHOD(SmallRoom, "a datagram of too many fragments is spoilt") {
    const auto pieces = fragments_of(datagram(150), 32);
    REQUIRE(pieces.size() == 5);
    for (const Frame& piece : pieces) CHECK_FALSE(add(piece));
    CHECK(drops(DropReason::fragment_limit) == 5);
    CHECK(reassembly->pieces() == 0);
    // Exactly as many as may be.
    CHECK(add_all(fragments_of(datagram(150, 2), 40)));
}

TEST_CASE("a datagram that alone fills the room makes none for itself") {
    Room room({.pieces = 2, .datagrams = 4, .per_datagram = 100});
    const auto pieces = fragments_of(datagram(150), 40);
    for (const Frame& piece : pieces) CHECK_FALSE(room.add(piece));
    CHECK(room.drops(DropReason::fragment_limit) == 4);
}

TEST_CASE_METHOD(Room, "what still waits at the end is counted") {
    CHECK_FALSE(add(fragments_of(datagram(100), 48)[0]));
    reassembly->shutdown();
    CHECK(drops(DropReason::shutdown) == 1);
    CHECK(reassembly->datagrams() == 0);
}

TEST_CASE_METHOD(Room, "identifications that fill one bucket for one secret spread for another") {
    // Search what falls into bucket 0 of 1024 under a known secret, then play it to a room with another.
    const KeyedHash known(HashSecret{0xdead, 0xbeef});
    std::vector<unsigned> ids;
    FlowKey key = generic_key(17, kClient, kServer);
    std::vector<PacketBuilder> chosen;
    for (unsigned client = 1; client < 120 && chosen.size() < 512; ++client)
        for (unsigned id = 0; id < 65536 && chosen.size() < 512; ++id) {
            key.set_src(ip4(192, 0, 2, client));
            key.sport = be16(id);
            if ((known(key) & 1023U) == 0)
                chosen.push_back(udp(key.src().v4(), 1, kServer, 2).payload_bytes(100).ip_id(id));
        }
    REQUIRE(chosen.size() == 512);
    for (const auto& packet : chosen) CHECK_FALSE(add(fragments_of(packet, 48)[1]));
    CHECK(reassembly->datagrams() == 512);
    CHECK(reassembly->longest_bucket() <= 8);
}

TEST_CASE_METHOD(Room, "a header that the first fragment does not hold whole is pulled together") {
    const auto check = [&](const PacketBuilder& whole, std::size_t size) {
        const auto made = add_all(fragments_of(whole, size));
        REQUIRE(made);
        CHECK(parsed == Arrival::forward);
        CHECK(*made == whole.bytes());
        CHECK(decode(*made).valid_checksums());
    };
    const std::uint8_t option[] = {2, 4, 5, 0xb4, 1, 1, 1, 1, 1, 1, 1, 1};
    check(tcp(kClient, 1, kServer, 2).tcp_option(option).payload_bytes(50), 8);
    check(tcp(kClient, 1, kServer, 2).tcp_option(option).payload_bytes(3), 16);
    check(tcp(kClient, 1, kServer, 2).payload_bytes(0), 16);
    check(udp(kClient, 1, kServer, 2).payload_bytes(5), 8);
    check(echo_request(kClient, kServer, 7).payload_bytes(33), 8);
    check(icmp_error(kClient, kServer, 3, 3, udp(kServer, 1, kClient, 2).payload_bytes(100), 60), 8);

    // What the transport says of its length is checked against the whole.
    CHECK(add_all(fragments_of(udp(kClient, 1, kServer, 2).payload_bytes(100).break_checksum(), 48)));
    CHECK(drops(DropReason::udp_checksum) == 1);
    CHECK(add_all(fragments_of(udp(kClient, 1, kServer, 2).payload_bytes(100).udp_length(109), 48)));
    CHECK(drops(DropReason::udp_length) == 1);
    const Frame segment = tcp(kClient, 1, kServer, 2).bytes();
    CHECK(add_all({piece_of(segment, 0, 8, true), piece_of(segment, 8, 16, true), piece_of(segment, 16, 19, false)}));
    CHECK(drops(DropReason::l4_short) == 1);
}

// Addresses of both families as one value: families, order, prefixes, ranges, bytes.
#include "dataplane/base/ip_address.hh"

#include <algorithm>
#include <array>
#include <random>
#include <vector>

#include <catch2/catch.hpp>

#include "dataplane/base/checksum.hh"

using namespace sluice;

namespace {

constexpr IpAddress kDoc = ip6(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1);
constexpr IpAddress kV4 = ip4(192, 0, 2, 7);

IpAddress random_address(std::mt19937_64& random) {
    return IpAddress::from_host64(random(), random());
}

}  // namespace

TEST_CASE("an address knows its family by its value") {
    STATIC_REQUIRE(kV4.is_v4());
    STATIC_REQUIRE(!kDoc.is_v4());
    STATIC_REQUIRE(kV4.v4() == ip4(192, 0, 2, 7));
    STATIC_REQUIRE(kV4 == ip6(0, 0, 0, 0, 0, 0xffff, 0xc000, 0x0207));
    STATIC_REQUIRE(kV4.bits() == 32);
    STATIC_REQUIRE(kDoc.bits() == 128);
    // None is no IPv4 address, and 0.0.0.0 is one.
    STATIC_REQUIRE(IpAddress{}.is_none());
    STATIC_REQUIRE(!IpAddress{}.is_v4());
    STATIC_REQUIRE(IpAddress(Ip4{}).is_v4());
    STATIC_REQUIRE(!IpAddress(Ip4{}).is_none());
    // IPv4-compatible addresses (RFC 4291 2.5.5.1) are IPv6.
    STATIC_REQUIRE(!ip6(0, 0, 0, 0, 0, 0, 0xc000, 0x0207).is_v4());
}

TEST_CASE("an address is 16 bytes as in a packet") {
    const std::array<std::uint8_t, 16> bytes{0x20, 0x01, 0x0d, 0xb8, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11};
    const IpAddress a = IpAddress::from_bytes(bytes.data());
    CHECK(a == ip6(0x2001, 0x0db8, 0x0001, 0x0203, 0x0405, 0x0607, 0x0809, 0x0a0b));
    CHECK(a.word(0) == 0x20010db8);
    CHECK(a.word(3) == 0x08090a0b);
    CHECK(a.upper64() == 0x20010db800010203U);
    CHECK(a.lower64() == 0x0405060708090a0bU);
    CHECK(IpAddress::from_host64(a.upper64(), a.lower64()) == a);
    std::array<std::uint8_t, 16> back{};
    a.to_bytes(back.data());
    CHECK(back == bytes);
    IpAddress b = a;
    b.set_word(0, 1);
    b.set_word(3, 2);
    CHECK(b == ip6(0, 1, 0x0001, 0x0203, 0x0405, 0x0607, 0, 2));
}

TEST_CASE("addresses are ordered as people read them, all of IPv4 together") {
    const std::vector<IpAddress> ordered{IpAddress{},
                                         ip6(0, 0, 0, 0, 0, 0, 0, 1),
                                         ip6(0, 0, 0, 0, 0, 0xfffe, 0xffff, 0xffff),
                                         ip4(0, 0, 0, 0),
                                         ip4(1, 255, 255, 255),
                                         ip4(2, 0, 0, 0),
                                         ip4(255, 255, 255, 255),
                                         ip6(0, 0, 0, 0, 1, 0, 0, 0),
                                         ip6(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1),
                                         ip6(0x2001, 0xdb8, 0, 0, 0, 0, 1, 0),
                                         ip6(0x2001, 0xdb8, 0, 1, 0, 0, 0, 0),
                                         ip6(0xff02, 0, 0, 0, 0, 0, 0, 1)};
    CHECK(std::is_sorted(ordered.begin(), ordered.end()));
    for (std::size_t i = 0; i + 1 < ordered.size(); ++i) CHECK(ordered[i] < ordered[i + 1]);
}

TEST_CASE("scopes") {
    STATIC_REQUIRE(ip6(0xfe80, 0, 0, 0, 0, 0, 0, 1).is_link_local());
    STATIC_REQUIRE(ip6(0xfebf, 0xffff, 0, 0, 0, 0, 0, 1).is_link_local());
    STATIC_REQUIRE(!ip6(0xfec0, 0, 0, 0, 0, 0, 0, 1).is_link_local());
    STATIC_REQUIRE(!ip6(0xfe7f, 0, 0, 0, 0, 0, 0, 1).is_link_local());
    STATIC_REQUIRE(IpAddress(ip4(169, 254, 0, 1)).is_link_local());
    STATIC_REQUIRE(!IpAddress(ip4(169, 253, 0, 1)).is_link_local());
    STATIC_REQUIRE(ip6(0xff02, 0, 0, 0, 0, 0, 0, 1).is_multicast());
    STATIC_REQUIRE(!kDoc.is_multicast());
    STATIC_REQUIRE(IpAddress(ip4(224, 0, 0, 1)).is_multicast());
    STATIC_REQUIRE(!IpAddress(ip4(240, 0, 0, 1)).is_multicast());
}

TEST_CASE("prefixes of every length hold what they must, bit by bit") {
    std::mt19937_64 random(1);
    for (unsigned length = 0; length <= 128; ++length) {
        const IpAddress a = random_address(random);
        const IpAddress first = prefix_edge(a, length, false), last = prefix_edge(a, length, true);
        const AddressRange range = AddressRange::prefix(a, length);
        CHECK(range.first == first);
        CHECK(range.last == last);
        CHECK(range.contains(a));
        CHECK(in_prefix(first, a, length));
        CHECK(in_prefix(last, a, length));
        CHECK(in_prefix(a, first, length));
        for (unsigned bit = 0; bit < 128; ++bit) {
            IpAddress flipped = a;
            flipped.set_word(bit / 32, flipped.word(bit / 32) ^ 0x80000000U >> bit % 32);
            INFO("length " << length << " bit " << bit);
            CHECK(in_prefix(flipped, a, length) == (bit >= length));
            CHECK(range.contains(flipped) == (bit >= length));
        }
    }
}

TEST_CASE("prefixes of IPv4 count from its own 32 bits, and hold nothing of IPv6") {
    CHECK(prefix_edge(kV4, 24, false) == ip4(192, 0, 2, 0));
    CHECK(prefix_edge(kV4, 24, true) == ip4(192, 0, 2, 255));
    CHECK(prefix_edge(kV4, 0, false) == Ip4{});
    CHECK(prefix_edge(kV4, 0, true) == ip4(255, 255, 255, 255));
    CHECK(prefix_edge(kV4, 32, true) == kV4);
    CHECK(in_prefix(kV4, ip4(0, 0, 0, 0), 0));
    CHECK_FALSE(in_prefix(kDoc, ip4(0, 0, 0, 0), 0));
    // ::/0 is all of IPv6, which IPv4 in its mapped form is not.
    CHECK_FALSE(in_prefix(kV4, IpAddress{}, 0));
    CHECK(in_prefix(kDoc, IpAddress{}, 0));
}

TEST_CASE("ranges count and enumerate, also over the middle of an address") {
    const AddressRange few{ip6(0x2001, 0xdb8, 0, 0, 0, 0, 0xffff, 0xfffe), ip6(0x2001, 0xdb8, 0, 0, 0, 1, 0, 1)};
    CHECK(few.size() == 4);
    CHECK(few.at(0) == few.first);
    CHECK(few.at(2) == ip6(0x2001, 0xdb8, 0, 0, 0, 1, 0, 0));
    CHECK(few.at(3) == few.last);
    CHECK(AddressRange::prefix(kDoc, 128).size() == 1);
    CHECK(AddressRange::prefix(kDoc, 120).size() == 256);
    CHECK(AddressRange::prefix(kDoc, 66).size() == std::uint64_t{1} << 62);
    CHECK(AddressRange::prefix(kDoc, 64).size() == std::uint64_t{1} << 62);  // and more
    CHECK(AddressRange::prefix(kDoc, 0).size() == std::uint64_t{1} << 62);
    const AddressRange v4 = AddressRange::prefix(kV4, 24);
    CHECK(v4.is_v4());
    CHECK(v4.size() == 256);
    CHECK(v4.at(9) == ip4(192, 0, 2, 9));
    CHECK(AddressRange{}.size() == std::uint64_t{1} << 32);
    CHECK(AddressRange{}.contains(kV4));
    CHECK_FALSE(AddressRange{}.contains(kDoc));
}

TEST_CASE("checksum deltas and pseudo headers know all bits of an address") {
    std::mt19937_64 random(2);
    for (int i = 0; i < 1000; ++i) {
        struct {
            IpAddress src, dst;
            std::array<std::uint8_t, 8> rest{0, 0, 0, 20, 0, 0, 0, 17};
        } pseudo{random_address(random), random_address(random)};
        const std::uint16_t before = checksum_of(&pseudo, sizeof pseudo);
        CHECK(before == static_cast<std::uint16_t>(~fold(pseudo_header_sum(pseudo.src, pseudo.dst, 17, 20))));
        ChecksumDelta delta;
        for (IpAddress* address : {&pseudo.src, &pseudo.dst}) {
            const IpAddress other = random_address(random);
            delta.replace(*address, other);
            *address = other;
        }
        CHECK(delta.apply(before) == checksum_of(&pseudo, sizeof pseudo));
    }
}

// RFC 6296: its own example, and the properties that it promises, over random addresses of every prefix length.
#include "dataplane/policy/prefix_nat.hh"

#include <random>
#include <set>

#include <catch2/catch.hpp>

using namespace sluice;

namespace {

constexpr IpAddress kInside = ip6(0xfd01, 0x0203, 0x0405, 0, 0, 0, 0, 0);
constexpr IpAddress kOutside = ip6(0x2001, 0x0db8, 0x0001, 0, 0, 0, 0, 0);

std::uint16_t sum_of(const IpAddress& a) {
    std::uint32_t sum = 0;
    for (unsigned i = 0; i < 4; ++i) sum += (a.word(i) >> 16) + (a.word(i) & 0xffffU);
    const std::uint16_t folded = fold(sum);
    return folded == 0xffff ? std::uint16_t{0} : folded;  // both are zero
}

}  // namespace

TEST_CASE("prefix NAT: the example of RFC 6296, both ways") {
    const IpAddress host = ip6(0xfd01, 0x0203, 0x0405, 0x0001, 0, 0, 0, 0x1234);
    const IpAddress seen = ip6(0x2001, 0x0db8, 0x0001, 0xd550, 0, 0, 0, 0x1234);
    STATIC_REQUIRE(exchange_prefix(ip6(0xfd01, 0x0203, 0x0405, 0x0001, 0, 0, 0, 0x1234), kOutside, 48) ==
                   ip6(0x2001, 0x0db8, 0x0001, 0xd550, 0, 0, 0, 0x1234));
    CHECK(exchange_prefix(host, kOutside, 48) == seen);
    CHECK(exchange_prefix(seen, kInside, 48) == host);
}

TEST_CASE("prefix NAT: ffff in the word that makes up cannot be exchanged, and is never made") {
    CHECK_FALSE(exchange_prefix(ip6(0xfd01, 0x0203, 0x0405, 0xffff, 0, 0, 0, 1), kOutside, 48));
    CHECK_FALSE(exchange_prefix(ip6(0xfd01, 0x0203, 0x0405, 1, 0xffff, 0xffff, 0xffff, 0xffff), kOutside, 64));
    // Every subnet has another one, all but ffff are reached, and none twice.
    std::set<std::uint32_t> subnets;
    for (unsigned subnet = 0; subnet < 0xffff; ++subnet) {
        const auto out = exchange_prefix(ip6(0xfd01, 0x0203, 0x0405, subnet, 0, 0, 0, 1), kOutside, 48);
        REQUIRE(out);
        subnets.insert(out->word(1) & 0xffffU);
    }
    CHECK(subnets.size() == 0xffff);
    CHECK(subnets.count(0xffff) == 0);
}

TEST_CASE("prefix NAT: longer prefixes change the first word of the interface identifier that they can") {
    const IpAddress to = ip6(0x2001, 0x0db8, 0x0001, 0x0007, 0, 0, 0, 0);
    const auto changed = [&](const IpAddress& a) {
        const IpAddress out = exchange_prefix(a, to, 64).value();
        unsigned words = 0;
        for (unsigned i = 4; i < 8; ++i) {
            const unsigned shift = i % 2 == 0 ? 16 : 0;
            if ((a.word(i / 2) >> shift & 0xffffU) != (out.word(i / 2) >> shift & 0xffffU)) words |= 1U << i;
        }
        CHECK(out.upper64() == to.upper64());
        return words;
    };
    CHECK(changed(ip6(0xfd01, 0x0203, 0x0405, 1, 0, 0, 0, 9)) == 1U << 4);
    CHECK(changed(ip6(0xfd01, 0x0203, 0x0405, 1, 0xffff, 0, 0, 9)) == 1U << 5);
    CHECK(changed(ip6(0xfd01, 0x0203, 0x0405, 1, 0xffff, 0xffff, 0, 9)) == 1U << 6);
    CHECK(changed(ip6(0xfd01, 0x0203, 0x0405, 1, 0xffff, 0xffff, 0xffff, 9)) == 1U << 7);
}

TEST_CASE("prefix NAT: neutral to checksums, one to one, and its own inverse, for every length") {
    std::mt19937_64 random(6296);
    unsigned exchanged = 0;
    for (unsigned length = 1; length <= kLongestPrefixNat; ++length) {
        for (int i = 0; i < 200; ++i) {
            const IpAddress host = IpAddress::from_host64(random(), random());
            const IpAddress other = prefix_edge(IpAddress::from_host64(random(), random()), length, false);
            const auto out = exchange_prefix(host, other, length);
            if (!out) continue;
            ++exchanged;
            INFO("length " << length);
            CHECK(in_prefix(*out, other, length));
            CHECK(sum_of(*out) == sum_of(host));
            CHECK(exchange_prefix(*out, prefix_edge(host, length, false), length) == host);
            ChecksumDelta delta;
            delta.replace(host, *out);
            const std::uint16_t sum = static_cast<std::uint16_t>(random());
            const std::uint16_t after = delta.apply(sum);
            CHECK((after == sum || (sum == 0xffff && after == 0) || (sum == 0 && after == 0xffff)));
        }
    }
    CHECK(exchanged > 12'000);
}

TEST_CASE("prefix NAT: what lies behind the prefix stays, but for the word that makes up") {
    const IpAddress host = ip6(0xfd01, 0x0203, 0x0405, 0x0678, 0x9abc, 0xdef0, 0x1234, 0x5678);
    // A prefix that ends within a word: /44.
    const auto out = exchange_prefix(host, prefix_edge(kOutside, 44, false), 44);
    REQUIRE(out);
    CHECK(out->word(0) == 0x20010db8);
    CHECK((out->word(1) >> 16) == 0x0005);  // 0x0000 of the prefix, 0x5 of the host's last four bits
    CHECK(out->lower64() == host.lower64());
}

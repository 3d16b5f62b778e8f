// The hash of IPv6 keys. Whoever has a /64 chooses 64 bits of the source address, so the words that only IPv6 keys have
// must spread, and must not let anybody choose buckets. IPv4 keys are in keyed_hash_test.cc.
#include <algorithm>
#include <functional>
#include <utility>
#include <vector>

#include <catch2/catch.hpp>

#include "dataplane/flow/keyed_hash.hh"

using namespace sluice;

namespace {

constexpr HashSecret kSecret{0x0123456789abcdefU, 0xfedcba9876543210U};
constexpr HashSecret kOther{0x0f1e2d3c4b5a6978U, 0x8796a5b4c3d2e1f0U};
constexpr IpAddress kServer = ip6(0x2001, 0xdb8, 2, 0, 0, 0, 0, 9);

constexpr std::uint32_t kKeys = 1U << 20;
constexpr std::uint32_t kBits = 20;
constexpr std::uint32_t kMask = (1U << kBits) - 1;

FlowKey key_of(const IpAddress& client, unsigned port = 40000) {
    return port_key(IpProto::tcp, client, be16(port), kServer, be16(443));
}

struct Family {
    const char* what;
    std::function<FlowKey(std::uint32_t)> key;
};

/// What differs lies in another word of the key each time.
std::vector<Family> families() {
    return {
        {"low word of the source",
         [](std::uint32_t i) { return key_of(ip6(0x2001, 0xdb8, 1, 0, 0, 0, i >> 16, i & 0xffffU)); }},
        {"third word", [](std::uint32_t i) { return key_of(ip6(0x2001, 0xdb8, 1, 0, i >> 16, i & 0xffffU, 0, 1)); }},
        {"second word", [](std::uint32_t i) { return key_of(ip6(0x2001, 0xdb8, i >> 16, i & 0xffffU, 0, 0, 0, 1)); }},
        {"first word", [](std::uint32_t i) { return key_of(ip6(0x2000 + (i >> 16), i & 0xffffU, 0, 0, 0, 0, 0, 1)); }},
        {"middle of the destination",
         [](std::uint32_t i) {
             return port_key(IpProto::udp, kServer, be16(1), ip6(0x2001, 0xdb8, 0, i >> 16, i & 0xffffU, 0, 0, 1),
                             be16(53));
         }},
        {"ports and addresses",
         [](std::uint32_t i) { return key_of(ip6(0x2001, 0xdb8, 1, 0, 0, 0, 0, i >> 14), 1024 + (i & 0x3fffU)); }},
    };
}

}  // namespace

TEST_CASE("IPv6 keys fill buckets evenly, whichever word they differ in") {
    const KeyedHash hash(kSecret);
    for (const Family& family : families()) {
        INFO(family.what);
        std::vector<unsigned> low(1U << 16), high(1U << 16);
        for (std::uint32_t i = 0; i < kKeys; ++i) {
            const std::uint32_t h = hash(family.key(i));
            ++low[h & 0xffffU];
            ++high[h >> 16];
        }
        // Mean 16, standard deviation 4.
        CHECK(*std::max_element(low.begin(), low.end()) < 48);
        CHECK(*std::max_element(high.begin(), high.end()) < 48);
    }
}

TEST_CASE("IPv6 keys made to collide for one secret do not for another") {
    const KeyedHash known(kSecret);
    for (const Family& family : families()) {
        INFO(family.what);
        std::vector<std::uint32_t> seen(1U << kBits, kKeys);
        std::vector<std::pair<std::uint32_t, std::uint32_t>> pairs;
        for (std::uint32_t i = 0; i < kKeys; ++i) {
            std::uint32_t& first = seen[known(family.key(i)) & kMask];
            if (first != kKeys) pairs.emplace_back(first, i);
            first = i;
        }
        REQUIRE(pairs.size() > 300'000);
        for (const HashSecret& secret : {kOther, HashSecret{kSecret.low ^ 1, kSecret.high},
                                         HashSecret{kSecret.low, kSecret.high ^ (1ULL << 63)}}) {
            const KeyedHash other(secret);
            const auto still = std::count_if(pairs.begin(), pairs.end(), [&](const auto& pair) {
                return ((other(family.key(pair.first)) ^ other(family.key(pair.second))) & kMask) == 0;
            });
            CHECK(still <= 6);  // chance alone keeps one pair in 2^20
        }
    }
}

TEST_CASE("full collisions of 32 bits do not outlive the secret either, nor a common difference of two addresses") {
    // An additive or linear mix would let one difference of two keys collide under every secret.
    const KeyedHash known(kSecret), other(kOther);
    const Family family = families()[1];
    std::vector<std::pair<std::uint32_t, std::uint32_t>> by_hash;
    by_hash.reserve(kKeys);
    for (std::uint32_t i = 0; i < kKeys; ++i) by_hash.emplace_back(known(family.key(i)), i);
    std::sort(by_hash.begin(), by_hash.end());
    unsigned pairs = 0, moved_still = 0, other_still = 0;
    for (std::size_t n = 1; n < by_hash.size(); ++n) {
        if (by_hash[n].first != by_hash[n - 1].first) continue;
        ++pairs;
        FlowKey a = family.key(by_hash[n].second), b = family.key(by_hash[n - 1].second);
        other_still += other(a) == other(b);
        // The same difference from another place.
        a.src_high[0] ^= 0x01000000U;
        b.src_high[0] ^= 0x01000000U;
        moved_still += known(a) == known(b);
    }
    CHECK(pairs > 50);  // 2^40 / 2 / 2^32
    CHECK(other_still == 0);
    CHECK(moved_still == 0);
}

TEST_CASE("keys of the two families with the same first 16 bytes but the flag are different keys") {
    const KeyedHash hash(kSecret);
    unsigned equal = 0;
    for (std::uint32_t i = 0; i < 10000; ++i) {
        const FlowKey v4 = port_key(IpProto::udp, Ip4::from_host(i), be16(1), ip4(192, 0, 2, 1), be16(53));
        FlowKey v6 = v4;
        v6.flags |= FlowKey::kV6;
        equal += hash(v4) == hash(v6);
        // Of IPv4 the upper words do not count.
        FlowKey same = v4;
        same.src_high = {1, 2, 3};
        CHECK(hash(same) == hash(v4));
    }
    CHECK(equal == 0);
}

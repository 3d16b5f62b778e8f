#include "dataplane/flow/keyed_hash.hh"

#include <algorithm>
#include <array>
#include <bit>
#include <map>
#include <utility>
#include <vector>

#include <catch2/catch.hpp>
#include <rte_hash_crc.h>

using namespace sluice;

namespace {

constexpr HashSecret kSecret{0x0123456789abcdefU, 0xfedcba9876543210U};
constexpr HashSecret kOther{0x0f1e2d3c4b5a6978U, 0x8796a5b4c3d2e1f0U};

/// What an attacker controls: source ports and a few addresses, towards one server.
FlowKey key_number(std::uint32_t i) {
    return port_key(IpProto::tcp, Ip4::from_host(ip4(198, 51, 100, 0).host() + (i >> 16)), be16(i & 0xffffU),
                    ip4(203, 0, 113, 1), be16(443));
}

constexpr std::uint32_t kKeys = 1U << 20;
constexpr std::uint32_t kBits = 20;

/// Pairs of keys with equal low 20 bits under `hash`.
template <class Hash>
std::vector<std::pair<FlowKey, FlowKey>> colliding_pairs(const Hash& hash) {
    std::vector<std::uint32_t> seen(1U << kBits, kKeys);
    std::vector<std::pair<FlowKey, FlowKey>> pairs;
    for (std::uint32_t i = 0; i < kKeys; ++i) {
        std::uint32_t& first = seen[hash(key_number(i)) & ((1U << kBits) - 1)];
        if (first != kKeys) pairs.emplace_back(key_number(first), key_number(i));
        first = i;
    }
    return pairs;
}

template <class Hash>
std::size_t still_colliding(const std::vector<std::pair<FlowKey, FlowKey>>& pairs, const Hash& hash) {
    return static_cast<std::size_t>(std::count_if(pairs.begin(), pairs.end(), [&](const auto& pair) {
        return ((hash(pair.first) ^ hash(pair.second)) & ((1U << kBits) - 1)) == 0;
    }));
}

}  // namespace

TEST_CASE("keys made to collide for one secret do not for another") {
    const auto pairs = colliding_pairs(KeyedHash(kSecret));
    REQUIRE(pairs.size() > 300'000);  // 2^20 balls in 2^20 bins leave a fraction 1/e of the bins empty
    // Chance alone keeps one pair in 2^20.
    CHECK(still_colliding(pairs, KeyedHash(kOther)) <= 6);
    CHECK(still_colliding(pairs, KeyedHash({kSecret.low ^ 1, kSecret.high})) <= 6);
    CHECK(still_colliding(pairs, KeyedHash({kSecret.low, kSecret.high ^ (1ULL << 63)})) <= 6);
}

TEST_CASE("the same attack defeats a CRC with a secret initial value") {
    const auto crc = [](std::uint32_t initial) {
        return [initial](const FlowKey& key) {
            std::uint64_t words[2];  // rte_hash_crc reads words: a FlowKey would break the aliasing rules
            std::memcpy(words, &key, sizeof words);
            return rte_hash_crc(words, sizeof words, initial);
        };
    };
    const auto pairs = colliding_pairs(crc(0x12345678U));
    REQUIRE(pairs.size() > 1000);
    CHECK(still_colliding(pairs, crc(0x9abcdef0U)) == pairs.size());
}

TEST_CASE("a full bucket for one secret is spread by another") {
    const KeyedHash known(kSecret);
    const KeyedHash fresh(kOther);
    std::map<std::uint32_t, unsigned> load;
    unsigned attackers = 0;
    for (std::uint32_t i = 0; i < kKeys; ++i) {
        if ((known(key_number(i)) & 0xfffU) != 0x5a5U) continue;
        ++attackers;
        ++load[fresh(key_number(i)) & 0xfffU];
    }
    REQUIRE(attackers > 150);
    for (const auto& [bucket, keys] : load) CHECK(keys <= 5);
}

TEST_CASE("each input bit flips each output bit about half the time") {
    const KeyedHash hash(kSecret);
    constexpr unsigned kSamples = 4096;
    const bool v6 = GENERATE(false, true);
    for (unsigned bit = 0; bit < 8 * (v6 ? sizeof(FlowKey) : FlowKey::kIp4Bytes); ++bit) {
        std::array<unsigned, 32> flips{};
        for (std::uint32_t i = 0; i < kSamples; ++i) {
            FlowKey key = key_number(i * 257);
            if (v6) key.flags = FlowKey::kV6;
            auto bytes = std::bit_cast<std::array<std::uint8_t, sizeof(FlowKey)>>(key);
            const std::uint32_t before = hash(std::bit_cast<FlowKey>(bytes));
            bytes[bit / 8] = static_cast<std::uint8_t>(bytes[bit / 8] ^ (1U << bit % 8));
            const std::uint32_t changed = before ^ hash(std::bit_cast<FlowKey>(bytes));
            for (unsigned out = 0; out < 32; ++out) flips[out] += changed >> out & 1U;
        }
        const auto [least, most] = std::minmax_element(flips.begin(), flips.end());
        INFO("input bit " << bit);
        CHECK(*least > kSamples * 42 / 100);
        CHECK(*most < kSamples * 58 / 100);
    }
}

TEST_CASE("sequential clients and ports fill buckets evenly, in the low and in the high half") {
    const KeyedHash hash(kSecret);
    std::vector<unsigned> low(1U << 16);
    std::vector<unsigned> high(1U << 16);
    for (std::uint32_t i = 0; i < kKeys; ++i) {
        const std::uint32_t h = hash(key_number(i));
        ++low[h & 0xffffU];
        ++high[h >> 16];
    }
    // Mean 16, standard deviation 4: no bin of 65536 is 8 deviations off unless the hash clusters.
    CHECK(*std::max_element(low.begin(), low.end()) < 48);
    CHECK(*std::max_element(high.begin(), high.end()) < 48);
}

TEST_CASE("the bulk hash is the single hash") {
    const KeyedHash hash(kSecret);
    std::vector<FlowKey> keys;
    for (std::uint32_t i = 0; i < 100; ++i) keys.push_back(key_number(i * 7919));
    std::vector<std::uint32_t> hashes(keys.size());
    hash.bulk(keys, hashes.data());
    for (std::size_t i = 0; i < keys.size(); ++i) CHECK(hashes[i] == hash(keys[i]));
}

// A flow table of both families: keys of either, bursts of both, one capacity for all.
#include <array>
#include <random>
#include <unordered_map>
#include <vector>

#include <catch2/catch.hpp>

#include "dataplane/lookup/flow_table.hh"
#include "tests/support/eal.hh"

using namespace sluice;

namespace {

constexpr HashSecret kSecret{0x0123456789abcdefU, 0xfedcba9876543210U};

/// Odd numbers are of IPv6. Every fourth IPv6 key has the first 16 bytes of another one.
FlowKey key_number(std::uint32_t i) {
    if (i % 2 == 0)
        return port_key(IpProto::udp, Ip4::from_host(0xc6336400U + i), be16(1024), ip4(203, 0, 113, 1), be16(53));
    return port_key(IpProto::udp, ip6(0x2001, 0xdb8, i % 8, 0, 0, 0, 0, i / 8), be16(1024),
                    ip6(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1), be16(53));
}

FlowTable table_of(std::uint32_t capacity, bool ipv6 = true) {
    return FlowTable::create("test6", capacity, -1, kSecret, ipv6);
}

}  // namespace

TEST_CASE_METHOD(test::EalFixture, "keys of IPv6 are told apart by all of their bytes") {
    FlowTable table = table_of(100);
    for (std::uint32_t i = 1; i < 64; i += 2) {
        const FlowKey key = key_number(i);
        REQUIRE(table.insert(key, table.hash(key), FlowRef(i, Direction::original)));
        CHECK_FALSE(table.insert(key, table.hash(key), FlowRef(99, Direction::original)));
    }
    for (std::uint32_t i = 1; i < 64; i += 2)
        CHECK(table.lookup(key_number(i), table.hash(key_number(i))) == FlowRef(i, Direction::original));
    FlowKey near = key_number(1);
    near.dst_high[0] ^= 1;
    CHECK_FALSE(table.lookup(near, table.hash(near)));
    CHECK_FALSE(table.lookup(near, table.hash(key_number(1))));
    CHECK(table.erase(key_number(1), table.hash(key_number(1))));
    CHECK_FALSE(table.erase(key_number(1), table.hash(key_number(1))));
    CHECK(table.size() == 31);
}

TEST_CASE_METHOD(test::EalFixture, "the capacity is that of both families together, each may use all of it") {
    FlowTable table = table_of(1000);
    const auto fill = [&](std::uint32_t first, std::uint32_t step) {
        std::uint32_t taken = 0;
        for (std::uint32_t i = first; taken < 1000; i += step, ++taken)
            if (!table.insert(key_number(i), table.hash(key_number(i)), FlowRef(i, Direction::reply))) break;
        return taken;
    };
    for (const std::uint32_t family : {0U, 1U}) {
        CHECK(fill(family, 2) == 1000);
        const FlowKey newcomer = key_number(5000 + 1 - family);
        CHECK_FALSE(table.insert(newcomer, table.hash(newcomer), FlowRef(1, Direction::original)));
        for (std::uint32_t i = family; i < 2000; i += 2) CHECK(table.erase(key_number(i), table.hash(key_number(i))));
        CHECK(table.size() == 0);
    }
    CHECK(fill(0, 1) == 1000);
    CHECK(table.size() == 1000);
}

TEST_CASE_METHOD(test::EalFixture, "a burst of both families is looked up as if one by one") {
    FlowTable table = table_of(4096);
    std::unordered_map<std::uint32_t, FlowRef> model;
    std::mt19937 engine(46);
    const auto random = [&] { return static_cast<std::uint32_t>(engine()); };
    for (int round = 0; round < 2000; ++round) {
        const std::uint32_t i = random() % 3000;
        const FlowKey key = key_number(i);
        if (random() % 4 == 0) {
            CHECK(table.erase(key, table.hash(key)) == (model.erase(i) == 1));
        } else {
            const FlowRef ref(random() % 1000, random() % 2 == 0 ? Direction::original : Direction::reply);
            CHECK(table.insert(key, table.hash(key), ref) == model.emplace(i, ref).second);
        }
        if (round % 8 != 0) continue;
        const std::size_t count = random() % (FlowTable::kMaxBulk + 1);
        const std::uint32_t mix = random() % 4;  // both, or IPv4 alone, or IPv6 alone
        std::vector<FlowKey> keys;
        std::vector<std::uint32_t> numbers, hashes(FlowTable::kMaxBulk);
        for (std::size_t n = 0; n < count; ++n) {
            numbers.push_back(mix < 2 ? random() % 3000 : (random() % 1500) * 2 + mix - 2);
            keys.push_back(key_number(numbers.back()));
        }
        table.hasher().bulk(keys, hashes.data());
        std::array<FlowRef, FlowTable::kMaxBulk> found;
        found.fill(FlowRef(7, Direction::reply));
        const std::uint64_t hits = table.lookup_bulk(keys, hashes.data(), found.data());
        for (std::size_t n = 0; n < count; ++n) {
            const auto known = model.find(numbers[n]);
            const FlowRef expected = known == model.end() ? FlowRef{} : known->second;
            REQUIRE(found[n] == expected);
            REQUIRE((hits >> n & 1U) == (known != model.end()));
        }
        if (count < 64) CHECK(hits >> count == 0);
    }
}

TEST_CASE_METHOD(test::EalFixture, "without IPv6 its keys are refused and never found, in bursts of both, too") {
    FlowTable table = table_of(64, false);
    const FlowKey v4 = key_number(2), v6 = key_number(3);
    CHECK(table.insert(v4, table.hash(v4), FlowRef(5, Direction::original)));
    CHECK_FALSE(table.insert(v6, table.hash(v6), FlowRef(6, Direction::original)));
    CHECK_FALSE(table.lookup(v6, table.hash(v6)));
    CHECK_FALSE(table.erase(v6, table.hash(v6)));
    const std::array<FlowKey, 3> keys{v6, v4, v6};
    std::array<std::uint32_t, 3> hashes{};
    table.hasher().bulk(keys, hashes.data());
    std::array<FlowRef, 3> found{};
    CHECK(table.lookup_bulk(keys, hashes.data(), found.data()) == 2);
    CHECK_FALSE(found[0]);
    CHECK(found[1] == FlowRef(5, Direction::original));
    CHECK_FALSE(found[2]);
    CHECK(table.size() == 1);
}

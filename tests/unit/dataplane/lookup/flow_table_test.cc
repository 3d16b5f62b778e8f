#include "dataplane/lookup/flow_table.hh"

#include <random>
#include <unordered_map>
#include <utility>
#include <vector>

#include <catch2/catch.hpp>

#include "tests/support/eal.hh"

using namespace sluice;

namespace {

constexpr HashSecret kSecret{0x0123456789abcdefU, 0xfedcba9876543210U};

/// Low entropy on purpose: sequential clients, sequential ports, one server.
FlowKey key_number(std::uint32_t i) {
    return port_key(i % 2 == 0 ? IpProto::tcp : IpProto::udp, Ip4::from_host(ip4(198, 51, 100, 0).host() + i / 64),
                    be16(1024 + i % 64), ip4(203, 0, 113, 1), be16(53));
}

FlowTable table_of(std::uint32_t capacity) {
    return FlowTable::create("test", capacity, -1, kSecret);
}

}  // namespace

TEST_CASE("a flow reference keeps slot and direction, and none is none of them") {
    CHECK_FALSE(FlowRef{});
    for (const std::uint32_t slot : {0U, 1U, 123456U, FlowRef::kMaxSlot}) {
        for (const Direction direction : {Direction::original, Direction::reply}) {
            const FlowRef ref(slot, direction);
            CHECK(ref);
            CHECK(ref.slot() == slot);
            CHECK(ref.direction() == direction);
            CHECK(FlowRef::from_raw(ref.raw()) == ref);
        }
    }
}

TEST_CASE_METHOD(test::EalFixture, "a key is found until it is erased, and is inserted once only") {
    FlowTable table = table_of(100);
    const FlowKey key = key_number(1);
    const std::uint32_t hash = table.hash(key);
    CHECK_FALSE(table.lookup(key, hash));
    CHECK_FALSE(table.erase(key, hash));
    CHECK(table.insert(key, hash, FlowRef(0, Direction::original)));
    CHECK_FALSE(table.insert(key, hash, FlowRef(9, Direction::reply)));
    CHECK(table.lookup(key, hash) == FlowRef(0, Direction::original));
    CHECK(table.size() == 1);
    CHECK(table.erase(key, hash));
    CHECK_FALSE(table.lookup(key, hash));
    CHECK(table.size() == 0);
}

TEST_CASE_METHOD(test::EalFixture, "keys with equal hashes are told apart") {
    FlowTable table = table_of(100);
    for (std::uint32_t i = 0; i < 8; ++i) REQUIRE(table.insert(key_number(i), 42, FlowRef(i, Direction::reply)));
    for (std::uint32_t i = 0; i < 8; ++i) CHECK(table.lookup(key_number(i), 42) == FlowRef(i, Direction::reply));
    CHECK_FALSE(table.lookup(key_number(8), 42));
}

TEST_CASE_METHOD(test::EalFixture, "a table fills to exactly its capacity, whatever the number") {
    for (const std::uint32_t capacity : {1U, 7U, 96U, 97U, 1000U, 49152U, 49153U, 65536U}) {
        FlowTable table = table_of(capacity);
        CHECK(table.capacity() == capacity);
        std::uint32_t refused = 0;
        for (std::uint32_t i = 0; i < capacity; ++i) {
            const FlowKey key = key_number(i);
            if (!table.insert(key, table.hash(key), FlowRef(i, Direction::original))) ++refused;
        }
        INFO("capacity " << capacity);
        CHECK(refused == 0);
        CHECK(table.size() == capacity);
        const FlowKey newcomer = key_number(capacity);
        CHECK_FALSE(table.insert(newcomer, table.hash(newcomer), FlowRef(1, Direction::original)));
        CHECK(table.erase(key_number(0), table.hash(key_number(0))));
        CHECK(table.insert(newcomer, table.hash(newcomer), FlowRef(1, Direction::original)));
    }
}

TEST_CASE_METHOD(test::EalFixture, "the table agrees with std::unordered_map over 200 000 random operations") {
    constexpr std::uint32_t kUniverse = 12'000;
    constexpr std::uint32_t kCapacity = 8'000;
    FlowTable table = table_of(kCapacity);
    std::unordered_map<std::uint32_t, FlowRef> model;
    std::mt19937 generator(20260101);
    const auto draw = [&](std::uint32_t below) { return static_cast<std::uint32_t>(generator() % below); };
    unsigned mismatches = 0;
    for (unsigned step = 0; step < 200'000; ++step) {
        const std::uint32_t number = draw(kUniverse);
        const FlowKey key = key_number(number);
        const std::uint32_t hash = table.hash(key);
        const std::uint32_t dice = draw(8);
        if (dice < 4) {
            const FlowRef value(draw(0x3fffffff), static_cast<Direction>(draw(2)));
            const bool expected = model.size() < kCapacity && !model.contains(number);
            if (table.insert(key, hash, value) != expected) ++mismatches;
            if (expected) model.emplace(number, value);
        } else if (dice < 6) {
            if (table.erase(key, hash) != (model.erase(number) == 1)) ++mismatches;
        } else {
            const auto known = model.find(number);
            if (table.lookup(key, hash) != (known == model.end() ? FlowRef{} : known->second)) ++mismatches;
        }
        if (table.size() != model.size()) ++mismatches;

        if (step % 16 != 0) continue;
        const std::size_t n = 1 + draw(FlowTable::kMaxBulk);
        std::vector<FlowKey> keys;
        std::vector<const FlowKey*> pointers;
        for (std::size_t i = 0; i < n; ++i) keys.push_back(key_number(draw(kUniverse)));
        for (const FlowKey& k : keys) pointers.push_back(&k);
        std::vector<std::uint32_t> hashes(n);
        table.hasher().bulk(keys, hashes.data());
        std::vector<FlowRef> found(n, FlowRef(7, Direction::reply));
        const std::uint64_t hits = table.lookup_bulk(std::span<const FlowKey>(keys), hashes.data(), found.data());
        std::vector<FlowRef> found_by_pointer(n, FlowRef(7, Direction::reply));
        if (table.lookup_bulk(std::span<const FlowKey* const>(pointers), hashes.data(), found_by_pointer.data()) !=
            hits)
            ++mismatches;
        if (found != found_by_pointer) ++mismatches;
        for (std::size_t i = 0; i < n; ++i) {
            if (found[i] != table.lookup(keys[i], hashes[i])) ++mismatches;
            if ((hits >> i & 1U) != (found[i] ? 1U : 0U)) ++mismatches;
        }
        if (n < 64 && hits >> n != 0) ++mismatches;
    }
    CHECK(mismatches == 0);
    CHECK(model.size() > kCapacity / 2);
}

TEST_CASE_METHOD(test::EalFixture, "an empty burst finds nothing") {
    const FlowTable table = table_of(10);
    CHECK(table.lookup_bulk(std::span<const FlowKey>{}, nullptr, nullptr) == 0);
}

TEST_CASE_METHOD(test::EalFixture, "a moved table keeps its keys and frees its name once") {
    FlowTable first = table_of(100);
    const FlowKey key = key_number(5);
    REQUIRE(first.insert(key, first.hash(key), FlowRef(5, Direction::reply)));
    {
        FlowTable second = std::move(first);
        CHECK(second.lookup(key, second.hash(key)) == FlowRef(5, Direction::reply));
        CHECK(second.size() == 1);
    }
    CHECK_NOTHROW(table_of(100));
}

TEST_CASE_METHOD(test::EalFixture, "impossible tables are refused with a reason") {
    CHECK_THROWS_AS(FlowTable::create("", 10, -1, kSecret), std::invalid_argument);
    CHECK_THROWS_AS(FlowTable::create(std::string(FlowTable::kMaxNameLength + 1, 'x'), 10, -1, kSecret),
                    std::invalid_argument);
    CHECK_NOTHROW(FlowTable::create(std::string(FlowTable::kMaxNameLength, 'x'), 10, -1, kSecret));
    CHECK_THROWS_AS(FlowTable::create("test", 0, -1, kSecret), std::invalid_argument);
    CHECK_THROWS_AS(FlowTable::create("test", FlowTable::kMaxCapacity + 1, -1, kSecret), std::invalid_argument);
    CHECK_THROWS_AS(FlowTable::create("test", 1U << 28, -1, kSecret), std::runtime_error);  // 8 GB in 512 MB
}

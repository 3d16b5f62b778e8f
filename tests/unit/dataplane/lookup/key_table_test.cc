// A table of keys of both families: what is in it is found, what is not is not, one by one and in bursts.
#include "dataplane/lookup/key_table.hh"

#include <optional>
#include <random>
#include <unordered_map>
#include <vector>

#include <catch2/catch.hpp>

#include "tests/support/eal.hh"

using namespace sluice;

namespace {

constexpr HashSecret kSecret{0x0123456789abcdefU, 0xfedcba9876543210U};
constexpr unsigned kBulk = 64;

/// Low entropy on purpose: sequential clients, sequential ports, one server. Odd numbers are of IPv6; every eighth of
/// these has the first 16 bytes of another one.
FlowKey key_number(std::uint32_t i) {
    if (i % 2 == 0)
        return port_key(i % 4 == 0 ? IpProto::tcp : IpProto::udp, Ip4::from_host(ip4(198, 51, 100, 0).host() + i / 64),
                        be16(1024 + i % 64), ip4(203, 0, 113, 1), be16(53));
    return port_key(IpProto::udp, ip6(0x2001, 0xdb8, i % 8, 0, 0, 0, 0, i / 8), be16(1024),
                    ip6(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1), be16(53));
}

/// By direction and slot; each has been inserted for at most one key.
struct Keys {
    const std::vector<FlowKey>* by_slot;
    [[nodiscard]] bool has(FlowRef ref, const FlowKey& key) const noexcept { return (*by_slot)[ref.slot()] == key; }
    void prefetch(FlowRef) const noexcept {}
};

/// A table, and the keys of all numbers.
struct Room : test::EalFixture {
    explicit Room(std::uint32_t capacity, std::uint32_t numbers = 2000) {
        for (std::uint32_t i = 0; i < numbers; ++i) keys.push_back(key_number(i));
        table.emplace(capacity, -1, kSecret, Keys{&keys});
    }
    static FlowRef ref(std::uint32_t number) {
        return {number, number % 3 == 0 ? Direction::original : Direction::reply};
    }
    [[nodiscard]] std::uint32_t hash(std::uint32_t number) const { return table->hash(keys[number]); }
    bool insert(std::uint32_t number) { return table->insert(keys[number], hash(number), ref(number)); }
    bool erase(std::uint32_t number) { return table->erase(hash(number), ref(number)); }
    [[nodiscard]] FlowRef find(std::uint32_t number) const { return table->lookup(keys[number], hash(number)); }

    std::vector<FlowKey> keys;
    std::optional<KeyTable<Keys>> table;
};

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

TEST_CASE("a key is found until it is erased, and is inserted once only") {
    Room room(100);
    CHECK_FALSE(room.find(4));
    CHECK_FALSE(room.erase(4));
    CHECK(room.insert(4));
    CHECK_FALSE(room.table->insert(room.keys[4], room.hash(4), FlowRef(9, Direction::reply)));
    CHECK(room.find(4) == Room::ref(4));
    CHECK(room.table->size() == 1);
    CHECK_FALSE(room.table->erase(room.hash(4), FlowRef(9, Direction::reply)));
    CHECK(room.erase(4));
    CHECK_FALSE(room.find(4));
    CHECK(room.table->size() == 0);
}

TEST_CASE("keys with equal hashes are told apart, as many as two buckets hold") {
    Room room(1000);
    for (std::uint32_t i = 0; i < 20; ++i) REQUIRE(room.table->insert(room.keys[i], 42, Room::ref(i)));
    CHECK_FALSE(room.table->insert(room.keys[20], 42, Room::ref(20)));
    CHECK(room.table->size() == 20);
    for (std::uint32_t i = 0; i < 20; ++i) CHECK(room.table->lookup(room.keys[i], 42) == Room::ref(i));
    CHECK_FALSE(room.table->lookup(room.keys[20], 42));
    for (std::uint32_t i = 0; i < 20; i += 2) REQUIRE(room.table->erase(42, Room::ref(i)));
    for (std::uint32_t i = 0; i < 20; ++i)
        CHECK(room.table->lookup(room.keys[i], 42) == (i % 2 == 0 ? FlowRef{} : Room::ref(i)));
}

TEST_CASE("keys of IPv6 are told apart by all of their bytes") {
    Room room(100);
    for (std::uint32_t i = 1; i < 64; i += 2) REQUIRE(room.insert(i));
    for (std::uint32_t i = 1; i < 64; i += 2) CHECK(room.find(i) == Room::ref(i));
    FlowKey near = room.keys[1];
    near.dst_high[0] ^= 1;
    CHECK_FALSE(room.table->lookup(near, room.table->hash(near)));
    CHECK_FALSE(room.table->lookup(near, room.hash(1)));
}

TEST_CASE("a table fills to exactly its capacity, whatever the number and the families") {
    for (const std::uint32_t step : {1U, 2U}) {
        for (const std::uint32_t capacity : {1U, 7U, 96U, 97U, 1000U, 49152U, 49153U, 65536U}) {
            Room room(capacity, step * (capacity + 1));
            std::uint32_t refused = 0;
            for (std::uint32_t i = 0; i < capacity; ++i) refused += room.insert(i * step) ? 0 : 1;
            INFO("capacity " << capacity);
            CHECK(room.table->capacity() == capacity);
            CHECK(refused == 0);
            CHECK(room.table->size() == capacity);
            CHECK_FALSE(room.insert(capacity * step));
            CHECK(room.erase(0));
            CHECK(room.insert(capacity * step));
        }
    }
}

TEST_CASE("the table agrees with std::unordered_map over 200 000 random operations") {
    constexpr std::uint32_t kUniverse = 12'000, kCapacity = 8'000;
    Room room(kCapacity, kUniverse);
    std::unordered_map<std::uint32_t, FlowRef> model;
    std::mt19937 generator(20260101);
    const auto draw = [&](std::uint32_t below) { return static_cast<std::uint32_t>(generator() % below); };
    unsigned mismatches = 0;
    for (unsigned step = 0; step < 200'000; ++step) {
        const std::uint32_t number = draw(kUniverse);
        const std::uint32_t dice = draw(8);
        if (dice < 4) {
            const bool expected = model.size() < kCapacity && !model.contains(number);
            if (room.insert(number) != expected) ++mismatches;
            if (expected) model.emplace(number, Room::ref(number));
        } else if (dice < 6) {
            if (room.erase(number) != (model.erase(number) == 1)) ++mismatches;
        } else if (room.find(number) != (model.contains(number) ? Room::ref(number) : FlowRef{})) {
            ++mismatches;
        }
        if (room.table->size() != model.size()) ++mismatches;

        if (step % 16 != 0) continue;
        const unsigned n = draw(kBulk + 1);
        const std::uint32_t mix = draw(4);  // both families, or IPv4 alone, or IPv6 alone
        std::vector<const FlowKey*> keys;
        std::vector<std::uint32_t> hashes;
        std::vector<FlowRef> expected;
        unsigned known = 0;
        for (unsigned i = 0; i < n; ++i) {
            const std::uint32_t asked = mix < 2 ? draw(kUniverse) : draw(kUniverse / 2) * 2 + mix - 2;
            keys.push_back(&room.keys[asked]);
            hashes.push_back(room.hash(asked));
            expected.push_back(model.contains(asked) ? Room::ref(asked) : FlowRef{});
            known += expected.back() ? 1 : 0;
        }
        std::vector<FlowRef> found(n, FlowRef(7, Direction::reply));
        if (room.table->lookup_bulk(keys, hashes.data(), found.data()) != known) ++mismatches;
        if (found != expected) ++mismatches;
    }
    CHECK(mismatches == 0);
    CHECK(model.size() > kCapacity / 2);
}

TEST_CASE("a key that was not found is known not to have come since") {
    Room room(100);
    room.table->forget_inserted();
    CHECK_FALSE(room.table->inserted(room.hash(1)));
    CHECK(room.insert(1));
    CHECK(room.table->inserted(room.hash(1)));
    room.table->forget_inserted();
    CHECK_FALSE(room.table->inserted(room.hash(1)));
}

TEST_CASE("impossible tables are refused with a reason") {
    const test::EalFixture eal;
    const std::vector<FlowKey> none;
    const auto make = [&](std::uint32_t capacity) { return KeyTable<Keys>(capacity, -1, kSecret, Keys{&none}); };
    CHECK_THROWS_AS(make(0), std::invalid_argument);
    CHECK_THROWS_AS(make(kMaxKeys + 1), std::invalid_argument);
    CHECK_THROWS_AS(make(kMaxKeys), std::runtime_error);  // 4 GB in 512 MB
}

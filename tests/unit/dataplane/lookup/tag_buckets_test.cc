// The buckets of tags by themselves: entries are moved to make room, are found wherever they went, and whoever asks in
// vain is not sent to a second bucket for nothing.
#include "dataplane/lookup/tag_buckets.hh"

#include <algorithm>
#include <random>
#include <vector>

#include <catch2/catch.hpp>

#include "tests/support/eal.hh"

using namespace sluice;

namespace {

struct Entry {
    std::uint32_t hash;
    FlowRef ref;
};

bool holds(const TagBuckets& buckets, const Entry& e) {
    return buckets.find(e.hash, [&](FlowRef ref) { return ref == e.ref; }) == e.ref;
}

}  // namespace

TEST_CASE_METHOD(test::EalFixture, "filled beyond what is promised, nearly to the last entry, nothing is lost") {
    constexpr std::uint32_t kCapacity = 100'000;
    const auto places = static_cast<std::uint32_t>(TagBuckets::bytes(kCapacity) / 64 * TagBuckets::kEntries);
    TagBuckets buckets(kCapacity, -1);
    std::mt19937 random(7);
    std::vector<Entry> in;
    for (std::uint32_t i = 0;; ++i) {
        const Entry e{static_cast<std::uint32_t>(random()), FlowRef(i, Direction::reply)};
        if (!buckets.insert(e.hash, e.ref)) break;
        in.push_back(e);
    }
    CHECK(in.size() > std::uint64_t{places} * 95 / 100);
    CHECK(std::all_of(in.begin(), in.end(), [&](const Entry& e) { return holds(buckets, e); }));

    // Each is erased once, in whatever order, and then nobody is elsewhere any more: none is found by any hash.
    std::shuffle(in.begin(), in.end(), random);
    std::uint32_t erased = 0, again = 0, others = 0;
    for (const Entry& e : in) {
        erased += buckets.erase(e.hash, e.ref) ? 1 : 0;
        again += buckets.erase(e.hash, e.ref) ? 1 : 0;
    }
    CHECK(erased == in.size());
    CHECK(again == 0);
    for (const Entry& e : in) {
        unsigned asked = 0;
        others += buckets.find(e.hash, [&](FlowRef) { return ++asked != 0; }) ? 1 : 0;
        others += asked;
    }
    CHECK(others == 0);
}

TEST_CASE_METHOD(test::EalFixture, "a full table turns over for ever") {
    constexpr std::uint32_t kCapacity = 20'000;
    TagBuckets buckets(kCapacity, -1);
    std::mt19937 random(8);
    std::vector<Entry> in(kCapacity);
    std::uint32_t next = 0, refused = 0, lost = 0;
    for (Entry& e : in) {
        e = {static_cast<std::uint32_t>(random()), FlowRef(next++, Direction::original)};
        refused += buckets.insert(e.hash, e.ref) ? 0 : 1;
    }
    for (int turn = 0; turn < 500'000; ++turn) {
        Entry& e = in[random() % kCapacity];
        lost += buckets.erase(e.hash, e.ref) ? 0 : 1;
        e = {static_cast<std::uint32_t>(random()), FlowRef(next++, Direction::original)};
        refused += buckets.insert(e.hash, e.ref) ? 0 : 1;
    }
    CHECK(refused == 0);
    CHECK(lost == 0);
    CHECK(std::all_of(in.begin(), in.end(), [&](const Entry& e) { return holds(buckets, e); }));
}

TEST_CASE_METHOD(test::EalFixture, "an insertion that finds no room changes nothing") {
    TagBuckets buckets(1, -1);  // two buckets, each the other's other
    std::vector<Entry> in;
    for (std::uint32_t i = 0; i < 2 * TagBuckets::kEntries; ++i)
        in.push_back({i * 0x01010101U, FlowRef(i, Direction::reply)});
    for (const Entry& e : in) REQUIRE(buckets.insert(e.hash, e.ref));
    CHECK_FALSE(buckets.insert(77, FlowRef(99, Direction::reply)));
    CHECK_FALSE(buckets.erase(77, FlowRef(99, Direction::reply)));
    CHECK(std::all_of(in.begin(), in.end(), [&](const Entry& e) { return holds(buckets, e); }));
    CHECK(buckets.erase(in[3].hash, in[3].ref));
    CHECK(buckets.insert(77, FlowRef(99, Direction::reply)));
    CHECK(holds(buckets, {77, FlowRef(99, Direction::reply)}));
}

TEST_CASE_METHOD(test::EalFixture, "who is likely to have the key is one of its tag, or nobody") {
    TagBuckets buckets(1000, -1);
    CHECK_FALSE(buckets.first(0x12345678));
    REQUIRE(buckets.insert(0x12345678, FlowRef(5, Direction::original)));
    CHECK(buckets.first(0x12345678) == FlowRef(5, Direction::original));
    CHECK_FALSE(buckets.first(0x52345678));
}

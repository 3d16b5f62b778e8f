// Listing a large table while traffic flows: slice by slice as control asks for them, each worker loop doing a bounded
// piece, every packet forwarded in the loop in which it came, every flow told once.
#include "dataplane/flow/listing.hh"

#include <algorithm>
#include <memory>
#include <random>
#include <vector>

#include <catch2/catch.hpp>

#include "tests/support/box.hh"

using namespace sluice;
using namespace sluice::test;

namespace {

constexpr Ip4 kServer = ip4(203, 0, 113, 10);
constexpr unsigned kPortsOfEach = 50000;

/// Tables for a million flows need more memory than most tests.
struct LargeEal {
    LargeEal() { ensure_eal(1024); }
};

struct ListingBox : LargeEal, Box {
    explicit ListingBox(std::uint32_t capacity) : Box({.flows_per_worker = capacity}) {
        port("lan", PortRole::inside, "192.168.0.1/16");
        port("wan", PortRole::outside, "203.0.113.1/24");
        configure("conntrack: {half_open: 100%}\n");
    }

    static Ip4 client(unsigned n) { return Ip4::from_host(ip4(192, 168, 1, 1).host() + n / kPortsOfEach); }
    static unsigned source(unsigned n) { return 1024 + n % kPortsOfEach; }
    static PacketBuilder packet(unsigned n) { return udp(client(n), source(n), kServer, 53); }
    static unsigned number_of(const FlowKey& key) {
        return (key.src().v4().host() - ip4(192, 168, 1, 1).host()) * kPortsOfEach + key.sport.host() - 1024;
    }

    /// Established UDP flows 0..count - 1, as the first and second packet of each would leave them.
    void fill(unsigned count) {
        for (unsigned n = 0; n < count; n += kPortsOfEach) {  // all neighbours are known from here on
            send("lan", packet(n));
            send("wan", udp(kServer, 53, client(n), source(n)));
        }
        FlowStore& store = lcore(0).store;
        for (unsigned n = 0; n < count; ++n) {
            if (n % kPortsOfEach == 0) continue;
            const SlotIndex slot = store.allocate();
            if (slot == kNoSlot) throw std::runtime_error("no slot");
            FlowHot& h = store.hot(slot);
            FlowCold& c = store.cold(slot);
            const FlowKey original =
                port_key(IpProto::udp, client(n), Be16::from_host(static_cast<std::uint16_t>(source(n))), kServer,
                         Be16::from_host(53));
            const FlowKey reply = invert(original);
            store.flow(slot).set_key(Direction::original, original);
            store.flow(slot).set_key(Direction::reply, reply);
            c.nat_generation = policy().generation;
            h.created_ms = now();
            h.kind = L4Kind::udp;
            h.half[0].plan = RewritePlan::between(original, invert(reply));
            h.half[1].plan = RewritePlan::between(reply, invert(original));
            h.status = status::kSeenReply | status::kAssured;
            store.refresh(slot, {now(), 0}, 86400);
            if (!store.publish(slot)) throw std::runtime_error("no room for a key");
            if (n % 8192 == 0) loop();  // control reads its mail
        }
        settle();
        forget_sent();
    }
    void forget_sent() {
        static_cast<void>(sent("lan"));
        static_cast<void>(sent("wan"));
    }
    void ask(ListSlice& slice, SlotIndex from) {
        slice.from = from;
        slice.done.store(false);
        REQUIRE(lcore(0).orders.post({OrderKind::list, 0, 0, 0, reinterpret_cast<std::uint64_t>(&slice)}));
    }
};

/// A slice kept its bounds.
bool bounded(const ListSlice& slice, SlotIndex capacity) {
    const SlotIndex end = slice.next == kNoSlot ? capacity : slice.next;
    return slice.count <= ListSlice::kMaxFlows && end - slice.from <= ListSlice::kMaxSlotsLooked;
}

}  // namespace

TEST_CASE("a million flows are listed while every packet is forwarded in the loop in which it came") {
    constexpr unsigned kFlows = 1'000'000, kPacketsPerLoop = 4;
    ListingBox box(kFlows);
    box.fill(kFlows);
    REQUIRE(box.lcore(0).store.live() == kFlows);

    auto slice = std::make_unique<ListSlice>();
    std::vector<std::uint8_t> listed(kFlows, 0);
    std::mt19937 random(11);
    unsigned loops = 0, unbounded = 0, unfinished = 0, strangers = 0;
    std::uint64_t queued = 0, forwarded = 0, late = 0;
    for (SlotIndex from = 0; from != kNoSlot; from = slice->next) {
        box.ask(*slice, from);
        for (unsigned i = 0; i < kPacketsPerLoop; ++i) {
            const auto n = static_cast<unsigned>(random() % kFlows);
            if (i % 2 == 0)
                box.queue("lan", ListingBox::packet(n));
            else
                box.queue("wan", udp(kServer, 53, ListingBox::client(n), ListingBox::source(n)));
        }
        queued += kPacketsPerLoop;
        box.loop();
        const std::uint64_t left = box.sent("wan").size() + box.sent("lan").size();
        forwarded += left;
        late += left == kPacketsPerLoop ? 0 : 1;
        unfinished += slice->done.load() ? 0 : 1;
        unbounded += bounded(*slice, box.lcore(0).store.capacity()) ? 0 : 1;
        for (unsigned i = 0; i < slice->count; ++i) {
            const unsigned n = ListingBox::number_of(slice->flows[i].key[0]);
            if (n < kFlows)
                ++listed[n];
            else
                ++strangers;
        }
        ++loops;
    }
    CHECK(loops >= kFlows / ListSlice::kMaxFlows);
    CHECK(loops <= kFlows / ListSlice::kMaxFlows + 2);
    CHECK(unfinished == 0);
    CHECK(unbounded == 0);
    CHECK(late == 0);
    CHECK(forwarded == queued);
    CHECK(box.all_drops() == 0);
    CHECK(strangers == 0);
    CHECK(std::count(listed.begin(), listed.end(), 1) == kFlows);
    CHECK(box.lcore(0).store.live() == kFlows);
    box.check_balance();
}

TEST_CASE("an almost empty table is walked in bounded steps as well") {
    constexpr unsigned kCapacity = 100'000;
    ListingBox box(kCapacity);
    box.fill(3);
    auto slice = std::make_unique<ListSlice>();
    unsigned loops = 0, found = 0;
    for (SlotIndex from = 0; from != kNoSlot; from = slice->next) {
        box.ask(*slice, from);
        box.loop();
        REQUIRE(slice->done.load());
        REQUIRE(bounded(*slice, kCapacity));
        found += slice->count;
        ++loops;
    }
    CHECK(found == 3);
    CHECK(loops == (kCapacity + ListSlice::kMaxSlotsLooked - 1) / ListSlice::kMaxSlotsLooked);
}

TEST_CASE("many listings at once share one slice in a worker loop, and other orders go on in between") {
    ListingBox box(4096);
    box.fill(1000);
    constexpr unsigned kListings = 40;
    std::vector<std::unique_ptr<ListSlice>> slices;
    for (unsigned i = 0; i < kListings; ++i) box.ask(*slices.emplace_back(std::make_unique<ListSlice>()), 0);
    for (unsigned loop = 1; loop <= kListings; ++loop) {
        box.queue("lan", ListingBox::packet(loop));
        box.loop();
        unsigned done = 0;
        for (const auto& slice : slices) done += slice->done.load() ? 1 : 0;
        CHECK(done == loop);
        CHECK(box.sent("wan").size() == 1);
    }
    for (const auto& slice : slices) CHECK(slice->count == ListSlice::kMaxFlows);
    CHECK(box.all_drops() == 0);
}

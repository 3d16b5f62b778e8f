// Packets between workers: order, batches, full rings, and the counters that close the packet balance.
#include "dataplane/ingress/handoff.hh"

#include <array>
#include <memory>

#include <catch2/catch.hpp>

#include "dataplane/flow/handoff_note.hh"
#include "tests/support/eal.hh"

using namespace sluice;

namespace {

struct Lab : test::EalFixture {
    static constexpr unsigned kPackets = 255;
    rte_mempool* pool = rte_pktmbuf_pool_create("handoff-test", kPackets, 0, kMbufPrivateBytes, 256, 0);
    std::unique_ptr<WorkerCounters> counters[3]{std::make_unique<WorkerCounters>(), std::make_unique<WorkerCounters>(),
                                                std::make_unique<WorkerCounters>()};
    ~Lab() {
        CHECK(rte_mempool_avail_count(pool) == kPackets);  // nothing leaked
        rte_mempool_free(pool);
    }
    rte_mbuf* packet(std::uint32_t number) const {
        rte_mbuf* m = rte_pktmbuf_alloc(pool);
        REQUIRE(m != nullptr);
        m->hash.usr = number;
        note_of(m).kind = HandoffKind::arrived;
        return m;
    }
};

std::uint64_t dropped(const WorkerCounters& c) {
    return c.drops[static_cast<std::size_t>(DropReason::handoff_ring_full)].get();
}

}  // namespace

TEST_CASE_METHOD(Lab, "what one worker sends another receives in order, across batches") {
    HandoffRings rings("t", 3, 128, 0);
    Disposal d0(*counters[0]), d1(*counters[1]), d2(*counters[2]);
    Handoff h0(rings, 0, d0), h1(rings, 1, d1), h2(rings, 2, d2);
    for (unsigned i = 0; i < 70; ++i) h0.send(i % 7 == 0 ? 2 : 1, packet(i));
    h0.flush();

    std::array<rte_mbuf*, kBurst> got;
    std::uint32_t expected = 0;
    unsigned total = 0;
    while (const unsigned n = h1.receive(0, got.data(), kBurst)) {
        for (unsigned i = 0; i < n; ++i, ++total) {
            if (expected % 7 == 0) ++expected;
            CHECK(got[i]->hash.usr == expected++);
        }
        rte_pktmbuf_free_bulk(got.data(), n);
    }
    CHECK(total == 60);
    const unsigned n2 = h2.receive(0, got.data(), kBurst);
    CHECK(n2 == 10);
    rte_pktmbuf_free_bulk(got.data(), n2);
    CHECK(h1.receive(2, got.data(), kBurst) == 0);
    CHECK(h1.receive(1, got.data(), kBurst) == 0);

    CHECK(counters[0]->balance.handed_out.get() == 70);
    CHECK(counters[1]->balance.handed_in.get() == 60);
    CHECK(counters[2]->balance.handed_in.get() == 10);
    CHECK(counters[0]->handoff_bursts.get() == 3);  // 32 + 28 to worker 1, 10 to worker 2
}

TEST_CASE_METHOD(Lab, "a packet stays with the sender until flush") {
    HandoffRings rings("t", 2, 64, 0);
    Disposal d0(*counters[0]), d1(*counters[1]);
    Handoff h0(rings, 0, d0), h1(rings, 1, d1);
    std::array<rte_mbuf*, kBurst> got;
    h0.send(1, packet(1));
    CHECK(h1.receive(0, got.data(), kBurst) == 0);
    CHECK(counters[0]->balance.handed_out.get() == 0);
    h0.flush();
    REQUIRE(h1.receive(0, got.data(), kBurst) == 1);
    rte_pktmbuf_free(got[0]);
    h0.flush();  // nothing to do
    CHECK(counters[0]->handoff_bursts.get() == 1);
}

TEST_CASE_METHOD(Lab, "a full ring drops the rest under its own name and keeps what fitted") {
    HandoffRings rings("t", 2, 64, 0);  // 63 fit
    Disposal d0(*counters[0]), d1(*counters[1]);
    Handoff h0(rings, 0, d0), h1(rings, 1, d1);
    for (unsigned i = 0; i < 100; ++i) h0.send(1, packet(i));
    h0.flush();
    d0.flush();
    CHECK(counters[0]->balance.handed_out.get() == 63);
    CHECK(dropped(*counters[0]) == 37);
    std::array<rte_mbuf*, kBurst> got;
    std::uint32_t expected = 0;
    while (const unsigned n = h1.receive(0, got.data(), kBurst)) {
        for (unsigned i = 0; i < n; ++i) CHECK(got[i]->hash.usr == expected++);
        rte_pktmbuf_free_bulk(got.data(), n);
    }
    CHECK(expected == 63);
}

TEST_CASE_METHOD(Lab, "what is still under way at the end is freed") {
    HandoffRings rings("t", 2, 64, 0);
    Disposal d0(*counters[0]);
    Handoff h0(rings, 0, d0);
    h0.send(1, packet(1));
    h0.flush();
    h0.send(1, packet(2));
}

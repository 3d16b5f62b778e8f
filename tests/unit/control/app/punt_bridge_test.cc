// Frames between workers and twins, with a fake twin.
#include "control/app/punt_bridge.hh"

#include <array>
#include <cstring>
#include <optional>
#include <string>
#include <vector>

#include <catch2/catch.hpp>

#include "dataplane/flow/handoff_note.hh"
#include "tests/support/eal.hh"

using namespace sluice;

namespace {

struct FakeTwin final : TwinPort {
    std::string own_name = "lan0";
    std::vector<std::vector<std::byte>> written;
    bool accepts = true;
    TwinCounters own_counters;

    [[nodiscard]] const std::string& name() const override { return own_name; }
    [[nodiscard]] IfIndex ifindex() const override { return 7; }
    void start(FrameHandler, LostHandler) override {}
    bool write(std::span<const std::byte> frame) override {
        if (accepts) written.emplace_back(frame.begin(), frame.end());
        return accepts;
    }
    MaybeFailure set_carrier(bool) override { return {}; }
    MaybeFailure set_mtu(std::uint32_t) override { return {}; }
    MaybeFailure set_mac(const MacAddress&) override { return {}; }
    std::vector<Failure> set_addresses(std::span<const IpPrefix>) override { return {}; }
    [[nodiscard]] const TwinCounters& counters() const override { return own_counters; }
};

struct Lab : test::EalFixture {
    static constexpr unsigned kPackets = 8191;
    rte_mempool* pool = rte_pktmbuf_pool_create("punt-test", kPackets, 0, kMbufPrivateBytes, 512, 0);
    static constexpr unsigned kRingSize = 4096;
    FakeTwin lan, wan;
    std::vector<Ring<rte_mbuf*>> up, down;  // by worker
    std::optional<PuntBridge> bridge;

    explicit Lab(unsigned workers = 3) {
        REQUIRE(pool != nullptr);
        std::vector<PuntRings> rings;
        for (unsigned w = 0; w < workers; ++w) {
            up.emplace_back("ptup" + std::to_string(w), kRingSize, 0);
            down.emplace_back("ptdown" + std::to_string(w), kRingSize, 0);
        }
        for (unsigned w = 0; w < workers; ++w) rings.push_back({&up[w], &down[w]});
        bridge.emplace(HomeMap(workers), pool, std::move(rings));
        bridge->set_twin(0, &lan);
        bridge->set_twin(1, &wan);
    }
    ~Lab() {
        bridge.reset();
        CHECK(rte_mempool_avail_count(pool) == kPackets);
        rte_mempool_free(pool);
    }
    void punt(unsigned worker, PortIndex port, std::uint8_t mark) {
        rte_mbuf* m = rte_pktmbuf_alloc(pool);
        REQUIRE(m != nullptr);
        std::memset(rte_pktmbuf_append(m, 60), mark, 60);
        note_of(m).in_port = port;
        REQUIRE(up[worker].post(m));
    }
    static std::vector<std::byte> frame(std::uint16_t type, Ip4 destination) {
        std::vector<std::byte> f(60);
        f[12] = static_cast<std::byte>(type >> 8);
        f[13] = static_cast<std::byte>(type & 0xff);
        std::memcpy(f.data() + 30, &destination.raw, 4);
        return f;
    }
};

}  // namespace

TEST_CASE_METHOD(Lab, "what workers punt reaches the twin of its port, in order") {
    punt(0, 0, 1);
    punt(0, 1, 2);
    punt(0, 0, 3);
    punt(2, 1, 4);
    CHECK_FALSE(bridge->drain(100));
    REQUIRE(lan.written.size() == 2);
    CHECK(lan.written[0] == std::vector<std::byte>(60, std::byte{1}));
    CHECK(lan.written[1] == std::vector<std::byte>(60, std::byte{3}));
    REQUIRE(wan.written.size() == 2);
    CHECK(bridge->stats().to_kernel == 4);
}

TEST_CASE_METHOD(Lab, "a call does what its budget allows and says that there is more; no worker waits for another") {
    for (unsigned i = 0; i < 100; ++i) punt(0, 0, 1);
    punt(1, 1, 2);
    CHECK(bridge->drain(50));
    CHECK(lan.written.size() == 49);
    CHECK(wan.written.size() == 1);
    CHECK_FALSE(bridge->drain(1000));
    CHECK(lan.written.size() == 100);
}

TEST_CASE_METHOD(Lab, "a twin that refuses or is not there costs the packet, counted") {
    wan.accepts = false;
    punt(0, 1, 1);
    punt(0, 5, 2);
    bridge->set_twin(0, nullptr);
    punt(0, 0, 3);
    punt(0, kNoPort, 4);
    bridge->drain(100);
    CHECK(bridge->stats().twin_refused == 1);
    CHECK(bridge->stats().twin_absent == 3);
    CHECK(bridge->stats().to_kernel == 0);
}

TEST_CASE_METHOD(Lab, "a packet in several pieces arrives whole") {
    rte_mbuf* head = rte_pktmbuf_alloc(pool);
    rte_mbuf* tail = rte_pktmbuf_alloc(pool);
    std::memset(rte_pktmbuf_append(head, 40), 1, 40);
    std::memset(rte_pktmbuf_append(tail, 30), 2, 30);
    REQUIRE(rte_pktmbuf_chain(head, tail) == 0);
    note_of(head).in_port = 0;
    REQUIRE(up[0].post(head));
    bridge->drain(10);
    REQUIRE(lan.written.size() == 1);
    REQUIRE(lan.written[0].size() == 70);
    CHECK(lan.written[0][39] == std::byte{1});
    CHECK(lan.written[0][40] == std::byte{2});
}

TEST_CASE_METHOD(Lab, "a frame of the kernel goes to the home of its destination, with a note") {
    const HomeMap homes(3);
    std::array<bool, 3> used{};
    for (unsigned last = 1; last < 9; ++last) {
        const Ip4 to = ip4(192, 0, 2, last);
        bridge->from_twin(1, frame(0x0800, to));
        rte_mbuf* m = nullptr;
        REQUIRE(down[homes.of(to)].take(&m, 1) == 1);
        used[homes.of(to)] = true;
        CHECK(rte_pktmbuf_pkt_len(m) == 60);
        CHECK(note_of(m).kind == HandoffKind::arrived);
        CHECK(note_of(m).in_port == kKernelPort);
        CHECK(note_of(m).out_port == 1);
        CHECK(note_of(m).local_out);
        rte_pktmbuf_free(m);
    }
    CHECK(std::count(used.begin(), used.end(), true) > 1);
    CHECK(bridge->stats().from_kernel == 8);
}

TEST_CASE_METHOD(Lab, "and so does one of IPv6") {
    const HomeMap homes(3);
    std::array<bool, 3> used{};
    for (unsigned last = 1; last < 9; ++last) {
        const IpAddress to = ip6(0x2001, 0xdb8, 0, 0, 0, 0, 0, last);
        auto f = frame(0x86dd, {});
        to.to_bytes(f.data() + 38);
        bridge->from_twin(1, f);
        rte_mbuf* m = nullptr;
        REQUIRE(down[homes.of(to)].take(&m, 1) == 1);
        used[homes.of(to)] = true;
        rte_pktmbuf_free(m);
    }
    CHECK(std::count(used.begin(), used.end(), true) > 1);
    // A header that is cut has no destination.
    auto cut = frame(0x86dd, {});
    cut.resize(53);
    bridge->from_twin(0, cut);
    CHECK(down[0].count() == 1);
}

TEST_CASE_METHOD(Lab, "ARP and frames too short for an address go to the first worker") {
    bridge->from_twin(0, frame(0x0806, ip4(192, 0, 2, 3)));
    bridge->from_twin(0, std::vector<std::byte>(20));
    CHECK(down[0].count() == 2);
}

TEST_CASE_METHOD(Lab, "a full ring, a missing buffer and a giant frame lose the frame by name, nothing else") {
    const auto f = frame(0x0806, {});
    for (unsigned i = 0; i < kRingSize; ++i) bridge->from_twin(0, f);
    CHECK(bridge->stats().ring_full == 1);
    CHECK(bridge->stats().from_kernel == kRingSize - 1);
    bridge->from_twin(0, std::vector<std::byte>(2000));
    bridge->from_twin(0, std::vector<std::byte>(70000));
    CHECK(bridge->stats().oversized == 2);

    std::vector<rte_mbuf*> all;
    while (rte_mbuf* m = rte_pktmbuf_alloc(pool)) all.push_back(m);
    bridge->from_twin(0, f);
    CHECK(bridge->stats().no_buffer == 1);
    for (rte_mbuf* m : all) rte_pktmbuf_free(m);
}

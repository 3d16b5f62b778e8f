// Devices from configuration to queues and PortTable, on virtual devices; RSS plans for NICs that are not here.
#include "dataplane/worker/ports.hh"

#include <cstring>
#include <memory>

#include <catch2/catch.hpp>

#include "dataplane/flow/handoff_note.hh"
#include "dataplane/flow/packet.hh"
#include "tests/support/eal.hh"

using namespace sluice;
using Catch::Matchers::Contains;

namespace {

unsigned used_names = 0;

/// A loop device: what goes out comes in. The driver keeps the rings of a name, so each gets its own.
PortConfig loop(const char* name) {
    PortConfig c;
    c.name = name;
    c.device = "net_ring_p" + std::to_string(++used_names);
    c.rx_descriptors = c.tx_descriptors = 64;
    return c;
}

constexpr BufferDemand kSmall{64, 64};

std::string failure(const PortConfig& config) {
    PortTable table;
    try {
        Ports ports(std::array{config}, HomeMap(1), table, kSmall);
    } catch (const std::runtime_error& e) {
        return e.what();
    }
    return "";
}

}  // namespace

TEST_CASE_METHOD(test::EalFixture, "frames go through an opened device; nothing is left of it afterwards") {
    const auto config = loop("lan");
    const unsigned before = rte_eth_dev_count_avail();
    {
        PortTable table;
        Ports ports(std::array{config}, HomeMap(1), table, kSmall);
        ports.start();
        CHECK(rte_eth_dev_count_avail() == before + 1);
        REQUIRE(table[0].present);
        CHECK(table[0].up);
        CHECK(table[0].mtu == 1500);
        CHECK(table.untagged(table[0].device) == 0);
        CHECK(rte_pktmbuf_priv_size(ports.pool()) >= kMbufPrivateBytes);

        const auto queues = ports.rx_queues(0);
        REQUIRE(queues == std::vector<RxQueue>{{table[0].device, 0}});
        rte_mbuf* m = rte_pktmbuf_alloc(ports.pool());
        REQUIRE(m != nullptr);
        std::memset(rte_pktmbuf_append(m, 60), 0xab, 60);
        REQUIRE(rte_eth_tx_burst(table[0].device, ports.tx_queue(table[0].device, 0), &m, 1) == 1);
        rte_mbuf* got = nullptr;
        REQUIRE(rte_eth_rx_burst(queues[0].device, queues[0].queue, &got, 1) == 1);
        CHECK(rte_pktmbuf_pkt_len(got) == 60);
        rte_pktmbuf_free(got);
        ports.stop();
        ports.stop();
    }
    CHECK(rte_eth_dev_count_avail() == before);
    CHECK(rte_mempool_lookup("packets0") == nullptr);
}

TEST_CASE_METHOD(test::EalFixture, "each worker has a queue of its own where the device has enough") {
    PortTable table;
    Ports ports(std::array{loop("lan"), loop("wan")}, HomeMap(3), table, kSmall);
    for (unsigned w = 0; w < 3; ++w) {
        const auto q = static_cast<std::uint16_t>(w);
        CHECK(ports.rx_queues(w) == std::vector<RxQueue>{{table[0].device, q}, {table[1].device, q}});
        CHECK(ports.tx_queue(table[0].device, w) == w);
        CHECK(ports.tx_worker(table[0].device, w) == w);
    }
    CHECK(ports.device_ids() == std::vector<std::uint16_t>{table[0].device, table[1].device});
}

TEST_CASE_METHOD(test::EalFixture, "devices with one queue are dealt out; the others transmit through its worker") {
    // net_pcap has one queue each way with these arguments.
    PortConfig a, b;
    a.name = "a";
    a.device = "net_pcap_a,rx_iface=lo,tx_iface=lo";
    b.name = "b";
    b.device = "net_pcap_b,rx_iface=lo,tx_iface=lo";
    PortTable table;
    Ports ports(std::array{a, b}, HomeMap(2), table, kSmall);
    CHECK(ports.rx_queues(0) == std::vector<RxQueue>{{table[0].device, 0}});
    CHECK(ports.rx_queues(1) == std::vector<RxQueue>{{table[1].device, 0}});
    CHECK(ports.tx_queue(table[1].device, 0) == 0);
    CHECK(ports.tx_queue(table[1].device, 1) == kNoQueue);
    CHECK(ports.tx_worker(table[1].device, 1) == 0);
    CHECK(ports.kernel_sees_frames(0));
}

TEST_CASE_METHOD(test::EalFixture, "a VLAN port shares its parent's device, MAC and MTU unless it says otherwise") {
    auto wan = loop("wan");
    wan.role = PortRole::outside;
    PortConfig dmz;
    dmz.name = "dmz";
    dmz.parent = "wan";
    dmz.vlan = 20;
    PortConfig guest = dmz;
    guest.name = "guest";
    guest.vlan = 30;
    guest.mac = MacAddress{{2, 0, 0, 0, 0, 9}};
    guest.mtu = 1400;
    PortTable table;
    Ports ports(std::array{dmz, wan, guest}, HomeMap(1), table, kSmall);
    const std::uint16_t device = table[1].device;
    CHECK(table.untagged(device) == 1);
    CHECK(table.tagged(device, 20) == 0);
    CHECK(table.tagged(device, 30) == 2);
    CHECK(table.tagged(device, 40) == kNoPort);
    CHECK(table[0].mac == table[1].mac);
    CHECK(table[0].mtu == 1500);
    CHECK(table[0].role == PortRole::inside);
    CHECK(table[1].role == PortRole::outside);
    CHECK(table[2].mac == MacAddress{{2, 0, 0, 0, 0, 9}});
    CHECK(table[2].mtu == 1400);
}

TEST_CASE_METHOD(test::EalFixture, "a configured MAC is the port's") {
    auto lan = loop("lan");
    lan.mac = MacAddress{{2, 0, 0, 0, 0, 7}};
    PortTable table;
    Ports ports(std::array{lan}, HomeMap(1), table, kSmall);
    CHECK(table[0].mac == MacAddress{{2, 0, 0, 0, 0, 7}});
}

TEST_CASE_METHOD(test::EalFixture, "what cannot be opened is named, with the reason, and nothing stays open") {
    const unsigned before = rte_eth_dev_count_avail();
    PortConfig c;
    c.name = "wan";
    c.device = "net_af_packet_x,iface=no-such-if0";
    CHECK_THAT(failure(c), Contains("port wan") && Contains("there is no interface no-such-if0"));
    c.device = "net_no_such_driver0";
    CHECK_THAT(failure(c), Contains("port wan") && Contains("no driver"));
    c.device = "0000:fe:1f.7";
    CHECK_THAT(failure(c), Contains("there is no PCI device 0000:fe:1f.7"));
    c = PortConfig{};
    c.name = "vlan-only";
    c.parent = "nobody";
    CHECK_THAT(failure(c), Contains("no port has a device"));

    auto first = loop("first");
    auto second = first;
    second.name = "second";
    PortTable table;
    CHECK_THROWS_WITH(Ports(std::array{first, second}, HomeMap(1), table, kSmall),
                      Contains("port second") && Contains("another port uses"));
    auto large = loop("large");
    large.mtu = 65535;
    CHECK_THAT(failure(large), Contains("MTU too large"));
    CHECK_THROWS_WITH(Ports(std::array{loop("lan")}, HomeMap(1), table, BufferDemand{10'000'000, 64}),
                      Contains("raise memory.megabytes"));
    CHECK(rte_eth_dev_count_avail() == before);
}

TEST_CASE("the kernel interface of vdev arguments") {
    CHECK(interface_of("net_af_xdp0,iface=w1") == "w1");
    CHECK(interface_of("net_af_xdp0,queue_count=2,iface=w1,start_queue=0") == "w1");
    CHECK(interface_of("net_ring0").empty());
    CHECK(interface_of("net_pcap0,rx_iface=lo").empty());
    CHECK(interface_of("0000:03:00.0").empty());
}

TEST_CASE("a NIC that hashes on one address brings packets home; others do not claim to") {
    rte_eth_dev_info nic{};
    nic.flow_type_rss_offloads =
        RTE_ETH_RSS_IPV4 | RTE_ETH_RSS_NONFRAG_IPV4_TCP | RTE_ETH_RSS_L3_SRC_ONLY | RTE_ETH_RSS_L3_DST_ONLY;
    nic.hash_key_size = 40;
    nic.reta_size = 512;
    const RssPlan outside = plan_rss(nic, PortRole::outside, 4, 4);
    CHECK(outside.homes);
    CHECK((outside.hash_functions & RTE_ETH_RSS_L3_SRC_ONLY) != 0);
    CHECK((outside.hash_functions & RTE_ETH_RSS_L3_DST_ONLY) == 0);
    const RssPlan inside = plan_rss(nic, PortRole::inside, 4, 4);
    CHECK(inside.homes);
    CHECK((inside.hash_functions & RTE_ETH_RSS_L3_DST_ONLY) != 0);
    CHECK((inside.hash_functions & RTE_ETH_RSS_L3_SRC_ONLY) == 0);
    CHECK((inside.hash_functions & RTE_ETH_RSS_NONFRAG_IPV4_UDP) == 0);  // not offered, not asked for

    CHECK(plan_rss(nic, PortRole::inside, 1, 1).hash_functions == 0);
    CHECK_FALSE(plan_rss(nic, PortRole::inside, 2, 4).homes);  // fewer queues than workers
    auto small = nic;
    small.reta_size = 64;
    CHECK_FALSE(plan_rss(small, PortRole::inside, 4, 4).homes);
    auto long_key = nic;
    long_key.hash_key_size = 60;
    CHECK_FALSE(plan_rss(long_key, PortRole::inside, 4, 4).homes);
    auto plain = nic;
    plain.flow_type_rss_offloads = RTE_ETH_RSS_IPV4;
    CHECK_FALSE(plan_rss(plain, PortRole::inside, 4, 4).homes);
    CHECK(plan_rss(plain, PortRole::inside, 4, 4).hash_functions == RTE_ETH_RSS_IPV4);
}

// A room with everything Egress brings together, and two devices whose transmit queue leads to their receive queue.
#pragma once

#include <array>
#include <memory>
#include <string>
#include <vector>

#include <catch2/catch.hpp>
#include <rte_dev.h>
#include <rte_ethdev.h>

#include "dataplane/base/publication.hh"
#include "dataplane/transmit/nexthop.hh"
#include "tests/support/packet_room.hh"

namespace sluice::test {

/// Devices 0 and 1, made once for the process (net_ring: what is sent is received again).
inline void loop_devices(rte_mempool* pool) {
    static const bool made = [pool] {
        for (const std::uint16_t id : {std::uint16_t{0}, std::uint16_t{1}}) {
            REQUIRE(rte_eal_hotplug_add("vdev", ("net_ring" + std::to_string(id)).c_str(), "") == 0);
            const rte_eth_conf conf{};
            REQUIRE(rte_eth_dev_configure(id, 1, 1, &conf) == 0);
            REQUIRE(rte_eth_rx_queue_setup(id, 0, 512, SOCKET_ID_ANY, nullptr, pool) == 0);
            REQUIRE(rte_eth_tx_queue_setup(id, 0, 512, SOCKET_ID_ANY, nullptr) == 0);
            REQUIRE(rte_eth_dev_start(id) == 0);
        }
        return true;
    }();
    CHECK(made);
}

struct EgressRoom : PacketRoom {
    static constexpr Ip4 kClient = ip4(192, 0, 2, 7), kBoxLan = ip4(192, 0, 2, 1);
    static constexpr Ip4 kServer = ip4(203, 0, 113, 9), kBoxWan = ip4(198, 51, 100, 1);
    static constexpr Ip4 kGateway = ip4(198, 51, 100, 254);

    EgressRoom() {
        loop_devices(pool);
        tx.use_queue(0, 0);
        tx.use_queue(1, 0);
        auto own = std::make_unique<Addresses>();
        own->by_port[kLan] = {{kBoxLan, 24, false}};
        own->by_port[kWan] = {{kBoxWan, 24, false}};
        routes.publish_addresses(std::move(own));
    }
    ~EgressRoom() {
        egress.shutdown();
        tx.flush();
        for (const std::uint16_t device : {std::uint16_t{0}, std::uint16_t{1}}) static_cast<void>(sent(device));
        std::array<rte_mbuf*, 64> left;
        while (const unsigned n = punt_ring.take(left.data(), 64)) rte_pktmbuf_free_bulk(left.data(), n);
    }

    /// Arrived on LAN, parsed, on its way to WAN.
    Packet forwarded(const PacketBuilder& b) {
        Packet p = arrive(b);
        REQUIRE(parse_on(p) == true);
        p.out_port = kWan;
        return p;
    }
    bool parse_on(Packet& p);
    NextHop resolved() const {
        NextHop hop;
        hop.kind = HopKind::neighbour;
        hop.out_port = kWan;
        hop.address = kGateway;
        hop.resolved = true;
        hop.mac = mac(50);
        return hop;
    }
    NextHop unresolved() const {
        NextHop hop = resolved();
        hop.resolved = false;
        return hop;
    }
    /// Flushes and takes back what `device` transmitted.
    std::vector<Frame> sent(std::uint16_t device) {
        tx.flush();
        std::vector<Frame> frames;
        std::array<rte_mbuf*, 64> mbufs;
        while (const unsigned n = rte_eth_rx_burst(device, 0, mbufs.data(), 64)) {
            for (unsigned i = 0; i < n; ++i) frames.push_back(frame_of(mbufs[i]));
            rte_pktmbuf_free_bulk(mbufs.data(), n);
        }
        return frames;
    }
    std::vector<Notice> notices() {
        std::vector<Notice> all(to_control.count());
        all.resize(to_control.take(all.data(), static_cast<unsigned>(all.size())));
        return all;
    }
    const BalanceCounters& balance() const { return counters->balance; }

    GracePeriods grace{1};
    RouteTable routes{"egress-test", grace, 256, 16, SOCKET_ID_ANY};
    Ring<Notice> to_control{"egress-notices", 64, SOCKET_ID_ANY};
    Ring<rte_mbuf*> punt_ring{"egress-punts", 64, SOCKET_ID_ANY};
    TxBuffers tx{*ports, disposal};
    HeldPackets held{{}, *counters, to_control};
    Answers answers{pool, *counters};
    Punts punts{punt_ring};
    Egress egress{{*ports, routes, tx, held, answers, punts, disposal, pool}};
    Now now{1000, 0};
};

}  // namespace sluice::test

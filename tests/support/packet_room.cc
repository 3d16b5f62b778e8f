#include "tests/support/packet_room.hh"

#include <cstdio>
#include <cstdlib>
#include <stdexcept>

#include <rte_mempool.h>

namespace sluice::test {

namespace {

/// One pool for the process; rooms come and go.
rte_mempool* shared_pool() {
    static rte_mempool* const pool =
        rte_pktmbuf_pool_create("packet-room", 2047, 0, kMbufPrivateBytes, RTE_MBUF_DEFAULT_BUF_SIZE, SOCKET_ID_ANY);
    if (pool == nullptr) throw std::runtime_error("no memory for the tests' packet pool");
    return pool;
}

}  // namespace

PacketRoom::PacketRoom() : pool(shared_pool()) {
    const auto add = [this](PortIndex index, PortRole role, std::uint16_t device, std::uint16_t vlan,
                            unsigned mac_byte) {
        PortInfo& p = (*ports)[index];
        p.present = true;
        p.role = role;
        p.device = device;
        p.vlan = vlan;
        p.mac = mac(mac_byte);
        ports->bind(index);
    };
    add(kLan, PortRole::inside, 0, kNoVlan, 2);
    add(kWan, PortRole::outside, 1, kNoVlan, 3);
    add(kDmz, PortRole::inside, 0, 20, 2);
    (*ports)[kDmz].zone = 7;
}

PacketRoom::~PacketRoom() {
    disposal.flush();
    if (const unsigned lost = rte_mempool_in_use_count(pool); lost != 0) {
        std::fprintf(stderr, "%u packet buffers were not given back\n", lost);
        std::abort();
    }
}

Packet PacketRoom::arrive(const PacketBuilder& b, std::uint16_t device) const {
    Packet p;
    p.mbuf = b.mbuf(pool, device);
    return p;
}

std::uint64_t PacketRoom::drops() const {
    std::uint64_t sum = 0;
    for (const Counter& c : counters->drops) sum += c.get();
    return sum;
}

}  // namespace sluice::test

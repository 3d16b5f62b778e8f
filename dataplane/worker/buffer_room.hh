// How many packet buffers there are and what they take of the memory that DPDK was given: the one place that knows, for
// the pools when they are made and for control, which reckons before the start whether memory.megabytes has room. Pure
// functions.
#pragma once

#include <algorithm>
#include <cstdint>

#include <rte_common.h>
#include <rte_ether.h>
#include <rte_mbuf_core.h>

#include "dataplane/flow/handoff_note.hh"

namespace sluice {

inline constexpr unsigned kPoolCache = 512;   ///< buffers that each lcore keeps at hand
inline constexpr unsigned kAfXdpRing = 2048;  ///< its fill ring has twice that, its completion ring that many

/// Buffers that the queues of a device hold.
constexpr unsigned device_buffers(bool af_xdp, unsigned rx_queues, unsigned rx_descriptors, unsigned tx_queues,
                                  unsigned tx_descriptors) noexcept {
    return rx_queues * rx_descriptors + tx_queues * tx_descriptors + rx_queues * (af_xdp ? 3 * kAfXdpRing : 0U);
}

/// Of a pool: what its devices hold, what each worker and control have under way; as many as a mempool's ring holds
/// without waste.
constexpr unsigned pool_buffers(unsigned of_devices, unsigned workers, unsigned per_worker, unsigned control) noexcept {
    const unsigned least = of_devices + workers * (per_worker + 2 * kPoolCache) + control + 2 * kPoolCache;
    unsigned ring = 1;
    while (ring < least + 1) ring *= 2;
    return ring - 1;
}

/// Bytes of data room: a frame is never spread over buffers, what a device may receive must fit one.
constexpr unsigned buffer_room(unsigned mtu) noexcept {
    const unsigned frame = mtu + RTE_ETHER_HDR_LEN + 2 * 4 /* VLAN tags */ + RTE_ETHER_CRC_LEN;
    return RTE_PKTMBUF_HEADROOM + std::max<unsigned>(RTE_MBUF_DEFAULT_DATAROOM, (frame + 63) / 64 * 64);
}

/// A pool's bytes on ordinary pages, where no buffer may lie across two of them: nothing that takes more than 2 kB has
/// a page with another. On hugepages it is less. `private_bytes`: of each buffer, beside its data room.
constexpr std::uint64_t pool_bytes(unsigned buffers, unsigned room, unsigned private_bytes = kMbufPrivateBytes) {
    constexpr std::uint64_t kPage = 4096;
    // The header of a mempool's object, the mbuf, and what spreads objects over memory channels.
    const std::uint64_t object = 64 + sizeof(rte_mbuf) + private_bytes + room + 3 * 64;
    const std::uint64_t pages = object > kPage ? (object + kPage - 1) / kPage : 1;
    const std::uint64_t objects = object > kPage ? 1 : kPage / object;
    return (buffers + objects - 1) / objects * pages * kPage + std::uint64_t{16} * buffers;
}

}  // namespace sluice

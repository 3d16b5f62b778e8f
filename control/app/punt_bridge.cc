#include "control/app/punt_bridge.hh"

#include <algorithm>
#include <cstring>
#include <utility>

#include <rte_ether.h>

#include "dataplane/flow/handoff_note.hh"

namespace sluice {

namespace {

constexpr unsigned kBatch = 32;
constexpr std::size_t kIp4DestinationOffset = RTE_ETHER_HDR_LEN + 16;
constexpr std::size_t kIp6DestinationOffset = RTE_ETHER_HDR_LEN + 24;

void drain_and_free(Ring<rte_mbuf*>& ring) {
    std::array<rte_mbuf*, kBatch> left;
    while (const unsigned n = ring.take(left.data(), kBatch)) rte_pktmbuf_free_bulk(left.data(), n);
}

}  // namespace

PuntBridge::PuntBridge(const HomeMap& homes, rte_mempool* pool, std::vector<PuntRings> rings)
    : homes_(homes), pool_(pool), rings_(std::move(rings)) {}

PuntBridge::~PuntBridge() {
    for (const PuntRings& r : rings_) {
        drain_and_free(*r.punts);
        drain_and_free(*r.from_kernel);
    }
}

bool PuntBridge::drain(unsigned budget) {
    std::array<rte_mbuf*, kBatch> batch;
    bool more = true;
    // One batch of each worker in turn, so that a busy one does not keep the others waiting.
    while (budget != 0 && more) {
        more = false;
        for (const PuntRings& r : rings_) {
            const unsigned n = r.punts->take(batch.data(), std::min(kBatch, budget));
            for (unsigned i = 0; i < n; ++i) write(batch[i]);
            rte_pktmbuf_free_bulk(batch.data(), n);
            budget -= n;
            more = more || n != 0;
            if (budget == 0) return true;
        }
    }
    return false;
}

void PuntBridge::write(rte_mbuf* m) {
    const PortIndex port = note_of(m).in_port;
    TwinPort* const twin = port < twins_.size() ? twins_[port] : nullptr;
    if (twin == nullptr) {
        ++stats_.twin_absent;
        return;
    }
    const std::uint32_t length = rte_pktmbuf_pkt_len(m);
    if (flat_.size() < length) flat_.resize(length);
    // In one piece it is read where it lies.
    const void* bytes = rte_pktmbuf_read(m, 0, length, flat_.data());
    const bool taken = twin->write({static_cast<const std::byte*>(bytes), length});
    ++(taken ? stats_.to_kernel : stats_.twin_refused);
}

unsigned PuntBridge::home_of(std::span<const std::byte> frame) const noexcept {
    std::uint16_t type = 0;
    if (frame.size() < kIp4DestinationOffset + sizeof(Ip4)) return 0;
    std::memcpy(&type, frame.data() + 2 * RTE_ETHER_ADDR_LEN, sizeof type);
    if (type == be16(RTE_ETHER_TYPE_IPV6).raw && frame.size() >= kIp6DestinationOffset + sizeof(IpAddress))
        return homes_.of(IpAddress::from_bytes(frame.data() + kIp6DestinationOffset));
    if (type != be16(RTE_ETHER_TYPE_IPV4).raw) return 0;  // ARP and the like belong to no flow
    Ip4 destination;
    std::memcpy(&destination.raw, frame.data() + kIp4DestinationOffset, sizeof destination.raw);
    return homes_.of(destination);
}

void PuntBridge::from_twin(PortIndex port, std::span<const std::byte> frame) {
    rte_mbuf* const m = rte_pktmbuf_alloc(pool_);
    if (m == nullptr) {
        ++stats_.no_buffer;
        return;
    }
    char* const room =
        frame.size() > UINT16_MAX ? nullptr : rte_pktmbuf_append(m, static_cast<std::uint16_t>(frame.size()));
    if (room == nullptr) {
        ++stats_.oversized;
        rte_pktmbuf_free(m);
        return;
    }
    std::memcpy(room, frame.data(), frame.size());
    HandoffNote& note = note_of(m);
    note = HandoffNote{};
    note.kind = HandoffKind::arrived;
    note.in_port = kKernelPort;
    note.out_port = port;
    note.local_out = true;
    if (rings_[home_of(frame)].from_kernel->post(m)) {
        ++stats_.from_kernel;
    } else {
        ++stats_.ring_full;
        rte_pktmbuf_free(m);
    }
}

}  // namespace sluice

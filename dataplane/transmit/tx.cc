#include "dataplane/transmit/tx.hh"

#include <bit>
#include <cstring>

#include <rte_ethdev.h>
#include <rte_ether.h>

#include "dataplane/flow/handoff_note.hh"

namespace sluice {

namespace {

/// False: no headroom.
bool push_vlan(rte_mbuf* m, std::uint16_t vlan) noexcept {
    constexpr unsigned kAddresses = 12, kTag = 4;
    auto* old = rte_pktmbuf_mtod(m, std::uint8_t*);
    auto* frame = reinterpret_cast<std::uint8_t*>(rte_pktmbuf_prepend(m, kTag));
    if (frame == nullptr) return false;
    std::memmove(frame, old, kAddresses);
    const Be16 type = be16(0x8100), tag = be16(vlan);
    std::memcpy(frame + kAddresses, &type.raw, 2);
    std::memcpy(frame + kAddresses + 2, &tag.raw, 2);
    return true;
}

}  // namespace

TxBuffers::TxBuffers(const PortTable& ports, Disposal& disposal)
    : ports_(ports), disposal_(disposal), devices_(std::make_unique<std::array<Device, kDevices>>()) {}

TxBuffers::~TxBuffers() {
    for (Device& d : *devices_)
        if (d.count != 0) rte_pktmbuf_free_bulk(d.frames.data(), d.count);
}

void TxBuffers::use_queue(std::uint16_t device, std::uint16_t queue) noexcept {
    (*devices_)[device].has_queue = true;
    (*devices_)[device].queue = queue;
}

void TxBuffers::send(PortIndex out, rte_mbuf* m) noexcept {
    const PortInfo& port = ports_[out];
    if (!port.up.load(std::memory_order_relaxed)) {
        disposal_.drop(m, DropReason::port_down);
        return;
    }
    if (port.vlan != kNoVlan && !push_vlan(m, port.vlan)) {
        disposal_.drop(m, DropReason::no_buffer);
        return;
    }
    if ((*devices_)[port.device].has_queue) {
        send_complete(out, m);
    } else if (handoff_ != nullptr) {
        HandoffNote& note = note_of(m);
        note.kind = HandoffKind::transmit;
        note.device = port.device;
        note.out_port = out;
        handoff_(context_, port.device, m);
    } else {
        disposal_.drop(m, DropReason::port_down);
    }
}

void TxBuffers::send_complete(PortIndex out, rte_mbuf* m) noexcept {
    const std::uint16_t index = ports_[out].device;
    if ((*devices_)[index].has_queue) {
        put(out, index, m, m->pkt_len);
    } else {  // a worker that was asked by mistake must not ask on
        disposal_.drop(m, DropReason::port_down);
    }
}

void TxBuffers::flush() noexcept {
    while (filled_ != 0) flush(static_cast<std::uint16_t>(std::countr_zero(filled_)));
}

void TxBuffers::flush(std::uint16_t device) noexcept {
    Device& d = (*devices_)[device];
    filled_ &= ~(std::uint64_t{1} << device);
    std::array<std::uint32_t, kFrames> lengths;  // of several ports: a frame that was sent may be gone
    if (d.mixed) [[unlikely]]
        for (unsigned i = 0; i < d.count; ++i) lengths[i] = d.frames[i]->pkt_len;
    unsigned sent = 0;
    for (unsigned tries = 0; sent < d.count && tries < kTries;) {
        const std::uint16_t taken =
            rte_eth_tx_burst(device, d.queue, d.frames.data() + sent, static_cast<std::uint16_t>(d.count - sent));
        sent += taken;
        if (taken == 0) ++tries;
    }
    disposal_.counters().balance.transmitted.add(sent);
    for (unsigned i = sent; i < d.count; ++i) {
        d.bytes -= d.frames[i]->pkt_len;
        disposal_.drop(d.frames[i], DropReason::tx_full);
    }
    if (d.mixed) [[unlikely]] {
        for (unsigned i = 0; i < sent; ++i) count_sent(d.ports[i], 1, lengths[i]);
    } else {
        count_sent(d.ports[0], sent, d.bytes);
    }
    d.count = 0;
    d.mixed = false;
    d.bytes = 0;
}

void TxBuffers::count_sent(PortIndex port, unsigned frames, std::uint64_t bytes) noexcept {
    PortCounters& counters = disposal_.counters().ports[port];
    counters.tx_packets.add(frames);
    counters.tx_bytes.add(bytes);
}

}  // namespace sluice

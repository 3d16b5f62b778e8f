// The last step: frames are collected per device and leave in bursts through this worker's transmit queue.
//
// A VLAN port's tag goes in here and nowhere else, so every frame above this line is untagged. A device on which this
// worker has no queue is served by one that has: the complete frame is handed over (HandoffKind::transmit) and comes
// out of `send_complete` there, which also counts it.
//
// Owner: one worker. Failure policy: a port that is down drops as port_down; what the device does not take after a few
// tries is dropped as tx_full, newest first, since waiting would stop the worker.
#pragma once

#include <array>
#include <cstdint>
#include <memory>

#include <rte_mbuf.h>

#include "dataplane/flow/packet.hh"
#include "dataplane/ingress/port_table.hh"

namespace sluice {

class TxBuffers {
public:
    static constexpr unsigned kFrames = 64;  ///< buffered per device
    static constexpr unsigned kDevices = 64;
    static constexpr unsigned kTries = 4;  ///< without progress

    /// Takes a frame whose note is filled in (kind transmit, device, out_port) to a worker with a queue on that device.
    using Handoff = void (*)(void* context, std::uint16_t device, rte_mbuf* m) noexcept;

    /// `ports` and `disposal` outlive it.
    TxBuffers(const PortTable& ports, Disposal& disposal);
    /// Frees what was not flushed.
    ~TxBuffers();
    TxBuffers(const TxBuffers&) = delete;
    TxBuffers& operator=(const TxBuffers&) = delete;

    // --- before the worker starts
    /// This worker transmits on `queue` of `device`.
    void use_queue(std::uint16_t device, std::uint16_t queue) noexcept;
    /// What to do with frames for other devices; without it they are dropped as port_down.
    void on_other_device(Handoff handoff, void* context) noexcept {
        handoff_ = handoff;
        context_ = context;
    }

    // --- worker
    /// Takes an untagged frame with complete Ethernet header that leaves by logical port `out`.
    void send(PortIndex out, rte_mbuf* m) noexcept;
    /// Takes a frame that another worker made ready for port `out`.
    void send_complete(PortIndex out, rte_mbuf* m) noexcept;
    /// Whether frames for `port` leave from here as they are: it is up, without a tag, on a device of this worker.
    [[nodiscard]] bool is_direct(const PortInfo& port) const noexcept {
        return port.up.load(std::memory_order_relaxed) && port.vlan == kNoVlan && (*devices_)[port.device].has_queue;
    }
    /// Takes a complete frame of `bytes` for port `out`, which is_direct() and on `device`.
    void put(PortIndex out, std::uint16_t device, rte_mbuf* m, std::uint32_t bytes) noexcept {
        // What the receiving device said ends here; who owns the buffer stays.
        m->ol_flags &= RTE_MBUF_F_EXTERNAL | RTE_MBUF_F_INDIRECT;
        Device& d = (*devices_)[device];
        d.frames[d.count] = m;
        d.ports[d.count] = out;
        d.bytes += bytes;
        d.mixed |= out != d.ports[0];
        filled_ |= std::uint64_t{1} << device;
        if (++d.count == kFrames) flush(device);
    }
    /// At the end of every loop.
    void flush() noexcept;

private:
    struct Device {
        bool has_queue = false;
        std::uint16_t queue = 0;
        unsigned count = 0;
        std::array<rte_mbuf*, kFrames> frames;
        std::uint64_t bytes = 0;  // of all frames
        bool mixed = false;       // of several logical ports
        std::array<PortIndex, kFrames> ports;
    };
    void flush(std::uint16_t device) noexcept;
    void count_sent(PortIndex port, unsigned frames, std::uint64_t bytes) noexcept;

    const PortTable& ports_;
    Disposal& disposal_;
    std::unique_ptr<std::array<Device, kDevices>> devices_;
    std::uint64_t filled_ = 0;  // bit per device with frames
    Handoff handoff_ = nullptr;
    void* context_ = nullptr;
};

}  // namespace sluice

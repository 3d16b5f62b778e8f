// What a unit test of a packet stage needs: a pool, one worker's counters, a disposal, three ports. The destructor
// checks that every buffer came back.
#pragma once

#include <memory>

#include <rte_mbuf.h>

#include "dataplane/flow/handoff_note.hh"
#include "dataplane/flow/packet.hh"
#include "dataplane/ingress/port_table.hh"
#include "tests/support/eal.hh"
#include "tests/support/packet_builder.hh"

namespace sluice::test {

/// Ports: kLan (device 0, mac(2)), kWan (device 1, mac(3)), kDmz (VLAN 20 of device 0, mac(2), zone 7).
class PacketRoom : public EalFixture {
public:
    static constexpr PortIndex kLan = 0, kWan = 1, kDmz = 2;

    PacketRoom();
    ~PacketRoom();
    PacketRoom(const PacketRoom&) = delete;
    PacketRoom& operator=(const PacketRoom&) = delete;

    /// The frame as a packet from device 0, not parsed. The test owns the mbuf.
    [[nodiscard]] Packet arrive(const PacketBuilder& b, std::uint16_t device = 0) const;
    /// Drops counted so far, all reasons.
    [[nodiscard]] std::uint64_t drops() const;
    [[nodiscard]] std::uint64_t drops(DropReason reason) const {
        return counters->drops[static_cast<std::size_t>(reason)].get();
    }

    rte_mempool* pool;
    std::unique_ptr<WorkerCounters> counters = std::make_unique<WorkerCounters>();
    Disposal disposal{*counters};
    std::unique_ptr<PortTable> ports = std::make_unique<PortTable>();
};

}  // namespace sluice::test

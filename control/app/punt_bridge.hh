// Packets between workers and twins: what workers punt goes into the twin of its port, what the kernel sends out of a
// twin goes to the worker that is home to its destination.
//
//   worker → punt ring → drain() → TwinPort::write        (note: in_port says which twin)
//   twin → from_twin() → buffer → home's ring → worker    (note: out_port says which port)
//
// Life cycle: made before the workers run, destroyed after they ended (what is left in the rings is freed). Owner:
// control thread. Work per call is bounded by its budget. Failure policy: a packet that cannot go on is freed and
// counted by its reason.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include <rte_mbuf.h>

#include "control/linux/kernel.hh"
#include "dataplane/base/types.hh"
#include "dataplane/flow/mailbox.hh"
#include "dataplane/ingress/home.hh"

namespace sluice {

struct PuntBridgeStats {
    std::uint64_t to_kernel = 0;
    std::uint64_t twin_refused = 0;  ///< the twin is down or its queue is full
    std::uint64_t twin_absent = 0;   ///< the port has no twin (it was deleted)
    std::uint64_t from_kernel = 0;   ///< given to a worker
    std::uint64_t no_buffer = 0;
    std::uint64_t ring_full = 0;  ///< the worker did not keep up
    std::uint64_t oversized = 0;  ///< longer than a packet buffer
};

/// The two rings between control and one worker.
struct PuntRings {
    Ring<rte_mbuf*>* punts = nullptr;        ///< worker → control
    Ring<rte_mbuf*>* from_kernel = nullptr;  ///< control → worker
};

class PuntBridge {
public:
    /// `rings` by worker, as many as `homes` has. They and `pool` outlive the bridge.
    PuntBridge(const HomeMap& homes, rte_mempool* pool, std::vector<PuntRings> rings);
    ~PuntBridge();
    PuntBridge(const PuntBridge&) = delete;
    PuntBridge& operator=(const PuntBridge&) = delete;

    /// The twin of `port` from now on; nullptr: none. It must outlive the bridge or be taken away first.
    void set_twin(PortIndex port, TwinPort* twin) noexcept { twins_[port] = twin; }

    /// Writes up to `budget` punted packets into twins, the workers in turn. True when more may wait.
    bool drain(unsigned budget);
    /// A frame that the kernel sent out of the twin of `port`.
    void from_twin(PortIndex port, std::span<const std::byte> frame);

    [[nodiscard]] const PuntBridgeStats& stats() const noexcept { return stats_; }

private:
    void write(rte_mbuf* m);
    [[nodiscard]] unsigned home_of(std::span<const std::byte> frame) const noexcept;

    HomeMap homes_;
    rte_mempool* pool_;
    std::vector<PuntRings> rings_;  // by worker
    std::array<TwinPort*, kMaxPorts + 1> twins_{};
    std::vector<std::byte> flat_;  // for a packet in several pieces
    PuntBridgeStats stats_;
};

}  // namespace sluice

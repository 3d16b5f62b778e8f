// Captures of a port's packets for `sluicectl capture`: copies of every frame, as it arrived and as it left.
//
// The data plane knows nothing of it: callbacks on the device's queues (rte_eth_add_rx_callback) copy the frames while
// a capture runs, in the worker that owns the queue, into one ring per queue; the control thread drains them and hands
// them on in the order of time, whichever ring they came from. Without a capture there is no callback and no cost. A
// ring or the pool of copies that is full loses copies, never packets; lost copies are counted.
//
// Life cycle: start → callbacks in → … → destroyed → callbacks out → rings freed after a grace period, when no worker
// can be inside a callback any more.
// Owner: control thread; the callbacks run on workers and touch their own ring only.
#pragma once

#include <memory>
#include <string>

#include <boost/asio/io_context.hpp>

#include "control/api/box.hh"
#include "dataplane/base/publication.hh"
#include "dataplane/base/types.hh"

struct rte_mempool;

namespace sluice {

/// What there is to capture: the device behind a logical port.
struct CapturePoint {
    std::uint16_t device = 0;
    std::uint16_t vlan = 0;  ///< of a VLAN port: only frames with this tag
    std::uint16_t rx_queues = 1;
    std::uint16_t tx_queues = 1;
};

class PortCaptures {
public:
    static constexpr unsigned kMaxCaptures = 4;

    /// `grace` outlives it.
    PortCaptures(boost::asio::io_context& io, GracePeriods& grace);
    ~PortCaptures();
    PortCaptures(const PortCaptures&) = delete;
    PortCaptures& operator=(const PortCaptures&) = delete;

    /// Throws api::CaptureRefused when kMaxCaptures are running or memory is short.
    [[nodiscard]] std::unique_ptr<api::Capture> start(const CapturePoint& point, std::uint32_t snaplen_bytes,
                                                      api::CaptureHandler handler);

private:
    class Running;
    class Handle;
    boost::asio::io_context& io_;
    GracePeriods& grace_;
    rte_mempool* pool_ = nullptr;  // made with the first capture
    unsigned running_ = 0;
};

}  // namespace sluice

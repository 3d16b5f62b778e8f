// One Lcore with two ports, a policy and a set of flows through it: what a case of the bench measures. Ports transmit
// to net_null (measuring) or to a net_ring (looking at what comes out).
//
// Thread: one, which plays worker and control in turn. Failure policy: std::runtime_error, also for a packet that did
// not come out as it should.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include <rte_ring.h>

#include "control/ageing/ageing.hh"
#include "dataplane/worker/lcore.hh"
#include "tests/bench/traffic.hh"

namespace sluice::bench {

/// What all cases use: the packet pool, the null devices and the ring that shows what was sent. After the EAL started.
struct Devices {
    Devices();
    ~Devices();
    Devices(const Devices&) = delete;
    Devices& operator=(const Devices&) = delete;

    rte_mempool* pool = nullptr;
    std::uint16_t null_lan = 0, null_wan = 0;
    std::uint16_t seen = 0;  ///< device whose transmitted packets land in `sent`
    rte_ring* sent = nullptr;
};

class BenchBox {
public:
    static constexpr PortIndex kLan = 0, kWan = 1;

    /// A box for `flows` flows, with nothing in it. `devices` outlives it.
    BenchBox(Devices& devices, const std::string& tag, std::uint32_t flows);
    ~BenchBox();
    BenchBox(const BenchBox&) = delete;
    BenchBox& operator=(const BenchBox&) = delete;

    /// Opens the flows: first packets outwards, answers, for TCP the third packet of the handshake; every packet's
    /// translation and checksums are checked. Then the clock moves on until UDP flows are streams. Returns what replies
    /// carry when they arrive, by flow.
    std::vector<Tuple> open(const std::vector<Tuple>& tuples, Protocol protocol);

    [[nodiscard]] Pipeline& pipeline() noexcept { return *lcore_->pipeline; }
    [[nodiscard]] WorkerCounters& counters() noexcept { return lcore_->counters; }
    [[nodiscard]] MacAddress mac(PortIndex port) const noexcept { return ports_[port].mac; }
    /// The device from which packets of `port` arrive.
    [[nodiscard]] std::uint16_t device(PortIndex port) const noexcept;
    /// The worker's clock: cycles since the start, and what `open` skipped.
    [[nodiscard]] Now now() const noexcept;

    /// Sends `mbufs` through the pipeline and returns the frames that came out, which must be as many.
    std::vector<test::Frame> through(PortIndex in, rte_mbuf** mbufs, unsigned n);
    /// Drops of any reason so far.
    [[nodiscard]] std::uint64_t drops() const;
    /// Takes what the worker told control, as the control thread would.
    void serve_control();

private:
    void add_port(PortIndex index, PortRole role, std::uint16_t device, Ip4 address, Ip4 neighbour, Ip4 network,
                  std::uint8_t length);
    void look(bool on) noexcept;

    Devices& devices_;
    PortTable ports_;
    GracePeriods grace_{1};
    HomeMap homes_{1};
    Publication<Policy> policy_;
    Addresses addresses_;
    std::unique_ptr<RouteTable> routes_;
    std::unique_ptr<HandoffRings> rings_;
    std::vector<std::unique_ptr<Lcore>> lcores_;
    Lcore* lcore_ = nullptr;
    std::unique_ptr<Ageing> ageing_;
    TimeMs skipped_ms_ = 1000;
    std::uint64_t started_;
};

/// Throws unless `frame` is the packet `expected` with right checksums and a TTL of 63.
void check_frame(const test::Frame& frame, const Tuple& expected);

}  // namespace sluice::bench

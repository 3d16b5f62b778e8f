// One or two Lcores with two ports, a policy and flows through them: what the scenarios measure. Ports transmit to
// net_null (measuring) or to a net_ring (looking at what comes out).
//
// Thread: one, which plays worker and control in turn; in scenarios of two workers each has work() of its own.
// Failure policy: std::runtime_error, also for a packet that did not come out as it should.
#pragma once

#include <algorithm>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <rte_ring.h>

#include "control/ageing/ageing.hh"
#include "dataplane/worker/lcore.hh"
#include "tests/bench/bench_policy.hh"
#include "tests/bench/traffic.hh"

namespace sluice::bench {

/// What all cases use: the packet pool, the null devices and the ring that shows what was sent. After the EAL started.
struct Devices {
    Devices();
    ~Devices();
    Devices(const Devices&) = delete;
    Devices& operator=(const Devices&) = delete;

    static constexpr unsigned kQueues = 2;  ///< one for each worker

    rte_mempool* pool = nullptr;
    std::uint16_t null_lan = 0, null_wan = 0;
    std::uint16_t seen = 0;  ///< device whose transmitted packets land in `sent`
    rte_ring* sent = nullptr;
};

/// What one loop of a worker took, in TSC cycles.
struct LoopCost {
    std::uint64_t all = 0;
    std::uint64_t orders = 0;  ///< of it: for what control had asked
    unsigned obeyed = 0;       ///< orders and messages
    unsigned packets = 0;      ///< that came to it
};

class BenchBox {
public:
    static constexpr PortIndex kLan = 0, kWan = 1;

    /// A box with nothing in it; wish.slots is the size of each worker's table. `devices` outlives it.
    BenchBox(Devices& devices, const PolicyWish& wish);
    ~BenchBox();
    BenchBox(const BenchBox&) = delete;
    BenchBox& operator=(const BenchBox&) = delete;

    /// Bytes of DPDK memory that a box takes.
    static std::uint64_t memory_bytes(std::uint64_t slots, unsigned workers = 1) noexcept;

    /// Opens the flows: first packets, answers, for TCP the third packet of the handshake, then the clock moves on
    /// until UDP flows are streams. The translation and checksums of every packet are checked, above 64 k flows of one
    /// in 64. Returns what packets of the other end carry when they arrive, by flow. `worker` is home to all of them.
    std::vector<Tuple> open(const std::vector<Tuple>& tuples, Protocol protocol, unsigned worker = 0);
    /// The port where the first packets of flows arrive.
    [[nodiscard]] PortIndex origin() const noexcept { return wish_.nat == Nat::destination ? kWan : kLan; }

    [[nodiscard]] Lcore& lcore(unsigned worker = 0) noexcept { return *lcores_[worker]; }
    [[nodiscard]] Pipeline& pipeline(unsigned worker = 0) noexcept { return *lcores_[worker]->pipeline; }
    [[nodiscard]] WorkerCounters& counters(unsigned worker = 0) noexcept { return lcores_[worker]->counters; }
    [[nodiscard]] FlowStore& store(unsigned worker = 0) noexcept { return lcores_[worker]->store; }
    [[nodiscard]] HandoffRings& rings() noexcept { return *rings_; }
    [[nodiscard]] const HomeMap& homes() const noexcept { return homes_; }
    [[nodiscard]] Ageing& ageing() noexcept { return *ageing_; }
    [[nodiscard]] GracePeriods& grace() noexcept { return grace_; }
    [[nodiscard]] const Policy& policy() const noexcept { return *policy_.load(); }
    [[nodiscard]] MacAddress mac(PortIndex port) const noexcept { return ports_[port].mac; }
    /// The device from which packets of `port` arrive.
    [[nodiscard]] std::uint16_t device(PortIndex port) const noexcept;

    /// The worker's clock: cycles since the start and what `open` skipped, until somebody sets it.
    [[nodiscard]] Now now() const noexcept;
    /// From now on the clock stands still at `ms`, or where it is when that is later: what is due at a time that has
    /// passed would never be done. Returns where.
    TimeMs set_clock(TimeMs ms) noexcept {
        set_ms_ = std::max(ms, now().ms);
        return *set_ms_;
    }

    /// A loop of the worker, without receive: the packets, those that another worker handed over, control's orders,
    /// housekeeping every 16 loops, and what ends a loop. `n` may be 0.
    LoopCost work(PortIndex in, rte_mbuf** mbufs, unsigned n, unsigned worker = 0) noexcept;
    /// Takes what the workers told control and what is due, until nothing is left, as the control thread would on a
    /// core of its own.
    void control_tick() {
        while (ageing_->poll(now().ms, kStepsPerTick)) {
        }
    }
    /// The same, with one look of the workers at their orders.
    void serve_control();
    /// The next policy, in force from the next loop on. Returns its generation.
    std::uint32_t publish(const PolicyWish& wish);
    [[nodiscard]] std::unique_ptr<const Policy> compile(const PolicyWish& wish);
    void publish(std::unique_ptr<const Policy> policy) { policy_.publish(std::move(policy), grace_); }

    /// Sends `mbufs` through the pipeline and returns the frames that came out, which must be as many.
    std::vector<test::Frame> through(PortIndex in, rte_mbuf** mbufs, unsigned n);
    /// Drops of any reason so far.
    [[nodiscard]] std::uint64_t drops() const;
    /// By DropReason, all workers together.
    [[nodiscard]] std::vector<std::uint64_t> drops_by_reason() const;
    [[nodiscard]] std::uint64_t sum(Counter WorkerCounters::*counter) const;
    [[nodiscard]] std::uint64_t deaths() const;

private:
    static constexpr unsigned kStepsPerTick = 1024;  // as in the daemon

    void add_port(PortIndex index, PortRole role, std::uint16_t device, Ip4 address, Ip4 neighbour, Ip4 network,
                  std::uint8_t length);
    void look(bool on) noexcept;
    unsigned take_handed_over(Now now, unsigned worker) noexcept;
    /// The mbufs that come out of one burst; the caller frees them.
    unsigned send(PortIndex in, rte_mbuf** mbufs, unsigned n, rte_mbuf** out, unsigned worker = 0);
    void check_opening(const test::Frame& frame, const Tuple& sent) const;

    Devices& devices_;
    PolicyWish wish_;
    PortTable ports_;
    GracePeriods grace_;
    HomeMap homes_;
    Publication<Policy> policy_;
    Addresses addresses_;
    std::unique_ptr<RouteTable> routes_;
    std::unique_ptr<HandoffRings> rings_;
    std::vector<std::unique_ptr<Lcore>> lcores_;
    std::unique_ptr<Ageing> ageing_;
    std::uint32_t generation_ = 0;
    struct alignas(64) Loops {  // each worker writes its own
        unsigned count = 0;
    };
    std::vector<Loops> loops_;
    TimeMs skipped_ms_ = 1000;
    std::optional<TimeMs> set_ms_;
    std::uint64_t started_;
};

/// Opens flows of so many clients and returns their tuples.
inline std::vector<Tuple> open_clients(BenchBox& box, std::uint32_t flows, Protocol protocol, Pattern pattern) {
    std::vector<Tuple> tuples = client_tuples(flows, protocol, pattern);
    (void)box.open(tuples, protocol);
    return tuples;
}

/// Throws unless `frame` is the packet `expected` with right checksums and a TTL of 63.
void check_frame(const test::Frame& frame, const Tuple& expected);

}  // namespace sluice::bench

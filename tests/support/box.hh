// A whole sluice in one process, without control plane threads, without devices of the machine and without a clock: the
// data plane's own Lcores and Workers on in-process ports (net_ring), driven step by step. Packets in → packets, states
// and counters out. Used by pipeline tests and by the bench.
//
//   Box box({.workers = 1});
//   box.port("lan", PortRole::inside, "192.168.1.1/24");
//   box.port("wan", PortRole::outside, "203.0.113.1/24");
//   box.start(R"( … the configuration's filter, nat, conntrack … )");
//   box.send("lan", tcp(kClient, 40000, kServer, 80).flags(kSyn));
//   CHECK(describe(box.receive("wan")) == "…");
//
// Whatever a test does, the packet balance (design: the way of a packet) is checked after every step and at the end.
#pragma once

#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <rte_ring.h>

#include "control/ageing/ageing.hh"
#include "control/compile/names.hh"
#include "control/config/schema.hh"
#include "dataplane/worker/lcore.hh"
#include "dataplane/worker/worker.hh"
#include "tests/support/eal.hh"
#include "tests/support/packet_builder.hh"

namespace sluice::test {

struct BoxOptions {
    unsigned workers = 1;
    std::uint32_t flows_per_worker = 4096;
    std::uint32_t notices = 16384;  ///< ring sizes, powers of two
    std::uint32_t orders = 16384;
    std::uint32_t handoffs = 1024;
    std::uint32_t helper_states = 4096;  ///< connections with a helper at once
    bool ipv6 = true;
    FirstPackets::Options first_packets{};
    HashSecret secret{0x0123456789abcdefU, 0xfedcba9876543210U};
};

class Box {
public:
    explicit Box(BoxOptions options = {});
    ~Box();
    Box(const Box&) = delete;
    Box& operator=(const Box&) = delete;

    // --- the machine: ports, addresses, routes, neighbours (what netlink would tell)
    /// A port with its twin's address; every host of the subnet that is asked for answers at once with a MAC of its
    /// own, unless `silent` says that neighbours must be told by `neighbour`. In zones the same network may be there
    /// several times: to the routes that all have, the first one counts.
    void port(const std::string& name, PortRole role, const std::string& address, bool silent = false,
              std::uint16_t mtu = 1500, std::uint16_t zone = 0);
    /// One more address of the twin, of either family, with its subnet and, unless it is of the link, its routes.
    void address(const std::string& port, const std::string& address);
    /// `via`: an address of a port's subnet; "fe80::1%port", "10.0.0.9%port".
    void route(const std::string& prefix, const std::string& via);
    /// A route that leads nowhere.
    void route(const std::string& prefix, HopKind kind);
    /// The routes of a port in a zone, and of its neighbours, go: its carrier is lost. Those that all have stay.
    void lose_networks(const std::string& port);
    void neighbour(const std::string& port, const IpAddress& address, std::optional<MacAddress> mac);
    /// The port's first address goes, and with it the local route, unless the news of that come later.
    void remove_address(const std::string& port, bool route_too = true);
    void remove_address(const std::string& port, const IpAddress& address, bool route_too = true);

    // --- the configuration: YAML with the design's shape; ports are added from the ones above
    /// Makes the lcores on the first call, publishes a new policy generation on every call. Throws with the errors'
    /// text.
    void configure(const std::string& yaml);

    // --- time and packets
    [[nodiscard]] TimeMs now() const noexcept { return now_.ms; }
    /// Moves the clock in small steps; the wheel and the workers run at each.
    void advance(std::uint64_t ms);
    /// One loop of every worker, or of one alone, and of control.
    void loop();
    void loop(unsigned worker);
    /// Runs all workers until none has anything to do.
    void settle();
    /// Puts a frame on the wire before `port` and settles. The destination MAC is the port's unless the frame says
    /// else.
    void send(const std::string& port, const PacketBuilder& packet, unsigned queue = 0);
    void send_frame(const std::string& port, const Frame& frame, unsigned queue = 0);
    /// Puts frames on the wire without running anything: one burst.
    void queue(const std::string& port, const PacketBuilder& packet, unsigned queue = 0);
    void queue_frame(const std::string& port, const Frame& frame, unsigned queue = 0);
    /// The kernel sends a frame out of the twin of `port`.
    void send_from_kernel(const std::string& port, const PacketBuilder& packet);
    void send_frame_from_kernel(const std::string& port, const Frame& frame);
    /// What left by `port` since the last call, oldest first.
    std::vector<Frame> sent(const std::string& port);
    /// The only frame that left by `port`; fails the test when there is none or more than one.
    Frame only(const std::string& port);
    /// The same, decoded.
    Decoded one(const std::string& port);
    /// Nothing left by `port`.
    [[nodiscard]] bool quiet(const std::string& port) { return sent(port).empty(); }
    /// What was punted to the twin of `port`.
    std::vector<Frame> punted(const std::string& port);

    // --- what can be seen
    /// What workers posted to be logged since the last call.
    std::vector<Notice> logged() { return std::exchange(logged_, {}); }
    [[nodiscard]] std::vector<FlowCopy> flows();
    /// Erases every flow.
    void flush();
    /// The only live flow; fails the test otherwise.
    [[nodiscard]] FlowCopy flow();
    [[nodiscard]] std::uint64_t drops(DropReason reason) const;
    [[nodiscard]] std::uint64_t all_drops() const;
    [[nodiscard]] const Policy& policy() const noexcept { return *policy_.load(); }
    /// Sum over workers of any counter.
    template <class Pick>
    [[nodiscard]] std::uint64_t sum(Pick&& pick) const {
        std::uint64_t total = 0;
        for (const auto& l : lcores_) total += pick(l->counters).get();
        return total;
    }
    [[nodiscard]] Lcore& lcore(unsigned worker) { return *lcores_[worker]; }
    [[nodiscard]] MacAddress port_mac(const std::string& name) const;
    [[nodiscard]] unsigned home_of(const IpAddress& address) const { return homes_.of(address); }
    Ageing& ageing() { return *ageing_; }
    /// Off: the wheel does not run at `advance` (deadlines must hold without it).
    void ageing_runs(bool on) noexcept { ageing_runs_ = on; }
    /// Off: control reads no notices (mailboxes fill up).
    void check_balance() const;

private:
    struct Wire {
        std::string name;
        PortIndex index = 0;
        std::uint16_t device = 0;
        std::vector<PortAddress> addresses;  // in the order in which they came
        bool silent = false;
        std::vector<rte_ring*> to_box;    // by queue
        std::vector<rte_ring*> from_box;  // by queue
        std::deque<Frame> sent;
        std::deque<Frame> punted;
    };
    Wire& wire(const std::string& name);
    [[nodiscard]] const Wire& wire(const std::string& name) const;
    void start();
    void collect();
    void serve_control();
    /// The next hop's id.
    void add_route(const Wire& w, const IpAddress& prefix, std::uint8_t length, std::uint32_t hop);
    std::uint32_t learn(Wire& w, const IpAddress& address, std::optional<MacAddress> mac);
    void tell_of_neighbour(const Wire& w, const IpAddress& address);
    void publish_addresses();
    void routes_settle(const IpAddress& changed);
    bool poll(unsigned worker);
    bool step();

    BoxOptions options_;
    std::string tag_;
    rte_mempool* pool_;
    GracePeriods grace_;
    HomeMap homes_;
    PortTable ports_;
    Publication<Policy> policy_;
    std::unique_ptr<RouteTable> routes_;
    std::unique_ptr<HandoffRings> rings_;
    std::vector<std::unique_ptr<Lcore>> lcores_;
    std::vector<std::unique_ptr<Worker<Pipeline>>> workers_;
    std::unique_ptr<Ageing> ageing_;
    std::deque<Wire> wires_;
    std::map<std::pair<PortIndex, IpAddress>, std::uint32_t> hop_of_neighbour_;  // → next hop id
    std::map<std::pair<IpAddress, std::uint8_t>, PortIndex> port_of_route_;      // of all
    std::map<std::uint16_t, bool> zones_;                                        // that the table has
    std::vector<Notice> logged_;
    NatGauges nat_gauges_;
    TimeoutIds timeout_ids_;
    std::uint32_t generation_ = 0;
    bool ageing_runs_ = true;
    Now now_{1000, 0};
};

}  // namespace sluice::test

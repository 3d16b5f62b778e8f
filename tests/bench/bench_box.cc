#include "tests/bench/bench_box.hh"

#include <algorithm>
#include <array>
#include <stdexcept>

#include <rte_cycles.h>
#include <rte_dev.h>
#include <rte_eth_ring.h>
#include <rte_ethdev.h>

#include "control/compile/compile.hh"
#include "control/config/load.hh"
#include "dataplane/worker/tsc_clock.hh"

namespace sluice::bench {

namespace {

constexpr Ip4 kLanAddress = ip4(192, 168, 1, 1), kInsideRouter = ip4(192, 168, 1, 254);
constexpr Ip4 kWanAddress = ip4(203, 0, 113, 1), kProvider = ip4(203, 0, 113, 254);
constexpr unsigned kPoolPackets = 16383, kSeen = 1024;

// A small office's rules: what an established packet meets, and a few that only new ones do.
const char* const kConfiguration = R"(
workers: {main: 0, cores: [1]}
ports:
  - {name: lan, device: net_null0, role: inside, tap: tlan}
  - {name: wan, device: net_null1, role: outside, tap: twan}
filter:
  input:
    policy: drop
    rules:
      - {state: [established, related], action: accept}
      - {in: lan, action: accept}
  forward:
    policy: drop
    rules:
      - {state: [established, related], action: accept}
      - {state: invalid, action: drop}
      - {in: lan, out: wan, proto: tcp, dport: [25, 445], action: reject}
      - {in: lan, out: wan, dst: 192.0.2.0/24, action: drop}
      - {in: lan, out: wan, action: accept}
nat:
  - {out: wan, src: 10.0.0.0/8, snat: masquerade}
)";

std::uint16_t start_device(std::uint16_t device, rte_mempool* pool) {
    rte_eth_conf conf{};
    if (rte_eth_dev_configure(device, 1, 1, &conf) != 0 ||
        rte_eth_rx_queue_setup(device, 0, 512, 0, nullptr, pool) != 0 ||
        rte_eth_tx_queue_setup(device, 0, 512, 0, nullptr) != 0 || rte_eth_dev_start(device) != 0)
        throw std::runtime_error("device " + std::to_string(device) + " cannot be started");
    return device;
}

std::uint16_t null_device(const char* name, rte_mempool* pool) {
    if (rte_eal_hotplug_add("vdev", name, "no-rx=1") != 0)
        throw std::runtime_error(std::string(name) + " cannot be made (is librte-net-null installed?)");
    std::uint16_t device = 0;
    if (rte_eth_dev_get_port_by_name(name, &device) != 0) throw std::runtime_error(std::string(name) + " is missing");
    return start_device(device, pool);
}

std::uint32_t slots_for(std::uint32_t flows) {
    return std::max<std::uint32_t>(4096, flows + flows / 2);
}

std::unique_ptr<const Policy> compiled(std::uint32_t slots) {
    const std::string limit = "conntrack: {max: " + std::to_string(slots) + ", half_open: 100%}\n";
    const auto loaded = config::load_config_text(limit + kConfiguration, "bench");
    if (!loaded.ok()) {
        std::string all;
        for (const auto& e : loaded.errors) all += to_string(e) + "\n";
        throw std::runtime_error(all);
    }
    return compile_policy(*loaded.config, {1, slots, 1024}, 1).policy;
}

}  // namespace

Devices::Devices() {
    pool = rte_pktmbuf_pool_create("bench", kPoolPackets, 256, kMbufPrivateBytes, RTE_MBUF_DEFAULT_BUF_SIZE, -1);
    sent = rte_ring_create("bench-sent", kSeen, -1, RING_F_SP_ENQ | RING_F_SC_DEQ);
    if (pool == nullptr || sent == nullptr) throw std::runtime_error("no memory for packets");
    null_lan = null_device("net_null_lan", pool);
    null_wan = null_device("net_null_wan", pool);
    rte_ring* nothing = sent;  // never received from
    const int device = rte_eth_from_rings("bench-seen", &nothing, 1, &sent, 1, 0);
    if (device < 0) throw std::runtime_error("net_ring cannot be made");
    seen = start_device(static_cast<std::uint16_t>(device), pool);
}

Devices::~Devices() {
    for (const std::uint16_t device : {null_lan, null_wan, seen}) {
        rte_eth_dev_stop(device);
        rte_eth_dev_close(device);
    }
    rte_ring_free(sent);
    rte_mempool_free(pool);
}

BenchBox::BenchBox(Devices& devices, const std::string& tag, std::uint32_t flows)
    : devices_(devices), started_(rte_rdtsc()) {
    routes_ = std::make_unique<RouteTable>((tag + "r").c_str(), grace_, 256, 256, -1);
    rings_ = std::make_unique<HandoffRings>(tag + "h", 1, 1024, -1);
    add_port(kLan, PortRole::inside, devices.null_lan, kLanAddress, kInsideRouter, ip4(10, 0, 0, 0), 8);
    add_port(kWan, PortRole::outside, devices.null_wan, kWanAddress, kProvider, ip4(0, 0, 0, 0), 0);
    routes_->publish_addresses(std::make_unique<Addresses>(addresses_));

    const std::uint32_t slots = slots_for(flows);
    policy_.publish(compiled(slots), grace_);
    const SharedParts shared{ports_, homes_, policy_, *routes_, *rings_, devices.pool, {0x5eed, 0xb0c5}, 42};
    LcoreSizes sizes;
    sizes.flows = slots;
    lcores_.push_back(std::make_unique<Lcore>(tag, 0, 1, shared, sizes, -1));
    lcore_ = lcores_.front().get();
    Lcore::connect(lcores_);
    for (const std::uint16_t device : {devices.null_lan, devices.null_wan, devices.seen})
        lcore_->tx.use_queue(device, 0);
    grace_.online(0);
    ageing_ =
        std::make_unique<Ageing>(std::vector<AgeingWorker>{{&lcore_->store, &lcore_->to_control, &lcore_->orders}},
                                 now().ms, [](unsigned, const Notice&) {});
}

BenchBox::~BenchBox() = default;

void BenchBox::add_port(PortIndex index, PortRole role, std::uint16_t device, Ip4 address, Ip4 neighbour, Ip4 network,
                        std::uint8_t length) {
    PortInfo& info = ports_[index];
    info.present = true;
    info.role = role;
    info.device = device;
    info.mac = test::mac(0x10U + index);
    ports_.bind(index);
    addresses_.by_port[index].push_back({address, 24, false});
    NextHop hop{.kind = HopKind::neighbour, .out_port = index, .resolved = true, .address = neighbour};
    hop.mac = test::mac(0x20U + index);
    const bool routed =
        routes_->add_route(address, 32, routes_->add_hop({.kind = HopKind::local, .out_port = index})) &&
        routes_->add_route(network, length, routes_->add_hop(std::move(hop)));
    if (!routed) throw std::runtime_error("the route table is full");
}

std::uint16_t BenchBox::device(PortIndex port) const noexcept {
    return port == kLan ? devices_.null_lan : devices_.null_wan;
}

Now BenchBox::now() const noexcept {
    static const TscClock clock(0, rte_get_tsc_hz());
    const std::uint64_t tsc = rte_rdtsc();
    return {clock.at(tsc - started_).ms + skipped_ms_, tsc};
}

void BenchBox::look(bool on) noexcept {
    ports_[kLan].device = on ? devices_.seen : devices_.null_lan;
    ports_[kWan].device = on ? devices_.seen : devices_.null_wan;
}

std::vector<test::Frame> BenchBox::through(PortIndex in, rte_mbuf** mbufs, unsigned n) {
    look(true);
    const Now at = now();
    pipeline().receive(at, device(in), mbufs, n);
    pipeline().housekeeping(at);
    pipeline().end_of_burst(at);
    look(false);
    std::vector<test::Frame> frames;
    void* out = nullptr;
    while (rte_ring_dequeue(devices_.sent, &out) == 0) {
        auto* m = static_cast<rte_mbuf*>(out);
        frames.push_back(test::frame_of(m));
        rte_pktmbuf_free(m);
    }
    if (frames.size() != n)
        throw std::runtime_error(std::to_string(n) + " packets went in and " + std::to_string(frames.size()) +
                                 " came out");
    return frames;
}

std::vector<Tuple> BenchBox::open(const std::vector<Tuple>& tuples, Protocol protocol) {
    const auto count = static_cast<std::uint32_t>(tuples.size());
    std::vector<std::uint32_t> order(count);
    for (std::uint32_t i = 0; i < count; ++i) order[i] = i;
    std::vector<Tuple> replies(count);
    std::array<rte_mbuf*, kBurst> mbufs;
    const auto pass = [&](PortIndex in, const std::vector<Tuple>& sent, unsigned flags, auto&& look_at) {
        Traffic traffic(sent, order, protocol, mac(in), flags);
        for (std::uint32_t done = 0; done < count;) {
            const unsigned n = std::min<std::uint32_t>(kBurst, count - done);
            traffic.fill(devices_.pool, mbufs.data(), n);
            for (const test::Frame& frame : through(in, mbufs.data(), n)) look_at(frame, done++);
            serve_control();
        }
    };
    pass(kLan, tuples, test::kSyn, [&](const test::Frame& frame, std::uint32_t flow) {
        const test::Decoded d = test::decode(frame);
        replies[flow] = {d.dst.v4(), d.src.v4(), d.dport, d.sport};
        check_frame(frame, {kWanAddress, tuples[flow].dst, d.sport, tuples[flow].dport});
    });
    pass(kWan, replies, test::kSyn | test::kAck, [&](const test::Frame& frame, std::uint32_t flow) {
        const Tuple& t = tuples[flow];
        check_frame(frame, {t.dst, t.src, t.dport, t.sport});
    });
    skipped_ms_ += 3000;  // Linux calls a UDP flow a stream when it has lasted for two seconds
    pass(kLan, tuples, test::kAck, [&](const test::Frame& frame, std::uint32_t flow) {
        check_frame(frame, {kWanAddress, tuples[flow].dst, replies[flow].dport, tuples[flow].dport});
    });
    if (lcore_->store.live() != count) throw std::runtime_error("not every tuple became a flow of its own");
    return replies;
}

void BenchBox::serve_control() {
    while (ageing_->poll(now().ms, 4096)) {
    }
    pipeline().orders(now());
}

std::uint64_t BenchBox::drops() const {
    std::uint64_t sum = 0;
    for (const Counter& c : lcore_->counters.drops) sum += c.get();
    return sum;
}

void check_frame(const test::Frame& frame, const Tuple& expected) {
    const test::Decoded d = test::decode(frame);
    const Tuple got{d.src.v4(), d.dst.v4(), d.sport, d.dport};
    if (got == expected && d.valid_checksums() && d.ttl == 63) return;
    throw std::runtime_error("wrong packet: " + test::describe(frame) + ", expected " + test::to_text(expected.src) +
                             ":" + std::to_string(expected.sport) + " > " + test::to_text(expected.dst) + ":" +
                             std::to_string(expected.dport) + " ttl 63");
}

}  // namespace sluice::bench

#include "tests/bench/bench_box.hh"

#include <algorithm>
#include <array>
#include <stdexcept>

#include <rte_cycles.h>
#include <rte_dev.h>
#include <rte_eth_ring.h>
#include <rte_ethdev.h>

#include "dataplane/lookup/flow_room.hh"
#include "dataplane/worker/tsc_clock.hh"

namespace sluice::bench {

namespace {

constexpr unsigned kPoolPackets = 16383, kSeen = 1024;
constexpr unsigned kLoopsPerHousekeeping = 16;  // as Worker does

std::uint16_t start_device(std::uint16_t device, unsigned queues, rte_mempool* pool) {
    rte_eth_conf conf{};
    bool started = rte_eth_dev_configure(device, 1, static_cast<std::uint16_t>(queues), &conf) == 0 &&
                   rte_eth_rx_queue_setup(device, 0, 512, 0, nullptr, pool) == 0;
    for (unsigned q = 0; q < queues; ++q)
        started = started && rte_eth_tx_queue_setup(device, static_cast<std::uint16_t>(q), 512, 0, nullptr) == 0;
    if (!started || rte_eth_dev_start(device) != 0)
        throw std::runtime_error("device " + std::to_string(device) + " cannot be started");
    return device;
}

std::uint16_t null_device(const char* name, rte_mempool* pool) {
    if (rte_eal_hotplug_add("vdev", name, "no-rx=1") != 0)
        throw std::runtime_error(std::string(name) + " cannot be made (is librte-net-null installed?)");
    std::uint16_t device = 0;
    if (rte_eth_dev_get_port_by_name(name, &device) != 0) throw std::runtime_error(std::string(name) + " is missing");
    return start_device(device, Devices::kQueues, pool);
}

/// Names of DPDK's objects must differ; they are short.
std::string next_tag() {
    static unsigned number = 0;
    return std::string("s").append(std::to_string(number++ % 100000));
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
    seen = start_device(static_cast<std::uint16_t>(device), 1, pool);
}

Devices::~Devices() {
    for (const std::uint16_t device : {null_lan, null_wan, seen}) {
        rte_eth_dev_stop(device);
        rte_eth_dev_close(device);
    }
    rte_ring_free(sent);
    rte_mempool_free(pool);
}

std::uint64_t BenchBox::memory_bytes(std::uint64_t slots, unsigned workers) noexcept {
    constexpr std::uint64_t kRoutes = 80U << 20, kRings = 12U << 20;  // rte_lpm has 64 MB whatever is in it
    return kRoutes + workers * (kRings + flow_store_bytes(static_cast<std::uint32_t>(slots), false, workers == 1));
}

BenchBox::BenchBox(Devices& devices, const PolicyWish& wish)
    : devices_(devices),
      wish_(wish),
      grace_(wish.workers),
      homes_(wish.workers),
      loops_(wish.workers),
      started_(rte_rdtsc()) {
    const std::string tag = next_tag();
    routes_ = std::make_unique<RouteTable>((tag + "r").c_str(), grace_, 256, 256, -1);
    rings_ = std::make_unique<HandoffRings>(tag + "h", wish.workers, 1024, -1);
    add_port(kLan, PortRole::inside, devices.null_lan, kLanAddress, kInsideRouter, ip4(10, 0, 0, 0), 8);
    add_port(kWan, PortRole::outside, devices.null_wan, kWanAddress, kProvider, ip4(0, 0, 0, 0), 0);
    routes_->publish_addresses(std::make_unique<Addresses>(addresses_));

    publish(wish);
    const SharedParts shared{ports_, homes_, policy_, *routes_, *rings_, devices.pool, {0x5eed, 0xb0c5}, 42};
    LcoreSizes sizes;
    sizes.flows = wish.slots;
    for (unsigned w = 0; w < wish.workers; ++w)
        lcores_.push_back(std::make_unique<Lcore>(tag, static_cast<std::uint8_t>(w), wish.workers, shared, sizes, -1));
    Lcore::connect(lcores_);
    std::vector<AgeingWorker> workers;
    for (unsigned w = 0; w < wish.workers; ++w) {
        Lcore& l = *lcores_[w];
        for (const std::uint16_t device : {devices.null_lan, devices.null_wan})
            l.tx.use_queue(device, static_cast<std::uint16_t>(w));
        l.tx.use_queue(devices.seen, 0);
        grace_.online(w);
        workers.push_back({&l.store, &l.to_control, &l.orders});
    }
    ageing_ = std::make_unique<Ageing>(workers, now().ms, [](unsigned, const Notice&) {});
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
    if (set_ms_) return {*set_ms_, tsc};
    return {clock.at(tsc - started_).ms + skipped_ms_, tsc};
}

void BenchBox::look(bool on) noexcept {
    ports_[kLan].device = on ? devices_.seen : devices_.null_lan;
    ports_[kWan].device = on ? devices_.seen : devices_.null_wan;
}

LoopCost BenchBox::work(PortIndex in, rte_mbuf** mbufs, unsigned n, unsigned worker) noexcept {
    Pipeline& pipeline = this->pipeline(worker);
    StageClock& stages = pipeline.stages();
    const Now now = this->now();
    stages.begin_loop(now.tsc);
    unsigned packets = n;
    if (n != 0) pipeline.receive(now, device(in), mbufs, n);
    const bool several = lcores_.size() > 1;
    if (several) packets += take_handed_over(now, worker);
    const std::uint64_t packets_done = rte_rdtsc();
    const unsigned obeyed = pipeline.orders(now);
    const std::uint64_t orders_done = rte_rdtsc();
    if (++loops_[worker].count % kLoopsPerHousekeeping == 0) pipeline.housekeeping(now);
    const bool worked = packets + obeyed != 0;
    if (worked) stages.end(Stage::control);
    pipeline.end_of_burst(now);
    if (several) lcores_[worker]->handoff.flush();
    grace_.quiescent(worker);
    const std::uint64_t end = rte_rdtsc();
    stages.end_loop(worked, end);
    return {end - now.tsc, orders_done - packets_done, obeyed, packets};
}

unsigned BenchBox::take_handed_over(Now now, unsigned worker) noexcept {
    std::array<rte_mbuf*, kBurst> mbufs;
    unsigned all = 0;
    for (unsigned from = 0; from < lcores_.size(); ++from) {
        const unsigned n = lcores_[worker]->handoff.receive(from, mbufs.data(), kBurst);
        if (n != 0) pipeline(worker).receive_handoff(now, mbufs.data(), n);
        all += n;
    }
    return all;
}

void BenchBox::serve_control() {
    control_tick();
    for (auto& l : lcores_) l->pipeline->orders(now());
}

std::unique_ptr<const Policy> BenchBox::compile(const PolicyWish& wish) {
    return bench_policy(wish, ++generation_);
}

std::uint32_t BenchBox::publish(const PolicyWish& wish) {
    publish(compile(wish));
    return generation_;
}

unsigned BenchBox::send(PortIndex in, rte_mbuf** mbufs, unsigned n, rte_mbuf** out, unsigned worker) {
    look(true);
    const Now at = now();
    pipeline(worker).receive(at, device(in), mbufs, n);
    pipeline(worker).housekeeping(at);
    pipeline(worker).end_of_burst(at);
    look(false);
    const unsigned came = rte_ring_dequeue_burst(devices_.sent, reinterpret_cast<void**>(out), kBurst, nullptr);
    if (came == n) return came;
    rte_pktmbuf_free_bulk(out, came);
    std::string why;
    const auto drops = drops_by_reason();
    for (std::size_t i = 0; i < drops.size(); ++i)
        if (drops[i] != 0) why.append(", ").append(kDropReasonNames[i]);
    throw std::runtime_error(std::to_string(n) + " packets went in and " + std::to_string(came) + " came out" + why);
}

std::vector<test::Frame> BenchBox::through(PortIndex in, rte_mbuf** mbufs, unsigned n) {
    std::array<rte_mbuf*, kBurst> out;
    const unsigned came = send(in, mbufs, n, out.data());
    std::vector<test::Frame> frames;
    for (unsigned i = 0; i < came; ++i) frames.push_back(test::frame_of(out[i]));
    rte_pktmbuf_free_bulk(out.data(), came);
    return frames;
}

void BenchBox::check_opening(const test::Frame& frame, const Tuple& sent) const {
    Tuple expected = sent;
    if (wish_.nat == Nat::source) expected = {kWanAddress, sent.dst, test::decode(frame).sport, sent.dport};
    if (wish_.nat == Nat::destination) expected = {sent.src, kServer, sent.sport, kServerPort};
    check_frame(frame, expected);
}

std::vector<Tuple> BenchBox::open(const std::vector<Tuple>& tuples, Protocol protocol, unsigned worker) {
    constexpr std::uint32_t kAllChecked = 65536, kOneIn = 64 * kBurst, kStreamMs = 3000;
    const auto count = static_cast<std::uint32_t>(tuples.size());
    const std::uint32_t before = store(worker).live();
    const std::uint64_t births = lcore(worker).counters.flow_births.get();
    // The clock will go on, and answered flows must not end by that before they are streams.
    const bool impatient = wish_.udp_s * 1000 <= kStreamMs;
    if (impatient) {
        PolicyWish patient = wish_;
        patient.udp_s = 30;
        publish(patient);
    }
    std::vector<Tuple> replies(count);
    std::array<rte_mbuf*, kBurst> mbufs, out;
    const auto pass = [&](PortIndex in, const std::vector<Tuple>& sent, unsigned flags, auto&& look_at) {
        const Stamp stamp(packet_of({}, protocol, mac(in), flags));
        for (std::uint32_t done = 0; done < count;) {
            const unsigned n = std::min<std::uint32_t>(kBurst, count - done);
            const bool check = count <= kAllChecked || done % kOneIn == 0;
            if (rte_pktmbuf_alloc_bulk(devices_.pool, mbufs.data(), n) != 0)
                throw std::runtime_error("the packet pool is empty");
            for (unsigned i = 0; i < n; ++i) stamp.write(mbufs[i], sent[done + i]);
            (void)send(in, mbufs.data(), n, out.data(), worker);
            for (unsigned i = 0; i < n; ++i) look_at(out[i], done + i, check);
            rte_pktmbuf_free_bulk(out.data(), n);
            done += n;
            serve_control();
        }
    };
    const PortIndex other = origin() == kLan ? kWan : kLan;
    const auto opened = [&](rte_mbuf* m, std::uint32_t flow, bool check) {
        std::array<Be32, 2> addresses;
        std::array<Be16, 2> ports;
        std::memcpy(addresses.data(), rte_pktmbuf_mtod_offset(m, std::byte*, kAddressesAt), sizeof addresses);
        std::memcpy(ports.data(), rte_pktmbuf_mtod_offset(m, std::byte*, kPortsAt), sizeof ports);
        replies[flow] = {addresses[1], addresses[0], ports[1].host(), ports[0].host()};
        if (check) check_opening(test::frame_of(m), tuples[flow]);
    };
    pass(origin(), tuples, test::kSyn, opened);
    pass(other, replies, test::kSyn | test::kAck, [&](rte_mbuf* m, std::uint32_t flow, bool check) {
        if (check) check_frame(test::frame_of(m), tuples[flow].reversed());
    });
    // Linux calls a UDP flow a stream when it has lasted for two seconds.
    if (set_ms_) *set_ms_ += kStreamMs;
    skipped_ms_ += kStreamMs;
    pass(origin(), tuples, test::kAck, [&](rte_mbuf* m, std::uint32_t flow, bool check) {
        if (check) check_frame(test::frame_of(m), replies[flow].reversed());
    });
    if (store(worker).live() != before + count || lcore(worker).counters.flow_births.get() != births + count)
        throw std::runtime_error("not every tuple became a flow of its own");
    if (impatient) publish(wish_);
    return replies;
}

std::uint64_t BenchBox::drops() const {
    std::uint64_t all = 0;
    for (const auto& l : lcores_)
        for (const Counter& c : l->counters.drops) all += c.get();
    return all;
}

std::vector<std::uint64_t> BenchBox::drops_by_reason() const {
    std::vector<std::uint64_t> all(kDropReasonCount);
    for (const auto& l : lcores_)
        for (std::size_t i = 0; i < all.size(); ++i) all[i] += l->counters.drops[i].get();
    return all;
}

std::uint64_t BenchBox::sum(Counter WorkerCounters::*counter) const {
    std::uint64_t all = 0;
    for (const auto& l : lcores_) all += (l->counters.*counter).get();
    return all;
}

std::uint64_t BenchBox::deaths() const {
    std::uint64_t all = 0;
    for (const auto& l : lcores_)
        for (const Counter& c : l->counters.flow_deaths) all += c.get();
    return all;
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

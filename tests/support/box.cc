// Box: the machine around the data plane (ports, addresses, routes, neighbours) and its configuration.
#include "tests/support/box.hh"

#include <cstring>
#include <stdexcept>

#include <catch2/catch.hpp>
#include <rte_eth_ring.h>
#include <rte_ethdev.h>

#include "control/compile/compile.hh"
#include "control/config/load.hh"

namespace sluice::test {

namespace {

constexpr unsigned kWire = 1024;

Ip4 parse_ip(std::string_view text) {
    unsigned a = 0, b = 0, c = 0, d = 0;
    if (std::sscanf(std::string(text).c_str(), "%u.%u.%u.%u", &a, &b, &c, &d) != 4)
        throw std::invalid_argument("address " + std::string(text));
    return ip4(a, b, c, d);
}

std::pair<Ip4, std::uint8_t> parse_prefix(std::string_view text) {
    const auto slash = text.find('/');
    return {parse_ip(text.substr(0, slash)),
            static_cast<std::uint8_t>(
                slash == std::string_view::npos ? 32 : std::stoi(std::string(text.substr(slash + 1))))};
}

Ip4 network(Ip4 a, std::uint8_t length) {
    return length == 0 ? Ip4{} : Ip4::from_host(a.host() & ~std::uint32_t{0} << (32 - length));
}

rte_mempool* shared_pool() {
    static rte_mempool* pool =
        rte_pktmbuf_pool_create("box-packets", 16383, 0, kMbufPrivateBytes, RTE_MBUF_DEFAULT_BUF_SIZE, -1);
    if (pool == nullptr) throw std::runtime_error("no memory for packets");
    return pool;
}

unsigned next_number() {
    static unsigned n = 0;
    return n++;
}

/// The MAC that a silent-free wire's hosts answer with: derived from the address.
MacAddress host_mac(Ip4 a) {
    const std::uint32_t h = a.host();
    return {{2, 1, static_cast<std::uint8_t>(h >> 24), static_cast<std::uint8_t>(h >> 16),
             static_cast<std::uint8_t>(h >> 8), static_cast<std::uint8_t>(h)}};
}

}  // namespace

Box::Box(BoxOptions options)
    : options_(options),
      tag_([] {
          ensure_eal();
          return "b" + std::to_string(next_number());
      }()),
      pool_(shared_pool()),
      grace_(options.workers),
      homes_(options.workers) {
    routes_ = std::make_unique<RouteTable>((tag_ + "r").c_str(), grace_, 1024, 1024, -1);
    rings_ = std::make_unique<HandoffRings>(tag_ + "h", options.workers, options.handoffs, -1);
}

Box::~Box() {
    if (!lcores_.empty()) check_balance();
    workers_.clear();
    std::array<rte_mbuf*, kBurst> left;
    for (auto& l : lcores_) {
        while (const unsigned n = l->punt_ring.take(left.data(), kBurst)) rte_pktmbuf_free_bulk(left.data(), n);
        while (const unsigned n = l->from_kernel.take(left.data(), kBurst)) rte_pktmbuf_free_bulk(left.data(), n);
    }
    lcores_.clear();
    for (Wire& w : wires_) {
        rte_eth_dev_stop(w.device);
        rte_eth_dev_close(w.device);
        for (auto* list : {&w.to_box, &w.from_box})
            for (rte_ring* r : *list) {
                void* m = nullptr;
                while (rte_ring_dequeue(r, &m) == 0) rte_pktmbuf_free(static_cast<rte_mbuf*>(m));
                rte_ring_free(r);
            }
    }
}

void Box::port(const std::string& name, PortRole role, const std::string& address, bool silent, std::uint16_t mtu) {
    Wire& w = wires_.emplace_back();
    w.name = name;
    w.index = static_cast<PortIndex>(wires_.size() - 1);
    w.silent = silent;
    std::tie(w.address, w.prefix) = parse_prefix(address);
    for (unsigned q = 0; q < options_.workers; ++q) {
        const auto make = [&](const char* way) {
            rte_ring* r = rte_ring_create((tag_ + name + way + std::to_string(q)).c_str(), kWire, -1,
                                          RING_F_SP_ENQ | RING_F_SC_DEQ);
            if (r == nullptr) throw std::runtime_error("no memory for a wire");
            return r;
        };
        w.to_box.push_back(make("i"));
        w.from_box.push_back(make("o"));
    }
    const int device = rte_eth_from_rings((tag_ + name).c_str(), w.to_box.data(), options_.workers, w.from_box.data(),
                                          options_.workers, 0);
    if (device < 0) throw std::runtime_error("net_ring refused");
    w.device = static_cast<std::uint16_t>(device);
    rte_eth_conf conf{};
    if (rte_eth_dev_configure(w.device, static_cast<std::uint16_t>(options_.workers),
                              static_cast<std::uint16_t>(options_.workers), &conf) != 0)
        throw std::runtime_error("configure");
    for (std::uint16_t q = 0; q < options_.workers; ++q) {
        rte_eth_rx_queue_setup(w.device, q, kWire, 0, nullptr, pool_);
        rte_eth_tx_queue_setup(w.device, q, kWire, 0, nullptr);
    }
    rte_eth_dev_start(w.device);

    PortInfo& info = ports_[w.index];
    info.present = true;
    info.role = role;
    info.device = w.device;
    info.mac = mac(0x10U + w.index);
    info.mtu = mtu;
    ports_.bind(w.index);

    routes_->add_route(network(w.address, w.prefix), w.prefix,
                       routes_->add_hop({.kind = HopKind::connected, .out_port = w.index}));
    routes_->add_route(w.address, 32, routes_->add_hop({.kind = HopKind::local, .out_port = w.index}));
    publish_addresses();
}

void Box::publish_addresses() {
    auto all = std::make_unique<Addresses>();
    for (const Wire& w : wires_)
        if (w.address != Ip4{}) all->by_port[w.index].push_back({w.address, w.prefix, false});
    routes_->publish_addresses(std::move(all));
}

void Box::remove_address(const std::string& name, bool route_too) {
    Wire& w = wire(name);
    if (route_too) routes_->remove_route(w.address, 32);
    w.address = {};
    publish_addresses();
}

void Box::route(const std::string& prefix, const std::string& via) {
    const auto [address, length] = parse_prefix(prefix);
    const Ip4 gateway = parse_ip(via);
    const RouteView view = routes_->lookup(gateway, 0);
    if (view.hop == nullptr) throw std::invalid_argument("no port leads to " + via);
    Wire& w = wires_[view.hop->out_port];
    learn(w, gateway, w.silent ? std::nullopt : std::optional(host_mac(gateway)));
    routes_->add_route(network(address, length), length, hop_of_neighbour_.at(gateway.raw));
}

void Box::learn(Wire& w, Ip4 address, std::optional<MacAddress> known) {
    NextHop hop{.kind = HopKind::neighbour, .out_port = w.index, .address = address};
    hop.resolved = known.has_value();
    if (known) hop.mac = *known;
    const auto found = hop_of_neighbour_.find(address.raw);
    if (found == hop_of_neighbour_.end()) {
        const std::uint32_t id = routes_->add_hop(hop);
        hop_of_neighbour_[address.raw] = id;
        routes_->add_route(address, 32, id);
    } else {
        routes_->replace_hop(found->second, hop);
    }
}

void Box::neighbour(const std::string& port, Ip4 address, std::optional<MacAddress> known) {
    Wire& w = wire(port);
    learn(w, address, known);
    if (!known) {
        NextHop failed{.kind = HopKind::neighbour, .out_port = w.index, .failed = true, .address = address};
        routes_->replace_hop(hop_of_neighbour_.at(address.raw), failed);
    }
    for (auto& l : lcores_)
        if (!l->orders.post({OrderKind::neighbour_changed, address.raw, 0, w.index, 0}))
            throw std::runtime_error("full");
    settle();
}

void Box::configure(const std::string& yaml) {
    std::string text = "ports:\n";
    for (const Wire& w : wires_)
        text += "  - {name: " + w.name + ", device: net_ring" + std::to_string(w.index) +
                ", role: " + (ports_[w.index].role == PortRole::inside ? "inside" : "outside") + ", tap: t" + w.name +
                "}\n";
    if (yaml.find("workers:") == std::string::npos) {
        text += "workers: {main: 0, cores: [";
        for (unsigned i = 1; i <= options_.workers; ++i) text += (i > 1 ? ", " : "") + std::to_string(i);
        text += "]}\n";
    }
    const auto loaded = config::load_config_text(text + yaml, "test");
    if (!loaded.ok()) {
        std::string all;
        for (const auto& e : loaded.errors) all += to_string(e) + "\n";
        throw std::invalid_argument(all);
    }
    auto compiled = compile_policy(*loaded.config, {options_.workers, options_.flows_per_worker, 1024}, ++generation_,
                                   {}, nat_gauges_, timeout_ids_);
    timeout_ids_ = compiled.names.timeout_ids;
    nat_gauges_ = std::move(compiled.names.nat_gauges);
    policy_.publish(std::move(compiled.policy), grace_);
    if (lcores_.empty()) start();
}

void Box::start() {
    const SharedParts shared{ports_, homes_, policy_, *routes_, *rings_, pool_, options_.secret, 42};
    LcoreSizes sizes;
    sizes.flows = options_.flows_per_worker;
    sizes.notices = options_.notices;
    sizes.orders = options_.orders;
    sizes.helper_states = options_.helper_states;
    sizes.first_packets = options_.first_packets;
    for (std::uint8_t i = 0; i < options_.workers; ++i)
        lcores_.push_back(std::make_unique<Lcore>(tag_, i, options_.workers, shared, sizes, -1));
    Lcore::connect(lcores_);
    std::vector<AgeingWorker> aged;
    for (std::uint8_t i = 0; i < options_.workers; ++i) {
        Lcore& l = *lcores_[i];
        for (const Wire& w : wires_) l.tx.use_queue(w.device, i);
        std::vector<RxQueue> queues;
        for (const Wire& w : wires_) queues.push_back({w.device, i});
        workers_.push_back(std::make_unique<Worker<Pipeline>>(
            i, WorkerParts<Pipeline>{*l.pipeline, l.handoff, l.from_kernel, grace_, l.counters}, std::move(queues)));
        grace_.online(i);
        aged.push_back({&l.store, &l.to_control, &l.orders});
    }
    ageing_ = std::make_unique<Ageing>(std::move(aged), now_.ms, [this](unsigned, const Notice& n) {
        if (n.kind == NoticeKind::log) logged_.push_back(n);
        if (n.kind != NoticeKind::resolve) return;
        Wire& w = wires_[n.detail];
        const Ip4 address = Ip4::from_raw(static_cast<std::uint32_t>(n.deadline_ms));
        if (w.silent) return;
        learn(w, address, host_mac(address));
        for (auto& l : lcores_) (void)l->orders.post({OrderKind::neighbour_changed, address.raw, 0, w.index, 0});
    });
}

MacAddress Box::port_mac(const std::string& name) const {
    return ports_[wire(name).index].mac;
}

Box::Wire& Box::wire(const std::string& name) {
    for (Wire& w : wires_)
        if (w.name == name) return w;
    throw std::invalid_argument("no port " + name);
}

const Box::Wire& Box::wire(const std::string& name) const {
    return const_cast<Box*>(this)->wire(name);
}

}  // namespace sluice::test

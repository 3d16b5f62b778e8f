// Box: the machine around the data plane (ports, addresses, routes, neighbours) and its configuration.
#include "tests/support/box.hh"

#include <arpa/inet.h>
#include <array>
#include <stdexcept>

#include <catch2/catch.hpp>
#include <rte_eth_ring.h>
#include <rte_ethdev.h>

#include "control/compile/compile.hh"
#include "control/config/load.hh"

namespace sluice::test {

namespace {

constexpr unsigned kWire = 1024;

IpAddress parse_ip(const std::string& text) {
    const bool v6 = text.find(':') != std::string::npos;
    std::array<std::uint8_t, 16> bytes{};
    if (inet_pton(v6 ? AF_INET6 : AF_INET, text.c_str(), bytes.data()) != 1)
        throw std::invalid_argument("address " + text);
    return v6 ? IpAddress::from_bytes(bytes.data()) : ip4(bytes[0], bytes[1], bytes[2], bytes[3]);
}

/// The address as it was written, and the length of the prefix.
std::pair<IpAddress, std::uint8_t> parse_prefix(const std::string& text) {
    const auto slash = text.find('/');
    const IpAddress address = parse_ip(text.substr(0, slash));
    return {address, static_cast<std::uint8_t>(slash == std::string::npos ? address.bits()
                                                                          : std::stoul(text.substr(slash + 1)))};
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
MacAddress host_mac(const IpAddress& a) {
    std::uint32_t h = a.word(3);
    if (!a.is_v4()) h ^= a.word(0) ^ a.word(1) ^ a.word(2);
    return {{2, static_cast<std::uint8_t>(a.is_v4() ? 1 : 6), static_cast<std::uint8_t>(h >> 24),
             static_cast<std::uint8_t>(h >> 16), static_cast<std::uint8_t>(h >> 8), static_cast<std::uint8_t>(h)}};
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
    routes_ = std::make_unique<RouteTable>((tag_ + "r").c_str(), grace_, 1024, 1024, -1, options.ipv6);
    ports_.enable_ipv6(options.ipv6);
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

void Box::port(const std::string& name, PortRole role, const std::string& first_address, bool silent, std::uint16_t mtu,
               std::uint16_t zone) {
    Wire& w = wires_.emplace_back();
    w.name = name;
    w.index = static_cast<PortIndex>(wires_.size() - 1);
    w.silent = silent;
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
    info.zone = zone;
    ports_.bind(w.index);
    if (zone != 0 && zones_.emplace(zone, true).second) routes_->add_zone(zone);

    address(name, first_address);
}

void Box::address(const std::string& name, const std::string& text) {
    Wire& w = wire(name);
    const auto prefix = parse_prefix(text);
    const IpAddress address = prefix.first;  // clang 14 takes no structured binding into a lambda
    const auto length = prefix.second;
    w.addresses.push_back({address, length, false});
    if (address.is_v4() || !address.is_link_local()) {
        const auto add = [&](std::uint8_t bits, HopKind kind) {
            add_route(w, prefix_edge(address, bits, false), bits,
                      routes_->add_hop({.kind = kind, .out_port = w.index}));
        };
        add(length, HopKind::connected);
        add(static_cast<std::uint8_t>(address.bits()), HopKind::local);
    }
    publish_addresses();
    routes_settle(address);
}

/// Of one port, and so of its zone's routes; of all, unless another port was first.
void Box::add_route(const Wire& w, const IpAddress& prefix, std::uint8_t length, std::uint32_t hop) {
    const std::uint16_t zone = ports_[w.index].zone;
    const bool first = port_of_route_.try_emplace({prefix, length}, w.index).first->second == w.index;
    if ((first && !routes_->add_route(prefix, length, hop)) ||
        (zone != 0 && !routes_->add_route(prefix, length, hop, zone)))
        throw std::runtime_error("no room for a route of " + w.name);
}

void Box::lose_networks(const std::string& name) {
    const Wire& w = wire(name);
    const std::uint16_t zone = ports_[w.index].zone;
    for (const PortAddress& own : w.addresses) {
        routes_->remove_route(prefix_edge(own.address, own.prefix_length, false), own.prefix_length, zone);
        routes_->remove_route(own.address, static_cast<std::uint8_t>(own.address.bits()), zone);
    }
    for (const auto& [neighbour, hop] : hop_of_neighbour_)
        if (neighbour.first == w.index)
            routes_->remove_route(neighbour.second, static_cast<std::uint8_t>(neighbour.second.bits()), zone);
    settle();
}

void Box::publish_addresses() {
    auto all = std::make_unique<Addresses>();
    for (const Wire& w : wires_) {
        all->by_port[w.index] = w.addresses;
        all->zone_of_port[w.index] = ports_[w.index].zone;
    }
    routes_->publish_addresses(std::move(all));
}

/// A change of IPv6 routes, or of those of a zone, may take effect a grace period later.
void Box::routes_settle(const IpAddress& changed) {
    if (changed.is_v4() && zones_.empty()) return;
    if (lcores_.empty()) {
        grace_.reclaim();
    } else {
        settle();
    }
}

void Box::remove_address(const std::string& name, bool route_too) {
    remove_address(name, wire(name).addresses.at(0).address, route_too);
}

void Box::remove_address(const std::string& name, const IpAddress& address, bool route_too) {
    if (route_too) routes_->remove_route(address, static_cast<std::uint8_t>(address.bits()));
    if (std::erase_if(wire(name).addresses, [&](const PortAddress& a) { return a.address == address; }) == 0)
        throw std::invalid_argument("no such address on " + name);
    publish_addresses();
    routes_settle(address);
}

void Box::route(const std::string& prefix, const std::string& via) {
    const auto percent = via.find('%');
    const IpAddress gateway = parse_ip(via.substr(0, percent));
    PortIndex port = kNoPort;
    if (percent != std::string::npos) {
        port = wire(via.substr(percent + 1)).index;
    } else if (const RouteView view = routes_->lookup(gateway, 0); view.hop != nullptr) {
        port = view.hop->out_port;
    }
    if (port == kNoPort) throw std::invalid_argument("no port leads to " + via);
    Wire& w = wires_[port];
    const std::uint32_t hop = learn(w, gateway, w.silent ? std::nullopt : std::optional(host_mac(gateway)));
    const auto [address, length] = parse_prefix(prefix);
    add_route(w, prefix_edge(address, length, false), length, hop);
    routes_settle(address);
}

void Box::route(const std::string& prefix, HopKind kind) {
    const auto [address, length] = parse_prefix(prefix);
    if (!routes_->add_route(prefix_edge(address, length, false), length, routes_->add_hop({.kind = kind})))
        throw std::runtime_error("no room for the route to " + prefix);
    routes_settle(address);
}

std::uint32_t Box::learn(Wire& w, const IpAddress& address, std::optional<MacAddress> known) {
    NextHop hop{.kind = HopKind::neighbour, .out_port = w.index, .address = address};
    hop.resolved = known.has_value();
    if (known) hop.mac = *known;
    const auto [found, fresh] = hop_of_neighbour_.try_emplace({w.index, address}, kNoNextHop);
    if (!fresh) {
        routes_->replace_hop(found->second, hop);
    } else {
        found->second = routes_->add_hop(hop);
        // What is of the link has no route: it may be the neighbour's address on every port.
        if (address.is_v4() || !address.is_link_local())
            add_route(w, address, static_cast<std::uint8_t>(address.bits()), found->second);
    }
    return found->second;
}

void Box::tell_of_neighbour(const Wire& w, const IpAddress& address) {
    routes_->when_seen([this, port = w.index, address] {
        for (auto& l : lcores_)
            if (!l->orders.post({.kind = OrderKind::neighbour_changed, .detail = port, .address = address}))
                throw std::runtime_error("full");
    });
}

void Box::neighbour(const std::string& port, const IpAddress& address, std::optional<MacAddress> known) {
    Wire& w = wire(port);
    const std::uint32_t id = learn(w, address, known);
    if (!known)
        routes_->replace_hop(id, {.kind = HopKind::neighbour, .out_port = w.index, .failed = true, .address = address});
    tell_of_neighbour(w, address);
    settle();
}

void Box::configure(const std::string& yaml) {
    std::string text = "ports:\n";
    for (const Wire& w : wires_)
        text += "  - {name: " + w.name + ", device: net_ring" + std::to_string(w.index) +
                ", role: " + (ports_[w.index].role == PortRole::inside ? "inside" : "outside") + ", tap: t" + w.name +
                ", zone: " + std::to_string(ports_[w.index].zone) + "}\n";
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
        const IpAddress address = n.key.dst();
        if (w.silent) return;
        learn(w, address, host_mac(address));
        tell_of_neighbour(w, address);
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

#include "control/app/settings.hh"

#include <algorithm>
#include <chrono>

#include "control/compile/limits.hh"
#include "control/config/memory.hh"

namespace sluice::app {

namespace {

/// 0000:03:00.0, with or without arguments behind a comma.
bool is_pci(std::string_view device) {
    const std::string_view name = device.substr(0, device.find(','));
    return std::count(name.begin(), name.end(), ':') == 2 && name.find('.') != std::string_view::npos;
}

}  // namespace

EalOptions eal_options(const config::Config& config) {
    EalOptions options;
    options.main_core = config.workers.main;
    options.worker_cores = config.workers.cores;
    options.hugepages = config.memory.hugepages == config::HugepageMode::off ? Hugepages::off : Hugepages::automatic;
    options.megabytes = config.memory.megabytes;
    for (const auto& port : config.ports)
        if (is_pci(port.device)) options.pci_devices.push_back(port.device);
    return options;
}

std::vector<PortConfig> port_configs(const config::Config& config) {
    std::vector<PortConfig> ports;
    for (const auto& port : config.ports) {
        PortConfig p;
        p.name = port.name;
        p.device = port.device;
        p.parent = port.parent;
        p.vlan = port.vlan;
        p.role = port.role;
        p.zone = port.zone;
        p.mtu = port.mtu;
        p.mac = port.mac;
        p.rx_descriptors = port.rx_queue_size;
        p.tx_descriptors = port.tx_queue_size;
        ports.push_back(std::move(p));
    }
    return ports;
}

LcoreSizes lcore_sizes(const config::Config& config) {
    const auto workers = static_cast<unsigned>(config.workers.cores.size());
    LcoreSizes sizes;
    sizes.flows = compile::share_of(compile::wanted_flows(config), workers);
    sizes.expectations = compile::share_of(config.conntrack.expect_max, workers);
    sizes.held.packets = config.neighbours.hold_total;
    sizes.held.per_neighbour = config.neighbours.hold;
    sizes.held.timeout_ms = static_cast<TimeMs>(std::chrono::milliseconds(config.neighbours.hold_timeout).count());
    sizes.fragments.timeout_ms = static_cast<TimeMs>(std::chrono::milliseconds(config.fragments.timeout).count());
    sizes.fragments.pieces = config.fragments.max;
    sizes.fragments.datagrams = config.fragments.max_datagrams;
    sizes.fragments.per_datagram = config.fragments.max_per_datagram;
    return sizes;
}

BufferDemand buffer_demand(const config::Config& config) {
    return config::buffers_under_way(config);
}

Idle idle_mode(const config::Config& config) {
    return config.workers.idle == config::IdleMode::sleep ? Idle::sleep : Idle::spin;
}

std::vector<IpPrefix> twin_addresses(const config::Port& port) {
    std::vector<IpPrefix> addresses;
    for (const auto& a : port.addresses) addresses.push_back({a.address, a.prefix_length});
    return addresses;
}

std::string_view level_name(config::LogLevel level) {
    switch (level) {
        case config::LogLevel::trace:
            return "trace";
        case config::LogLevel::debug:
            return "debug";
        case config::LogLevel::info:
            return "info";
        case config::LogLevel::warning:
            return "warning";
        case config::LogLevel::error:
            break;
    }
    return "error";
}

std::vector<RouteSpec> route_specs(const config::Config& config,
                                   const std::function<IfIndex(std::string_view)>& twin_of) {
    std::vector<RouteSpec> specs;
    for (const auto& route : config.routes) {
        const IpPrefix to{route.network, route.prefix_length};
        auto spec = std::find_if(specs.begin(), specs.end(), [&](const RouteSpec& s) { return s.to == to; });
        if (spec == specs.end()) {
            spec = specs.insert(specs.end(), RouteSpec{});
            spec->to = to;
        }
        RouteNextHop hop;
        hop.ifindex = route.out.empty() ? 0 : twin_of(route.out);
        hop.gateway = route.via;
        spec->next_hops.push_back(hop);
    }
    // Gateways may lie behind them, wherever they stand in the file.
    std::stable_partition(specs.begin(), specs.end(), [](const RouteSpec& spec) {
        return std::ranges::none_of(spec.next_hops, [](const RouteNextHop& hop) { return hop.gateway.has_value(); });
    });
    return specs;
}

}  // namespace sluice::app

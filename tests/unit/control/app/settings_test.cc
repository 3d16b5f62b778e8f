#include "control/app/settings.hh"

#include <map>
#include <string>

#include <catch2/catch.hpp>

using namespace sluice;
using namespace sluice::app;

namespace {

config::Config two_ports() {
    config::Config config;
    config.ports.resize(2);
    config.ports[0].name = "lan";
    config.ports[0].device = "0000:03:00.0,queues=2";
    config.ports[0].role = PortRole::inside;
    config.ports[1].name = "wan";
    config.ports[1].device = "net_af_xdp0,iface=w1";
    config.ports[1].role = PortRole::outside;
    config.workers.main = 0;
    config.workers.cores = {1, 2};
    return config;
}

config::Route route(std::string_view network, std::uint8_t length, Ip4 via, const char* out = "") {
    config::Route r;
    r.network = network == "default" ? Ip4{} : ip4(198, 51, 100, 0);
    r.prefix_length = length;
    r.via = via;
    r.out = out;
    return r;
}

}  // namespace

TEST_CASE("only PCI devices are the EAL's to probe") {
    config::Config config = two_ports();
    config.memory.hugepages = config::HugepageMode::off;
    config.memory.megabytes = 300;
    const EalOptions options = eal_options(config);
    CHECK(options.pci_devices == std::vector<std::string>{"0000:03:00.0,queues=2"});
    CHECK(options.main_core == 0);
    CHECK(options.worker_cores == config.workers.cores);
    CHECK(options.hugepages == Hugepages::off);
    CHECK(options.megabytes == 300);
}

TEST_CASE("a worker's tables and its room for held packets are as configured") {
    config::Config config = two_ports();
    config.conntrack.max = 1000;
    config.conntrack.expect_max = 80;
    config.neighbours = {5, 40, config::seconds{7}};
    const LcoreSizes sizes = lcore_sizes(config);
    CHECK(sizes.flows == 625);  // half, and a quarter of that
    CHECK(sizes.expectations == 50);
    CHECK(sizes.held.per_neighbour == 5);
    CHECK(sizes.held.packets == 40);
    CHECK(sizes.held.timeout_ms == 7000);

    const std::uint32_t less = buffer_demand(config).per_worker;
    config.neighbours.hold_total += 100;
    CHECK(buffer_demand(config).per_worker == less + 100);
}

TEST_CASE("ports keep their order, names and roles") {
    config::Config config = two_ports();
    config.ports[1].mtu = 1400;
    const auto ports = port_configs(config);
    REQUIRE(ports.size() == 2);
    CHECK(ports[0].name == "lan");
    CHECK(ports[0].role == PortRole::inside);
    CHECK(ports[1].device == "net_af_xdp0,iface=w1");
    CHECK(ports[1].mtu == 1400);
    CHECK(idle_mode(config) == (config.workers.idle == config::IdleMode::sleep ? Idle::sleep : Idle::spin));
}

TEST_CASE("routes to one network become one route with several next hops, by the twins of their ports") {
    config::Config config = two_ports();
    config.routes = {route("default", 0, ip4(203, 0, 113, 254)), route("net", 24, ip4(203, 0, 113, 9), "wan"),
                     route("default", 0, ip4(203, 0, 113, 253), "wan")};
    const auto specs = route_specs(config, [](std::string_view port) -> IfIndex { return port == "wan" ? 7 : 0; });
    REQUIRE(specs.size() == 2);
    REQUIRE(specs[0].next_hops.size() == 2);
    CHECK(specs[0].to == IpPrefix{Ip4{}, 0});
    CHECK(specs[0].next_hops[0].gateway == ip4(203, 0, 113, 254));
    CHECK(specs[0].next_hops[0].ifindex == 0);  // by whatever reaches the gateway
    CHECK(specs[0].next_hops[1].ifindex == 7);
    CHECK(specs[1].to == IpPrefix{ip4(198, 51, 100, 0), 24});
}

TEST_CASE("routes straight out of a port come before those with a gateway, which may lie behind them") {
    config::Config config = two_ports();
    config.routes = {route("default", 0, ip4(198, 51, 100, 1)), route("net", 24, ip4(203, 0, 113, 9)),
                     route("net", 24, {}, "wan")};
    config.routes[2].via.reset();
    config.routes[2].network = ip4(192, 0, 2, 0);
    const auto specs = route_specs(config, [](std::string_view) -> IfIndex { return 7; });
    REQUIRE(specs.size() == 3);
    CHECK(specs[0].to == IpPrefix{ip4(192, 0, 2, 0), 24});
    CHECK(specs[1].to == IpPrefix{Ip4{}, 0});
    CHECK(specs[2].to == IpPrefix{ip4(198, 51, 100, 0), 24});
}

TEST_CASE("levels by their names") {
    CHECK(level_name(config::LogLevel::trace) == "trace");
    CHECK(level_name(config::LogLevel::warning) == "warning");
    CHECK(level_name(config::LogLevel::error) == "error");
}

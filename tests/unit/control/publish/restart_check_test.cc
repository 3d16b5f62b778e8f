#include "control/publish/restart_check.hh"

#include <functional>

#include <catch2/catch.hpp>

#include "tests/unit/control/compile/configs.hh"

using namespace sluice;
using namespace sluice::test;

namespace {

constexpr CompileTarget kTarget{4, 100'000, 2'000};

std::vector<std::string> after(const std::function<void(config::Config&)>& change) {
    const config::Config running = three_ports();
    config::Config wanted = running;
    change(wanted);
    return needs_restart(running, wanted, kTarget);
}

}  // namespace

TEST_CASE("what is fixed at start needs a restart, each thing by its name") {
    struct Row {
        std::function<void(config::Config&)> change;
        std::string message;
    };
    using config::Config;
    const std::vector<Row> rows{
        {[](Config& c) {
             c.workers.cores = {1, 2};
         },
         "workers.cores has changed: needs a restart"},
        {[](Config& c) { c.workers.main = 3; }, "workers.main has changed: needs a restart"},
        {[](Config& c) { c.workers.idle = config::IdleMode::sleep; }, "workers.idle has changed: needs a restart"},
        {[](Config& c) { c.memory.megabytes = 2048; }, "memory.megabytes has changed: needs a restart"},
        {[](Config& c) { c.memory.hugepages = config::HugepageMode::off; },
         "memory.hugepages has changed: needs a restart"},
        {[](Config& c) { c.ports.pop_back(); }, "port 'dmz' is gone: needs a restart"},
        {[](Config& c) { c.ports.push_back(c.ports[2]), c.ports[3].name = "guest"; },
         "port 'guest' is new: needs a restart"},
        {[](Config& c) { std::swap(c.ports[0], c.ports[1]); }, "ports: their order has changed: needs a restart"},
        {[](Config& c) { c.ports[0].device = "net_null7"; }, "port 'lan': device has changed: needs a restart"},
        {[](Config& c) { c.ports[2].parent = "lan"; }, "port 'dmz': parent has changed: needs a restart"},
        {[](Config& c) { c.ports[2].vlan = 21; }, "port 'dmz': vlan has changed: needs a restart"},
        {[](Config& c) { c.ports[0].role = PortRole::outside; }, "port 'lan': role has changed: needs a restart"},
        {[](Config& c) { c.ports[0].zone = 1; }, "port 'lan': zone has changed: needs a restart"},
        {[](Config& c) { c.ports[0].tap = "lan0"; }, "port 'lan': tap has changed: needs a restart"},
        {[](Config& c) { c.ports[0].mtu = 9000; }, "port 'lan': mtu has changed: needs a restart"},
        {[](Config& c) {
             c.ports[0].mac = MacAddress{{2, 0, 0, 0, 0, 9}};
         },
         "port 'lan': mac has changed: needs a restart"},
        {[](Config& c) { c.ports[0].rx_queue_size = 512; }, "port 'lan': rx_queue_size has changed: needs a restart"},
        {[](Config& c) { c.ports[0].tx_queue_size = 512; }, "port 'lan': tx_queue_size has changed: needs a restart"},
        {[](Config& c) { c.conntrack.max = 400'000; },
         "conntrack.max: 400000 is more than the 320000 that the tables were made for: needs a restart"},
        {[](Config& c) { c.conntrack.expect_max = 8'000; },
         "conntrack.expect_max: 8000 is more than the 6400 that the tables were made for: needs a restart"},
        {[](Config& c) { c.ipv6 = config::Ipv6Mode::on; }, "ipv6 has changed: needs a restart"},
        {[](Config& c) {
             c.ports[0].addresses = {{six(1), 64}};
         },
         "ipv6 has changed: needs a restart"},
        {[](Config& c) { c.neighbours.hold = 3; }, "neighbours has changed: needs a restart"},
        {[](Config& c) { c.fragments.max = 3; }, "fragments has changed: needs a restart"},
        {[](Config& c) { c.metrics.listen.clear(); }, "metrics.listen has changed: needs a restart"},
        {[](Config& c) { c.control.socket = "/run/other.sock"; }, "control.socket has changed: needs a restart"},
    };
    for (const Row& row : rows) CHECK(after(row.change) == std::vector{row.message});
}

TEST_CASE("rules, groups, limits within the tables, addresses and routes change at run time") {
    CHECK(after([](config::Config&) {}).empty());
    CHECK(after([](config::Config& c) {
              c.filter.forward.rules.emplace_back();
              c.nat.emplace_back();
              c.groups.ports.push_back({"web", {port(80)}});
              c.conntrack.max = 320'000;  // an even share of 80000, and a quarter: just what there is
              c.conntrack.expect_max = 6'400;
              c.conntrack.timeouts.udp = config::seconds{1};
              c.conntrack.profile = config::ConntrackProfile::cgn;
              c.helpers.ftp.loose = true;
              c.punt.arp_nd.rate = 1;
              c.log.level = config::LogLevel::debug;
              c.ipv6 = config::Ipv6Mode::off;  // as it was
              c.ports[0].addresses.push_back({ip4(192, 0, 2, 1), 24});
              c.routes.push_back({ip4(0, 0, 0, 0), 0, ip4(192, 0, 2, 254), ""});
          }).empty());
}

TEST_CASE("a limit that is left to the memory is whatever the tables hold") {
    CHECK(after([](config::Config& c) { c.conntrack.max = 100; }).empty());
    CHECK(after([](config::Config& c) { c.conntrack.max.reset(); }).empty());
    CHECK(after([](config::Config& c) { c.conntrack.half_open = {100, true}; }).empty());
}

TEST_CASE("all reasons are told at once") {
    CHECK(after([](config::Config& c) {
              c.workers.main = 5;
              c.ports[0].device = "net_null7";
              c.ports[1].name = "uplink";
              c.metrics.listen.clear();
          }).size() == 5);  // the renamed port is one gone and one new
}

// Names to indices and flat ranges.
#include "control/config/resolve.hh"

#include <catch2/catch.hpp>

namespace sluice::config {
namespace {

Ip4Range hosts(unsigned first, unsigned last) {
    return {ip4(192, 0, 2, first), ip4(192, 0, 2, last)};
}

TEST_CASE("a port is found by its name") {
    Config config;
    config.ports.resize(2);
    config.ports[0].name = "lan";
    config.ports[1].name = "wan";
    CHECK(port_index(config, "wan") == 1);
    CHECK(port_index(config, "dmz") == kNoPort);
}

TEST_CASE("address groups are followed") {
    Groups groups;
    groups.addresses = {{"inner", {hosts(10, 19), hosts(5, 5)}}, {"outer", {hosts(30, 30), "inner", "inner"}}};
    SECTION("in the order of the file, each group once") {
        CHECK(expand_addresses(groups, {"outer", hosts(1, 1), "inner"}) ==
              std::vector<Ip4Range>{hosts(30, 30), hosts(10, 19), hosts(5, 5), hosts(1, 1)});
    }
    SECTION("sorted, with overlaps and neighbours merged") {
        CHECK(flatten_addresses(groups, {"outer", hosts(20, 25), hosts(12, 14)}) ==
              std::vector<Ip4Range>{hosts(5, 5), hosts(10, 25), hosts(30, 30)});
    }
    SECTION("the whole address space does not wrap") {
        CHECK(flatten_addresses(groups, {Ip4Range{}, "outer"}) == std::vector<Ip4Range>{Ip4Range{}});
    }
    SECTION("a name that nobody defines is nothing") {
        CHECK(expand_addresses(groups, {"other"}).empty());
    }
}

TEST_CASE("port groups are followed") {
    Groups groups;
    groups.ports = {{"web", {PortRange{443, 443}, PortRange{80, 80}}}, {"all", {"web", PortRange{81, 90}}}};
    CHECK(flatten_ports(groups, {"all"}) == std::vector<PortRange>{{80, 90}, {443, 443}});
    CHECK(flatten_ports(groups, {PortRange{0, 65535}, "web"}) == std::vector<PortRange>{{0, 65535}});
    CHECK(flatten_ports(groups, {PortRange{0, 0}, PortRange{65535, 65535}}) ==
          std::vector<PortRange>{{0, 0}, {65535, 65535}});
}

}  // namespace
}  // namespace sluice::config

// Names to indices and flat ranges.
#include "control/config/resolve.hh"

#include <catch2/catch.hpp>

#include "dataplane/base/ip_text.hh"

namespace sluice::config {
namespace {

AddressRange hosts(unsigned first, unsigned last) {
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
              std::vector<AddressRange>{hosts(30, 30), hosts(10, 19), hosts(5, 5), hosts(1, 1)});
    }
    SECTION("sorted, with overlaps and neighbours merged") {
        CHECK(flatten_addresses(groups, {"outer", hosts(20, 25), hosts(12, 14)}) ==
              std::vector<AddressRange>{hosts(5, 5), hosts(10, 25), hosts(30, 30)});
    }
    SECTION("the whole address space does not wrap") {
        CHECK(flatten_addresses(groups, {AddressRange{}, "outer"}) == std::vector<AddressRange>{AddressRange{}});
    }
    SECTION("of both families, next to each other but not within") {
        const AddressRange all6{IpAddress{}, prefix_edge(IpAddress{}, 0, true)};
        const auto flat = flatten_addresses(groups, {all6, hosts(1, 2)});
        REQUIRE(flat.size() == 3);
        CHECK(flat[0].first == IpAddress{});
        CHECK(to_string(flat[0].last) == "::fffe:ffff:ffff");
        CHECK(flat[1] == hosts(1, 2));
        CHECK(to_string(flat[2].first) == "::1:0:0:0");
        CHECK(flat[2].last == all6.last);
        // The last IPv4 address and the IPv6 one whose value follows are no neighbours.
        CHECK(flatten_addresses(
                  groups, {AddressRange{}, AddressRange{ip6(0, 0, 0, 0, 1, 0, 0, 0), ip6(0, 0, 0, 0, 1, 0, 0, 0)}})
                  .size() == 2);
    }
    SECTION("of IPv6, with overlaps and neighbours merged") {
        const auto at = [](unsigned first, unsigned last) {
            return AddressRange{ip6(0x2001, 0xdb8, 0, 0, 0xffff, 0xffff, 0xffff, first),
                                ip6(0x2001, 0xdb8, 0, 0, 0xffff, 0xffff, 0xffff, last)};
        };
        const AddressRange next{ip6(0x2001, 0xdb8, 0, 1, 0, 0, 0, 0), ip6(0x2001, 0xdb8, 0, 1, 0, 0, 0, 9)};
        CHECK(flatten_addresses(groups, {at(8, 0xffff), next, at(1, 3), at(4, 4), at(2, 3)}) ==
              std::vector<AddressRange>{at(1, 4), {at(8, 8).first, next.last}});
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

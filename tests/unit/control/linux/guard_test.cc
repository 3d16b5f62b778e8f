// Which interfaces have to be guarded.
#include "control/linux/guard.hh"

#include <string>
#include <vector>

#include <catch2/catch.hpp>

using namespace sluice;
using Names = std::vector<std::string>;

TEST_CASE("twins are guarded before they exist") {
    CHECK(GuardedLinks{{"wan0", "lan0"}}.names() == Names{"lan0", "wan0"});
}

TEST_CASE("a macvlan on a twin is guarded while it exists") {
    GuardedLinks links{{"wan0"}};
    CHECK_FALSE(links.on_link({.ifindex = 3, .name = "wan0", .kind = "tun"}, false));
    const LinkInfo macvlan{.ifindex = 4, .name = "vrrp.51", .kind = "macvlan", .parent_ifindex = 3};
    CHECK(links.on_link(macvlan, false));
    CHECK(links.names() == Names{"vrrp.51", "wan0"});
    CHECK(links.on_link(macvlan, true));
    CHECK(links.names() == Names{"wan0"});
}

TEST_CASE("a VLAN device on a bridge whose member is a twin is guarded") {
    GuardedLinks links{{"wan0"}};
    links.on_link({.ifindex = 2, .name = "br0.5", .kind = "vlan", .parent_ifindex = 5}, false);
    links.on_link({.ifindex = 5, .name = "br0", .kind = "bridge"}, false);
    links.on_link({.ifindex = 3, .name = "wan0", .kind = "tun", .master_ifindex = 5}, false);
    CHECK(links.names() == Names{"br0", "br0.5", "wan0"});
}

TEST_CASE("a tunnel over a twin, its neighbours and the far end of a veth are not guarded") {
    GuardedLinks links{{"wan0"}};
    links.on_link({.ifindex = 3, .name = "wan0", .kind = "tun"}, false);
    CHECK_FALSE(links.on_link({.ifindex = 4, .name = "gre1", .kind = "gre", .parent_ifindex = 3}, false));
    CHECK_FALSE(links.on_link({.ifindex = 5, .name = "v0", .kind = "veth", .parent_ifindex = 3}, false));
    CHECK_FALSE(links.on_link({.ifindex = 6, .name = "eth0"}, false));
}

TEST_CASE("a reload changes the twins") {
    GuardedLinks links{{"wan0"}};
    CHECK_FALSE(links.set_twins({"wan0"}));
    CHECK(links.set_twins({"wan0", "dmz0"}));
    CHECK(links.names() == Names{"dmz0", "wan0"});
}

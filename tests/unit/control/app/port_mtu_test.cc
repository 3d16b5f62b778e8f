// The smallest of what device, twin and interface allow.
#include "control/app/port_mtu.hh"

#include <catch2/catch.hpp>

using sluice::app::PortMtu;

TEST_CASE("a port forwards with the smallest MTU that is known") {
    CHECK(PortMtu{.at_start = 1500}.in_force() == 1500);
    CHECK(PortMtu{.at_start = 1500, .twin = 1400}.in_force() == 1400);
    CHECK(PortMtu{.at_start = 1500, .twin = 1500, .interface = 1300}.in_force() == 1300);
    CHECK(PortMtu{.at_start = 1500, .twin = 1200, .interface = 1300}.in_force() == 1200);
}

TEST_CASE("an MTU above that of the start raises nothing") {
    CHECK(PortMtu{.at_start = 1500, .twin = 65535, .interface = 65536}.in_force() == 1500);
    CHECK(PortMtu{.at_start = 9000, .twin = 9000, .interface = 9000}.in_force() == 9000);
}

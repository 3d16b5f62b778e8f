#include "dataplane/base/ip_text.hh"

#include <catch2/catch.hpp>

using namespace sluice;

TEST_CASE("an address is written as four decimal numbers") {
    CHECK(to_string(ip4(192, 0, 2, 1)) == "192.0.2.1");
    CHECK(to_string(Ip4{}) == "0.0.0.0");
    CHECK(to_string(ip4(255, 255, 255, 255)) == "255.255.255.255");
    CHECK(to_string(ip4(10, 0, 100, 9)) == "10.0.100.9");
}

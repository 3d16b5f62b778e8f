#include "control/linux/rights.hh"

#include <fstream>
#include <linux/capability.h>
#include <string>

#include <catch2/catch.hpp>

using namespace sluice;

TEST_CASE("only CAP_NET_ADMIN is indispensable, and its lack is said in one line") {
    const auto net_admin = std::uint64_t{1} << CAP_NET_ADMIN;
    CHECK_FALSE(missing_rights(net_admin));
    CHECK_FALSE(missing_rights(~std::uint64_t{0}));
    const auto failure = missing_rights(~net_admin);
    REQUIRE(failure);
    CHECK_THAT(failure->text, Catch::Contains("CAP_NET_ADMIN") && !Catch::Contains("\n"));
    CHECK(missing_rights(0));
}

TEST_CASE("the effective capabilities are those that the kernel shows") {
    std::ifstream status("/proc/self/status");
    std::string word;
    while (status >> word && word != "CapEff:") {
    }
    REQUIRE(status >> word);
    CHECK(effective_capabilities() == std::stoull(word, nullptr, 16));
}

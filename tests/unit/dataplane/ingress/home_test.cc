#include "dataplane/ingress/home.hh"

#include <algorithm>
#include <cstring>
#include <random>
#include <set>
#include <stdexcept>
#include <vector>

#include <catch2/catch.hpp>
#include <rte_thash.h>

using namespace sluice;

namespace {

/// DPDK's own Toeplitz over `words` (host order) with our key.
std::uint32_t reference(std::vector<std::uint32_t> words) {
    alignas(4) std::array<std::uint32_t, kHomeRssKey.size() / 4> key;
    std::memcpy(key.data(), kHomeRssKey.data(), sizeof key);
    return rte_softrss(words.data(), static_cast<std::uint32_t>(words.size()),
                       reinterpret_cast<const std::uint8_t*>(key.data()));
}

}  // namespace

TEST_CASE("the software hash is DPDK's Toeplitz hash of the address") {
    std::mt19937 random(7);
    unsigned different = 0;
    for (unsigned i = 0; i < 100'000; ++i) {
        const auto host = static_cast<std::uint32_t>(random());
        if (home_hash(Ip4::from_host(host)) != reference({host})) ++different;
    }
    for (unsigned bit = 0; bit < 32; ++bit)
        if (home_hash(Ip4::from_host(1U << bit)) != reference({1U << bit})) ++different;
    CHECK(different == 0);
    CHECK(home_hash(Ip4::from_host(0)) == 0);
}

TEST_CASE("an address hashes the same as source and as destination, the other one left out") {
    std::mt19937 random(8);
    for (unsigned i = 0; i < 1000; ++i) {
        const auto host = static_cast<std::uint32_t>(random());
        const std::uint32_t hash = home_hash(Ip4::from_host(host));
        CHECK(reference({host, 0}) == hash);
        CHECK(reference({0, host}) == hash);
    }
}

TEST_CASE("65536 addresses in sequence hit 65536 hash values") {
    std::set<std::uint32_t> hashes;
    for (std::uint32_t i = 0; i < 65536; ++i) hashes.insert(home_hash(Ip4::from_host(ip4(198, 51, 0, 0).host() + i)));
    CHECK(hashes.size() == 65536);
}

TEST_CASE("a /16 spreads over the workers as evenly as 128 entries allow") {
    for (unsigned workers = 2; workers <= 8; ++workers) {
        const HomeMap map(workers);
        std::vector<unsigned> load(workers);
        for (std::uint32_t i = 0; i < 65536; ++i) ++load.at(map.of(Ip4::from_host(ip4(198, 51, 0, 0).host() + i)));
        INFO(workers << " workers");
        CHECK(*std::min_element(load.begin(), load.end()) == 128 / workers * 512);
        CHECK(*std::max_element(load.begin(), load.end()) == (128 + workers - 1) / workers * 512);
    }
}

TEST_CASE("no /24, /25 or /26 gives a worker 10 % more or less than its share, rounding aside") {
    for (unsigned workers = 2; workers <= 8; ++workers) {
        const HomeMap map(workers);
        for (const std::uint32_t size : {256U, 128U, 64U}) {
            unsigned uneven = 0;
            for (std::uint32_t subnet = 0; subnet < 65536; subnet += size) {
                std::vector<unsigned> load(workers);
                for (std::uint32_t i = subnet; i < subnet + size; ++i)
                    ++load.at(map.of(Ip4::from_host(ip4(10, 7, 0, 0).host() + i)));
                const auto [least, most] = std::minmax_element(load.begin(), load.end());
                if (*most * workers * 10 > size * 11 + workers * 10) ++uneven;
                if (*least * workers * 10 + workers * 10 < size * 9) ++uneven;
            }
            INFO(workers << " workers, subnets of " << size);
            CHECK(uneven == 0);
        }
    }
}

TEST_CASE("the redirection table gives each worker a run of entries") {
    const HomeMap map(3);
    CHECK(map.workers() == 3);
    CHECK(std::is_sorted(map.reta().begin(), map.reta().end()));
    CHECK(map.reta().front() == 0);
    CHECK(map.reta().back() == 2);
    for (std::uint8_t worker = 0; worker < 3; ++worker) {
        const auto entries = std::count(map.reta().begin(), map.reta().end(), worker);
        CHECK((entries == 42 || entries == 43));
    }
    const HomeMap alone(1);
    CHECK(alone.of(ip4(192, 0, 2, 1)) == 0);
    const HomeMap all(128);
    CHECK(all.reta()[127] == 127);
    CHECK_THROWS_AS(HomeMap(0), std::invalid_argument);
    CHECK_THROWS_AS(HomeMap(129), std::invalid_argument);
}

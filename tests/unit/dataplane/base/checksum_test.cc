// The sum against RFC 1071 word by word, for every length that has a way of its own in it.
#include "dataplane/base/checksum.hh"

#include <random>
#include <vector>

#include <catch2/catch.hpp>

using namespace sluice;

namespace {

std::uint16_t plainly(const std::uint8_t* bytes, std::size_t length, std::uint32_t sum) {
    for (std::size_t i = 0; i < length; ++i) sum += i % 2 == 0 ? bytes[i] : unsigned{bytes[i]} << 8;  // as in memory
    while (sum > 0xffff) sum = (sum & 0xffff) + (sum >> 16);
    return static_cast<std::uint16_t>(~sum);
}

}  // namespace

TEST_CASE("a checksum is that of RFC 1071 for any length, place and content") {
    std::mt19937 random(7);
    std::vector<std::uint8_t> bytes(1600);
    for (auto& b : bytes) b = static_cast<std::uint8_t>(random());
    for (std::size_t length = 0; length <= 300; ++length)
        for (const std::size_t from : {0U, 1U, 2U, 7U}) {
            const std::uint32_t initial = random() & 0x3ffffU;
            REQUIRE(checksum_of(&bytes[from], length, initial) == plainly(&bytes[from], length, initial));
        }
    REQUIRE(checksum_of(bytes.data(), bytes.size()) == plainly(bytes.data(), bytes.size(), 0));
}

TEST_CASE("sums of all ones carry at every step") {
    const std::vector<std::uint8_t> ones(65536, 0xff);
    for (const std::size_t length : {2U, 8U, 20U, 62U, 64U, 126U, 1480U, 65514U, 65536U})
        REQUIRE(checksum_of(ones.data(), length, 0xffffU) == 0);
}

TEST_CASE("a sum over stretches is the sum over all") {
    std::mt19937 random(8);
    std::vector<std::uint8_t> bytes(200);
    for (auto& b : bytes) b = static_cast<std::uint8_t>(random());
    for (std::size_t cut = 0; cut <= bytes.size(); cut += 2) {
        const std::uint32_t first = partial_sum(bytes.data(), cut);
        const std::uint32_t both = partial_sum(bytes.data() + cut, bytes.size() - cut, first);
        REQUIRE(static_cast<std::uint16_t>(~fold(both)) == plainly(bytes.data(), bytes.size(), 0));
    }
}

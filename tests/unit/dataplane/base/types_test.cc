#include <catch2/catch.hpp>

#include "dataplane/base/checksum.hh"
#include "dataplane/base/ip_address.hh"
#include "dataplane/base/verdict.hh"

using namespace sluice;

TEST_CASE("addresses order by value, not by memory image") {
    CHECK(ip4(1, 0, 0, 2) < ip4(2, 0, 0, 1));
    CHECK(AddressRange{ip4(10, 0, 0, 0), ip4(10, 0, 0, 255)}.contains(ip4(10, 0, 0, 255)));
    CHECK_FALSE(AddressRange{ip4(10, 0, 0, 0), ip4(10, 0, 0, 255)}.contains(ip4(10, 0, 1, 0)));
    CHECK(AddressRange{}.size() == std::uint64_t{1} << 32);
}

TEST_CASE("a port range includes both ends") {
    CHECK(PortRange{}.size() == 65536);
    CHECK(PortRange{80, 80}.contains(80));
    CHECK_FALSE(PortRange{80, 80}.contains(81));
}

TEST_CASE("a delta gives the checksum that a full computation gives") {
    std::uint8_t bytes[20];
    for (unsigned seed = 0; seed < 1000; ++seed) {
        for (unsigned i = 0; i < sizeof bytes; ++i)
            bytes[i] = static_cast<std::uint8_t>(seed * 31 + i * 17 + (seed >> 3));
        const auto before = checksum_of(bytes, sizeof bytes);
        Be32 old_word;
        std::memcpy(&old_word, bytes + 4, 4);
        const Be32 new_word = Be32::from_host(seed * 2654435761U);
        std::memcpy(bytes + 4, &new_word, 4);
        ChecksumDelta delta;
        delta.replace(old_word, new_word);
        CHECK(delta.apply(before) == checksum_of(bytes, sizeof bytes));
    }
}

TEST_CASE("every drop reason has a name and a help text") {
    for (std::size_t i = 0; i < kDropReasonCount; ++i) {
        CHECK_FALSE(kDropReasonNames[i].empty());
        CHECK_FALSE(kDropReasonHelp[i].empty());
    }
}

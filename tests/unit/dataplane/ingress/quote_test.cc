// What an ICMP error quotes, cut anywhere.
#include "dataplane/ingress/quote.hh"

#include <catch2/catch.hpp>

#include "tests/support/packet_builder.hh"

using namespace sluice;
using namespace sluice::test;

namespace {

constexpr Ip4 kClient = ip4(192, 0, 2, 7);
constexpr Ip4 kServer = ip4(203, 0, 113, 9);

std::optional<FlowKey> read(const PacketBuilder& packet, std::size_t bytes = 2000) {
    auto quote = packet.ip_packet();
    quote.resize(std::min(quote.size(), bytes));
    return quoted_tuple(quote, 7);
}

}  // namespace

TEST_CASE("a quote's tuple is the quoted packet's, in its zone") {
    CHECK(read(tcp(kClient, 40000, kServer, 80)) == port_key(IpProto::tcp, kClient, be16(40000), kServer, be16(80), 7));
    CHECK(read(udp(kClient, 5000, kServer, 53).payload("q")) ==
          port_key(IpProto::udp, kClient, be16(5000), kServer, be16(53), 7));
    CHECK(read(echo_request(kClient, kServer, 77)) == icmp_key(kClient, kServer, 8, 0, be16(77), 7));
    CHECK(read(echo_reply(kClient, kServer, 77)) == icmp_key(kClient, kServer, 0, 0, be16(77), 7));
    CHECK(read(protocol(99, kClient, kServer)) == generic_key(99, kClient, kServer, 7));
    CHECK(read(udp(kClient, 5000, kServer, 53).fragment(0, true)).has_value());
    const std::uint8_t nops[] = {1, 1, 1, 1};
    CHECK(read(udp(kClient, 5000, kServer, 53).ip_option(nops)) ==
          port_key(IpProto::udp, kClient, be16(5000), kServer, be16(53), 7));
}

TEST_CASE("a quote may end behind what names the flow") {
    for (std::size_t bytes = 0; bytes <= 28; ++bytes) {
        INFO(bytes);
        CHECK(read(tcp(kClient, 1, kServer, 2), bytes).has_value() == (bytes >= 24));
        CHECK(read(udp(kClient, 1, kServer, 2), bytes).has_value() == (bytes >= 24));
        CHECK(read(echo_request(kClient, kServer, 1), bytes).has_value() == (bytes >= 28));
        CHECK(read(protocol(99, kClient, kServer).payload("0123456789"), bytes).has_value() == (bytes >= 20));
    }
    const std::uint8_t nops[] = {1, 1, 1, 1};
    for (std::size_t bytes = 20; bytes <= 32; ++bytes)
        CHECK(read(udp(kClient, 1, kServer, 2).ip_option(nops), bytes).has_value() == (bytes >= 28));
}

TEST_CASE("what names no flow") {
    CHECK_FALSE(read(udp(kClient, 1, kServer, 2).version(6)));
    CHECK_FALSE(read(udp(kClient, 1, kServer, 2).ihl(4)));
    CHECK_FALSE(read(udp(kClient, 1, kServer, 2).ihl(15)));
    CHECK_FALSE(read(udp(kClient, 1, kServer, 2).fragment(8, true)));
    CHECK_FALSE(read(protocol(99, kClient, kServer).fragment(8, false)));
    CHECK_FALSE(read(icmp_error(kClient, kServer, 3, 3, udp(kServer, 1, kClient, 2))));
    CHECK_FALSE(read(icmp(kClient, kServer, 9, 0)));
}

TEST_CASE("a quote of IPv6 is read through its headers, also of a first fragment") {
    constexpr IpAddress kHere = ip6(0x2001, 0xdb8, 1, 0, 0, 0, 0, 7), kThere = ip6(0x2001, 0xdb8, 2, 0, 0, 0, 0, 9);
    const auto read6 = [](const PacketBuilder& packet, std::size_t bytes = 2000) {
        auto quote = packet.ip_packet();
        quote.resize(std::min(quote.size(), bytes));
        return quoted_tuple6(quote, 7);
    };
    const FlowKey key = port_key(IpProto::udp, kHere, be16(5000), kThere, be16(53), 7);
    const auto packet = udp(kHere, 5000, kThere, 53).payload("q");
    CHECK(read6(packet) == key);
    CHECK(read6(PacketBuilder(packet).hop_by_hop().destination_options()) == key);
    CHECK(read6(PacketBuilder(packet).fragment(0, true)) == key);
    CHECK(read6(PacketBuilder(packet).hop_by_hop().fragment(0, true).destination_options()) == key);
    CHECK_FALSE(read6(PacketBuilder(packet).fragment(8, true)));
    CHECK_FALSE(read6(PacketBuilder(packet).fragment(0, true).destination_options(), 40 + 8 + 7));
    for (std::size_t bytes = 0; bytes <= 40 + 8 + 8; ++bytes) {
        INFO(bytes);
        CHECK(read6(PacketBuilder(packet).fragment(0, true), bytes).has_value() == (bytes >= 40 + 8 + 4));
    }
}

TEST_CASE("a quote of IPv6 that ends within an extension header names a flow without ports") {
    constexpr IpAddress kHere = ip6(0x2001, 0xdb8, 1, 0, 0, 0, 0, 7), kThere = ip6(0x2001, 0xdb8, 2, 0, 0, 0, 0, 9);
    const auto cut = [](PacketBuilder packet, std::size_t bytes) {
        auto quote = packet.ip_packet();
        quote.resize(std::min(quote.size(), 40 + bytes));
        return quoted_tuple6(quote, 7);
    };
    const auto plain = protocol(253, kHere, kThere).payload("something");
    const FlowKey key = generic_key(253, kHere, kThere, 7);
    for (std::size_t bytes = 0; bytes <= 24; ++bytes) {
        INFO(bytes);
        const auto options = cut(PacketBuilder(plain).destination_options(), bytes);
        CHECK(options.has_value() == (bytes >= 2));
        if (options) CHECK(*options == key);
        const auto both = cut(PacketBuilder(plain).fragment(0, true).destination_options(), bytes);
        CHECK(both.has_value() == (bytes >= 8 + 2));
        if (both) CHECK(*both == key);
        CHECK(cut(PacketBuilder(plain).fragment(0, true), bytes).has_value() == (bytes >= 4));
        // Ports are behind it.
        const auto ports = udp(kHere, 5000, kThere, 53).destination_options();
        CHECK(cut(ports, bytes).has_value() == (bytes >= 8 + 4));
    }
}

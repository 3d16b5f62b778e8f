// The chain of extension headers: where it ends, and what is refused, for packets cut at every byte.
#include "dataplane/ingress/ip6_header.hh"

#include <random>
#include <vector>

#include <catch2/catch.hpp>

#include "tests/support/packet_builder.hh"

using namespace sluice;
using namespace sluice::test;

namespace {

constexpr IpAddress kFrom = ip6(0x2001, 0xdb8, 1, 0, 0, 0, 0, 7), kTo = ip6(0x2001, 0xdb8, 2, 0, 0, 0, 0, 9);
using End = Ip6Walk::End;

PacketBuilder question() {
    return udp(kFrom, 40000, kTo, 53).payload("question");
}
Ip6Walk walk(const PacketBuilder& b) {
    return walk_ip6(b.ip_packet());
}

}  // namespace

TEST_CASE("without extension headers the transport header is behind the IPv6 header") {
    const Ip6Walk w = walk(question());
    CHECK(w.end == End::transport);
    CHECK(w.proto == 17);
    CHECK(w.l4_offset == 40);
    CHECK(w.named_at == 6);
}

TEST_CASE("every extension header is passed by its own length") {
    const std::vector<std::uint8_t> long_options(30);  // 32 bytes with its head
    const Ip6Walk w = walk(question()
                               .hop_by_hop()                                  // 8
                               .destination_options(long_options)             // 32
                               .routing(4)                                    // 8
                               .extension(51, std::vector<std::uint8_t>(22))  // 24
                               .fragment(0, false)                            // 8: a whole datagram
                               .destination_options());                       // 8
    CHECK(w.end == End::transport);
    CHECK(w.proto == 17);
    CHECK(w.l4_offset == 40 + 8 + 32 + 8 + 24 + 8 + 8);
    CHECK(w.named_at == w.l4_offset - 8);
    CHECK(w.offset == 0);
    CHECK_FALSE(w.more);
}

TEST_CASE("what is no extension header is the transport's, known or not") {
    for (const unsigned number : {1U, 6U, 17U, 47U, 50U, 58U, 59U, 99U, 132U, 135U, 139U, 140U, 255U}) {
        const Ip6Walk w = walk(protocol(number, kFrom, kTo).payload_bytes(20).hop_by_hop());
        CHECK(w.end == End::transport);
        CHECK(w.proto == number);
        CHECK(w.l4_offset == 48);
    }
}

TEST_CASE("fragments end the walk: behind their header lie bytes that may be anything") {
    const Ip6Walk first = walk(question().hop_by_hop().ip_id(0x12345678).fragment(0, true));
    CHECK(first.end == End::fragment);
    CHECK(first.proto == 17);
    CHECK(first.l4_offset == 56);
    CHECK(first.offset == 0);
    CHECK(first.more);
    CHECK(first.id.host() == 0x12345678);
    const Ip6Walk last = walk(protocol(60, kFrom, kTo).payload_bytes(16).fragment(1480, false));
    CHECK(last.end == End::fragment);
    CHECK(last.proto == 60);
    CHECK(last.l4_offset == 48);
    CHECK(last.offset == 1480);
    CHECK_FALSE(last.more);
}

TEST_CASE("the quote of a first fragment is read to its transport header, of a later one it is not") {
    const Ip6Walk first = walk_quote(question().fragment(0, true).destination_options().ip_packet());
    CHECK(first.end == End::transport);
    CHECK(first.proto == 17);
    CHECK(first.l4_offset == 40 + 8 + 8);
    CHECK(walk_quote(question().fragment(8, false).ip_packet()).end == End::fragment);
}

TEST_CASE("refused: source routes, hop-by-hop options elsewhere, too many headers") {
    CHECK(walk(question().routing(0)).end == End::source_route);
    CHECK(walk(question().destination_options().routing(0, 1)).end == End::source_route);
    CHECK(walk(question().routing(2)).end == End::transport);
    CHECK(walk(question().destination_options().hop_by_hop()).end == End::malformed);
    CHECK(walk(question().hop_by_hop().hop_by_hop()).end == End::malformed);
    PacketBuilder chain = question().hop_by_hop();
    for (int i = 0; i < 7; ++i) chain.destination_options();
    CHECK(walk(chain).end == End::transport);
    CHECK(walk(chain.destination_options()).end == End::malformed);
}

TEST_CASE("a chain that is cut anywhere, or lies about a length, is malformed and is not read beyond") {
    const auto packet =
        question().hop_by_hop().destination_options(std::vector<std::uint8_t>(14)).routing(3).ip_packet();
    const std::size_t transport = 40 + 8 + 16 + 8;
    for (std::size_t size = 40; size <= packet.size(); ++size) {
        // Exactly that many bytes on the heap: the address sanitizer sees any other.
        const std::vector<std::uint8_t> cut(packet.begin(), packet.begin() + static_cast<std::ptrdiff_t>(size));
        const Ip6Walk w = walk_ip6(cut);
        INFO(size << " bytes");
        CHECK((w.end == End::transport) == (size >= transport));
        if (w.end == End::transport) CHECK(w.l4_offset == transport);
    }
    CHECK(walk(question().destination_options().extension_length(3)).end == End::malformed);
    CHECK(walk(question().destination_options().extension_length(255)).end == End::malformed);
    // One that points into the question: what is read there is taken for headers, but never beyond the packet.
    std::mt19937 random(8200);
    for (int i = 0; i < 20000; ++i) {
        std::vector<std::uint8_t> bytes(40 + random() % 100);
        for (auto& b : bytes) b = static_cast<std::uint8_t>(random() % 3 == 0 ? 60 : random() % 70);
        const Ip6Walk w = walk_ip6(bytes);
        if (w.end == End::transport || w.end == End::fragment) {
            CHECK(w.l4_offset <= bytes.size());
            CHECK(w.named_at < bytes.size());
            if (w.end == End::transport) CHECK(bytes[w.named_at] == w.proto);
        }
    }
}

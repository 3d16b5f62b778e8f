#include "dataplane/flow/flow_key.hh"

#include <array>

#include <catch2/catch.hpp>

using namespace sluice;

namespace {
constexpr Ip4 kClient = ip4(192, 0, 2, 7);
constexpr Ip4 kServer = ip4(203, 0, 113, 9);
}  // namespace

TEST_CASE("the inverse of a TCP or UDP key swaps addresses and ports and keeps protocol and zone") {
    for (const IpProto proto : {IpProto::tcp, IpProto::udp}) {
        const FlowKey key = port_key(proto, kClient, be16(40100), kServer, be16(21), 5);
        const FlowKey back = invert(key);
        CHECK(back == port_key(proto, kServer, be16(21), kClient, be16(40100), 5));
        CHECK_FALSE(back == key);
        CHECK(invert(back) == key);
    }
}

TEST_CASE("each ICMP query pairs with its answer and keeps the identifier where it is") {
    struct Pair {
        std::uint8_t request, answer;
    };
    for (const auto [request, answer] : {Pair{8, 0}, Pair{13, 14}, Pair{15, 16}, Pair{17, 18}}) {
        const FlowKey asked = icmp_key(kClient, kServer, request, 0, be16(77));
        const FlowKey answered = icmp_key(kServer, kClient, answer, 0, be16(77));
        CHECK(invert(asked) == answered);
        CHECK(invert(answered) == asked);
        CHECK(icmp_is_request(request, false));
        CHECK_FALSE(icmp_is_request(answer, false));
    }
}

TEST_CASE("an ICMP type without a counterpart is kept, and is said to have none") {
    for (const std::uint8_t type : std::to_array<std::uint8_t>({3, 4, 5, 9, 10, 11, 12, 19, 255})) {
        CHECK_FALSE(icmp_inverse(type, false).has_value());
        CHECK_FALSE(icmp_is_request(type, false));
        const FlowKey key = icmp_key(kClient, kServer, type, 1, be16(1));
        CHECK(invert(key) == icmp_key(kServer, kClient, type, 1, be16(1)));
    }
}

TEST_CASE("type and code lie in the destination port in network order") {
    const FlowKey key = icmp_key(kClient, kServer, 8, 3, be16(77));
    CHECK(key.icmp_type() == 8);
    CHECK(key.icmp_code() == 3);
    CHECK(key.dport.host() == 0x0803);
    CHECK(key.sport.host() == 77);
}

TEST_CASE("protocols without ports are told apart by number and addresses") {
    const FlowKey gre = generic_key(47, kClient, kServer);
    CHECK(gre.sport.raw == 0);
    CHECK(gre.dport.raw == 0);
    CHECK(invert(gre) == generic_key(47, kServer, kClient));
    CHECK_FALSE(gre == generic_key(50, kClient, kServer));
    CHECK_FALSE(gre == generic_key(47, kClient, kServer, 1));
}

TEST_CASE("what answers ESP nobody can know: it gets a place to wait in") {
    FlowKey key = generic_key(50, kClient, kServer);
    key.sport = be16(0x1234);
    key.dport = be16(0x5678);
    CHECK_FALSE(is_waiting(key));
    const FlowKey answer = invert(key);
    CHECK(answer == generic_key(50, kServer, kClient));
    CHECK(is_waiting(answer));
    CHECK(is_waiting(waiting_key(answer, kWaitingPlaces - 1)));
    CHECK_FALSE(is_waiting(waiting_key(answer, kWaitingPlaces)));
    CHECK_FALSE(is_waiting(generic_key(47, kServer, kClient)));
}

TEST_CASE("every protocol number has a tracker") {
    CHECK(l4_kind(6, false) == L4Kind::tcp);
    CHECK(l4_kind(17, false) == L4Kind::udp);
    CHECK(l4_kind(1, false) == L4Kind::icmp);
    CHECK(l4_kind(132, false) == L4Kind::sctp);
    CHECK(l4_kind(47, false) == L4Kind::gre);
    CHECK(l4_kind(136, false) == L4Kind::udplite);
    CHECK(l4_kind(50, false) == L4Kind::esp);
    CHECK(shape_of(L4Kind::sctp) == TupleShape::ports);
    CHECK(name_of(L4Kind::esp) == "unknown");
    for (const std::uint8_t proto : std::to_array<std::uint8_t>({0, 2, 41, 51, 58, 255}))
        CHECK(l4_kind(proto, false) == L4Kind::generic);
}

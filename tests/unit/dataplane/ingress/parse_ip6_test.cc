// parse, for IPv6: every reason to drop, what is punted, and what Packet says of the rest.
#include <vector>

#include <catch2/catch.hpp>

#include "dataplane/ingress/parse.hh"
#include "tests/support/l4_packets.hh"
#include "tests/support/packet_room.hh"

using namespace sluice;
using namespace sluice::test;

namespace {

constexpr IpAddress kClient = ip6(0x2001, 0xdb8, 1, 0, 0, 0, 0, 7), kServer = ip6(0x2001, 0xdb8, 2, 0, 0, 0, 0, 9);
constexpr IpAddress kLink = ip6(0xfe80, 0, 0, 0, 0, 0, 0, 7), kNobody{};
constexpr IpAddress kAllNodes = ip6(0xff02, 0, 0, 0, 0, 0, 0, 1);

PacketBuilder plain_tcp() {
    return tcp(kClient, 40000, kServer, 80);
}
PacketBuilder plain_udp() {
    return udp(kClient, 40000, kServer, 53).payload("query");
}

struct Room : PacketRoom {
    Room() { ports->enable_ipv6(true); }
    Arrival run(Packet& p) { return parse(p, *ports, disposal); }
    void check_dropped(const char* what, const PacketBuilder& b, DropReason reason) {
        INFO(what);
        Packet p = arrive(b);
        const auto before = drops(reason), all = drops();
        CHECK(run(p) == Arrival::gone);
        CHECK(drops(reason) == before + 1);
        CHECK(drops() == all + 1);
        CHECK(p.mbuf == nullptr);
    }
    void check_punted(const char* what, const PacketBuilder& b, PuntClass punt_class) {
        INFO(what);
        Packet p = arrive(b);
        const Arrival arrival = run(p);
        CHECK(arrival == Arrival::punt);
        if (arrival == Arrival::gone) return;
        CHECK(p.punt_class == punt_class);
        rte_pktmbuf_free(p.mbuf);
    }
    /// The packet as parse leaves it; freed.
    Packet parsed(const PacketBuilder& b) {
        Packet p = arrive(b);
        REQUIRE(run(p) == Arrival::forward);
        rte_pktmbuf_free(p.mbuf);
        return p;
    }
};

}  // namespace

TEST_CASE_METHOD(Room, "IPv6: every malformed or unwanted packet has its reason") {
    struct Row {
        const char* what;
        PacketBuilder packet;
        DropReason reason;
    };
    const IpAddress group = ip6(0xff0e, 0, 0, 0, 0, 0, 0, 9), loopback = ip6(0, 0, 0, 0, 0, 0, 0, 1);
    const IpAddress mapped = ip4(192, 0, 2, 1);
    const std::vector<Row> rows{
        {"no header", plain_tcp().cut_to(14), DropReason::ip_short},
        {"39 bytes", plain_tcp().cut_to(14 + 39), DropReason::ip_short},
        {"version 4", plain_tcp().version(4), DropReason::ip_version},
        {"length of a jumbogram", plain_udp().hop_by_hop().total_length(40), DropReason::ip_total_length},
        {"length of none", plain_tcp().total_length(40), DropReason::l4_short},
        {"length beyond the frame", plain_tcp().total_length(61), DropReason::ip_total_length},
        {"cut by one byte", plain_tcp().cut_to(14 + 59), DropReason::ip_total_length},
        {"from ::1", udp(loopback, 1, kServer, 2), DropReason::ip_martian_source},
        {"from ::", udp(kNobody, 1, kServer, 2), DropReason::ip_martian_source},
        {"from a group", udp(group, 1, kServer, 2), DropReason::ip_martian_source},
        {"from a mapped address", udp(mapped, 1, mapped, 2).as_ip6(), DropReason::ip_martian_source},
        {"to ::1", udp(kClient, 1, loopback, 2), DropReason::ip_martian_destination},
        {"to ::", udp(kClient, 1, kNobody, 2), DropReason::ip_martian_destination},
        {"to a group", udp(kClient, 1, group, 2), DropReason::multicast},
        {"to oneself", udp(kClient, 1, kClient, 2), DropReason::ip_land_attack},
        {"routing header of type 0", plain_udp().routing(0), DropReason::ip_source_route},
        {"hop-by-hop in the second place", plain_udp().destination_options().hop_by_hop(), DropReason::ip6_extension},
        {"options beyond the packet", plain_udp().hop_by_hop().extension_length(9), DropReason::ip6_extension},
        {"19 bytes of TCP", plain_tcp().total_length(59), DropReason::l4_short},
        {"TCP offset", plain_tcp().data_offset(4), DropReason::tcp_header_length},
        {"TCP checksum", plain_tcp().break_checksum(), DropReason::tcp_checksum},
        {"UDP length", plain_udp().udp_length(14), DropReason::udp_length},
        {"UDP checksum", plain_udp().break_checksum(), DropReason::udp_checksum},
        {"7 bytes of ICMPv6", echo_request(kClient, kServer, 1).total_length(47), DropReason::l4_short},
        {"ICMPv6 checksum", echo_request(kClient, kServer, 1).break_checksum(), DropReason::icmp_checksum},
        {"ICMPv6 error's checksum", icmp_error(kServer, kClient, 1, 4, plain_udp()).break_checksum(),
         DropReason::icmp_checksum},
    };
    for (const Row& row : rows) check_dropped(row.what, row.packet, row.reason);
}

TEST_CASE_METHOD(Room, "IPv6: discovery and what is of the link is punted, before any look at addresses") {
    for (const IpAddress& from : {kLink, kNobody, kClient}) {
        for (const unsigned type : {130U, 131U, 132U, 133U, 134U, 135U, 136U, 137U, 143U})
            check_punted("discovery", icmp(from, kAllNodes, type, 0).to({{0x33, 0x33, 0, 0, 0, 1}}), PuntClass::arp_nd);
        check_punted("to one host", icmp(from, kServer, 135, 0), PuntClass::arp_nd);
        check_punted("behind a router alert", icmp(from, kAllNodes, 143, 0).hop_by_hop(), PuntClass::arp_nd);
        check_punted("DHCPv6", udp(from, 546, ip6(0xff02, 0, 0, 0, 0, 0, 1, 2), 547).to({{0x33, 0x33, 0, 1, 0, 2}}),
                     PuntClass::routing);
        check_punted("OSPF", protocol(89, from, ip6(0xff02, 0, 0, 0, 0, 0, 0, 5)).payload_bytes(40),
                     PuntClass::routing);
    }
    check_punted("of the interface", udp(kLink, 1, ip6(0xff01, 0, 0, 0, 0, 0, 0, 1), 2), PuntClass::routing);
    // Discovery is still the kernel's when IPv6 is not forwarded; nothing else is anybody's.
    ports->enable_ipv6(false);
    check_punted("discovery", icmp(kLink, kAllNodes, 135, 0), PuntClass::arp_nd);
    check_dropped("DHCPv6", udp(kLink, 546, ip6(0xff02, 0, 0, 0, 0, 0, 1, 2), 547), DropReason::ip6_off);
    check_dropped("UDP", plain_udp(), DropReason::ip6_off);
    check_dropped("half a header", plain_udp().cut_to(14 + 20), DropReason::ip6_off);
}

TEST_CASE_METHOD(Room, "IPv6: what a sound packet is") {
    const Packet p = parsed(plain_tcp().payload("GET").pad_to(100));
    CHECK(p.v6);
    CHECK(p.l3_bytes == 63);
    CHECK(p.l4_bytes == 23);
    CHECK(p.proto == 6);
    CHECK(p.payload_offset == 20);
    CHECK(p.trackable);
    CHECK(p.key == port_key(IpProto::tcp, kClient, be16(40000), kServer, be16(80)));
    CHECK(p.key.is_v6());
    CHECK(p.key.kind() == L4Kind::tcp);

    const Packet behind = parsed(plain_udp().hop_by_hop().destination_options());
    CHECK(behind.l4_bytes == 8 + 5);
    CHECK(behind.proto == 17);
    CHECK(behind.key == port_key(IpProto::udp, kClient, be16(40000), kServer, be16(53)));

    const Packet ping = parsed(echo_request(kClient, kServer, 77));
    CHECK(ping.key == icmp_key(kClient, kServer, 128, 0, be16(77)));
    CHECK(ping.key.kind() == L4Kind::icmpv6);
    CHECK(invert(ping.key) == icmp_key(kServer, kClient, 129, 0, be16(77)));

    const Packet other = parsed(protocol(99, kClient, kServer).payload_bytes(1));
    CHECK(other.key == generic_key(99, kClient, kServer));
    CHECK(parsed(protocol(59, kClient, kServer).payload_bytes(1)).key.kind() == L4Kind::generic);
    const Packet empty = parsed(protocol(253, kClient, kServer).pad_to(60));
    CHECK(empty.l3_bytes == 40);
    CHECK(empty.l4_bytes == 0);
    CHECK(empty.key == generic_key(253, kClient, kServer));
    CHECK(parsed(sctp(kClient, 5000, kServer, 36412, 0, {sctp_chunk_of(1, 0, 99)})).key.kind() == L4Kind::sctp);
    // Without a checksum: RFC 6935 lets tunnels do that.
    CHECK(parsed(plain_udp().no_udp_checksum()).key.kind() == L4Kind::udp);
}

TEST_CASE_METHOD(Room, "IPv6: an error has the key of the flow's packets that travel its way") {
    const Packet error = parsed(icmp_error(kServer, kClient, 1, 4, plain_udp()));
    CHECK(error.icmp_error);
    CHECK(error.trackable);
    CHECK(error.key == port_key(IpProto::udp, kServer, be16(53), kClient, be16(40000)));
    for (const unsigned type : {1U, 2U, 3U, 4U, 100U, 127U})
        CHECK(parsed(icmp_error(kServer, kClient, type, 0, plain_udp())).icmp_error);
    // Not to the one who sent what it quotes, or of the other family.
    CHECK_FALSE(parsed(icmp_error(kServer, ip6(0x2001, 0xdb8, 1, 0, 0, 0, 0, 8), 1, 4, plain_udp())).trackable);
    const auto v4 = udp(ip4(192, 0, 2, 1), 1, ip4(192, 0, 2, 2), 2).ip_packet();
    CHECK_FALSE(parsed(icmp(kServer, kClient, 1, 4).payload(v4)).trackable);
    // No error and no query.
    const Packet unknown = parsed(icmp(kServer, kClient, 200, 0));
    CHECK_FALSE(unknown.icmp_error);
    CHECK_FALSE(unknown.trackable);
    CHECK(unknown.invalid_reason == InvalidReason::icmp_type);
}

#include "dataplane/ingress/parse.hh"

#include <array>
#include <string>
#include <vector>

#include <catch2/catch.hpp>

#include "tests/support/packet_room.hh"

using namespace sluice;
using namespace sluice::test;

namespace {

constexpr Ip4 kClient = ip4(192, 0, 2, 7);
constexpr Ip4 kServer = ip4(203, 0, 113, 9);
constexpr Ip4 kAny = ip4(0, 0, 0, 0), kEverybody = ip4(255, 255, 255, 255);

PacketBuilder plain_tcp() {
    return tcp(kClient, 40000, kServer, 80);
}
PacketBuilder plain_udp() {
    return udp(kClient, 40000, kServer, 53).payload("query");
}

PacketBuilder with_option(std::initializer_list<std::uint8_t> bytes) {
    const std::vector<std::uint8_t> option(bytes);
    return plain_udp().ip_option(option);
}

/// IPv6 header from :: to ::, `next` header, then `rest`.
PacketBuilder ipv6(std::uint8_t next, std::vector<std::uint8_t> rest) {
    std::vector<std::uint8_t> bytes(40);
    bytes[0] = 0x60;
    bytes[5] = static_cast<std::uint8_t>(rest.size());
    bytes[6] = next;
    bytes.insert(bytes.end(), rest.begin(), rest.end());
    return raw(0x86dd, bytes);
}
std::vector<std::uint8_t> icmpv6(std::uint8_t type) {
    return {type, 0, 0, 0, 0, 0, 0, 0};
}
std::vector<std::uint8_t> after_router_alert(std::uint8_t type) {
    std::vector<std::uint8_t> bytes{58, 0, 5, 2, 0, 0, 1, 0};
    const auto message = icmpv6(type);
    bytes.insert(bytes.end(), message.begin(), message.end());
    return bytes;
}

/// A DHCP offer: op 2, chaddr at 28.
PacketBuilder offer(Ip4 from, Ip4 to, MacAddress client) {
    std::vector<std::uint8_t> bootp(240);
    bootp[0] = 2;
    std::copy(client.bytes.begin(), client.bytes.end(), bootp.begin() + 28);
    return udp(from, 67, to, 68).payload(bootp);
}

struct Room : PacketRoom {
    Arrival run(Packet& p) { return parse(p, *ports, disposal); }
    void check_dropped(const char* what, const PacketBuilder& b, DropReason reason) {
        INFO(what);
        Packet p = arrive(b);
        const auto before = drops(reason);
        const auto all = drops();
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
        CHECK(p.in_port == kLan);
        rte_pktmbuf_free(p.mbuf);
    }
    void check_forwarded(const char* what, const PacketBuilder& b) {
        INFO(what);
        Packet p = arrive(b);
        const Arrival arrival = run(p);
        CHECK(arrival == Arrival::forward);
        if (arrival != Arrival::gone) rte_pktmbuf_free(p.mbuf);
    }
};

}  // namespace

TEST_CASE_METHOD(Room, "every malformed or unwanted packet has its reason") {
    struct Row {
        const char* what;
        PacketBuilder packet;
        DropReason reason;
    };
    const std::vector<Row> rows{
        {"empty frame", plain_tcp().cut_to(0), DropReason::eth_short},
        {"13 bytes", plain_tcp().cut_to(13), DropReason::eth_short},
        {"tag cut short", plain_tcp().vlan(20).cut_to(16), DropReason::eth_unknown_type},
        {"nothing behind the tag", plain_tcp().vlan(20).cut_to(18), DropReason::ip_short},
        {"another station's MAC", plain_tcp().to(mac(99)), DropReason::eth_wrong_mac},
        {"the other device's MAC", plain_tcp().to(mac(3)), DropReason::eth_wrong_mac},
        {"VLAN that no port has", plain_tcp().vlan(21), DropReason::vlan_unknown},
        {"LLDP", raw(0x88cc, std::array<std::uint8_t, 50>{}), DropReason::eth_unknown_type},
        {"802.3 length", raw(60, std::array<std::uint8_t, 60>{}), DropReason::eth_unknown_type},
        {"IPv6 TCP", ipv6(6, std::vector<std::uint8_t>(20)), DropReason::ip6_off},
        {"ICMPv6 echo", ipv6(58, icmpv6(128)), DropReason::ip6_off},
        {"IPv6 cut short", ipv6(58, {}), DropReason::ip6_off},
        {"hop-by-hop header beyond the packet", ipv6(0, {58, 200, 0, 0, 0, 0, 0, 0}), DropReason::ip6_off},
        {"no IPv4 header", plain_tcp().cut_to(14), DropReason::ip_short},
        {"19 bytes of IPv4", plain_tcp().cut_to(14 + 19), DropReason::ip_short},
        {"version 6", plain_tcp().version(6), DropReason::ip_version},
        {"IHL 4", plain_tcp().ihl(4), DropReason::ip_header_length},
        {"IHL beyond the frame", plain_udp().ihl(15), DropReason::ip_header_length},
        {"total length below the header", plain_tcp().total_length(19), DropReason::ip_total_length},
        {"total length beyond the frame", plain_tcp().total_length(41), DropReason::ip_total_length},
        {"IPv4 checksum", plain_tcp().break_ip_checksum(), DropReason::ip_checksum},
        {"loose source route", with_option({131, 7, 4, 198, 51, 100, 1}), DropReason::ip_source_route},
        {"strict source route behind NOPs", with_option({1, 1, 137, 3, 4}), DropReason::ip_source_route},
        {"option of length 0", with_option({7, 0, 4, 0}), DropReason::ip_option_malformed},
        {"option of length 1", with_option({7, 1, 4, 0}), DropReason::ip_option_malformed},
        {"option beyond the header", with_option({7, 5, 4, 0}), DropReason::ip_option_malformed},
        {"option type at the last byte", with_option({1, 1, 1, 7}), DropReason::ip_option_malformed},
        {"loopback source", udp(ip4(127, 0, 0, 1), 1, kServer, 2), DropReason::ip_martian_source},
        {"source in 0/8", udp(ip4(0, 0, 0, 1), 1, kServer, 2), DropReason::ip_martian_source},
        {"unspecified source without DHCP", udp(kAny, 1, kServer, 2), DropReason::ip_martian_source},
        {"multicast source", udp(ip4(224, 0, 0, 5), 1, kServer, 2), DropReason::ip_martian_source},
        {"reserved source", udp(ip4(240, 0, 0, 1), 1, kServer, 2), DropReason::ip_martian_source},
        {"broadcast source", udp(kEverybody, 1, kServer, 2), DropReason::ip_martian_source},
        {"loopback destination", udp(kClient, 1, ip4(127, 0, 0, 1), 2), DropReason::ip_martian_destination},
        {"destination in 0/8", udp(kClient, 1, ip4(0, 1, 2, 3), 2), DropReason::ip_martian_destination},
        {"reserved destination", udp(kClient, 1, ip4(250, 0, 0, 1), 2), DropReason::ip_martian_destination},
        {"land attack", tcp(kServer, 80, kServer, 80).flags(kSyn), DropReason::ip_land_attack},
        {"multicast stream", udp(kClient, 1, ip4(239, 1, 1, 1), 2), DropReason::multicast},
        {"19 bytes of TCP", plain_tcp().total_length(39), DropReason::l4_short},
        {"7 bytes of UDP", plain_udp().total_length(27), DropReason::l4_short},
        {"7 bytes of ICMP", icmp(kClient, kServer, 8, 0).total_length(27), DropReason::l4_short},
        {"data offset 4", plain_tcp().data_offset(4), DropReason::tcp_header_length},
        {"data offset beyond the segment", plain_tcp().data_offset(6), DropReason::tcp_header_length},
        {"TCP checksum", plain_tcp().break_checksum(), DropReason::tcp_checksum},
        {"UDP length 7", plain_udp().udp_length(7), DropReason::udp_length},
        {"UDP length beyond the packet", plain_udp().udp_length(14), DropReason::udp_length},
        {"UDP checksum", plain_udp().break_checksum(), DropReason::udp_checksum},
        {"ICMP checksum", echo_request(kClient, kServer, 1).break_checksum(), DropReason::icmp_checksum},
    };
    for (const Row& row : rows) check_dropped(row.what, row.packet, row.reason);
}

TEST_CASE_METHOD(Room, "control traffic for the box is punted before anything is a martian") {
    const std::uint8_t router_alert[] = {148, 4, 0, 0};
    check_punted("ARP", arp_request(mac(9), kClient, kServer), PuntClass::arp_nd);
    check_punted("DAD", ipv6(58, icmpv6(135)).to({{0x33, 0x33, 0, 0, 0, 1}}), PuntClass::arp_nd);
    check_punted("router advertisement", ipv6(58, icmpv6(134)), PuntClass::arp_nd);
    check_punted("MLDv2 report", ipv6(0, after_router_alert(143)), PuntClass::arp_nd);
    check_punted("MLD query", ipv6(0, after_router_alert(130)), PuntClass::arp_nd);
    check_punted("DHCP discover", udp(kAny, 68, kEverybody, 67).to(kBroadcastMac), PuntClass::routing);
    check_punted("DHCP request, unicast frame", udp(kAny, 68, kServer, 67), PuntClass::routing);
    check_punted("DHCP offer to an address that is not ours yet", offer(kServer, kClient, mac(2)), PuntClass::routing);
    check_punted("IGMPv2 report", protocol(2, kClient, ip4(239, 1, 1, 1)).ip_option(router_alert), PuntClass::routing);
    check_punted("OSPF hello", protocol(89, kClient, ip4(224, 0, 0, 5)).ttl(1), PuntClass::routing);
    check_punted("large OSPF update, a fragment",
                 protocol(89, kClient, ip4(224, 0, 0, 5)).payload_bytes(64).fragment(0, true), PuntClass::routing);
    check_punted("VRRP", protocol(112, kClient, ip4(224, 0, 0, 18)), PuntClass::routing);
    check_punted("limited broadcast", udp(kClient, 520, kEverybody, 520), PuntClass::routing);

    check_forwarded("DHCP between a relay and a server", udp(kClient, 67, kServer, 67).payload_bytes(240));
    check_forwarded("DHCP offer for somebody else", offer(kServer, kClient, mac(77)));
    check_dropped("multicast just outside the local block", protocol(89, kClient, ip4(224, 0, 1, 0)),
                  DropReason::multicast);
    check_dropped("broken header, even for a group", protocol(89, kClient, ip4(224, 0, 0, 5)).break_ip_checksum(),
                  DropReason::ip_checksum);
}

TEST_CASE_METHOD(Room, "what is odd but legal goes on") {
    check_forwarded("record route", with_option({7, 7, 4, 0, 0, 0, 0}));
    check_forwarded("end of list, junk behind it", with_option({0, 131, 0, 0}));
    check_forwarded("port 0", tcp(kClient, 0, kServer, 0));
    check_forwarded("a Christmas tree is conntrack's business", plain_tcp().flags(0x3f));
    check_forwarded("no UDP checksum", plain_udp().no_udp_checksum());
    check_forwarded("TTL 0 is transmit's business", plain_udp().ttl(0));
    check_forwarded("link-local source", udp(ip4(169, 254, 1, 1), 1, kServer, 2));
    check_forwarded("frame to a group, packet to a host", plain_udp().to(kBroadcastMac));
    check_forwarded("protocol without payload", protocol(99, kClient, kServer));
}

TEST_CASE_METHOD(Room, "a TCP segment is taken apart and its padding cut") {
    Packet p = arrive(plain_tcp().mss(1460).payload("hi").pad_to(80));
    REQUIRE(run(p) == Arrival::forward);
    CHECK(p.in_port == kLan);
    CHECK(p.l3_bytes == 20 + 24 + 2);
    CHECK(p.l4_bytes == 26);
    CHECK(p.l4 - p.l3 == 20);
    CHECK(p.payload_offset == 24);
    CHECK(std::string(p.payload().begin(), p.payload().end()) == "hi");
    CHECK(p.key == port_key(IpProto::tcp, kClient, be16(40000), kServer, be16(80)));
    CHECK(rte_pktmbuf_pkt_len(p.mbuf) == 14U + p.l3_bytes);
    CHECK(rte_pktmbuf_data_len(p.mbuf) == 14U + p.l3_bytes);
    rte_pktmbuf_free(p.mbuf);
}

TEST_CASE_METHOD(Room, "bytes between the datagram and the end of the packet are not its payload") {
    Packet p = arrive(udp(kClient, 1, kServer, 2).udp_length(8).no_udp_checksum().payload("trailer"));
    REQUIRE(run(p) == Arrival::forward);
    CHECK(p.payload().empty());
    CHECK(p.l3_bytes == 20 + 8 + 7);
    rte_pktmbuf_free(p.mbuf);
}

TEST_CASE_METHOD(Room, "ICMP: queries have a key, errors and unknown types a mark") {
    Packet query = arrive(echo_request(kClient, kServer, 77, 3).payload_bytes(56));
    REQUIRE(run(query) == Arrival::forward);
    CHECK(query.key == icmp_key(kClient, kServer, 8, 0, be16(77)));
    CHECK(query.trackable);
    CHECK_FALSE(query.icmp_error);

    for (const unsigned type : {3U, 4U, 5U, 11U, 12U}) {
        Packet error = arrive(icmp_error(kServer, kClient, type, 0, udp(kServer, 7, kClient, 53)));
        REQUIRE(run(error) == Arrival::forward);
        CHECK(error.icmp_error);
        CHECK_FALSE(error.trackable);  // sent to somebody else than who sent what it quotes
        CHECK(error.key == FlowKey{});
        rte_pktmbuf_free(error.mbuf);

        Packet related = arrive(icmp_error(kServer, kClient, type, 0, udp(kClient, 7, kServer, 53)));
        REQUIRE(run(related) == Arrival::forward);
        CHECK(related.icmp_error);
        CHECK(related.trackable);
        CHECK(related.key == port_key(IpProto::udp, kServer, be16(53), kClient, be16(7)));
        CHECK(header_tuple(related) == icmp_key(kServer, kClient, static_cast<std::uint8_t>(type), 0, Be16{}));
        rte_pktmbuf_free(related.mbuf);
    }
    for (const unsigned type : {9U, 10U, 19U, 255U}) {
        Packet odd = arrive(icmp(kServer, kClient, type, 0));
        REQUIRE(run(odd) == Arrival::forward);
        CHECK_FALSE(odd.trackable);
        CHECK_FALSE(odd.icmp_error);
        rte_pktmbuf_free(odd.mbuf);
    }
    rte_pktmbuf_free(query.mbuf);
}

TEST_CASE_METHOD(Room, "a VLAN port gets its frames without the tag, with its zone") {
    Packet p = arrive(plain_udp().vlan(20));
    REQUIRE(run(p) == Arrival::forward);
    CHECK(p.in_port == kDmz);
    CHECK(p.key.zone == 7);
    CHECK(describe(frame_of(p.mbuf)) == describe(plain_udp().bytes()));

    INFO("handed to another worker it is parsed again, from the same port");
    Packet again;
    again.mbuf = p.mbuf;
    again.in_port = kDmz;
    REQUIRE(run(again) == Arrival::forward);
    CHECK(again.key == p.key);
    rte_pktmbuf_free(p.mbuf);

    Packet stripped = arrive(plain_udp());
    stripped.mbuf->ol_flags = RTE_MBUF_F_RX_VLAN | RTE_MBUF_F_RX_VLAN_STRIPPED;
    stripped.mbuf->vlan_tci = 0xe000 | 20;
    REQUIRE(run(stripped) == Arrival::forward);
    CHECK(stripped.in_port == kDmz);
    rte_pktmbuf_free(stripped.mbuf);

    Packet priority = arrive(plain_udp().vlan(0));
    REQUIRE(run(priority) == Arrival::forward);
    CHECK(priority.in_port == kLan);
    rte_pktmbuf_free(priority.mbuf);
    check_dropped("a tag within a tag", raw(0x8100, std::array<std::uint8_t, 40>{0, 20, 8, 0}).vlan(20),
                  DropReason::eth_unknown_type);
}

TEST_CASE_METHOD(Room, "a device without an untagged port refuses untagged frames") {
    Packet p = arrive(plain_udp(), 5);
    CHECK(run(p) == Arrival::gone);
    CHECK(drops(DropReason::vlan_unknown) == 1);
}

TEST_CASE_METHOD(Room, "packets of the box itself come with their port and any MAC") {
    Packet p = arrive(plain_udp().from(mac(3)).to(mac(200)));
    p.local_out = true;
    p.in_port = kKernelPort;
    p.out_port = kDmz;
    REQUIRE(run(p) == Arrival::forward);
    CHECK(p.in_port == kKernelPort);
    CHECK(p.key.zone == 7);
    rte_pktmbuf_free(p.mbuf);

    Packet arp = arrive(arp_request(mac(3), kServer, kClient));
    arp.local_out = true;
    arp.in_port = kKernelPort;
    arp.out_port = kWan;
    REQUIRE(run(arp) == Arrival::punt);
    CHECK(arp.out_port == kWan);
    rte_pktmbuf_free(arp.mbuf);
}

TEST_CASE_METHOD(Room, "a NIC that verified checksums is believed, one that left them out gets them filled in") {
    Packet good = arrive(plain_tcp().break_checksum().break_ip_checksum());
    good.mbuf->ol_flags = RTE_MBUF_F_RX_IP_CKSUM_GOOD | RTE_MBUF_F_RX_L4_CKSUM_GOOD;
    REQUIRE(run(good) == Arrival::forward);
    rte_pktmbuf_free(good.mbuf);

    for (const auto& b : {plain_tcp().break_checksum(), plain_udp().break_checksum(),
                          echo_reply(kClient, kServer, 1).break_checksum()}) {
        Packet none = arrive(b);
        none.mbuf->ol_flags = RTE_MBUF_F_RX_L4_CKSUM_NONE;
        REQUIRE(run(none) == Arrival::forward);
        CHECK(valid_checksums(frame_of(none.mbuf)));
        rte_pktmbuf_free(none.mbuf);
    }

    Packet bad = arrive(plain_tcp());
    bad.mbuf->ol_flags = RTE_MBUF_F_RX_IP_CKSUM_BAD | RTE_MBUF_F_RX_L4_CKSUM_BAD;
    INFO("a device that says BAD is checked, since some say it of checksums they do not know");
    REQUIRE(run(bad) == Arrival::forward);
    CHECK((bad.mbuf->ol_flags & RTE_MBUF_F_RX_L4_CKSUM_MASK) == RTE_MBUF_F_RX_L4_CKSUM_GOOD);
    rte_pktmbuf_free(bad.mbuf);
}

TEST_CASE_METHOD(Room, "segments are joined when there is room and refused when there is none") {
    const auto frame = plain_udp().payload_bytes(600).bytes();
    const auto split = [&](std::size_t first) {
        Packet p;
        p.mbuf = make_mbuf(pool, std::span(frame).first(first), 0);
        rte_mbuf* tail = make_mbuf(pool, std::span(frame).subspan(first), 0);
        REQUIRE(rte_pktmbuf_chain(p.mbuf, tail) == 0);
        return p;
    };
    Packet joined = split(20);
    REQUIRE(run(joined) == Arrival::forward);
    CHECK(joined.mbuf->nb_segs == 1);
    CHECK(frame_of(joined.mbuf) == frame);
    rte_pktmbuf_free(joined.mbuf);

    Packet full = split(20);
    full.mbuf->buf_len = static_cast<std::uint16_t>(full.mbuf->data_off + 20 + 100);
    const std::uint16_t real = RTE_MBUF_DEFAULT_BUF_SIZE;
    rte_mbuf* head = full.mbuf;
    CHECK(run(full) == Arrival::gone);
    head->buf_len = real;
    CHECK(drops(DropReason::frame_segments) == 1);
}

TEST_CASE_METHOD(Room, "a fragment is known by its datagram") {
    const auto parsed = [&](const PacketBuilder& b, bool local_out = false) {
        Packet p = arrive(b);
        if (local_out) {
            p.local_out = true;
            p.in_port = kKernelPort;
            p.out_port = kLan;
        }
        CHECK(run(p) == Arrival::fragment);
        if (!local_out) CHECK(p.in_port == (b.bytes()[12] == std::byte{0x81} ? kDmz : kLan));
        CHECK(p.l4_bytes == 16);
        const FlowKey key = p.key;
        rte_pktmbuf_free(p.mbuf);
        return key;
    };
    const auto piece = protocol(99, kClient, kServer).payload_bytes(16);
    const auto of = [&](unsigned offset, bool more) {
        return PacketBuilder(piece).ip_id(77).fragment(offset, more).pad_to(60);
    };
    const FlowKey first = parsed(of(0, true));
    CHECK(first.src() == kClient);
    CHECK(first.sport == be16(77));
    CHECK(parsed(of(1480, true)) == first);
    CHECK(parsed(of(2960, false)) == first);
    CHECK_FALSE(parsed(of(0, true).ip_id(78)) == first);
    CHECK_FALSE(parsed(of(0, true).vlan(20)) == first);
    CHECK_FALSE(parsed(of(0, true), true) == first);
    CHECK(drops() == 0);
}

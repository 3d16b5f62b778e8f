// IPv6 without translation: the way of a packet from port to port, what is the box's, what does not go on and what its
// sender is told. IPv4 has the same in routed_test.cc, malformed_test.cc and neighbours_test.cc.
#include <string>
#include <vector>

#include <catch2/catch.hpp>

#include "tests/support/two_ports.hh"

using namespace sluice;
using namespace sluice::test;

namespace {

constexpr IpAddress kFar = ip6(0x2001, 0xdb8, 0xff, 0, 0, 0, 0, 1);  // no route leads there
constexpr IpAddress kLinkClient = ip6(0xfe80, 0, 0, 0, 0, 0, 0, 0x10);
constexpr IpAddress kAllNodes = ip6(0xff02, 0, 0, 0, 0, 0, 0, 1);
constexpr IpAddress kUnspecified6 = IpAddress{};

struct RoutedBox6 : TwoPorts {
    RoutedBox6() : TwoPorts({}, kAcceptAll) {}
};

/// Routed to the box by its kernel: a group of the link and its hardware address.
PacketBuilder to_group(PacketBuilder packet, const IpAddress& group) {
    const std::uint32_t low = group.word(3);
    return packet.to({{0x33, 0x33, static_cast<std::uint8_t>(low >> 24), static_cast<std::uint8_t>(low >> 16),
                       static_cast<std::uint8_t>(low >> 8), static_cast<std::uint8_t>(low)}});
}

std::vector<std::uint8_t> bytes_of(const IpAddress& a) {
    std::vector<std::uint8_t> bytes(16);
    a.to_bytes(bytes.data());
    return bytes;
}

PacketBuilder solicitation(const IpAddress& from, const IpAddress& target) {
    return icmp(from, ip6(0xff02, 0, 0, 0, 0, 1, 0xff00, 1), 135, 0).payload(bytes_of(target)).ttl(255);
}

}  // namespace

TEST_CASE_METHOD(RoutedBox6, "IPv6: a TCP handshake passes, and the entry goes through its states") {
    send("lan", tcp(kClient6, 40000, kServer6, 80).flags(kSyn).flow_label(0xabcde).tos(0x28));
    Decoded out = one("wan");
    CHECK(out.text() == "[2001:db8:1::10]:40000 > [2001:db8:2::10]:80 tcp S seq 1000 ttl 63");
    CHECK(out.valid_checksums());
    CHECK(out.eth_src == port_mac("wan"));
    CHECK(out.ether_type == 0x86dd);
    CHECK(out.flow_label == 0xabcde);
    CHECK(out.tos == 0x28);
    CHECK(flow().tcp_state == TcpState::syn_sent);
    CHECK(flow().key[0].src() == kClient6);
    CHECK(flow().key[1].src() == kServer6);

    send("wan", tcp(kServer6, 80, kClient6, 40000).flags(kSyn | kAck));
    CHECK(one("lan").text() == "[2001:db8:2::10]:80 > [2001:db8:1::10]:40000 tcp S. seq 1000 ack 0 ttl 63");
    CHECK(flow().tcp_state == TcpState::syn_recv);

    send("lan", tcp(kClient6, 40000, kServer6, 80).flags(kAck));
    CHECK(one("wan").flags == kAck);
    CHECK(flow().tcp_state == TcpState::established);
    CHECK((flow().status & status::kAssured) != 0);
    CHECK(flow().packets[0] == 2);
    CHECK(flow().bytes[0] == 2 * 60);
}

TEST_CASE_METHOD(RoutedBox6, "IPv6: UDP, ping, node information and protocols without ports have their flows") {
    send("lan", udp(kClient6, 5000, kServer6, 53).payload("q"));
    CHECK(one("wan").text() == "[2001:db8:1::10]:5000 > [2001:db8:2::10]:53 udp ttl 63 len 1");
    send("wan", udp(kServer6, 53, kClient6, 5000).payload("answer"));
    CHECK(one("lan").payload == "answer");
    CHECK(flow().lifetime.timeout_s == 30);
    flush();

    send("lan", echo_request(kClient6, kServer6, 7, 3).payload_bytes(56));
    CHECK(one("wan").text() == "2001:db8:1::10 > 2001:db8:2::10 icmpv6 128/0 id 7 seq 3 ttl 63 len 56");
    CHECK(flow().kind == L4Kind::icmpv6);
    send("wan", echo_reply(kServer6, kClient6, 7, 3).payload_bytes(56));
    CHECK(one("lan").valid_checksums());
    CHECK((flow().status & status::kSeenReply) != 0);
    flush();

    send("lan", icmp(kClient6, kServer6, 139, 0, 0x70001));
    CHECK(one("wan").icmp_type == 139);
    send("wan", icmp(kServer6, kClient6, 140, 0, 0x70001));
    CHECK(one("lan").icmp_type == 140);
    CHECK(flows().size() == 1);
    flush();

    send("lan", protocol(99, kClient6, kServer6).payload("something"));
    CHECK(one("wan").payload == "something");
    CHECK(flow().kind == L4Kind::generic);
    send("wan", protocol(99, kServer6, kClient6).pad_to(60));  // nothing but a header
    CHECK(one("lan").text() == "2001:db8:2::10 > 2001:db8:1::10 proto 99 ttl 63");
    CHECK((flow().status & status::kSeenReply) != 0);
    flush();

    send("lan", protocol(59, kClient6, kServer6));
    CHECK(one("wan").ttl == 63);
    CHECK(flows().empty());
}

TEST_CASE_METHOD(RoutedBox6, "IPv6: a reply without a question, and what is no query, belong to no flow") {
    send("wan", echo_reply(kServer6, kClient6, 7));
    send("wan", icmp(kServer6, kClient6, 150, 0));
    CHECK(sent("lan").size() == 2);  // INVALID, and the filter accepts it
    // So is the other family's ICMP.
    send("lan", protocol(1, kClient6, kServer6).payload("something"));
    CHECK(one("wan").proto == 1);
    send("lan", protocol(58, kClient, kServer).payload("something"));
    CHECK(one("wan").proto == 58);
    CHECK(flows().empty());
    CHECK(sum([](auto& c) -> auto& { return c.invalid[static_cast<std::size_t>(InvalidReason::icmp_no_request)]; }) ==
          1);
    CHECK(sum([](auto& c) -> auto& { return c.invalid[static_cast<std::size_t>(InvalidReason::icmp_type)]; }) == 1);
}

TEST_CASE_METHOD(RoutedBox6, "both families in one burst") {
    constexpr unsigned kEach = 10;
    const auto burst = [&](bool reply) {
        const std::string from = reply ? "wan" : "lan", to = reply ? "lan" : "wan";
        for (unsigned i = 0; i < kEach; ++i) {
            const auto ask = [&](const IpAddress& client, const IpAddress& server) {
                queue(from, reply ? udp(server, 53, client, 5000 + i) : udp(client, 5000 + i, server, 53));
            };
            ask(kClient, kServer);
            ask(kClient6, kServer6);
            if (i % 3 == 0) queue(from, solicitation(kLinkClient, kLinkOfBoxInside));
        }
        settle();
        unsigned v4 = 0, v6 = 0;
        for (const Frame& f : sent(to)) {
            const Decoded d = decode(f);
            CHECK(d.valid_checksums());
            CHECK((reply ? d.dport : d.sport) == 5000 + (d.v6 ? v6 : v4));  // each family in its order
            ++(d.v6 ? v6 : v4);
        }
        CHECK(v4 == kEach);
        CHECK(v6 == kEach);
        CHECK(punted(from).size() == 4);
    };
    burst(false);
    CHECK(flows().size() == 2 * kEach);
    burst(true);
    CHECK(flows().size() == 2 * kEach);
    for (const FlowCopy& f : flows()) CHECK((f.status & status::kSeenReply) != 0);
    CHECK(all_drops() == 0);
}

TEST_CASE_METHOD(RoutedBox6, "equal low words do not make IPv4 and IPv6 flows one") {
    // All 16 bytes of the IPv4 key but the family are in the IPv6 key, too.
    const IpAddress client = ip6(0x2001, 0xdb8, 1, 0, 0, 0, 0xc0a8, 0x010a);
    const IpAddress server = ip6(0x2001, 0xdb8, 2, 0, 0, 0, 0xcb00, 0x710a);
    const IpAddress other = ip6(0x2001, 0xdb8, 2, 0, 0, 1, 0xcb00, 0x710a);
    for (int round = 0; round < 2; ++round) {
        queue("lan", udp(kClient, 5000, kServer, 53));
        queue("lan", udp(client, 5000, server, 53));
        queue("lan", udp(client, 5000, other, 53));
        settle();
        CHECK(sent("wan").size() == 3);
        CHECK(flows().size() == 3);
    }
}

TEST_CASE_METHOD(RoutedBox6, "IPv6: a packet whose hop limit ends here is answered from the arrival port's address") {
    const auto probe = udp(kClient6, 5000, kServer6, 33434).ttl(1).payload_bytes(1400);
    send("lan", probe);
    CHECK(quiet("wan"));
    const Decoded error = one("lan");
    CHECK(error.src == kBoxInside6);
    CHECK(error.dst == kClient6);
    CHECK(error.icmp_type == 3);
    CHECK(error.icmp_code == 0);
    CHECK(error.valid_checksums());
    CHECK(error.total_length == 1280);  // as much of it as the minimum MTU holds (RFC 4443 2.4 c)
    auto quoted = probe.ip_packet();
    quoted.resize(1280 - 48);
    CHECK(error.quoted == quoted);
    CHECK(error.eth_dst == mac(1));
    CHECK(drops(DropReason::ttl_exceeded) == 1);
    CHECK(flows().empty());
    send("lan", udp(kClient6, 5000, kServer6, 33434).ttl(2));
    CHECK(one("wan").ttl == 1);
}

TEST_CASE_METHOD(RoutedBox6, "IPv6: routes that lead nowhere, and what the sender is told of each") {
    route("2001:db8:b::/48", HopKind::blackhole);
    route("2001:db8:c::/48", HopKind::unreachable);
    route("2001:db8:d::/48", HopKind::prohibit);
    const auto answer = [&](const IpAddress& to) {
        send("lan", udp(kClient6, 5000, to, 53));
        CHECK(quiet("wan"));
        const auto frames = sent("lan");
        return frames.empty() ? std::string("silence") : describe(frames.at(0));
    };
    const std::string said = "2001:db8:1::1 > 2001:db8:1::10 icmpv6 ";
    CHECK(answer(kFar) == said + "1/0 {[2001:db8:1::10]:5000 > [2001:db8:ff::1]:53 udp ttl 64} ttl 64");
    CHECK(drops(DropReason::no_route) == 1);
    CHECK(answer(ip6(0x2001, 0xdb8, 0xb, 0, 0, 0, 0, 1)) == "silence");
    CHECK(answer(ip6(0x2001, 0xdb8, 0xc, 0, 0, 0, 0, 1)).starts_with(said + "1/0 "));
    CHECK(answer(ip6(0x2001, 0xdb8, 0xd, 0, 0, 0, 0, 1)).starts_with(said + "1/1 "));
    CHECK(drops(DropReason::route_unreachable) == 3);
    // `throw`: the default route does not take over.
    route("::/0", "2001:db8:2::77");
    route("2001:db8:ff::/48", HopKind::no_route);
    CHECK(answer(kFar).starts_with(said + "1/0 "));
    CHECK(drops(DropReason::no_route) == 2);
    CHECK(flows().empty());
}

TEST_CASE_METHOD(RoutedBox6, "IPv6: the longest prefix leads, gateways may be of the link") {
    address("wan", "2001:db8:9::1/64");
    route("::/0", "fe80::99%wan");
    route("2001:db8:ff::/48", "2001:db8:2::77");
    route("2001:db8:ff:1::/64", "fe80::77%lan");
    send("lan", udp(kClient6, 1, ip6(0x2400, 0, 0, 0, 0, 0, 0, 1), 53));
    const MacAddress by_default = one("wan").eth_dst;
    send("lan", udp(kClient6, 1, kFar, 53));
    CHECK(one("wan").eth_dst != by_default);
    send("wan", udp(kServer6, 1, ip6(0x2001, 0xdb8, 0xff, 1, 0, 0, 0, 1), 53));
    CHECK(one("lan").ttl == 63);
    CHECK(all_drops() == 0);
    // A more specific one that comes later takes live flows along.
    route("2400::/16", "2001:db8:2::78");
    send("lan", udp(kClient6, 1, ip6(0x2400, 0, 0, 0, 0, 0, 0, 1), 53));
    CHECK(one("wan").eth_dst != by_default);
    CHECK(flows().size() == 3);
}

TEST_CASE("IPv6: what is larger than the way out is told the MTU, and leaves no flow") {
    Box box;
    box.port("lan", PortRole::inside, "192.168.1.1/24");
    box.port("tunnel", PortRole::outside, "203.0.113.1/24", false, 1400);
    box.address("lan", "2001:db8:1::1/64");
    box.address("tunnel", "2001:db8:2::1/64");
    box.configure(kAcceptAll);
    const auto large = udp(kClient6, 5000, kServer6, 53).payload_bytes(1400 - 48 + 1);
    box.send("lan", large);
    CHECK(box.quiet("tunnel"));
    const Decoded error = box.one("lan");
    CHECK(error.icmp_type == 2);
    CHECK(error.icmp_code == 0);
    CHECK(error.mtu == 1400);
    CHECK(error.valid_checksums());
    CHECK(error.total_length == 1280);
    CHECK(box.drops(DropReason::mtu_exceeded) == 1);
    CHECK(box.flows().empty());
    box.send("lan", udp(kClient6, 5000, kServer6, 53).payload_bytes(1400 - 48));
    CHECK(box.one("tunnel").valid_checksums());
    // The answers are larger than what came: they came by a smaller MTU, and go out by a larger one.
    box.send("tunnel", udp(kServer6, 53, kClient6, 5000).payload_bytes(1400 - 48));
    CHECK(box.one("lan").valid_checksums());
    // Of an established flow it is no different; the flow has counted it before, as in Linux.
    box.send("lan", large);
    CHECK(box.one("lan").mtu == 1400);
    CHECK(box.quiet("tunnel"));
    CHECK(box.flow().packets[0] == 2);
}

TEST_CASE_METHOD(RoutedBox6, "IPv6: what is for the box goes to the kernel, and its answers leave by the port") {
    send("lan", echo_request(kClient6, kBoxInside6, 7));
    REQUIRE(punted("lan").size() == 1);
    CHECK(flow().kind == L4Kind::icmpv6);
    send_from_kernel("lan", echo_reply(kBoxInside6, kClient6, 7));
    CHECK(one("lan").text() == "2001:db8:1::1 > 2001:db8:1::10 icmpv6 129/0 id 7 seq 1 ttl 64");
    CHECK(flows().size() == 1);
    // The address of another port is the box's as well.
    send("lan", tcp(kClient6, 40000, kBoxOutside6, 22).flags(kSyn));
    CHECK(punted("lan").size() == 1);
    // What the kernel sends has been routed by it.
    send_from_kernel("wan", udp(kBoxOutside6, 5000, kFar, 53).payload("q"));
    CHECK(one("wan").text() == "[2001:db8:2::1]:5000 > [2001:db8:ff::1]:53 udp ttl 64 len 1");
    send("wan", udp(kFar, 53, kBoxOutside6, 5000).payload("a"));
    CHECK(punted("wan").size() == 1);
    CHECK(all_drops() == 0);
}

TEST_CASE_METHOD(RoutedBox6, "IPv6: an address of the link reaches the box, and nobody else") {
    send("lan", echo_request(kLinkClient, kLinkOfBoxInside, 7));
    CHECK(punted("lan").size() == 1);
    send_from_kernel("lan", echo_reply(kLinkOfBoxInside, kLinkClient, 7));
    CHECK(one("lan").dst == kLinkClient);
    send("lan", udp(kLinkClient, 5000, kBoxInside6, 53));
    CHECK(punted("lan").size() == 1);
    CHECK(all_drops() == 0);
    flush();

    // From the link to beyond it: "beyond scope of source address" (RFC 4443 3.1).
    send("lan", udp(kLinkClient, 5000, kServer6, 53));
    CHECK(quiet("wan"));
    CHECK(one("lan").text() ==
          "fe80::1 > fe80::10 icmpv6 1/2 {[fe80::10]:5000 > [2001:db8:2::10]:53 udp ttl 64} ttl 64");
    CHECK(drops(DropReason::ip6_link_scope) == 1);
    // To an address of a link that is not the box's, or is the box's on another link.
    send("lan", udp(kClient6, 5000, ip6(0xfe80, 0, 0, 0, 0, 0, 0, 0x99), 53));
    send("lan", udp(kLinkClient, 5000, ip6(0xfe80, 0, 0, 0, 0, 0, 0, 0x99), 53));
    send("lan", udp(kClient6, 5000, kLinkOfBoxOutside, 53));
    CHECK(drops(DropReason::ip6_link_scope) == 4);
    CHECK(quiet("lan"));
    CHECK(quiet("wan"));
    CHECK(punted("lan").empty());
    CHECK(flows().empty());
}

TEST_CASE_METHOD(RoutedBox6, "IPv6: discovery, group membership and the link's groups are the kernel's") {
    const IpAddress from = GENERATE(kLinkClient, kUnspecified6);
    INFO(to_text(from));
    send("lan", to_group(solicitation(from, kLinkOfBoxInside), ip6(0xff02, 0, 0, 0, 0, 1, 0xff00, 1)));
    send("lan", to_group(icmp(from, ip6(0xff02, 0, 0, 0, 0, 0, 0, 2), 133, 0).ttl(255), kAllNodes));
    const std::uint8_t router_alert[] = {5, 2, 0, 0};
    send("lan", to_group(icmp(from, ip6(0xff02, 0, 0, 0, 0, 0, 0, 0x16), 143, 0).ttl(1).hop_by_hop(router_alert),
                         ip6(0xff02, 0, 0, 0, 0, 0, 0, 0x16)));
    CHECK(punted("lan").size() == 3);
    if (from != kUnspecified6) {
        send("lan", icmp(from, kLinkOfBoxInside, 136, 0, 0x60000000).payload(bytes_of(kLinkClient)).ttl(255));
        send("lan", to_group(icmp(from, kAllNodes, 134, 0).payload_bytes(8).ttl(255), kAllNodes));
        const IpAddress dhcp = ip6(0xff02, 0, 0, 0, 0, 0, 1, 2), ospf = ip6(0xff02, 0, 0, 0, 0, 0, 0, 5);
        send("lan", to_group(udp(from, 546, dhcp, 547).payload_bytes(60), dhcp));
        send("lan", to_group(protocol(89, from, ospf).payload_bytes(44).ttl(1), ospf));
        CHECK(punted("lan").size() == 4);
    }
    CHECK(all_drops() == 0);
    CHECK(quiet("wan"));
    CHECK(quiet("lan"));
    CHECK(flows().empty());
}

namespace {

struct Refused {
    const char* what;
    PacketBuilder packet;
    DropReason reason;
};

std::vector<Refused> refused() {
    using R = DropReason;
    const auto good = [](const IpAddress& src = kClient6, const IpAddress& dst = kServer6) {
        return udp(src, 5000, dst, 53).payload("question");
    };
    const IpAddress loopback = ip6(0, 0, 0, 0, 0, 0, 0, 1), mapped = ip4(192, 0, 2, 1);
    const IpAddress group = ip6(0xff0e, 0, 0, 0, 0, 0, 0, 0x99), site = ip6(0xff05, 0, 0, 0, 0, 0, 0, 2);
    std::vector<Refused> all{
        {"version 4", good().version(4), R::ip_version},
        {"version 0", good().version(0), R::ip_version},
        {"half a header", good().cut_to(14 + 30), R::ip_short},
        {"a jumbogram", good().hop_by_hop().total_length(40), R::ip_total_length},
        {"length beyond the frame", good().total_length(1400), R::ip_total_length},
        {"cut by the wire", good().cut_to(14 + 44), R::ip_total_length},
        // addresses
        {"from ::1", good(loopback), R::ip_martian_source},
        {"from ::", good(kUnspecified6), R::ip_martian_source},
        {"from a group", good(group), R::ip_martian_source},
        {"from IPv4 in disguise", udp(mapped, 5000, mapped, 53).as_ip6(), R::ip_martian_source},
        {"to ::1", good(kClient6, loopback), R::ip_martian_destination},
        {"to ::", good(kClient6, kUnspecified6), R::ip_martian_destination},
        {"to a group that would have to be routed", to_group(good(kClient6, group), group), R::multicast},
        {"to a group of the site", to_group(good(kClient6, site), site), R::multicast},
        {"land attack", tcp(kClient6, 80, kClient6, 80).flags(kSyn), R::ip_land_attack},
        {"from the box's inside address", good(kBoxInside6), R::ip_spoofed_own},
        {"from the box's outside address", good(kBoxOutside6), R::ip_spoofed_own},
        {"from the box's address of the link", good(kLinkOfBoxInside, kBoxInside6), R::ip_spoofed_own},
        // extension headers
        {"routing header of type 0", good().routing(0), R::ip_source_route},
        {"routing header of type 0 behind others", good().hop_by_hop().destination_options().routing(0, 1),
         R::ip_source_route},
        {"hop-by-hop options in the second place", good().destination_options().hop_by_hop(), R::ip6_extension},
        {"hop-by-hop options twice", good().hop_by_hop().hop_by_hop(), R::ip6_extension},
        {"an extension header beyond the packet", good().destination_options().extension_length(200), R::ip6_extension},
        {"an extension header cut short", protocol(60, kClient6, kServer6).payload_bytes(4), R::ip6_extension},
        // transport
        {"TCP without a header", protocol(6, kClient6, kServer6).total_length(40 + 12).cut_to(14 + 52), R::l4_short},
        {"TCP cut short", tcp(kClient6, 40000, kServer6, 80).total_length(40 + 12).cut_to(14 + 52), R::l4_short},
        {"UDP of no bytes", good().total_length(40), R::l4_short},
        {"UDP of seven bytes", good().total_length(47), R::l4_short},
        {"ICMPv6 of four bytes", echo_request(kClient6, kServer6, 1).total_length(44), R::l4_short},
        {"TCP offset of four words", tcp(kClient6, 40000, kServer6, 80).data_offset(4), R::tcp_header_length},
        {"TCP checksum", tcp(kClient6, 40000, kServer6, 80).flags(kSyn).break_checksum(), R::tcp_checksum},
        {"UDP length beyond the packet", good().udp_length(17), R::udp_length},
        {"UDP checksum", good().break_checksum(), R::udp_checksum},
        {"ICMPv6 checksum", echo_request(kClient6, kServer6, 1).break_checksum(), R::icmp_checksum},
    };
    PacketBuilder chain = good();
    for (int i = 0; i < 9; ++i) chain.destination_options();
    all.push_back({"nine extension headers", chain, R::ip6_extension});
    return all;
}

}  // namespace

TEST_CASE_METHOD(RoutedBox6, "IPv6: what cannot be right is dropped under its own name and leaves nothing behind") {
    for (const Refused& row : refused()) {
        INFO(row.what);
        const std::uint64_t named = drops(row.reason), all = all_drops();
        send("lan", row.packet);
        CHECK(drops(row.reason) == named + 1);
        CHECK(all_drops() == all + 1);
        CHECK(quiet("lan"));
        CHECK(quiet("wan"));
        CHECK(punted("lan").empty());
    }
    CHECK(flows().empty());
    send("lan", udp(kClient6, 5000, kServer6, 53));
    CHECK(one("wan").src == kClient6);
}

TEST_CASE_METHOD(RoutedBox6,
                 "IPv6: extension headers that say nothing to a router pass, and the flow is found behind them") {
    const std::uint8_t jumbo_free[] = {1, 2, 0, 0};
    const auto ask = [] { return udp(kClient6, 5000, kServer6, 53).payload("question"); };
    std::vector<PacketBuilder> packets{ask(),
                                       ask().hop_by_hop(jumbo_free),
                                       ask().destination_options(),
                                       ask().routing(2),
                                       ask().extension(51, std::vector<std::uint8_t>(22, 7)),
                                       ask().hop_by_hop().destination_options().routing(3).destination_options()};
    PacketBuilder most = ask().hop_by_hop();
    for (int i = 0; i < 7; ++i) most.destination_options();
    packets.push_back(most);
    packets.push_back(ask().pad_to(150));
    packets.push_back(ask().fragment(0, false));  // "atomic" (RFC 6946)
    for (const PacketBuilder& packet : packets) {
        send("lan", packet);
        const Decoded out = one("wan");
        CHECK(out.payload == "question");
        CHECK(out.valid_checksums());
        CHECK(out.extensions == decode(packet.bytes()).extensions);
        CHECK(out.padding == 0);
        CHECK(out.ttl == 63);
    }
    CHECK(flows().size() == 1);
    CHECK(flow().packets[0] == packets.size());
    CHECK(all_drops() == 0);
}

TEST_CASE("IPv6: switched off, its packets are dropped by name, and discovery is still the kernel's") {
    TwoPorts box({.ipv6 = false}, kAcceptAll);
    box.send("lan", udp(kClient6, 5000, kServer6, 53));
    box.send("lan", echo_request(kClient6, kBoxInside6, 1));
    CHECK(box.drops(DropReason::ip6_off) == 2);
    box.send("lan", to_group(solicitation(kLinkClient, kLinkOfBoxInside), kAllNodes));
    CHECK(box.punted("lan").size() == 1);
    CHECK(box.flows().empty());
    CHECK(box.quiet("wan"));
    box.send("lan", udp(kClient, 5000, kServer, 53));
    CHECK(box.one("wan").src == kClient);
    CHECK(box.all_drops() == 2);
}

// --- neighbours

TEST_CASE("IPv6: packets wait for a neighbour, and leave once it is known") {
    Box box;
    box.port("lan", PortRole::inside, "192.168.1.1/24");
    box.port("wan", PortRole::outside, "203.0.113.1/24", true);
    box.address("lan", "2001:db8:1::1/64");
    box.address("wan", "2001:db8:2::1/64");
    box.configure(kAcceptAll);
    for (unsigned i = 0; i < 3; ++i) box.send("lan", udp(kClient6, 5000 + i, kServer6, 53));
    CHECK(box.quiet("wan"));
    SECTION("it answers") {
        box.neighbour("wan", kServer6, mac(0x77));
        const auto frames = box.sent("wan");
        REQUIRE(frames.size() == 3);
        for (unsigned i = 0; i < 3; ++i) {
            const Decoded d = decode(frames[i]);
            CHECK(d.eth_dst == mac(0x77));
            CHECK(d.sport == 5000 + i);
            CHECK(d.ttl == 63);
            CHECK(d.valid_checksums());
        }
    }
    SECTION("it does not: address unreachable") {
        box.neighbour("wan", kServer6, std::nullopt);
        CHECK(box.quiet("wan"));
        const auto frames = box.sent("lan");
        REQUIRE(frames.size() == 3);
        CHECK(describe(frames[0]) ==
              "2001:db8:1::1 > 2001:db8:1::10 icmpv6 1/3 {[2001:db8:1::10]:5000 > [2001:db8:2::10]:53 udp ttl 64} ttl "
              "64");
        CHECK(box.drops(DropReason::neighbour_failed) == 3);
    }
    SECTION("nothing is heard of it") {
        box.advance(4000);
        CHECK(box.drops(DropReason::neighbour_failed) == 3);
        CHECK(box.sent("lan").size() == 3);
    }
}

TEST_CASE_METHOD(RoutedBox6, "IPv6: many neighbours that answer at once are all heard") {
    // One change of the routes is under way while the next ones come.
    for (unsigned i = 0; i < 20; ++i) queue("lan", udp(kClient6, 5000, ip6(0x2001, 0xdb8, 2, 0, 0, 0, 1, i), 53));
    settle();
    CHECK(sent("wan").size() == 20);
    CHECK(all_drops() == 0);
}

TEST_CASE_METHOD(RoutedBox6, "IPv6: the same address of the link is another neighbour on every port") {
    route("2001:db8:a::/48", "fe80::77%wan");
    route("2001:db8:b::/48", "fe80::77%lan");
    neighbour("wan", ip6(0xfe80, 0, 0, 0, 0, 0, 0, 0x77), mac(0x71));
    neighbour("lan", ip6(0xfe80, 0, 0, 0, 0, 0, 0, 0x77), mac(0x72));
    send("lan", udp(kClient6, 1, ip6(0x2001, 0xdb8, 0xa, 0, 0, 0, 0, 1), 53));
    CHECK(one("wan").eth_dst == mac(0x71));
    send("wan", udp(kServer6, 1, ip6(0x2001, 0xdb8, 0xb, 0, 0, 0, 0, 1), 53));
    CHECK(one("lan").eth_dst == mac(0x72));
}

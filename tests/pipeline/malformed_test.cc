// What the box refuses to look at any further: one row per drop reason of the ingress stage, end to end. A refused
// packet leaves nothing behind: no frame, no answer, no flow, one count. And what looks odd but must pass: a host that
// has no address yet.
#include <array>
#include <cstdint>
#include <ostream>
#include <string>
#include <vector>

#include <catch2/catch.hpp>

#include "tests/support/two_ports.hh"

using namespace sluice;
using namespace sluice::test;

namespace {

constexpr Ip4 kUnspecified{};

struct MalformedBox : TwoPorts {
    MalformedBox() : TwoPorts({.ipv6 = false}, kMasquerade) {}
};

struct Refused {
    std::string what;
    PacketBuilder packet;
    DropReason reason;
};

std::ostream& operator<<(std::ostream& out, const Refused& r) {
    return out << r.what;
}

PacketBuilder good_udp(Ip4 from = kClient, Ip4 to = kServer) {
    return udp(from, 5000, to, 53).payload("question");
}
PacketBuilder with_option(const std::vector<std::uint8_t>& option) {
    return good_udp().ip_option(option);
}

/// The fixed header of an IPv6 packet from `::`, with `next` and what follows it.
PacketBuilder ipv6(std::uint8_t next, std::uint8_t last_of_destination, const std::vector<std::uint8_t>& body) {
    std::vector<std::uint8_t> bytes(40, 0);
    bytes[0] = 0x60;
    bytes[5] = static_cast<std::uint8_t>(body.size());
    bytes[6] = next;
    bytes[7] = 255;
    bytes[24] = 0xff;
    bytes[25] = 2;
    bytes[39] = last_of_destination;
    bytes.insert(bytes.end(), body.begin(), body.end());
    return raw(0x86dd, bytes).to({{0x33, 0x33, 0, 0, 0, last_of_destination}});
}

std::vector<Refused> refused() {
    using R = DropReason;
    const auto never = [](unsigned first) { return ip4(static_cast<std::uint8_t>(first), 1, 2, 3); };
    const std::array<std::uint8_t, 4> anything{1, 2, 3, 4};
    return {
        // frame
        {"frame of ten bytes", good_udp().cut_to(10), R::eth_short},
        {"frame for another station", good_udp().to(mac(77)), R::eth_wrong_mac},
        {"tag that no port has", good_udp().vlan(7), R::vlan_unknown},
        {"EtherType of nobody", raw(0x88cc, anything), R::eth_unknown_type},
        {"IPv6 UDP", ipv6(17, 1, {0, 1, 0, 2, 0, 8, 0, 0}), R::ip6_off},
        {"ICMPv6 echo request", ipv6(58, 1, {128, 0, 0, 0, 0, 1, 0, 1}), R::ip6_off},
        {"IPv6 cut short", raw(0x86dd, anything), R::ip6_off},
        // IPv4 header
        {"half an IPv4 header", good_udp().cut_to(14 + 12), R::ip_short},
        {"IPv4 EtherType, version 6", good_udp().version(6), R::ip_version},
        {"IHL of four words", good_udp().ihl(4), R::ip_header_length},
        {"IHL beyond the packet", good_udp().ihl(15), R::ip_header_length},
        {"total length below the header", good_udp().total_length(19), R::ip_total_length},
        {"total length beyond the frame", good_udp().total_length(1400), R::ip_total_length},
        {"packet cut by the wire", good_udp().cut_to(14 + 30), R::ip_total_length},
        {"header checksum", good_udp().break_ip_checksum(), R::ip_checksum},
        {"loose source route", with_option({131, 7, 4, 192, 0, 2, 1}), R::ip_source_route},
        {"strict source route", with_option({137, 7, 4, 192, 0, 2, 1}), R::ip_source_route},
        {"source route behind a no-op", with_option({1, 131, 7, 4, 192, 0, 2, 1}), R::ip_source_route},
        {"option of length 1", with_option({7, 1, 0, 0}), R::ip_option_malformed},
        {"option beyond the header", with_option({7, 40, 4, 0}), R::ip_option_malformed},
        {"option without a length", with_option({1, 1, 1, 7}), R::ip_option_malformed},
        // addresses
        {"from 127/8", good_udp(never(127)), R::ip_martian_source},
        {"from 0/8", good_udp(never(0)), R::ip_martian_source},
        {"from multicast", good_udp(never(224)), R::ip_martian_source},
        {"from 240/4", good_udp(never(240)), R::ip_martian_source},
        {"from broadcast", good_udp(ip4(255, 255, 255, 255)), R::ip_martian_source},
        {"from nobody to one host", good_udp(kUnspecified), R::ip_martian_source},
        {"to 127/8", good_udp(kClient, never(127)), R::ip_martian_destination},
        {"to 0/8", good_udp(kClient, never(0)), R::ip_martian_destination},
        {"to 240/4", good_udp(kClient, never(240)), R::ip_martian_destination},
        {"multicast to be routed", good_udp(kClient, ip4(239, 1, 2, 3)), R::multicast},
        {"land attack on the box", tcp(kBoxInside, 80, kBoxInside, 80).flags(kSyn), R::ip_land_attack},
        {"land attack on a host", tcp(kServer, 80, kServer, 80).flags(kSyn), R::ip_land_attack},
        {"from the box's inside address", good_udp(kBoxInside), R::ip_spoofed_own},
        {"from the box's outside address", good_udp(kBoxOutside), R::ip_spoofed_own},
        // fragments
        {"fragment without data", good_udp().payload("").fragment(1480, true).ip_id(1), R::fragment_length},
        {"last fragment without data", good_udp().payload("").fragment(1480, false).ip_id(2), R::fragment_length},
        {"fragment of seven bytes with more to come", good_udp().payload("seven b").fragment(1480, true).ip_id(3),
         R::fragment_length},
        {"fragment beyond 64 KB", good_udp().fragment(65528, false).ip_id(4), R::fragment_length},
        // transport
        {"TCP without a header", protocol(6, kClient, kServer).total_length(20 + 12).cut_to(14 + 32), R::l4_short},
        {"UDP of seven bytes", good_udp().total_length(27), R::l4_short},
        {"ICMP of four bytes", echo_request(kClient, kServer, 1).total_length(24), R::l4_short},
        {"TCP offset of four words", tcp(kClient, 40000, kServer, 80).data_offset(4), R::tcp_header_length},
        {"TCP offset beyond the segment", tcp(kClient, 40000, kServer, 80).data_offset(15), R::tcp_header_length},
        {"TCP checksum", tcp(kClient, 40000, kServer, 80).flags(kSyn).break_checksum(), R::tcp_checksum},
        {"UDP length below the header", good_udp().udp_length(7), R::udp_length},
        {"UDP length beyond the packet", good_udp().udp_length(17), R::udp_length},
        {"UDP checksum", good_udp().break_checksum(), R::udp_checksum},
        {"ICMP checksum", echo_request(kClient, kServer, 1).break_checksum(), R::icmp_checksum},
    };
}

}  // namespace

TEST_CASE_METHOD(MalformedBox, "what cannot be right is dropped under its own name and leaves nothing behind") {
    for (const Refused& row : refused()) {
        INFO(row);
        const std::uint64_t named = drops(row.reason), all = all_drops();
        send("lan", row.packet);
        CHECK(drops(row.reason) == named + 1);
        CHECK(all_drops() == all + 1);
        CHECK(quiet("lan"));
        CHECK(quiet("wan"));
        CHECK(punted("lan").empty());
    }
    CHECK(flows().empty());
    // The same box still does its work.
    send("lan", good_udp());
    CHECK(one("wan").src == kBoxOutside);
}

TEST_CASE_METHOD(MalformedBox, "a spoofed own address is refused from either side") {
    send("wan", tcp(kBoxInside, 40000, kBoxOutside, 80).flags(kSyn));
    send("wan", tcp(kBoxOutside, 40000, kClient, 80).flags(kSyn));
    CHECK(drops(DropReason::ip_spoofed_own) == 2);
    CHECK(punted("wan").empty());
    CHECK(quiet("lan"));
}

TEST_CASE_METHOD(MalformedBox, "nor is it let in because a flow of the box has that tuple") {
    // A client asks the box's own name server; somebody outside gives the answer in the box's name.
    const auto answer = [] { return udp(kBoxInside, 53, kClient, 5353).payload("answer"); };
    send("lan", udp(kClient, 5353, kBoxInside, 53).payload("question"));
    REQUIRE(punted("lan").size() == 1);
    for (const char* port : {"wan", "lan"}) {
        send(port, answer());
        CHECK(quiet("lan"));
    }
    CHECK(drops(DropReason::ip_spoofed_own) == 2);
    send_from_kernel("lan", answer());
    CHECK(one("lan").payload == "answer");
    send("wan", answer());  // what the box has just said is no reason to believe it of others
    CHECK(quiet("lan"));
    CHECK(drops(DropReason::ip_spoofed_own) == 3);
}

TEST_CASE_METHOD(MalformedBox, "nor what is INVALID") {
    send("wan", tcp(kBoxInside, 80, kClient, 40000).flags(kSyn | kAck));
    send("wan", icmp(kBoxInside, kClient, 0, 0, 7U << 16));
    CHECK(drops(DropReason::ip_spoofed_own) == 2);
    CHECK(quiet("lan"));
}

TEST_CASE_METHOD(MalformedBox, "harmless options and padding pass") {
    send("lan", with_option({148, 4, 0, 0}));  // router alert
    CHECK(one("wan").valid_checksums());
    send("lan", good_udp().pad_to(80));
    const Decoded out = one("wan");
    CHECK(out.payload == "question");
    CHECK(out.padding == 0);
    send("lan", good_udp().no_udp_checksum());
    CHECK(one("wan").udp_checksum == 0);
    CHECK(all_drops() == 0);
}

TEST_CASE_METHOD(MalformedBox, "hosts without an address may ask for one") {
    SECTION("DHCP discover") {
        send("lan", udp(kUnspecified, 68, ip4(255, 255, 255, 255), 67).to(kBroadcastMac).payload_bytes(240));
    }
    SECTION("DHCP request to a known server's hardware address") {
        send("lan", udp(kUnspecified, 68, kBoxInside, 67).payload_bytes(240));
    }
    SECTION("IPv6 duplicate address detection: neighbour solicitation from ::") {
        send("lan", ipv6(58, 1, std::vector<std::uint8_t>{135, 0, 0, 0, 0, 0, 0, 0, 0xfe, 0x80, 0, 0,
                                                          0,   0, 0, 0, 0, 0, 0, 0, 0,    0,    0, 1}));
    }
    SECTION("MLDv2 report from :: behind a router alert") {
        send("lan", ipv6(0, 22, {58, 0, 5, 2, 0, 0, 1, 0, 143, 0, 0, 0, 0, 0, 0, 0}));
    }
    CHECK(punted("lan").size() == 1);
    CHECK(all_drops() == 0);
    CHECK(quiet("wan"));
    CHECK(flows().empty());
}

// read_plain against parse: whatever it takes for plain, parse makes the same of; whatever it does not, it leaves
// alone.
#include "dataplane/ingress/read_plain.hh"

#include <array>
#include <random>
#include <vector>

#include <catch2/catch.hpp>

#include "tests/support/packet_room.hh"

using namespace sluice;
using namespace sluice::test;

namespace {

constexpr Ip4 kClient = ip4(192, 0, 2, 7), kServer = ip4(203, 0, 113, 9);

PacketBuilder query() {
    return udp(kClient, 40000, kServer, 53).payload("query");
}
PacketBuilder segment() {
    return tcp(kClient, 40000, kServer, 80);
}

struct Room : PacketRoom {
    rte_mbuf* mbuf_of(const Frame& frame, std::uint64_t said) const {
        rte_mbuf* m = make_mbuf(pool, frame);
        m->ol_flags |= said;
        return m;
    }

    /// Whether the frame is plain, when it comes by kLan and the device has `said` something of it. Both ways are held
    /// against each other.
    /// Its buffer may end right behind it, where what is read in vectors could not be read.
    bool is_plain(const Frame& frame, std::uint64_t said = 0) {
        const bool plain = is_plain(frame, said, true);
        CHECK(plain == is_plain(frame, said, false));
        return plain;
    }
    bool is_plain(const Frame& frame, std::uint64_t said, bool room) {
        Packet parsed;
        parsed.mbuf = mbuf_of(frame, said);
        const Arrival arrival = parse(parsed, *ports, disposal);
        rte_mbuf* m = mbuf_of(frame, said);
        const std::uint16_t whole = m->buf_len;
        if (!room) m->buf_len = static_cast<std::uint16_t>(m->data_off + m->data_len);
        PlainPacket read;
        const bool plain = read_plain(read, m, PlainPort::of(kLan, (*ports)[kLan]));
        if (plain) {
            Packet p;
            unfold(read, p);
            REQUIRE(arrival == Arrival::forward);
            const auto place = [](const Packet& of, const std::uint8_t* at) {
                return at - rte_pktmbuf_mtod(of.mbuf, std::uint8_t*);
            };
            CHECK(p.mbuf == m);
            CHECK(place(p, p.l3) == place(parsed, parsed.l3));
            CHECK(place(p, p.l4) == place(parsed, parsed.l4));
            CHECK(p.l3_bytes == parsed.l3_bytes);
            CHECK(p.l4_bytes == parsed.l4_bytes);
            CHECK(p.payload_offset == parsed.payload_offset);
            CHECK(p.largest_piece == parsed.largest_piece);
            CHECK(p.in_port == parsed.in_port);
            CHECK(p.proto == parsed.proto);
            CHECK(p.key == parsed.key);
            CHECK(p.trackable == parsed.trackable);
            CHECK(p.icmp_error == parsed.icmp_error);
            CHECK(p.v6 == parsed.v6);
            CHECK(p.local_out == parsed.local_out);
            CHECK(frame_of(m) == frame_of(parsed.mbuf));
            CHECK(m->ol_flags == parsed.mbuf->ol_flags);
        } else {
            CHECK(frame_of(m) == frame);
            CHECK(m->ol_flags == said);
        }
        m->buf_len = whole;
        rte_pktmbuf_free(m);
        if (arrival != Arrival::gone) rte_pktmbuf_free(parsed.mbuf);
        return plain;
    }
    bool is_plain(PacketBuilder b, std::uint64_t said = 0) { return is_plain(b.bytes(), said); }
};

}  // namespace

TEST_CASE_METHOD(Room, "plain is what nearly all packets are") {
    CHECK(is_plain(query()));
    CHECK(is_plain(query().pad_to(60)));
    CHECK(is_plain(query().no_udp_checksum()));
    CHECK(is_plain(query().ttl(1).tos(0xb8).dont_fragment()));
    CHECK(is_plain(udp(kClient, 40000, kServer, 53)));
    for (const std::size_t bytes : {1, 2, 3, 7, 8, 63, 64, 65, 127, 1000, 1460}) {
        CHECK(is_plain(udp(kClient, 40000, kServer, 53).payload_bytes(bytes)));
        CHECK(is_plain(segment().payload_bytes(bytes)));
    }
    CHECK(is_plain(segment().pad_to(60)));
    CHECK(is_plain(segment().flags(kSyn).mss(1460)));
    CHECK(is_plain(segment().flags(0)));  // legal or not is conntrack's question
    CHECK(is_plain(query(), RTE_MBUF_F_RX_IP_CKSUM_GOOD | RTE_MBUF_F_RX_L4_CKSUM_GOOD));
    CHECK(is_plain(query(), RTE_MBUF_F_RX_IP_CKSUM_GOOD));
    CHECK(is_plain(segment(), RTE_MBUF_F_RX_IP_CKSUM_BAD | RTE_MBUF_F_RX_L4_CKSUM_BAD));  // seen for ourselves
    CHECK(is_plain(segment().break_checksum(), RTE_MBUF_F_RX_L4_CKSUM_GOOD));             // a device is believed
}

TEST_CASE_METHOD(Room, "and all else is parse's") {
    const std::array<std::uint8_t, 4> router_alert{148, 4, 0, 0};
    struct Row {
        const char* what;
        PacketBuilder packet;
        std::uint64_t said = 0;
    };
    const Row rows[] = {
        {"another station's", query().to(mac(9))},
        {"everybody's", query().to(kBroadcastMac)},
        {"tagged", query().vlan(20)},
        {"an IP option", query().ip_option(router_alert)},
        {"a first fragment", query().fragment(0, true)},
        {"a later fragment", query().fragment(1480, false)},
        {"not UDP or TCP", icmp(kClient, kServer, 8, 0, 0)},
        {"IPv6", udp(ip6(0x2001, 0xdb8, 1, 0, 0, 0, 0, 1), 1, ip6(0x2001, 0xdb8, 2, 0, 0, 0, 0, 1), 2)},
        {"cut in the IP header", query().cut_to(30)},
        {"cut in the UDP header", query().cut_to(40)},
        {"a version that is none", query().version(5)},
        {"a total length beyond the frame", query().total_length(1000)},
        {"a total length within the header", query().total_length(19)},
        {"a wrong checksum of IP", query().break_ip_checksum()},
        {"a wrong checksum of UDP", query().break_checksum()},
        {"a wrong checksum of TCP", segment().break_checksum()},
        {"a datagram shorter than its packet", query().udp_length(9)},
        {"a datagram longer than its packet", query().udp_length(500)},
        {"a TCP header beyond the segment", segment().data_offset(15)},
        {"a TCP header within itself", segment().data_offset(4)},
        {"a group as destination", udp(kClient, 1, ip4(239, 1, 1, 1), 2)},
        {"a martian", udp(ip4(127, 0, 0, 1), 1, kServer, 2)},
        {"a packet to itself", udp(kClient, 1, kClient, 2)},
        {"perhaps DHCP", udp(kClient, 67, kServer, 68)},
        {"a checksum to be filled in", query(), RTE_MBUF_F_RX_L4_CKSUM_NONE},
        {"a tag that the device has taken out", query(), RTE_MBUF_F_RX_VLAN | RTE_MBUF_F_RX_VLAN_STRIPPED},
    };
    for (const Row& row : rows) {
        INFO(row.what);
        CHECK(!is_plain(row.packet, row.said));
    }
}

TEST_CASE_METHOD(Room, "a packet in several buffers is parse's") {
    rte_mbuf* first = query().mbuf(pool);
    rte_mbuf* second = query().mbuf(pool);
    REQUIRE(rte_pktmbuf_chain(first, second) == 0);
    PlainPacket p;
    CHECK(!read_plain(p, first, PlainPort::of(kLan, (*ports)[kLan])));
    rte_pktmbuf_free(first);
}

TEST_CASE_METHOD(Room, "checksums whose sums are all ones, or carry often") {
    std::mt19937 random(7);  // NOLINT: the same packets in every run
    const auto any = [&](unsigned below) { return static_cast<unsigned>(random() % below); };
    for (unsigned i = 0; i < 4000; ++i) {
        const Ip4 from = ip4(1 + any(126), 250 + any(6), 250 + any(6), any(256));
        const Ip4 to = ip4(128 + any(90), any(256), 250 + any(6), 250 + any(6));
        const std::vector<std::uint8_t> payload(any(70), static_cast<std::uint8_t>(any(2) == 0 ? 0xff : any(256)));
        const PacketBuilder packet =
            any(2) == 0
                ? udp(from, 0xff00 + any(256), to, 0xff00 + any(256)).payload(payload).ip_id(any(0x10000))
                : tcp(from, 0xff00 + any(256), to, 0xff00 + any(256)).payload(payload).seq(0xffffffffU - any(3));
        CHECK(is_plain(packet));
    }
}

TEST_CASE_METHOD(Room, "frames with a few bytes changed: plain only what parse takes") {
    std::mt19937 random(11);  // NOLINT
    unsigned plain = 0;
    for (unsigned i = 0; i < 30000; ++i) {
        Frame frame = (i % 2 == 0 ? query().pad_to(i % 3 == 0 ? 60 : 0) : segment().payload_bytes(i % 9)).bytes();
        for (auto changes = random() % 3; changes > 0; --changes)
            frame[random() % frame.size()] ^= static_cast<std::byte>(1U << random() % 8);
        if (random() % 8 == 0) frame.resize(random() % (frame.size() + 1));
        // What a device says of checksums lets changes through that would be seen otherwise.
        const std::uint64_t said = random() % 2 == 0 ? 0 : RTE_MBUF_F_RX_IP_CKSUM_GOOD | RTE_MBUF_F_RX_L4_CKSUM_GOOD;
        plain += is_plain(frame, said) ? 1 : 0;
    }
    CHECK(plain > 10000);
}

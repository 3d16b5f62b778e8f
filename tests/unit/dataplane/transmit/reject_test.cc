#include "dataplane/transmit/reject.hh"

#include "dataplane/transmit/icmp_error.hh"
#include "tests/unit/dataplane/transmit/egress_room.hh"

using namespace sluice;
using namespace sluice::test;

namespace {

struct Room : EgressRoom {
    /// The frame that answers `b`, or an empty one.
    Frame answer_to(const PacketBuilder& b, Answer what, std::uint16_t mtu = 0) {
        Packet p = forwarded(b);
        rte_mbuf* m = answers.make(p, what, mtu, routes.addresses(), now);
        Frame frame = frame_of(m);
        rte_pktmbuf_free(m);
        rte_pktmbuf_free(p.mbuf);
        return frame;
    }
};

}  // namespace

TEST_CASE_METHOD(Room, "every error says what it is about, from the port's address, to the station that sent") {
    const auto query = udp(kClient, 4000, kServer, 53).payload("q").from(mac(40));
    struct Row {
        Answer answer;
        const char* text;
    };
    for (const Row& row : {Row{Answer::net_unreachable, "icmp 3/0"}, Row{Answer::host_unreachable, "icmp 3/1"},
                           Row{Answer::port_unreachable, "icmp 3/3"}, Row{Answer::admin_prohibited, "icmp 3/13"},
                           Row{Answer::ttl_exceeded, "icmp 11/0"}, Row{Answer::tcp_reset, "icmp 3/3"},
                           Row{Answer::fragmentation_needed, "icmp 3/4 mtu 1280"}}) {
        const Frame frame = answer_to(query, row.answer, 1280);
        CHECK(describe(frame) == "192.0.2.1 > 192.0.2.7 " + std::string(row.text) +
                                     " {192.0.2.7:4000 > 203.0.113.9:53 udp ttl 64 len 1} ttl 64");
        CHECK(valid_checksums(frame));
        CHECK(decode(frame).eth_dst == mac(40));
        CHECK(decode(frame).eth_src == mac(2));
        CHECK(decode(frame).quoted == query.ip_packet());
    }
    CHECK(counters->icmp_errors_sent.get() == 7);
    CHECK(balance().generated.get() == 7);
}

TEST_CASE_METHOD(Room, "a quotation is cut so that the error has 576 bytes") {
    const auto large = udp(kClient, 1, kServer, 2).payload_bytes(1200);
    const auto d = decode(answer_to(large, Answer::port_unreachable));
    CHECK(d.total_length == 576);
    auto head = large.ip_packet();
    head.resize(548);
    CHECK(d.quoted == head);
    CHECK(d.valid_checksums());
}

TEST_CASE_METHOD(Room, "the box speaks with the address that was spoken to") {
    CHECK(decode(answer_to(udp(kClient, 1, kBoxWan, 9), Answer::port_unreachable)).src == kBoxWan);
    routes.publish_addresses(nullptr);
    INFO("without an address there is nobody to speak");
    CHECK(answer_to(udp(kClient, 1, kServer, 9), Answer::port_unreachable).empty());
    auto far = std::make_unique<Addresses>();
    far->by_port[kWan] = {{kBoxWan, 24, false}};
    routes.publish_addresses(std::move(far));
    CHECK(decode(answer_to(udp(kClient, 1, kServer, 9), Answer::port_unreachable)).src == kBoxWan);
}

TEST_CASE_METHOD(Room, "what must not be answered is not (RFC 1122 3.2.2)") {
    const auto unanswered = [&](const char* what, const PacketBuilder& b, Answer answer) {
        INFO(what);
        CHECK(answer_to(b, answer).empty());
    };
    const auto query = udp(kClient, 1, kServer, 2);
    for (const unsigned type : {3U, 4U, 5U, 11U, 12U})
        unanswered("an ICMP error", icmp_error(kClient, kServer, type, 0, query), Answer::port_unreachable);
    unanswered("an unknown ICMP type", icmp(kClient, kServer, 40, 0), Answer::port_unreachable);
    unanswered("a frame to everybody", PacketBuilder(query).to(kBroadcastMac), Answer::port_unreachable);
    unanswered("a frame from a group", PacketBuilder(query).from({{1, 0, 0, 0, 0, 1}}), Answer::port_unreachable);
    unanswered("a reset", tcp(kClient, 1, kServer, 2).flags(kRst), Answer::tcp_reset);
    unanswered("nothing was asked for", query, Answer::none);
    CHECK(balance().generated.get() == 0);
}

TEST_CASE_METHOD(Room, "what names no flow is answered like the rest") {
    INFO("GRE of version 1 that does not carry PPP, ICMPv6's number in IPv4");
    const std::string header("\x30\x01\x08\x00\x00\x00\x00\x00", 8);
    for (const unsigned proto : {47U, 58U})
        CHECK(decode(answer_to(protocol(proto, kClient, kServer).payload(header), Answer::ttl_exceeded)).icmp_type ==
              11);
}

TEST_CASE_METHOD(Room, "an error is served as what it is about, with the precedence of control (RFC 1812 4.3.2.5)") {
    const auto tos = [&](unsigned of, Answer answer) {
        return unsigned{decode(answer_to(udp(kClient, 1, kServer, 2).tos(of), answer)).tos};
    };
    CHECK(tos(0, Answer::ttl_exceeded) == 0xc0);
    CHECK(tos(0x10, Answer::ttl_exceeded) == 0xd0);
    CHECK(tos(0xff, Answer::port_unreachable) == 0xde);
    CHECK(tos(0xb8, Answer::fragmentation_needed) == 0xd8);
    CHECK(unsigned{decode(answer_to(tcp(kClient, 1, kServer, 2).tos(0xb8), Answer::tcp_reset)).tos} == 0);
}

TEST_CASE_METHOD(Room, "an echo request may be answered with an error, a reset with ICMP") {
    CHECK_FALSE(answer_to(echo_request(kClient, kServer, 1), Answer::admin_prohibited).empty());
    CHECK(decode(answer_to(tcp(kClient, 1, kServer, 2).flags(kRst), Answer::port_unreachable)).icmp_type == 3);
}

TEST_CASE_METHOD(Room, "resets continue what was acknowledged or acknowledge what was sent (RFC 9293 3.10.7.1)") {
    const auto reset = [&](const PacketBuilder& b) { return describe(answer_to(b, Answer::tcp_reset)); };
    const auto segment = [&] { return tcp(kClient, 4000, kServer, 80); };
    const std::string start = "203.0.113.9:80 > 192.0.2.7:4000 tcp ";
    CHECK(reset(segment().flags(kSyn).seq(99)) == start + "R. seq 0 ack 100 ttl 64");
    CHECK(reset(segment().flags(kSyn).seq(0xffffffff).payload("fast")) == start + "R. seq 0 ack 4 ttl 64");
    CHECK(reset(segment().flags(kFin).seq(10).payload("abc")) == start + "R. seq 0 ack 14 ttl 64");
    CHECK(reset(segment().flags(kAck).seq(10).ack(77).payload("abc")) == start + "R seq 77 ttl 64");
    CHECK(reset(segment().flags(kSyn | kAck).seq(10).ack(55)) == start + "R seq 55 ttl 64");
    CHECK(counters->resets_sent.get() == 5);
    CHECK(counters->icmp_errors_sent.get() == 0);
}

TEST_CASE_METHOD(Room, "one bucket limits errors and resets together") {
    answers.configure({10, 2});
    const auto query = udp(kClient, 1, kServer, 2);
    CHECK_FALSE(answer_to(query, Answer::port_unreachable).empty());
    CHECK_FALSE(answer_to(tcp(kClient, 1, kServer, 2), Answer::tcp_reset).empty());
    CHECK(answer_to(query, Answer::port_unreachable).empty());
    CHECK(counters->icmp_errors_limited.get() == 1);
    INFO("what may not be answered costs no token");
    now.ms += 100;
    CHECK(answer_to(tcp(kClient, 1, kServer, 2).flags(kRst), Answer::tcp_reset).empty());
    CHECK_FALSE(answer_to(query, Answer::port_unreachable).empty());
    CHECK(counters->icmp_errors_limited.get() == 1);
    INFO("the same limit again does not fill the bucket");
    answers.configure({10, 2});
    CHECK(answer_to(query, Answer::port_unreachable).empty());
}

TEST_CASE_METHOD(Room, "answers to the box's own packets go to its kernel, from the far end") {
    Packet p = arrive(udp(kBoxWan, 5000, kServer, 53).from(mac(3)).to(mac(50)));
    p.local_out = true;
    p.in_port = kKernelPort;
    p.out_port = kWan;
    REQUIRE(parse_on(p));
    egress.answer(p, Answer::admin_prohibited, 0, now);
    rte_pktmbuf_free(p.mbuf);
    rte_mbuf* m = nullptr;
    REQUIRE(punt_ring.take(&m, 1) == 1);
    CHECK(note_of(m).in_port == kWan);
    const auto d = decode(frame_of(m));
    CHECK(d.src == kServer);
    CHECK(d.dst == kBoxWan);
    CHECK(d.eth_dst == mac(3));
    rte_pktmbuf_free(m);
}

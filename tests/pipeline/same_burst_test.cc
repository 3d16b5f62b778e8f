// Flows that end or give way in the middle of a burst, while other packets of the burst are theirs: no packet is
// treated by what took over the slot of its flow.
#include <string>

#include <catch2/catch.hpp>

#include "tests/support/two_ports.hh"

using namespace sluice;
using namespace sluice::test;

namespace {

constexpr Ip4 kPeer = ip4(192, 168, 1, 20);  // behind the same port: both directions travel in one burst
constexpr Ip4 kService = ip4(198, 51, 100, 5);

struct OneArm : Box {
    explicit OneArm(BoxOptions options = {}) : Box(options) { port("lan", PortRole::inside, "192.168.1.1/24"); }

    PacketBuilder client(unsigned flags) { return tcp(kClient, 40000, kService, 8080).flags(flags); }
    PacketBuilder server(unsigned flags) { return tcp(kPeer, 80, kBoxInside, 40000).flags(flags); }

    /// A connection by hairpin: kClient speaks to kService, which is kPeer, which sees the box.
    void to_time_wait() {
        configure(kAcceptAll +
                  "nat: [{in: lan, dst: 198.51.100.5, proto: tcp, dport: 8080, dnat: {to: 192.168.1.20, port: 80}},\n"
                  "      {out: lan, src: 192.168.1.0/24, snat: masquerade}]\n");
        send("lan", client(kSyn));
        CHECK(one("lan").text() == "192.168.1.1:40000 > 192.168.1.20:80 tcp S seq 1000 ttl 63");
        send("lan", server(kSyn | kAck));
        send("lan", client(kAck));
        send("lan", client(kFin | kAck));
        send("lan", server(kAck));
        send("lan", server(kFin | kAck));
        send("lan", client(kAck));
        REQUIRE(flow().tcp_state == TcpState::time_wait);
        (void)sent("lan");
    }
};

}  // namespace

TEST_CASE_METHOD(OneArm, "a SYN that reopens a connection amid late packets of the old one") {
    to_time_wait();
    queue("lan", client(kAck).ip_id(1));
    queue("lan", client(kSyn).seq(900000).ip_id(2));
    queue("lan", client(kSyn).seq(900000).ip_id(3));
    settle();
    const auto frames = sent("lan");
    REQUIRE(frames.size() == 3);
    for (const Frame& f : frames) {
        const Decoded d = decode(f);
        CHECK(d.src == kBoxInside);
        CHECK(d.dst == kPeer);
        CHECK(d.dport == 80);
        CHECK(d.valid_checksums());
    }
    CHECK(decode(frames[1]).flags == kSyn);
    CHECK(decode(frames[1]).sport == decode(frames[2]).sport);
    CHECK(flow().tcp_state == TcpState::syn_sent);
    CHECK(punted("lan").empty());
}

TEST_CASE_METHOD(OneArm, "a SYN of the other side reopens it, and packets of the old direction are not taken for its") {
    to_time_wait();
    queue("lan", client(kAck).ip_id(1));
    queue("lan", server(kSyn).seq(900000).ip_id(2));
    queue("lan", client(kAck).ip_id(3));
    settle();
    // The SYN is for the box; its new flow has taken the slot. The client's packets never go to the kernel, nor on
    // with the client's address.
    const auto kernel = punted("lan");
    REQUIRE(kernel.size() == 1);
    CHECK(decode(kernel[0]).ip_id == 2);
    CHECK(decode(kernel[0]).dst == kBoxInside);
    for (const Frame& f : sent("lan")) {
        const Decoded d = decode(f);
        CHECK(d.src == kBoxInside);
        CHECK(d.dst == kPeer);
        CHECK(d.valid_checksums());
    }
}

TEST_CASE("new flows that evict each other within a burst leave with their own translation") {
    OneArm box({.flows_per_worker = 64});
    box.configure(kAcceptAll +
                  "conntrack: {max: 64}\n"
                  "nat: [{in: lan, dst: 198.51.100.5, proto: udp, dnat: {to: 192.168.1.20}},\n"
                  "      {in: lan, dst: 198.51.100.6, proto: udp, dnat: {to: 192.168.1.30}}]\n");
    // A full table in which only every 16th flow may be evicted: newcomers of one burst have but each other.
    for (unsigned i = 0; i < 64; ++i) {
        if (i % 16 == 15) {
            box.send("lan", udp(kClient, 1000 + i, ip4(198, 51, 100, 5 + i / 16 % 2), 53));
            continue;
        }
        box.send("lan", tcp(kClient, 1000 + i, kPeer, 80).flags(kSyn));
        box.send("lan", tcp(kPeer, 80, kClient, 1000 + i).flags(kSyn | kAck));
        box.send("lan", tcp(kClient, 1000 + i, kPeer, 80).flags(kAck));
    }
    CHECK(box.flows().size() == 64);
    (void)box.sent("lan");
    for (unsigned round = 0; round < 20; ++round) {
        for (unsigned i = 0; i < 30; ++i) {
            const unsigned port = 2000 + round * 100 + i;
            box.queue("lan", udp(kClient, port, ip4(198, 51, 100, 5 + i % 2), 53).ip_id(port));
        }
        box.settle();
        const auto frames = box.sent("lan");
        CHECK(!frames.empty());
        for (const Frame& f : frames) {
            const Decoded d = decode(f);
            const bool odd = (d.ip_id - 2000 - round * 100) % 2 != 0;
            CHECK(d.sport == d.ip_id);
            CHECK(d.dst == (odd ? ip4(192, 168, 1, 30) : kPeer));
            CHECK(d.valid_checksums());
        }
        CHECK(box.flows().size() == 64);
    }
}

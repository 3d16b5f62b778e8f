#include "dataplane/transmit/nexthop.hh"

#include "dataplane/translate/rewrite.hh"
#include "tests/unit/dataplane/transmit/egress_room.hh"

using namespace sluice;
using namespace sluice::test;

namespace {

struct Room : EgressRoom {
    PacketBuilder query = udp(kClient, 4000, kServer, 53).payload("q").from(mac(40));
    /// The route to the server, by the gateway.
    std::uint32_t via = 0;
    void add_route() {
        via = routes.add_hop(unresolved());
        REQUIRE(routes.add_route(Ip4{}, 0, via));
    }
    void hold_one(const PacketBuilder& b) {
        Packet p = forwarded(b);
        p.next_hop = via;
        egress.send(p, unresolved(), now);
        CHECK(p.mbuf == nullptr);
    }
    /// As hold_one, with the source translated on the way.
    void hold_translated(const PacketBuilder& b) {
        Packet p = forwarded(b);
        p.next_hop = via;
        FlowKey to = p.key;
        to.set_src(kBoxWan);
        to.sport = be16(61000);
        rewrite(p, RewritePlan::between(p.key, to));
        egress.send(p, unresolved(), now);
    }
};

}  // namespace

TEST_CASE_METHOD(Room, "a packet leaves with the neighbour's MAC and one hop less") {
    for (unsigned ttl = 2; ttl < 256; ++ttl) {
        Packet p = forwarded(PacketBuilder(query).ttl(ttl));
        egress.send(p, resolved(), now);
        const auto frames = sent(1);
        REQUIRE(frames.size() == 1);
        const auto d = decode(frames[0]);
        REQUIRE(d.valid_checksums());
        REQUIRE(d.ttl == ttl - 1);
        REQUIRE(d.eth_dst == mac(50));
        REQUIRE(d.eth_src == mac(3));
        REQUIRE(d.payload == "q");
    }
}

TEST_CASE_METHOD(Room, "the box's own packets leave as the kernel made them") {
    const auto own = udp(kBoxWan, 1, kServer, 2).from(mac(3)).to(mac(77)).ttl(1);
    Packet p = arrive(own);
    p.local_out = true;
    p.in_port = kKernelPort;
    p.out_port = kWan;
    REQUIRE(parse_on(p));
    egress.send(p, unresolved(), now);
    const auto frames = sent(1);
    REQUIRE(frames.size() == 1);
    CHECK(frames[0] == own.bytes());
}

TEST_CASE_METHOD(Room, "too large and allowed to be cut: pieces; grown with DF: dropped") {
    (*ports)[kWan].mtu = 576;
    Packet p = forwarded(udp(kClient, 1, kServer, 2).payload_bytes(1000));
    egress.send(p, resolved(), now);
    const auto frames = sent(1);
    REQUIRE(frames.size() == 2);
    for (const auto& frame : frames) {
        const auto d = decode(frame);
        CHECK(d.ip_checksum_ok);
        CHECK(d.ttl == 63);
        CHECK(d.eth_dst == mac(50));
    }
    CHECK(balance().split.get() == 1);
    CHECK(balance().transmitted.get() == 2);

    Packet grown = forwarded(udp(kClient, 1, kServer, 2).payload_bytes(1000).dont_fragment());
    egress.send(grown, resolved(), now);
    CHECK(drops(DropReason::mtu_exceeded) == 1);
}

TEST_CASE_METHOD(Room, "a route that became unreachable is no way out") {
    NextHop hop;
    hop.kind = HopKind::unreachable;
    Packet p = forwarded(query);
    egress.send(p, hop, now);
    CHECK(drops(DropReason::route_unreachable) == 1);
}

TEST_CASE_METHOD(Room, "packets wait for a gateway and leave in order when it answers") {
    add_route();
    hold_one(query);
    hold_one(PacketBuilder(query).payload("second"));
    CHECK(sent(1).empty());
    CHECK(balance().held.get() == 2);
    REQUIRE(notices().size() == 1);

    INFO("a change that is not an answer lets them wait on");
    egress.neighbour_changed(kGateway, kWan, now);
    CHECK(balance().held.get() == 2);

    routes.replace_hop(via, resolved());
    egress.neighbour_changed(kGateway, kLan, now);
    CHECK(balance().held.get() == 2);
    egress.neighbour_changed(kGateway, kWan, now);
    const auto frames = sent(1);
    REQUIRE(frames.size() == 2);
    CHECK(decode(frames[0]).payload == "q");
    CHECK(decode(frames[1]).payload == "second");
    CHECK(decode(frames[1]).ttl == 63);
    CHECK(decode(frames[1]).eth_dst == mac(50));
    CHECK(balance().held.get() == 0);
    CHECK(counters->held_released.get() == 2);
    CHECK(drops() == 0);
}

TEST_CASE_METHOD(Room, "on a connected subnet the destination itself is asked for") {
    NextHop subnet;
    subnet.kind = HopKind::connected;
    subnet.out_port = kWan;
    via = routes.add_hop(subnet);
    REQUIRE(routes.add_route(ip4(203, 0, 113, 0), 24, via));
    Packet p = forwarded(query);
    p.next_hop = via;
    egress.send(p, subnet, now);
    const auto asked = notices();
    REQUIRE(asked.size() == 1);
    CHECK(asked[0].key.dst() == kServer);

    NextHop answered = resolved();
    answered.address = kServer;
    REQUIRE(routes.add_route(kServer, 32, routes.add_hop(answered)));
    egress.neighbour_changed(kServer, kWan, now);
    CHECK(sent(1).size() == 1);
}

TEST_CASE_METHOD(Room, "a neighbour that fails or is silent: the sender hears of the packet that it sent") {
    add_route();
    const auto check_told = [&] {
        const auto frames = sent(0);
        REQUIRE(frames.size() == 1);
        CHECK(describe(frames[0]) ==
              "192.0.2.1 > 192.0.2.7 icmp 3/1 {192.0.2.7:4000 > 203.0.113.9:53 udp ttl 64 len 1} ttl 64");
        CHECK(decode(frames[0]).quoted == query.ip_packet());
        CHECK(decode(frames[0]).eth_dst == mac(40));
        CHECK(balance().held.get() == 0);
    };
    hold_translated(query);
    NextHop failed = unresolved();
    failed.failed = true;
    routes.replace_hop(via, failed);
    egress.neighbour_changed(kGateway, kWan, now);
    check_told();
    CHECK(drops(DropReason::neighbour_failed) == 1);

    now.ms += 10000;
    hold_translated(query);
    egress.expire(now);
    CHECK(balance().held.get() == 1);
    now.ms += 3000;
    egress.expire(now);
    check_told();
    CHECK(drops(DropReason::neighbour_failed) == 2);
}

TEST_CASE_METHOD(Room, "ICMP errors and odd types that wait are dropped without an answer") {
    add_route();
    hold_one(icmp_error(kClient, kServer, 3, 3, udp(kServer, 1, kClient, 2)));
    hold_one(icmp(kClient, kServer, 40, 0));
    now.ms += 4000;
    egress.expire(now);
    CHECK(sent(0).empty());
    CHECK(drops(DropReason::neighbour_failed) == 2);
}

TEST_CASE_METHOD(Room, "a queue that is full and a worker that stops drop under their names") {
    add_route();
    for (unsigned i = 0; i < 70; ++i) hold_one(query);
    CHECK(drops(DropReason::neighbour_queue_full) == 6);
    egress.shutdown();
    CHECK(drops(DropReason::shutdown) == 64);
    CHECK(balance().held.get() == 0);
}

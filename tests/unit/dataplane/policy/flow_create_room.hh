// First packets of flows on one worker or two, with routes, addresses and rules of the test's choice. No pipeline: the
// test carries packets between the workers itself.
#pragma once

#include <algorithm>
#include <array>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include <catch2/catch.hpp>

#include "dataplane/base/publication.hh"
#include "dataplane/ingress/parse.hh"
#include "dataplane/policy/flow_create.hh"
#include "tests/support/flow_room.hh"
#include "tests/support/packet_room.hh"

namespace sluice::test {

inline constexpr PortIndex kLan = PacketRoom::kLan, kWan = PacketRoom::kWan;
inline constexpr Ip4 kClient = ip4(192, 0, 2, 7), kServer = ip4(203, 0, 113, 9);
inline constexpr Ip4 kBoxLan = ip4(192, 0, 2, 1), kBoxWan = ip4(198, 51, 100, 1), kGateway = ip4(198, 51, 100, 254);

/// One worker's share.
struct Seat : FlowRoom {
    Seat(std::uint8_t worker, const RouteTable& routes, const PortTable& ports, const HomeMap& homes,
         std::uint32_t capacity)
        : FlowRoom(capacity, 1024),
          random(99 + worker),
          expectations(16, -1, kSecret, *counters),
          firsts({.tuples = 64, .packets = 64}, *counters),
          creator({worker, store, expectations, firsts, random, routes, ports, homes, *counters}),
          peer("fcp" + tag, 64, -1) {}
    FastRandom random;
    ExpectTable expectations;
    FirstPackets firsts;
    FlowCreator creator;
    Ring<PeerMessage> peer;  ///< from the other worker to this one
};

struct CreateRoom : PacketRoom {
    explicit CreateRoom(unsigned workers = 1, std::uint32_t capacity = 64) : grace(1), homes(workers) {
        routes =
            std::make_unique<RouteTable>(("fcr" + std::to_string(FlowRoom::next_number())).c_str(), grace, 64, 64, -1);
        grace.online(0);
        auto own = std::make_unique<Addresses>();
        own->by_port[kLan] = {{kBoxLan, 24, false}};
        own->by_port[kWan] = {{kBoxWan, 24, false}};
        routes->publish_addresses(std::move(own));
        const auto hop = [&](HopKind kind, PortIndex port, Ip4 address = {}) {
            NextHop h;
            h.kind = kind;
            h.out_port = port;
            h.address = address;
            return routes->add_hop(h);
        };
        REQUIRE(routes->add_route(ip4(0, 0, 0, 0), 0, hop(HopKind::neighbour, kWan, kGateway)));
        REQUIRE(routes->add_route(ip4(192, 0, 2, 0), 24, hop(HopKind::connected, kLan)));
        const auto local = hop(HopKind::local, kNoPort);
        REQUIRE(routes->add_route(kBoxLan, 32, local));
        REQUIRE(routes->add_route(kBoxWan, 32, local));
        REQUIRE(routes->add_route(ip4(198, 51, 100, 128), 28, hop(HopKind::prohibit, kNoPort)));
        for (unsigned w = 0; w < workers; ++w)
            seats.push_back(std::make_unique<Seat>(static_cast<std::uint8_t>(w), *routes, *ports, homes, capacity));
        for (unsigned w = 0; w < workers; ++w) {
            std::vector<Ring<PeerMessage>*> peers;
            for (auto& s : seats) peers.push_back(&s->peer);
            seats[w]->store.connect_peers(static_cast<std::uint8_t>(w), peers);
        }
        policy.generation = 1;
        policy.max_flows_per_worker = capacity;
        policy.timeouts.tcp.fill(100);
        policy.timeouts.tcp_max_retrans = policy.timeouts.tcp_unacknowledged = 100;
        policy.timeouts.udp = 30;
        policy.timeouts.icmp = 20;
        policy.timeouts.generic = 600;
        policy.rule_count = 16;
        for (auto& chain : policy.filter) chain.policy_rule = 15;
        for (unsigned w = 0; w < workers; ++w) policy.counters.push_back(std::make_unique<RuleCounter[]>(16));
    }

    void masquerade() {
        NatRule rule;
        rule.snat = SnatKind::masquerade;
        rule.match.out_ports = 1ULL << kWan;
        rule.rule = 3;
        policy.snat.push_back(rule);
    }
    void snat(Ip4 lowest, Ip4 highest, std::optional<PortRange> range = {}) {
        NatRule rule;
        rule.snat = SnatKind::addresses;
        rule.match.out_ports = 1ULL << kWan;
        rule.pool.ranges = {{lowest, highest}};
        rule.pool.size = rule.pool.ranges[0].size();
        rule.rule = 3;
        rule.has_ports = range.has_value();
        rule.ports = range.value_or(PortRange{});
        policy.snat.push_back(rule);
    }
    void dnat(Ip4 target) {
        NatRule rule;
        rule.dnat = true;
        rule.match.in_ports = 1ULL << kWan;
        rule.pool.ranges = {{target, target}};
        rule.pool.size = 1;
        rule.rule = 4;
        policy.dnat.push_back(rule);
    }
    Packet parsed(const PacketBuilder& b, std::uint16_t device = 0, unsigned worker = 0) {
        PacketBuilder copy = b;
        Packet p = arrive(copy.to((*ports)[device == 0 ? kLan : kWan].mac), device);
        REQUIRE((parse(p, *ports, disposal) == Arrival::forward));
        p.hash = seats[worker]->store.table().hash(p.key);
        return p;
    }
    /// A first packet on `worker`; the room frees the buffer unless it goes on a journey.
    Decision create(const PacketBuilder& b, std::uint16_t device = 0, unsigned worker = 0) {
        Packet p = parsed(b, device, worker);
        const Decision d = seats[worker]->creator.create(p, policy, now);
        keep(p, d);
        return d;
    }
    /// A packet on its journey to the reply tuple's home and back. The stub stays when `finish` is not called.
    struct Journey {
        Packet p;
        unsigned owner, home;
    };
    Journey leave(const PacketBuilder& b, unsigned owner, std::uint16_t device = 0) {
        Packet p = parsed(b, device, owner);
        const Decision d = seats[owner]->creator.create(p, policy, now);
        REQUIRE((d.fate == Fate::hand_over));
        const unsigned home = d.to_worker;
        REQUIRE(home != owner);
        REQUIRE((note_of(p.mbuf).kind == HandoffKind::stub_request));
        return {p, owner, home};
    }
    void answer(Journey& j) { seats[j.home]->creator.answer_stub_request(note_of(j.p.mbuf), j.p); }
    Decision finish(Journey& j) {
        const Decision d = seats[j.owner]->creator.finish(j.p, policy, now);
        keep(j.p, d);
        return d;
    }
    void keep(Packet& p, const Decision& d) {
        last = p;
        if (d.fate != Fate::hand_over) rte_pktmbuf_free(p.mbuf);
        last.mbuf = nullptr;
    }
    /// What `worker` was told by the other.
    void read_mail(unsigned worker) {
        std::array<PeerMessage, 16> mail;
        const unsigned n = seats[worker]->peer.take(mail.data(), 16);
        for (unsigned i = 0; i < n; ++i)
            seats[worker]->store.remove_stub(mail[i].reply, static_cast<std::uint8_t>(mail[i].from_worker),
                                             mail[i].original);
        removed += n;
    }
    FlowHot& hot(unsigned worker = 0) { return seats[worker]->store.hot(last.slot); }
    FlowCold& cold(unsigned worker = 0) { return seats[worker]->store.cold(last.slot); }
    FlowKey original(unsigned worker = 0) { return seats[worker]->store.key(last.slot, Direction::original); }
    FlowKey reply(unsigned worker = 0) { return seats[worker]->store.key(last.slot, Direction::reply); }
    std::uint64_t live(unsigned worker = 0) { return seats[worker]->store.live(); }
    std::uint64_t stubs(unsigned worker) { return seats[worker]->counters->stubs.get(); }

    GracePeriods grace;
    HomeMap homes;
    std::unique_ptr<RouteTable> routes;
    Policy policy;
    std::vector<std::unique_ptr<Seat>> seats;
    Now now{1000, 0};
    Packet last;
    unsigned removed = 0;
};

inline PacketBuilder syn(unsigned port = 40000, Ip4 client = kClient, Ip4 server = kServer) {
    return tcp(client, port, server, 80).flags(kSyn);
}

/// Two addresses of the inside with different homes.
struct TwoHomes : CreateRoom {
    TwoHomes() : CreateRoom(2) {
        mine = find(0);
        yours = find(1);
    }
    Ip4 find(unsigned home) {
        for (unsigned n = 10;; ++n)
            if (homes.of(ip4(192, 0, 2, n)) == home) return ip4(192, 0, 2, n);
    }
    Ip4 mine, yours;
    /// Inside to inside: the owner is the server's home (0), the reply tuple's home is the client's (1).
    PacketBuilder inside(unsigned port = 40000) { return tcp(yours, port, mine, 80).flags(kSyn); }
};

}  // namespace sluice::test

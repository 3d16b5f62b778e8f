// Which address NAT takes: pools with paired addresses, masquerade, the schedules and port ranges of DNAT.
#include "dataplane/policy/nat_decide.hh"

#include <map>
#include <memory>
#include <set>

#include <catch2/catch.hpp>

using namespace sluice;

namespace {

constexpr PortIndex kLan = 0, kWan = 1;
constexpr Ip4 kServer = ip4(203, 0, 113, 9), kBox = ip4(198, 51, 100, 1);

Ip4 client(unsigned n) {
    return Ip4::from_host(ip4(192, 0, 2, 0).host() + n);
}
FlowKey from_client(unsigned n, unsigned port = 40000) {
    return port_key(IpProto::tcp, client(n), be16(port), kServer, be16(80));
}
AddressPool pool(Ip4 first, Ip4 last) {
    AddressPool p;
    p.ranges.push_back({first, last});
    p.size = p.ranges[0].size();
    return p;
}

struct Room {
    Room() {
        addresses.by_port[kWan] = {{kBox, 24, false}, {ip4(192, 0, 2, 129), 25, false}};
        hop.kind = HopKind::neighbour;
        hop.out_port = kWan;
        hop.address = ip4(198, 51, 100, 254);
    }
    NatRule& snat(SnatKind kind) {
        NatRule rule;
        rule.snat = kind;
        rule.match.out_ports = 1ULL << kWan;
        policy.snat.push_back(rule);
        return policy.snat.back();
    }
    NatRule& dnat(AddressPool targets, Schedule schedule = Schedule::round_robin) {
        NatRule rule;
        rule.dnat = true;
        rule.match.in_ports = 1ULL << kWan;
        rule.pool = std::move(targets);
        rule.schedule = schedule;
        policy.dnat.push_back(rule);
        return policy.dnat.back();
    }
    SourceNat source(const FlowKey& tuple, unsigned attempt = 0, PortIndex out = kWan) {
        return decide_snat(policy, tuple, kLan, out, hop, addresses, attempt);
    }
    DestinationNat destination(const FlowKey& key, PortIndex in = kWan) {
        return decide_dnat(policy, key, in, round_robin, random);
    }

    Policy policy;
    Addresses addresses;
    NextHop hop;
    std::uint32_t round_robin = 0;
    FastRandom random{7};
};

}  // namespace

TEST_CASE("without a matching rule the source stays, and its port may move within its class") {
    Room room;
    (void)room.snat(SnatKind::masquerade);
    const SourceNat nat = room.source(from_client(7, 700), 0, kLan);
    CHECK(nat.rule == nullptr);
    CHECK(nat.address == client(7));
    CHECK(nat.ports.ports == PortRange{600, 1023});
    CHECK(nat.alternatives == 1);
}

TEST_CASE("a rule that says no NAT ends the search") {
    Room room;
    (void)room.snat(SnatKind::none);
    (void)room.snat(SnatKind::masquerade);
    const SourceNat nat = room.source(from_client(7));
    CHECK(nat.rule == &room.policy.snat[0]);
    CHECK(nat.address == client(7));
}

TEST_CASE("masquerade takes the address of the exit port that is nearest to the gateway") {
    Room room;
    (void)room.snat(SnatKind::masquerade);
    CHECK(room.source(from_client(7)).address == kBox);
    room.hop.address = ip4(192, 0, 2, 254);
    CHECK(room.source(from_client(7)).address == ip4(192, 0, 2, 129));
    SECTION("on-link: the destination counts") {
        room.hop.kind = HopKind::connected;
        CHECK(room.source(from_client(7)).address == kBox);
    }
    SECTION("a port without an address has none to give") {
        room.addresses.by_port[kWan].clear();
        CHECK(room.source(from_client(7)).address.is_none());
    }
    CHECK(room.source(from_client(7)).alternatives == 1);
}

TEST_CASE("an inside address keeps its place in the pool, whatever it connects to") {
    Room room;
    room.snat(SnatKind::addresses).pool = pool(ip4(198, 51, 100, 10), ip4(198, 51, 100, 25));
    std::map<IpAddress, unsigned> uses;
    for (unsigned n = 0; n < 256; ++n) {
        const IpAddress address = room.source(from_client(n, 1024)).address;
        for (unsigned port = 2000; port < 2010; ++port) CHECK(room.source(from_client(n, port)).address == address);
        ++uses[address];
    }
    CHECK(uses.size() == 16);
    for (const auto& [address, count] : uses) {
        CHECK(room.policy.snat[0].pool.contains(address));
        CHECK(count >= 8);  // 16 is even
        CHECK(count <= 32);
    }
}

TEST_CASE("an address that is used up is followed by the others, each once, eight at most") {
    Room room;
    const unsigned size = GENERATE(1U, 3U, 8U, 200U);
    room.snat(SnatKind::addresses).pool =
        pool(ip4(198, 51, 100, 10), Ip4::from_host(ip4(198, 51, 100, 10).host() + size - 1));
    const unsigned alternatives = room.source(from_client(7)).alternatives;
    CHECK(alternatives == std::min(size, kMaxPoolAttempts));
    std::set<IpAddress> seen;
    for (unsigned attempt = 0; attempt < alternatives; ++attempt) {
        const IpAddress address = room.source(from_client(7), attempt).address;
        CHECK(room.policy.snat[0].pool.contains(address));
        seen.insert(address);
    }
    CHECK(seen.size() == alternatives);
}

TEST_CASE("a pool of several ranges is one list") {
    Room room;
    AddressPool& p = room.snat(SnatKind::addresses).pool;
    p.ranges = {{ip4(198, 51, 100, 10), ip4(198, 51, 100, 11)}, {ip4(198, 51, 100, 77), ip4(198, 51, 100, 77)}};
    p.size = 3;
    std::set<IpAddress> seen;
    for (unsigned attempt = 0; attempt < 3; ++attempt) seen.insert(room.source(from_client(7), attempt).address);
    CHECK(seen == std::set<IpAddress>{ip4(198, 51, 100, 10), ip4(198, 51, 100, 11), ip4(198, 51, 100, 77)});
}

TEST_CASE("the rule's ports replace the class") {
    Room room;
    NatRule& rule = room.snat(SnatKind::masquerade);
    rule.has_ports = true;
    rule.ports = {50000, 50999};
    CHECK(room.source(from_client(7, 80)).ports.ports == PortRange{50000, 50999});
}

TEST_CASE("DNAT by turns goes round its targets") {
    Room room;
    (void)room.dnat(pool(ip4(192, 0, 2, 10), ip4(192, 0, 2, 12)));
    const FlowKey key = port_key(IpProto::tcp, kServer, be16(5), kBox, be16(80));
    std::map<IpAddress, unsigned> uses;
    for (unsigned i = 0; i < 9; ++i) ++uses[room.destination(key).tuple.dst()];
    CHECK(uses.size() == 3);
    for (const auto& [address, count] : uses) CHECK(count == 3);
}

TEST_CASE("DNAT by source keeps a client at its target; by chance it does not") {
    Room room;
    const bool by_source = GENERATE(true, false);
    (void)room.dnat(pool(ip4(192, 0, 2, 10), ip4(192, 0, 2, 13)), by_source ? Schedule::source_hash : Schedule::random);
    std::set<IpAddress> one, all;
    for (unsigned i = 0; i < 64; ++i) {
        one.insert(room.destination(port_key(IpProto::tcp, kServer, be16(1024 + i), kBox, be16(80))).tuple.dst());
        const Ip4 source = Ip4::from_host(ip4(203, 0, 113, 0).host() + i);
        all.insert(room.destination(port_key(IpProto::tcp, source, be16(9), kBox, be16(80))).tuple.dst());
    }
    CHECK(one.size() == (by_source ? 1 : 4));
    CHECK(all.size() == 4);
}

TEST_CASE("DNAT of ports: kept, one, any of a range, or shifted with their offset") {
    Room room;
    NatRule& rule = room.dnat(pool(ip4(192, 0, 2, 10), ip4(192, 0, 2, 10)));
    const auto port_of = [&](unsigned port, IpProto proto = IpProto::tcp) {
        const DestinationNat nat = room.destination(port_key(proto, kServer, be16(5), kBox, be16(port)));
        CHECK(nat.rule == &room.policy.dnat[0]);
        CHECK(nat.tuple.dst() == ip4(192, 0, 2, 10));
        CHECK(nat.tuple.sport == be16(5));
        return unsigned{nat.tuple.dport.host()};
    };
    CHECK(port_of(8005) == 8005);
    rule.has_ports = true;
    rule.ports = {9000, 9000};
    CHECK(port_of(8005) == 9000);
    CHECK(port_of(8005, IpProto::udp) == 9000);
    rule.ports = {9000, 9010};
    std::set<unsigned> seen;
    for (unsigned i = 0; i < 400; ++i) seen.insert(port_of(8005));
    CHECK(seen.size() == 11);
    CHECK(*seen.begin() == 9000);
    CHECK(*seen.rbegin() == 9010);
    rule.shift_ports = true;
    rule.shift_from = 8000;
    CHECK(port_of(8000) == 9000);
    CHECK(port_of(8005) == 9005);
    CHECK(port_of(8010) == 9010);
}

TEST_CASE("a rule without an address changes the port only, one with ports leaves ICMP's type alone") {
    Room room;
    NatRule& rule = room.dnat({});
    rule.has_ports = true;
    rule.ports = {3128, 3128};
    const FlowKey key = port_key(IpProto::tcp, kServer, be16(5), kBox, be16(80));
    CHECK(room.destination(key).tuple == port_key(IpProto::tcp, kServer, be16(5), kBox, be16(3128)));
    const FlowKey ping = icmp_key(kServer, kBox, 8, 0, be16(1));
    CHECK(room.destination(ping).tuple == ping);
}

TEST_CASE("the first DNAT rule that matches decides, and none when the port differs") {
    Room room;
    (void)room.dnat(pool(ip4(192, 0, 2, 10), ip4(192, 0, 2, 10)));
    (void)room.dnat(pool(ip4(192, 0, 2, 20), ip4(192, 0, 2, 20)));
    const FlowKey key = port_key(IpProto::tcp, kServer, be16(5), kBox, be16(80));
    CHECK(room.destination(key).tuple.dst() == ip4(192, 0, 2, 10));
    CHECK(room.destination(key, kLan).rule == nullptr);
    CHECK(room.destination(key, kLan).tuple == key);
}

// Conntrack zones: two tenants with the same network, the same hosts and the same ports behind one way out.
#include <string>

#include <catch2/catch.hpp>

#include "tests/support/l4_packets.hh"
#include "tests/support/two_ports.hh"

using namespace sluice;
using namespace sluice::test;

namespace {

constexpr Ip4 kHost = ip4(10, 0, 0, 5);
constexpr Ip4 kGate = ip4(10, 0, 0, 1);
constexpr IpAddress kHost6 = ip6(0x2001, 0xdb8, 1, 0, 0, 0, 0, 5);
constexpr Ip4 kPool = ip4(203, 0, 113, 50);

const std::string kTenantsOut = kAcceptAll + R"(
nat:
  - {out: wan, src: 10.0.0.0/24, snat: masquerade}
  - {out: wan, src: "2001:db8:1::/64", snat: masquerade}
)";
const std::string kTenantsFtp = R"(
filter:
  forward:
    policy: drop
    rules:
      - {state: [established, related], action: accept}
      - {proto: tcp, dport: 21, action: accept}
nat: [{out: wan, src: 10.0.0.0/24, snat: masquerade}]
)";

/// "a" is in zone 1, "b" in zone 2, and both are 10.0.0.0/24.
struct Tenants : Box {
    explicit Tenants(unsigned workers = 1, bool silent = false) : Box({.workers = workers}) {
        for (const auto& [name, zone] : {std::pair("a", 1), std::pair("b", 2)}) {
            port(name, PortRole::inside, "10.0.0.1/24", silent, 1500, static_cast<std::uint16_t>(zone));
            address(name, "2001:db8:1::1/64");
        }
        port("wan", PortRole::outside, "203.0.113.1/24");
        address("wan", "2001:db8:2::1/64");
    }
    [[nodiscard]] FlowCopy flow_in(std::uint16_t zone) {
        for (const FlowCopy& f : flows())
            if (f.key[0].zone == zone) return f;
        FAIL("no flow in zone " << zone);
        return FlowCopy{};
    }
    [[nodiscard]] std::uint64_t count(Counter WorkerCounters::*counter) const {
        return sum([&](const WorkerCounters& c) -> const Counter& { return c.*counter; });
    }
};

/// A tenant's client goes to an FTP server beyond the box.
struct Ftp {
    Tenants& box;
    std::string tenant;
    unsigned sport = 0;  ///< as the server sees it
    std::uint32_t client_seq = 1000, server_seq = 5000;
    int shift = 0;  ///< of what the client says, by rewriting

    void open() {
        box.send(tenant, tcp(kHost, 40000, kServer, 21).flags(kSyn).seq(client_seq));
        sport = box.one("wan").sport;
        box.send("wan", tcp(kServer, 21, kBoxOutside, sport).flags(kSyn | kAck).seq(server_seq).ack(++client_seq));
        CHECK(box.one(tenant).dport == 40000);
        box.send(tenant, tcp(kHost, 40000, kServer, 21).seq(client_seq).ack(++server_seq));
        CHECK(box.one("wan").sport == sport);
    }
    Decoded client_says(const std::string& text) {
        box.send(tenant,
                 tcp(kHost, 40000, kServer, 21).flags(kPsh | kAck).seq(client_seq).ack(server_seq).payload(text));
        const Decoded out = box.one("wan");
        shift += static_cast<int>(out.payload.size()) - static_cast<int>(text.size());
        client_seq += static_cast<std::uint32_t>(text.size());
        return out;
    }
    Decoded server_says(const std::string& text) {
        box.send("wan", tcp(kServer, 21, kBoxOutside, sport)
                            .flags(kPsh | kAck)
                            .seq(server_seq)
                            .ack(client_seq + static_cast<std::uint32_t>(shift))
                            .payload(text));
        server_seq += static_cast<std::uint32_t>(text.size());
        return box.one(tenant);
    }
};

/// The port that a PORT command ends with.
unsigned told_port(const std::string& command) {
    const auto last = command.rfind(',');
    const auto before = command.rfind(',', last - 1);
    return static_cast<unsigned>(std::stoul(command.substr(before + 1)) * 256 + std::stoul(command.substr(last + 1)));
}

}  // namespace

TEST_CASE("two tenants with the same addresses and ports reach one server, and each gets its own answers") {
    Tenants box(GENERATE(1U, 2U));
    box.configure(kTenantsOut);
    const bool v6 = GENERATE(false, true);
    const IpAddress host = v6 ? kHost6 : IpAddress(kHost), server = v6 ? kServer6 : IpAddress(kServer),
                    outside = v6 ? kBoxOutside6 : IpAddress(kBoxOutside);
    box.send("a", tcp(host, 40000, server, 80).flags(kSyn).seq(100));
    const Decoded first = box.one("wan");
    CHECK(first.src == outside);
    CHECK(first.sport == 40000);
    box.send("b", tcp(host, 40000, server, 80).flags(kSyn).seq(200));
    const Decoded second = box.one("wan");
    CHECK(second.src == outside);
    CHECK(second.sport != 40000);
    CHECK(second.valid_checksums());

    box.send("wan", tcp(server, 80, outside, second.sport).flags(kSyn | kAck).seq(900).ack(201));
    const Decoded to_b = box.one("b");
    CHECK(to_b.dst == host);
    CHECK(to_b.dport == 40000);
    CHECK(to_b.ack == 201);
    CHECK(box.quiet("a"));
    box.send("wan", tcp(server, 80, outside, 40000).flags(kSyn | kAck).seq(700).ack(101));
    CHECK(box.one("a").ack == 101);
    CHECK(box.quiet("b"));
    box.send("b", tcp(host, 40000, server, 80).seq(201).ack(901).payload("b"));
    CHECK(box.one("wan").sport == second.sport);
    box.send("a", tcp(host, 40000, server, 80).seq(101).ack(701).payload("a"));
    CHECK(box.one("wan").sport == 40000);

    CHECK(box.flows().size() == 2);
    for (const std::uint16_t zone : {std::uint16_t{1}, std::uint16_t{2}}) {
        const FlowCopy flow = box.flow_in(zone);
        CHECK(flow.tcp_state == TcpState::established);
        CHECK(flow.key[1].zone == 0);
    }
}

TEST_CASE("a pool is shared by tenants, without NAT their tuples clash and the port moves") {
    Tenants box;
    box.configure(kAcceptAll +
                  GENERATE("nat: [{out: wan, src: 10.0.0.0/24, snat: {to: 203.0.113.50}}]\n", "nat: []\n"));
    box.send("a", udp(kHost, 5000, kServer, 53));
    const Decoded first = box.one("wan");
    box.send("b", udp(kHost, 5000, kServer, 53));
    const Decoded second = box.one("wan");
    CHECK(first.src == second.src);
    CHECK(first.sport == 5000);
    CHECK(second.sport != 5000);
    box.send("wan", udp(kServer, 53, second.src, second.sport));
    CHECK(box.one("b").dport == 5000);
    box.send("wan", udp(kServer, 53, first.src, 5000));
    CHECK(box.one("a").dport == 5000);
}

TEST_CASE("pings of two tenants with one identifier are told apart") {
    Tenants box;
    box.configure(kTenantsOut);
    box.send("a", echo_request(kHost, kServer, 77));
    const unsigned a = box.one("wan").icmp_id;
    box.send("b", echo_request(kHost, kServer, 77));
    const unsigned b = box.one("wan").icmp_id;
    CHECK(a != b);
    box.send("wan", echo_reply(kServer, kBoxOutside, b));
    CHECK(box.one("b").icmp_id == 77);
    box.send("wan", echo_reply(kServer, kBoxOutside, a));
    CHECK(box.one("a").icmp_id == 77);
}

TEST_CASE("an ICMP error goes to the tenant whose packet it quotes") {
    Tenants box;
    box.configure(kTenantsOut);
    box.send("a", udp(kHost, 5000, kServer, 53));
    const unsigned a = box.one("wan").sport;
    box.send("b", udp(kHost, 5000, kServer, 53));
    const unsigned b = box.one("wan").sport;
    box.send("wan", icmp_error(kServer, kBoxOutside, 3, 3, udp(kBoxOutside, b, kServer, 53)));
    CHECK(box.one("b").dst == kHost);
    CHECK(box.quiet("a"));
    box.send("wan", icmp_error(kServer, kBoxOutside, 3, 3, udp(kBoxOutside, a, kServer, 53)));
    CHECK(box.one("a").dst == kHost);
    CHECK(box.quiet("b"));

    // The other way: an answer that the tenant's host does not want.
    box.send("wan", udp(kServer, 53, kBoxOutside, b));
    CHECK(box.one("b").dport == 5000);
    box.send("b", icmp_error(kHost, kServer, 3, 3, udp(kServer, 53, kHost, 5000)));
    const Decoded out = box.one("wan");
    CHECK(out.src == kBoxOutside);
    CHECK(out.valid_checksums());
}

TEST_CASE("DNAT names the tenant whose host is meant") {
    Tenants box(GENERATE(1U, 2U));
    box.configure(kAcceptAll + R"(
nat:
  - {in: wan, dst: 203.0.113.1, proto: tcp, dport: 8001, dnat: {to: 10.0.0.5, port: 80, zone: 1}}
  - {in: wan, dst: 203.0.113.1, proto: tcp, dport: 8002, dnat: {to: 10.0.0.5, port: 80, zone: 2}}
)");
    box.send("wan", tcp(kServer, 50000, kBoxOutside, 8002).flags(kSyn).seq(5));
    CHECK(box.one("b").text() == "203.0.113.10:50000 > 10.0.0.5:80 tcp S seq 5 ttl 63");
    CHECK(box.quiet("a"));
    box.send("wan", tcp(kServer, 50000, kBoxOutside, 8001).flags(kSyn).seq(6));
    CHECK(box.one("a").seq == 6);
    CHECK(box.quiet("b"));
    box.send("b", tcp(kHost, 80, kServer, 50000).flags(kSyn | kAck).seq(1).ack(6));
    CHECK(box.one("wan").sport == 8002);
    box.send("a", tcp(kHost, 80, kServer, 50000).flags(kSyn | kAck).seq(1).ack(7));
    CHECK(box.one("wan").sport == 8001);
    CHECK(box.flow_in(0).key[1].zone != 0);
}

TEST_CASE("from one tenant to another by a published address, both behind the box's") {
    Tenants box(GENERATE(1U, 2U));
    box.configure(kAcceptAll + R"(
nat:
  - {in: a, dst: 203.0.113.1, proto: tcp, dport: 8002, dnat: {to: 10.0.0.5, port: 80, zone: 2}}
  - {out: [a, b], src: 10.0.0.0/24, snat: masquerade}
)");
    box.send("a", tcp(kHost, 50000, kBoxOutside, 8002).flags(kSyn).seq(5));
    const Decoded there = box.one("b");
    CHECK(there.src == kGate);
    CHECK(there.dst == kHost);
    CHECK(there.valid_checksums());
    box.send("b", tcp(kHost, 80, kGate, there.sport).flags(kSyn | kAck).seq(1).ack(6));
    const Decoded back = box.one("a");
    CHECK(back.src == kBoxOutside);
    CHECK(back.sport == 8002);
    CHECK(back.dst == kHost);
    CHECK(back.dport == 50000);
    CHECK(box.flow().key[0].zone == 1);
    CHECK(box.flow().key[1].zone == 2);
}

TEST_CASE("FTP of two tenants at once, active and passive") {
    Tenants box(GENERATE(1U, 2U));
    box.configure(kTenantsFtp);
    Ftp a{box, "a"}, b{box, "b"};
    a.open();
    b.open();
    CHECK(a.sport != b.sport);

    // Active: each server connection comes to the tenant that asked for it.
    const unsigned port_a = told_port(a.client_says("PORT 10,0,0,5,20,0\r\n").payload);
    const unsigned port_b = told_port(b.client_says("PORT 10,0,0,5,20,0\r\n").payload);
    CHECK(port_a != port_b);
    box.send("wan", tcp(kServer, 20, kBoxOutside, port_b).flags(kSyn).seq(8));
    CHECK(box.one("b").text() == "203.0.113.10:20 > 10.0.0.5:5120 tcp S seq 8 ttl 63");
    CHECK(box.quiet("a"));
    box.send("wan", tcp(kServer, 20, kBoxOutside, port_a).flags(kSyn).seq(9));
    CHECK(box.one("a").text() == "203.0.113.10:20 > 10.0.0.5:5120 tcp S seq 9 ttl 63");
    box.send("b", tcp(kHost, 5120, kServer, 20).flags(kSyn | kAck).seq(1).ack(9));
    CHECK(box.one("wan").sport == port_b);

    // Passive: the expectation is of the tenant whose client was told.
    b.server_says("227 Entering Passive Mode (203,0,113,10,78,32)\r\n");
    box.send("a", tcp(kHost, 45000, kServer, 20000).flags(kSyn));
    CHECK(box.quiet("wan"));
    box.send("b", tcp(kHost, 45000, kServer, 20000).flags(kSyn));
    CHECK(box.one("wan").dport == 20000);
    CHECK(box.drops(DropReason::filter_forward) == 1);
    unsigned expected = 0;
    for (const FlowCopy& f : box.flows()) expected += (f.status & status::kExpected) != 0;
    CHECK(expected == 3);
}

TEST_CASE("ESP of a tenant is answered to it, and errors about it find it") {
    Tenants box;
    box.configure(kTenantsOut);
    box.send("a", esp(kHost, kServer, 0x1a1));
    box.send("b", esp(kHost, kServer, 0x1b1));
    CHECK(box.sent("wan").size() == 2);
    box.send("wan", esp(kServer, kBoxOutside, 0x1a2));
    CHECK(box.sent("a").size() == 1);
    box.send("wan", esp(kServer, kBoxOutside, 0x1b2));
    CHECK(box.sent("b").size() == 1);
    box.send("wan", icmp_error(kServer, kBoxOutside, 3, 2, esp(kBoxOutside, kServer, 0x1b1)));
    CHECK(box.one("b").dst == kHost);
    box.send("b", icmp_error(kHost, kServer, 3, 2, esp(kServer, kHost, 0x1b2)));
    CHECK(box.one("wan").src == kBoxOutside);
    CHECK(box.quiet("a"));
}

TEST_CASE("what the box itself says to a tenant, and hears from it, is in the tenant's zone") {
    Tenants box;
    box.configure(kTenantsOut);
    box.send("b", echo_request(kHost, kGate, 9));
    CHECK(box.punted("b").size() == 1);
    box.send_from_kernel("b", echo_reply(kGate, kHost, 9).to(mac(9)));
    CHECK(box.one("b").icmp_id == 9);
    const FlowCopy flow = box.flow();
    CHECK(flow.key[0].zone == 2);
    CHECK(flow.key[1].zone == 2);
    CHECK((flow.status & status::kSeenReply) != 0);

    box.send_from_kernel("a", udp(kGate, 4000, kHost, 514).to(mac(9)));
    CHECK(box.one("a").dport == 514);
    box.send("a", udp(kHost, 514, kGate, 4000));
    CHECK(box.punted("a").size() == 1);
    CHECK(box.flow_in(1).packets[1] == 1);
    // The same tuple of the other tenant is nobody's answer.
    box.send("b", udp(kHost, 514, kGate, 4000));
    CHECK(box.flows().size() == 3);
}

TEST_CASE("neighbours are asked for on the tenant's own port") {
    Tenants box(1, true);
    box.configure(kTenantsOut);
    box.neighbour("wan", kServer, mac(0x77));
    box.neighbour("a", kHost, mac(0x0a));
    box.send("b", udp(kHost, 5000, kServer, 53));
    const unsigned b = box.one("wan").sport;
    box.send("wan", udp(kServer, 53, kBoxOutside, b));
    CHECK(box.quiet("a"));
    CHECK(box.quiet("b"));
    box.neighbour("b", kHost, mac(0x0b));
    const Decoded in = box.one("b");
    CHECK(in.eth_dst == mac(0x0b));
    CHECK(box.quiet("a"));
}

TEST_CASE("a tenant's answers never go to another tenant when its own network is gone") {
    Tenants box;
    box.configure(kTenantsOut);
    box.send("b", udp(kHost, 5000, kServer, 53));
    const unsigned b = box.one("wan").sport;
    box.lose_networks("b");
    box.send("wan", udp(kServer, 53, kBoxOutside, b));
    CHECK(box.quiet("a"));
    CHECK(box.quiet("b"));
    CHECK(box.drops(DropReason::no_route) == 1);
}

TEST_CASE("the address of a tenant's host may be the box's in another tenant's network") {
    Tenants box;
    box.address("b", "10.0.0.9/24");
    box.configure(kTenantsOut);
    const Ip4 nine = ip4(10, 0, 0, 9);
    box.send("a", udp(nine, 5000, kServer, 53));
    const unsigned port = box.one("wan").sport;
    box.send("wan", udp(kServer, 53, kBoxOutside, port));
    CHECK(box.one("a").dst == nine);
    box.send("b", udp(nine, 5000, kServer, 53));
    CHECK(box.drops(DropReason::ip_spoofed_own) == 1);
    box.send("a", udp(kBoxOutside, 5000, kServer, 53));
    CHECK(box.drops(DropReason::ip_spoofed_own) == 2);
    CHECK(box.quiet("wan"));
}

// When a translated address leaves the box: a masqueraded flow dies at its next packet, whichever direction that has
// and however many of them travel together; what was not masqueraded stays.
#include <set>
#include <string>

#include <catch2/catch.hpp>

#include "tests/support/two_ports.hh"

using namespace sluice;
using namespace sluice::test;

namespace {

constexpr Ip4 kPool = ip4(203, 0, 113, 50);

struct AddressBox : TwoPorts {
    AddressBox() : TwoPorts({}, kAcceptAll + "nat: [{out: wan, src: 192.168.1.10/32, snat: masquerade}]\n") {}
    [[nodiscard]] std::uint64_t deaths(DeathCause cause) const {
        return sum([cause](const WorkerCounters& c) -> const Counter& {
            return c.flow_deaths[static_cast<std::size_t>(cause)];
        });
    }
    [[nodiscard]] std::uint64_t udp_flows() const {
        return sum([](const WorkerCounters& c) -> const Counter& {
            return c.flows_of[static_cast<std::size_t>(L4Kind::udp)];
        });
    }
};

}  // namespace

TEST_CASE_METHOD(AddressBox, "a masqueraded flow dies at its next packet, and new flows find no address") {
    send("lan", udp(kClient, 5000, kServer, 53));
    CHECK(one("wan").src == kBoxOutside);
    remove_address("wan");
    CHECK(flows().size() == 1);  // nothing happened to it yet

    send("lan", udp(kClient, 5000, kServer, 53));
    CHECK(quiet("wan"));
    CHECK(deaths(DeathCause::address_gone) == 1);
    CHECK(drops(DropReason::nat_no_address) == 1);
    CHECK(flows().empty());

    send("lan", udp(kClient, 6000, kServer, 53));
    CHECK(drops(DropReason::nat_no_address) == 2);
    CHECK(quiet("wan"));
    CHECK(udp_flows() == 0);
}

TEST_CASE_METHOD(AddressBox, "it dies also when the news of the address come without those of a route") {
    send("lan", udp(kClient, 5000, kServer, 53));
    send("lan", udp(kClient2, 5000, kServer, 53));
    send("lan", udp(kClient, 5000, kServer, 53));
    CHECK(sent("wan").size() == 3);
    remove_address("wan", false);
    send("lan", udp(kClient, 5000, kServer, 53));
    CHECK(quiet("wan"));
    CHECK(deaths(DeathCause::address_gone) == 1);
    CHECK(drops(DropReason::nat_no_address) == 1);
    send("lan", udp(kClient2, 5000, kServer, 53));  // not masqueraded
    CHECK(one("wan").src == kClient2);
    CHECK(flows().size() == 1);
}

TEST_CASE_METHOD(AddressBox, "it dies at a packet of the reply direction too") {
    send("lan", udp(kClient, 5000, kServer, 53));
    CHECK(one("wan").sport == 5000);
    remove_address("wan");
    send("wan", udp(kServer, 53, kBoxOutside, 5000));
    CHECK(quiet("lan"));
    CHECK(punted("wan").empty());
    CHECK(deaths(DeathCause::address_gone) == 1);
    for (const FlowCopy& f : flows()) CHECK(f.key[0].src() == kServer);  // at most a new one, to an address of nobody
}

TEST_CASE_METHOD(AddressBox, "an established TCP connection dies as well") {
    send("lan", tcp(kClient, 40000, kServer, 80).flags(kSyn));
    send("wan", tcp(kServer, 80, kBoxOutside, 40000).flags(kSyn | kAck));
    send("lan", tcp(kClient, 40000, kServer, 80).flags(kAck));
    CHECK(flow().tcp_state == TcpState::established);
    (void)sent("wan");
    remove_address("wan");
    send("lan", tcp(kClient, 40000, kServer, 80).flags(kAck | kPsh).payload("x"));
    CHECK(quiet("wan"));
    CHECK(deaths(DeathCause::address_gone) == 1);
    CHECK(flows().empty());
}

TEST_CASE_METHOD(AddressBox, "several packets of the dying flow in one burst kill it once") {
    send("lan", udp(kClient, 5000, kServer, 53));
    CHECK(one("wan").src == kBoxOutside);
    remove_address("wan");
    for (int i = 0; i < 4; ++i) queue("lan", udp(kClient, 5000, kServer, 53));
    settle();
    CHECK(quiet("wan"));
    CHECK(deaths(DeathCause::address_gone) == 1);
    CHECK(drops(DropReason::nat_no_address) == 4);
    CHECK(udp_flows() == 0);
    CHECK(flows().empty());

    // Its slot went back once: flows made now have one each.
    for (unsigned i = 0; i < 4; ++i) send("lan", udp(kClient2, 7000 + i, kServer, 53));
    CHECK(sent("wan").size() == 4);
    const auto all = flows();
    CHECK(all.size() == 4);
    std::set<std::uint16_t> ports;
    for (const FlowCopy& f : all) ports.insert(f.key[0].sport.host());
    CHECK(ports.size() == 4);
    CHECK(udp_flows() == 4);
}

TEST_CASE_METHOD(AddressBox, "a flow with a new rule takes the place of the dying one within the burst") {
    send("lan", udp(kClient, 5000, kServer, 53));
    CHECK(one("wan").src == kBoxOutside);
    configure(kAcceptAll + "nat: [{out: wan, src: 192.168.1.0/24, snat: {to: 203.0.113.50}}]\n");
    send("lan", udp(kClient, 5000, kServer, 53));
    CHECK(one("wan").src == kBoxOutside);  // translation is decided once
    remove_address("wan");
    for (unsigned i = 0; i < 4; ++i) queue("lan", udp(kClient, 5000, kServer, 53).ip_id(i));
    settle();
    const auto frames = sent("wan");
    REQUIRE(frames.size() == 4);
    for (unsigned i = 0; i < 4; ++i) {
        const Decoded d = decode(frames[i]);
        CHECK(d.src == kPool);
        CHECK(d.ip_id == i);
        CHECK(d.valid_checksums());
    }
    CHECK(deaths(DeathCause::address_gone) == 1);
    CHECK(flow().key[1].dst() == kPool);
    CHECK(flow().snat_rule != kNoRule);
    CHECK(all_drops() == 0);
}

TEST_CASE_METHOD(AddressBox, "flows that do not use the address stay") {
    send("lan", udp(kClient2, 5000, kServer, 53));
    CHECK(one("wan").src == kClient2);
    remove_address("wan");
    send("lan", udp(kClient2, 5000, kServer, 53));
    CHECK(one("wan").src == kClient2);
    CHECK(flow().packets[0] == 2);
    CHECK(deaths(DeathCause::address_gone) == 0);
}

TEST_CASE_METHOD(AddressBox, "a pool's address need not be the box's") {
    configure(kAcceptAll + "nat: [{out: wan, src: 192.168.1.0/24, snat: {to: 203.0.113.50}}]\n");
    send("lan", udp(kClient, 5000, kServer, 53));
    CHECK(one("wan").src == kPool);
    remove_address("wan");
    send("lan", udp(kClient, 5000, kServer, 53));
    CHECK(one("wan").src == kPool);
    CHECK(deaths(DeathCause::address_gone) == 0);
    CHECK(flow().packets[0] == 2);
}

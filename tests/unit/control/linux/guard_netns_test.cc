// The kernel is no way round the firewall: with a real kernel that forwards, unless it is kept from it.
#include <linux/if_packet.h>
#include <net/ethernet.h>
#include <set>
#include <sys/socket.h>
#include <unistd.h>

#include "control/linux/guard.hh"
#include "tests/unit/control/linux/netns_support.hh"

using namespace sluice;
using namespace sluice::test;
using Catch::Matchers::Contains;

namespace {

/// Two twins in a kernel that forwards between them.
struct Router : Box {
    std::unique_ptr<Twin> lan = twin("lan0", 1, {{ip4(192, 0, 2, 1), 24}});
    std::unique_ptr<Twin> wan = twin("wan0", 2, {{ip4(198, 51, 100, 1), 24}});
    Outbox out{*wan};

    Router() {
        sh("sysctl -qw net.ipv4.ip_forward=1");
        sh("ip neigh add 198.51.100.9 lladdr 02:00:00:00:00:99 dev wan0");
    }

    /// A datagram from a host on lan's side to one on wan's; does the kernel pass it on? What the kernel does with a
    /// frame is done before the answer to a later one comes.
    bool forwards() {
        out.frames.clear();
        REQUIRE(lan->write(udp(Box::mac(1), Box::mac(8), ip4(192, 0, 2, 8), ip4(198, 51, 100, 9), 9)));
        REQUIRE(wan->write(arp(1, kBroadcast, Box::mac(7), ip4(198, 51, 100, 7), ip4(198, 51, 100, 1))));
        until("the answer that comes after", [&] { return out.find([](const Frame& f) { return is_arp(f, 2); }); });
        return out.find([](const Frame& f) { return is_udp_to(f, ip4(198, 51, 100, 9)); }) != nullptr;
    }
};

std::vector<std::string> one(const std::string& name) {
    return {name};
}

}  // namespace

TEST_CASE("the kernel forwards between two twins without the guard, and does not with it") {
    Router router;
    CHECK(router.forwards());
    const auto guard = value_of(Guard::open("lan0"));
    const std::vector<std::string> both{"lan0", "wan0"};
    REQUIRE_FALSE(guard->set_interfaces(both));
    CHECK_FALSE(router.forwards());
    REQUIRE_FALSE(guard->set_interfaces(both));
    CHECK_FALSE(router.forwards());
    // One end is enough, whichever it is.
    REQUIRE_FALSE(guard->set_interfaces(std::vector<std::string>{"lan0"}));
    CHECK_FALSE(router.forwards());
    REQUIRE_FALSE(guard->set_interfaces(std::vector<std::string>{"wan0"}));
    CHECK_FALSE(router.forwards());
    REQUIRE_FALSE(guard->set_interfaces({}));
    CHECK(router.forwards());
}

TEST_CASE("the guard outlives its object, and is found and replaced by the next") {
    Router router;
    const std::vector<std::string> names{"lan0", "not-yet.there"};
    REQUIRE_FALSE(value_of(Guard::open("lan0"))->set_interfaces(names));
    CHECK_FALSE(router.forwards());
    const auto guard = value_of(Guard::open("lan0"));
    REQUIRE_FALSE(guard->set_interfaces(names));
    CHECK_THAT(output_of("nft list tables"),
               Contains("inet sluice_guard_lan0\n") && Contains("bridge sluice_guard_lan0\n"));
    REQUIRE_FALSE(guard->remove());
    REQUIRE_FALSE(guard->remove());
    CHECK(router.forwards());
    CHECK(output_of("nft list tables").empty());
}

TEST_CASE("the guard is put back as it was found, counters and ingress guards included") {
    Router router;
    sh("ip link add w1 type veth peer name v1; ip link add w2 type veth peer name v2");
    const auto guard = value_of(Guard::open("lan0"));
    const auto nothing = value_of(guard->state());
    CHECK(nothing.empty());
    REQUIRE_FALSE(guard->set_interfaces(std::vector<std::string>{"lan0", "gone0"}));
    REQUIRE_FALSE(guard->set_ingress(one("w1")));
    CHECK_FALSE(router.forwards());
    const auto before = output_of("nft list ruleset");
    const auto found = value_of(guard->state());
    CHECK(found.size() == 3);

    REQUIRE_FALSE(guard->set_interfaces(std::vector<std::string>{"wan0"}));
    REQUIRE_FALSE(guard->set_ingress(std::vector<std::string>{"w1", "w2"}));
    CHECK(output_of("nft list ruleset") != before);
    REQUIRE_FALSE(guard->restore(found));
    CHECK(output_of("nft list ruleset") == before);
    CHECK_FALSE(router.forwards());

    REQUIRE_FALSE(guard->restore(nothing));
    CHECK(output_of("nft list ruleset").empty());
    CHECK(router.forwards());
    sh("ip link del w1; ip link del w2");
}

TEST_CASE("the guard comes before a rule of the operator that accepts, and leaves the operator's tables alone") {
    Router router;
    sh("nft 'add table inet mine; add chain inet mine forward { type filter hook forward priority -500; }; "
       "add rule inet mine forward accept'");
    const auto guard = value_of(Guard::open("lan0"));
    REQUIRE_FALSE(guard->set_interfaces(std::vector<std::string>{"lan0", "wan0"}));
    CHECK_FALSE(router.forwards());
    REQUIRE_FALSE(guard->remove());
    CHECK_THAT(output_of("nft list tables"), Contains("inet mine"));
    CHECK(router.forwards());
}

TEST_CASE("a bridge does not pass frames of a twin on") {
    Router router;
    sh("ip addr flush dev lan0; ip link add br0 type bridge; ip link set br0 up; "
       "ip link set lan0 master br0; ip link add v0 type veth peer name v1; ip link set v0 up master br0; "
       "ip link set v1 up; nft add table netdev t; "
       "nft 'add chain netdev t c { type filter hook ingress device v1 priority 0; }; "
       "add rule netdev t c ether saddr 02:00:00:00:00:08 counter'");
    const auto passed = [&] {
        REQUIRE(router.lan->write(udp(Box::mac(77), Box::mac(8), ip4(192, 0, 2, 8), ip4(192, 0, 2, 77), 9)));
        const bool one = router.comes_true(
            [] { return output_of("nft list chain netdev t c").find("packets 0") == std::string::npos; },
            std::chrono::milliseconds(200));
        sh("nft reset rules table netdev t >/dev/null 2>&1 || "
           "nft 'flush chain netdev t c; add rule netdev t c ether saddr 02:00:00:00:00:08 counter'");
        return one;
    };
    router.until("the bridge forwards", passed);
    const auto guard = value_of(Guard::open("lan0"));
    REQUIRE_FALSE(guard->set_interfaces(std::vector<std::string>{"lan0", "wan0"}));
    CHECK_FALSE(passed());
}

TEST_CASE("packets of twins are not tracked by the kernel, in either direction") {
    Router router;
    sh("nft 'add table ip t; "
       "add chain ip t in { type filter hook input priority 0; }; "
       "add chain ip t out { type filter hook output priority 0; }; "
       "add rule ip t in ct state new counter; add rule ip t out ct state new counter'");
    const auto tracked = [&] {
        const std::string text = output_of("nft list table ip t");
        return text.find("packets 0") == std::string::npos;
    };
    const auto talk = [&] {
        router.out.frames.clear();
        // To a closed port: in comes the datagram, out goes the ICMP error; and a datagram of the box's own.
        REQUIRE(router.lan->write(udp(Box::mac(1), Box::mac(8), ip4(192, 0, 2, 8), ip4(192, 0, 2, 1), 9)));
        const int s = socket(AF_INET, SOCK_DGRAM, 0);
        sockaddr_in to{.sin_family = AF_INET, .sin_port = 9, .sin_addr = {ip4(198, 51, 100, 9).raw}};
        REQUIRE(sendto(s, "x", 1, 0, reinterpret_cast<sockaddr*>(&to), sizeof to) == 1);
        close(s);
        router.until("the box's datagram", [&] {
            return router.out.find([](const Frame& f) { return is_udp_to(f, ip4(198, 51, 100, 9)); }) != nullptr;
        });
    };
    const auto guard = value_of(Guard::open("lan0"));
    REQUIRE_FALSE(guard->set_interfaces(std::vector<std::string>{"lan0", "wan0"}));
    talk();
    CHECK(output_of("nft list table ip t | grep -c 'packets 0'") == "2\n");
    REQUIRE_FALSE(guard->remove());
    talk();
    CHECK(tracked());
}

TEST_CASE("the kernel gets nothing from a device whose ingress is guarded, packet sockets do") {
    Box box;
    sh("ip link add w-0.1 type veth peer name v1; ip link set w-0.1 up; ip link set v1 up; "
       "ip addr add 192.0.2.1/24 dev w-0.1");
    // All protocols, as DPDK does it: those sockets come before the ingress hook, others after it.
    const auto packet_socket = [](const char* name) {
        const int fd = socket(AF_PACKET, SOCK_RAW | SOCK_NONBLOCK, htons(ETH_P_ALL));
        sockaddr_ll to{.sll_family = AF_PACKET, .sll_protocol = htons(ETH_P_ALL), .sll_ifindex = index_of(name)};
        REQUIRE(bind(fd, reinterpret_cast<sockaddr*>(&to), sizeof to) == 0);
        return fd;
    };
    const int far = packet_socket("v1");
    const int near = packet_socket("w-0.1");
    const auto received = [&](int fd, unsigned operation) {
        return box.comes_true(
            [&] {
                Frame frame(2000);
                const ssize_t got = recv(fd, frame.data(), frame.size(), MSG_DONTWAIT);
                return got > 0 && is_arp(frame, operation);
            },
            std::chrono::milliseconds(300));
    };
    const auto ask = [&] {
        const Frame frame = arp(1, kBroadcast, Box::mac(9), ip4(192, 0, 2, 9), ip4(192, 0, 2, 1));
        REQUIRE(send(far, frame.data(), frame.size(), 0) == static_cast<ssize_t>(frame.size()));
    };
    const auto guard = value_of(Guard::open("lan0"));
    ask();
    CHECK(received(near, 1));
    CHECK(received(far, 2));
    REQUIRE_FALSE(guard->set_ingress(one("w-0.1")));
    REQUIRE_FALSE(guard->set_ingress(one("w-0.1")));
    ask();
    CHECK(received(near, 1));
    CHECK_FALSE(received(far, 2));
    // An operator can see that something is lost there.
    CHECK_THAT(output_of("nft list table netdev sluice_guard_lan0"),
               Contains("counter packets ") && !Contains("counter packets 0 "));
    REQUIRE_FALSE(guard->set_ingress({}));
    REQUIRE_FALSE(guard->set_ingress({}));
    ask();
    CHECK(received(far, 2));
    CHECK_THAT(text_of(guard->set_ingress(one("absent0"))), Contains("no network device \"absent0\""));
    close(far);
    close(near);
}

TEST_CASE("a name that nft could misread is refused") {
    Box box;
    const auto guard = value_of(Guard::open("lan0"));
    for (const char* name : {"a\"; flush ruleset; \"", "", "eth*", "a\nb"})
        CHECK_THAT(text_of(guard->set_interfaces(std::vector<std::string>{name})), Contains("not a name"));
}

TEST_CASE("the guards of two instances leave each other alone") {
    Router router;
    const auto first = value_of(Guard::open("lan0"));
    const auto second = value_of(Guard::open("dmz0"));
    sh("ip link add w1 type veth peer name w2");
    REQUIRE_FALSE(first->set_interfaces(std::vector<std::string>{"lan0", "wan0"}));
    REQUIRE_FALSE(first->set_ingress(one("w1")));
    REQUIRE_FALSE(second->set_interfaces(std::vector<std::string>{"dmz0", "dsl0"}));
    REQUIRE_FALSE(second->set_ingress(one("w2")));
    CHECK_FALSE(router.forwards());
    CHECK(value_of(first->keep()) == false);
    CHECK(value_of(second->keep()) == false);
    REQUIRE_FALSE(second->remove());
    REQUIRE_FALSE(second->set_ingress({}));
    CHECK_FALSE(router.forwards());
    CHECK_THAT(output_of("nft list ruleset"), Contains("device \"w1\"") && !Contains("device \"w2\""));
    CHECK(value_of(first->keep()) == false);
}

TEST_CASE("a table's name is that of the twin, and another one for each twin") {
    Box box;
    std::set<std::string> names;
    const std::vector<std::string> twins{"lan0", "w-0.1", "a_b", "a+b", "a,b", "table", "0", "\xc3\xa4"};
    for (const std::string& twin : twins) {
        INFO(twin);
        const auto guard = value_of(Guard::open(twin));
        REQUIRE_FALSE(guard->set_interfaces(one("lan0")));
        CHECK_THAT(output_of("nft list tables"), Contains("inet " + guard->table_name() + "\n"));
        CHECK(value_of(guard->keep()) == false);
        names.insert(guard->table_name());
        REQUIRE_FALSE(guard->remove());
        CHECK(output_of("nft list tables").empty());
    }
    CHECK(names.size() == twins.size());
    CHECK(names.contains("sluice_guard_lan0"));
    CHECK(names.contains("sluice_guard_w-0.1"));
}

TEST_CASE("what others do to the guard is undone, and what they do beside it is not") {
    Router router;
    sh("ip link add w1 type veth peer name w2");
    const auto guard = value_of(Guard::open("lan0"));
    CHECK(value_of(guard->keep()) == false);
    CHECK(output_of("nft list tables").empty());
    REQUIRE_FALSE(guard->set_interfaces(std::vector<std::string>{"wan0", "lan0", "br0", "a0"}));
    REQUIRE_FALSE(guard->set_ingress(one("w1")));
    const auto written = output_of("nft list ruleset");
    for (const char* change :
         {"nft flush ruleset", "nft delete table bridge sluice_guard_lan0", "nft delete table netdev sluice_guard_lan0",
          "nft flush chain inet sluice_guard_lan0 forward", "nft insert rule inet sluice_guard_lan0 forward accept",
          "nft 'delete element inet sluice_guard_lan0 twins { \"lan0\" }'"}) {
        INFO(change);
        sh(change);
        CHECK(value_of(guard->keep()) == true);
        CHECK_FALSE(router.forwards());
        CHECK(value_of(guard->keep()) == false);  // what was dropped is counted, and is no change
        sh("nft reset counters >/dev/null");
    }
    sh("nft add table inet mine");
    CHECK(value_of(guard->keep()) == false);
    CHECK_THAT(output_of("nft list tables"), Contains("inet mine"));
    sh("nft delete table inet mine");
    for (const char* table : {"inet sluice_guard_lan0", "bridge sluice_guard_lan0", "netdev sluice_guard_lan0"})
        CHECK_THAT(written, Contains(table) && Contains("device \"w1\""));
}

TEST_CASE("an ingress guard goes with its device, and that is no change of somebody's") {
    Box box;
    sh("ip link add w1 type veth peer name v1; ip link add w2 type veth peer name v2");
    const auto guard = value_of(Guard::open("lan0"));
    REQUIRE_FALSE(guard->set_interfaces(one("lan0")));
    REQUIRE_FALSE(guard->set_ingress(std::vector<std::string>{"w1", "w2"}));
    sh("ip link del w1");
    CHECK(value_of(guard->keep()) == false);
    CHECK_THAT(output_of("nft list ruleset netdev"), Contains("device \"w2\"") && !Contains("device \"w1\""));
    sh("ip link del w2");
    CHECK(value_of(guard->keep()) == false);
    CHECK(value_of(guard->keep()) == false);
    sh("nft flush ruleset");
    CHECK(value_of(guard->keep()) == true);
}

TEST_CASE("leftovers of instances without twins are removed, those of others are not") {
    Router router;
    const auto other = [](const char* name, const std::vector<std::string>& names) {
        REQUIRE_FALSE(value_of(Guard::open(name))->set_interfaces(names));
    };
    other("gone0", {"gone0", "gone1"});
    other("away0", {"away0", "wan0"});
    other("lan0", {"lan0"});  // an earlier order of the same ports
    sh("nft 'add table inet sluice_guard; add set inet sluice_guard twins { type ifname; elements = { \"lan0\" }; }'");
    sh("nft add table inet sluice_guards; nft add table netdev sluice_guard_gone0; nft add table ip sluice_guard_x");
    const auto guard = value_of(Guard::open("new0"));
    REQUIRE_FALSE(guard->set_interfaces(std::vector<std::string>{"new0", "lan0"}));
    REQUIRE_FALSE(guard->remove_leftovers());
    CHECK(output_of("nft list tables | sort") ==
          "table bridge sluice_guard_away0\ntable bridge sluice_guard_new0\ntable inet sluice_guard_away0\n"
          "table inet sluice_guard_new0\ntable inet sluice_guards\ntable ip sluice_guard_x\n");
    CHECK(value_of(guard->keep()) == false);
}

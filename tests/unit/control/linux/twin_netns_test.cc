// Twins in a real kernel: found again, frames both ways, carrier, addresses.
#include <arpa/inet.h>
#include <csignal>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/unit/control/linux/netns_support.hh"

using namespace sluice;
using namespace sluice::test;
using Catch::Matchers::Contains;

TEST_CASE("a twin has the port's name, MAC, MTU and carrier") {
    Box box;
    const auto twin =
        value_of(Twin::create(box.io, *box.requests, {.name = "lan0", .mac = Box::mac(1), .mtu_bytes = 1400}));
    const auto netlink = box.watch();
    const LinkInfo& link = box.seen.links.at(index_of("lan0"));
    CHECK(link.mac == Box::mac(1));
    CHECK(link.mtu_bytes == 1400);
    CHECK(link.kind == "tun");
    CHECK(link.up);
    CHECK(link.carrier);
    CHECK(twin->ifindex() == link.ifindex);

    REQUIRE_FALSE(twin->set_carrier(false));
    REQUIRE_FALSE(twin->set_mtu(9000));
    REQUIRE_FALSE(twin->set_mac(Box::mac(9)));
    box.until("carrier, MTU and MAC", [&] {
        const LinkInfo& now = box.seen.links.at(twin->ifindex());
        return !now.carrier && now.mtu_bytes == 9000 && now.mac == Box::mac(9);
    });
    CHECK_THAT(text_of(twin->set_mtu(1000000)), Contains("lan0"));
}

TEST_CASE("a twin for a port without a MAC address says what to do, and is not made") {
    Box box;
    for (const MacAddress mac : {MacAddress{}, MacAddress{{1, 0, 0, 0, 0, 1}}}) {
        const auto refused = Twin::create(box.io, *box.requests, {.name = "lan0", .mac = mac});
        REQUIRE(std::holds_alternative<Failure>(refused));
        CHECK_THAT(std::get<Failure>(refused).text, Contains("twin lan0") && Contains("give the port one"));
        CHECK(index_of("lan0") == 0);
    }
}

TEST_CASE("a twin outlives its process, kill -9 included, and is found again with its addresses") {
    Box box;
    const pid_t child = fork();
    if (child == 0) {
        auto requests = RtnlRequests::open();
        boost::asio::io_context io;
        auto twin = Twin::create(io, *std::get<std::unique_ptr<RtnlRequests>>(requests),
                                 {.name = "lan0", .mac = Box::mac(1), .addresses = {{ip4(192, 0, 2, 1), 24}}});
        kill(getpid(), SIGKILL);
        _exit(0);
    }
    int status = 0;
    REQUIRE(waitpid(child, &status, 0) == child);
    REQUIRE(WIFSIGNALED(status));
    const IfIndex before = index_of("lan0");
    REQUIRE(before != 0);
    sh("ip route add 198.51.100.0/24 via 192.0.2.254");

    const auto twin = box.twin("lan0", 1, {{ip4(192, 0, 2, 1), 24}});
    CHECK(twin->ifindex() == before);
    const auto netlink = box.watch();
    CHECK(box.seen.addresses.contains({before, ip4(192, 0, 2, 1)}));
    CHECK(box.seen.route(ip4(198, 51, 100, 0), 24) != nullptr);
}

TEST_CASE("a twin that cannot be had says why") {
    Box box;
    const auto twin = box.twin("lan0", 1);
    CHECK_THAT(text_of(Twin::create(box.io, *box.requests, {.name = "lan0", .mac = Box::mac(1)})),
               Contains("lan0: another process holds this TAP device"));
    sh("ip link add eth7 type bridge");
    CHECK_THAT(text_of(Twin::create(box.io, *box.requests, {.name = "eth7", .mac = Box::mac(1)})),
               Contains("eth7: there is a network device of this name that is not a TAP device"));
    for (const char* name : {"", "sixteen-letters-", "a/b", "tap%d", "a b", ".."})
        CHECK_THAT(text_of(Twin::create(box.io, *box.requests, {.name = name, .mac = Box::mac(1)})),
                   Contains("not a name for a network device"));
    CHECK_THAT(text_of(Twin::remove("eth7")), Contains("not a TAP device"));
    CHECK_THAT(text_of(Twin::remove("lan0")), Contains("another process holds"));
}

TEST_CASE("a twin that was not finished leaves nothing behind") {
    Box box;
    CHECK_THAT(text_of(Twin::create(box.io, *box.requests, {.name = "lan0", .mac = Box::mac(1), .mtu_bytes = 9999999})),
               Contains("lan0"));
    CHECK(index_of("lan0") == 0);
    // A group address is no MAC of a device.
    CHECK_THAT(text_of(Twin::create(box.io, *box.requests, {.name = "lan0", .mac = {{1, 0, 0, 0, 0, 1}}})),
               Contains("lan0"));
    CHECK(index_of("lan0") == 0);
}

TEST_CASE("an explicit teardown deletes the device") {
    Box box;
    box.twin("lan0", 1).reset();
    CHECK(index_of("lan0") != 0);
    CHECK_FALSE(Twin::remove("lan0"));
    CHECK(index_of("lan0") == 0);
    CHECK_FALSE(Twin::remove("lan0"));

    auto twin = box.twin("wan0", 2);
    CHECK_FALSE(twin->remove_on_close());
    twin.reset();
    CHECK(index_of("wan0") == 0);
}

TEST_CASE("frames go both ways, with full checksums") {
    Box box;
    const auto twin = box.twin("lan0", 1, {{ip4(192, 0, 2, 1), 24}});
    Outbox out(*twin);
    REQUIRE(twin->write(arp(1, kBroadcast, Box::mac(9), ip4(192, 0, 2, 9), ip4(192, 0, 2, 1))));
    box.until("the ARP reply", [&] { return out.find([](const Frame& f) { return is_arp(f, 2); }) != nullptr; });
    const Frame reply = *out.find([](const Frame& f) { return is_arp(f, 2); });
    CHECK(ip_at(reply, 28) == ip4(192, 0, 2, 1));
    CHECK(std::memcmp(reply.data(), Box::mac(9).bytes.data(), 6) == 0);

    const int s = socket(AF_INET, SOCK_DGRAM, 0);
    sockaddr_in to{.sin_family = AF_INET, .sin_port = htons(53), .sin_addr = {ip4(192, 0, 2, 9).raw}};
    const std::string big(4000, 'x');  // more than the MTU: three frames, the kernel must cut and sum
    REQUIRE(sendto(s, "hello", 5, 0, reinterpret_cast<sockaddr*>(&to), sizeof to) == 5);
    REQUIRE(sendto(s, big.data(), big.size(), 0, reinterpret_cast<sockaddr*>(&to), sizeof to) == 4000);
    close(s);
    const auto is_ours = [](const Frame& f) { return is_udp_to(f, ip4(192, 0, 2, 9)); };
    box.until("four frames", [&] { return std::ranges::count_if(out.frames, is_ours) == 4; });
    const Frame datagram = *out.find(is_ours);
    CHECK(datagram.size() == 14 + 20 + 8 + 5);
    CHECK(sum_of(std::span(datagram).subspan(14, 20)) == 0xffff);
    // RFC 768: pseudo header of addresses, protocol and length, then the datagram.
    CHECK(sum_of(std::span(datagram).subspan(26), 17 + 13) == 0xffff);
    CHECK(twin->counters().frames_to_kernel == 1);
    CHECK(twin->counters().frames_from_kernel == out.frames.size());

    sh("ip link set lan0 down");
    CHECK_FALSE(twin->write(arp(1, kBroadcast, Box::mac(9), ip4(192, 0, 2, 9), ip4(192, 0, 2, 1))));
    CHECK(twin->counters().refused_by_kernel == 1);
}

TEST_CASE("frames come a bounded number at a time") {
    Box box;
    const auto twin = box.twin("lan0", 1, {{ip4(192, 0, 2, 1), 24}});
    sh("ip neigh add 192.0.2.9 lladdr 02:00:00:00:00:09 dev lan0");
    Outbox out(*twin);
    const int s = socket(AF_INET, SOCK_DGRAM, 0);
    sockaddr_in to{.sin_family = AF_INET, .sin_port = htons(9), .sin_addr = {ip4(192, 0, 2, 9).raw}};
    for (int i = 0; i < 100; ++i) sendto(s, "x", 1, 0, reinterpret_cast<sockaddr*>(&to), sizeof to);
    close(s);
    REQUIRE(box.io.run_one_for(std::chrono::seconds(10)) == 1);
    CHECK(out.frames.size() == Twin::kFramesPerWakeUp);
    box.until("all of them", [&] {
        return std::ranges::count_if(out.frames, [](const Frame& f) { return is_udp_to(f, ip4(192, 0, 2, 9)); }) == 100;
    });
}

TEST_CASE("a twin that the operator deletes is reported once") {
    Box box;
    const auto twin = box.twin("lan0", 1);
    Outbox out(*twin);
    sh("ip link del lan0");
    box.until("the report", [&] { return !out.lost.empty(); });
    CHECK_THAT(out.lost[0].text, Contains("lan0"));
    CHECK_FALSE(box.comes_true([&] { return out.lost.size() > 1; }, std::chrono::milliseconds(50)));
    CHECK_FALSE(twin->write(arp(1, kBroadcast, Box::mac(9), ip4(192, 0, 2, 9), ip4(192, 0, 2, 1))));
    CHECK(twin->set_carrier(true));
}

TEST_CASE("addresses of an earlier configuration go, those of the operator stay") {
    Box box;
    const auto addresses = [] { return output_of("ip -4 -o addr show lan0"); };
    box.twin("lan0", 1, {{ip4(192, 0, 2, 1), 24}, {ip4(203, 0, 113, 1), 24}}).reset();
    sh("ip addr add 192.0.2.77/24 dev lan0");  // of the same network: a secondary of ours

    // A new process: only the kernel remembers.
    const auto twin = box.twin("lan0", 1, {{ip4(203, 0, 113, 1), 24}, {ip4(198, 51, 100, 1), 25}});
    CHECK_THAT(addresses(), !Contains("192.0.2.1/24") && Contains("192.0.2.77/24") && Contains("203.0.113.1/24"));
    CHECK_THAT(addresses(), Contains("198.51.100.1/25 brd 198.51.100.127"));

    // The operator's address stays although the configuration named it for a while.
    const std::array<IpPrefix, 1> also{{{ip4(192, 0, 2, 77), 24}}};
    CHECK(twin->set_addresses(also).empty());
    CHECK(twin->set_addresses({}).empty());
    CHECK_THAT(addresses(), Contains("192.0.2.77/24") && !Contains("203.0.113.1") && !Contains("198.51.100.1"));

    // Removed behind our back, and set again by the next reload.
    CHECK(twin->set_addresses(std::array<IpPrefix, 1>{{{ip4(203, 0, 113, 1), 24}}}).empty());
    sh("ip addr del 203.0.113.1/24 dev lan0");
    CHECK(twin->set_addresses(std::array<IpPrefix, 1>{{{ip4(203, 0, 113, 1), 24}}}).empty());
    CHECK_THAT(addresses(), Contains("203.0.113.1/24"));
}

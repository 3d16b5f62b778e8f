// AF_XDP ports on a veth pair, in a network namespace of this process: needs root, skipped (77) without.
// A packet socket on the other end of the pair is the host.
#define CATCH_CONFIG_RUNNER
#include <array>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <linux/if_packet.h>
#include <memory>
#include <net/ethernet.h>
#include <net/if.h>
#include <sched.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <thread>
#include <unistd.h>

#include <catch2/catch.hpp>

#include "dataplane/worker/ports.hh"
#include "tests/support/eal.hh"

using namespace sluice;
using namespace std::chrono_literals;

namespace {

constexpr std::uint16_t kTestType = 0x88b5;  // IEEE 802 local experimental EtherType

void run(const char* command) {
    INFO(command);
    REQUIRE(std::system(command) == 0);
}

struct Pair {
    Pair() {
        run("ip link add sx0 type veth peer name host0 && ip link set sx0 mtu 1400 && ip link set host0 up");
        host = ::socket(AF_PACKET, SOCK_RAW | SOCK_NONBLOCK, htons(kTestType));
        REQUIRE(host >= 0);
        sockaddr_ll address{};
        address.sll_family = AF_PACKET;
        address.sll_protocol = htons(kTestType);
        address.sll_ifindex = static_cast<int>(::if_nametoindex("host0"));
        REQUIRE(::bind(host, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0);
    }
    ~Pair() {
        ::close(host);
        CHECK(std::system("ip link del sx0") == 0);
    }
    static std::array<std::uint8_t, 60> frame(std::uint8_t mark) {
        std::array<std::uint8_t, 60> f{0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2, 0, 0, 0, 0, 1, 0x88, 0xb5};
        f[20] = mark;
        return f;
    }
    int host;
};

PortConfig config() {
    PortConfig c;
    c.name = "lan";
    c.device = "net_af_xdp_t,iface=sx0";
    return c;
}

/// Polls until a test frame with `mark` came (true), or five seconds passed.
bool arrives(std::uint16_t device, std::uint8_t mark) {
    const auto end = std::chrono::steady_clock::now() + 5s;
    while (std::chrono::steady_clock::now() < end) {
        rte_mbuf* m = nullptr;
        if (rte_eth_rx_burst(device, 0, &m, 1) != 1) {
            std::this_thread::sleep_for(1ms);
            continue;
        }
        const auto* bytes = rte_pktmbuf_mtod(m, const std::uint8_t*);
        const bool ours = rte_pktmbuf_pkt_len(m) == 60 && bytes[12] == 0x88 && bytes[13] == 0xb5 && bytes[20] == mark;
        rte_pktmbuf_free(m);
        if (ours) return true;
    }
    return false;
}

void exchange(const Pair& pair, const Ports& ports, const PortTable& table) {
    const std::uint16_t device = table[0].device;
    for (std::uint8_t mark = 1; mark <= 3; ++mark) {
        const auto in = Pair::frame(mark);
        REQUIRE(::send(pair.host, in.data(), in.size(), 0) == static_cast<ssize_t>(in.size()));
        CHECK(arrives(device, mark));

        const auto out = Pair::frame(static_cast<std::uint8_t>(mark + 100));
        rte_mbuf* m = rte_pktmbuf_alloc(ports.pool());
        REQUIRE(m != nullptr);
        std::memcpy(rte_pktmbuf_append(m, out.size()), out.data(), out.size());
        REQUIRE(rte_eth_tx_burst(device, 0, &m, 1) == 1);
        std::array<std::uint8_t, 128> got{};
        ssize_t n = -1;
        for (int i = 0; i < 5000 && n < 0; ++i) {
            n = ::recv(pair.host, got.data(), got.size(), 0);
            if (n < 0) std::this_thread::sleep_for(1ms);
        }
        REQUIRE(n == static_cast<ssize_t>(out.size()));
        CHECK(std::memcmp(got.data(), out.data(), out.size()) == 0);
    }
}

bool program_attached() {
    return std::system("ip -d link show sx0 | grep -q xdp") == 0;
}

}  // namespace

TEST_CASE("frames pass both ways, MTU and carrier are the interface's, and the program leaves with the port") {
    Pair pair;
    {
        PortTable table;
        Ports ports(std::array{config()}, HomeMap(1), table, {64, 64});  // sets sx0 up
        ports.start();
        CHECK(table[0].mtu == 1400);
        CHECK(program_attached());
        CHECK(ports.kernel_sees_frames(0));
        CHECK(ports.kernel_interface(0) == "sx0");
        exchange(pair, ports, table);

        CHECK(table[0].up);
        run("ip link set host0 down");
        CHECK(ports.refresh_links() == 1);
        CHECK_FALSE(table[0].up);
        CHECK(ports.refresh_links() == 0);
        run("ip link set host0 up");
        CHECK(ports.refresh_links() == 1);
        CHECK(table[0].up);
    }
    CHECK_FALSE(program_attached());
}

TEST_CASE("an interface that was deleted and made anew is down, whatever it looks like") {
    auto pair = std::make_unique<Pair>();
    PortTable table;
    Ports ports(std::array{config()}, HomeMap(1), table, {64, 64});
    ports.start();
    REQUIRE(table[0].up);
    CHECK_FALSE(ports.interface_replaced(0));
    pair.reset();
    CHECK(ports.refresh_links() == 1);
    CHECK_FALSE(table[0].up);
    CHECK_FALSE(ports.interface_replaced(0));
    Pair again;
    run("ip link set sx0 up");
    CHECK(ports.refresh_links() == 0);
    CHECK_FALSE(table[0].up);
    CHECK(ports.interface_replaced(0));
}

TEST_CASE("receive queues that nobody reads are told of, with what to do") {
    Pair one;
    {
        PortTable table;
        Ports ports(std::array{config()}, HomeMap(1), table, {64, 64});
        CHECK(ports.remarks().empty());
    }
    run("ip link add sx1 numrxqueues 2 type veth peer name host1 && ip link set host1 up");
    {
        auto two = config();
        two.device = "net_af_xdp_u,iface=sx1";
        PortTable table;
        Ports ports(std::array{two}, HomeMap(1), table, {64, 64});
        REQUIRE(ports.remarks().size() == 1);
        CHECK(ports.remarks()[0] ==
              "port lan: interface sx1 has 2 receive queues, and 1 of them will be read: what comes by the others is "
              "lost (the guard counts it); ethtool -L sx1 rx 1, or queue_count=2 in its device, with as many workers");
    }
    run("ethtool -L sx1 rx 1");  // what it says can be done
    run("ip link del sx1");
}

TEST_CASE("two devices share one pool of buffers, and a frame goes from one to the other without a copy of ours") {
    Pair pair;
    run("ip link add sx1 type veth peer name host1 && ip link set host1 up");
    {
        auto second = config();
        second.name = "wan";
        second.device = "net_af_xdp_u,iface=sx1";
        PortTable table;
        Ports ports(std::array{config(), second}, HomeMap(1), table, {64, 64});
        ports.start();
        exchange(pair, ports, table);
        const int host1 = ::socket(AF_PACKET, SOCK_RAW | SOCK_NONBLOCK, htons(kTestType));
        sockaddr_ll address{};
        address.sll_family = AF_PACKET;
        address.sll_protocol = htons(kTestType);
        address.sll_ifindex = static_cast<int>(::if_nametoindex("host1"));
        REQUIRE(::bind(host1, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0);
        unsigned passed = 0;
        const unsigned buffers = rte_mempool_avail_count(ports.pool()) + rte_mempool_in_use_count(ports.pool());
        for (unsigned i = 0; i < 20000 && passed < buffers + 5000; ++i) {
            const auto in = Pair::frame(static_cast<std::uint8_t>(i));
            for (unsigned k = 0; k < 16; ++k) (void)!::send(pair.host, in.data(), in.size(), 0);
            std::array<rte_mbuf*, 32> burst;
            const std::uint16_t n = rte_eth_rx_burst(table[0].device, 0, burst.data(), 32);
            const std::uint16_t sent = rte_eth_tx_burst(table[1].device, 0, burst.data(), n);
            for (std::uint16_t k = sent; k < n; ++k) rte_pktmbuf_free(burst[k]);
            passed += sent;
        }
        // More frames than there are buffers: they come back from the transmit side.
        CHECK(passed >= buffers + 5000);
        std::array<std::uint8_t, 128> got{};
        CHECK(::recv(host1, got.data(), got.size(), 0) == 60);
        ::close(host1);
    }
    run("ip link del sx1");
}

TEST_CASE("an interface is taken over from a process that was killed, its program included") {
    Pair pair;
    const pid_t child = ::fork();
    if (child == 0) {
        // Its own EAL: the parent's does not survive a fork in one piece. The command below is killed at once.
        ::execl("/proc/self/exe", "af_xdp", "[hold]", static_cast<char*>(nullptr));
        ::_exit(127);
    }
    for (int i = 0; i < 5000 && !program_attached(); i += 50) std::this_thread::sleep_for(50ms);
    REQUIRE(program_attached());
    // What it held becomes free in the kernel's own time: the program is still there when we begin.
    ::kill(child, SIGKILL);
    ::waitpid(child, nullptr, 0);
    {
        PortTable table;
        Ports ports(std::array{config()}, HomeMap(1), table, {64, 64});
        ports.start();
        exchange(pair, ports, table);
    }
    CHECK_FALSE(program_attached());
}

TEST_CASE("holds a port until killed", "[.][hold]") {
    PortTable table;
    Ports ports(std::array{config()}, HomeMap(1), table, {64, 64});
    ports.start();
    for (;;) ::pause();
}

int main(int argc, char** argv) {
    const bool holds = argc > 1 && std::strcmp(argv[1], "[hold]") == 0;
    if (holds) ::prctl(PR_SET_PDEATHSIG, SIGKILL);  // never outlives a test that failed
    if (!holds && (::geteuid() != 0 || ::unshare(CLONE_NEWNET) != 0)) return 77;
    test::ensure_eal();
    return Catch::Session().run(argc, argv);
}

// A server with the real API over a FakeBox, so that sluicectl can be tested end to end without a data plane.
// Usage: fake_box SOCKET. Ends at SIGTERM. While a capture runs, a TCP and a UDP frame arrive every few milliseconds,
// a connection comes and goes for those who listen to events, and who measures cycles gets the same report each time.
// SIGUSR1 makes the configuration bad, so that reload fails; SIGUSR2 makes it one that needs a restart.
#include "tests/support/fake_box.hh"

#include <arpa/inet.h>
#include <array>
#include <chrono>
#include <csignal>
#include <cstdio>

#include <boost/asio/signal_set.hpp>
#include <boost/asio/steady_timer.hpp>

#include "control/api/http_server.hh"
#include "control/api/routes.hh"

namespace {

using namespace sluice;

/// An Ethernet and IPv4 header with this protocol and two ports.
std::array<std::uint8_t, 60> frame(std::uint8_t proto, std::uint8_t dport) {
    std::array<std::uint8_t, 60> f{};
    f[12] = 0x08;
    f[14] = 0x45;
    f[17] = 46;
    f[22] = 64;
    f[23] = proto;
    f[26] = 192, f[28] = 2, f[29] = 10;
    f[30] = 203, f[32] = 113, f[33] = 9;
    f[34] = 40;
    f[37] = dport;
    f[46] = 0x50;
    return f;
}

/// A connection comes, is answered and is deleted by the first process of all; and something is lost.
void feed_listeners(test::FakeBox& box) {
    api::FlowEventRecord event;
    event.flow = test::tcp_flow(1, 40000);
    event.flow.state = "SYN_SENT";
    event.flow.timeout_s = 120;
    event.flow.assured = false;
    event.flow.unreplied = true;
    event.time_us = 1'700'000'000'000'042;
    box.tell(event);
    event.kind = FlowEventKind::updated;
    event.changes = changed::kReply | changed::kState;
    event.flow.state = "SYN_RECV";
    event.flow.timeout_s = 60;
    event.flow.unreplied = false;
    box.tell(event);
    event.kind = FlowEventKind::destroyed;
    event.changes = 0;
    event.by = 1;
    box.tell(event);
    box.tell_lost(3);
}

void feed_captures(test::FakeBox& box, boost::asio::steady_timer& timer) {
    timer.expires_after(std::chrono::milliseconds(5));
    timer.async_wait([&](boost::system::error_code error) {
        if (error) return;
        const auto tcp = frame(6, 21);
        const auto udp = frame(17, 53);
        for (const auto& data : {tcp, udp})
            if (box.on_packet) box.on_packet({.time_us = 1'700'000'000'000'000, .wire_bytes = 60, .data = data});
        feed_listeners(box);
        box.report(test::cycle_report());
        feed_captures(box, timer);
    });
}

}  // namespace

int main(int argc, char** argv) try {
    if (argc != 2) return 2;
    boost::asio::io_context io;
    test::FakeBox box(io);
    for (std::uint16_t i = 0; i < 10; ++i)
        box.flows.push_back(test::tcp_flow(1 + i, static_cast<std::uint16_t>(40000 + i)));
    box.flows.push_back(test::udp_flow(100, 5353));
    box.flows.push_back(test::icmp_flow(101));
    api::ExpectationRecord expectation;
    expectation.proto = expectation.master_proto = 6;
    expectation.master = box.flows.front().original;
    expectation.tuple = {.src = expectation.master.src, .dst = expectation.master.dst, .sport = 0, .dport = 51220};
    expectation.timeout_s = 299;
    expectation.helper = "ftp";
    box.expectations.push_back(expectation);

    api::Router router;
    api::add_api_routes(router, box);
    api::HttpServer server(io, router);
    server.listen_unix(argv[1]);
    boost::asio::signal_set bad_config(io, SIGUSR1);
    bad_config.async_wait([&](auto, int) {
        box.issues = {{"sluice.yaml", 3, 7, "nat[0].dnat.port", "70000 is not a port"}};
    });
    boost::asio::signal_set other_config(io, SIGUSR2);
    other_config.async_wait([&](auto, int) { box.restart_needed = {"workers.main has changed: needs a restart"}; });
    boost::asio::signal_set stop(io, SIGTERM, SIGINT);
    boost::asio::steady_timer timer(io);
    feed_captures(box, timer);
    stop.async_wait([&](auto, int) {
        server.stop();
        io.stop();
    });
    io.run();
    return 0;
} catch (const std::exception& error) {
    std::fprintf(stderr, "fake_box: %s\n", error.what());
    return 1;
}

#include "control/app/packet_log.hh"

#include <algorithm>
#include <memory>
#include <sstream>

#include <catch2/catch.hpp>
#include <spdlog/sinks/ostream_sink.h>
#include <spdlog/spdlog.h>

using namespace sluice;
using namespace sluice::app;
using namespace std::chrono_literals;

namespace {

constexpr Ip4 kClient = ip4(192, 0, 2, 1);
constexpr Ip4 kServer = ip4(198, 51, 100, 7);

struct Room {
    Room() {
        config.ports.resize(2);
        config.ports[0].name = "lan";
        config.ports[1].name = "wan";
        auto logger = std::make_shared<spdlog::logger>("packet-log-test",
                                                       std::make_shared<spdlog::sinks::ostream_sink_st>(written));
        logger->set_pattern("%v");
        spdlog::set_default_logger(logger);
    }
    ~Room() { spdlog::set_default_logger(before); }

    static Notice notice(LogEvent event, IpProto proto = IpProto::tcp) {
        Notice n;
        n.kind = NoticeKind::log;
        n.detail = static_cast<std::uint32_t>(event) | 0U << 16 | 1U << 24;
        n.deadline_ms = 60;
        n.key.set_src(kClient);
        n.key.set_dst(kServer);
        n.key.sport = Be16::from_host(40000);
        n.key.dport = Be16::from_host(80);
        n.key.proto = static_cast<std::uint8_t>(proto);
        return n;
    }
    void write(LogEvent event) { log.write(notice(event), prefixes, config, now); }
    std::string text() {
        std::string all = written.str();
        written.str({});
        return all;
    }
    std::size_t lines() {
        const std::string all = text();
        return static_cast<std::size_t>(std::count(all.begin(), all.end(), '\n'));
    }

    std::shared_ptr<spdlog::logger> before = spdlog::default_logger();
    std::ostringstream written;
    config::Config config;
    LogPrefixes prefixes;
    PacketLog log;
    std::chrono::steady_clock::time_point now{1h};
};

}  // namespace

TEST_CASE_METHOD(Room, "a packet of a log rule reads as netfilter's LOG target writes it") {
    Notice n = notice(LogEvent::rule);
    n.detail |= std::uint32_t{*prefixes.intern("web")} << 8;
    CHECK(log_line(n, prefixes, config) ==
          "web IN=lan OUT=wan SRC=192.0.2.1 DST=198.51.100.7 LEN=60 PROTO=TCP SPT=40000 DPT=80");
    CHECK(log_line(notice(LogEvent::rule, IpProto::udp), LogPrefixes{}, config) ==
          "IN=lan OUT=wan SRC=192.0.2.1 DST=198.51.100.7 LEN=60 PROTO=UDP SPT=40000 DPT=80");
    Notice to_box = notice(LogEvent::rule, IpProto::icmp);
    to_box.detail |= 0xff000000U;
    to_box.key = icmp_key(kClient, kServer, 8, 0, be16(77));
    CHECK(log_line(to_box, LogPrefixes{}, config) ==
          "IN=lan OUT= SRC=192.0.2.1 DST=198.51.100.7 LEN=60 PROTO=ICMP TYPE=8 CODE=0 ID=77");
    to_box.key = icmp_key(kClient, kServer, 3, 4, {});
    CHECK(log_line(to_box, LogPrefixes{}, config) ==
          "IN=lan OUT= SRC=192.0.2.1 DST=198.51.100.7 LEN=60 PROTO=ICMP TYPE=3 CODE=4");
}

TEST_CASE_METHOD(Room, "a packet of IPv6 reads so, too: whole addresses, and ICMPv6 by its own name") {
    const IpAddress client = ip6(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1), server = ip6(0xfd00, 0, 0, 0, 0, 0, 0, 0xab);
    const std::string both =
        "IN=lan OUT=wan SRC=2001:0db8:0000:0000:0000:0000:0000:0001 DST=fd00:0000:0000:0000:0000:0000:0000:00ab "
        "LEN=60 ";
    Notice n = notice(LogEvent::rule);
    n.key = port_key(IpProto::tcp, client, be16(40000), server, be16(80));
    CHECK(log_line(n, LogPrefixes{}, config) == both + "PROTO=TCP SPT=40000 DPT=80");
    n.key = icmp_key(client, server, 128, 0, be16(77));
    CHECK(log_line(n, LogPrefixes{}, config) == both + "PROTO=ICMPv6 TYPE=128 CODE=0 ID=77");
    n.key = icmp_key(client, server, 2, 0, {});
    CHECK(log_line(n, LogPrefixes{}, config) == both + "PROTO=ICMPv6 TYPE=2 CODE=0");
    // The other family's ICMP is any protocol.
    n.key = generic_key(1, client, server);
    CHECK(log_line(n, LogPrefixes{}, config) == both + "PROTO=1");
    n.key = generic_key(58, kClient, kServer);
    CHECK(log_line(n, LogPrefixes{}, config) == "IN=lan OUT=wan SRC=192.0.2.1 DST=198.51.100.7 LEN=60 PROTO=58");
}

TEST_CASE_METHOD(Room, "a used up pool says for which packet") {
    write(LogEvent::pool_exhausted);
    CHECK(text() ==
          "sluice: nat: no free address and port, dropping packet "
          "SRC=192.0.2.1 DST=198.51.100.7 PROTO=TCP SPT=40000 DPT=80\n");
    for (unsigned i = 0; i < 100; ++i) write(LogEvent::pool_exhausted);
    CHECK(lines() == 9);
    now += 4999ms;
    write(LogEvent::pool_exhausted);
    CHECK(text().empty());
    now += 1ms;
    write(LogEvent::pool_exhausted);
    CHECK(text().starts_with("sluice: nat: 92 messages suppressed\n"));
}

TEST_CASE_METHOD(Room, "a flood of one kind silences no other") {
    for (unsigned i = 0; i < 1000; ++i) write(LogEvent::rule);
    CHECK(lines() == 200);
    for (unsigned i = 0; i < 1000; ++i) write(LogEvent::pool_exhausted);
    CHECK(lines() == 10);
    now += 1s;
    write(LogEvent::rule);
    CHECK(text().starts_with("sluice: log rules: 800 messages suppressed\n"));
}

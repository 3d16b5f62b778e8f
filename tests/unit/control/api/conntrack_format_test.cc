// Lines captured from conntrack 1.4.7 (`conntrack -L`, `-o extended`, `-o id`, `-L expect`) on Linux with real traffic,
// next to the records that must print as them.
#include "control/api/conntrack_format.hh"

#include <catch2/catch.hpp>

#include "control/api/protocols.hh"

using namespace sluice::api;

namespace {

FlowTuple tuple(const char* src, const char* dst, std::uint16_t sport = 0, std::uint16_t dport = 0) {
    return {.src = boost::asio::ip::make_address(src),
            .dst = boost::asio::ip::make_address(dst),
            .sport = sport,
            .dport = dport};
}

FlowTuple icmp(const char* src, const char* dst, std::uint8_t type, std::uint16_t id) {
    return {.src = boost::asio::ip::make_address(src),
            .dst = boost::asio::ip::make_address(dst),
            .icmp_type = type,
            .icmp_id = id};
}

FlowRecord flow(std::uint8_t proto, std::uint32_t timeout_s, FlowTuple original, FlowTuple reply) {
    FlowRecord record;
    record.proto = proto;
    record.timeout_s = timeout_s;
    record.original = original;
    record.reply = reply;
    return record;
}

constexpr ConntrackStyle kPlain{.counters = false};
constexpr ConntrackStyle kExtended{.extended = true, .counters = false};

}  // namespace

TEST_CASE("a zone stands behind its tuple, or at the end when both tuples are in it") {
    auto udp = flow(17, 29, tuple("192.0.2.1", "192.0.2.2", 777, 1001), tuple("192.0.2.2", "192.0.2.1", 1001, 777));
    udp.unreplied = true;
    udp.counters[0] = {1, 29};
    const auto line = [&](std::uint16_t original, std::uint16_t reply, const ConntrackStyle& style = {}) {
        udp.original.zone = original;
        udp.reply.zone = reply;
        return conntrack_line(udp, style);
    };
    CHECK(line(11, 0) ==
          "udp      17 29 src=192.0.2.1 dst=192.0.2.2 sport=777 dport=1001 zone-orig=11 packets=1 bytes=29 [UNREPLIED] "
          "src=192.0.2.2 dst=192.0.2.1 sport=1001 dport=777 packets=0 bytes=0 mark=0 use=1");
    CHECK(line(0, 14, kProcStyle) ==
          "ipv4     2 udp      17 29 src=192.0.2.1 dst=192.0.2.2 sport=777 dport=1001 packets=1 bytes=29 [UNREPLIED] "
          "src=192.0.2.2 dst=192.0.2.1 sport=1001 dport=777 zone-reply=14 packets=0 bytes=0 mark=0 use=2");
    CHECK(line(12, 12) ==
          "udp      17 29 src=192.0.2.1 dst=192.0.2.2 sport=777 dport=1001 packets=1 bytes=29 [UNREPLIED] "
          "src=192.0.2.2 dst=192.0.2.1 sport=1001 dport=777 packets=0 bytes=0 mark=0 zone=12 use=1");
    CHECK(line(12, 12, kProcStyle).ends_with("mark=0 zone=12 use=2"));
    CHECK(line(1, 2).find("dport=1001 zone-orig=1 packets") != std::string::npos);
    CHECK(line(1, 2).find("dport=777 zone-reply=2 packets") != std::string::npos);
    const auto saved = [&](std::uint16_t original, std::uint16_t reply) {
        udp.original.zone = original;
        udp.reply.zone = reply;
        return conntrack_save_line(udp).substr(0, 60);
    };
    CHECK(saved(11, 0).starts_with("-A -t 29 -u UNSET --orig-zone 11 -s 192.0.2.1"));
    CHECK(saved(0, 14).starts_with("-A -t 29 -u UNSET --reply-zone 14 -s 192.0.2.1"));
    CHECK(saved(12, 12).starts_with("-A -t 29 -u UNSET -w 12 -s 192.0.2.1"));
    CHECK(saved(0, 0).starts_with("-A -t 29 -u UNSET -s 192.0.2.1"));
}

TEST_CASE("delta-time stands behind the zone, and accounting that is off leaves the counters out") {
    auto udp = flow(17, 4, tuple("127.0.0.1", "127.0.0.1", 60746, 53), tuple("127.0.0.1", "127.0.0.1", 53, 60746));
    udp.unreplied = true;
    udp.mark = 5;
    udp.id = 2309893877;
    udp.counters[0] = {1, 29};
    udp.age_s = 1;
    CHECK(conntrack_line(udp, {.extended = true, .id = true}) ==
          "ipv4     2 udp      17 4 src=127.0.0.1 dst=127.0.0.1 sport=60746 dport=53 packets=1 bytes=29 [UNREPLIED] "
          "src=127.0.0.1 dst=127.0.0.1 sport=53 dport=60746 packets=0 bytes=0 mark=5 delta-time=1 use=1 id=2309893877");
    CHECK(conntrack_line(udp, kProcStyle) ==
          "ipv4     2 udp      17 4 src=127.0.0.1 dst=127.0.0.1 sport=60746 dport=53 packets=1 bytes=29 [UNREPLIED] "
          "src=127.0.0.1 dst=127.0.0.1 sport=53 dport=60746 packets=0 bytes=0 mark=5 zone=0 delta-time=1 use=2");
    udp.counted = false;
    CHECK(conntrack_line(udp) ==
          "udp      17 4 src=127.0.0.1 dst=127.0.0.1 sport=60746 dport=53 [UNREPLIED] src=127.0.0.1 dst=127.0.0.1 "
          "sport=53 dport=60746 mark=5 delta-time=1 use=1");
    udp.age_s.reset();
    CHECK(conntrack_line(udp) ==
          "udp      17 4 src=127.0.0.1 dst=127.0.0.1 sport=60746 dport=53 [UNREPLIED] src=127.0.0.1 dst=127.0.0.1 "
          "sport=53 dport=60746 mark=5 use=1");
}

TEST_CASE("lines without accounting") {
    auto udp = flow(17, 29, tuple("192.0.2.1", "192.0.2.2", 5353, 54), tuple("192.0.2.2", "192.0.2.1", 54, 5353));
    CHECK(conntrack_line(udp, kPlain) ==
          "udp      17 29 src=192.0.2.1 dst=192.0.2.2 sport=5353 dport=54 src=192.0.2.2 dst=192.0.2.1 sport=54 "
          "dport=5353 mark=0 use=1");
    udp.unreplied = true;
    udp.id = 928126026;
    CHECK(conntrack_line(udp, {.id = true, .counters = false}) ==
          "udp      17 29 src=192.0.2.1 dst=192.0.2.2 sport=5353 dport=54 [UNREPLIED] src=192.0.2.2 dst=192.0.2.1 "
          "sport=54 dport=5353 mark=0 use=1 id=928126026");

    auto tcp =
        flow(6, 431999, tuple("192.0.2.1", "192.0.2.2", 40100, 8080), tuple("192.0.2.2", "192.0.2.1", 8080, 40100));
    tcp.state = "ESTABLISHED";
    tcp.assured = true;
    CHECK(conntrack_line(tcp, kPlain) ==
          "tcp      6 431999 ESTABLISHED src=192.0.2.1 dst=192.0.2.2 sport=40100 dport=8080 src=192.0.2.2 "
          "dst=192.0.2.1 sport=8080 dport=40100 [ASSURED] mark=0 use=1");
    CHECK(conntrack_line(tcp, kExtended) ==
          "ipv4     2 tcp      6 431999 ESTABLISHED src=192.0.2.1 dst=192.0.2.2 sport=40100 dport=8080 src=192.0.2.2 "
          "dst=192.0.2.1 sport=8080 dport=40100 [ASSURED] mark=0 use=1");

    CHECK(
        conntrack_line(flow(1, 29, icmp("192.0.2.2", "192.0.2.2", 8, 10003), icmp("192.0.2.2", "192.0.2.2", 0, 10003)),
                       kPlain) ==
        "icmp     1 29 src=192.0.2.2 dst=192.0.2.2 type=8 code=0 id=10003 src=192.0.2.2 dst=192.0.2.2 type=0 code=0 "
        "id=10003 mark=0 use=1");

    for (const auto& [proto, line] :
         {std::pair{99,
                    "unknown  99 599 src=192.0.2.2 dst=192.0.2.2 [UNREPLIED] src=192.0.2.2 dst=192.0.2.2 mark=0 use=1"},
          std::pair{
              50,
              "unknown  50 599 src=192.0.2.2 dst=192.0.2.2 [UNREPLIED] src=192.0.2.2 dst=192.0.2.2 mark=0 use=1"}}) {
        auto other = flow(static_cast<std::uint8_t>(proto), 599, tuple("192.0.2.2", "192.0.2.2"),
                          tuple("192.0.2.2", "192.0.2.2"));
        other.unreplied = true;
        CHECK(conntrack_line(other, kPlain) == line);
    }

    auto gre = flow(47, 29, tuple("192.0.2.2", "192.0.2.2", 0, 0x1234), tuple("192.0.2.2", "192.0.2.2", 0x1234, 0));
    gre.unreplied = true;
    CHECK(conntrack_line(gre, kPlain) ==
          "gre      47 29 src=192.0.2.2 dst=192.0.2.2 srckey=0x0 dstkey=0x1234 [UNREPLIED] src=192.0.2.2 dst=192.0.2.2 "
          "srckey=0x1234 dstkey=0x0 mark=0 use=1");

    gre.timeouts_s = {30, 180};
    CHECK(conntrack_line(gre, kProcStyle) ==
          "ipv4     2 gre      47 29 timeout=30, stream_timeout=180 src=192.0.2.2 dst=192.0.2.2 srckey=0x0 "
          "dstkey=0x1234 packets=0 bytes=0 [UNREPLIED] src=192.0.2.2 dst=192.0.2.2 srckey=0x1234 dstkey=0x0 packets=0 "
          "bytes=0 mark=0 zone=0 use=2");

    auto sctp = flow(132, 9, tuple("192.0.2.2", "192.0.2.2", 1000, 2000), tuple("192.0.2.2", "192.0.2.2", 2000, 1000));
    sctp.unreplied = true;
    sctp.state = "CLOSED";
    CHECK(conntrack_line(sctp, kPlain) ==
          "sctp     132 9 CLOSED src=192.0.2.2 dst=192.0.2.2 sport=1000 dport=2000 [UNREPLIED] src=192.0.2.2 "
          "dst=192.0.2.2 sport=2000 dport=1000 mark=0 use=1");

    auto dccp = flow(33, 599, tuple("192.0.2.2", "192.0.2.2"), tuple("192.0.2.2", "192.0.2.2"));
    dccp.unreplied = true;
    CHECK(conntrack_line(dccp, kPlain) ==
          "dccp     33 599 src=192.0.2.2 dst=192.0.2.2 sport=0 dport=0 [UNREPLIED] src=192.0.2.2 dst=192.0.2.2 sport=0 "
          "dport=0 mark=0 use=1");
    INFO("only conntrack(8) knows it: kernels have no tracker for it any more, and no ports");
    CHECK(conntrack_line(dccp, kProcStyle) ==
          "ipv4     2 unknown  33 599 src=192.0.2.2 dst=192.0.2.2 packets=0 bytes=0 [UNREPLIED] src=192.0.2.2 "
          "dst=192.0.2.2 packets=0 bytes=0 mark=0 zone=0 use=2");
    CHECK(conntrack_save_line(dccp) ==
          "-A -t 599 -u UNSET -s 192.0.2.2 -d 192.0.2.2 -r 192.0.2.2 -q 192.0.2.2 -p dccp");
    CHECK(conntrack_save_line(dccp, 'D').substr(0, 9) == "-D -t 599");
}

TEST_CASE("lines with accounting, helper and IPv6") {
    auto echo = flow(1, 29, icmp("192.0.2.2", "192.0.2.2", 8, 10056), icmp("192.0.2.2", "192.0.2.2", 0, 10056));
    echo.counters = {FlowCounters{1, 84}, FlowCounters{1, 84}};
    CHECK(conntrack_line(echo) ==
          "icmp     1 29 src=192.0.2.2 dst=192.0.2.2 type=8 code=0 id=10056 packets=1 bytes=84 src=192.0.2.2 "
          "dst=192.0.2.2 type=0 code=0 id=10056 packets=1 bytes=84 mark=0 use=1");

    auto ftp = flow(6, 119, tuple("192.0.2.1", "192.0.2.2", 40100, 21), tuple("192.0.2.2", "192.0.2.1", 21, 40100));
    ftp.state = "TIME_WAIT";
    ftp.assured = true;
    ftp.helper = "ftp";
    ftp.counters = {FlowCounters{7, 401}, FlowCounters{7, 434}};
    CHECK(conntrack_line(ftp) ==
          "tcp      6 119 TIME_WAIT src=192.0.2.1 dst=192.0.2.2 sport=40100 dport=21 packets=7 bytes=401 src=192.0.2.2 "
          "dst=192.0.2.1 sport=21 dport=40100 packets=7 bytes=434 [ASSURED] mark=0 helper=ftp use=1");

    auto six =
        flow(58, 28, icmp("2001:db8::2", "2001:db8::2", 128, 12253), icmp("2001:db8::2", "2001:db8::2", 129, 12253));
    six.counters = {FlowCounters{1, 104}, FlowCounters{1, 104}};
    CHECK(conntrack_line(six, {.extended = true}) ==
          "ipv6     10 icmpv6   58 28 src=2001:db8::2 dst=2001:db8::2 type=128 code=0 id=12253 packets=1 bytes=104 "
          "src=2001:db8::2 dst=2001:db8::2 type=129 code=0 id=12253 packets=1 bytes=104 mark=0 use=1");
}

TEST_CASE("lines of -o save and of /proc/net/nf_conntrack") {
    auto udp = flow(17, 98, tuple("192.0.2.1", "192.0.2.2", 1, 2), tuple("192.0.2.2", "192.0.2.9", 2, 77));
    udp.unreplied = true;
    CHECK(conntrack_save_line(udp) ==
          "-A -t 98 -u UNSET -s 192.0.2.1 -d 192.0.2.2 -r 192.0.2.2 -n 192.0.2.9 -p udp --sport 1 --dport 2 "
          "--reply-port-src 2 --reply-port-dst 77");
    CHECK(conntrack_line(udp, kProcStyle) ==
          "ipv4     2 udp      17 98 src=192.0.2.1 dst=192.0.2.2 sport=1 dport=2 packets=0 bytes=0 [UNREPLIED] "
          "src=192.0.2.2 dst=192.0.2.9 sport=2 dport=77 packets=0 bytes=0 mark=0 zone=0 use=2");

    auto tcp = flow(6, 97, tuple("192.0.2.1", "192.0.2.2", 1, 2), tuple("192.0.2.2", "192.0.2.1", 2, 1));
    tcp.state = "ESTABLISHED";
    tcp.assured = true;
    tcp.mark = 5;
    CHECK(conntrack_save_line(tcp) ==
          "-A -t 97 -u SEEN_REPLY,ASSURED -s 192.0.2.1 -d 192.0.2.2 -r 192.0.2.2 -q 192.0.2.1 -p tcp --sport 1 "
          "--dport 2 --reply-port-src 2 --reply-port-dst 1 --state ESTABLISHED");
    CHECK(conntrack_line(tcp, kProcStyle) ==
          "ipv4     2 tcp      6 97 ESTABLISHED src=192.0.2.1 dst=192.0.2.2 sport=1 dport=2 packets=0 bytes=0 "
          "src=192.0.2.2 dst=192.0.2.1 sport=2 dport=1 packets=0 bytes=0 [ASSURED] mark=5 zone=0 use=2");

    const auto echo = flow(1, 28, icmp("192.0.2.2", "192.0.2.3", 8, 6231), icmp("192.0.2.9", "192.0.2.2", 0, 6231));
    CHECK(conntrack_save_line(echo) ==
          "-A -t 28 -u SEEN_REPLY -s 192.0.2.2 -d 192.0.2.3 -g 192.0.2.9 -q 192.0.2.2 -p icmp --icmp-type 8 "
          "--icmp-code 0 --icmp-id 6231");

    auto gre = flow(47, 98, tuple("192.0.2.1", "192.0.2.2", 0, 0x1234), tuple("192.0.2.2", "192.0.2.1", 0x1234, 0));
    gre.unreplied = true;
    CHECK(conntrack_save_line(gre) ==
          "-A -t 98 -u UNSET -s 192.0.2.1 -d 192.0.2.2 -r 192.0.2.2 -q 192.0.2.1 -p gre --srckey 0 --dstkey 4660 "
          "--reply-key-src 4660 --reply-key-dst 0");

    auto esp = flow(50, 96, tuple("192.0.2.1", "192.0.2.2"), tuple("192.0.2.2", "192.0.2.1"));
    esp.unreplied = true;
    CHECK(conntrack_save_line(esp) == "-A -t 96 -u UNSET -s 192.0.2.1 -d 192.0.2.2 -r 192.0.2.2 -q 192.0.2.1 -p 50");
}

TEST_CASE("lines of IPv6, as conntrack(8) and /proc/net/nf_conntrack have them") {
    auto tcp = flow(6, 431998, tuple("2001:db8::1", "2001:db8::2", 48280, 8080),
                    tuple("2001:db8::2", "2001:db8::1", 8080, 48280));
    tcp.state = "ESTABLISHED";
    tcp.assured = true;
    CHECK(conntrack_line(tcp, kPlain) ==
          "tcp      6 431998 ESTABLISHED src=2001:db8::1 dst=2001:db8::2 sport=48280 dport=8080 src=2001:db8::2 "
          "dst=2001:db8::1 sport=8080 dport=48280 [ASSURED] mark=0 use=1");
    CHECK(conntrack_line(tcp, kProcStyle) ==
          "ipv6     10 tcp      6 431998 ESTABLISHED src=2001:0db8:0000:0000:0000:0000:0000:0001 "
          "dst=2001:0db8:0000:0000:0000:0000:0000:0002 sport=48280 dport=8080 packets=0 bytes=0 "
          "src=2001:0db8:0000:0000:0000:0000:0000:0002 dst=2001:0db8:0000:0000:0000:0000:0000:0001 sport=8080 "
          "dport=48280 packets=0 bytes=0 [ASSURED] mark=0 zone=0 use=2");
    CHECK(conntrack_save_line(tcp) ==
          "-A -t 431998 -u SEEN_REPLY,ASSURED -s 2001:db8::1 -d 2001:db8::2 -r 2001:db8::2 -q 2001:db8::1 -p tcp "
          "--sport 48280 --dport 8080 --reply-port-src 8080 --reply-port-dst 48280 --state ESTABLISHED");

    const auto echo =
        flow(58, 28, icmp("2001:db8::1", "2001:db8::2", 128, 3577), icmp("2001:db8::2", "2001:db8::1", 129, 3577));
    CHECK(conntrack_save_line(echo) ==
          "-A -t 28 -u SEEN_REPLY -s 2001:db8::1 -d 2001:db8::2 -r 2001:db8::2 -q 2001:db8::1 -p icmpv6 "
          "--icmpv6-type 128 --icmpv6-code 0 --icmpv6-id 3577");

    auto other = flow(200, 599, tuple("2001:db8::1", "2001:db8::2"), tuple("2001:db8::2", "2001:db8::1"));
    other.unreplied = true;
    CHECK(conntrack_line(other, kExtended) ==
          "ipv6     10 unknown  200 599 src=2001:db8::1 dst=2001:db8::2 [UNREPLIED] src=2001:db8::2 dst=2001:db8::1 "
          "mark=0 use=1");
}

TEST_CASE("names of protocols that listings do not show") {
    for (const auto& [name, number] : {std::pair{"ip", 0}, std::pair{"ipencap", 4}, std::pair{"dccp", 33},
                                       std::pair{"OSPF", 89}, std::pair{"ipip", 94}}) {
        CHECK(parse_protocol(name) == number);
        CHECK(protocol_name(static_cast<std::uint8_t>(number)) == "unknown");
        CHECK_FALSE(has_ports(static_cast<std::uint8_t>(number)));
    }
    CHECK_FALSE(parse_protocol("nothing"));
}

TEST_CASE("the names of ICMPv6") {
    CHECK(protocol_name(58) == "icmpv6");
    CHECK(parse_protocol("icmpv6") == 58);
    CHECK(parse_protocol("ICMPv6") == 58);
    CHECK(parse_protocol("ipv6-icmp") == 58);
    CHECK(is_icmp(58));
    CHECK_FALSE(has_ports(58));
}

TEST_CASE("an expectation, and the last lines") {
    ExpectationRecord expectation;
    expectation.proto = expectation.master_proto = 6;
    expectation.timeout_s = 299;
    expectation.tuple = tuple("192.0.2.1", "192.0.2.2", 0, 51220);
    expectation.master = tuple("192.0.2.1", "192.0.2.2", 40100, 21);
    expectation.helper = "ftp";
    CHECK(
        expectation_line(expectation) ==
        "299 proto=6 src=192.0.2.1 dst=192.0.2.2 sport=0 dport=51220 mask-src=255.255.255.255 mask-dst=255.255.255.255 "
        "sport=0 dport=65535 master-src=192.0.2.1 master-dst=192.0.2.2 sport=40100 dport=21 class=0 helper=ftp");
    CHECK(conntrack_trailer(10, "shown") == "conntrack v1.4.7 (conntrack-tools): 10 flow entries have been shown.");
    CHECK(conntrack_trailer(0, "deleted") == "conntrack v1.4.7 (conntrack-tools): 0 flow entries have been deleted.");
}

TEST_CASE("events: what Linux tells of a flow with them") {
    FlowEventRecord event;
    event.flow = flow(6, 120, tuple("192.168.1.10", "203.0.113.10", 40003, 9999),
                      tuple("203.0.113.10", "203.0.113.1", 9999, 40003));
    event.flow.state = "SYN_SENT";
    event.flow.unreplied = true;
    event.flow.helper = "ftp";
    event.flow.id = 7;
    event.flow.counters = {FlowCounters{1, 60}, FlowCounters{1, 40}};
    event.flow.age_s = 4;
    event.time_us = 1'795'341'805'073'028;
    const std::string there = "src=192.168.1.10 dst=203.0.113.10 sport=40003 dport=9999 ";
    const std::string back = "src=203.0.113.10 dst=203.0.113.1 sport=9999 dport=40003";

    SECTION("a birth has neither counters nor age nor use") {
        CHECK(conntrack_event_line(event) ==
              "    [NEW] tcp      6 120 SYN_SENT " + there + "[UNREPLIED] " + back + " helper=ftp");
        CHECK(conntrack_event_line(event, {.extended = true, .id = true}, {.time = true}) ==
              "[1795341805.073028]\t    [NEW] ipv4     2 tcp      6 120 SYN_SENT " + there + "[UNREPLIED] " + back +
                  " helper=ftp id=7");
    }
    SECTION("an update has the state and the mark if they are what has changed") {
        event.kind = sluice::FlowEventKind::updated;
        event.flow.unreplied = false;
        event.changes = sluice::changed::kReply;
        CHECK(conntrack_event_line(event) == " [UPDATE] tcp      6 120 " + there + back + " helper=ftp");
        event.changes = sluice::changed::kAll;
        CHECK(conntrack_event_line(event) ==
              " [UPDATE] tcp      6 120 SYN_SENT " + there + back + " mark=0 helper=ftp");
        event.changes = sluice::changed::kReply;
        event.flow.mark = 5;
        CHECK(conntrack_event_line(event) == " [UPDATE] tcp      6 120 " + there + back + " mark=5 helper=ftp");
        CHECK(conntrack_event_line(event, {}, {.save = true}) ==
              "-U -t 120 -u SEEN_REPLY -s 192.168.1.10 -d 203.0.113.10 -r 203.0.113.10 -n 203.0.113.1 -p tcp "
              "--sport 40003 --dport 9999 --reply-port-src 9999 --reply-port-dst 40003");
    }
    SECTION("an end has counters and age, no helper, and seconds only if some are left") {
        event.kind = sluice::FlowEventKind::destroyed;
        event.flow.state = "CLOSE";
        const std::string rest =
            " CLOSE " + there + "packets=1 bytes=60 [UNREPLIED] " + back + " packets=1 bytes=40 delta-time=4";
        CHECK(conntrack_event_line(event) == "[DESTROY] tcp      6 120" + rest);
        event.flow.timeout_s = 0;
        CHECK(conntrack_event_line(event) == "[DESTROY] tcp      6" + rest);
        event.start_s = 1'795'342'136;
        event.stop_s = 1'795'342'140;
        const auto line = conntrack_event_line(event, {.id = true}, {.kernel = true});
        CHECK(line.starts_with("[DESTROY] tcp      6" + rest + " [start="));
        CHECK(line.ends_with(" 2026] id=7"));
        CHECK(conntrack_event_line(event, {}, {.save = true}).starts_with("-D -u UNSET -s 192.168.1.10 "));
    }
}

// Which words of a filter expression libpcap would look up.
#include "control/api/filter_names.hh"

#include <catch2/catch.hpp>

#include "control/api/pcap_stream.hh"

using namespace sluice::api;

TEST_CASE("host and network names are found") {
    struct Case {
        const char* expression;
        const char* name;
    };
    const auto c = GENERATE(values<Case>({
        {"host example.org", "example.org"},
        {"tcp port 80 and host www", "www"},
        {"src www", "www"},
        {"dst host 192.0.2.1 or www", "www"},
        {"net loopback", "loopback"},
        {"net 192.0.2.0 mask example", "example"},
        {"gateway router and port 80", "router"},
        {"ether host router", "router"},
        {"port http and src www", "www"},
        {"port http or (host www)", "www"},
        {"ip proto \\tcp and dst www", "www"},
        {"host \\tcp", "tcp"},
        {"host 192.0.2.1.5", "192.0.2.1.5"},
        {"host 192.0.2.1x", "192.0.2.1x"},
        {"host 0xg", "0xg"},
        {"host dead:beef", "dead"},
        {"host a-", "a"},
        {"host -a", "a"},
        {"host tcpx", "tcpx"},
        {"port 80 or tcp or www", "www"},
        {"host!www", "www"},
        {"host icmp-www", "icmp-www"},
    }));
    INFO(c.expression);
    CHECK(first_host_name(c.expression).value_or("none") == c.name);
    const auto filter = PacketFilter::compile(c.expression, 65535);
    REQUIRE(std::holds_alternative<std::string>(filter));
    CHECK_THAT(std::get<std::string>(filter), Catch::Contains(std::string("'") + c.name + "' is a name"));
}

TEST_CASE("directions, which no packet of a capture has, are refused") {
    struct Case {
        const char *expression, *word;
    };
    const auto c = GENERATE(values<Case>({
        {"inbound", "inbound"},
        {"not inbound", "inbound"},
        {"tcp port 21 and (outbound)", "outbound"},
        {"!outbound||arp", "outbound"},
    }));
    INFO(c.expression);
    const auto filter = PacketFilter::compile(c.expression, 65535);
    REQUIRE(std::holds_alternative<std::string>(filter));
    CHECK_THAT(std::get<std::string>(filter), Catch::StartsWith(std::string("'") + c.word + "' is not supported"));
}

TEST_CASE("expressions without host names compile") {
    const auto* expression =
        GENERATE("", "tcp port 21", "host 192.0.2.1", "net 192.0.2.0/24", "net 192.0.2", "net 10 or 172.16",
                 "net 192.0.2.0 mask 255.255.255.0", "host 2001:db8::1 or ::1", "net 2001:db8::/32",
                 "ether host 02:00:00:00:00:01", "ether src 02-00-00-00-00-01", "ether dst 0200.0000.0001",
                 "ether host 020000000001", "port http", "port http or https", "tcp src port ftp or ftp-data",
                 "portrange 8000-8080", "udp portrange 1-1023 and not port domain", "ip proto \\tcp", "proto 47",
                 "ether proto \\arp", "(port 80 or port 443) and host 203.0.113.9",
                 "tcp[tcpflags] & (tcp-syn|tcp-fin) != 0", "icmp[icmptype] = icmp-echo or icmp[icmpcode] == 4",
                 "ip[0:2] = 0x4500 and len >= 100", "less 100", "ip multicast or ether broadcast", "vlan 20 and ip6",
                 "icmp6 and ip6[40] = 128", "dst 192.0.2.1 && !src 192.0.2.2 || arp", "not\tport\n22");
    INFO(expression);
    CHECK(first_host_name(expression).value_or("none") == "none");
    const auto filter = PacketFilter::compile(expression, 65535);
    if (const auto* error = std::get_if<std::string>(&filter)) FAIL(*error);
}

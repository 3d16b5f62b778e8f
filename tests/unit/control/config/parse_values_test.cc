// The small texts: what each form means, and back again.
#include "control/config/parse_values.hh"

#include <catch2/catch.hpp>

namespace sluice::config {
namespace {

TEST_CASE("durations") {
    CHECK(parse_duration("30s").value == seconds{30});
    CHECK(parse_duration("90").value == seconds{90});
    CHECK(parse_duration("5m").value == seconds{300});
    CHECK(parse_duration("2h").value == seconds{7200});
    CHECK(parse_duration("5d").value == seconds{432000});
    CHECK(parse_duration("180d").value == seconds{180 * 86400});
    for (const char* bad :
         {"", "s", "1.5s", "-1s", " 1s", "1 s", "1h30m", "1w", "0", "4321h", "99999999999999999999d"}) {
        INFO(bad);
        CHECK_FALSE(parse_duration(bad).value.has_value());
    }
    for (const int count : {1, 59, 60, 61, 120, 3600, 3660, 86400, 90000, 432000}) {
        CHECK(parse_duration(to_string(seconds{count})).value == seconds{count});
    }
    CHECK(to_string(seconds{432000}) == "5d");
}

TEST_CASE("addresses, prefixes and ranges") {
    const auto range = [](const char* text) { return std::get<AddressRange>(*parse_address_item(text).value); };
    CHECK(range("192.0.2.1") == AddressRange{ip4(192, 0, 2, 1), ip4(192, 0, 2, 1)});
    CHECK(range("192.0.2.0/24") == AddressRange{ip4(192, 0, 2, 0), ip4(192, 0, 2, 255)});
    CHECK(range("0.0.0.0/0") == AddressRange{ip4(0, 0, 0, 0), ip4(255, 255, 255, 255)});
    CHECK(range("192.0.2.7/32") == AddressRange{ip4(192, 0, 2, 7), ip4(192, 0, 2, 7)});
    CHECK(range("192.0.2.250-192.0.3.5") == AddressRange{ip4(192, 0, 2, 250), ip4(192, 0, 3, 5)});
    CHECK(std::get<std::string>(*parse_address_item("web-servers").value) == "web-servers");
    for (const char* text : {"192.0.2.1", "192.0.2.0/24", "0.0.0.0/0", "192.0.2.250-192.0.3.5", "128.0.0.0/1"}) {
        CHECK(to_string(range(text)) == text);
    }
    for (const char* bad : {"", "1.2.3", "1.2.3.4.5", "01.2.3.4", "1.2.3.4/", "1.2.3.4/33", "1.2.3.4/+8", "1.2.3.4/24",
                            "1.2.3.4-", "1.2.3.4-1.2.3.3", "-1.2.3.4", "1.2.3.4 ", "a b", "any", "!web"}) {
        INFO(bad);
        CHECK_FALSE(parse_address_item(bad).value.has_value());
    }
    CHECK_FALSE(parse_address(std::string_view{"1.2.3.4\0x", 9}).value.has_value());
    CHECK_FALSE(parse_address(std::string_view{"2001:db8::1\0x", 13}).value.has_value());
}

TEST_CASE("addresses, prefixes and ranges of IPv6") {
    const auto range = [](const char* text) { return std::get<AddressRange>(*parse_address_item(text).value); };
    const IpAddress one = ip6(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1);
    CHECK(range("2001:db8::1") == AddressRange{one, one});
    CHECK(range("2001:DB8:0:0:0::0001") == AddressRange{one, one});
    CHECK(range("2001:db8::/32") == AddressRange{ip6(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0),
                                                 ip6(0x2001, 0xdb8, 0xffff, 0xffff, 0xffff, 0xffff, 0xffff, 0xffff)});
    CHECK(range("2001:db8::1-2001:db8::1:9") == AddressRange{one, ip6(0x2001, 0xdb8, 0, 0, 0, 0, 1, 9)});
    for (const char* text : {"2001:db8::1", "2001:db8::/32", "::/0", "fe80::/10", "2001:db8::1-2001:db8::1:9",
                             "8000::/1", "fd00::1", "2001:db8::/127", "fd00::-fd00::2"}) {
        INFO(text);
        CHECK(to_string(range(text)) == text);
    }
    const auto error = [](const char* text) { return parse_address_item(text).error; };
    CHECK(error("2001:db8::/129") == "the prefix length of '2001:db8::/129' is not 0..128");
    CHECK(error("2001:db8::1/64") == "'2001:db8::1/64' has host bits set: did you mean 2001:db8::/64?");
    CHECK(error("2001:db8::9-2001:db8::1") == "the range '2001:db8::9-2001:db8::1' runs backwards");
    CHECK(error("192.0.2.1-2001:db8::1") ==
          "the range '192.0.2.1-2001:db8::1' begins with an address of IPv4 and ends with one of IPv6");
    CHECK(error("2001:db8::g") == "'2001:db8::g' is not an IPv6 address");
    CHECK(error("1:2:3:4:5:6:7") == "'1:2:3:4:5:6:7' is not an IPv6 address");
    CHECK(error("192.0.2.1:80") == "'192.0.2.1:80' is not an IPv6 address");
    CHECK(error("::ffff:192.0.2.1") == "'::ffff:192.0.2.1' is an IPv4 address: write it as 192.0.2.1");
    CHECK(error("[2001:db8::1]:80") == "'[2001:db8::1]:80' is not an address: brackets and ports are not part of it");
    CHECK(error("fe80::1%wan") == "'fe80::1%wan' names a link: write the address alone, and the port by its own key");
}

TEST_CASE("interface addresses of IPv6") {
    CHECK(parse_interface_address("2001:db8::1/64").value ==
          InterfaceAddress{ip6(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1), 64});
    CHECK(parse_interface_address("2001:db8::/127").value.has_value());
    CHECK(parse_interface_address("2001:db8::/128").value.has_value());
    CHECK(parse_interface_address("2001:db8::ffff:ffff:ffff:ffff/64").value.has_value());  // no broadcast
    const auto error = [](const char* text) { return parse_interface_address(text).error; };
    CHECK(error("2001:db8::1") == "'2001:db8::1' has no prefix length: write it as 2001:db8::1/64");
    CHECK(error("2001:db8::/64") == "'2001:db8::/64' is that of any router of the network (RFC 4291), not of a host");
    CHECK(error("fe80::1/64") == "'fe80::1/64' is an address of the link, which each port has by itself");
    CHECK(error("ff02::1/64") == "'ff02::1/64' is not a unicast address");
    CHECK(error("::1/128") == "'::1/128' is not a unicast address");
    CHECK(error("::/0") == "'::/0' is not a unicast address");
    CHECK(error("2001:db8::1/0") == "the prefix length of '2001:db8::1/0' is not 1..128");
}

TEST_CASE("interface addresses") {
    CHECK(parse_interface_address("192.0.2.1/24").value == InterfaceAddress{ip4(192, 0, 2, 1), 24});
    CHECK(parse_interface_address("192.0.2.0/31").value.has_value());
    CHECK(parse_interface_address("192.0.2.0/32").value.has_value());
    for (const char* bad :
         {"192.0.2.0/24", "192.0.2.255/24", "127.0.0.1/8", "0.0.0.0/0", "10.0.0.1/0", "224.0.0.5/24"}) {
        INFO(bad);
        CHECK_FALSE(parse_interface_address(bad).value.has_value());
    }
}

TEST_CASE("ports") {
    CHECK(parse_port_range("80").value == PortRange{80, 80});
    CHECK(parse_port_range("0-65535").value == PortRange{0, 65535});
    CHECK(to_string(PortRange{8000, 8080}) == "8000-8080");
    for (const char* bad : {"", "-", "80-", "-80", "80-79", "65536", "80,81", "8 0", "0x50"}) {
        INFO(bad);
        CHECK_FALSE(parse_port_range(bad).value.has_value());
    }
    CHECK_FALSE(parse_port_range("0-5", 1).value.has_value());
    CHECK(std::get<std::string>(*parse_port_item("web").value) == "web");
}

TEST_CASE("protocols and ICMP types have the names of nft") {
    CHECK(*parse_proto("tcp").value == std::uint8_t{6});
    CHECK(*parse_proto("47").value == std::uint8_t{47});
    CHECK_FALSE(parse_proto("any").value->has_value());
    CHECK(proto_name(132) == "sctp");
    CHECK(proto_name(99) == "99");
    CHECK(*parse_proto("icmpv6").value == std::uint8_t{58});
    CHECK(proto_name(58) == "icmpv6");
    CHECK(parse_icmp_type("echo-request", false).value == std::uint8_t{8});
    CHECK(parse_icmp_type("destination-unreachable", false).value == std::uint8_t{3});
    CHECK(parse_icmp_type("255", false).value == std::uint8_t{255});
    CHECK(parse_icmp_type("echo-request", true).value == std::uint8_t{128});
    CHECK(parse_icmp_type("packet-too-big", true).value == std::uint8_t{2});
    CHECK_FALSE(parse_icmp_type("packet-too-big", false).value.has_value());
    CHECK(icmp_type_name(128, true) == "echo-request");
    CHECK(icmp_type_name(132, true) == "mld-listener-done");  // it has two names
    CHECK(parse_icmp_type("mld-listener-reduction", true).value == std::uint8_t{132});
    CHECK(parse_icmp_type("source-quench", true).error ==
          "unknown ICMPv6 type 'source-quench': a name as in nft (echo-request, ...) or a number 0..255");
    for (unsigned type = 0; type < 256; ++type) {
        for (const bool v6 : {false, true})
            CHECK(parse_icmp_type(icmp_type_name(static_cast<std::uint8_t>(type), v6), v6).value == type);
        CHECK(*parse_proto(proto_name(static_cast<std::uint8_t>(type))).value == type);
    }
}

TEST_CASE("MAC addresses, names and endpoints") {
    CHECK(parse_mac("02:00:00:AB:cd:01").value == MacAddress{{2, 0, 0, 0xab, 0xcd, 1}});
    CHECK(to_string(MacAddress{{2, 0, 0, 0xab, 0xcd, 1}}) == "02:00:00:ab:cd:01");
    for (const char* bad : {"", "02:00:00:00:00", "02:00:00:00:00:0g", "2:0:0:0:0:1", "ff:ff:ff:ff:ff:ff",
                            "00:00:00:00:00:00", "02:00:00:00:00:01:02"}) {
        INFO(bad);
        CHECK_FALSE(parse_mac(bad).value.has_value());
    }
    CHECK(parse_name("a-b_c.d1").value == "a-b_c.d1");
    for (const std::string& bad : {std::string{}, std::string{"1a"}, std::string{"a/b"}, std::string(32, 'a'),
                                   std::string{"masquerade"}, std::string{"a b"}}) {
        INFO(bad);
        CHECK_FALSE(parse_name(bad).value.has_value());
    }
    CHECK(parse_device_name("eth0.20").value == "eth0.20");
    for (const char* bad : {"", "..", "a/b", "sixteen-letters-", "a b", "tap%d"}) {
        INFO(bad);
        CHECK_FALSE(parse_device_name(bad).value.has_value());
    }
    CHECK(parse_endpoint("0.0.0.0:9140").value == "0.0.0.0:9140");
    CHECK(parse_endpoint("[::1]:9140").value == "[::1]:9140");
    CHECK(parse_endpoint("::1:9140").error ==
          "'::1:9140' is not address:port: an IPv6 address stands in brackets, [::1]:9140");
    for (const char* bad : {"[::1]", "[::1]9140", "[::1]:0", "[127.0.0.1]:9140", "[]:9140", "[::1:9140", "", "9140",
                            "127.0.0.1", "127.0.0.1:0", "127.0.0.1:65536", "localhost:9140", ":9140"}) {
        INFO(bad);
        CHECK_FALSE(parse_endpoint(bad).value.has_value());
    }
}

}  // namespace
}  // namespace sluice::config

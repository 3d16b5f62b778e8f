// Corners of FlowFilter that a listing over HTTP does not reach.
#include "control/api/flow_filter.hh"

#include <catch2/catch.hpp>

#include "tests/support/fake_box.hh"

using namespace sluice::api;
using sluice::test::tcp_flow;

TEST_CASE("prefixes match by their leading bits, in both families") {
    const auto address = [](const char* text) { return boost::asio::ip::make_address(text); };
    CHECK(AddressMatch::parse("0.0.0.0/0")->matches(address("203.0.113.1")));
    CHECK_FALSE(AddressMatch::parse("0.0.0.0/0")->matches(address("2001:db8::1")));
    CHECK(AddressMatch::parse("192.0.2.128/25")->matches(address("192.0.2.255")));
    CHECK_FALSE(AddressMatch::parse("192.0.2.128/25")->matches(address("192.0.2.127")));
    CHECK(AddressMatch::parse("2001:db8::/33")->matches(address("2001:db8:7fff::1")));
    CHECK_FALSE(AddressMatch::parse("2001:db8::/33")->matches(address("2001:db8:8000::1")));
    CHECK(AddressMatch::parse("::/0")->matches(address("2001:db8::1")));
    CHECK(AddressMatch::parse("2001:db8::1")->matches(address("2001:db8::1")));
    CHECK_FALSE(AddressMatch::parse("2001:db8::/129"));
    CHECK_FALSE(AddressMatch::parse("192.0.2.1/"));
    CHECK_FALSE(AddressMatch::parse(""));
    CHECK(AddressMatch::parse("192.0.2.0/24")->text() == "192.0.2.0/24");
    CHECK(AddressMatch::parse("2001:db8::1")->text() == "2001:db8::1");
}

TEST_CASE("a port that was changed counts as translation") {
    auto flow = tcp_flow(1, 40000, false);
    FlowFilter filter;
    filter.src_nat.wanted = true;
    CHECK_FALSE(filter.matches(flow));
    flow.reply.dport = 1025;
    CHECK(filter.matches(flow));
    filter = {};
    filter.dst_nat.wanted = true;
    CHECK_FALSE(filter.matches(flow));
    flow.reply.sport = 2121;
    CHECK(filter.matches(flow));
}

TEST_CASE("translation to a port, and either of the two") {
    const auto matches = [](const char* name, const char* value, const FlowRecord& flow) {
        return std::get<FlowFilter>(parse_flow_filter({{name, value}})).matches(flow);
    };
    auto flow = tcp_flow(1, 40000);                               // source becomes 198.51.100.2:40000
    CHECK_FALSE(matches("src_nat", "198.51.100.2:40000", flow));  // the port was not changed
    CHECK(matches("src_nat", "198.51.100.2", flow));
    flow.reply.dport = 1025;
    CHECK(matches("src_nat", "198.51.100.2:1025", flow));
    CHECK(matches("any_nat", ":1025", flow));
    CHECK(matches("any_nat", "198.51.100.0/24", flow));
    CHECK_FALSE(matches("src_nat", "198.51.100.2:1026", flow));
    CHECK_FALSE(matches("src_nat", "198.51.100.3:1025", flow));
    CHECK_FALSE(matches("dst_nat", "", flow));
    CHECK_FALSE(matches("any_nat", "any", tcp_flow(1, 40000, false)));
    CHECK(std::get<std::string>(parse_flow_filter({{"src_nat", "198.51.100.2:x"}})).find("with a port") !=
          std::string::npos);
    CHECK(std::get<std::string>(parse_flow_filter({{"src_nat", "[198.51.100:1"}})).find("src_nat") !=
          std::string::npos);
}

TEST_CASE("statuses in any case; what no flow has matches none") {
    auto flow = tcp_flow(1, 40000);
    const auto matches = [&flow](const char* name, const char* value) {
        return std::get<FlowFilter>(parse_flow_filter({{name, value}})).matches(flow);
    };
    CHECK(matches("status", "assured,Seen_Reply"));
    CHECK_FALSE(matches("status", "EXPECTED"));
    flow.expected = true;
    CHECK(matches("status", "EXPECTED"));
    CHECK_FALSE(matches("status", "OFFLOAD"));
    CHECK_FALSE(matches("status", "ASSURED,FIXED_TIMEOUT"));
}

TEST_CASE("marks, zones and protocols in any base, as strtoul has them") {
    auto flow = tcp_flow(1, 40000);
    flow.mark = 18;
    flow.original.zone = flow.reply.zone = 10;
    const auto matches = [&flow](const char* name, const char* value) {
        return std::get<FlowFilter>(parse_flow_filter({{name, value}})).matches(flow);
    };
    for (const char* mark : {"18", "0x12", "0X12", "022", "022/0377", "02/017"}) CHECK(matches("mark", mark));
    CHECK_FALSE(matches("mark", "22"));
    CHECK_FALSE(matches("mark", "0"));
    CHECK(matches("zone", "012"));
    for (const char* proto : {"6", "06", "0x6", "tcp"}) CHECK(matches("proto", proto));
    CHECK_FALSE(matches("proto", "0"));
    for (const char* wrong : {"08", "0x", "0xg", "", "1 ", "4294967296"})
        CHECK(std::holds_alternative<std::string>(parse_flow_filter({{"mark", wrong}})));
    for (const char* wrong : {"08", "256", "0x100"})
        CHECK(std::holds_alternative<std::string>(parse_flow_filter({{"proto", wrong}})));
}

TEST_CASE("zones as conntrack(8) has them: of both tuples, or of one where they differ") {
    auto flow = tcp_flow(1, 40000);
    // Of zone, orig_zone and reply_zone, which match the number.
    const auto matching = [&flow](const char* value) {
        std::string names;
        for (const char* name : {"zone", "orig_zone", "reply_zone"})
            if (std::get<FlowFilter>(parse_flow_filter({{name, value}})).matches(flow))
                names += std::string(name) + " ";
        return names;
    };
    CHECK(matching("0") == "zone orig_zone reply_zone ");
    CHECK(matching("1").empty());
    flow.original.zone = flow.reply.zone = 12;
    CHECK(matching("12") == "zone ");
    CHECK(matching("0xc") == "zone ");
    CHECK(matching("0") == "orig_zone reply_zone ");
    flow.reply.zone = 0;
    CHECK(matching("12") == "orig_zone ");
    CHECK(matching("0") == "zone reply_zone ");
    flow.reply.zone = 13;
    CHECK(matching("12") == "orig_zone ");
    CHECK(matching("13") == "reply_zone ");
    CHECK(std::get<std::string>(parse_flow_filter({{"orig_zone", "65536"}})) ==
          "parameter 'orig_zone': '65536' is not a zone (0-65535)");
    CHECK(std::holds_alternative<std::string>(parse_flow_filter({{"zone", "x"}})));
}

TEST_CASE("no parameter matches everything, any parameter does not") {
    CHECK(std::get<FlowFilter>(parse_flow_filter({})).matches_all());
    for (const auto& parameter : QueryParameters{{"proto", "tcp"},
                                                 {"src_nat", ""},
                                                 {"mark", "0"},
                                                 {"worker", "0"},
                                                 {"status", "UNREPLIED"},
                                                 {"status", "EXPECTED"},
                                                 {"status", "OFFLOAD"},
                                                 {"any_nat", ""},
                                                 {"zone", "0"},
                                                 {"orig_zone", "0"},
                                                 {"reply_zone", "0"},
                                                 {"icmp_id", "0"},
                                                 {"family", "ipv4"}})
        CHECK_FALSE(std::get<FlowFilter>(parse_flow_filter({parameter})).matches_all());
}

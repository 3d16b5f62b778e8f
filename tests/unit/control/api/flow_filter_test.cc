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
    filter.src_nat = true;
    CHECK_FALSE(filter.matches(flow));
    flow.reply.dport = 1025;
    CHECK(filter.matches(flow));
    filter = {};
    filter.dst_nat = true;
    CHECK_FALSE(filter.matches(flow));
    flow.reply.sport = 2121;
    CHECK(filter.matches(flow));
}

TEST_CASE("no parameter matches everything, any parameter does not") {
    CHECK(std::get<FlowFilter>(parse_flow_filter({})).matches_all());
    for (const auto& parameter : QueryParameters{{"proto", "tcp"},
                                                 {"src_nat", ""},
                                                 {"mark", "0"},
                                                 {"worker", "0"},
                                                 {"status", "UNREPLIED"},
                                                 {"icmp_id", "0"},
                                                 {"family", "ipv4"}})
        CHECK_FALSE(std::get<FlowFilter>(parse_flow_filter({parameter})).matches_all());
}

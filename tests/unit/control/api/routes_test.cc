// The API over a real UNIX socket, with a fake box behind it.
#include <boost/json/parse.hpp>
#include <boost/json/value.hpp>
#include <catch2/catch.hpp>

#include "control/api/json.hh"
#include "tests/unit/control/api/http_client.hh"

using namespace sluice;
using namespace sluice::test;
namespace json = boost::json;

namespace {

void fill(Served& served, std::size_t tcp_flows) {
    for (std::size_t i = 0; i < tcp_flows; ++i)
        served.box.flows.push_back(tcp_flow(1 + i, static_cast<std::uint16_t>(40000 + i)));
    served.box.flows.push_back(udp_flow(9001, 5353));
    served.box.flows.push_back(icmp_flow(9002));
}

std::string error_of(const RawReply& reply) {
    return std::string(json::parse(reply.body).at("error").as_string());
}

}  // namespace

TEST_CASE("a listing streams all flows as one JSON array") {
    Served served;
    fill(served, 10);
    const auto reply = served.call("GET", "/v1/flows");
    REQUIRE(reply.status == 200);
    const auto list = json::parse(reply.body).as_array();
    REQUIRE(list.size() == 12);
    REQUIRE(api::flow_from_json(list[0].as_object()) == served.box.flows[0]);
    REQUIRE(api::flow_from_json(list[10].as_object()) == served.box.flows[10]);
    REQUIRE(api::flow_from_json(list[11].as_object()) == served.box.flows[11]);
    REQUIRE(served.box.slices_fetched == 4);
    REQUIRE(served.box.live_cursors == 0);
}

TEST_CASE("an empty listing is an empty array") {
    Served served;
    REQUIRE(json::parse(served.call("GET", "/v1/flows").body).as_array().empty());
    fill(served, 7);
    REQUIRE(json::parse(served.call("GET", "/v1/flows?dport=9").body).as_array().empty());
}

TEST_CASE("a listing as NDJSON has one flow on each line") {
    Served served;
    fill(served, 4);
    const auto reply = served.call("GET", "/v1/flows?proto=tcp", "", "application/x-ndjson");
    REQUIRE(reply.head.find("application/x-ndjson") != std::string::npos);
    REQUIRE(std::count(reply.body.begin(), reply.body.end(), '\n') == 4);
    REQUIRE(json::parse(reply.body.substr(0, reply.body.find('\n'))).at("original").at("sport") == 40000);
}

TEST_CASE("HTTP/1.0 gets the listing without chunks") {
    Served served;
    fill(served, 4);
    const auto reply = served.raw("GET /v1/flows HTTP/1.0\r\n\r\n");
    REQUIRE(reply.head.find("chunked") == std::string::npos);
    REQUIRE(json::parse(reply.body).as_array().size() == 6);
}

TEST_CASE("a filter selects what is listed") {
    const auto [query, expected] = GENERATE(table<const char*, std::size_t>({
        {"proto=tcp", 10},
        {"proto=17", 1},
        {"src=192.0.2.10", 11},
        {"src=192.0.2.0/24", 12},
        {"src=192.0.2.8%2F30", 12},
        {"dst=203.0.113.53", 1},
        {"reply_dst=198.51.100.2", 11},
        {"reply_src=203.0.113.9&proto=tcp", 10},
        {"sport=40003", 1},
        {"dport=0", 0},
        {"icmp_type=8", 1},
        {"icmp_type=0", 0},
        {"icmp_id=77&icmp_code=0", 1},
        {"state=ESTABLISHED", 10},
        {"status=ASSURED", 10},
        {"status=UNREPLIED", 1},
        {"status=SEEN_REPLY,ASSURED", 10},
        {"src_nat=any", 11},
        {"src_nat=198.51.100.3", 0},
        {"dst_nat", 0},
        {"mark=7", 1},
        {"mark=0x3/0x3", 1},
        {"mark=0", 11},
        {"family=ipv6", 0},
        {"family=ipv4", 12},
        {"id=9002", 1},
        {"worker=1", 0},
    }));
    Served served;
    fill(served, 10);
    INFO(query);
    REQUIRE(json::parse(served.call("GET", std::string("/v1/flows?") + query).body).as_array().size() == expected);
}

TEST_CASE("bad requests get a 4xx and a message that names the fault") {
    struct Case {
        const char* method;
        const char* target;
        unsigned status;
        const char* message;
    };
    const auto bad = GENERATE(values<Case>({
        {"GET", "/v1/flows?src=192.0.2.300", 400, "'src': '192.0.2.300'"},
        {"GET", "/v1/flows?src=192.0.2.0/33", 400, "'src'"},
        {"GET", "/v1/flows?src=fe80::1%25eth0", 400, "'src'"},
        {"GET", "/v1/flows?dst=", 400, "'dst'"},
        {"GET", "/v1/flows?sport=65536", 400, "'sport': '65536' is not a port"},
        {"GET", "/v1/flows?dport=-1", 400, "'dport'"},
        {"GET", "/v1/flows?dport=80x", 400, "'dport'"},
        {"GET", "/v1/flows?proto=tcpp", 400, "'proto'"},
        {"GET", "/v1/flows?proto=256", 400, "'proto'"},
        {"GET", "/v1/flows?state=established", 400, "'state'"},
        {"GET", "/v1/flows?status=WHAT", 400, "'status'"},
        {"GET", "/v1/flows?status=UNREPLIED,SEEN_REPLY", 400, "'status'"},
        {"GET", "/v1/flows?family=inet", 400, "'family'"},
        {"GET", "/v1/flows?mark=4294967296", 400, "'mark'"},
        {"GET", "/v1/flows?mark=1/", 400, "'mark'"},
        {"GET", "/v1/flows?icmp_type=256", 400, "'icmp_type'"},
        {"GET", "/v1/flows?id=x", 400, "'id'"},
        {"GET", "/v1/flows?src_nat=x", 400, "'src_nat'"},
        {"GET", "/v1/flows?srcc=192.0.2.1", 400, "unknown parameter 'srcc'"},
        {"GET", "/v1/flows?sport=1&sport=2", 400, "'sport' is given twice"},
        {"GET", "/v1/flows?src=%zz", 400, "malformed request target"},
        {"GET", "/v1/flows?src=%0", 400, "malformed request target"},
        {"GET", "/v1/flows?src=1%00", 400, "malformed request target"},
        {"DELETE", "/v1/flows?scr=192.0.2.1", 400, "unknown parameter 'scr'"},
        {"GET", "/v1/flows/count?x=1", 400, "unknown parameter 'x'"},
        {"GET", "/v1/rules?x", 400, "unknown parameter 'x'"},
        {"POST", "/v1/reload?force=1", 400, "unknown parameter 'force'"},
        {"POST", "/v1/check", 400, "body"},
        {"POST", "/v1/capture", 400, "'port' is missing"},
        {"POST", "/v1/capture?port=dmz", 404, "no port is named 'dmz'"},
        {"POST", "/v1/capture?port=wan&filter=tcp+prot+80", 400, "'filter': "},
        {"POST", "/v1/capture?port=wan&filter=host+example.org", 400, "'filter': 'example.org' is a name"},
        {"POST", "/v1/capture?port=wan&snaplen=0", 400, "'snaplen'"},
        {"POST", "/v1/capture?port=wan&snaplen=65536", 400, "'snaplen'"},
        {"POST", "/v1/capture?port=wan&count=0", 400, "'count'"},
        {"POST", "/v1/capture?port=wan&what=0", 400, "unknown parameter 'what'"},
        {"GET", "/v1/nothing", 404, "no such path: /v1/nothing"},
        {"GET", "/", 404, "no such path"},
        {"POST", "/v1/flows", 405, "/v1/flows allows DELETE, GET"},
        {"GET", "/v1/reload", 405, "allows POST"},
        {"BREW", "/v1/rules", 405, "allows GET"},
        {"GET", "rules", 400, "malformed request target"},
    }));
    Served served;
    fill(served, 2);
    INFO(bad.method << ' ' << bad.target);
    const auto reply = served.call(bad.method, bad.target);
    CHECK(reply.status == bad.status);
    CHECK_THAT(error_of(reply), Catch::Contains(bad.message));
    if (bad.status == 405) CHECK_THAT(reply.head, Catch::Contains("Allow: "));
    CHECK(served.box.flows.size() == 4);
    CHECK(served.box.live_captures == 0);
}

TEST_CASE("deletion with a filter deletes only what matches") {
    Served served;
    fill(served, 10);
    REQUIRE(json::parse(served.call("DELETE", "/v1/flows?proto=tcp&sport=40001").body).at("deleted") == 1);
    REQUIRE(served.box.flows.size() == 11);
    REQUIRE(json::parse(served.call("DELETE", "/v1/flows?proto=tcp").body).at("deleted") == 9);
    REQUIRE(json::parse(served.call("DELETE", "/v1/flows?proto=tcp").body).at("deleted") == 0);
    REQUIRE(served.box.flows.size() == 2);
    REQUIRE(json::parse(served.call("DELETE", "/v1/flows").body).at("deleted") == 2);
    REQUIRE(served.box.live_cursors == 0);
}

TEST_CASE("deletion as NDJSON shows the flows that are gone, then their number") {
    Served served;
    fill(served, 10);
    const auto reply = served.call("DELETE", "/v1/flows?sport=40009", "", "application/x-ndjson");
    const auto end = reply.body.find('\n');
    REQUIRE(json::parse(reply.body.substr(0, end)).at("id") == "10");
    REQUIRE(reply.body.substr(end + 1) == "{\"deleted\":1}\n");
}

TEST_CASE("counts, expectations and the parts of a snapshot") {
    Served served;
    fill(served, 3);
    served.box.expectations.push_back({.proto = 6,
                                       .tuple = {.src = boost::asio::ip::make_address("192.0.2.1"),
                                                 .dst = boost::asio::ip::make_address("203.0.113.9"),
                                                 .dport = 51220},
                                       .master = tcp_flow(1, 40000).original,
                                       .master_proto = 6,
                                       .timeout_s = 299,
                                       .helper = "ftp"});
    const auto get = [&](const char* path) {
        const auto reply = served.call("GET", path);
        REQUIRE(reply.status == 200);
        return json::parse(reply.body);
    };
    CHECK(get("/v1/flows/count") == json::parse(R"({"count":5,"limit":1000})"));
    CHECK(get("/v1/expectations").at(0).at("tuple").at("dport") == 51220);
    CHECK(get("/v1/rules").at(0).at("packets") == 12);
    CHECK(get("/v1/nat").at(0).at("pool").at("in_use") == 4);
    CHECK(get("/v1/nat").at(1).as_object().if_contains("pool") == nullptr);
    CHECK(get("/v1/ports").at(1).at("receive_missed") == 3);
    CHECK(get("/v1/version").at("version") == "0.1.0");
    const auto stats = get("/v1/stats");
    CHECK(stats.at("drops").as_array().size() == kDropReasonCount);
    CHECK(stats.at("drops").at(static_cast<std::size_t>(DropReason::flow_table_full)).at("packets") == 40);
    CHECK(served.call("GET", "/v1/config").body == served.box.effective_config());
}

TEST_CASE("a reload reports the new generation, or every mistake") {
    Served served;
    REQUIRE(json::parse(served.call("POST", "/v1/reload").body).at("generation") == 4);
    served.box.issues = {{"a.yaml", 3, 7, "nat[0]", "wrong"}, {"a.yaml", 9, 1, "ports", "missing"}};
    const auto reply = served.call("POST", "/v1/reload");
    REQUIRE(reply.status == 422);
    REQUIRE(json::parse(reply.body).at("issues").as_array().size() == 2);
    REQUIRE(json::parse(reply.body).at("issues").at(1).at("line") == 9);
    REQUIRE(error_of(reply) == "the configuration has errors; nothing was changed");
    served.box.reload_needs_restart = true;
    REQUIRE(error_of(served.call("POST", "/v1/reload")) ==
            "the configuration is valid but needs a restart of sluiced; nothing was changed");
    REQUIRE(served.call("POST", "/v1/check", "ports: []").status == 422);
    served.box.issues.clear();
    REQUIRE(json::parse(served.call("POST", "/v1/check", "ports: []").body) ==
            json::parse(R"({"issues": [], "restart_needed": []})"));
    served.box.restart_needed = {"workers.main has changed: needs a restart"};
    const auto other_box = served.call("POST", "/v1/check", "ports: []");
    REQUIRE(other_box.status == 200);
    REQUIRE(json::parse(other_box.body) ==
            json::parse(R"({"issues": [], "restart_needed": ["workers.main has changed: needs a restart"]})"));
}

TEST_CASE("an exception in the box is a 500 with its message") {
    Served served;
    served.box.throw_in_snapshot = true;
    const auto reply = served.call("GET", "/v1/stats");
    REQUIRE(reply.status == 500);
    REQUIRE(error_of(reply) == "no counters");
}

TEST_CASE("/metrics is Prometheus text") {
    Served served;
    const auto reply = served.call("GET", "/metrics");
    REQUIRE(reply.status == 200);
    REQUIRE_THAT(reply.head, Catch::Contains("text/plain; version=0.0.4"));
    REQUIRE_THAT(reply.body, Catch::Contains("sluice_drops_total{reason=\"ip_checksum\"} 2"));
}

TEST_CASE("/metrics is JSON for who accepts only that") {
    Served served;
    const auto reply = served.call("GET", "/metrics", "", "application/json");
    REQUIRE(reply.status == 200);
    REQUIRE_THAT(reply.head, Catch::Contains("application/json"));
    const auto families = json::parse(reply.body).as_array();
    const auto family = [&](std::string_view name) -> const json::object& {
        for (const auto& one : families)
            if (one.at("name").as_string() == name) return one.as_object();
        FAIL("no family " << name);
        return families.front().as_object();
    };
    const auto& uptime = family("sluice_uptime_seconds");
    CHECK(uptime.at("type").as_string() == "gauge");
    CHECK(uptime.at("help").as_string() == "Time since sluiced started.");
    CHECK(uptime.at("metrics").as_array().at(0).at("labels").as_object().empty());
    CHECK(uptime.at("metrics").as_array().at(0).at("value").to_number<double>() == 3723.5);
    const auto& drops = family("sluice_drops_total").at("metrics").as_array();
    CHECK(drops.size() == kDropReasonCount);
    const auto& checksum = drops.at(static_cast<std::size_t>(DropReason::ip_checksum));
    CHECK(checksum.at("labels").at("reason").as_string() == "ip_checksum");
    CHECK(checksum.at("value").to_number<std::uint64_t>() == 2);
    const auto& lateness = family("sluice_wheel_lateness_seconds");
    CHECK(lateness.at("type").as_string() == "summary");
    CHECK(lateness.at("metrics").as_array().at(0).at("count").to_number<std::uint64_t>() == 4);
    CHECK(lateness.at("metrics").as_array().at(0).at("sum").to_number<double>() == Approx(0.04));
}

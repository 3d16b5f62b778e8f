// GET /v1/cycles over a real UNIX socket, with a fake box behind it.
#include <boost/json/parse.hpp>
#include <boost/json/value.hpp>
#include <catch2/catch.hpp>

#include "tests/unit/control/api/http_client.hh"

using namespace sluice;
using namespace sluice::test;
namespace json = boost::json;

namespace {

constexpr const char* kRequest = "GET /v1/cycles?seconds=5 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";

/// Runs the server until so many wait for a report.
bool until_measuring(Served& served, std::size_t clients) {
    for (unsigned i = 0; i < 1000 && served.box.measuring.size() != clients; ++i)
        served.io.run_one_for(std::chrono::milliseconds(10));
    return served.box.measuring.size() == clients;
}

}  // namespace

TEST_CASE("two who measure get a report each when the time is over") {
    Served served;
    const RawClient one(served.path), two(served.path);
    one.send(kRequest);
    two.send("GET /v1/cycles HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    REQUIRE(until_measuring(served, 2));
    served.box.report(cycle_report());
    const auto answers = served.with_client([&] {
        return std::pair{one.receive_until_closed(), two.receive_until_closed()};
    });
    CHECK(parse_reply(answers.first).body == parse_reply(answers.second).body);
    const auto reply = parse_reply(answers.first);
    REQUIRE(reply.status == 200);
    const auto report = json::parse(reply.body);
    CHECK(report.at("seconds").to_number<double>() == 1);
    CHECK(report.at("tsc_hz") == 2'800'000);
    CHECK(report.at("one_busy_loop_in") == 7);
    const auto& workers = report.at("workers").as_array();
    REQUIRE(workers.size() == 2);
    const auto& busy = workers[0];
    CHECK(busy.at("lcore") == 1);
    CHECK(busy.at("busy_cycles") == 1'400'000);
    CHECK(busy.at("idle_loops") == 90000);
    CHECK(busy.at("received") == 6990);
    CHECK(busy.at("from_kernel") == 4);
    CHECK(busy.at("handed_in") == 6);
    CHECK(busy.at("handed_out") == 14);
    CHECK(busy.at("fast_path") == 6300);
    CHECK(busy.at("measured").at("loops") == 100);
    CHECK(busy.at("measured").at("bursts") == 125);
    CHECK(busy.at("measured").at("packets") == 1000);
    const auto& stages = busy.at("measured").at("stages").as_array();
    REQUIRE(stages.size() == kStageCount);
    CHECK(stages[0] == json::value({{"stage", "receive"}, {"packets", 1000}, {"cycles", 30'000}}));
    CHECK(stages[4] == json::value({{"stage", "policy"}, {"packets", 100}, {"cycles", 50'000}}));
    CHECK(workers[1].at("worker") == 1);
}

TEST_CASE("the time is what the request says, a second without") {
    Served served;
    const auto [query, seconds] = GENERATE(
        table<const char*, unsigned>({{"", 1}, {"?seconds=1", 1}, {"?seconds=60", 60}, {"?seconds=3600", 3600}}));
    const RawClient client(served.path);
    client.send(std::string("GET /v1/cycles") + query + " HTTP/1.0\r\n\r\n");
    REQUIRE(until_measuring(served, 1));
    CHECK(served.box.measured_time == std::chrono::seconds(seconds));
}

TEST_CASE("a client that leaves does not measure on") {
    Served served;
    {
        const RawClient stays(served.path);
        {
            const RawClient leaves(served.path);
            leaves.send(kRequest);
            stays.send(kRequest);
            REQUIRE(until_measuring(served, 2));
        }
        REQUIRE(until_measuring(served, 1));
    }
    REQUIRE(until_measuring(served, 0));
    CHECK(served.server->connections() == 0);
}

TEST_CASE("a server that stops does not measure on") {
    Served served;
    const RawClient client(served.path);
    client.send(kRequest);
    REQUIRE(until_measuring(served, 1));
    served.server->stop();
    CHECK(until_measuring(served, 0));
}

TEST_CASE("cycles: what is wrong with a request is said") {
    Served served;
    const auto [query, message] = GENERATE(table<const char*, const char*>({
        {"seconds=0", "parameter 'seconds': '0' is not a number from 1 to 3600"},
        {"seconds=3601", "parameter 'seconds': '3601' is not a number from 1 to 3600"},
        {"seconds=-1", "parameter 'seconds': '-1' is not a number from 1 to 3600"},
        {"seconds=1.5", "parameter 'seconds': '1.5' is not a number from 1 to 3600"},
        {"seconds=", "parameter 'seconds': '' is not a number from 1 to 3600"},
        {"seconds=18446744073709551617", "parameter 'seconds': '18446744073709551617' is not a number from 1 to 3600"},
        {"seconds=1&seconds=1", "parameter 'seconds' is given twice"},
        {"worker=1", "unknown parameter 'worker'"},
    }));
    const auto reply = served.call("GET", std::string("/v1/cycles?") + query);
    CHECK(reply.status == 400);
    CHECK(json::parse(reply.body).at("error").as_string() == message);
    CHECK(served.box.measuring.empty());
}

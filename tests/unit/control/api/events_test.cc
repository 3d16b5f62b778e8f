// GET /v1/events and PATCH /v1/flows over a real UNIX socket, with a fake box behind it.
#include <unistd.h>

#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>
#include <boost/json/value.hpp>
#include <catch2/catch.hpp>

#include "control/api/flow_update.hh"
#include "control/api/json.hh"
#include "tests/unit/control/api/http_client.hh"

using namespace sluice;
using namespace sluice::test;
namespace json = boost::json;

namespace {

api::FlowEventRecord event_of(FlowEventKind kind, std::uint8_t changes = 0) {
    api::FlowEventRecord event;
    event.kind = kind;
    event.changes = changes;
    event.flow = tcp_flow(1, 40000);
    event.time_us = 1'700'000'000'000'000;
    return event;
}

/// Asks for events and reads until the text came `times`.
std::string listen(Served& served, const std::string& query, const std::string& text, unsigned times = 1) {
    return served.with_client([&served, request = "GET /v1/events" + query + " HTTP/1.0\r\n\r\n", text, times] {
        const RawClient client(served.path);
        client.send(request);
        std::string all;
        const auto count = [&] {
            unsigned found = 0;
            for (auto at = all.find(text); at != std::string::npos; at = all.find(text, at + 1)) ++found;
            return found;
        };
        while (count() < times) {
            const std::string part = client.receive_some();
            if (part.empty()) break;
            all += part;
        }
        return all;
    });
}

/// Calls `work` again and again while the server runs.
struct Every {
    Every(Served& served, std::function<void()> what) : timer(served.io), work(std::move(what)) { wait(); }
    void wait() {
        timer.expires_after(std::chrono::milliseconds(2));
        timer.async_wait([this](boost::system::error_code error) {
            if (error) return;
            work();
            wait();
        });
    }
    boost::asio::steady_timer timer;
    std::function<void()> work;
};

std::string error_of(const RawReply& reply) {
    return std::string(json::parse(reply.body).at("error").as_string());
}

}  // namespace

TEST_CASE("an event survives the way through JSON") {
    auto event = event_of(FlowEventKind::updated, changed::kReply | changed::kMark);
    event.by = 4711;
    CHECK(api::event_from_json(api::to_json(event)) == event);
    event = event_of(FlowEventKind::destroyed);
    event.start_s = 1;
    event.stop_s = 2;
    CHECK(api::event_from_json(api::to_json(event)) == event);
    auto broken = api::to_json(event);
    broken["event"] = "rebirth";
    CHECK_FALSE(api::event_from_json(broken));
    broken = api::to_json(event);
    broken["changes"].as_array().emplace_back("weather");
    CHECK_FALSE(api::event_from_json(broken));
}

TEST_CASE("a listener gets the kinds and flows that it asked for, and leaves no trace") {
    Served served;
    const Every all(served, [&] {
        served.box.tell(event_of(FlowEventKind::created));
        served.box.tell(event_of(FlowEventKind::updated, changed::kAssured));
        auto udp = event_of(FlowEventKind::created);
        udp.flow = udp_flow(2, 5353);
        served.box.tell(udp);
    });
    CHECK_THAT(listen(served, "", "\"event\":\"update\""), Catch::Contains("application/x-ndjson"));
    const auto births = listen(served, "?events=new", "\"event\":\"new\"", 4);
    CHECK_THAT(births, !Catch::Contains("update"));
    const auto udp = listen(served, "?events=new,update&proto=udp", "\"event\"", 3);
    CHECK_THAT(udp, !Catch::Contains("SYN") && !Catch::Contains("\"proto\":6"));
    // The mark that an event does not carry matches no filter, as in conntrack(8), nor does the state.
    const auto marked = listen(served, "?mark=0/0", "\"event\"", 2);
    CHECK_THAT(marked, !Catch::Contains("\"proto\":6"));
    const auto state = listen(served, "?state=ESTABLISHED", "\"event\"", 2);
    CHECK_THAT(state, !Catch::Contains("update"));
    for (unsigned i = 0; i < 100 && !served.box.watches.empty(); ++i)
        served.io.run_one_for(std::chrono::milliseconds(5));
    CHECK(served.box.watches.empty());
}

TEST_CASE("who takes too little is told how much it lost, where it is missing") {
    Served served;
    bool flooded = false;
    const Every all(served, [&] {
        if (served.box.watches.empty() || std::exchange(flooded, true)) return;
        for (unsigned i = 0; i < 1000; ++i) served.box.tell(event_of(FlowEventKind::created));
        served.box.tell_lost(5);
    });
    const auto heard = listen(served, "?buffer=4096", "\"lost\"");
    unsigned events = 0;
    for (auto at = heard.find("\"event\""); at != std::string::npos; at = heard.find("\"event\"", at + 1)) ++events;
    REQUIRE(events > 0);
    CHECK(events < 1000);
    CHECK_THAT(heard, Catch::Contains("{\"lost\":" + std::to_string(1005 - events) + "}"));
    CHECK(served.box.lost_by_listeners == 1000 - events);
}

TEST_CASE("events: what is wrong with a request is said") {
    Served served;
    const auto [query, message] = GENERATE(table<const char*, const char*>({
        {"events=old", "parameter 'events': 'old' is not a list of new, update and destroy"},
        {"events=", "parameter 'events': '' is not a list of new, update and destroy"},
        {"events=new&events=new", "parameter 'events' is given twice"},
        {"buffer=1", "parameter 'buffer': '1' is not a number from 2048 to 67108864"},
        {"buffer=x", "parameter 'buffer': 'x' is not a number from 2048 to 67108864"},
        {"sport=x", "parameter 'sport': 'x' is not a port (0-65535)"},
        {"colour=red", "unknown parameter 'colour'"},
    }));
    const auto reply = served.call("GET", std::string("/v1/events?") + query);
    CHECK(reply.status == 400);
    CHECK(error_of(reply) == message);
}

TEST_CASE("events that cannot be had are 503") {
    Served served;
    served.box.refuse_events = true;
    const auto reply = served.call("GET", "/v1/events");
    CHECK(reply.status == 503);
    CHECK(error_of(reply) == "no memory for the rings of events");
}

TEST_CASE("PATCH changes the flows that match, tells which, and who wanted it") {
    Served served;
    for (unsigned i = 0; i < 7; ++i) served.box.flows.push_back(tcp_flow(1 + i, static_cast<std::uint16_t>(40000 + i)));
    served.box.flows.push_back(udp_flow(100, 5353));
    const auto change = [&](const std::string& query, const std::string& body, const char* accept = "*/*") {
        return served.call("PATCH", "/v1/flows?" + query, body, accept);
    };
    CHECK(json::parse(change("proto=tcp", R"({"mark": 5})").body) == json::value{{"updated", 7}});
    CHECK(served.box.asked_by == static_cast<std::uint32_t>(::getpid()));
    CHECK(json::parse(change("proto=tcp", R"({"mark": "5/0xff"})").body) == json::value{{"updated", 0}});
    CHECK(served.box.flows[0].mark == 5);
    const auto reply =
        change("mark=5&sport=40003", R"({"timeout_s": 9, "status": "seen_reply,ASSURED"})", "application/x-ndjson");
    CHECK(reply.status == 200);
    const auto flow = api::flow_from_json(json::parse(reply.body.substr(0, reply.body.find('\n'))).as_object());
    REQUIRE(flow);
    CHECK(flow->timeout_s == 9);
    CHECK_THAT(reply.body, Catch::EndsWith("{\"updated\":1}\n"));
    CHECK(json::parse(change("proto=sctp", R"({"mark": 6})").body) == json::value{{"updated", 0}});
}

TEST_CASE("PATCH: what is wrong with a change is said") {
    Served served;
    const auto [body, message] = GENERATE(table<const char*, const char*>({
        {"", "the body is not an object with at least one of mark, timeout_s and status"},
        {"{}", "the body is not an object with at least one of mark, timeout_s and status"},
        {"[1]", "the body is not an object with at least one of mark, timeout_s and status"},
        {R"({"colour": 1})", "unknown key 'colour'"},
        {R"({"mark": "x"})", "'mark': \"x\" is not a mark (number, or \"value/mask\")"},
        {R"({"mark": -1})", "'mark': -1 is not a mark (number, or \"value/mask\")"},
        {R"({"timeout_s": 16777216})", "'timeout_s': 16777216 is not a number of seconds from 0 to 16777215"},
        {R"({"timeout_s": -1})", "'timeout_s': -1 is not a number of seconds from 0 to 16777215"},
        {R"({"status": "EXPECTED"})", "'status': \"EXPECTED\" is not a list of ASSURED and SEEN_REPLY"},
        {R"({"status": 5})", "'status': 5 is not a list of ASSURED and SEEN_REPLY"},
    }));
    const auto reply = served.call("PATCH", "/v1/flows", body);
    CHECK(reply.status == 400);
    CHECK(error_of(reply) == message);
    CHECK(served.call("PATCH", "/v1/flows?sport=x", R"({"mark": 1})").status == 400);
}

TEST_CASE("a change survives the way through its text") {
    FlowUpdate update{.set_mark = true,
                      .mark = 0x10,
                      .mark_mask = 0xf0,
                      .set_timeout = true,
                      .timeout_s = 7,
                      .status = status::kAssured | status::kSeenReply};
    const auto parsed = api::parse_flow_update(api::flow_update_text(update));
    REQUIRE(std::holds_alternative<FlowUpdate>(parsed));
    const auto& back = std::get<FlowUpdate>(parsed);
    CHECK(back.set_mark);
    CHECK(back.mark == 0x10);
    CHECK(back.mark_mask == 0xf0);
    CHECK(back.set_timeout);
    CHECK(back.timeout_s == 7);
    CHECK(back.status == update.status);
}

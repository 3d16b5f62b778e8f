// Limits, broken clients, streams under back-pressure, and the life of the socket file.
#include <fcntl.h>
#include <sys/stat.h>

#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/local/stream_protocol.hpp>
#include <boost/asio/read.hpp>
#include <boost/asio/write.hpp>
#include <catch2/catch.hpp>

#include "control/api/path_lock.hh"
#include "tests/unit/control/api/http_client.hh"

using namespace sluice;
using namespace sluice::test;

TEST_CASE("requests beyond a limit are refused with their own status") {
    Served served;
    const std::string head = "POST /v1/check HTTP/1.1\r\nHost: x\r\nConnection: close\r\n";
    CHECK(served.raw(head + "Content-Length: 1048577\r\n\r\n" + std::string(1048577, 'x')).status == 413);
    CHECK(served.raw(head + "X: " + std::string(20000, 'x') + "\r\n\r\n").status == 431);
    CHECK(served.raw("nonsense\r\n\r\n").status == 400);
    CHECK(served.raw("GET /v1/rules HTTP/9.9\r\n\r\n").status == 400);
    CHECK(served.raw(head + "Content-Length: 5x\r\n\r\n").status == 400);
    CHECK(served.call("POST", "/v1/check", std::string(1 << 20, 'x')).status == 200);
    CHECK(served.server->connections() == 0);
}

TEST_CASE("a connection serves one request after the other, also pipelined") {
    Served served;
    const std::string get = "GET /v1/flows/count HTTP/1.1\r\nHost: x\r\n\r\n";
    const std::string last = "GET /v1/flows HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
    const auto text = served.with_client([&] {
        const RawClient client(served.path);
        client.send(get + get + last);
        return client.receive_until_closed();
    });
    std::size_t answers = 0;
    for (auto at = text.find("HTTP/1.1 200"); at != std::string::npos; at = text.find("HTTP/1.1 200", at + 1))
        ++answers;
    REQUIRE(answers == 3);
}

namespace {

constexpr const char* kGet = "GET /v1/flows/count HTTP/1.1\r\nHost: x\r\n\r\n";
constexpr const char* kCapture = "POST /v1/capture?port=wan HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n";
constexpr std::chrono::minutes kLong{10};
constexpr api::HttpLimits kPatient{.connections = 1, .head_timeout = kLong, .timeout = kLong, .stalled = kLong};

}  // namespace

TEST_CASE("when all connections are being served, newcomers get 503 and those go on") {
    Served served({.connections = 1});
    const auto [first, second] = served.with_client([&] {
        const RawClient one(served.path);
        one.send(kCapture);
        auto a = one.receive_some();
        const RawClient two(served.path);
        two.send(kGet);
        return std::pair{a, two.receive_until_closed()};
    });
    CHECK(parse_reply(second).status == 503);
    CHECK(parse_reply(first).status == 200);
    CHECK(served.server->counts().refused == 1);
    CHECK(served.server->counts().evicted == 0);
}

TEST_CASE("clients that say nothing keep nobody out") {
    const std::string half_a_head = "GET /v1/flows/count HTTP/1.1\r\nHo";
    const std::string half_a_body = "POST /v1/check HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nports";
    const std::string said = GENERATE_COPY(std::string(), half_a_head, half_a_body, std::string(kGet));
    Served served({.connections = 8, .head_timeout = kLong, .timeout = kLong});
    const auto answer = served.with_client([&] {
        std::vector<std::unique_ptr<RawClient>> silent;
        for (int i = 0; i < 100; ++i) {
            silent.push_back(std::make_unique<RawClient>(served.path));
            silent.back()->send(said);
            if (said == kGet) (void)silent.back()->receive_some();
        }
        const RawClient client(served.path);
        client.send(kGet);
        return client.receive_some();
    });
    CHECK(parse_reply(answer).status == 200);
    CHECK(served.server->counts().accepted == 101);
    CHECK(served.server->counts().evicted == 93);
    CHECK(served.server->counts().refused == 0);
}

TEST_CASE("who has not asked goes first, then who has not finished, and never who is being served") {
    Served served({.connections = 3, .head_timeout = kLong, .timeout = kLong});
    served.with_client([&] {
        const RawClient served_one(served.path);
        served_one.send(kCapture);
        CHECK(parse_reply(served_one.receive_some()).status == 200);
        const RawClient half(served.path);  // older than the silent one, yet it stays longer
        half.send(
            "POST /v1/check HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nports"
            "POST /v1/check HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\np");
        CHECK(parse_reply(half.receive_some()).status == 200);
        const RawClient silent(served.path);

        const RawClient first(served.path);
        first.send(kCapture);
        CHECK(parse_reply(first.receive_some()).status == 200);
        CHECK(silent.receive_until_closed().empty());

        const RawClient second(served.path);
        second.send(kCapture);
        CHECK(parse_reply(second.receive_some()).status == 200);
        CHECK(half.receive_until_closed().empty());
    });
    CHECK(served.server->counts().evicted == 2);
}

TEST_CASE("a reader that takes nothing of its answer makes room after a while") {
    auto limits = kPatient;
    limits.stalled = GENERATE(std::chrono::milliseconds(0), std::chrono::milliseconds(kLong));
    Served served(limits);
    served.box.slice = 100;
    for (std::uint16_t i = 0; i < 20000; ++i) served.box.flows.push_back(tcp_flow(i, i));
    std::promise<void> stuck;
    auto answer = std::async(std::launch::async, [&, until = stuck.get_future()] {
        const RawClient reader(served.path);
        reader.send("GET /v1/flows HTTP/1.1\r\nHost: x\r\n\r\n");
        until.wait();
        const RawClient client(served.path);
        client.send(kGet);
        return client.receive_some();
    });
    std::size_t before = 0;
    do {  // until the socket's buffer is full
        before = served.box.slices_fetched;
        served.io.run_for(std::chrono::milliseconds(100));
    } while (before == 0 || served.box.slices_fetched != before);
    stuck.set_value();
    while (answer.wait_for(std::chrono::seconds(0)) != std::future_status::ready)
        served.io.run_one_for(std::chrono::milliseconds(5));
    CHECK(parse_reply(answer.get()).status == (limits.stalled == kLong ? 503 : 200));
}

TEST_CASE("who ends his side within a request is told so") {
    const std::string part = GENERATE("GET /v1/ru", "GET /v1/rules HTTP/1.1\r\nHost: x\r\n",
                                      "POST /v1/check HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\nports");
    Served served;
    const auto reply = parse_reply(served.with_client([&] {
        const RawClient client(served.path);
        client.send(part);
        client.end_sending();
        return client.receive_until_closed();
    }));
    CHECK(reply.status == 400);
    CHECK(reply.body == "{\"error\":\"the request ended before it was whole\"}\n");
    CHECK(served.server->connections() == 0);
    CHECK(served.server->counts().timed_out == 0);
}

TEST_CASE("who ends without a word, or goes within a request, is told nothing") {
    Served served;
    CHECK(served
              .with_client([&] {
                  const RawClient client(served.path);
                  client.end_sending();
                  return client.receive_until_closed();
              })
              .empty());
    served.with_client([&] { return RawClient(served.path).send("GET /v1/ru"); });
    CHECK(served.raw(kGet + std::string("GET /v1/flows/count HTTP/1.0\r\n\r\n")).status == 200);
    CHECK(served.server->connections() == 0);
}

TEST_CASE("no answer to HEAD has a body") {
    const std::string path = GENERATE("/v1/flows/count", "/nowhere", "nonsense");
    Served served;
    const auto text = served.with_client([&] {
        const RawClient client(served.path);
        client.send("HEAD " + path + " HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
        return client.receive_until_closed();
    });
    const auto reply = parse_reply(text);
    CHECK(reply.status == (path == "/v1/flows/count" ? 405 : path == "/nowhere" ? 404 : 400));
    CHECK(reply.body.empty());
    CHECK_THAT(reply.head, Catch::Contains("Content-Length: "));
    CHECK_THAT(text, Catch::EndsWith("\r\n\r\n"));
}

TEST_CASE("the connection of a HEAD goes on with the next request") {
    Served served;
    const auto text = served.with_client([&] {
        const RawClient client(served.path);
        client.send("HEAD /v1/flows/count HTTP/1.1\r\nHost: x\r\n\r\n");
        client.send("GET /v1/flows/count HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
        return client.receive_until_closed();
    });
    const auto next = text.find("\r\n\r\n");
    REQUIRE(next != std::string::npos);
    CHECK(parse_reply(text).status == 405);
    CHECK(parse_reply(text.substr(next + 4)).status == 200);
}

TEST_CASE("a client that does not finish its request in time is cut off") {
    auto limits = kPatient;
    SECTION("before the end of the head") {
        limits.head_timeout = std::chrono::milliseconds(50);
        Served served(limits);
        REQUIRE(served.raw("GET /v1/ru").status == 408);
        CHECK(served.server->connections() == 0);
        CHECK(served.server->counts().timed_out == 1);
    }
    SECTION("before the end of the body") {
        limits.timeout = std::chrono::milliseconds(50);
        Served served(limits);
        const auto reply = served.raw("POST /v1/check HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\nports");
        REQUIRE(reply.status == 408);
        CHECK(reply.body == "{\"error\":\"the request did not come whole in time\"}\n");
        CHECK(served.server->connections() == 0);
        CHECK(served.server->counts().timed_out == 1);
    }
    SECTION("an idle connection between two requests ends without being counted") {
        limits.timeout = std::chrono::milliseconds(50);
        Served served(limits);
        CHECK(served.raw(kGet).status == 200);
        CHECK(served.server->connections() == 0);
        CHECK(served.server->counts().timed_out == 0);
    }
}

TEST_CASE("a slow reader stops the listing instead of filling memory") {
    Served served({.timeout = std::chrono::milliseconds(200)});
    served.box.slice = 100;
    for (std::uint16_t i = 0; i < 20000; ++i) served.box.flows.push_back(tcp_flow(i, i));
    // Reads no further until the socket's buffer was full, the server had waited and gave up.
    std::promise<void> given_up;
    auto text = std::async(std::launch::async, [&, until = given_up.get_future()] {
        const RawClient client(served.path);
        client.send("GET /v1/flows HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
        std::string start = client.receive_some();
        until.wait();
        return start + client.receive_until_closed();
    });
    while (served.server->connections() == 0) served.io.run_one_for(std::chrono::milliseconds(5));
    while (served.server->connections() > 0) served.io.run_one_for(std::chrono::milliseconds(5));
    given_up.set_value();
    CHECK(served.box.slices_fetched < 50);
    CHECK(served.box.live_cursors == 0);
    CHECK_THAT(text.get(), !Catch::Contains("\n0\r\n\r\n"));
}

TEST_CASE("a client that leaves ends its listing") {
    Served served;
    for (std::uint16_t i = 0; i < 20000; ++i) served.box.flows.push_back(tcp_flow(i, i));
    served.with_client([&] {
        const RawClient client(served.path);
        client.send("GET /v1/flows HTTP/1.1\r\nHost: x\r\n\r\n");
        return client.receive_some();
    });
    for (int i = 0; i < 1000 && served.server->connections() > 0; ++i)
        served.io.run_one_for(std::chrono::milliseconds(10));
    CHECK(served.box.live_cursors == 0);
    CHECK(served.box.slices_fetched < 6000);
}

TEST_CASE("a capture streams a pcap file and ends at its count") {
    Served served;
    const std::vector<std::uint8_t> frame(60, 0x5a);
    auto reply = std::async(std::launch::async, [&] {
        const RawClient client(served.path);
        client.send(
            "POST /v1/capture?port=wan&count=2 HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 0\r\n\r\n");
        return client.receive_until_closed();
    });
    while (!served.box.on_packet) served.io.run_one_for(std::chrono::milliseconds(5));
    for (int i = 0; i < 3; ++i) served.box.on_packet({.time_us = 1'000'001, .wire_bytes = 1514, .data = frame});
    while (reply.wait_for(std::chrono::seconds(0)) != std::future_status::ready)
        served.io.run_one_for(std::chrono::milliseconds(5));
    const auto body = parse_reply(reply.get()).body;
    REQUIRE(body.size() == 24 + 2 * (16 + 60));
    CHECK(body.substr(0, 4) == "\xd4\xc3\xb2\xa1");
    CHECK(body.substr(24, 16) == std::string("\1\0\0\0\1\0\0\0\x3c\0\0\0\xea\5\0\0", 16));
    CHECK(served.box.live_captures == 0);
}

TEST_CASE("a silent capture ends when its client leaves") {
    Served served;
    served.with_client([&] {
        const RawClient client(served.path);
        client.send("POST /v1/capture?port=lan&filter=udp HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n");
        return client.receive_some();
    });
    for (int i = 0; i < 1000 && served.server->connections() > 0; ++i)
        served.io.run_one_for(std::chrono::milliseconds(10));
    CHECK(served.box.live_captures == 0);
    CHECK(served.server->connections() == 0);
}

TEST_CASE("a box without a capture to spare answers 503") {
    Served served;
    served.box.refuse_captures = true;
    const auto reply = served.call("POST", "/v1/capture?port=lan");
    CHECK(reply.status == 503);
    CHECK_THAT(reply.body, Catch::Contains("4 captures are running"));
}

TEST_CASE("the socket file: mode, stale file, living daemon, foreign file, removal") {
    TemporaryDirectory directory;
    boost::asio::io_context io;
    api::Router router;
    const std::string path = directory.path / "run" / "control.sock";
    struct stat info {};
    {
        api::HttpServer server(io, router);
        server.listen_unix(path);
        REQUIRE(::stat(path.c_str(), &info) == 0);
        CHECK((info.st_mode & 0777) == 0660);
        api::HttpServer other(io, router);
        CHECK_THROWS_WITH(other.listen_unix(path), Catch::Contains("another sluiced is running"));
        CHECK(::stat(path.c_str(), &info) == 0);
    }
    CHECK(::stat(path.c_str(), &info) != 0);
    CHECK(::stat((directory.path / "run").c_str(), &info) != 0);  // it made it
    std::filesystem::create_directory(directory.path / "run");

    {  // as after kill -9: the file is there, nobody listens
        boost::asio::local::stream_protocol::acceptor dead(io, boost::asio::local::stream_protocol::endpoint(path));
    }
    REQUIRE(::stat(path.c_str(), &info) == 0);
    api::HttpServer server(io, router);
    server.listen_unix(path);
    server.stop();
    CHECK(::stat(path.c_str(), &info) != 0);
    CHECK(::stat((directory.path / "run").c_str(), &info) == 0);  // it was there

    ::close(::open(path.c_str(), O_CREAT | O_WRONLY, 0600));
    CHECK_THROWS_WITH(server.listen_unix(path), Catch::Contains("is not a socket"));
    CHECK(::stat(path.c_str(), &info) == 0);
    CHECK_THROWS_AS(server.listen_unix("/" + std::string(200, 'x')), api::ServerError);
}

TEST_CASE("a socket that somebody has locked is left alone, also before he listens") {
    TemporaryDirectory directory;
    boost::asio::io_context io;
    api::Router router;
    const std::string path = directory.path / "control.sock";
    const std::string lock_file = path + ".lock";
    {
        auto lock = api::PathLock::take(path);
        REQUIRE(lock);
        CHECK_FALSE(api::PathLock::take(path));
        boost::asio::local::stream_protocol::socket starting(io);  // bound, not listening yet: it refuses as a dead one
        starting.open();
        starting.bind(boost::asio::local::stream_protocol::endpoint(path));
        api::HttpServer late(io, router);
        CHECK_THROWS_WITH(late.listen_unix(path), "another sluiced is running (it has " + path + ")");
        CHECK(std::filesystem::is_socket(path));
        CHECK(std::filesystem::exists(lock_file));
    }
    CHECK_FALSE(std::filesystem::exists(lock_file));

    ::close(::open(lock_file.c_str(), O_CREAT | O_WRONLY, 0600));  // as after kill -9: both files, nobody has them
    {
        api::HttpServer server(io, router);
        server.listen_unix(path);
        server.stop();
        CHECK_FALSE(std::filesystem::exists(path));
        CHECK_FALSE(api::PathLock::take(path));  // what else the process has is still being put down
        CHECK(std::filesystem::exists(lock_file));
    }
    CHECK_FALSE(std::filesystem::exists(lock_file));
}

TEST_CASE("a program that answers without the lock keeps its socket") {
    TemporaryDirectory directory;
    boost::asio::io_context io;
    api::Router router;
    const std::string path = directory.path / "control.sock";
    const boost::asio::local::stream_protocol::acceptor other(io, boost::asio::local::stream_protocol::endpoint(path));
    {
        api::HttpServer server(io, router);
        CHECK_THROWS_WITH(server.listen_unix(path), "control socket: another program answers on " + path);
    }
    CHECK(std::filesystem::is_socket(path));
    CHECK_FALSE(std::filesystem::exists(path + ".lock"));
}

TEST_CASE("directories made for the socket go with it, unless somebody else uses them") {
    TemporaryDirectory directory;
    boost::asio::io_context io;
    api::Router router;
    const auto outer = directory.path / "outer";
    {
        api::HttpServer server(io, router);
        server.listen_unix(outer / "inner" / "control.sock");
        REQUIRE(std::filesystem::is_socket(outer / "inner" / "control.sock"));
    }
    CHECK_FALSE(std::filesystem::exists(outer));
    {
        api::HttpServer server(io, router);
        server.listen_unix(outer / "inner" / "control.sock");
        ::close(::open((outer / "notes").c_str(), O_CREAT | O_WRONLY, 0600));
    }
    CHECK_FALSE(std::filesystem::exists(outer / "inner"));
    CHECK(std::filesystem::exists(outer / "notes"));
}

TEST_CASE("metrics over TCP") {
    boost::asio::io_context io;
    FakeBox box(io);
    api::Router router;
    api::add_metrics_route(router, box);
    api::HttpServer server(io, router);
    CHECK_THROWS_WITH(server.listen_tcp("localhost:http"), Catch::Contains("not an address and port"));
    CHECK_THROWS_WITH(server.listen_tcp("192.0.2.1:9140"), Catch::Contains("cannot listen on 192.0.2.1:9140"));
    server.listen_tcp("127.0.0.1:0");
    auto reply = std::async(std::launch::async, [port = server.tcp_port()] {
        boost::asio::io_context client_io;
        boost::asio::ip::tcp::socket client(client_io);
        client.connect({boost::asio::ip::address_v4::loopback(), port});
        boost::asio::write(client,
                           boost::asio::buffer(std::string("GET /metrics HTTP/1.1\r\nConnection: close\r\n\r\n")));
        std::string text;
        boost::system::error_code error;
        boost::asio::read(client, boost::asio::dynamic_buffer(text), error);
        return text;
    });
    while (reply.wait_for(std::chrono::seconds(0)) != std::future_status::ready)
        io.run_one_for(std::chrono::milliseconds(5));
    CHECK_THAT(parse_reply(reply.get()).body, Catch::Contains("# HELP sluice_uptime_seconds"));
}

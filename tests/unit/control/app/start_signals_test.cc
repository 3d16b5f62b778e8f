#include "control/app/start_signals.hh"

#include <catch2/catch.hpp>

using namespace sluice::app;

TEST_CASE("a signal that comes during the start ends it at the next question") {
    const int signal = GENERATE(SIGTERM, SIGINT);
    StartSignals start;
    start.check();
    REQUIRE(std::raise(signal) == 0);
    try {
        start.check();
        FAIL("the start goes on");
    } catch (const StartInterrupted& interrupted) {
        CHECK(interrupted.signal == signal);
    }
    CHECK_THROWS_AS(start.check(), StartInterrupted);
}

TEST_CASE("a signal that comes after the last question is the daemon's") {
    boost::asio::io_context io;
    boost::asio::signal_set signals(io, SIGHUP, SIGTERM, SIGINT);
    {
        StartSignals start;
        start.check();
        REQUIRE(std::raise(SIGTERM) == 0);
    }
    int seen = 0;
    signals.async_wait([&](const boost::system::error_code&, int signal) { seen = signal; });
    io.poll();
    CHECK(seen == SIGTERM);
}

TEST_CASE("SIGHUP does not end a start") {
    boost::asio::io_context io;
    boost::asio::signal_set signals(io, SIGHUP, SIGTERM, SIGINT);
    StartSignals start;
    REQUIRE(std::raise(SIGHUP) == 0);
    CHECK_NOTHROW(start.check());
}

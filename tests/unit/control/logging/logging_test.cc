#include <chrono>
#include <cstdio>
#include <fstream>
#include <optional>
#include <sstream>
#include <string>
#include <unistd.h>

#include <catch2/catch.hpp>

#include "control/logging/log.hh"
#include "control/logging/rate_limit.hh"

using namespace sluice;
using namespace std::chrono_literals;

namespace {

/// What a function writes to stderr.
template <class Function>
std::string stderr_of(Function function) {
    char name[] = "/tmp/sluice-log-XXXXXX";
    const int file = ::mkstemp(name);
    const int saved = ::dup(STDERR_FILENO);
    std::fflush(stderr);
    ::dup2(file, STDERR_FILENO);
    function();
    std::fflush(stderr);
    ::dup2(saved, STDERR_FILENO);
    ::close(saved);
    ::close(file);
    std::stringstream text;
    text << std::ifstream(name).rdbuf();
    ::unlink(name);
    return text.str();
}

}  // namespace

TEST_CASE("a repeated message is written at its rate and the rest is counted") {
    logging::RateLimit limit(2, 5s);
    const logging::RateLimit::Clock::time_point start(100s);
    CHECK(limit.admit(start) == std::optional<std::uint64_t>(0));
    CHECK(limit.admit(start + 1s) == std::optional<std::uint64_t>(0));
    for (int i = 0; i < 1000; ++i) CHECK_FALSE(limit.admit(start + 2s));
    CHECK_FALSE(limit.admit(start + 4999ms));
    CHECK(limit.admit(start + 5s) == std::optional<std::uint64_t>(1001));
    CHECK(limit.admit(start + 6s) == std::optional<std::uint64_t>(0));
    CHECK_FALSE(limit.admit(start + 7s));
}

TEST_CASE("under systemd a line starts with its priority") {
    logging::set_up(logging::Target::journal);
    REQUIRE(logging::set_level("info"));
    const auto text = stderr_of([] {
        spdlog::warn("sluice: conntrack: table full, dropping packet");
        spdlog::error("no device");
        spdlog::info("started");
        spdlog::debug("not shown");
    });
    CHECK(text == "<4>sluice: conntrack: table full, dropping packet\n<3>no device\n<6>started\n");
}

TEST_CASE("on a terminal a line has time and level") {
    logging::set_up(logging::Target::terminal);
    REQUIRE(logging::set_level("debug"));
    const auto text = stderr_of([] { spdlog::debug("hello"); });
    CHECK_THAT(text, Catch::Matches(R"(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{3} .*debug.* hello\n)"));
}

TEST_CASE("only known levels are taken") {
    REQUIRE(logging::set_level("warning"));
    CHECK_FALSE(logging::set_level("loud"));
    CHECK_FALSE(logging::set_level(""));
    CHECK(spdlog::get_level() == spdlog::level::warn);
}

TEST_CASE("the journal is recognised by the identity of stderr") {
    ::setenv("JOURNAL_STREAM", "1:1", 1);
    CHECK(logging::detect_target() == logging::Target::terminal);
    ::unsetenv("JOURNAL_STREAM");
    CHECK(logging::detect_target() == logging::Target::terminal);
}

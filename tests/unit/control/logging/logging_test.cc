#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <cstdio>
#include <fcntl.h>
#include <fstream>
#include <future>
#include <optional>
#include <sstream>
#include <stdexcept>
#include <string>
#include <unistd.h>
#include <utility>

#include <catch2/catch.hpp>

#include "control/logging/line_writer.hh"
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
    spdlog::default_logger()->flush();
    ::dup2(saved, STDERR_FILENO);
    ::close(saved);
    ::close(file);
    std::stringstream text;
    text << std::ifstream(name).rdbuf();
    ::unlink(name);
    return text.str();
}

/// stderr is a pipe of one page meanwhile.
class PipedStderr {
public:
    PipedStderr() {
        int ends[2] = {};
        if (::pipe(ends) != 0) throw std::runtime_error("pipe");
        ::fcntl(ends[1], F_SETPIPE_SZ, 4096);
        reader_ = ends[0];
        ::dup2(ends[1], STDERR_FILENO);
        ::close(ends[1]);
    }
    ~PipedStderr() {
        end_writing();
        end_reading();
    }
    PipedStderr(const PipedStderr&) = delete;
    PipedStderr& operator=(const PipedStderr&) = delete;

    void end_reading() {
        if (reader_ >= 0) ::close(std::exchange(reader_, -1));
    }
    void end_writing() {
        if (saved_ < 0) return;
        ::dup2(saved_, STDERR_FILENO);
        ::close(std::exchange(saved_, -1));
    }
    /// All that comes until end_writing().
    [[nodiscard]] std::string read_all() const {
        std::string text;
        std::array<char, 4096> part{};
        for (ssize_t got; (got = ::read(reader_, part.data(), part.size())) > 0;)
            text.append(part.data(), static_cast<std::size_t>(got));
        return text;
    }

private:
    int saved_ = ::dup(STDERR_FILENO);
    int reader_ = -1;
};

}  // namespace

TEST_CASE("a reader of the log who goes away ends nothing; the lines count as lost") {
    logging::set_up(logging::Target::journal);
    REQUIRE(logging::set_level("info"));
    const auto before = logging::lines_lost();
    PipedStderr pipe;
    pipe.end_reading();
    spdlog::warn("to nobody");
    spdlog::default_logger()->flush();
    CHECK(logging::lines_lost() == before + 1);
}

TEST_CASE("a reader of the log who does not read holds nobody up, and is told later what he missed") {
    logging::set_up(logging::Target::journal);
    REQUIRE(logging::set_level("info"));
    const auto before = logging::lines_lost();
    constexpr std::uint64_t kLines = 20000;
    const std::string words(100, 'x');
    PipedStderr pipe;
    for (std::uint64_t i = 0; i < kLines; ++i) spdlog::warn("{:05} {}", i, words);
    const auto lost = logging::lines_lost() - before;
    REQUIRE(lost > kLines / 4);
    REQUIRE(lost < kLines);
    auto reader = std::async(std::launch::async, [&pipe] { return pipe.read_all(); });
    spdlog::default_logger()->flush();
    spdlog::warn("after");
    REQUIRE(logging::lines_lost() - before == lost);
    spdlog::default_logger()->flush();
    pipe.end_writing();
    const std::string text = reader.get();
    CHECK_THAT(text, Catch::StartsWith("<4>00000 " + words + "\n<4>00001 " + words + '\n'));
    CHECK_THAT(text, Catch::EndsWith("x\n<4>log: " + std::to_string(lost) +
                                     " lines were lost, nobody took them in time\n<4>after\n"));
    CHECK(static_cast<std::uint64_t>(std::count(text.begin(), text.end(), '\n')) == kLines - lost + 2);
}

TEST_CASE("nobody waits for ever for the last lines to be read") {
    static std::atomic<std::uint64_t> lost{0};  // what stands in write() may count later
    int ends[2] = {};
    REQUIRE(::pipe(ends) == 0);
    {
        logging::LineWriter writer(ends[1], lost, {.waiting_bytes = 1 << 20, .end = 20ms});
        for (int i = 0; i < 200; ++i) CHECK(writer.write(std::string(1000, 'x')));
        CHECK_FALSE(writer.flush());
    }
    CHECK(lost > 0);
    ::close(ends[0]);  // ends the thread; the other end is left to it
}

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

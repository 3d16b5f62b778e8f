#include "control/app/options.hh"

#include <array>
#include <initializer_list>
#include <iostream>
#include <sstream>
#include <vector>

#include <catch2/catch.hpp>

using namespace sluice::app;

namespace {

std::variant<Options, int> parse(std::initializer_list<const char*> arguments) {
    std::vector<const char*> argv{"sluiced"};
    argv.insert(argv.end(), arguments);
    return parse_options(static_cast<int>(argv.size()), argv.data(), "1.2.3");
}

}  // namespace

TEST_CASE("without options sluiced runs with the file in /etc") {
    const auto parsed = parse({});
    const auto* options = std::get_if<Options>(&parsed);
    REQUIRE(options != nullptr);
    CHECK(options->config_file == "/etc/sluice/sluice.yaml");
    CHECK_FALSE(options->check);
    CHECK_FALSE(options->print);
    CHECK(options->log_level.empty());
}

TEST_CASE("options are understood") {
    const auto parsed = parse({"-c", "other.yaml", "--check", "--log-level", "debug"});
    const auto* options = std::get_if<Options>(&parsed);
    REQUIRE(options != nullptr);
    CHECK(options->config_file == "other.yaml");
    CHECK(options->check);
    CHECK(options->log_level == "debug");
}

TEST_CASE("what is wrong with the command line ends with 2, help and version with 0") {
    CHECK(std::get<int>(parse({"--bogus"})) == 2);
    CHECK(std::get<int>(parse({"--log-level", "loud"})) == 2);
    CHECK(std::get<int>(parse({"--config"})) == 2);
    CHECK(std::get<int>(parse({"--help"})) == 0);
    CHECK(std::get<int>(parse({"--version"})) == 0);
}

TEST_CASE("a complaint about the command line is one line that names the program") {
    std::ostringstream said;
    std::streambuf* const stderr_buffer = std::cerr.rdbuf(said.rdbuf());
    (void)parse({"--bogus"});
    std::cerr.rdbuf(stderr_buffer);
    CHECK(said.str() == "sluiced: The following argument was not expected: --bogus (sluiced --help tells more)\n");
}

TEST_CASE("a file that cannot be read ends with 1, before anything is started") {
    const std::array<const char*, 4> argv{"sluiced", "--check", "--config", "/nowhere/sluice.yaml"};
    CHECK(run_sluiced(static_cast<int>(argv.size()), argv.data(), "1.2.3") == 1);
}

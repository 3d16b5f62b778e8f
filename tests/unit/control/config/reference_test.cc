// conf/ is true: the reference has every key and the real defaults, and everything in conf/ loads.
#include <filesystem>
#include <fstream>
#include <iterator>

#include <catch2/catch.hpp>

#include "control/config/load.hh"
#include "control/config/print.hh"
#include "tests/unit/control/config/source_tree.hh"

namespace sluice::config {
namespace {

const std::filesystem::path kConf = std::filesystem::path{kSourceRoot} / "conf";

std::string read(const std::filesystem::path& file) {
    std::ifstream stream{file};
    return {std::istreambuf_iterator<char>{stream}, {}};
}

Config load_reference() {
    ConfigResult result = load_config_file(kConf / "sluice.reference.yaml");
    INFO(to_string(result.errors));
    REQUIRE(result.ok());
    return *std::move(result.config);
}

TEST_CASE("every key that the loader knows is in the reference") {
    KeyCoverage coverage;
    const ConfigResult result = load_config_text(read(kConf / "sluice.reference.yaml"), "reference", coverage);
    INFO(to_string(result.errors));
    REQUIRE(result.ok());
    for (const auto& [key, used] : coverage) {
        // Known only to be refused with the reason.
        if (key == "raw.prerouting[].out" || key == "raw.output[].in") continue;
        INFO(key);
        CHECK(used);
    }
    // Where a word may stand for a map, only the map shows its keys: the reference must have the map too.
    for (const char* key :
         {"nat[].snat.to", "nat[].dnat.to", "filter.forward.rules[].dst.not", "punt.new.burst",
          "filter.forward.rules[].reject_with", "filter.forward.rules[].mark.not", "raw.prerouting[].set.mark",
          "filter.forward.rules[].set.timeout", "ports[].parent", "conntrack.timeouts.generic"}) {
        INFO(key);
        CHECK(coverage.contains(key));
    }
}

TEST_CASE("the coverage notices a key that is not used") {
    KeyCoverage coverage;
    REQUIRE(load_config_text("ports: [{name: a, device: d, role: inside}]", "small", coverage).ok());
    CHECK(coverage.at("ports[].role"));
    CHECK_FALSE(coverage.at("ports[].mac"));
    CHECK_FALSE(coverage.at("nat"));
}

TEST_CASE("the reference gives the defaults as they are") {
    const Config reference = load_reference();
    const Config defaults;
    CHECK(reference.workers == defaults.workers);
    CHECK(reference.memory == defaults.memory);
    Conntrack conntrack = reference.conntrack;
    conntrack.timeout_policies.clear();  // there is none unless a file has one
    CHECK(conntrack == defaults.conntrack);
    CHECK(reference.helpers == defaults.helpers);
    CHECK(reference.punt == defaults.punt);
    CHECK(reference.neighbours == defaults.neighbours);
    CHECK(reference.fragments == defaults.fragments);
    CHECK(reference.metrics == defaults.metrics);
    CHECK(reference.control == defaults.control);
    CHECK(reference.log == defaults.log);
    CHECK(reference.filter.input == defaults.filter.input);
    CHECK(reference.filter.forward.policy == defaults.filter.forward.policy);
    CHECK(reference.filter.output == defaults.filter.output);
    CHECK(FilterRule{}.reject_with == RejectWith::port_unreachable);
    const Port port;
    CHECK(reference.ports.at(0).rx_queue_size == port.rx_queue_size);
    CHECK(reference.ports.at(0).tx_queue_size == port.tx_queue_size);
    CHECK(reference.nat.at(0).existing == NatRule{}.existing);
    CHECK(std::get<Dnat>(reference.nat.at(3).action).schedule == Dnat{}.schedule);
}

/// What a comment "default X" says must be what the line sets: `key: X  # … default X`.
TEST_CASE("a default in a comment of the reference is the value of its line") {
    std::ifstream stream{kConf / "sluice.reference.yaml"};
    std::string line;
    unsigned checked = 0;
    while (std::getline(stream, line)) {
        const std::size_t hash = line.find('#');
        const std::size_t at = line.rfind("default ");
        const std::size_t colon = line.find(": ");
        if (hash == std::string::npos || at == std::string::npos || at < hash || colon > hash) continue;
        std::string value = line.substr(colon + 2, hash - colon - 2);
        value.erase(value.find_last_not_of(' ') + 1);
        if (value.starts_with('"') && value.ends_with('"')) value = value.substr(1, value.size() - 2);
        std::string stated = line.substr(at + 8);
        stated = stated.substr(0, stated.find(';'));
        if (stated == "none" || stated.starts_with("none ")) continue;
        INFO(line);
        CHECK(stated == value);
        ++checked;
    }
    CHECK(checked > 35);
}

TEST_CASE("the examples load, and print to what loads again") {
    unsigned examples = 0;
    for (const auto& file : std::filesystem::directory_iterator{kConf / "examples"}) {
        INFO(file.path());
        const ConfigResult result = load_config_file(file.path());
        INFO(to_string(result.errors));
        REQUIRE(result.ok());
        const ConfigResult again = load_config_text(to_yaml(*result.config), "printed");
        INFO(to_string(again.errors));
        REQUIRE(again.ok());
        CHECK(*again.config == *result.config);
        ++examples;
    }
    CHECK(examples >= 3);
    const Config reference = load_reference();
    CHECK(load_config_text(to_yaml(reference), "printed").config == reference);
}

}  // namespace
}  // namespace sluice::config

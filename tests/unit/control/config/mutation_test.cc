// Damaged files: whatever a hand or a disk does to a good configuration, the answer is a Config or errors, never a
// crash. The seed is fixed, so that a failure can be seen again.
#include <fstream>
#include <iterator>
#include <random>

#include <catch2/catch.hpp>

#include "control/config/load.hh"
#include "control/config/print.hh"
#include "tests/unit/control/config/source_tree.hh"

namespace sluice::config {
namespace {

using Random = std::mt19937;

std::size_t below(Random& random, std::size_t end) {
    return random() % end;
}

/// One change: a byte replaced, a stretch erased, moved or doubled, or something that means much to YAML put in.
void damage(std::string& text, Random& random) {
    static const std::vector<std::string> kPieces{
        "[",      "]",   "{",    "}",          ": ",      "- ",  "\n",
        "\t",     "&a ", "*a",   "!x ",        "'",       "\"",  "|\n",
        ">-\n",   "? ",  "---",  "~",          "#",       "...", "%YAML 1",
        "<<: *a", "\\",  "-1",   "::1",        "null",    "1e9", "\xff",
        "\xc3",   "\0",  "@",    "0x",         "/0",      ",",   "999999999999999999",
        "999999", "not", "a: b", "masquerade", "{not: a}"};
    const std::size_t at = below(random, text.size());
    const std::size_t length = 1 + below(random, 40);
    switch (below(random, 5)) {
        case 0:
            text[at] = static_cast<char>(random() & 0xff);
            break;
        case 1:
            text.erase(at, length);
            break;
        case 2:
            text.insert(at, text.substr(below(random, text.size()), length));
            break;
        case 3:
            text.insert(at, kPieces[below(random, kPieces.size())]);
            break;
        default: {
            const std::string moved = text.substr(at, length);
            text.erase(at, length);
            text.insert(below(random, text.size()), moved);
        }
    }
}

TEST_CASE("2000 damaged copies of the reference neither crash nor throw") {
    std::ifstream stream{std::string{kSourceRoot} + "/conf/sluice.reference.yaml"};
    std::string good;
    // Without comments most damage hits something that matters.
    for (std::string line; std::getline(stream, line);) {
        line.erase(std::min(line.find('#'), line.size()));
        if (line.find_first_not_of(' ') != std::string::npos) good.append(line).append("\n");
    }
    REQUIRE(load_config_text(good, "good").ok());
    Random random{20240607};
    unsigned refused = 0;
    for (int round = 0; round < 2000; ++round) {
        std::string text = good;
        for (std::size_t changes = 1 + below(random, 4); changes > 0; --changes) damage(text, random);
        const ConfigResult result = load_config_text(text, "damaged");
        INFO(text);
        REQUIRE(result.ok() == result.errors.empty());
        for (const ConfigError& error : result.errors) REQUIRE_FALSE(error.message.empty());
        if (!result.ok()) {
            ++refused;
            continue;
        }
        const ConfigResult again = load_config_text(to_yaml(*result.config), "printed");
        INFO(to_string(again.errors));
        REQUIRE(again.config == result.config);
    }
    CHECK(refused > 1000);
    CHECK(refused < 2000);
}

TEST_CASE("text of nothing but structure neither crashes nor throws") {
    Random random{7};
    const std::string_view alphabet = "[]{}:-,&*!|>'\"?#%@ \n\ta";
    for (int round = 0; round < 2000; ++round) {
        std::string text;
        for (std::size_t length = below(random, 60); length > 0; --length)
            text += alphabet[below(random, alphabet.size())];
        const ConfigResult result = load_config_text(text, "noise");
        INFO(text);
        CHECK_FALSE(result.ok());
        CHECK_FALSE(result.errors.empty());
    }
}

TEST_CASE("groups nested as deep as a file is long, and groups that double at each step") {
    const auto group = [](int i) { return std::string{"g"}.append(std::to_string(i)); };
    std::string deep = "ports: [{name: a, device: d, role: inside}]\ngroups:\n  addresses:\n    g0: 192.0.2.1\n";
    for (int i = 1; i < 2000; ++i) {
        deep.append("    ").append(group(i)).append(": [");
        deep.append(group(i - 1)).append(", ").append(group(i - 1)).append("]\n");
    }
    deep += "nat: [{dst: 192.0.2.9, dnat: {to: g1999}}]\n";
    const ConfigResult result = load_config_text(deep, "deep");
    INFO(to_string(result.errors));
    CHECK(result.ok());
}

}  // namespace
}  // namespace sluice::config

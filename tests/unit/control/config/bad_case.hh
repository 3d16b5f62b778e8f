// One bad text and every line that it must produce: the shape of the tables in bad_*_test.cc.
#pragma once

#include <string>
#include <vector>

#include <catch2/catch.hpp>

#include "control/config/load.hh"

namespace sluice::config {

/// Two good ports on lines 1–3, so that the text of a case begins on line 4.
inline const std::string kTwoPorts =
    "ports:\n"
    "  - {name: lan, device: net_null0, role: inside}\n"
    "  - {name: wan, device: net_null1, role: outside}\n";

struct BadCase {
    std::string why;
    std::string text;
    std::string errors;  ///< each line without "test.yaml:" in front
};

inline void check_bad(const std::string& before, const std::vector<BadCase>& cases) {
    for (const BadCase& bad : cases) {
        INFO(bad.why);
        INFO(before + bad.text);
        const ConfigResult result = load_config_text(before + bad.text, "test.yaml");
        CHECK_FALSE(result.ok());
        std::string found;
        for (const ConfigError& error : result.errors) {
            const std::string line = to_string(error);
            REQUIRE(line.starts_with("test.yaml:"));
            found += line.substr(10) + "\n";
        }
        CHECK(found == bad.errors);
    }
}

}  // namespace sluice::config

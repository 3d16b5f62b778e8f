// sluiced's command line.
#pragma once

#include <string>
#include <variant>

namespace sluice::app {

struct Options {
    std::string config_file = "/etc/sluice/sluice.yaml";
    bool check = false;     ///< validate and end
    bool print = false;     ///< print the effective configuration and end
    std::string log_level;  ///< empty: as the configuration says
};

/// The options, or the status to exit with (help and version were printed, or what is wrong).
std::variant<Options, int> parse_options(int argc, const char* const* argv, const std::string& version);

/// Everything but main(): the status to exit with.
int run_sluiced(int argc, const char* const* argv, const std::string& version);

}  // namespace sluice::app

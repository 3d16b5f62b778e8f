// What is wrong with a configuration file, and where. All errors of a load are collected here, in the order found, and
// sorted by place at the end.
#pragma once

#include <string>
#include <vector>

namespace sluice::config {

/// One mistake. `line` and `column` count from 1; 0 when there is no place in the file (it cannot be read).
struct ConfigError {
    std::string file;
    unsigned line = 0;
    unsigned column = 0;
    std::string path;  ///< dotted, such as filter.forward.rules[3].dport; empty for the file as a whole
    std::string message;

    friend bool operator==(const ConfigError&, const ConfigError&) = default;
};

/// "file:line:column: path: message"; a part that there is not is left out with its colon.
std::string to_string(const ConfigError& error);

/// One line for each error.
std::string to_string(const std::vector<ConfigError>& errors);

}  // namespace sluice::config

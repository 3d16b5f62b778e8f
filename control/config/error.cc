#include "control/config/error.hh"

namespace sluice::config {

std::string to_string(const ConfigError& error) {
    std::string text = error.file;
    if (error.line != 0)
        text.append(":").append(std::to_string(error.line)).append(":").append(std::to_string(error.column));
    text += ": ";
    if (!error.path.empty()) text.append(error.path).append(": ");
    return text.append(error.message);
}

std::string to_string(const std::vector<ConfigError>& errors) {
    std::string text;
    for (const ConfigError& error : errors) text += to_string(error) + "\n";
    return text;
}

}  // namespace sluice::config

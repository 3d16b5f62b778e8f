// Reads a configuration, all or nothing: a whole valid Config, or every mistake that was found. Nothing here throws,
// and no text makes it crash, recurse without bound or allocate out of proportion (limits: yaml_tree.hh). Control
// thread or compile helper; no shared state.
#pragma once

#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "control/config/error.hh"
#include "control/config/schema.hh"

namespace sluice::config {

struct ConfigResult {
    std::optional<Config> config;     ///< set exactly when there are no errors
    std::vector<ConfigError> errors;  ///< by line and column

    [[nodiscard]] bool ok() const noexcept { return config.has_value(); }
};

/// Every key that the loader knows in the maps it came across, as a path with [] for an index, and whether the text
/// used it. A test holds the reference configuration to "all of them".
using KeyCoverage = std::map<std::string, bool>;

ConfigResult load_config_file(const std::filesystem::path& file);

/// `source_name` is what errors call the text.
ConfigResult load_config_text(std::string_view text, const std::string& source_name);
/// Adds to `coverage`.
ConfigResult load_config_text(std::string_view text, const std::string& source_name, KeyCoverage& coverage);

}  // namespace sluice::config

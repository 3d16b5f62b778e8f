// The effective configuration as YAML, defaults included. What it prints loads again to an equal Config.
#pragma once

#include <string>

#include "control/config/schema.hh"

namespace sluice::config {

std::string to_yaml(const Config& config);

}  // namespace sluice::config

// What no single key can show to be wrong: names that are taken twice or that nobody defines, addresses, devices, VLANs
// and cores that overlap, groups that contain themselves. Runs on a Config that has been read whole, also on one with
// errors in it, so that all mistakes are reported at once; a part that could not be read is passed over.
#pragma once

#include "control/config/reader.hh"
#include "control/config/schema.hh"
#include "control/config/yaml_tree.hh"

namespace sluice::config {

/// Adds to `findings`. `root` is what `config` was read from: it gives the places.
void validate(const Config& config, const YamlNode& root, Findings& findings);

}  // namespace sluice::config

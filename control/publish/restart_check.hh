// What a reload cannot change, because it was built when the daemon started: devices and queues, cores, memory, tables.
// A configuration that asks for it is refused as a whole, with one sentence for each such thing; half of it in force
// would be a box that no file describes.
//
// Pure; control thread.
#pragma once

#include <string>
#include <vector>

#include "control/compile/compile.hh"
#include "control/config/schema.hh"

namespace sluice {

/// "workers.cores: …: needs a restart", one for each difference; empty: `wanted` can replace `running` now.
std::vector<std::string> needs_restart(const config::Config& running, const config::Config& wanted,
                                       const CompileTarget& target);

}  // namespace sluice

// An IPv4 address as people write it. It allocates: for messages, listings and configuration, never for packets.
#pragma once

#include <string>

#include "dataplane/base/types.hh"

namespace sluice {

/// "192.0.2.1".
[[nodiscard]] std::string to_string(Ip4 address);

}  // namespace sluice

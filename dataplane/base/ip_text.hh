// Addresses as people write them. It allocates: for messages, listings and configuration, never for packets.
#pragma once

#include <string>

#include "dataplane/base/ip_address.hh"

namespace sluice {

/// "192.0.2.1", "2001:db8::1" (RFC 5952).
[[nodiscard]] std::string to_string(const IpAddress& address);
[[nodiscard]] std::string to_string(Ip4 address);

}  // namespace sluice

// Routes whose `via` the kernel would refuse ("Nexthop has invalid gateway"): it must be a neighbour, which means that
// a network of a port holds it, or a route that leads straight out of a port.
//
// Only what the file can know: a port without addresses gets them from elsewhere (DHCP, ip), so that whatever may lie
// behind it is let through, and the kernel has the last word.
#pragma once

#include "control/config/places.hh"
#include "control/config/schema.hh"

namespace sluice::config {

void check_next_hops(const Config& config, Places& places);

}  // namespace sluice::config

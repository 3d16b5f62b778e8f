// One route lookup for one packet, with what Linux tells the sender when there is no way.
//
// Any worker; the routes are a publication.
#pragma once

#include "dataplane/flow/packet.hh"
#include "dataplane/policy/decision.hh"
#include "dataplane/policy/routes.hh"

namespace sluice {

/// Sets p.next_hop and p.out_port for a packet that goes to `destination`, or says why it cannot.
[[nodiscard]] Decision find_exit(Packet& p, const IpAddress& destination, const RouteTable& routes) noexcept;

}  // namespace sluice

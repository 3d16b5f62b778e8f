// Applies a flow's rewrite plan to a packet: addresses, ports or ICMP identifier, and the checksums by the plan's
// precomputed deltas (RFC 1624). Nothing is decided or computed here; the payload is not touched.
//
// The plan must have been made for the packet's tuple (RewritePlan::between(key, …)): the deltas say what changes, not
// what the result is. Called by the flow's owner. Cannot fail.
#pragma once

#include "dataplane/flow/packet.hh"
#include "dataplane/flow/rewrite_plan.hh"

namespace sluice {

/// `p` is of IPv4; its `key` stays what it was when the packet arrived.
void rewrite(Packet& p, const RewritePlan& plan) noexcept;
/// `p` is of IPv6; `to` are the whole addresses of the plan.
void rewrite(Packet& p, const RewritePlan& plan, const Ends& to) noexcept;

}  // namespace sluice

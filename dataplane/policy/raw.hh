// The raw rules: before tracking, on each packet, by what the packet itself says (as nftables at priority raw). A rule
// may mark the packet, drop it, or keep conntrack off it: it is UNTRACKED then, has no flow, is translated by nothing
// and followed by nothing, and the filter judges it each time.
//
// Asked once for each packet, at its home; what they said travels in the note when the packet visits another worker.
// Pure but for the rules' counters; the packet's worker.
#pragma once

#include "dataplane/flow/packet.hh"
#include "dataplane/policy/decision.hh"

namespace sluice {

/// With `go`, p.state is UNTRACKED or still unknown. Call it only when the policy has raw rules.
[[nodiscard]] Decision judge_raw(const Policy& policy, unsigned worker, Packet& p) noexcept;

}  // namespace sluice

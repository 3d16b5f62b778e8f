// All protocols without a tracker of their own: told apart by their addresses, kept alive by every packet, never
// ASSURED (nf_conntrack_proto_generic.c).
#pragma once

#include "dataplane/l4/plain.hh"

namespace sluice::l4 {

struct Generic : Plain {
    static std::uint32_t begin(FlowHot&, const Packet&, const TrackRules& rules) noexcept {
        return rules.timeouts.generic;
    }
    static Followed follow(FlowHot&, const FlowCold&, Packet&, const TrackRules& rules, Now) noexcept {
        return {.timeout_s = rules.timeouts.generic};
    }
};

}  // namespace sluice::l4

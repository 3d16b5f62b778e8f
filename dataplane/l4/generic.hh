// All protocols without a tracker of their own: told apart by their addresses, kept alive by every packet, never
// ASSURED (nf_conntrack_proto_generic.c).
#pragma once

#include "dataplane/l4/plain.hh"

namespace sluice::l4 {

struct Generic : Plain {
    /// Linux has a tracker for the ICMP of the other family, which wants nothing of it, and none for what has no
    /// header.
    static std::optional<DropReason> parse(Packet& p, std::uint16_t zone) noexcept {
        constexpr std::uint8_t kNoNextHeader = 59;  // RFC 8200 4.7
        if (p.proto == static_cast<std::uint8_t>(p.v6 ? IpProto::icmp : IpProto::icmpv6))
            return names_no_flow(p, InvalidReason::icmp_family);
        if (p.v6 && p.proto == kNoNextHeader) return names_no_flow(p, InvalidReason::no_next_header);
        return Plain::parse(p, zone);
    }
    static std::uint32_t begin(FlowHot&, const Packet&, const TrackRules& rules) noexcept {
        return rules.timeouts.generic;
    }
    static Followed follow(FlowHot&, Packet&, const TrackRules& rules, Now) noexcept {
        return {.timeout_s = rules.timeouts.generic};
    }
};

}  // namespace sluice::l4

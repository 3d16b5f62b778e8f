// Does a rule match? The plain first-match evaluation: the reference for every faster one. Rules see a packet as
// netfilter's hooks do: filter rules after DNAT and before SNAT, NAT rules likewise for their half.
//
// Pure; worker threads; nothing here fails.
#pragma once

#include <cstdint>

#include "dataplane/flow/flow_entry.hh"
#include "dataplane/flow/flow_key.hh"
#include "dataplane/policy/policy.hh"

namespace sluice {

/// What rules look at. Ports in host order; for ICMP they are 0 and type/code are set.
struct MatchInput {
    Ip4 src{}, dst{};
    std::uint16_t sport = 0, dport = 0;
    std::uint8_t proto = 0;
    std::uint8_t icmp_type = 0;
    PortIndex in_port = kNoPort;
    PortIndex out_port = kNoPort;
    PacketState state = PacketState::new_flow;
    InvalidReason invalid_reason{};  ///< when state is INVALID

    /// The facts of a tuple.
    static MatchInput of(const FlowKey& key) noexcept;
};

[[nodiscard]] bool matches(const MatchSpec& spec, const MatchInput& input, const Policy& policy) noexcept;

struct FilterVerdict {
    FilterAction action = FilterAction::accept;
    RejectWith reject_with = RejectWith::port_unreachable;
    std::uint32_t rule = kNoRule;  ///< number of the deciding rule or chain policy
    bool cacheable = true;         ///< false: a per-packet condition or a log was consulted on the way
    std::int32_t log = -1;         ///< prefix of the last rule that logs, -1: none
};

/// First match decides, else the chain's policy. Counts nothing.
[[nodiscard]] FilterVerdict judge(const Policy& policy, Chain chain, const MatchInput& input) noexcept;

/// The first NAT rule of `rules` that matches, or nullptr.
[[nodiscard]] const NatRule* first_match(const std::vector<NatRule>& rules, const MatchInput& input,
                                         const Policy& policy) noexcept;

}  // namespace sluice

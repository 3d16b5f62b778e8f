// What NAT does with a new flow: which rule decides, and to which address. Ports are port_choice's business.
//
// Owner: the worker on which the flow's first packet is. Pure but for the round-robin counters and the random numbers
// that the caller owns.
#pragma once

#include <cstdint>

#include "dataplane/policy/port_choice.hh"
#include "dataplane/policy/routes.hh"
#include "dataplane/policy/rule_match.hh"

namespace sluice {

/// DNAT: the tuple the packet continues with. `rule` is nullptr when no rule matched.
struct DestinationNat {
    const NatRule* rule = nullptr;
    FlowKey tuple{};  ///< no destination: its prefix cannot be exchanged
};
[[nodiscard]] DestinationNat decide_dnat(const Policy& policy, const FlowKey& key, PortIndex in_port,
                                         std::uint32_t& round_robin, FastRandom& random, Marks marks = {}) noexcept;

/// SNAT: the source address beyond the box and the ports to choose from. `attempt` counts the addresses of the pool
/// that were found used up: an inside address starts at its own place in the pool and so keeps one outside address
/// (paired pooling, RFC 4787 REQ-2) while that has room.
struct SourceNat {
    const NatRule* rule = nullptr;  ///< nullptr: no rule matched, `address` is the packet's own
    IpAddress address{};            ///< none: masquerade found none
    PortChoice ports{};
    unsigned alternatives = 1;  ///< attempts that make sense: addresses in the pool, at most kMaxPoolAttempts

    /// No rule: the source stays, and another port is one of its class.
    static SourceNat none(const FlowKey& tuple) noexcept {
        SourceNat nat;
        nat.address = tuple.src();
        if (tuple.shape() != TupleShape::query) nat.ports.ports = port_class(tuple.sport.host());
        return nat;
    }

    /// Whether a flow may have this source beyond the box. `port`: of an ICMP query its identifier.
    [[nodiscard]] bool allows(const IpAddress& source, Be16 port) const noexcept {
        const bool pool = rule != nullptr && rule->snat == SnatKind::addresses;
        return ports.allows(port) && (pool ? rule->pool.contains(source) : source == address);
    }
};
inline constexpr unsigned kMaxPoolAttempts = 8;
[[nodiscard]] SourceNat decide_snat(const Policy& policy, const FlowKey& tuple, PortIndex in_port, PortIndex out_port,
                                    const NextHop& hop, const Addresses& addresses, unsigned attempt,
                                    Marks marks = {}) noexcept;

}  // namespace sluice

// The compiled policy: what workers read of the configuration, through one pointer, immutable once published. Built by
// control/compile, freed after a QSBR grace period. It alone carries the generation that flows are stamped with.
//
// Rules are numbered once over the whole policy: filter input, forward, output, then NAT, raw, then the three chain
// policies
// (`chain_policy_rule`). That number indexes rule counters, and is what verdict caches and flows remember.
#pragma once

#include <array>
#include <bitset>
#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "dataplane/base/counters.hh"
#include "dataplane/base/invalid_reason.hh"
#include "dataplane/base/ip_address.hh"
#include "dataplane/base/token_bucket.hh"
#include "dataplane/base/types.hh"
#include "dataplane/flow/conn_state.hh"
#include "dataplane/flow/tcp_rules.hh"
#include "dataplane/flow/timeouts.hh"
#include "dataplane/policy/rule_index.hh"

namespace sluice {

using SetId = std::uint16_t;
inline constexpr SetId kAnySet = 0xffff;

/// Disjoint ranges in ascending order, of both families. Address groups compile to one set each, shared by all rules
/// that name them.
using AddressSet = std::vector<AddressRange>;
using PortSet = std::vector<PortRange>;

struct SetMatch {
    SetId set = kAnySet;
    bool negated = false;
};

/// (mark & mask) == value, or not that; mask 0: any mark.
struct MarkMatch {
    std::uint32_t value = 0;
    std::uint32_t mask = 0;
    bool negated = false;

    [[nodiscard]] constexpr bool matches(std::uint32_t mark) const noexcept {
        return mask == 0 || ((mark & mask) == value) != negated;
    }
};

/// The bits of `mask` become those of `value`, or of the other mark; mask 0: nothing changes.
struct MarkSet {
    std::uint32_t value = 0;
    std::uint32_t mask = 0;
    bool copy = false;  ///< from the flow's mark to the packet's, or the other way

    [[nodiscard]] constexpr std::uint32_t of(std::uint32_t mark, std::uint32_t other) const noexcept {
        return (mark & ~mask) | ((copy ? other : value) & mask);
    }
};

enum class Family : std::uint8_t { any, ip4, ip6 };

/// The conditions of one rule; every one must hold. Used by filter and NAT rules alike.
struct MatchSpec {
    std::uint64_t in_ports = ~std::uint64_t{0};  ///< bit per PortIndex; kKernelPort is the box itself
    std::uint64_t out_ports = ~std::uint64_t{0};
    std::int16_t proto = -1;            ///< -1: any
    Family family = Family::any;        ///< IPv4 or IPv6 packets alone
    std::uint8_t states = 0xff;         ///< PacketState bits; 0xff: any
    std::uint32_t invalid_reasons = 0;  ///< bit per InvalidReason, of INVALID packets alone; 0: not asked
    SetMatch src, dst;                  ///< index into Policy::address_sets
    SetMatch sport, dport;              ///< index into Policy::port_sets; host order
    std::int32_t icmp_types = -1;       ///< index into Policy::icmp_type_sets; -1: any
    MarkMatch mark, ct_mark;
    bool needs_flow = false;  ///< it asks for the flow's mark: a packet without a flow does not match
};

/// next: the rule does what it does, and the rules behind it are asked. notrack: in raw chains only.
enum class FilterAction : std::uint8_t { accept, drop, reject, next, notrack };
enum class RejectWith : std::uint8_t { port_unreachable, admin_prohibited, tcp_reset };

struct FilterRule {
    MatchSpec match;
    MarkSet set_mark;               ///< first
    MarkSet set_ct_mark;            ///< then; a packet without a flow has none to set
    std::uint8_t set_timeouts = 0;  ///< id of the timeouts for the flow that begins with the packet; 0: as it is
    FilterAction action = FilterAction::accept;
    RejectWith reject_with = RejectWith::port_unreachable;
    std::int32_t log = -1;   ///< index into Policy::log_prefixes; a rule that logs is judged per packet, never cached
    std::uint32_t rule = 0;  ///< number in the whole policy
};

/// raw, raw_output: before tracking, of packets that arrive and of those that the box sends.
enum class Chain : std::uint8_t { input, forward, output, raw, raw_output };
inline constexpr std::size_t kChainCount = 3;  ///< of the filter

struct FilterChain {
    std::vector<FilterRule> rules;
    RuleIndex index;  ///< of them
    FilterAction policy = FilterAction::accept;
    std::uint32_t policy_rule = 0;  ///< rule number whose counters the chain policy adds to
};

/// prefix: RFC 6296.
enum class SnatKind : std::uint8_t { none, masquerade, addresses, prefix };
enum class Schedule : std::uint8_t { round_robin, random, source_hash };
enum class ExistingFlows : std::uint8_t { keep, rebind, kill };

/// A pool is a list of ranges taken as one long list of addresses.
struct AddressPool {
    std::vector<AddressRange> ranges;  ///< of one family
    std::uint64_t size = 0;            ///< sum of the ranges' sizes
    [[nodiscard]] IpAddress at(std::uint64_t i) const noexcept {
        for (const auto& r : ranges) {
            if (i < r.size()) return r.at(i);
            i -= r.size();
        }
        return {};
    }
    [[nodiscard]] bool contains(const IpAddress& a) const noexcept {
        for (const auto& r : ranges)
            if (r.contains(a)) return true;
        return false;
    }
};

struct NatRule {
    MatchSpec match;
    std::uint32_t rule = 0;      ///< number in the whole policy
    std::uint64_t identity = 0;  ///< hash of the rule's content: the same rule in the next policy has the same one
    ExistingFlows existing = ExistingFlows::keep;
    std::uint16_t gauge = kNoNatGauge;  ///< SNAT: of live mappings, kept over reloads; none left: not counted
    // SNAT (rules with `out`)
    SnatKind snat = SnatKind::none;
    // SNAT addresses, or DNAT targets; of a translated prefix (`prefix_length`) the one range that it is
    AddressPool pool;
    std::uint8_t prefix_length = 0;  ///< SnatKind::prefix and its DNAT: the address keeps what is behind the prefix
    bool has_ports = false;          ///< `ports` was given
    PortRange ports{};               ///< SNAT: ports to choose from; DNAT: target ports
    bool shift_ports = false;        ///< DNAT: keep the offset inside a range of equal size (8000-8010 → 9000-9010)
    std::uint16_t shift_from = 0;    ///< first matched port when shifting
    bool dnat = false;
    std::optional<std::uint16_t> zone{};  ///< DNAT: in whose network the targets are; none: where routes lead
    Schedule schedule = Schedule::round_robin;
};

struct FtpPolicy {
    bool enabled = true;
    std::vector<std::uint16_t> ports{21};
    bool loose = false;
    std::uint32_t expect_timeout_s = 300;
    std::uint32_t max_expected = 1;
};

enum class TableFull : std::uint8_t { early_drop, refuse };  ///< profile linux, profile cgn

struct RuleCounter {
    Counter packets, bytes;
    Counter exhausted;  ///< SNAT: packets for which no address and port was free

    void count(std::uint32_t ip_bytes) noexcept {
        packets.add();
        bytes.add(ip_bytes);
    }
};

struct Policy {
    std::uint32_t generation = 0;  ///< starts at 1
    std::vector<FilterRule> raw;   ///< first match that decides; none: the packet is tracked
    std::vector<FilterRule> raw_output;
    std::array<FilterChain, kChainCount> filter;
    std::vector<NatRule> dnat;  ///< in order; first match decides
    std::vector<NatRule> snat;
    RuleIndex dnat_index, snat_index;
    Timeouts timeouts{};
    std::vector<Timeouts> timeout_policies;  ///< by id - 1; ids live longer than policies
    TcpRules tcp;
    TableFull table_full = TableFull::early_drop;
    std::uint32_t max_flows_per_worker = 0;
    std::uint32_t max_half_open_per_worker = 0xffffffffU;
    std::uint32_t max_expectations_per_worker = 0;
    FtpPolicy ftp;
    std::array<BucketSpec, kPuntClassCount> punt_limits{};
    BucketSpec icmp_error_limit{1000, 50};  ///< errors and rejects that a worker makes

    std::vector<AddressSet> address_sets;
    std::vector<PortSet> port_sets;
    std::vector<std::bitset<256>> icmp_type_sets;
    std::vector<std::uint32_t> log_prefixes;  ///< ids that log records carry; control holds the text

    std::uint32_t rule_count = 0;
    /// One array of rule_count counters per worker. writer: that worker; readers: control.
    std::vector<std::unique_ptr<RuleCounter[]>> counters;

    /// Of a flow with this id; 0: one that no rule gave timeouts of its own.
    [[nodiscard]] const Timeouts& timeouts_of(std::uint8_t id) const noexcept {
        if (id == 0 || id > timeout_policies.size()) [[likely]]
            return timeouts;
        return timeout_policies[id - 1U];
    }
    [[nodiscard]] bool has_raw() const noexcept { return !raw.empty() || !raw_output.empty(); }
    /// Of a filter chain.
    [[nodiscard]] const FilterChain& chain(Chain c) const noexcept { return filter[static_cast<std::size_t>(c)]; }
    [[nodiscard]] RuleCounter& counter(unsigned worker, std::uint32_t rule) const noexcept {
        return counters[worker][rule];
    }
};

}  // namespace sluice

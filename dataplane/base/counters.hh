// Counters of one worker. One writer (the worker), any number of relaxed readers (control: metrics, API). A counter is
// never read-modify-written atomically: there is only one writer, so load + store is enough and costs a plain add.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>

#include "dataplane/base/invalid_reason.hh"
#include "dataplane/base/types.hh"
#include "dataplane/base/verdict.hh"

namespace sluice {

class Counter {
public:
    void add(std::uint64_t n = 1) noexcept { value_.store(get() + n, std::memory_order_relaxed); }
    void sub(std::uint64_t n = 1) noexcept { value_.store(get() - n, std::memory_order_relaxed); }
    void set(std::uint64_t n) noexcept { value_.store(n, std::memory_order_relaxed); }
    [[nodiscard]] std::uint64_t get() const noexcept { return value_.load(std::memory_order_relaxed); }

private:
    std::atomic<std::uint64_t> value_{0};
};

/// Why a flow ended.
#define SLUICE_DEATH_CAUSES(X)                                                           \
    X(timeout, "its timeout passed")                                                     \
    X(closed, "the protocol ended it (RST to an unreplied flow, reuse)")                 \
    X(flushed, "deleted by an operator")                                                 \
    X(evicted, "made room for a newer flow: the table or the half-open budget was full") \
    X(replaced, "a new connection took over its tuple")                                  \
    X(address_gone, "its translated address left the box")

enum class DeathCause : std::uint8_t {
#define X(name, help) name,
    SLUICE_DEATH_CAUSES(X)
#undef X
};
inline constexpr auto kDeathCauseNames = std::to_array<std::string_view>({
#define X(name, help) #name,
    SLUICE_DEATH_CAUSES(X)
#undef X
});

/// Classes of packets for the box itself; each has a token bucket of its own (design: Linux is the control plane).
#define SLUICE_PUNT_CLASSES(X)                                               \
    X(arp_nd, "ARP, IPv6 neighbour discovery and MLD")                       \
    X(routing, "link-local multicast: OSPF, VRRP, IGMP, DHCP and the like")  \
    X(established, "connections of the box that are established or related") \
    X(new_flow, "new connections to the box")                                \
    X(exception, "anything else the kernel should see")

enum class PuntClass : std::uint8_t {
#define X(name, help) name,
    SLUICE_PUNT_CLASSES(X)
#undef X
};
inline constexpr auto kPuntClassNames = std::to_array<std::string_view>({
#define X(name, help) #name,
    SLUICE_PUNT_CLASSES(X)
#undef X
});
inline constexpr std::size_t kPuntClassCount = kPuntClassNames.size();

/// Parts of a worker's loop whose cycles are counted when cycle accounting is on (base/stage_clock.hh): `receive` looks
/// at devices, at what other workers handed over and at the kernel's packets, `parse` includes steering to the home
/// worker, `fast_path` all the rest for plain packets of established flows (dataplane/fast_path.hh), `transmit` the MAC
/// header and the buffers of each device, `control` orders of control, messages of other workers and timers, `flush`
/// what leaves at the end of the loop.
#define SLUICE_STAGES(X) \
    X(receive)           \
    X(parse)             \
    X(lookup) X(fast_path) X(policy) X(track) X(route) X(limits) X(filter) X(translate) X(transmit) X(control) X(flush)

enum class Stage : std::uint8_t {
#define X(name) name,
    SLUICE_STAGES(X)
#undef X
};
inline constexpr auto kStageNames = std::to_array<std::string_view>({
#define X(name) #name,
    SLUICE_STAGES(X)
#undef X
});
inline constexpr std::size_t kStageCount = kStageNames.size();

/// Gauges for live mappings of source NAT rules. A rule keeps its gauge for as long as the process runs, over reloads
/// that renumber rules, so that a flow which dies under a later policy is taken off the one that it was counted on.
inline constexpr std::size_t kNatGauges = 1024;
inline constexpr std::uint16_t kNoNatGauge = 0xffff;

struct PortCounters {
    Counter rx_packets, rx_bytes, tx_packets, tx_bytes;
};

/// Terms of the packet balance (design: the way of a packet). At any quiet moment, summed over all workers:
///   received + from_twins + generated + split = transmitted + punted + held + in_rings + dropped + merged
/// where in_rings = handed_out - handed_in, and dropped is the sum of `drops`.
struct BalanceCounters {
    Counter received;    ///< from devices
    Counter from_twins;  ///< packets that the kernel sent
    Counter generated;   ///< rejects, ICMP errors made here
    Counter split;       ///< extra packets made by cutting one into fragments
    Counter transmitted;
    Counter punted;      ///< put on the punt ring
    Counter held;        ///< gauge: waiting for a neighbour, the rest of a command, or the first packet of the flow
    Counter handed_out;  ///< put on another worker's ring
    Counter handed_in;   ///< taken from another worker's ring
    Counter merged;      ///< joined into another packet
};

struct alignas(64) WorkerCounters {
    BalanceCounters balance;
    std::array<Counter, kDropReasonCount> drops;
    std::array<PortCounters, kMaxPorts + 1> ports;  // by PortIndex; [kKernelPort] is the box itself

    Counter lookups, lookup_hits;
    std::array<Counter, kInvalidReasonCount> invalid;  ///< packets in state INVALID
    Counter verdict_cached, verdict_judged;
    Counter fast_path;  ///< packets that took it
    Counter flow_births;
    std::array<Counter, kDeathCauseNames.size()> flow_deaths;
    std::array<Counter, 16> flows_tcp;  ///< gauge by TcpState
    std::array<Counter, 16> flows_of;   ///< gauge by L4Kind, of all kinds but TCP
    Counter flows_assured;
    Counter flows_half_open;             ///< gauge: TCP and SCTP that are not ASSURED, others that nobody answered
    Counter stubs;                       ///< gauge: reply keys kept here for flows that another worker owns
    Counter table_full, half_open_full;  ///< newcomers that found no room: in the table, in the budget
    Counter early_drops, half_open_early_drops;    ///< flows that made room for them
    std::array<Counter, kNatGauges> nat_mappings;  ///< gauge by NatRule::gauge
    Counter nat_port_kept, nat_port_random, nat_port_probes, nat_exhausted;

    Counter expectations;  ///< gauge
    Counter expect_created, expect_fulfilled, expect_expired, expect_refused, expect_replaced;
    Counter alg_commands, alg_rewrites, alg_refused_address, alg_refused_port, alg_malformed, alg_held, alg_joined,
        alg_hold_expired, alg_no_state;

    std::array<Counter, kPuntClassCount> punts_passed, punts_limited;
    Counter icmp_errors_sent, icmp_errors_limited, resets_sent;
    Counter neighbour_requests, held_released;
    Counter fragments_held;    ///< gauge: pieces of unfinished datagrams
    Counter datagrams_joined;  ///< from fragments
    Counter datagrams_cut;     ///< into fragments
    Counter handoff_bursts, stub_hits, stub_requests;
    Counter firsts_waited_for, firsts_lost;  ///< packets that waited for a first one; firsts that did not come back
    Counter notices_sent, notices_deferred, expire_refused, expire_late;
    Counter events_told, events_lost;  ///< to those who listen; lost: the ring was full

    Counter loops_busy, loops_idle, cycles_busy, cycles_idle;
    Counter measured_loops, measured_bursts, measured_packets;  ///< those that StageClock measured
    std::array<Counter, kStageCount> stage_cycles;              ///< of them
    std::array<Counter, kStageCount> stage_packets;             ///< that came into the stage, where it is about packets
};

}  // namespace sluice

// Which reply tuple a new flow gets: the flow table is the allocator, so a tuple is free when neither a flow nor an
// expectation here holds it (design: who owns a flow). Kept as it is if free, else a port of the same class at random:
// below 512 → 1–511, 512–1023 → 600–1023, else 1024–65535; 128 tries in a row from a random start, then 64, 32, 16 from
// new ones, as Linux does (nf_nat_core.c); unpredictable ports are RFC 6056's demand.
//
// When ports run out, a SYN may take over that of a connection which has ended, if its numbers are higher: the far end
// then knows its segments from old ones (RFC 1122 4.2.2.13). In the last 32 tries of a row, as in Linux, so of a range
// of 32 ports or less at once.
//
// Owner: the worker that is the home of the reply tuple.
#pragma once

#include <cstdint>
#include <optional>

#include "dataplane/base/counters.hh"
#include "dataplane/flow/flow_entry.hh"
#include "dataplane/flow/flow_key.hh"
#include "dataplane/policy/policy.hh"

namespace sluice {

class FlowStore;
class ExpectTable;
class FirstPackets;

/// xorshift128+: not secret-grade, but seeded from the kernel's; one per worker.
class FastRandom {
public:
    explicit FastRandom(std::uint64_t seed) noexcept : a_(seed | 1), b_(seed * 0x9e3779b97f4a7c15U | 2) {}
    std::uint64_t operator()() noexcept {
        std::uint64_t x = a_;
        const std::uint64_t y = b_;
        a_ = y;
        x ^= x << 23;
        b_ = x ^ y ^ (x >> 17) ^ (y >> 26);
        return b_ + y;
    }
    /// 0 … bound-1, without division.
    std::uint32_t below(std::uint32_t bound) noexcept {
        return static_cast<std::uint32_t>(((operator()() & 0xffffffffU) * bound) >> 32);
    }

private:
    std::uint64_t a_, b_;
};

/// What may be changed in a reply tuple to make it free: its destination port (ICMP: the identifier), which is the
/// translated source port of the original direction.
struct PortChoice {
    PortRange ports{};   ///< replacements come from these
    bool bound = false;  ///< a rule wants one of `ports`; else the port that was asked for is as good, if it is free

    [[nodiscard]] constexpr bool allows(Be16 port) const noexcept { return !bound || ports.contains(port.host()); }
};

/// The ports Linux would choose a replacement from for a flow whose own source port is `port`.
[[nodiscard]] constexpr PortRange port_class(std::uint16_t port) noexcept {
    if (port < 512) return {1, 511};
    if (port < 1024) return {600, 1023};
    return {1024, 65535};
}

/// Whether a source port translation has something to change.
[[nodiscard]] constexpr bool has_chosen_port(const FlowKey& key) noexcept {
    return key.shape() == TupleShape::ports || key.shape() == TupleShape::query;
}
/// The part of a reply tuple that it changes.
[[nodiscard]] constexpr Be16& chosen_port(FlowKey& reply) noexcept {
    return reply.shape() == TupleShape::query ? reply.sport : reply.dport;
}
[[nodiscard]] constexpr Be16 chosen_port(const FlowKey& reply) noexcept {
    return reply.shape() == TupleShape::query ? reply.sport : reply.dport;
}

/// One past the last byte of the SYN that wants a tuple; nothing for other packets. It decides what may be taken over.
using SynEnd = std::optional<std::uint32_t>;

/// A reply tuple that a new flow may have, with its hash in the flow table.
struct FreeTuple {
    FlowKey key{};
    std::uint32_t hash = 0;
};

class PortChooser {
public:
    PortChooser(FlowStore& store, const ExpectTable& expectations, const FirstPackets& firsts, FastRandom& random,
                WorkerCounters& counters) noexcept
        : store_(store), expectations_(expectations), firsts_(firsts), random_(random), counters_(counters) {}

    /// Neither a flow, nor a stub, nor an expectation, nor a first packet that is away has this tuple, whose hash is
    /// `hash`.
    [[nodiscard]] bool is_free(const FlowKey& reply, std::uint32_t hash) const noexcept;
    /// Whether choose() may answer `wanted` as it is.
    [[nodiscard]] static bool may_keep(const FlowKey& wanted, PortChoice choice) noexcept;
    /// `wanted` with a free port, or nothing. Protocols without ports have only the wanted tuple, ESP
    /// the first place to wait in that is free. The flow that gives its port to `syn` ends here.
    [[nodiscard]] std::optional<FreeTuple> choose(const FlowKey& wanted, PortChoice choice, SynEnd syn = {}) noexcept;

private:
    /// ESP: a place to wait in for the answer.
    [[nodiscard]] std::optional<FreeTuple> choose_place(const FlowKey& wanted) const noexcept;
    /// Ends the translated connection of this worker that has this reply tuple, if it is over and `syn` is newer.
    [[nodiscard]] bool take_over(const FlowKey& reply, std::uint32_t hash, std::uint32_t syn) noexcept;

    FlowStore& store_;
    const ExpectTable& expectations_;
    const FirstPackets& firsts_;
    FastRandom& random_;
    WorkerCounters& counters_;
};

}  // namespace sluice

// One flow = one slot: hot lines that every packet needs, cold lines for the rest. Only the worker that owns the slot
// writes it; the control thread reads `lifetime` and writes `armed`, nothing else.
//
//   FlowHot   line 0  original direction: rewrite plan, egress, verdict, counters
//             line 1  reply direction: the same
//             line 2  shared: lifetime, generation, state, keys
//             line 3  shared: both TCP windows, or what another tracker remembers; what births and deaths need; helper
//   FlowCold  rule ids, master, notices
//   FlowHigh  the rest of the keys of an IPv6 flow; there is an array of them only where IPv6 is
//
// An established packet touches its own direction's line and line 2, where the flow table finds its key; of TCP line 3,
// too.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <type_traits>

#include "dataplane/base/counters.hh"
#include "dataplane/base/types.hh"
#include "dataplane/flow/conn_state.hh"
#include "dataplane/flow/flow_key.hh"
#include "dataplane/flow/lifetime.hh"
#include "dataplane/flow/rewrite_plan.hh"
#include "dataplane/flow/tcp_memory.hh"
#include "dataplane/flow/tcp_table.hh"

namespace sluice {

using SlotIndex = std::uint32_t;
inline constexpr SlotIndex kNoSlot = 0x7fffffffU;
inline constexpr std::uint32_t kNoRule = 0xffffffffU;
inline constexpr std::uint32_t kNoNextHop = 0;  ///< next hop ids start at 1

/// What the filter said of a packet in this direction and state, and what it was judged for. Any mismatch judges again.
struct VerdictCache {
    std::uint32_t policy_generation = 0;  // 0: nothing cached (generations start at 1)
    std::uint32_t rule = kNoRule;         // whose counters a hit adds to; kNoRule: the chain's policy
    PortIndex in_port = kNoPort;
    PortIndex out_port = kNoPort;
    PacketState state = PacketState::none;
    std::uint8_t chain = 0;

    /// For packets in `now` that came by `in`, under the policy `generation`, if they leave by out_port.
    [[nodiscard]] bool answers(std::uint32_t generation, PacketState now, PortIndex in) const noexcept {
        return policy_generation == generation && state == now && in_port == in;
    }
};
static_assert(sizeof(VerdictCache) == 12);

struct alignas(64) DirectionHalf {
    RewritePlan plan;                     // 0
    std::uint32_t next_hop = kNoNextHop;  // 20: cached egress, valid while route_epoch is the current one
    std::uint32_t route_epoch = 0;        // 24
    VerdictCache verdict;                 // 28
    std::uint64_t packets = 0;            // 40
    std::uint64_t bytes = 0;              // 48: IP bytes, as Linux accounts
    std::uint32_t tcp_max_ack = 0;        // 56: highest acknowledgement that this end has sent
    std::uint8_t tcp_scale = 0;           // 60: of the windows that this end announces
    std::uint8_t timeouts = 0;            // 61: of the flow, the same in both: which timeouts a rule gave it; 0: none
};
static_assert(sizeof(DirectionHalf) == 64);
static_assert(offsetof(DirectionHalf, packets) == 40);

/// The first 16 bytes of a FlowKey.
struct KeyHead {
    std::array<std::uint64_t, 2> words{};
};
static_assert(sizeof(KeyHead) == FlowKey::kIp4Bytes);

struct FlowHot {
    DirectionHalf half[2];  // by Direction

    // --- line 2: shared
    alignas(64) LifetimeWord lifetime;  // writer: worker / reader: control
    ArmedWord armed;                    // writer: control / reader: worker
    std::uint32_t announced_ms = 0;     // worker: low half of the armed time for which a shortening was announced
    std::uint32_t generation = 1;       // of the slot; changes when the flow dies
    L4Kind kind = L4Kind::generic;
    std::uint8_t status = 0;  // status:: bits
    bool alive = false;
    TcpState tcp_state{};    // meaningful for TCP
    std::uint32_t mark = 0;  // changed by set_mark alone
    KeyHead key[2];          // tuples as they arrive, by Direction; FlowView::key has them whole

    // --- line 3: shared
    TcpMemory tcp;
    SlotIndex half_open_older = kNoSlot;  // neighbours by age among half-open flows, while it is one of them
    SlotIndex half_open_newer = kNoSlot;
    std::uint32_t hash[2]{};               // of the keys
    std::uint32_t helper_state = kNoSlot;  // index in the worker's helper pool, with status::kHelper
    TimeMs created_ms = 0;                 // when its first packet came: UDP's two-second rule, listings

    DirectionHalf& dir(Direction d) noexcept { return half[index_of(d)]; }
    [[nodiscard]] bool has(std::uint8_t bits) const noexcept { return (status & bits) != 0; }

    /// What a tracker other than TCP's remembers of its flow lies in the place of `tcp`: plain values, copied in
    /// and out. Its `begin` writes them first.
    template <class T>
    [[nodiscard]] T memory() const noexcept {
        static_assert(std::is_trivially_copyable_v<T> && sizeof(T) <= sizeof(TcpMemory));
        T value;
        std::memcpy(&value, &tcp, sizeof value);
        return value;
    }
    template <class T>
    void remember(const T& value) noexcept {
        static_assert(std::is_trivially_copyable_v<T> && sizeof(T) <= sizeof(TcpMemory));
        static_assert(std::is_trivially_copyable_v<TcpMemory>);
        std::memcpy(static_cast<void*>(&tcp), &value, sizeof value);
    }
};
static_assert(sizeof(FlowHot) == 256);
static_assert(offsetof(FlowHot, lifetime) == 128);
static_assert(offsetof(FlowHot, key) == 128 + 32 && offsetof(FlowHot, tcp) == 192);

/// Notices about this slot that the mailbox to control had no room for (bits), and the list they wait in.
struct PendingNotice {
    SlotIndex next = kNoSlot;
    std::uint8_t bits = 0;
};

/// The list in which SourceMappings finds the flow.
struct SourceLinks {
    SlotIndex older = kNoSlot, newer = kNoSlot;
    std::uint32_t hash = 0;
};

/// By Direction.
struct FlowHigh {
    AddressHigh src[2];
    AddressHigh dst[2];
};

struct alignas(64) FlowCold {
    std::uint32_t snat_rule = kNoRule;  // number in the policy `nat_generation`; names for listings
    std::uint32_t dnat_rule = kNoRule;
    SlotIndex master = kNoSlot;  // flow whose helper expected this one
    std::uint32_t master_generation = 0;
    std::uint32_t id = 0;  // as conntrack -o id prints
    PendingNotice notice;
    SourceLinks source;
    std::uint32_t nat_generation = 0;       // policy generation that decided NAT
    std::uint16_t nat_gauge = kNoNatGauge;  // the source NAT rule that it counts on
    std::uint8_t stub_worker = 255;         // worker that keeps a stub for the reply key; 255: none
    bool masqueraded = false;               // it dies when its translated address leaves the box
    std::uint8_t untold = 0;                // changed:: bits that wait for a packet of it to leave
};
static_assert(sizeof(FlowCold) == 64);

/// By Direction.
using FlowKeys = std::array<FlowKey, 2>;

/// One flow with all its lines. Valid as long as its store; of the flow that the slot holds.
struct FlowView {
    FlowHot& hot;
    FlowCold& cold;
    FlowHigh* high;  ///< nullptr: no IPv6 here

    /// The tuple of packets that arrive in direction `d`.
    [[nodiscard]] FlowKey key(Direction d) const noexcept {
        FlowKey k;
        std::memcpy(static_cast<void*>(&k), &hot.key[index_of(d)], sizeof(KeyHead));
        if (k.is_v6()) {
            k.src_high = high->src[index_of(d)];
            k.dst_high = high->dst[index_of(d)];
        }
        return k;
    }
    /// The zone in which packets of direction `d` are looked up.
    [[nodiscard]] std::uint16_t zone(Direction d) const noexcept {
        FlowKey k;
        std::memcpy(static_cast<void*>(&k), &hot.key[index_of(d)], sizeof(KeyHead));
        return k.zone;
    }
    [[nodiscard]] FlowKeys keys() const noexcept { return {key(Direction::original), key(Direction::reply)}; }
    /// IPv6 needs `high`.
    void set_key(Direction d, const FlowKey& k) const noexcept {
        std::memcpy(hot.key[index_of(d)].words.data(), &k, sizeof(KeyHead));
        if (!k.is_v6()) return;
        high->src[index_of(d)] = k.src_high;
        high->dst[index_of(d)] = k.dst_high;
    }
    /// Where packets of direction `d` come from and go to, once translated. Of IPv4 it is in the hot lines.
    [[nodiscard]] IpAddress source_of(Direction d, bool v6) const noexcept {
        const Be32 low = hot.half[index_of(d)].plan.src_low;
        return v6 ? IpAddress(high->dst[index_of(opposite(d))], low) : IpAddress(low);
    }
    [[nodiscard]] IpAddress destination_of(Direction d, bool v6) const noexcept {
        const Be32 low = hot.half[index_of(d)].plan.dst_low;
        return v6 ? IpAddress(high->src[index_of(opposite(d))], low) : IpAddress(low);
    }
};

/// Rules match the mark, so what was judged by the old one does not hold any more.
/// False: it has it already.
inline bool set_mark(FlowHot& hot, std::uint32_t mark) noexcept {
    if (hot.mark == mark) return false;
    hot.mark = mark;
    for (DirectionHalf& half : hot.half) half.verdict.policy_generation = 0;
    return true;
}

}  // namespace sluice

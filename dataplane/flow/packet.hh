// One packet on its way through the stages, and the burst that travels together. Lengths are proven once, in
// ingress/parse; everything below trusts the accessors here and never casts from the mbuf itself.
#pragma once

#include <array>
#include <cstdint>
#include <new>
#include <optional>
#include <span>

#include <rte_icmp.h>
#include <rte_ip.h>
#include <rte_mbuf.h>
#include <rte_tcp.h>
#include <rte_udp.h>

#include "dataplane/base/counters.hh"
#include "dataplane/base/invalid_reason.hh"
#include "dataplane/base/types.hh"
#include "dataplane/flow/flow_entry.hh"
#include "dataplane/flow/flow_key.hh"
#include "dataplane/flow/flow_ref.hh"

namespace sluice {

inline constexpr unsigned kBurst = 32;

/// What happens next to a packet: it goes on, or it has left the burst (dropped, punted, held, handed over).
enum class [[nodiscard]] Verdict : std::uint8_t{next, gone};

struct Packet {
    rte_mbuf* mbuf = nullptr;          // owned until `gone`
    std::uint8_t* l3 = nullptr;        // IP header
    std::uint8_t* l4 = nullptr;        // transport header (first byte after the IP header and what extends it)
    std::uint16_t l3_bytes = 0;        // all of the IP packet: padding behind it is not the packet's
    std::uint16_t l4_bytes = 0;        // transport header and payload
    std::uint16_t payload_offset = 0;  // from l4, TCP and UDP: where the payload begins
    std::uint16_t largest_piece = 0;   // IP bytes of the largest of the fragments that it came in; 0: it came whole
    PortIndex in_port = kNoPort;
    PortIndex out_port = kNoPort;
    PacketState state = PacketState::none;
    Direction direction = Direction::original;
    bool local_out = false;          // sent by the box itself
    bool v6 = false;                 // IPv6
    std::uint8_t proto = 0;          // of the transport header
    InvalidReason invalid_reason{};  // meaningful when state is INVALID
    bool icmp_error = false;         // belongs to the flow of the packet that it quotes (is_icmp_error)
    bool trackable = true;  // false: it names no flow and is INVALID for `invalid_reason`, as in Linux, and `key` is
                            // empty; or UNTRACKED because a raw rule said so
    PuntClass punt_class = PuntClass::exception;  // meaningful when the packet is punted
    std::uint8_t changes = 0;                     // changed:: bits: what it has changed of its flow
    std::uint32_t next_hop = kNoNextHop;
    std::uint32_t mark = 0;         // set and matched by rules; ends with the packet
    SlotIndex slot = kNoSlot;       // the flow, once found or made
    std::uint32_t generation = 0;   // of the slot when it was found
    std::uint32_t hash = 0;         // of `key`
    std::uint32_t source_hash = 0;  // of where it comes from, once `foreseen`
    FlowKey key{};  // as it arrived; of an ICMP error, what it quotes, reversed: the tuple of the flow's
                    // packets that travel its way (of ESP: not reversed)
    std::optional<FlowKey> judged;  // what the filter took it for, once a rule wants it logged
    FlowRef stub{};                 // set when the key is kept here for another worker's flow
    bool fresh = false;             // made its flow in this burst: policy has judged it already
    bool raw_done = false;          // the raw rules have been asked
    bool foreseen = false;          // has no flow, and what it will need of the tables is on its way: newcomers.hh

    /// IPv4 alone.
    [[nodiscard]] rte_ipv4_hdr* ip() const noexcept { return reinterpret_cast<rte_ipv4_hdr*>(l3); }
    /// IPv6 alone.
    [[nodiscard]] rte_ipv6_hdr* ip6() const noexcept { return reinterpret_cast<rte_ipv6_hdr*>(l3); }
    [[nodiscard]] IpAddress source() const noexcept {
        return v6 ? IpAddress::from_bytes(ip6()->src_addr) : IpAddress(Ip4::from_raw(ip()->src_addr));
    }
    [[nodiscard]] IpAddress destination() const noexcept {
        return v6 ? IpAddress::from_bytes(ip6()->dst_addr) : IpAddress(Ip4::from_raw(ip()->dst_addr));
    }
    /// Time to live, hop limit.
    [[nodiscard]] std::uint8_t hops_left() const noexcept { return v6 ? ip6()->hop_limits : ip()->time_to_live; }
    [[nodiscard]] rte_tcp_hdr* tcp() const noexcept { return reinterpret_cast<rte_tcp_hdr*>(l4); }
    [[nodiscard]] rte_udp_hdr* udp() const noexcept { return reinterpret_cast<rte_udp_hdr*>(l4); }
    [[nodiscard]] rte_icmp_hdr* icmp() const noexcept { return reinterpret_cast<rte_icmp_hdr*>(l4); }
    /// Bytes from l4 on that lie in the first buffer: all of them, unless it came in fragments (flow/chain.hh).
    [[nodiscard]] std::uint16_t contiguous() const noexcept {
        const auto behind = rte_pktmbuf_mtod(mbuf, std::uint8_t*) + mbuf->data_len - l4;
        return behind < l4_bytes ? static_cast<std::uint16_t>(behind) : l4_bytes;
    }
    [[nodiscard]] std::uint16_t payload_bytes() const noexcept {
        return static_cast<std::uint16_t>(l4_bytes - payload_offset);
    }
    /// As much of it as lies in the first buffer.
    [[nodiscard]] std::span<std::uint8_t> payload() const noexcept {
        return {l4 + payload_offset, static_cast<std::size_t>(contiguous() - payload_offset)};
    }
    [[nodiscard]] std::uint16_t l2_bytes() const noexcept {
        return static_cast<std::uint16_t>(l3 - rte_pktmbuf_mtod(mbuf, std::uint8_t*));
    }
};

/// The tuple as the packet's own headers have it, also when its key is another's (ICMP errors) or it has none (control
/// traffic): ports only where the transport header is proven to hold them.
[[nodiscard]] inline FlowKey header_tuple(const Packet& p) noexcept {
    if (!p.icmp_error && !p.key.is_none()) return p.key;
    FlowKey key = generic_key(p.proto, p.source(), p.destination());
    const bool first_fragment = p.v6 || (Be16::from_raw(p.ip()->fragment_offset).host() & 0x1fffU) == 0;
    if (key.shape() == TupleShape::query && p.l4_bytes >= 2) {
        key.dport = be16(unsigned{p.l4[0]} << 8 | p.l4[1]);
    } else if (key.shape() == TupleShape::ports && first_fragment && p.l4_bytes >= 4) {
        key.sport = Be16::from_raw(p.udp()->src_port);
        key.dport = Be16::from_raw(p.udp()->dst_port);
    }
    return key;
}

/// Up to kBurst packets in their order of arrival. A stage removes what is gone by `keep`.
struct Burst {
    std::array<Packet, kBurst> storage;
    std::array<Packet*, kBurst> at;
    unsigned count = 0;

    Packet& push() noexcept {
        // In place: assigning from a temporary writes it in pieces and reads it back in wide ones, and waits for that.
        // Without (): they would make all of it zero first, by an instruction that takes longer than the rest.
        Packet* p = ::new (static_cast<void*>(&storage[count])) Packet;
        at[count++] = p;
        return *p;
    }
    /// The last one is not of the burst after all.
    void pop() noexcept { --count; }
    void clear() noexcept { count = 0; }
    [[nodiscard]] std::span<Packet* const> packets() const noexcept { return {at.data(), count}; }

    /// Runs `stage(Packet&) -> Verdict` over the burst in order and closes the gaps that `gone` packets leave.
    template <class Stage>
    void keep(Stage&& stage) noexcept {
        unsigned kept = 0;
        for (unsigned i = 0; i < count; ++i) {
            Packet* p = at[i];
            if (stage(*p) == Verdict::next) at[kept++] = p;
        }
        count = kept;
    }
};

/// Collects mbufs that end here and frees them together at the end of the burst. Every drop is counted by its reason.
class Disposal {
public:
    explicit Disposal(WorkerCounters& counters) noexcept : counters_(&counters) {}

    Verdict drop(Packet& p, DropReason reason) noexcept {
        drop(p.mbuf, reason);
        p.mbuf = nullptr;
        return Verdict::gone;
    }
    void drop(rte_mbuf* m, DropReason reason) noexcept {
        counters_->drops[static_cast<std::size_t>(reason)].add();
        release(m);
    }
    /// Frees without counting a drop: for packets that were merged into another (counted by the caller).
    void release(rte_mbuf* m) noexcept {
        pending_[count_++] = m;
        if (count_ == pending_.size()) flush();
    }
    void flush() noexcept {
        if (count_ != 0) rte_pktmbuf_free_bulk(pending_.data(), count_);
        count_ = 0;
    }
    [[nodiscard]] WorkerCounters& counters() noexcept { return *counters_; }

private:
    WorkerCounters* counters_;
    std::array<rte_mbuf*, 2 * kBurst> pending_{};
    unsigned count_ = 0;
};

}  // namespace sluice

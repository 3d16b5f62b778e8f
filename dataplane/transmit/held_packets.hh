// Packets that wait until a neighbour's MAC is known. Bounded per neighbour and in all, in memory that is there from
// the start; the oldest go first when the time is up.
//
//   hold() → the control thread is asked (Notice::resolve, at most once a second and neighbour) → the kernel asks the
//   network → Order::neighbour_changed → take(): they leave, or fail.   No answer for `timeout_ms`: expire().
//
// A held packet carries no pointer into a publication: its note says from where, to where and by which tuple it came.
// Owner: one worker. balance.held follows the number of packets here.
#pragma once

#include <cstdint>
#include <utility>
#include <vector>

#include <rte_mbuf.h>

#include "dataplane/base/clock.hh"
#include "dataplane/base/counters.hh"
#include "dataplane/flow/handoff_note.hh"
#include "dataplane/flow/mailbox.hh"

namespace sluice {

class HeldPackets {
public:
    struct Options {
        std::uint32_t packets = 1024;  ///< in all; one that came in fragments counts as many
        std::uint32_t neighbours = 256;
        std::uint32_t per_neighbour = 64;  ///< packets; Linux keeps about 100 full-size frames
        TimeMs timeout_ms = 3000;          ///< Linux gives up after three requests, a second apart
    };

    /// Allocates everything. `counters` and `to_control` outlive it.
    HeldPackets(const Options& options, WorkerCounters& counters, Ring<Notice>& to_control);
    /// Frees what is still held.
    ~HeldPackets();
    HeldPackets(const HeldPackets&) = delete;
    HeldPackets& operator=(const HeldPackets&) = delete;

    /// Takes `m` until `address` on `port` is known; its note must be filled in. False: no room, `m` is still the
    /// caller's. Asks the kernel when that is due; a full mailbox is tried again with the next packet.
    [[nodiscard]] bool hold(rte_mbuf* m, const IpAddress& address, PortIndex port, Now now) noexcept;

    /// Hands everything that waits for `address` on `port` to `each(rte_mbuf*)`, oldest first.
    template <class Each>
    void take(const IpAddress& address, PortIndex port, Each&& each) noexcept {
        const std::uint32_t at = find(address, port);
        if (at == kNone) return;
        give(detach_all(at), each);
    }
    /// Hands everything that waited too long to `each`. Looks at all neighbours, but at most ten times a second.
    template <class Each>
    void expire(Now now, Each&& each) noexcept {
        if (now.ms < next_scan_ms_) return;
        next_scan_ms_ = now.ms + kScanEveryMs;
        for (std::uint32_t i = static_cast<std::uint32_t>(active_.size()); i-- > 0;) {
            const std::uint32_t at = active_[i];
            give(detach_older(at, now), each);
            forget_if_idle(at, now);
        }
    }
    /// Hands out everything, when the worker stops.
    template <class Each>
    void drain(Each&& each) noexcept {
        for (const std::uint32_t at : active_) give(detach_all(at), each);
    }
    [[nodiscard]] std::uint32_t count() const noexcept { return held_; }
    [[nodiscard]] bool any_for(const IpAddress& address, PortIndex port) const noexcept {
        if (held_ == 0) [[likely]]
            return false;
        const std::uint32_t at = find(address, port);
        return at != kNone && neighbours_[at].count != 0;
    }

private:
    static constexpr std::uint32_t kNone = 0xffffffffU;
    static constexpr TimeMs kAskEveryMs = 1000;
    static constexpr TimeMs kScanEveryMs = 100;

    struct Node {
        rte_mbuf* mbuf = nullptr;
        TimeMs since_ms = 0;
        std::uint32_t next = kNone;
    };
    struct Neighbour {
        IpAddress address{};
        PortIndex port = kNoPort;
        bool asked = false;
        TimeMs asked_ms = 0;
        std::uint32_t count = 0;
        std::uint32_t head = kNone, tail = kNone;  // nodes, oldest first
        std::uint32_t next = kNone;                // in its bucket, or in the free list
        std::uint32_t place = 0;                   // in active_
    };

    template <class Each>
    void give(std::uint32_t node, Each& each) noexcept {
        while (node != kNone) {
            Node& n = nodes_[node];
            rte_mbuf* m = std::exchange(n.mbuf, nullptr);
            const std::uint32_t next = std::exchange(n.next, free_node_);
            free_node_ = node;
            node = next;
            --held_;
            buffers_ -= m->nb_segs;
            counters_.balance.held.sub();
            each(m);
        }
    }
    [[nodiscard]] std::uint32_t bucket_of(const IpAddress& address, PortIndex port) const noexcept;
    [[nodiscard]] std::uint32_t find(const IpAddress& address, PortIndex port) const noexcept;
    [[nodiscard]] std::uint32_t find_or_add(const IpAddress& address, PortIndex port) noexcept;
    /// The chains these return are no longer the neighbour's.
    [[nodiscard]] std::uint32_t detach_all(std::uint32_t at) noexcept;
    [[nodiscard]] std::uint32_t detach_older(std::uint32_t at, Now now) noexcept;
    void forget_if_idle(std::uint32_t at, Now now) noexcept;
    void ask(Neighbour& neighbour, Now now) noexcept;

    Options options_;
    WorkerCounters& counters_;
    Ring<Notice>& to_control_;
    std::vector<Node> nodes_;
    std::vector<Neighbour> neighbours_;
    std::vector<std::uint32_t> buckets_;  // a power of two
    std::vector<std::uint32_t> active_;   // neighbours in use, in no order; reserved once
    std::uint32_t free_node_ = kNone, free_neighbour_ = kNone;
    std::uint32_t held_ = 0, buffers_ = 0;
    TimeMs next_scan_ms_ = 0;
};

}  // namespace sluice

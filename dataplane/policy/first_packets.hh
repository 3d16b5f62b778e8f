// First packets that are away. When the home of a flow's reply tuple is another worker, the flow's first packet visits
// it (policy/flow_create); until it is back, later packets of the same tuple wait here, in order, and follow it.
//
//   depart() → later packets: wait() … → returned() → the flow is made, or not → release(): they begin behind it
//                                      → never (a ring was full on the way): expire(), the oldest is the next first
//
// So one packet of a tuple at a time asks for a reply tuple, nothing of the flow overtakes anything else of it, and two
// ends that speak first in the same instant are seen to (`mirrors`).
//
// Owner: the worker that owns the flows. Memory is there from the start; what does not fit is the caller's to drop.
// balance.held follows the number of packets here. A waiting packet's note says how it arrived (HandoffKind::arrived).
#pragma once

#include <cstdint>
#include <utility>
#include <vector>

#include <rte_mbuf.h>

#include "dataplane/base/clock.hh"
#include "dataplane/base/counters.hh"
#include "dataplane/flow/flow_key.hh"

namespace sluice {

class FirstPackets {
public:
    struct Options {
        std::uint32_t tuples = 4096;   ///< first packets that are away at once
        std::uint32_t packets = 2048;  ///< waiting, in all; one that came in fragments counts as many
        std::uint32_t per_tuple = 256;
        TimeMs timeout_ms = 100;  ///< a visit takes some loops of two workers
    };

    /// Allocates everything. `counters` outlives it.
    FirstPackets(const Options& options, WorkerCounters& counters);
    /// Frees what still waits.
    ~FirstPackets();
    FirstPackets(const FirstPackets&) = delete;
    FirstPackets& operator=(const FirstPackets&) = delete;

    /// Whether the first packet of `key` is away (`hash`: the flow table's, of `key`).
    [[nodiscard]] bool away(const FlowKey& key, std::uint32_t hash) const noexcept {
        return used_ != 0 && find(key, hash) != kNone;
    }
    /// Whether the first packet of `key` asks `worker` for exactly the tuple `reply`: with the same question the other
    /// way round, the two are the first packets of one connection, each sent before the other arrived.
    [[nodiscard]] bool mirrors(const FlowKey& key, std::uint32_t hash, std::uint8_t worker,
                               const FlowKey& reply) const noexcept;

    /// The first packet of `key` goes to `worker`, or to the next one after a refusal. `reply`: the tuple it would
    /// keep; an empty key when it must get another. False: no room, or it is away already.
    [[nodiscard]] bool depart(const FlowKey& key, std::uint32_t hash, std::uint8_t worker, const FlowKey& reply,
                              Now now) noexcept;
    /// Takes a packet of `key`, whose first is away; its note is filled in. False: no room, `m` is the caller's.
    [[nodiscard]] bool wait(const FlowKey& key, std::uint32_t hash, rte_mbuf* m) noexcept;
    /// The first packet of `key` is back. Unless it departs again, release() must follow.
    void returned(const FlowKey& key, std::uint32_t hash) noexcept;

    /// Hands what waits for `key` to `each(rte_mbuf*)`, oldest first, unless its first packet is away. `each` may come
    /// back to this object.
    template <class Each>
    void release(const FlowKey& key, std::uint32_t hash, Each&& each) noexcept {
        const std::uint32_t at = used_ == 0 ? kNone : find(key, hash);
        if (at != kNone && tuples_[at].back) give(remove(at), each);
    }
    /// Whether expire() has anything to do.
    [[nodiscard]] bool overdue(Now now) const noexcept {
        return oldest_ != kNone && tuples_[oldest_].deadline_ms <= now.ms;
    }
    /// The same for first packets that did not come back in time.
    template <class Each>
    void expire(Now now, Each&& each) noexcept {
        while (overdue(now)) {
            counters_.firsts_lost.add();
            give(remove(oldest_), each);
        }
    }
    [[nodiscard]] std::uint32_t waiting() const noexcept { return waiting_; }

private:
    static constexpr std::uint32_t kNone = 0xffffffffU;

    struct Node {
        rte_mbuf* mbuf = nullptr;
        std::uint32_t next = kNone;
    };
    struct Tuple {
        FlowKey key{};
        FlowKey reply{};
        TimeMs deadline_ms = 0;
        std::uint32_t hash = 0;
        std::uint32_t next = kNone;                  // in its bucket, or in the free list
        std::uint32_t older = kNone, newer = kNone;  // by departure, so by deadline
        std::uint32_t head = kNone, tail = kNone;    // nodes, oldest first
        std::uint32_t count = 0;
        std::uint8_t worker = 0;
        bool back = false;
    };

    template <class Each>
    void give(std::uint32_t node, Each& each) noexcept {
        while (node != kNone) {
            Node& n = nodes_[node];
            rte_mbuf* m = std::exchange(n.mbuf, nullptr);
            const std::uint32_t next = std::exchange(n.next, free_node_);
            free_node_ = node;
            node = next;
            --waiting_;
            buffers_ -= m->nb_segs;
            counters_.balance.held.sub();
            each(m);
        }
    }
    [[nodiscard]] std::uint32_t& bucket_of(std::uint32_t hash) noexcept {
        return buckets_[hash & (buckets_.size() - 1)];
    }
    [[nodiscard]] std::uint32_t find(const FlowKey& key, std::uint32_t hash) const noexcept;
    [[nodiscard]] std::uint32_t add(const FlowKey& key, std::uint32_t hash) noexcept;
    /// Forgets the tuple; returns what waits for it.
    [[nodiscard]] std::uint32_t remove(std::uint32_t at) noexcept;
    void append(std::uint32_t at) noexcept;
    void unlink(std::uint32_t at) noexcept;

    Options options_;
    WorkerCounters& counters_;
    std::vector<Tuple> tuples_;
    std::vector<Node> nodes_;
    std::vector<std::uint32_t> buckets_;  // a power of two
    std::uint32_t free_tuple_ = kNone, free_node_ = kNone;
    std::uint32_t oldest_ = kNone, newest_ = kNone;
    std::uint32_t used_ = 0, waiting_ = 0, buffers_ = 0;
};

}  // namespace sluice

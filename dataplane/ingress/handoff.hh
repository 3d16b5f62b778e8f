// Packets from one worker to another: to their home, to a flow's owner, or to a worker that has a transmit queue.
//
//   worker a                                          worker b
//     send(b, m) … collects up to a burst               receive(a, …) takes up to a burst
//     flush()    … one enqueue per target               (once per loop and sender)
//
// One single-producer single-consumer ring for each ordered pair of workers, so nobody locks and order is kept: what a
// sends to b arrives in the order of send(). What the receiver must know is in the packet's HandoffNote
// (flow/handoff_note.hh), which the sender has filled in.
//
// Life cycle: HandoffRings is made before workers start and outlives them; what is left in the rings at the end is
// freed with it. A Handoff belongs to its worker alone.
// Failure policy: a full ring drops the packet as handoff_ring_full at the sender, who never waits.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include <rte_mbuf.h>

#include "dataplane/base/verdict.hh"
#include "dataplane/flow/mailbox.hh"
#include "dataplane/flow/packet.hh"

namespace sluice {

/// The rings of all workers. Control thread makes and destroys it, while no worker runs.
class HandoffRings {
public:
    /// `size` packets per pair, a power of two (one place is lost). `tag` makes ring names unique in the process.
    /// Throws std::runtime_error when memory is short.
    HandoffRings(const std::string& tag, unsigned workers, unsigned size, int socket) : workers_(workers) {
        rings_.reserve(std::size_t{workers} * workers);
        for (unsigned from = 0; from < workers; ++from)
            for (unsigned to = 0; to < workers; ++to)
                rings_.push_back(
                    from == to ? Ring<rte_mbuf*>{}
                               : Ring<rte_mbuf*>(tag + std::to_string(from) + "-" + std::to_string(to), size, socket));
    }
    ~HandoffRings() {
        std::array<rte_mbuf*, kBurst> left;
        for (auto& ring : rings_) {
            if (!ring) continue;
            while (const unsigned n = ring.take(left.data(), kBurst)) rte_pktmbuf_free_bulk(left.data(), n);
        }
    }
    HandoffRings(const HandoffRings&) = delete;
    HandoffRings& operator=(const HandoffRings&) = delete;

    [[nodiscard]] unsigned workers() const noexcept { return workers_; }
    [[nodiscard]] Ring<rte_mbuf*>& between(unsigned from, unsigned to) noexcept { return rings_[from * workers_ + to]; }

private:
    unsigned workers_;
    std::vector<Ring<rte_mbuf*>> rings_;
};

/// One worker's end of all of them.
class Handoff {
public:
    /// `rings` and `disposal` must outlive it.
    Handoff(HandoffRings& rings, unsigned me, Disposal& disposal)
        : rings_(rings), me_(me), disposal_(disposal), batches_(rings.workers()) {}
    ~Handoff() {
        for (auto& batch : batches_)
            if (batch.count != 0) rte_pktmbuf_free_bulk(batch.mbufs.data(), batch.count);
    }
    Handoff(const Handoff&) = delete;
    Handoff& operator=(const Handoff&) = delete;

    /// Called with a packet that found the ring to `to` full, before it is dropped: what was done for it is undone. Set
    /// once, at start.
    using Lost = void (*)(void* context, unsigned to, rte_mbuf* m) noexcept;
    void on_lost(Lost lost, void* context) noexcept {
        lost_ = lost;
        lost_context_ = context;
    }

    /// Takes the packet; it leaves at the next flush(), or at once when the batch is full. `to` is another worker.
    void send(unsigned to, rte_mbuf* m) noexcept {
        Batch& batch = batches_[to];
        batch.mbufs[batch.count++] = m;
        if (batch.count == kBurst) flush(to);
    }
    /// At the end of every loop, so that nothing waits here for more traffic.
    void flush() noexcept {
        for (unsigned to = 0; to < batches_.size(); ++to)
            if (batches_[to].count != 0) flush(to);
    }
    /// Up to `n` packets that worker `from` sent, in its order.
    [[nodiscard]] unsigned receive(unsigned from, rte_mbuf** mbufs, unsigned n) noexcept {
        if (from == me_) return 0;
        const unsigned taken = rings_.between(from, me_).take(mbufs, n);
        if (taken != 0) disposal_.counters().balance.handed_in.add(taken);
        return taken;
    }
    [[nodiscard]] unsigned workers() const noexcept { return rings_.workers(); }
    [[nodiscard]] unsigned me() const noexcept { return me_; }

private:
    struct Batch {
        std::array<rte_mbuf*, kBurst> mbufs;
        unsigned count = 0;
    };

    void flush(unsigned to) noexcept;

    HandoffRings& rings_;
    unsigned me_;
    Disposal& disposal_;
    std::vector<Batch> batches_;  // by target
    Lost lost_ = nullptr;
    void* lost_context_ = nullptr;
};

}  // namespace sluice

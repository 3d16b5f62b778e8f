// The poll loop of one worker. It owns no table and no policy: it fetches packets from wherever they come (devices,
// other workers, the kernel) and gives them to the pipeline, burst by burst.
//
//   loop:  devices → handed over by other workers → from the kernel → orders of control → now and then housekeeping
//          → end_of_burst (transmit buffers and drops leave) → hand-offs leave → quiescent
//
// After the last line the worker holds nothing of any publication; control may free what it replaced.
//
// Life cycle: made by control; run() on the worker's own lcore until the stop flag; poll_once() is what run() repeats
// and what in-process tests drive with a clock of their own. Owner thread: whoever runs it, one at a time.
// Failure policy: nothing here can fail; each packet's fate is the pipeline's.
//
// `Pipeline` is a template parameter so that tests can put a recorder in its place; it needs
//   void receive(Now, std::uint16_t device, rte_mbuf**, unsigned n);
//   void receive_handoff(Now, rte_mbuf**, unsigned n);
//   void receive_from_kernel(Now, rte_mbuf**, unsigned n);
//   unsigned orders(Now);       // bounded; how many were done
//   void housekeeping(Now);     // bounded
//   void end_of_burst(Now);
//   StageClock& stages();       // counts cycles, when told to
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <sys/prctl.h>
#include <time.h>
#include <utility>
#include <vector>

#include <rte_ethdev.h>
#include <rte_mbuf.h>
#include <rte_pause.h>

#include "dataplane/base/clock.hh"
#include "dataplane/base/counters.hh"
#include "dataplane/base/publication.hh"
#include "dataplane/base/stage_clock.hh"
#include "dataplane/flow/mailbox.hh"
#include "dataplane/flow/packet.hh"
#include "dataplane/ingress/handoff.hh"
#include "dataplane/worker/idle_backoff.hh"
#include "dataplane/worker/tsc_clock.hh"

namespace sluice {

/// A receive queue that one worker polls.
struct RxQueue {
    std::uint16_t device = 0;
    std::uint16_t queue = 0;
    friend bool operator==(const RxQueue&, const RxQueue&) = default;
};

/// What a worker is connected to; all of it must outlive the worker.
template <class Pipeline>
struct WorkerParts {
    Pipeline& pipeline;
    Handoff& handoff;
    Ring<rte_mbuf*>& from_kernel;  ///< frames that the twins sent, whose home is this worker; notes filled in
    GracePeriods& grace;
    WorkerCounters& counters;
};

template <class Pipeline>
class Worker {
public:
    static constexpr unsigned kLoopsPerHousekeeping = 16;

    Worker(unsigned number, WorkerParts<Pipeline> parts, std::vector<RxQueue> queues)
        : number_(number), parts_(parts), queues_(std::move(queues)) {}
    Worker(const Worker&) = delete;
    Worker& operator=(const Worker&) = delete;

    [[nodiscard]] unsigned number() const noexcept { return number_; }
    [[nodiscard]] const std::vector<RxQueue>& queues() const noexcept { return queues_; }

    /// One loop. True when there was anything to do. The worker must be online, and who measures cycles must hear of
    /// the begin and end of the loop (run() sees to that).
    bool poll_once(Now now) noexcept {
        StageClock& stages = parts_.pipeline.stages();
        std::array<rte_mbuf*, kBurst> mbufs;
        bool worked = false;
        for (const RxQueue q : queues_) {
            const unsigned n = rte_eth_rx_burst(q.device, q.queue, mbufs.data(), kBurst);
            if (n == 0) continue;
            parts_.pipeline.receive(now, q.device, mbufs.data(), n);
            worked = true;
        }
        for (unsigned from = 0; from < parts_.handoff.workers(); ++from) {
            const unsigned n = parts_.handoff.receive(from, mbufs.data(), kBurst);
            if (n == 0) continue;
            parts_.pipeline.receive_handoff(now, mbufs.data(), n);
            worked = true;
        }
        if (const unsigned n = parts_.from_kernel.take(mbufs.data(), kBurst); n != 0) {
            parts_.pipeline.receive_from_kernel(now, mbufs.data(), n);
            worked = true;
        }
        if (worked) stages.end(Stage::receive);  // a look at queues that had nothing
        if (parts_.pipeline.orders(now) != 0) worked = true;
        // By time when loops are slow or the worker sleeps, by loops when there is more to do than a millisecond holds.
        if (++loops_ % kLoopsPerHousekeeping == 0 || now.ms != housekeeping_ms_) {
            housekeeping_ms_ = now.ms;
            parts_.pipeline.housekeeping(now);
        }
        if (worked) stages.end(Stage::control);
        parts_.pipeline.end_of_burst(now);
        parts_.handoff.flush();
        parts_.grace.quiescent(number_);
        return worked;
    }

    /// Until `stop`. Offline before and after, and while it sleeps.
    void run(const std::atomic<bool>& stop, const TscClock& clock, Idle idle) noexcept {
        // The kernel rounds sleeps up by the timer slack, 50 µs unless told otherwise.
        if (idle == Idle::sleep) ::prctl(PR_SET_TIMERSLACK, 1000UL);
        IdleBackoff backoff(idle, clock.hz());
        parts_.grace.online(number_);
        StageClock& stages = parts_.pipeline.stages();
        Now now = clock.now();
        while (!stop.load(std::memory_order_relaxed)) {
            stages.begin_loop(now.tsc);
            const bool worked = poll_once(now);
            Now next = clock.now();
            stages.end_loop(worked, next.tsc);
            if (const std::uint32_t sleep_ns = backoff.after_loop(worked, next.tsc); sleep_ns != 0) {
                parts_.grace.offline(number_);
                const timespec duration{0, static_cast<long>(sleep_ns)};
                ::clock_nanosleep(CLOCK_MONOTONIC, 0, &duration, nullptr);
                parts_.grace.online(number_);
                next = clock.now();
            } else if (!worked) {
                rte_pause();
            }
            account(worked, next.tsc - now.tsc);
            now = next;
        }
        parts_.grace.offline(number_);
    }

private:
    void account(bool worked, std::uint64_t cycles) noexcept {
        WorkerCounters& c = parts_.counters;
        (worked ? c.loops_busy : c.loops_idle).add();
        (worked ? c.cycles_busy : c.cycles_idle).add(cycles);
    }

    unsigned number_;
    WorkerParts<Pipeline> parts_;
    std::vector<RxQueue> queues_;
    std::uint64_t loops_ = 0;
    TimeMs housekeeping_ms_ = 0;
};

}  // namespace sluice

// Packets for the box itself go to the kernel: worker → ring → control thread → twin. One token bucket per class, so
// that junk to the box starves neither ARP nor forwarding.
//
// Owner: one worker; the ring's other end is the control thread's.
#pragma once

#include <array>

#include <rte_mbuf.h>

#include "dataplane/base/token_bucket.hh"
#include "dataplane/flow/handoff_note.hh"
#include "dataplane/flow/mailbox.hh"
#include "dataplane/flow/packet.hh"

namespace sluice {

[[nodiscard]] constexpr DropReason limited_by(PuntClass c) noexcept {
    switch (c) {
        case PuntClass::arp_nd:
            return DropReason::punt_limited_arp;
        case PuntClass::routing:
            return DropReason::punt_limited_routing;
        case PuntClass::established:
            return DropReason::punt_limited_established;
        case PuntClass::new_flow:
            return DropReason::punt_limited_new;
        case PuntClass::exception:
            break;
    }
    return DropReason::punt_limited_exception;
}

class Punts {
public:
    explicit Punts(Ring<rte_mbuf*>& to_control) noexcept : ring_(to_control) {}

    /// A new policy's limits; buckets whose limits did not change keep their fill.
    void configure(const std::array<BucketSpec, kPuntClassCount>& limits) noexcept {
        for (std::size_t i = 0; i < limits.size(); ++i) {
            if (limits_[i] == limits[i]) continue;
            limits_[i] = limits[i];
            buckets_[i].configure(limits[i]);
        }
    }

    /// The frame goes to the twin of `port`, untagged, or is dropped by its class's bucket or a full ring. A datagram
    /// that came in fragments costs as many tokens: it has as many buffers.
    void punt(rte_mbuf* m, PortIndex port, PuntClass punt_class, Disposal& disposal, Now now) noexcept {
        WorkerCounters& counters = disposal.counters();
        const auto i = static_cast<std::size_t>(punt_class);
        if (!buckets_[i].take(now, m->nb_segs)) {
            counters.punts_limited[i].add();
            disposal.drop(m, limited_by(punt_class));
            return;
        }
        note_of(m).in_port = port;
        if (!ring_.post(m)) {
            disposal.drop(m, DropReason::punt_ring_full);
            return;
        }
        counters.punts_passed[i].add();
        counters.balance.punted.add();
    }

private:
    Ring<rte_mbuf*>& ring_;
    std::array<BucketSpec, kPuntClassCount> limits_{};
    std::array<TokenBucket, kPuntClassCount> buckets_{};
};

}  // namespace sluice

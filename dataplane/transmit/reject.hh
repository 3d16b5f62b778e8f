// What a sender is told about a packet that does not travel on: an ICMP error or a TCP reset, limited by one token
// bucket per worker (policy.icmp_error_limit), so that junk cannot make sluice a source of more junk.
//
// Owner: one worker. Failure policy: what may not be answered, what the bucket refuses and what finds the pool empty
// gets no answer; the packet itself is the caller's to drop.
#pragma once

#include <rte_mempool.h>

#include "dataplane/base/token_bucket.hh"
#include "dataplane/flow/packet.hh"
#include "dataplane/policy/decision.hh"
#include "dataplane/policy/routes.hh"

namespace sluice {

/// A reset that `p`'s sender accepts, untagged frame (RFC 9293 3.10.7.1): it continues what the segment acknowledged,
/// or acknowledges everything the segment took. nullptr when the pool is empty. `p` is TCP and not itself a reset.
[[nodiscard]] rte_mbuf* build_reset(rte_mempool* pool, const Packet& p) noexcept;

class Answers {
public:
    /// `pool` and `counters` outlive it.
    Answers(rte_mempool* pool, WorkerCounters& counters) noexcept : pool_(pool), counters_(counters) {}

    /// A new policy's limit; the bucket keeps its fill when nothing changed.
    void configure(BucketSpec limit) noexcept;

    /// The frame that answers `p`, which is as it arrived (untranslated), or nullptr. It leaves by the port that `p`
    /// came from; for a packet of the box itself it goes to the twin. Counts what it makes (balance.generated). `mtu`
    /// matters to fragmentation_needed only. A reset for what is not TCP becomes "port unreachable".
    [[nodiscard]] rte_mbuf* make(const Packet& p, Answer answer, std::uint16_t mtu, const Addresses& addresses,
                                 Now now) noexcept;

private:
    rte_mempool* pool_;
    WorkerCounters& counters_;
    BucketSpec limit_{};
    TokenBucket bucket_;
    std::uint16_t next_id_ = 0;
};

}  // namespace sluice

// Conntrack for the packets of a burst: track/track says what a packet means to its flow, and here that is carried out,
// when the flow ends or begins anew by it. The packet that made its flow was tracked by making it.
//
// Owner: one worker.
#pragma once

#include <array>

#include "dataplane/policy/newcomers.hh"
#include "dataplane/track/alg/alg.hh"
#include "dataplane/track/related.hh"
#include "dataplane/track/track.hh"

namespace sluice {

class Conntrack {
public:
    Conntrack(FlowStore& store, FlowCreator& creator, Newcomers& newcomers, Alg& alg) noexcept
        : store_(store), creator_(creator), newcomers_(newcomers), alg_(alg) {}

    /// With `go` the packet's state is known; p.slot == kNoSlot: it is INVALID and was accepted as such.
    [[nodiscard]] Decision follow(Packet& p, const Policy& policy, Now now) noexcept;

    /// What a helper of the packet's flow did to the TCP numbers of the opposite direction; nullptr: nothing.
    [[nodiscard]] const SeqAdjust* shift_of_peer(const Packet& p) noexcept;

    /// Flows that the burst has ended go now, when none of its packets needs them any more.
    void end_burst() noexcept;

private:
    struct Ended {
        SlotIndex slot;
        std::uint32_t generation;
    };
    FlowStore& store_;
    FlowCreator& creator_;
    Newcomers& newcomers_;
    Alg& alg_;
    std::array<Ended, kBurst> ended_{};  // RST to a SYN that nobody answered
    unsigned ended_count_ = 0;
};

}  // namespace sluice

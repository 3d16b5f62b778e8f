// Flows whose source is translated, by the source that they come from, so that an inside endpoint which has an outside
// one gets the same towards further destinations (Linux: nf_nat_bysource in nf_nat_core.c; RFC 4787, REQ-1).
//
// Lists of slots by a keyed hash of the source, newest first: their heads are in an array of their own, 4 to 8 bytes
// for each flow that the store can hold, their links in the flows' cold lines. A flow joins when it is published and
// leaves when it is killed; neither a flow that is not translated nor a packet of a flow that lives comes here.
//
// Owner: the flows' worker. Memory is there from the start; nothing can fail.
#pragma once

#include <algorithm>
#include <bit>
#include <cstdint>

#include "dataplane/flow/flow_entry.hh"
#include "dataplane/lookup/huge_array.hh"

namespace sluice {

class SourceMappings {
public:
    /// For slots below `capacity`, whose cold lines these are. Allocates (start-up only).
    SourceMappings(std::uint32_t capacity, FlowCold* cold, int socket);

    /// `hash`: of the flow's source. The slot is in no list.
    void join(SlotIndex slot, std::uint32_t hash) noexcept;
    /// The slot is in a list.
    void leave(SlotIndex slot) noexcept;

    /// The slot that joined last among those whose hash falls into the same list; kNoSlot: none.
    [[nodiscard]] SlotIndex newest(std::uint32_t hash) const noexcept { return head(hash); }
    /// With which it has joined: others are in the same list.
    [[nodiscard]] std::uint32_t hash(SlotIndex slot) const noexcept { return links(slot).hash; }
    /// The next one in its list.
    [[nodiscard]] SlotIndex older(SlotIndex slot) const noexcept { return links(slot).older; }

    /// Memory for `capacity` slots.
    static constexpr std::uint64_t bytes(std::uint32_t capacity) noexcept {
        return std::uint64_t{head_count(capacity)} * sizeof(SlotIndex);
    }

    /// newest() or join() of this hash comes soon: its list, and then, when that has come, who is the newest in there.
    void prefetch_list(std::uint32_t hash) const noexcept { __builtin_prefetch(&head(hash), 1); }
    void prefetch_newest(std::uint32_t hash) const noexcept {
        if (const SlotIndex slot = head(hash); slot != kNoSlot) prefetch_links(slot);
    }
    /// leave() of this slot comes soon: where its links, which are there, lead.
    void prefetch_neighbours(SlotIndex slot) const noexcept {
        const SourceLinks& own = links(slot);
        if (own.newer == kNoSlot) {
            prefetch_list(own.hash);
        } else {
            prefetch_links(own.newer);
        }
        if (own.older != kNoSlot) prefetch_links(own.older);
    }

private:
    static constexpr std::uint32_t head_count(std::uint32_t capacity) noexcept {
        return std::bit_ceil(std::max(capacity, std::uint32_t{1}));
    }
    [[nodiscard]] SlotIndex& head(std::uint32_t hash) noexcept { return heads_[hash & (heads_.size() - 1)]; }
    [[nodiscard]] const SlotIndex& head(std::uint32_t hash) const noexcept {
        return heads_[hash & (heads_.size() - 1)];
    }

    [[nodiscard]] SourceLinks& links(SlotIndex slot) const noexcept { return cold_[slot].source; }
    void prefetch_links(SlotIndex slot) const noexcept { __builtin_prefetch(&links(slot), 1); }

    HugeArray<SlotIndex> heads_;  // a power of two of them
    FlowCold* cold_;
};

}  // namespace sluice

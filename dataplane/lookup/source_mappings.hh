// Flows whose source is translated, by the source that they come from, so that an inside endpoint which has an outside
// one gets the same towards further destinations (Linux: nf_nat_bysource in nf_nat_core.c; RFC 4787, REQ-1).
//
// Lists of slots by a keyed hash of the source, newest first, in two arrays of their own: 12 to 16 bytes for each flow
// that the store can hold. A flow joins when it is published and leaves when it is killed; neither a flow that is not
// translated nor a packet of a flow that lives comes here.
//
// Owner: the flows' worker. Memory is there from the start; nothing can fail.
#pragma once

#include <cstdint>
#include <vector>

#include "dataplane/flow/flow_entry.hh"

namespace sluice {

class SourceMappings {
public:
    /// For slots below `capacity`. Allocates (start-up only).
    explicit SourceMappings(std::uint32_t capacity);

    /// `hash`: of the flow's source. The slot is in no list.
    void join(SlotIndex slot, std::uint32_t hash) noexcept;
    /// With the hash of join(). The slot is in that list.
    void leave(SlotIndex slot, std::uint32_t hash) noexcept;

    /// The slot that joined last among those whose hash falls into the same list; kNoSlot: none.
    [[nodiscard]] SlotIndex newest(std::uint32_t hash) const noexcept { return heads_[hash & (heads_.size() - 1)]; }
    /// The next one in its list.
    [[nodiscard]] SlotIndex older(SlotIndex slot) const noexcept { return links_[slot].older; }

private:
    struct Links {
        SlotIndex older = kNoSlot, newer = kNoSlot;
    };
    [[nodiscard]] SlotIndex& head(std::uint32_t hash) noexcept { return heads_[hash & (heads_.size() - 1)]; }

    std::vector<SlotIndex> heads_;  // a power of two of them
    std::vector<Links> links_;      // by slot
};

}  // namespace sluice

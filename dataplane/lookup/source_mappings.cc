#include "dataplane/lookup/source_mappings.hh"

#include <algorithm>
#include <bit>

namespace sluice {

SourceMappings::SourceMappings(std::uint32_t capacity)
    : heads_(std::bit_ceil(std::max(capacity, std::uint32_t{1})), kNoSlot), links_(capacity) {}

void SourceMappings::join(SlotIndex slot, std::uint32_t hash) noexcept {
    SlotIndex& newest = head(hash);
    links_[slot] = {newest, kNoSlot};
    if (newest != kNoSlot) links_[newest].newer = slot;
    newest = slot;
}

void SourceMappings::leave(SlotIndex slot, std::uint32_t hash) noexcept {
    const Links own = links_[slot];
    (own.newer == kNoSlot ? head(hash) : links_[own.newer].older) = own.older;
    if (own.older != kNoSlot) links_[own.older].newer = own.newer;
}

}  // namespace sluice

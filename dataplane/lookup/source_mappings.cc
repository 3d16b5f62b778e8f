#include "dataplane/lookup/source_mappings.hh"

namespace sluice {

SourceMappings::SourceMappings(std::uint32_t capacity, int socket)
    : heads_(head_count(capacity), socket, kNoSlot), links_(capacity, socket) {}

void SourceMappings::join(SlotIndex slot, std::uint32_t hash) noexcept {
    SlotIndex& newest = head(hash);
    links_[slot] = {newest, kNoSlot, hash};
    if (newest != kNoSlot) links_[newest].newer = slot;
    newest = slot;
}

void SourceMappings::leave(SlotIndex slot) noexcept {
    const Links own = links_[slot];
    (own.newer == kNoSlot ? head(own.hash) : links_[own.newer].older) = own.older;
    if (own.older != kNoSlot) links_[own.older].newer = own.newer;
}

}  // namespace sluice

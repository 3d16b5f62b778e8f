#include "dataplane/lookup/source_mappings.hh"

namespace sluice {

SourceMappings::SourceMappings(std::uint32_t capacity, FlowCold* cold, int socket)
    : heads_(head_count(capacity), socket, kNoSlot), cold_(cold) {}

void SourceMappings::join(SlotIndex slot, std::uint32_t hash) noexcept {
    SlotIndex& newest = head(hash);
    links(slot) = {newest, kNoSlot, hash};
    if (newest != kNoSlot) links(newest).newer = slot;
    newest = slot;
}

void SourceMappings::leave(SlotIndex slot) noexcept {
    const SourceLinks own = links(slot);
    (own.newer == kNoSlot ? head(own.hash) : links(own.newer).older) = own.older;
    if (own.older != kNoSlot) links(own.older).newer = own.newer;
}

}  // namespace sluice

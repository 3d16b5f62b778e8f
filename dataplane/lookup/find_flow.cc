#include "dataplane/lookup/find_flow.hh"

#include <bit>

namespace sluice {

void look_up(const Burst& burst, FlowStore& store, WorkerCounters& counters) noexcept {
    std::array<const FlowKey*, kBurst> keys;
    std::array<std::uint32_t, kBurst> hashes;
    std::array<FlowRef, kBurst> found;
    std::array<Packet*, kBurst> asked;
    unsigned n = 0;
    for (Packet* p : burst.packets()) {
        if (p->slot != kNoSlot || !p->trackable) continue;  // found by a stub, or has no tuple
        keys[n] = &p->key;
        hashes[n] = p->hash;
        asked[n++] = p;
    }
    if (n == 0) return;
    counters.lookups.add(n);
    const std::uint64_t hits = store.table().lookup_bulk(std::span(keys.data(), n), hashes.data(), found.data());
    counters.lookup_hits.add(static_cast<unsigned>(std::popcount(hits)));
    for (unsigned i = 0; i < n; ++i)
        if (((hits >> i) & 1) != 0 && !store.is_stub(found[i])) store.prefetch(found[i].slot(), found[i].direction());
    for (unsigned i = 0; i < n; ++i) settle(*asked[i], found[i], store);
}

void look_up(PlainBurst& burst, FlowStore& store, WorkerCounters& counters) noexcept {
    const unsigned n = burst.count();
    const KeyedHash hash = store.table().hasher();
    std::array<std::uint32_t, kBurst> hashes;
    std::array<FlowRef, kBurst> found;
    for (unsigned i = 0; i < n; ++i) hashes[i] = hash.of_ip4(burst[i].key.words[0], burst[i].key.words[1]);
    const std::uint64_t hits = store.table().lookup_bulk_ip4(burst.keys(), hashes.data(), found.data());
    counters.lookups.add(n);
    counters.lookup_hits.add(static_cast<unsigned>(std::popcount(hits)));
    for (unsigned i = 0; i < n; ++i) {
        burst[i].found = found[i];
        if (!store.is_stub(found[i])) store.prefetch(found[i].slot(), found[i].direction());
    }
}

}  // namespace sluice

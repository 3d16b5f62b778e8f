#include "dataplane/lookup/find_flow.hh"

#include <bit>

namespace sluice {

namespace {

void count(WorkerCounters& counters, unsigned asked, std::uint64_t hits) noexcept {
    counters.lookups.add(asked);
    counters.lookup_hits.add(static_cast<unsigned>(std::popcount(hits)));
}

/// The flow's lines; of what is no flow, a stub or nothing, there are none.
void prefetch(const FlowStore& store, FlowRef found) noexcept {
    if (!store.is_stub(found)) store.prefetch(found.slot(), found.direction());
}

}  // namespace

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
    const std::uint64_t hits = store.table().lookup_bulk(std::span(keys.data(), n), hashes.data(), found.data());
    count(counters, n, hits);
    for (unsigned i = 0; i < n; ++i) prefetch(store, found[i]);
    for (unsigned i = 0; i < n; ++i) settle(*asked[i], found[i], store);
}

void look_up(PlainBurst& burst, FlowStore& store, WorkerCounters& counters) noexcept {
    const unsigned n = burst.count();
    const KeyedHash hash = store.table().hasher();
    std::array<std::uint32_t, kBurst> hashes;
    std::array<FlowRef, kBurst> found;
    for (unsigned i = 0; i < n; ++i) hashes[i] = hash.of_ip4(burst[i].key.words[0], burst[i].key.words[1]);
    const std::uint64_t hits = store.table().lookup_bulk_ip4(burst.keys(), hashes.data(), found.data());
    count(counters, n, hits);
    for (unsigned i = 0; i < n; ++i) {
        burst[i].found = found[i];
        prefetch(store, found[i]);
    }
}

}  // namespace sluice

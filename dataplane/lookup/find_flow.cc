#include "dataplane/lookup/find_flow.hh"

namespace sluice {

namespace {

void count(WorkerCounters& counters, unsigned asked, unsigned hits) noexcept {
    counters.lookups.add(asked);
    counters.lookup_hits.add(hits);
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
    count(counters, n, store.table().lookup_bulk(std::span(keys.data(), n), hashes.data(), found.data()));
    for (unsigned i = 0; i < n; ++i) settle(*asked[i], found[i], store);
}

void hash_keys(PlainBurst& burst, const KeyedHash& hash) noexcept {
    for (unsigned i = 0; i < burst.count(); ++i)
        burst[i].hash = hash.of_ip4(burst[i].key.words[0], burst[i].key.words[1]);
}

void look_up(PlainBurst& burst, FlowStore& store, WorkerCounters& counters) noexcept {
    const unsigned n = burst.count();
    const FlowTable& table = store.table();
    const KeyedHash hash = table.hasher();
    std::array<std::uint32_t, kBurst> hashes;
    std::array<FlowRef, kBurst> found;
    for (unsigned i = 0; i < n; ++i)
        burst[i].hash = hashes[i] = hash.of_ip4(burst[i].key.words[0], burst[i].key.words[1]);
    const StoredKeys& keys = table.keys();
    const auto has = [&](unsigned i, FlowRef ref) { return keys.has_ip4(ref, burst[i].key); };
    const auto prefetch = [&](unsigned i, FlowRef ref) { keys.prefetch(ref, burst[i].is_tcp()); };
    count(counters, n, table.lookup_bulk(n, hashes.data(), found.data(), has, prefetch));
    for (unsigned i = 0; i < n; ++i) burst[i].found = found[i];
}

}  // namespace sluice

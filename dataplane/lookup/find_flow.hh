// From packets to flows: one bulk lookup for the burst, and the single one for a packet whose flow has ended under it.
//
// A packet remembers the slot *and* its generation: what another packet of the burst puts into the slot later is not
// taken for its flow. `stands` asks that again, at the beginning of every stage that comes to the flow.
//
// Owner: the worker of the store.
#pragma once

#include "dataplane/flow/packet.hh"
#include "dataplane/flow/plain_packet.hh"
#include "dataplane/lookup/flow_store.hh"

namespace sluice {

/// `ref` is a flow's, not a stub's: the packet is of that flow from now on.
inline void join(Packet& p, FlowRef ref, const FlowStore& store) noexcept {
    p.slot = ref.slot();
    p.direction = ref.direction();
    p.generation = store.hot(p.slot).generation;
}

/// The packet has a flow, and it has not ended since.
[[nodiscard]] inline bool stands(const Packet& p, const FlowStore& store) noexcept {
    return p.slot != kNoSlot && store.is(p.slot, p.generation);
}

/// What the table says of the packet's key: its flow, or the stub of another worker's, or nothing.
inline void settle(Packet& p, FlowRef found, const FlowStore& store) noexcept {
    if (!found) return;
    if (store.is_stub(found)) {
        p.stub = found;
    } else {
        join(p, found, store);
    }
}

/// Looks up the whole burst; lines of the flows found are on their way when it returns. Packets come to have a slot, or
/// a stub, or neither.
void look_up(const Burst& burst, FlowStore& store, WorkerCounters& counters) noexcept;
/// What unfolds without having been looked up needs its hash all the same.
void hash_keys(PlainBurst& burst, const KeyedHash& hash) noexcept;
/// The same as look_up() above, hashes included; of plain packets `found` is what there is.
void look_up(PlainBurst& burst, FlowStore& store, WorkerCounters& counters) noexcept;

}  // namespace sluice

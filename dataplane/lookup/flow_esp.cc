// FlowStore: ESP flows, whose answers carry an SPI that nobody knows beforehand (l4/esp.hh), and the keys by which ICMP
// errors find them.
#include "dataplane/lookup/flow_room.hh"
#include "dataplane/lookup/flow_store.hh"

namespace sluice {

FlowRef FlowStore::find_waiting(const FlowKey& key, Now now) noexcept {
    FlowRef found;
    for (unsigned place = 0; place < kWaitingPlaces; ++place) {
        const FlowKey waiting = waiting_key(key, place);
        const FlowRef ref = table_.lookup(waiting, table_.hash(waiting));
        if (!ref) continue;
        if (is_stub(ref)) {
            if (!found) found = ref;
            continue;
        }
        if (expired(ref.slot(), now)) continue;
        // Ids are given in the order in which flows are made, and wrap around.
        if (!found || is_stub(found) || static_cast<std::int32_t>(cold_[ref.slot()].id - cold_[found.slot()].id) < 0)
            found = ref;
    }
    return found;
}

bool FlowStore::answer(FlowRef waiting, const FlowKey& key, std::uint32_t hash) noexcept {
    for (unsigned place = 0; place < kWaitingPlaces; ++place) {
        const FlowKey old = waiting_key(key, place);
        const std::uint32_t old_hash = table_.hash(old);
        const FlowRef ref = table_.lookup(old, old_hash);
        if (!ref || ref.slot() != waiting.slot()) continue;
        if (!table_.insert(key, hash, waiting)) return false;
        table_.erase(old_hash, waiting);
        if (is_stub(waiting)) {
            stubs_[waiting.slot() - capacity_].reply = key;
            return true;
        }
        flow(waiting.slot()).set_key(Direction::reply, key);
        hot_[waiting.slot()].hash[1] = hash;
        insert_quoted(waiting.slot(), Direction::reply);
        return true;
    }
    return false;
}

bool FlowStore::replies_with(SlotIndex slot, const FlowKey& key) noexcept {
    const FlowKey reply = this->key(slot, Direction::reply);
    if (reply == key) return true;
    if (!is_waiting(reply) || cold_[slot].stub_worker == 255 || waiting_key(key, reply.dport.host()) != reply)
        return false;
    flow(slot).set_key(Direction::reply, key);
    insert_quoted(slot, Direction::reply);
    return true;
}

void FlowStore::insert_quoted(SlotIndex slot, Direction d) noexcept {
    if (quoted_ == quoted_capacity(capacity_)) return;
    const FlowKey key = quoted_key(flow(slot), d);
    if (table_.insert(key, table_.hash(key), FlowRef(slot, opposite(d)))) ++quoted_;
}

void FlowStore::erase_quoted(SlotIndex slot) noexcept {
    for (const Direction d : {Direction::original, Direction::reply}) {
        const FlowKey key = quoted_key(flow(slot), d);
        const std::uint32_t hash = table_.hash(key);
        const FlowRef ref = table_.lookup(key, hash);
        if (ref && ref.slot() == slot && table_.erase(hash, ref)) --quoted_;
    }
}

}  // namespace sluice

// FlowStore: stubs, the reply keys that it keeps for flows of other workers.
#include "dataplane/lookup/flow_store.hh"

namespace sluice {

bool FlowStore::add_stub(const FlowKey& reply, std::uint8_t owner, const FlowKey& original) noexcept {
    if (free_stubs_.empty()) return false;
    const std::uint32_t index = free_stubs_.back();
    if (!table_.insert(reply, table_.hash(reply), FlowRef(capacity_ + index, Direction::reply))) return false;
    free_stubs_.pop_back();
    stubs_[index] = {owner, reply, original};
    counters_.stubs.add();
    return true;
}

void FlowStore::remove_stub(const FlowKey& reply, std::uint8_t owner, const FlowKey& original) noexcept {
    const FlowRef ref = table_.lookup(reply, table_.hash(reply));
    if (ref && is_stub(ref) && stub(ref).original == original) take_back_stub(reply, owner);
}

void FlowStore::take_back_stub(const FlowKey& reply, std::uint8_t owner) noexcept {
    const std::uint32_t hash = table_.hash(reply);
    const FlowRef ref = table_.lookup(reply, hash);
    if (!ref || !is_stub(ref) || stub(ref).owner != owner) return;
    table_.erase(hash, ref);
    free_stubs_.push_back(ref.slot() - capacity_);
    counters_.stubs.sub();
}

bool FlowStore::post_remove_stub(std::uint8_t worker, const FlowKey& reply, const FlowKey& original) noexcept {
    PeerMessage m;
    m.kind = PeerKind::remove_stub;
    m.from_worker = self_;
    m.reply = reply;
    m.original = original;
    return peers_[worker]->post(m);
}

}  // namespace sluice

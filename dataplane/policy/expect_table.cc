#include "dataplane/policy/expect_table.hh"

#include <bit>

namespace sluice {

namespace {

FlowKey any_port(FlowKey key) noexcept {
    key.sport = Be16{};
    return key;
}
FlowKey any_source(FlowKey key) noexcept {
    key.set_src({});
    return any_port(key);
}

}  // namespace

ExpectTable::ExpectTable(std::uint32_t capacity, int socket, HashSecret secret, WorkerCounters& counters)
    : counters_(counters),
      entries_(capacity),
      keys_(capacity, socket, secret, Keys{entries_.data()}),
      masters_(std::bit_ceil(capacity), kNone) {
    free_.reserve(capacity);
    for (std::uint32_t i = capacity; i-- > 0;) free_.push_back(i);
}

std::uint32_t ExpectTable::find(const FlowKey& key) const noexcept {
    if (size_ == 0) return kNone;
    for (const FlowKey& k : {any_port(key), any_source(key)})
        if (const FlowRef ref = keys_.lookup(k, keys_.hash(k))) return ref.slot();
    return kNone;
}

bool ExpectTable::holds(const FlowKey& key) const noexcept {
    return find(key) != kNone;
}

ExpectTable::Place ExpectTable::place_of(const Expectation& x) const noexcept {
    const FlowKey tuple = any_port(x.tuple);
    const std::uint32_t hash = keys_.hash(tuple);
    return {hash, keys_.lookup(tuple, hash)};
}

bool ExpectTable::clashes(const Expectation& x, const Place& place, Now now) const noexcept {
    if (!place.holder) return false;
    const Expectation& holder = entries_[place.holder.slot()].e;
    return holder.deadline_ms > now.ms && !same_promise(holder, x);
}

ExpectOutcome ExpectTable::add(const Expectation& x, const Place& place, std::uint32_t max_per_master,
                               Now now) noexcept {
    if (place.holder) {
        const std::uint32_t index = place.holder.slot();
        Entry& old = entries_[index];
        if (old.e.deadline_ms <= now.ms) {
            counters_.expect_expired.add();
            remove(index);
        } else if (same_promise(old.e, x)) {
            old.e.deadline_ms = x.deadline_ms;
            unlink(index);
            append(index);
            return ExpectOutcome::refreshed;
        } else {
            counters_.expect_refused.add();
            return ExpectOutcome::clash;
        }
    }
    // The master's oldest gives way; chains run from the newest to the oldest.
    std::uint32_t of_master = 0, first_of_master = kNone;
    for (std::uint32_t i = bucket_of(x.master); i != kNone; i = entries_[i].sibling) {
        if (!same_master(entries_[i].e, x)) continue;
        ++of_master;
        first_of_master = i;
    }
    if (of_master >= max_per_master && first_of_master != kNone) {
        remove(first_of_master);
        counters_.expect_replaced.add();
    }
    if (free_.empty()) sweep(now, 8);
    if (free_.empty()) {
        counters_.expect_refused.add();
        return ExpectOutcome::table_full;
    }
    const std::uint32_t index = free_.back();
    if (!keys_.insert_new(place.hash, ref_of(index))) {
        counters_.expect_refused.add();
        return ExpectOutcome::table_full;
    }
    free_.pop_back();
    entries_[index].e = x;
    entries_[index].e.tuple = any_port(x.tuple);
    entries_[index].used = true;
    entries_[index].sibling = bucket_of(x.master);
    bucket_of(x.master) = index;
    append(index);
    ++size_;
    counters_.expectations.add();
    counters_.expect_created.add();
    return ExpectOutcome::added;
}

bool ExpectTable::take(const FlowKey& key, Now now, Expectation& found) noexcept {
    const std::uint32_t index = find(key);
    if (index == kNone) return false;
    found = entries_[index].e;
    remove(index);
    if (found.deadline_ms <= now.ms) {
        counters_.expect_expired.add();
        return false;
    }
    counters_.expect_fulfilled.add();
    return true;
}

void ExpectTable::remove_of(SlotIndex master, std::uint32_t generation, std::uint8_t master_worker) noexcept {
    const Expectation gone{.master = master, .master_generation = generation, .master_worker = master_worker};
    for (std::uint32_t i = bucket_of(master); i != kNone;) {
        const std::uint32_t next = entries_[i].sibling;
        if (same_master(entries_[i].e, gone)) {
            remove(i);
            forgotten_.add();
        }
        i = next;
    }
}

void ExpectTable::sweep(Now now, unsigned budget) noexcept {
    while (oldest_ != kNone && budget-- != 0 && entries_[oldest_].e.deadline_ms <= now.ms) {
        remove(oldest_);
        counters_.expect_expired.add();
    }
}

std::uint32_t ExpectTable::copy(std::uint32_t from, Expectation* out, unsigned max, unsigned& copied) const noexcept {
    copied = 0;
    std::uint32_t i = from;
    for (; i < entries_.size() && copied < max; ++i)
        if (entries_[i].used) out[copied++] = entries_[i].e;
    return i < entries_.size() ? i : 0;
}

void ExpectTable::remove(std::uint32_t index) noexcept {
    Entry& entry = entries_[index];
    keys_.erase(keys_.hash(entry.e.tuple), ref_of(index));
    unlink(index);
    std::uint32_t* link = &bucket_of(entry.e.master);
    while (*link != index) link = &entries_[*link].sibling;
    *link = entry.sibling;
    entry.used = false;
    free_.push_back(index);
    --size_;
    counters_.expectations.sub();
}

void ExpectTable::append(std::uint32_t index) noexcept {
    entries_[index].older = newest_;
    entries_[index].newer = kNone;
    (newest_ == kNone ? oldest_ : entries_[newest_].newer) = index;
    newest_ = index;
}

void ExpectTable::unlink(std::uint32_t index) noexcept {
    Entry& e = entries_[index];
    (e.older == kNone ? oldest_ : entries_[e.older].newer) = e.newer;
    (e.newer == kNone ? newest_ : entries_[e.newer].older) = e.older;
}

}  // namespace sluice

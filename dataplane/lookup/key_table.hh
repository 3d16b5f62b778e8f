// From keys to references: buckets of tags say who may have a key, and `Keys` says who has it. Of either family.
//
// `Keys` knows where the keys lie that have been inserted, and is a few pointers:
//     bool has(FlowRef ref, const FlowKey& key) const noexcept;   whether `key` is the one that `ref` was inserted for
//     void prefetch(FlowRef ref) const noexcept;                  `has` will be asked about it soon
// A key lies there from before it is inserted until after it is erased.
//
// Life cycle: created at start on the worker's NUMA node, lives as long as the worker, cannot grow.
// Owner: one worker, single-threaded; no other thread may even look anything up.
// Failure: creation throws (start-up only); an insertion that does not fit says false and changes nothing.
//
// Inserting is exclusive: a key that is present is refused, never overwritten. The table of flows doubles as the port
// allocator, and a port is free exactly when its reply key is not in there.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <stdexcept>
#include <string>

#include "dataplane/flow/flow_key.hh"
#include "dataplane/flow/flow_ref.hh"
#include "dataplane/flow/keyed_hash.hh"
#include "dataplane/lookup/tag_buckets.hh"

namespace sluice {

inline constexpr std::uint32_t kMaxKeys = 1U << 29;  ///< in one table

template <class Keys>
class KeyTable {
public:
    /// A table for `capacity` keys (two to a flow) on NUMA node `socket` (-1: any). Throws std::invalid_argument for an
    /// impossible capacity, std::runtime_error when DPDK has no memory.
    KeyTable(std::uint32_t capacity, int socket, HashSecret secret, Keys keys)
        : buckets_(possible(capacity), socket), keys_(keys), hash_(secret), capacity_(capacity) {}

    /// The hash that all other calls want with the key; equal for all tables that share the secret.
    [[nodiscard]] std::uint32_t hash(const FlowKey& key) const noexcept { return hash_(key); }
    [[nodiscard]] const KeyedHash& hasher() const noexcept { return hash_; }

    /// False when the key is present, the table holds `capacity()` keys, or no bucket has room; nothing changes then.
    [[nodiscard]] bool insert(const FlowKey& key, std::uint32_t hash, FlowRef ref) noexcept {
        return !lookup(key, hash) && insert_new(hash, ref);
    }
    /// The same of a key that is known not to be there: nobody looks again.
    [[nodiscard]] bool insert_new(std::uint32_t hash, FlowRef ref) noexcept {
        if (size_ == capacity_ || !buckets_.insert(hash, ref)) return false;
        ++size_;
        inserted_[hash / 64 % inserted_.size()] |= std::uint64_t{1} << (hash % 64);
        any_inserted_ = true;
        return true;
    }
    /// The key that was inserted for `ref` and has this hash. False when it is not there.
    bool erase(std::uint32_t hash, FlowRef ref) noexcept {
        if (!buckets_.erase(hash, ref)) return false;
        --size_;
        return true;
    }

    /// None when the key is not there.
    [[nodiscard]] FlowRef lookup(const FlowKey& key, std::uint32_t hash) const noexcept {
        return buckets_.find(hash, [&](FlowRef ref) { return keys_.has(ref, key); });
    }
    /// A burst: found[i] is what has the i-th key, or none, and the result how many have one. `hashes` and `found` hold
    /// `keys` elements; `has(i, ref)` is Keys::has of the i-th key, `prefetch(i, ref)` Keys::prefetch.
    template <class Has, class Prefetch>
    unsigned lookup_bulk(unsigned keys, const std::uint32_t* hashes, FlowRef* found, Has&& has,
                         Prefetch&& prefetch) const noexcept {
        for (unsigned i = 0; i < keys; ++i) buckets_.prefetch(hashes[i]);
        for (unsigned i = 0; i < keys; ++i) {
            found[i] = buckets_.first(hashes[i]);
            if (found[i]) prefetch(i, found[i]);
        }
        unsigned hits = 0;
        for (unsigned i = 0; i < keys; ++i) {
            if (!found[i] || !has(i, found[i])) [[unlikely]]
                found[i] = buckets_.find(hashes[i], [&](FlowRef ref) { return has(i, ref); });
            hits += found[i] ? 1 : 0;
        }
        return hits;
    }
    unsigned lookup_bulk(std::span<const FlowKey* const> keys, const std::uint32_t* hashes,
                         FlowRef* found) const noexcept {
        return lookup_bulk(
            static_cast<unsigned>(keys.size()), hashes, found,
            [&](unsigned i, FlowRef ref) { return keys_.has(ref, *keys[i]); },
            [&](unsigned, FlowRef ref) { keys_.prefetch(ref); });
    }
    /// A key of this hash will be inserted, erased or asked for soon.
    void prefetch(std::uint32_t hash) const noexcept { buckets_.prefetch(hash); }

    /// From now on inserted() is about what is inserted from now on.
    void forget_inserted() noexcept {
        if (any_inserted_) inserted_ = {};
        any_inserted_ = false;
    }
    /// False: no key of this hash has been inserted since forget_inserted(). So a key that was not found since then is
    /// not there, however many others came meanwhile. True says nothing.
    [[nodiscard]] bool inserted(std::uint32_t hash) const noexcept {
        return any_inserted_ && (inserted_[hash / 64 % inserted_.size()] >> (hash % 64) & 1) != 0;
    }

    [[nodiscard]] const Keys& keys() const noexcept { return keys_; }
    [[nodiscard]] std::uint32_t size() const noexcept { return size_; }
    [[nodiscard]] std::uint32_t capacity() const noexcept { return capacity_; }

private:
    static std::uint32_t possible(std::uint32_t capacity) {
        if (capacity == 0 || capacity > kMaxKeys)
            throw std::invalid_argument("a table of " + std::to_string(capacity) + " keys: not within 1 to " +
                                        std::to_string(kMaxKeys));
        return capacity;
    }

    TagBuckets buckets_;
    Keys keys_;
    KeyedHash hash_;
    std::uint32_t capacity_;
    std::uint32_t size_ = 0;
    bool any_inserted_ = false;
    std::array<std::uint64_t, 16> inserted_{};  // a bit for all hashes that are equal in ten of theirs
};

}  // namespace sluice

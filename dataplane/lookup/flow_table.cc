#include "dataplane/lookup/flow_table.hh"

#include <algorithm>
#include <bit>
#include <cassert>
#include <stdexcept>

#include <rte_errno.h>
#include <rte_hash.h>

namespace sluice {

namespace {

/// rte_hash rounds its bucket array up to a power of two but takes memory for the keys as asked. So we ask for as few
/// keys as possible among the numbers that give a bucket array of 4/3 of the capacity or more.
std::uint32_t entries_for(std::uint32_t capacity) noexcept {
    const std::uint64_t wanted_buckets = std::bit_ceil((std::uint64_t{capacity} * 4 + 2) / 3);
    return static_cast<std::uint32_t>(std::max<std::uint64_t>({capacity, wanted_buckets / 2 + 1, 8}));
}

void* pack(FlowRef value) noexcept {
    return reinterpret_cast<void*>(std::uintptr_t{value.raw()});
}

FlowRef unpack(void* data) noexcept {
    return FlowRef::from_raw(static_cast<std::uint32_t>(reinterpret_cast<std::uintptr_t>(data)));
}

}  // namespace

void FlowTable::Free::operator()(rte_hash* table) const noexcept {
    rte_hash_free(table);
}

FlowTable FlowTable::create(const std::string& name, std::uint32_t capacity_keys, int socket, HashSecret secret) {
    if (name.empty() || name.size() > kMaxNameLength)
        throw std::invalid_argument("flow table name '" + name + "' must have 1 to " + std::to_string(kMaxNameLength) +
                                    " characters");
    if (capacity_keys == 0 || capacity_keys > kMaxCapacity)
        throw std::invalid_argument("flow table " + name + ": capacity " + std::to_string(capacity_keys) +
                                    " is not within 1 to " + std::to_string(kMaxCapacity) + " keys");
    rte_hash_parameters parameters{};
    parameters.name = name.c_str();
    parameters.entries = entries_for(capacity_keys);
    parameters.key_len = sizeof(FlowKey);
    parameters.socket_id = socket;
    rte_hash* table = rte_hash_create(&parameters);
    if (table == nullptr)
        throw std::runtime_error("flow table " + name + " of " + std::to_string(capacity_keys) +
                                 " keys cannot be created: " + rte_strerror(rte_errno));
    return FlowTable(table, capacity_keys, secret);
}

bool FlowTable::insert(const FlowKey& key, std::uint32_t hash, FlowRef value) noexcept {
    if (size_ == capacity_) return false;
    if (rte_hash_lookup_with_hash(table_.get(), &key, hash) >= 0) return false;
    if (rte_hash_add_key_with_hash_data(table_.get(), &key, hash, pack(value)) != 0) return false;
    ++size_;
    return true;
}

bool FlowTable::erase(const FlowKey& key, std::uint32_t hash) noexcept {
    if (rte_hash_del_key_with_hash(table_.get(), &key, hash) < 0) return false;
    --size_;
    return true;
}

FlowRef FlowTable::lookup(const FlowKey& key, std::uint32_t hash) const noexcept {
    void* data = nullptr;
    if (rte_hash_lookup_with_hash_data(table_.get(), &key, hash, &data) < 0) return {};
    return unpack(data);
}

std::uint64_t FlowTable::lookup_bulk(std::span<const FlowKey* const> keys, const std::uint32_t* hashes,
                                     FlowRef* found) const noexcept {
    assert(keys.size() <= kMaxBulk);
    if (keys.empty()) return 0;
    // rte_hash takes pointers to mutable arrays but only reads them.
    auto** const raw_keys = reinterpret_cast<const void**>(const_cast<const FlowKey**>(keys.data()));
    void* data[kMaxBulk];
    std::uint64_t hits = 0;
    rte_hash_lookup_with_hash_bulk_data(table_.get(), raw_keys, const_cast<std::uint32_t*>(hashes),
                                        static_cast<std::uint32_t>(keys.size()), &hits, data);
    // Misses leave their element of `data` unwritten.
    for (std::size_t i = 0; i < keys.size(); ++i) found[i] = (hits >> i & 1U) != 0 ? unpack(data[i]) : FlowRef{};
    return hits;
}

std::uint64_t FlowTable::lookup_bulk(std::span<const FlowKey> keys, const std::uint32_t* hashes,
                                     FlowRef* found) const noexcept {
    assert(keys.size() <= kMaxBulk);
    const FlowKey* pointers[kMaxBulk];
    for (std::size_t i = 0; i < keys.size(); ++i) pointers[i] = &keys[i];
    return lookup_bulk(std::span<const FlowKey* const>(pointers, keys.size()), hashes, found);
}

}  // namespace sluice

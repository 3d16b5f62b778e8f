#include "dataplane/lookup/flow_table.hh"

#include <algorithm>
#include <array>
#include <cassert>
#include <stdexcept>

#include <rte_errno.h>
#include <rte_hash.h>
#include <rte_ring.h>

#include "dataplane/lookup/flow_room.hh"

namespace sluice {

namespace {

void* pack(FlowRef value) noexcept {
    return reinterpret_cast<void*>(std::uintptr_t{value.raw()});
}

FlowRef unpack(void* data) noexcept {
    return FlowRef::from_raw(static_cast<std::uint32_t>(reinterpret_cast<std::uintptr_t>(data)));
}

std::uint64_t lookup_in(const rte_hash* table, std::span<const void* const> keys, const std::uint32_t* hashes,
                        FlowRef* found) noexcept {
    // rte_hash takes pointers to mutable arrays but only reads them.
    auto** const raw_keys = const_cast<const void**>(keys.data());
    void* data[FlowTable::kMaxBulk];
    std::uint64_t hits = 0;
    rte_hash_lookup_with_hash_bulk_data(table, raw_keys, const_cast<std::uint32_t*>(hashes),
                                        static_cast<std::uint32_t>(keys.size()), &hits, data);
    // Misses leave their element of `data` unwritten.
    for (std::size_t i = 0; i < keys.size(); ++i) found[i] = (hits >> i & 1U) != 0 ? unpack(data[i]) : FlowRef{};
    return hits;
}

std::span<const void* const> raw(std::span<const FlowKey* const> keys) noexcept {
    return {reinterpret_cast<const void* const*>(keys.data()), keys.size()};
}

}  // namespace

void FlowTable::Free::operator()(rte_hash* table) const noexcept {
    rte_hash_free(table);
}

FlowTable FlowTable::create(const std::string& name, std::uint32_t capacity_keys, int socket, HashSecret secret,
                            bool ipv6) {
    if (name.empty() || name.size() > kMaxNameLength)
        throw std::invalid_argument("flow table name '" + name + "' must have 1 to " + std::to_string(kMaxNameLength) +
                                    " characters");
    if (capacity_keys == 0 || capacity_keys > kMaxCapacity)
        throw std::invalid_argument("flow table " + name + ": capacity " + std::to_string(capacity_keys) +
                                    " is not within 1 to " + std::to_string(kMaxCapacity) + " keys");
    const auto table = [&](const std::string& table_name, std::uint32_t key_bytes) {
        rte_hash_parameters parameters{};
        parameters.name = table_name.c_str();
        parameters.entries = hash_entries(capacity_keys);
        parameters.key_len = key_bytes;
        parameters.socket_id = socket;
        Table made(rte_hash_create(&parameters));
        if (made == nullptr)
            throw std::runtime_error("flow table " + table_name + " of " + std::to_string(capacity_keys) +
                                     " keys cannot be created: " + rte_strerror(rte_errno));
        return made;
    };
    Table ip4 = table(name, FlowKey::kIp4Bytes);
    Table ip6 = ipv6 ? table(name + "-6", sizeof(FlowKey)) : nullptr;
    const NextPlaces next4 = NextPlaces::of(ip4.get(), name, FlowKey::kIp4Bytes);
    return FlowTable(std::move(ip4), std::move(ip6), next4, capacity_keys, secret);
}

/// rte_hash keeps the numbers of its free places in a ring, which is found by its name, and the distance of two places
/// in memory is that of two keys.
FlowTable::NextPlaces FlowTable::NextPlaces::of(const rte_hash* table, const std::string& name, unsigned key_bytes) {
    const rte_ring* free = rte_ring_lookup(("HT_" + name).c_str());
    if (free == nullptr) return {};
    std::array<FlowKey, 2> keys;
    keys[1].sport = be16(1);
    std::array<std::int32_t, 2> at{};
    std::array<const char*, 2> where{};
    bool known = true;
    for (unsigned i = 0; i < 2; ++i) {
        at[i] = rte_hash_add_key(table, &keys[i]);
        void* key = nullptr;
        known = known && at[i] >= 0 && rte_hash_get_key_with_position(table, at[i], &key) == 0;
        where[i] = static_cast<const char*>(key);
    }
    for (const FlowKey& key : keys) rte_hash_del_key(table, &key);
    if (!known || at[1] != at[0] + 1 || where[1] < where[0] + key_bytes) return {};
    const auto bytes = static_cast<std::uint32_t>(where[1] - where[0]);
    // Positions count from the second place on.
    return {free, where[0] - (std::size_t{static_cast<std::uint32_t>(at[0])} + 1) * bytes, bytes};
}

void FlowTable::NextPlaces::prefetch() const noexcept {
    constexpr std::uint32_t kAhead = 8;
    if (free == nullptr) return;
    const auto* numbers = reinterpret_cast<const std::uint32_t*>(free + 1);
    __builtin_prefetch(places + std::size_t{numbers[(free->cons.head + kAhead) & free->mask]} * bytes, 1);
}

bool FlowTable::insert(const FlowKey& key, std::uint32_t hash, FlowRef value) noexcept {
    const rte_hash* table = table_of(key);
    if (size_ == capacity_ || table == nullptr) return false;
    if (rte_hash_lookup_with_hash(table, &key, hash) >= 0) return false;
    return insert_new(key, hash, value);
}

bool FlowTable::insert_new(const FlowKey& key, std::uint32_t hash, FlowRef value) noexcept {
    const rte_hash* table = table_of(key);
    if (size_ == capacity_ || table == nullptr) return false;
    if (!key.is_v6()) next4_.prefetch();
    if (rte_hash_add_key_with_hash_data(table, &key, hash, pack(value)) != 0) return false;
    ++size_;
    inserted_[hash / 64 % inserted_.size()] |= std::uint64_t{1} << (hash % 64);
    any_inserted_ = true;
    return true;
}

bool FlowTable::erase(const FlowKey& key, std::uint32_t hash) noexcept {
    const rte_hash* table = table_of(key);
    if (table == nullptr || rte_hash_del_key_with_hash(table, &key, hash) < 0) return false;
    --size_;
    return true;
}

FlowRef FlowTable::lookup(const FlowKey& key, std::uint32_t hash) const noexcept {
    void* data = nullptr;
    const rte_hash* table = table_of(key);
    if (table == nullptr || rte_hash_lookup_with_hash_data(table, &key, hash, &data) < 0) return {};
    return unpack(data);
}

std::uint64_t FlowTable::lookup_bulk(std::span<const FlowKey* const> keys, const std::uint32_t* hashes,
                                     FlowRef* found) const noexcept {
    assert(keys.size() <= kMaxBulk);
    if (keys.empty()) return 0;
    bool any_ip6 = false;
    for (const FlowKey* key : keys) any_ip6 |= key->is_v6();
    if (any_ip6) return lookup_mixed(keys, hashes, found);
    return lookup_in(ip4_.get(), raw(keys), hashes, found);
}

std::uint64_t FlowTable::lookup_bulk_ip4(std::span<const void* const> keys, const std::uint32_t* hashes,
                                         FlowRef* found) const noexcept {
    assert(!keys.empty() && keys.size() <= kMaxBulk);
    return lookup_in(ip4_.get(), keys, hashes, found);
}

std::uint64_t FlowTable::lookup_mixed(std::span<const FlowKey* const> keys, const std::uint32_t* hashes,
                                      FlowRef* found) const noexcept {
    std::uint64_t hits = 0;
    for (const bool v6 : {false, true}) {
        std::array<const FlowKey*, kMaxBulk> of_family;
        std::array<std::uint32_t, kMaxBulk> hash_of;
        std::array<FlowRef, kMaxBulk> value;
        std::array<std::uint8_t, kMaxBulk> place;
        std::size_t n = 0;
        for (std::size_t i = 0; i < keys.size(); ++i) {
            if (keys[i]->is_v6() != v6) continue;
            of_family[n] = keys[i];
            hash_of[n] = hashes[i];
            place[n++] = static_cast<std::uint8_t>(i);
            found[i] = {};
        }
        const rte_hash* table = v6 ? ip6_.get() : ip4_.get();
        if (n == 0 || table == nullptr) continue;
        const std::uint64_t of_table =
            lookup_in(table, raw(std::span(of_family.data(), n)), hash_of.data(), value.data());
        for (std::size_t i = 0; i < n; ++i) {
            found[place[i]] = value[i];
            hits |= (of_table >> i & 1U) << place[i];
        }
    }
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

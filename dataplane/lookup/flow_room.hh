// What flows take of the memory that DPDK was given, in bytes: the one place that knows, for the tables when they are
// made and for control, which reckons before the start whether memory.megabytes has room. Pure functions.
#pragma once

#include <algorithm>
#include <bit>
#include <cstdint>

#include "dataplane/flow/flow_entry.hh"
#include "dataplane/flow/flow_key.hh"
#include "dataplane/lookup/source_mappings.hh"

namespace sluice {

/// Stubs are for flows whose two ends have different homes: as many as flows would be the worst case, when every flow
/// is twice-NATed or local and half of them are owned elsewhere.
constexpr std::uint32_t stub_capacity(std::uint32_t flows) noexcept {
    return flows / 2 + 64;
}

/// Keys of a table of `flows` slots: two each, and the stubs.
constexpr std::uint32_t key_capacity(std::uint32_t flows) noexcept {
    return 2 * flows + stub_capacity(flows);
}

/// rte_hash rounds its bucket array up to a power of two but takes memory for the keys as asked. So we ask for as few
/// keys as possible among the numbers that give a bucket array of 4/3 of the capacity or more.
constexpr std::uint32_t hash_entries(std::uint32_t capacity_keys) noexcept {
    const std::uint64_t wanted_buckets = std::bit_ceil((std::uint64_t{capacity_keys} * 4 + 2) / 3);
    return static_cast<std::uint32_t>(std::max<std::uint64_t>({capacity_keys, wanted_buckets / 2 + 1, 8}));
}

/// One rte_hash: for each entry of the rounded array 8 bytes of bucket and 4 of the ring of free keys, and the keys
/// with 8 bytes of data, in units of 16.
constexpr std::uint64_t hash_bytes(std::uint32_t capacity_keys, std::uint32_t key_bytes) noexcept {
    const std::uint64_t entries = hash_entries(capacity_keys);
    return 12 * std::bit_ceil(entries + 1) + (entries + 1) * ((key_bytes + 8 + 15) / 16 * 16);
}

/// A FlowTable of so many keys.
constexpr std::uint64_t key_table_bytes(std::uint32_t capacity_keys, bool ipv6) noexcept {
    return hash_bytes(capacity_keys, FlowKey::kIp4Bytes) +
           (ipv6 ? hash_bytes(capacity_keys, static_cast<std::uint32_t>(sizeof(FlowKey))) : 0);
}

/// A FlowStore of so many slots.
constexpr std::uint64_t flow_store_bytes(std::uint32_t flows, bool ipv6) noexcept {
    const std::uint64_t slot = sizeof(FlowHot) + sizeof(FlowCold) + (ipv6 ? sizeof(FlowHigh) : 0) + sizeof(SlotIndex);
    return flows * slot + SourceMappings::bytes(flows) + key_table_bytes(key_capacity(flows), ipv6);
}

}  // namespace sluice

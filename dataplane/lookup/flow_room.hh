// What flows take of the memory that DPDK was given, in bytes: the one place that knows, for the tables when they are
// made and for control, which reckons before the start whether memory.megabytes has room. Pure functions.
#pragma once

#include <cstdint>

#include "dataplane/flow/flow_entry.hh"
#include "dataplane/lookup/source_mappings.hh"
#include "dataplane/lookup/tag_buckets.hh"

namespace sluice {

/// Stubs are for flows whose two ends have different homes: as many as flows would be the worst case, when every flow
/// is twice-NATed or local and half of them are owned elsewhere.
constexpr std::uint32_t stub_capacity(std::uint32_t flows) noexcept {
    return flows / 2 + 64;
}

/// Keys by which errors find ESP flows, which no packet has (quoted_key).
constexpr std::uint32_t quoted_capacity(std::uint32_t flows) noexcept {
    return flows / 16 + 64;
}

/// Keys of a table of `flows` slots: two each, and what is not a flow's. `alone`: there is no other worker.
constexpr std::uint32_t key_capacity(std::uint32_t flows, bool alone) noexcept {
    return 2 * flows + quoted_capacity(flows) + (alone ? 0 : stub_capacity(flows));
}

/// A FlowStore of so many slots.
constexpr std::uint64_t flow_store_bytes(std::uint32_t flows, bool ipv6, bool alone) noexcept {
    const std::uint64_t slot = sizeof(FlowHot) + sizeof(FlowCold) + (ipv6 ? sizeof(FlowHigh) : 0) + sizeof(SlotIndex);
    return flows * slot + SourceMappings::bytes(flows) + TagBuckets::bytes(key_capacity(flows, alone));
}

}  // namespace sluice

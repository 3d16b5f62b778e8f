// Where the keys of a worker's flow table lie: with its flows, in a line that their packets need anyway, and with its
// stubs.
//
// Owner: the worker whose store it is.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>

#include "dataplane/flow/flow_entry.hh"
#include "dataplane/flow/flow_key.hh"
#include "dataplane/flow/flow_ref.hh"

namespace sluice {

/// A reply key that is kept here for a flow that another worker owns. It names the flow by its original tuple, so that
/// a stub which outlives its flow for a moment can do no harm.
struct Stub {
    std::uint8_t owner = 255;
    FlowKey reply{};
    FlowKey original{};
};

/// The key by which ICMP errors find the ESP flow whose packets they quote, as these leave in direction `d`; no packet
/// has it. It stands in the table for the opposite direction.
[[nodiscard]] inline FlowKey quoted_key(const FlowView& flow, Direction d) noexcept {
    FlowKey key = flow.key(d);
    key.set_src(flow.source_of(d, key.is_v6()));
    key.set_dst(flow.destination_of(d, key.is_v6()));
    key.zone = flow.zone(opposite(d));  // errors come by the port where its packets leave
    key.flags |= FlowKey::kQuoted;
    return key;
}

/// Keys of a KeyTable. References up to `slots` are flows', those from there on stubs'.
class StoredKeys {
public:
    /// `high`: nullptr without IPv6.
    StoredKeys(std::uint32_t slots, FlowHot* hot, FlowCold* cold, FlowHigh* high, const Stub* stubs) noexcept
        : hot_(hot), cold_(cold), high_(high), stubs_(stubs), slots_(slots) {}

    [[nodiscard]] bool is_stub(FlowRef ref) const noexcept { return ref.slot() >= slots_; }

    [[nodiscard]] bool has(FlowRef ref, const FlowKey& key) const noexcept {
        if (is_stub(ref)) return stubs_[ref.slot() - slots_].reply == key;
        const unsigned d = index_of(ref.direction());
        if (std::memcmp(&hot_[ref.slot()].key[d], &key, FlowKey::kIp4Bytes) == 0)
            return !key.is_v6() ||
                   (high_[ref.slot()].src[d] == key.src_high && high_[ref.slot()].dst[d] == key.dst_high);
        if ((key.flags & FlowKey::kQuoted) == 0) [[likely]]
            return false;
        return quoted_key(flow(ref.slot()), opposite(ref.direction())) == key;
    }
    /// The same of an IPv4 key, by its first 16 bytes.
    [[nodiscard]] bool has_ip4(FlowRef ref, const KeyHead& key) const noexcept {
        if (is_stub(ref)) [[unlikely]]
            return std::memcmp(&stubs_[ref.slot() - slots_].reply, &key, sizeof key) == 0;
        const KeyHead& own = hot_[ref.slot()].key[index_of(ref.direction())];
        return ((own.words[0] ^ key.words[0]) | (own.words[1] ^ key.words[1])) == 0;
    }
    /// A packet that probably is of the flow: all lines that it needs. `memory`: what a tracker remembers, too.
    void prefetch(FlowRef ref, bool memory = true) const noexcept {
        if (is_stub(ref)) [[unlikely]]
            return;
        const FlowHot& hot = hot_[ref.slot()];
        __builtin_prefetch(&hot.half[index_of(ref.direction())], 1);
        __builtin_prefetch(&hot.lifetime, 1);
        // Without a branch: who sends what is not to be foreseen.
        static_assert(offsetof(FlowHot, tcp) == offsetof(FlowHot, lifetime) + 64);
        __builtin_prefetch(reinterpret_cast<const char*>(&hot.lifetime) + (memory ? 64 : 0), 1);
    }

private:
    [[nodiscard]] FlowView flow(SlotIndex slot) const noexcept {
        return {hot_[slot], cold_[slot], high_ == nullptr ? nullptr : &high_[slot]};
    }

    FlowHot* hot_;
    FlowCold* cold_;
    FlowHigh* high_;
    const Stub* stubs_;
    std::uint32_t slots_;
};

}  // namespace sluice

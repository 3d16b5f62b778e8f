// What the flow table says about a key: which slot of the worker's flow array, and which direction of that flow the
// key belongs to. 32 bits, so that it fits in the table's value word and in a message between workers.
#pragma once

#include <cstdint>

#include "dataplane/base/types.hh"

namespace sluice {

class FlowRef {
public:
    static constexpr std::uint32_t kMaxSlot = 0x7ffffffeU;  ///< the value above it means "none"

    constexpr FlowRef() noexcept = default;  ///< none
    /// `slot` ≤ kMaxSlot.
    constexpr FlowRef(std::uint32_t slot, Direction direction) noexcept : raw_(slot << 1 | index_of(direction)) {}
    static constexpr FlowRef from_raw(std::uint32_t raw) noexcept {
        FlowRef ref;
        ref.raw_ = raw;
        return ref;
    }

    [[nodiscard]] constexpr explicit operator bool() const noexcept { return raw_ != kNone; }
    [[nodiscard]] constexpr std::uint32_t slot() const noexcept { return raw_ >> 1; }
    [[nodiscard]] constexpr Direction direction() const noexcept { return static_cast<Direction>(raw_ & 1U); }
    [[nodiscard]] constexpr std::uint32_t raw() const noexcept { return raw_; }

    friend constexpr bool operator==(FlowRef, FlowRef) = default;

private:
    static constexpr std::uint32_t kNone = 0xffffffffU;
    std::uint32_t raw_ = kNone;
};
static_assert(sizeof(FlowRef) == 4);

}  // namespace sluice

// Arithmetic of TCP sequence numbers: order modulo 2^32 (RFC 9293 section 3.4). Two numbers are comparable when they
// are less than 2^31 apart, which every window guarantees.
#pragma once

#include <cstdint>

namespace sluice {

constexpr bool seq_before(std::uint32_t a, std::uint32_t b) noexcept {
    return static_cast<std::int32_t>(a - b) < 0;
}
constexpr bool seq_after(std::uint32_t a, std::uint32_t b) noexcept {
    return seq_before(b, a);
}

}  // namespace sluice

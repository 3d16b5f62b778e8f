// Checksums to be verified, not written: the sum may stay as wide as it comes out, and for the smallest packets, which
// come the fastest, it is made in vectors and without a branch. Any thread.
#pragma once

#include <array>
#include <cstdint>
#include <cstring>

namespace sluice {

/// Whether a sum of words of 16 or 32 bits comes to 0xffff when it is folded: what all words that a checksum covers,
/// itself among them, come to when it is right. `sum` is not zero (of no packet it is).
constexpr bool is_zero_sum(std::uint64_t sum) noexcept {
    // Folding keeps the remainder of a division by 0xffff, and for a multiple of it, and nothing else, a product with
    // the inverse modulo 2^64 is its share: a multiplication, where compilers divide.
    constexpr std::uint64_t kInverse = 0xfffefffefffeffffU, kGreatestShare = 0x0001000100010001U;
    static_assert(kInverse * 0xffffU == 1 && kGreatestShare == ~std::uint64_t{0} / 0xffffU);
    return sum * kInverse <= kGreatestShare;
}

inline constexpr unsigned kShortSum = 64;

/// Sum of the 32-bit words of `length` bytes, at most kShortSum, all of which can be read.
[[nodiscard]] inline std::uint64_t short_sum(const std::uint8_t* bytes, unsigned length) noexcept {
    using Lanes [[gnu::vector_size(32)]] = std::uint64_t;
    alignas(64) static constexpr auto kMask = [] {
        std::array<std::uint8_t, 2 * kShortSum> mask{};
        for (unsigned i = 0; i < kShortSum; ++i) mask[i] = 0xff;
        return mask;
    }();
    Lanes low, high, low_mask, high_mask;
    const std::uint8_t* mask = kMask.data() + kShortSum - length;
    std::memcpy(&low, bytes, sizeof low);
    std::memcpy(&high, bytes + sizeof low, sizeof high);
    std::memcpy(&low_mask, mask, sizeof low_mask);
    std::memcpy(&high_mask, mask + sizeof low_mask, sizeof high_mask);
    low &= low_mask;
    high &= high_mask;
    const Lanes sums = (low & 0xffffffffU) + (low >> 32) + (high & 0xffffffffU) + (high >> 32);
    return sums[0] + sums[1] + sums[2] + sums[3];
}

}  // namespace sluice

// Internet checksum (RFC 1071) and its incremental update (RFC 1624, eqn. 3).
//
// A `ChecksumDelta` is what a rewrite adds to a checksum: it is computed once when a flow is created and applied per
// packet with two additions and two folds. All sums are over 16-bit words as they lie in memory, so no byte swapping is
// needed anywhere.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>

#include "dataplane/base/ip_address.hh"
#include "dataplane/base/types.hh"

namespace sluice {

constexpr std::uint16_t fold(std::uint32_t sum) noexcept {
    sum = (sum & 0xffffU) + (sum >> 16);
    sum = (sum & 0xffffU) + (sum >> 16);
    return static_cast<std::uint16_t>(sum);
}

/// One's-complement sum to be added to ~checksum; zero means "nothing changes".
struct ChecksumDelta {
    std::uint16_t sum = 0;

    constexpr void replace(Be16 from, Be16 to) noexcept {
        sum = fold(std::uint32_t{sum} + static_cast<std::uint16_t>(~from.raw) + to.raw);
    }
    constexpr void replace(Be32 from, Be32 to) noexcept {
        const std::uint32_t gone = ~from.raw;
        sum = fold(std::uint32_t{sum} + (gone & 0xffffU) + (gone >> 16) + (to.raw & 0xffffU) + (to.raw >> 16));
    }
    constexpr void replace(const IpAddress& from, const IpAddress& to) noexcept {
        for (unsigned i = 0; i < from.high.size(); ++i)
            replace(Be32::from_raw(from.high[i]), Be32::from_raw(to.high[i]));
        replace(from.low, to.low);
    }
    /// Of the change that takes this one back. In one of the two ways to write each sum, the one that replace() writes.
    [[nodiscard]] constexpr ChecksumDelta inverse() const noexcept {
        if (sum == 0) return {};
        return {sum == 0xffff ? sum : static_cast<std::uint16_t>(~sum)};
    }
    constexpr void add(ChecksumDelta other) noexcept { sum = fold(std::uint32_t{sum} + other.sum); }

    /// The checksum field after the change. HC' = ~(~HC + ~m + m').
    [[nodiscard]] constexpr std::uint16_t apply(std::uint16_t checksum_raw) const noexcept {
        return apply(checksum_raw, {});
    }
    /// After this change and another one.
    [[nodiscard]] constexpr std::uint16_t apply(std::uint16_t checksum_raw, ChecksumDelta other) const noexcept {
        const std::uint32_t before = static_cast<std::uint16_t>(~checksum_raw);
        return static_cast<std::uint16_t>(~fold(before + sum + other.sum));
    }
};

namespace detail {

template <class Word>
Word load_word(const std::uint8_t* bytes) noexcept {
    Word word;
    std::memcpy(&word, bytes, sizeof word);
    return word;
}

/// Of `chunks` times 64 bytes: a loop that compilers turn into vectors, with no carry to hand on.
inline std::uint64_t sum_of_chunks(const std::uint8_t* bytes, std::size_t chunks) noexcept {
    std::uint64_t wide = 0;
    for (std::size_t i = 0; i < chunks * 16; ++i) wide += load_word<std::uint32_t>(bytes + i * 4);
    return wide;
}

}  // namespace detail

/// Sum over `length` bytes, not folded to 16 bits; an odd last byte counts as the high byte of a word (RFC 1071).
/// Always the same steps for one length: how many folds it takes depends on the data, which no branch predictor knows.
inline std::uint32_t partial_sum(const void* data, std::size_t length, std::uint32_t sum = 0) noexcept {
    const auto* bytes = static_cast<const std::uint8_t*>(data);
    std::uint64_t wide = sum;
    if (length >= 64) {
        const std::size_t chunks = length / 64;
        wide += detail::sum_of_chunks(bytes, chunks);
        bytes += chunks * 64;
        length %= 64;
    }
    for (; length >= 8; length -= 8, bytes += 8) {
        const bool carry = __builtin_add_overflow(wide, detail::load_word<std::uint64_t>(bytes), &wide);
        wide += carry ? 1 : 0;  // comes in again at the low end
    }
    std::uint64_t rest = 0;
    if ((length & 4) != 0) {
        rest += detail::load_word<std::uint32_t>(bytes);
        bytes += 4;
    }
    if ((length & 2) != 0) {
        rest += detail::load_word<std::uint16_t>(bytes);
        bytes += 2;
    }
    if ((length & 1) != 0) rest += Be16::from_host(static_cast<std::uint16_t>(*bytes << 8)).raw;
    wide = (wide & 0xffffffffU) + (wide >> 32) + rest;
    wide = (wide & 0xffffffffU) + (wide >> 32);
    wide = (wide & 0xffffffffU) + (wide >> 32);
    return static_cast<std::uint32_t>(wide);
}

inline std::uint16_t checksum_of(const void* data, std::size_t length, std::uint32_t initial = 0) noexcept {
    return static_cast<std::uint16_t>(~fold(partial_sum(data, length, initial)));
}

/// Sum of the pseudo header for `l4_length` bytes of `proto`, of IPv4 (RFC 9293, 768) or IPv6 (RFC 8200 8.1).
constexpr std::uint32_t pseudo_header_sum(Ip4 src, Ip4 dst, std::uint8_t proto, std::uint16_t l4_length) noexcept {
    return (src.raw & 0xffffU) + (src.raw >> 16) + (dst.raw & 0xffffU) + (dst.raw >> 16) + Be16::from_host(proto).raw +
           Be16::from_host(l4_length).raw;
}
constexpr std::uint32_t pseudo_header_sum(const IpAddress& src, const IpAddress& dst, std::uint8_t proto,
                                          std::uint16_t l4_length) noexcept {
    std::uint32_t sum = pseudo_header_sum(src.low, dst.low, proto, l4_length);
    if (src.is_v4()) return sum;
    for (unsigned i = 0; i < src.high.size(); ++i)
        sum += (src.high[i] & 0xffffU) + (src.high[i] >> 16) + (dst.high[i] & 0xffffU) + (dst.high[i] >> 16);
    return sum;
}

}  // namespace sluice

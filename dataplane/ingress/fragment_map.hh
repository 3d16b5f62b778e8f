// Which bytes of a datagram have come: a bit for each eight, the unit in which fragments are placed (RFC 791 3.1). So
// whether a fragment is new, was here before or lies across others is known after looking at a few words, however many
// fragments there are and in whatever order they come.
//
// What counts as a repetition is what Linux takes for one (inet_fragment.c, inet_frag_queue_insert): a fragment of
// which everything has come, within one run of fragments that came in order. Anything else that touches bytes which are
// here is an overlap (RFC 5722).
//
// A plain value; owner: one worker. Cannot fail.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>

namespace sluice {

class FragmentMap {
public:
    enum class Place : std::uint8_t { fresh, repeated, overlapping };

    /// The fragment of bytes `begin` (a multiple of 8) to `end` (not included, beyond `begin`, at most 65536) has come.
    /// Only if it is fresh, that is noted.
    [[nodiscard]] Place add(std::uint32_t begin, std::uint32_t end) noexcept {
        const std::uint32_t first = begin / 8, last = (end - 1) / 8;
        bool some = false, all = true, one_run = true;
        for (std::uint32_t w = first / 64; w <= last / 64; ++w) {
            const std::uint64_t bits = mask(w, first, last);
            some |= (covered_[w] & bits) != 0;
            all &= (covered_[w] & bits) == bits;
            one_run &= (runs_[w] & bits & ~bit(w, first)) == 0;
        }
        if (some) return all && one_run ? Place::repeated : Place::overlapping;
        for (std::uint32_t w = first / 64; w <= last / 64; ++w) covered_[w] |= mask(w, first, last);
        if (begin != reach_) runs_[first / 64] |= bit(first / 64, first);
        reach_ = std::max(reach_, end);
        return Place::fresh;
    }
    /// End of the farthest byte that has come.
    [[nodiscard]] std::uint32_t reach() const noexcept { return reach_; }
    void clear() noexcept {
        const std::size_t used = (reach_ + 511) / 512;
        std::fill_n(covered_.begin(), used, 0);
        std::fill_n(runs_.begin(), used, 0);
        reach_ = 0;
    }

private:
    static constexpr std::size_t kWords = 65536 / 8 / 64;

    /// The bits of units first … last that are in word `w`.
    static constexpr std::uint64_t mask(std::uint32_t w, std::uint32_t first, std::uint32_t last) noexcept {
        std::uint64_t bits = ~std::uint64_t{0};
        if (w == first / 64) bits &= ~std::uint64_t{0} << (first % 64);
        if (w == last / 64) bits &= ~std::uint64_t{0} >> (63 - last % 64);
        return bits;
    }
    static constexpr std::uint64_t bit(std::uint32_t w, std::uint32_t unit) noexcept {
        return w == unit / 64 ? std::uint64_t{1} << (unit % 64) : 0;
    }

    std::array<std::uint64_t, kWords> covered_{};
    std::array<std::uint64_t, kWords> runs_{};  // where a run begins behind or before what was there
    std::uint32_t reach_ = 0;
};

}  // namespace sluice

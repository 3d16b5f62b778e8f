// How long loops of a worker took: a histogram with 32 steps for each power of two (3 % apart), so that counting costs
// a few instructions and no memory while something is measured.
#pragma once

#include <algorithm>
#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>

namespace sluice::bench {

class LoopTimes {
public:
    void add(std::uint64_t cycles) noexcept {
        ++counts_[place(cycles)];
        ++count_;
        longest_ = std::max(longest_, cycles);
    }
    void clear() noexcept { *this = LoopTimes{}; }
    [[nodiscard]] std::uint64_t count() const noexcept { return count_; }
    [[nodiscard]] std::uint64_t longest() const noexcept { return longest_; }
    /// The time that a share of `q` of all loops does not exceed, within 3 %; 0 without any.
    [[nodiscard]] std::uint64_t quantile(double q) const noexcept {
        const auto wanted = static_cast<std::uint64_t>(q * static_cast<double>(count_));
        std::uint64_t seen = 0;
        for (std::size_t i = 0; i < counts_.size(); ++i) {
            seen += counts_[i];
            if (seen > wanted) return std::min(upper_end(i), longest_);
        }
        return longest_;
    }
    void add(const LoopTimes& other) noexcept {
        for (std::size_t i = 0; i < counts_.size(); ++i) counts_[i] += other.counts_[i];
        count_ += other.count_;
        longest_ = std::max(longest_, other.longest_);
    }

private:
    static constexpr unsigned kBits = 5;
    static constexpr std::size_t kSteps = std::size_t{1} << kBits;

    /// Below 32 by itself; above by the highest bit and the five behind it.
    static std::size_t place(std::uint64_t cycles) noexcept {
        if (cycles < kSteps) return cycles;
        const auto shift = static_cast<unsigned>(std::bit_width(cycles)) - kBits - 1;
        return (std::size_t{shift} << kBits) + (cycles >> shift);
    }
    static std::uint64_t upper_end(std::size_t place) noexcept {
        if (place < 2 * kSteps) return place;
        const std::size_t shift = (place >> kBits) - 1;
        return ((place - (shift << kBits) + 1) << shift) - 1;
    }

    std::array<std::uint64_t, 64 * kSteps> counts_{};
    std::uint64_t count_ = 0;
    std::uint64_t longest_ = 0;
};

}  // namespace sluice::bench

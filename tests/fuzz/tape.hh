// The bytes of a fuzzer's input, read as a tape of choices. A tape that has ended gives zeros, so that every input is a
// whole program and a shorter one is a simpler one.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>

namespace sluice::fuzz {

class Tape {
public:
    explicit Tape(std::span<const std::uint8_t> bytes) noexcept : left_(bytes) {}

    [[nodiscard]] bool ended() const noexcept { return left_.empty(); }
    std::uint8_t byte() noexcept {
        if (left_.empty()) return 0;
        const std::uint8_t first = left_.front();
        left_ = left_.subspan(1);
        return first;
    }
    /// 0 … n-1
    unsigned below(unsigned n) noexcept { return byte() % n; }
    bool one_in(unsigned n) noexcept { return below(n) == n - 1; }
    std::uint16_t half() noexcept { return static_cast<std::uint16_t>(byte() << 8 | byte()); }
    std::uint32_t word() noexcept { return static_cast<std::uint32_t>(half()) << 16 | half(); }
    /// Small numbers mostly, of either sign.
    std::int32_t step() noexcept {
        const auto small = static_cast<std::int8_t>(byte());
        return small == 127 ? static_cast<std::int32_t>(word()) : small;
    }
    std::span<const std::uint8_t> bytes(std::size_t most) noexcept {
        const auto taken = left_.first(std::min<std::size_t>(most, left_.size()));
        left_ = left_.subspan(taken.size());
        return taken;
    }
    /// One of `list`.
    template <class T, std::size_t N>
    const T& of(const T (&list)[N]) noexcept {
        return list[below(N)];
    }

private:
    std::span<const std::uint8_t> left_;
};

}  // namespace sluice::fuzz

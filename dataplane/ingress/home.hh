// Which worker is home to an address (design: who owns a flow). The hash is Toeplitz over the one address with the key
// 6d5a 6d5a …, so that a NIC that can hash on one address (RSS L3_SRC_ONLY or L3_DST_ONLY) and software that has to
// steer for it come to the same worker.
//
// A key that repeats every 16 bits makes source and destination interchangeable (Woo and Park, "Scalable TCP session
// monitoring with symmetric receive-side scaling", 2012), which we need: the same address is the source on one port and
// the destination on another, at different places of the hash input. It also makes the hash small: the high half of
// the address counts only through its XOR with the low half, and both halves of the result are equal. So a table of
// 2 × 256 16-bit words does the work of 32 steps, in two loads from 1 KB.
//
// 6d5a has an odd number of ones, so the map from 16 bits to 16 bits is a bijection: 65536 addresses in sequence hit
// each of the 65536 hash values, and each entry of the redirection table, equally often.
//
// Life cycle: a HomeMap is filled at start, before workers run, and programmed into the devices; constant afterwards.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

#include "dataplane/base/ip_address.hh"
#include "dataplane/base/types.hh"

namespace sluice {

inline constexpr std::uint16_t kHomeKey16 = 0x6d5a;

/// The RSS key for devices: as long as the longest that NICs want (52 bytes); use as much of it as the device takes.
inline constexpr std::array<std::uint8_t, 52> kHomeRssKey = [] {
    std::array<std::uint8_t, 52> key{};
    for (std::size_t i = 0; i < key.size(); ++i)
        key[i] = static_cast<std::uint8_t>(i % 2 == 0 ? kHomeKey16 >> 8 : kHomeKey16 & 0xffU);
    return key;
}();

namespace detail {

struct HomeHashTables {
    std::array<std::uint16_t, 256> high{};
    std::array<std::uint16_t, 256> low{};
};

constexpr HomeHashTables make_home_hash_tables() noexcept {
    // Bit b of the input, counted from the most significant, adds the key rotated left by b (Toeplitz, period 16).
    const auto window = [](unsigned b) {
        return static_cast<std::uint16_t>(b == 0 ? kHomeKey16 : (kHomeKey16 << b | kHomeKey16 >> (16 - b)));
    };
    HomeHashTables tables;
    for (unsigned value = 0; value < 256; ++value) {
        for (unsigned bit = 0; bit < 8; ++bit) {
            if ((value & (0x80U >> bit)) == 0) continue;
            tables.high[value] = static_cast<std::uint16_t>(tables.high[value] ^ window(bit));
            tables.low[value] = static_cast<std::uint16_t>(tables.low[value] ^ window(8 + bit));
        }
    }
    return tables;
}

inline constexpr HomeHashTables kHomeHashTables = make_home_hash_tables();

}  // namespace detail

/// What a NIC computes over `address` alone with kHomeRssKey, wherever in the input the address lies.
constexpr std::uint32_t home_hash(Ip4 address) noexcept {
    const std::uint32_t host = address.host();
    const std::uint32_t folded = (host >> 16 ^ host) & 0xffffU;
    const std::uint32_t half = detail::kHomeHashTables.high[folded >> 8] ^ detail::kHomeHashTables.low[folded & 0xffU];
    return half << 16 | half;
}

constexpr std::uint32_t home_hash(const IpAddress& address) noexcept {
    if (address.is_v4()) return home_hash(address.v4());
    // The key repeats every 16 bits, so all words of 32 bits count alike.
    return home_hash(Be32::from_raw(address.high[0] ^ address.high[1] ^ address.high[2] ^ address.low.raw));
}

/// Worker by address.
class HomeMap {
public:
    static constexpr std::size_t kEntries = 128;  ///< a size that all NICs with a redirection table have
    static constexpr unsigned kMaxWorkers = 128;

    /// Each worker has a run of consecutive entries, run lengths differ by one entry at most. Throws
    /// std::invalid_argument unless 1 ≤ workers ≤ 128.
    explicit HomeMap(unsigned workers);

    [[nodiscard]] std::uint8_t of(const IpAddress& address) const noexcept {
        return reta_[home_hash(address) % kEntries];
    }
    [[nodiscard]] unsigned workers() const noexcept { return workers_; }
    /// For programming devices: entry i is the queue (= worker) of hashes with i in their low seven bits.
    [[nodiscard]] std::span<const std::uint8_t, kEntries> reta() const noexcept { return reta_; }

private:
    std::array<std::uint8_t, kEntries> reta_{};
    unsigned workers_;
};

}  // namespace sluice

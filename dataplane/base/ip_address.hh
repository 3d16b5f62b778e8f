// An IPv4 or IPv6 address as one value, so that rules, pools, routes and helpers are written once for both. IPv4 is
// held in its mapped form, ::ffff:a.b.c.d (RFC 4291 2.5.5.2), which is never on a wire: which family an address is of
// can be told from its value, ranges and prefixes of either need no case of their own, and no address is two values.
//
// A default-made one is "none" (the unspecified address ::); 0.0.0.0 is an IPv4 address like any other.
//
// Pure values; any thread.
#pragma once

#include <array>
#include <compare>
#include <cstdint>
#include <cstring>
#include <optional>

#include "dataplane/base/types.hh"

namespace sluice {

/// The upper 96 bits of an address as they lie in a packet.
using AddressHigh = std::array<std::uint32_t, 3>;
/// Those of every IPv4 address.
inline constexpr AddressHigh kIp4High{0, 0, Be32::from_host(0xffff).raw};

struct IpAddress {
    AddressHigh high{};
    Be32 low{};  ///< an IPv4 address as a whole, or the last 32 bits

    constexpr IpAddress() noexcept = default;
    /// Implicit: every IPv4 address is an address.
    constexpr IpAddress(Ip4 v4) noexcept : high(kIp4High), low(v4) {}
    constexpr IpAddress(const AddressHigh& upper, Be32 lower) noexcept : high(upper), low(lower) {}
    /// 16 bytes as in a packet.
    static IpAddress from_bytes(const void* bytes) noexcept {
        IpAddress a;
        std::memcpy(&a, bytes, sizeof a);
        return a;
    }
    /// Groups of 16 bits: 2001:db8::1 is ip6(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1).
    static constexpr IpAddress from_groups(const std::array<std::uint16_t, 8>& g) noexcept {
        const auto word = [&](unsigned i) { return Be32::from_host(std::uint32_t{g[i]} << 16 | g[i + 1]); };
        return {{word(0).raw, word(2).raw, word(4).raw}, word(6)};
    }
    void to_bytes(void* bytes) const noexcept { std::memcpy(bytes, this, sizeof *this); }

    friend constexpr bool operator==(const IpAddress& a, const IpAddress& b) noexcept {
        return ((a.high[0] ^ b.high[0]) | (a.high[1] ^ b.high[1]) | (a.high[2] ^ b.high[2]) |
                (a.low.raw ^ b.low.raw)) == 0;
    }
    /// By value, as people read them; all IPv4 addresses lie together.
    friend constexpr std::strong_ordering operator<=>(const IpAddress& a, const IpAddress& b) noexcept {
        for (unsigned i = 0; i < 4; ++i)
            if (const auto order = a.word(i) <=> b.word(i); order != 0) return order;
        return std::strong_ordering::equal;
    }

    [[nodiscard]] constexpr bool is_v4() const noexcept {
        return (high[0] | high[1] | (high[2] ^ kIp4High[2])) == 0;  // ==: compilers call memcmp for 12 bytes
    }
    /// Meaningful when is_v4().
    [[nodiscard]] constexpr Ip4 v4() const noexcept { return low; }
    [[nodiscard]] constexpr bool is_none() const noexcept { return *this == IpAddress{}; }
    /// 32 or 128.
    [[nodiscard]] constexpr unsigned bits() const noexcept { return is_v4() ? 32 : 128; }

    /// Word i of four from the most significant one, in host order.
    [[nodiscard]] constexpr std::uint32_t word(unsigned i) const noexcept {
        return i < 3 ? Be32::from_raw(high[i]).host() : low.host();
    }
    constexpr void set_word(unsigned i, std::uint32_t value) noexcept {
        if (i < 3) {
            high[i] = Be32::from_host(value).raw;
        } else {
            low = Be32::from_host(value);
        }
    }
    /// As two numbers, host order.
    [[nodiscard]] constexpr std::uint64_t upper64() const noexcept { return std::uint64_t{word(0)} << 32 | word(1); }
    [[nodiscard]] constexpr std::uint64_t lower64() const noexcept { return std::uint64_t{word(2)} << 32 | word(3); }
    static constexpr IpAddress from_host64(std::uint64_t upper, std::uint64_t lower) noexcept {
        IpAddress a;
        a.set_word(0, static_cast<std::uint32_t>(upper >> 32));
        a.set_word(1, static_cast<std::uint32_t>(upper));
        a.set_word(2, static_cast<std::uint32_t>(lower >> 32));
        a.set_word(3, static_cast<std::uint32_t>(lower));
        return a;
    }

    /// fe80::/10, 169.254/16.
    [[nodiscard]] constexpr bool is_link_local() const noexcept {
        return is_v4() ? low.host() >> 16 == 0xa9fe : word(0) >> 22 == 0x3fa;
    }
    /// ff00::/8, 224/4.
    [[nodiscard]] constexpr bool is_multicast() const noexcept {
        return is_v4() ? low.host() >> 28 == 0xe : word(0) >> 24 == 0xff;
    }
};
static_assert(sizeof(IpAddress) == 16);

/// 2001:db8::1 is ip6(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1).
constexpr IpAddress ip6(unsigned a, unsigned b, unsigned c, unsigned d, unsigned e, unsigned f, unsigned g,
                        unsigned h) noexcept {
    const auto s = [](unsigned v) { return static_cast<std::uint16_t>(v); };
    return IpAddress::from_groups({s(a), s(b), s(c), s(d), s(e), s(f), s(g), s(h)});
}

/// `address` with the bits behind the first `length` (of its own 32 or 128) all zero, or all one.
constexpr IpAddress prefix_edge(IpAddress address, unsigned length, bool ones) noexcept {
    const unsigned from = address.is_v4() ? 96 + length : length;
    for (unsigned i = 0; i < 4; ++i) {
        const unsigned begin = i * 32;
        if (from >= begin + 32) continue;
        const std::uint32_t mask = from <= begin ? 0xffffffffU : 0xffffffffU >> (from - begin);
        address.set_word(i, ones ? address.word(i) | mask : address.word(i) & ~mask);
    }
    return address;
}
constexpr bool in_prefix(const IpAddress& address, const IpAddress& prefix, unsigned length) noexcept {
    if (address.is_v4() != prefix.is_v4()) return false;
    if (address.is_v4()) return length == 0 || (address.low.host() ^ prefix.low.host()) >> (32 - length) == 0;
    return prefix_edge(address, length, false) == prefix_edge(prefix, length, false);
}

/// Addresses first … last of one family, both included. A CIDR prefix is one of these.
struct AddressRange {
    IpAddress first{Ip4{}};
    IpAddress last{Ip4::from_raw(0xffffffffU)};

    static constexpr AddressRange prefix(const IpAddress& address, unsigned length) noexcept {
        return {prefix_edge(address, length, false), prefix_edge(address, length, true)};
    }
    friend constexpr bool operator==(const AddressRange&, const AddressRange&) = default;
    [[nodiscard]] constexpr bool is_v4() const noexcept { return first.is_v4(); }
    [[nodiscard]] constexpr bool contains(const IpAddress& a) const noexcept { return a >= first && a <= last; }
    /// How many; at most 2^62, which stands for that and more.
    [[nodiscard]] constexpr std::uint64_t size() const noexcept {
        constexpr std::uint64_t kMost = std::uint64_t{1} << 62;
        if (last.upper64() != first.upper64()) return kMost;
        const std::uint64_t apart = last.lower64() - first.lower64();
        return apart < kMost ? apart + 1 : kMost;
    }
    /// The i-th, i < size().
    [[nodiscard]] constexpr IpAddress at(std::uint64_t i) const noexcept {
        return IpAddress::from_host64(first.upper64(), first.lower64() + i);
    }
};

}  // namespace sluice

// The vocabulary of packets: network byte order is a type, so that a port or an address cannot be compared, added or
// printed in the wrong order by accident. `.host()` is the only way out, `from_host` the only way in; `raw` is what
// lies in the packet and in keys.
#pragma once

#include <array>
#include <bit>
#include <compare>
#include <cstddef>
#include <cstdint>

namespace sluice {

template <class U>
struct BigEndian {
    U raw{};

    static constexpr BigEndian from_host(U value) noexcept { return {swap(value)}; }
    static constexpr BigEndian from_raw(U value) noexcept { return {value}; }
    [[nodiscard]] constexpr U host() const noexcept { return swap(raw); }

    friend constexpr bool operator==(BigEndian, BigEndian) = default;
    /// Orders by value, not by memory image, so that address ranges compare as people read them.
    friend constexpr std::strong_ordering operator<=>(BigEndian a, BigEndian b) noexcept {
        return a.host() <=> b.host();
    }

private:
    static constexpr U swap(U v) noexcept {
        if constexpr (std::endian::native == std::endian::big) return v;
        if constexpr (sizeof(U) == 2) return __builtin_bswap16(v);
        if constexpr (sizeof(U) == 4) return __builtin_bswap32(v);
        return v;
    }
};

using Be16 = BigEndian<std::uint16_t>;
using Be32 = BigEndian<std::uint32_t>;
using Ip4 = Be32;  ///< an IPv4 address; ip_address.hh has one of either family

/// 10.0.0.1 is ip4(10, 0, 0, 1).
constexpr Ip4 ip4(unsigned a, unsigned b, unsigned c, unsigned d) noexcept {
    return Ip4::from_host((a << 24) | (b << 16) | (c << 8) | d);
}
constexpr Be16 be16(unsigned value) noexcept {
    return Be16::from_host(static_cast<std::uint16_t>(value));
}

struct MacAddress {
    std::array<std::uint8_t, 6> bytes{};
    friend constexpr bool operator==(const MacAddress&, const MacAddress&) = default;
    [[nodiscard]] constexpr bool is_group() const noexcept { return (bytes[0] & 1) != 0; }
    [[nodiscard]] constexpr bool is_zero() const noexcept { return *this == MacAddress{}; }
};

/// Ports first … last, both included (0–65535 is a full range, which a half-open pair of 16 bits cannot say).
struct PortRange {
    std::uint16_t first = 0;
    std::uint16_t last = 65535;
    friend constexpr bool operator==(const PortRange&, const PortRange&) = default;
    [[nodiscard]] constexpr bool contains(std::uint16_t port) const noexcept { return port >= first && port <= last; }
    [[nodiscard]] constexpr unsigned size() const noexcept { return unsigned{last} - first + 1U; }
};

/// Index of a logical port (a device, or a VLAN of one) in the configuration's order. `kKernelPort` stands for the box
/// itself: packets that came out of a twin.
using PortIndex = std::uint8_t;
inline constexpr PortIndex kMaxPorts = 63;
inline constexpr PortIndex kKernelPort = 63;
inline constexpr PortIndex kNoPort = 255;

/// Which side of the NAT a port is on; decides which address of a frame gives its home (design: who owns a flow).
enum class PortRole : std::uint8_t { inside, outside };

/// IP protocol numbers that have a meaning here.
enum class IpProto : std::uint8_t {
    icmp = 1,
    igmp = 2,
    tcp = 6,
    udp = 17,
    gre = 47,
    esp = 50,
    icmpv6 = 58,
    sctp = 132,
    udplite = 136
};

/// The direction of a packet in its flow, as in conntrack: the side that spoke first is `original`.
enum class Direction : std::uint8_t { original = 0, reply = 1 };
constexpr Direction opposite(Direction d) noexcept {
    return d == Direction::original ? Direction::reply : Direction::original;
}
constexpr unsigned index_of(Direction d) noexcept {
    return static_cast<unsigned>(d);
}

}  // namespace sluice

// The key of a flow in one direction, hashed, compared and copied as memory. A flow has two keys, the one its first
// packet carried and the one its answers carry; they are each other's `invert` unless NAT lies between them.
//
// One type for both families: the first 16 bytes are all that an IPv4 key needs, and all that is hashed and compared of
// one; the upper 96 bits of the two addresses follow, which of IPv4 are always the same (ip_address.hh). So everything
// that handles tuples is written once, and IPv4 pays neither in the table nor in the flow's lines.
//
// ICMP queries have no ports. Their identifier rides in `sport` in *both* directions, as in Linux, and `dport` holds
// type and code; so the answer to an echo request is found by inverting the type (RFC 792, RFC 950) and swapping only
// the addresses. Protocols without a tracker of their own are told apart by addresses and protocol number alone.
//
// Pure values; any thread. Nothing here can fail: an ICMP type that has no counterpart is kept by `invert`, and
// `icmp_is_request` tells beforehand whether a packet may open a flow at all.
#pragma once

#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <optional>
#include <type_traits>

#include "dataplane/base/ip_address.hh"
#include "dataplane/base/types.hh"
#include "dataplane/flow/protocols.hh"

namespace sluice {

/// The ICMP type that answers or asks for `type`; nothing for types that are neither query nor answer (RFC 792, 950).
/// `v6`: of ICMPv6 (RFC 4443, 4.1 and 4.2; RFC 4620), as nf_conntrack_proto_icmpv6 has them.
constexpr std::optional<std::uint8_t> icmp_inverse(std::uint8_t type, bool v6) noexcept {
    if (v6) {
        switch (type) {
            case 128:
                return 129;  // echo
            case 129:
                return 128;
            case 139:
                return 140;  // node information
            case 140:
                return 139;
            default:
                return std::nullopt;
        }
    }
    switch (type) {
        case 0:
            return 8;  // echo reply ← echo request
        case 8:
            return 0;  // echo request → echo reply
        case 13:
            return 14;  // timestamp
        case 14:
            return 13;
        case 15:
            return 16;  // information
        case 16:
            return 15;
        case 17:
            return 18;  // address mask
        case 18:
            return 17;
        default:
            return std::nullopt;
    }
}

/// True for the types that may open a flow: the asking half of each pair (as nf_conntrack_proto_icmp{,v6} do).
constexpr bool icmp_is_request(std::uint8_t type, bool v6) noexcept {
    return v6 ? type == 128 || type == 139 : type == 8 || type == 13 || type == 15 || type == 17;
}

/// The types that quote the packet which they are about (RFC 792; RFC 4443 2.1).
constexpr bool is_icmp_error(std::uint8_t type, bool v6) noexcept {
    return v6 ? type < 128 : type == 3 || type == 4 || type == 5 || type == 11 || type == 12;
}

struct FlowKey {
    static constexpr std::uint8_t kQuoted = 1;  ///< by what errors find ESP flows (FlowStore): no packet's key
    static constexpr std::uint8_t kV6 = 2;
    static constexpr std::uint8_t kOwn = 4;    ///< fragments of what the box itself sends
    static constexpr unsigned kIp4Bytes = 16;  ///< of a key, all that matters of an IPv4 one

    Be32 src_low;
    Be32 dst_low;
    Be16 sport;  ///< ICMP query: the identifier; 0 for protocols without ports
    Be16 dport;  ///< ICMP query: type << 8 | code; 0 for protocols without ports
    std::uint8_t proto = 0;
    std::uint8_t flags = 0;
    std::uint16_t zone = 0;  ///< conntrack zone, host order
    AddressHigh src_high = kIp4High;
    AddressHigh dst_high = kIp4High;

    friend constexpr bool operator==(const FlowKey&, const FlowKey&) = default;

    [[nodiscard]] constexpr IpAddress src() const noexcept { return {src_high, src_low}; }
    [[nodiscard]] constexpr IpAddress dst() const noexcept { return {dst_high, dst_low}; }
    /// Of the family that the key is of.
    constexpr void set_src(const IpAddress& a) noexcept {
        src_high = a.high;
        src_low = a.low;
    }
    constexpr void set_dst(const IpAddress& a) noexcept {
        dst_high = a.high;
        dst_low = a.low;
    }
    [[nodiscard]] constexpr bool is_v6() const noexcept { return (flags & kV6) != 0; }
    /// Makes it the key of an IPv4 packet whose addresses, and then ports, lie at these places of its headers. It must
    /// be as made by default.
    void set_ip4(const void* addresses, const void* ports, std::uint8_t protocol, std::uint16_t in_zone) noexcept;
    /// No packet's: as made by default.
    [[nodiscard]] constexpr bool is_none() const noexcept { return *this == FlowKey{}; }

    [[nodiscard]] constexpr L4Kind kind() const noexcept { return l4_kind(proto, is_v6()); }
    [[nodiscard]] constexpr TupleShape shape() const noexcept { return shape_of(kind()); }
    [[nodiscard]] constexpr std::uint8_t icmp_type() const noexcept {
        return static_cast<std::uint8_t>(dport.host() >> 8);
    }
    [[nodiscard]] constexpr std::uint8_t icmp_code() const noexcept {
        return static_cast<std::uint8_t>(dport.host() & 0xffU);
    }
};
static_assert(sizeof(FlowKey) == 40 && offsetof(FlowKey, src_high) == FlowKey::kIp4Bytes);
static_assert(std::has_unique_object_representations_v<FlowKey>);
static_assert(std::is_trivially_copyable_v<FlowKey>);

/// The first 16 bytes of an IPv4 key, of addresses and ports as they lie in the packet. In whole words: the hash reads
/// it in such ones at once, and would have to wait for what was written in pieces.
[[nodiscard]] constexpr std::array<std::uint64_t, 2> ip4_key_words(std::uint32_t source, std::uint32_t destination,
                                                                   std::uint32_t ports, std::uint8_t protocol,
                                                                   std::uint16_t zone) noexcept {
    static_assert(std::endian::native == std::endian::little && offsetof(FlowKey, sport) == 8 &&
                  offsetof(FlowKey, proto) == 12 && offsetof(FlowKey, zone) == 14);
    return {source | std::uint64_t{destination} << 32,
            ports | std::uint64_t{protocol} << 32 | std::uint64_t{zone} << 48};
}

inline void FlowKey::set_ip4(const void* addresses, const void* ports, std::uint8_t protocol,
                             std::uint16_t in_zone) noexcept {
    std::uint32_t ends[2], both_ports;
    std::memcpy(ends, addresses, sizeof ends);
    std::memcpy(&both_ports, ports, sizeof both_ports);
    const auto words = ip4_key_words(ends[0], ends[1], both_ports, protocol, in_zone);
    std::memcpy(static_cast<void*>(this), words.data(), kIp4Bytes);
}

/// Key of a packet of a protocol that has no ports, nor anything in their place. Both addresses are of one family.
constexpr FlowKey generic_key(std::uint8_t proto, const IpAddress& src, const IpAddress& dst,
                              std::uint16_t zone = 0) noexcept {
    FlowKey key;
    key.set_src(src);
    key.set_dst(dst);
    key.proto = proto;
    key.flags = src.is_v4() ? 0 : FlowKey::kV6;
    key.zone = zone;
    return key;
}

/// Key of a packet of a protocol with ports.
constexpr FlowKey port_key(IpProto proto, const IpAddress& src, Be16 sport, const IpAddress& dst, Be16 dport,
                           std::uint16_t zone = 0) noexcept {
    FlowKey key = generic_key(static_cast<std::uint8_t>(proto), src, dst, zone);
    key.sport = sport;
    key.dport = dport;
    return key;
}

/// Key of an ICMP query or its answer: ICMPv6's for IPv6 addresses.
constexpr FlowKey icmp_key(const IpAddress& src, const IpAddress& dst, std::uint8_t type, std::uint8_t code, Be16 id,
                           std::uint16_t zone = 0) noexcept {
    const IpProto proto = src.is_v4() ? IpProto::icmp : IpProto::icmpv6;
    return port_key(proto, src, id, dst, be16(static_cast<unsigned>(type) << 8 | code), zone);
}

/// The reply keys of ESP flows that nobody has answered: as SPIs they are reserved, so no packet carries them.
inline constexpr unsigned kWaitingPlaces = 16;

/// `key` of an ESP packet or flow, with the SPI that stands for the n-th place to wait in.
constexpr FlowKey waiting_key(FlowKey key, unsigned place) noexcept {
    key.sport = Be16{};
    key.dport = be16(place);
    return key;
}
constexpr bool is_waiting(const FlowKey& key) noexcept {
    return key.shape() == TupleShape::spi && key.sport == Be16{} && key.dport.host() < kWaitingPlaces;
}

/// The key that answers carry when nothing is translated. Its own inverse: invert(invert(k)) == k, but for ESP, whose
/// answers carry what nobody can know: of it, the first place to wait in. An ICMP type without a counterpart is kept as
/// it is.
constexpr FlowKey invert(const FlowKey& key) noexcept {
    FlowKey other = key;
    other.src_low = key.dst_low;
    other.dst_low = key.src_low;
    other.src_high = key.dst_high;
    other.dst_high = key.src_high;
    if (key.shape() == TupleShape::spi) return waiting_key(other, 0);
    if (key.shape() == TupleShape::query) {
        const unsigned type = icmp_inverse(key.icmp_type(), key.is_v6()).value_or(key.icmp_type());
        other.dport = be16(type << 8 | key.icmp_code());
    } else {
        other.sport = key.dport;
        other.dport = key.sport;
    }
    return other;
}

}  // namespace sluice

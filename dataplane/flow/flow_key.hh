// The key of an IPv4 flow in one direction: 16 bytes without padding, so that it is hashed, compared and copied as
// memory. A flow has two keys, the one its first packet carried and the one its answers carry; they are each other's
// `invert` unless NAT lies between them.
//
// ICMP queries have no ports. Their identifier rides in `sport` in *both* directions, as in Linux, and `dport` holds
// type and code; so the answer to an echo request is found by inverting the type (RFC 792, RFC 950) and swapping only
// the addresses. Protocols without a tracker of their own are told apart by addresses and protocol number alone.
//
// Pure values; any thread. Nothing here can fail: an ICMP type that has no counterpart is kept by `invert`, and
// `icmp_is_request` tells beforehand whether a packet may open a flow at all.
#pragma once

#include <cstdint>
#include <optional>
#include <type_traits>

#include "dataplane/base/types.hh"
#include "dataplane/flow/protocols.hh"

namespace sluice {

/// The ICMP type that answers or asks for `type`; nothing for types that are neither query nor answer (RFC 792, 950).
constexpr std::optional<std::uint8_t> icmp_inverse(std::uint8_t type) noexcept {
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

/// True for the types that may open a flow: the asking half of each pair (as nf_conntrack_proto_icmp does).
constexpr bool icmp_is_request(std::uint8_t type) noexcept {
    return type == 8 || type == 13 || type == 15 || type == 17;
}

/// The types that quote the packet which they are about (RFC 792).
constexpr bool is_icmp_error(std::uint8_t type) noexcept {
    return type == 3 || type == 4 || type == 5 || type == 11 || type == 12;
}

struct FlowKey {
    Ip4 src;
    Ip4 dst;
    Be16 sport;  ///< ICMP query: the identifier; 0 for protocols without ports
    Be16 dport;  ///< ICMP query: type << 8 | code; 0 for protocols without ports
    std::uint8_t proto = 0;
    std::uint8_t l4_kind_or_zero = 0;  ///< 1: by what errors find ESP flows (FlowStore), no packet's key; else 0
    std::uint16_t zone = 0;            ///< conntrack zone, host order

    friend constexpr bool operator==(const FlowKey&, const FlowKey&) = default;

    [[nodiscard]] constexpr L4Kind kind() const noexcept { return l4_kind(proto); }
    [[nodiscard]] constexpr TupleShape shape() const noexcept { return shape_of(kind()); }
    [[nodiscard]] constexpr std::uint8_t icmp_type() const noexcept {
        return static_cast<std::uint8_t>(dport.host() >> 8);
    }
    [[nodiscard]] constexpr std::uint8_t icmp_code() const noexcept {
        return static_cast<std::uint8_t>(dport.host() & 0xffU);
    }
};
static_assert(sizeof(FlowKey) == 16);
static_assert(std::has_unique_object_representations_v<FlowKey>);
static_assert(std::is_trivially_copyable_v<FlowKey>);

/// Key of a packet of a protocol with ports.
constexpr FlowKey port_key(IpProto proto, Ip4 src, Be16 sport, Ip4 dst, Be16 dport, std::uint16_t zone = 0) noexcept {
    return {src, dst, sport, dport, static_cast<std::uint8_t>(proto), 0, zone};
}

/// Key of an ICMP query or its answer.
constexpr FlowKey icmp_key(Ip4 src, Ip4 dst, std::uint8_t type, std::uint8_t code, Be16 id,
                           std::uint16_t zone = 0) noexcept {
    return {src, dst, id, be16(static_cast<unsigned>(type) << 8 | code), static_cast<std::uint8_t>(IpProto::icmp),
            0,   zone};
}

/// Key of a packet of any other protocol.
constexpr FlowKey generic_key(std::uint8_t proto, Ip4 src, Ip4 dst, std::uint16_t zone = 0) noexcept {
    return {src, dst, Be16{}, Be16{}, proto, 0, zone};
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
    other.src = key.dst;
    other.dst = key.src;
    if (key.shape() == TupleShape::spi) return waiting_key(other, 0);
    if (key.shape() == TupleShape::query) {
        const unsigned type = icmp_inverse(key.icmp_type()).value_or(key.icmp_type());
        other.dport = be16(type << 8 | key.icmp_code());
    } else {
        other.sport = key.dport;
        other.dport = key.sport;
    }
    return other;
}

}  // namespace sluice

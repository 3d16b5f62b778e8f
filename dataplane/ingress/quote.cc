#include "dataplane/ingress/quote.hh"

#include <cstring>

namespace sluice {

namespace {

Be16 load16(const std::uint8_t* at) noexcept {
    Be16 v;
    std::memcpy(&v.raw, at, sizeof v.raw);
    return v;
}

Ip4 load32(const std::uint8_t* at) noexcept {
    Ip4 v;
    std::memcpy(&v.raw, at, sizeof v.raw);
    return v;
}

}  // namespace

std::optional<FlowKey> quoted_tuple(std::span<const std::uint8_t> quote, std::uint16_t zone) noexcept {
    constexpr unsigned kMinHeader = 20, kFragment = 6, kProtocol = 9, kSource = 12, kDestination = 16;
    constexpr unsigned kPorts = 4, kQuery = 8, kIdentifier = 4;
    if (quote.size() < kMinHeader || quote[0] >> 4 != 4) return std::nullopt;
    const unsigned header = (quote[0] & 0xfU) * 4;
    if (header < kMinHeader || header > quote.size()) return std::nullopt;
    if ((load16(&quote[kFragment]).host() & 0x1fffU) != 0) return std::nullopt;

    const std::uint8_t proto = quote[kProtocol];
    const Ip4 src = load32(&quote[kSource]), dst = load32(&quote[kDestination]);
    const auto behind = quote.subspan(header);
    switch (l4_kind(proto)) {
        case L4Kind::tcp:
        case L4Kind::udp:
            if (behind.size() < kPorts) return std::nullopt;
            return port_key(static_cast<IpProto>(proto), src, load16(&behind[0]), dst, load16(&behind[2]), zone);
        case L4Kind::icmp:
            if (behind.size() < kQuery || !icmp_inverse(behind[0])) return std::nullopt;
            return icmp_key(src, dst, behind[0], behind[1], load16(&behind[kIdentifier]), zone);
        case L4Kind::generic:
            break;
    }
    return generic_key(proto, src, dst, zone);
}

}  // namespace sluice

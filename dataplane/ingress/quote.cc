#include "dataplane/ingress/quote.hh"

#include <algorithm>

#include "dataplane/ingress/ip6_header.hh"
#include "dataplane/l4/trackers.hh"

namespace sluice {

using l4::load16;
using l4::load32;

std::optional<FlowKey> quoted_tuple(std::span<const std::uint8_t> quote, std::uint16_t zone) noexcept {
    constexpr unsigned kMinHeader = 20, kFragment = 6, kProtocol = 9, kSource = 12, kDestination = 16;
    if (quote.size() < kMinHeader || quote[0] >> 4 != 4) return std::nullopt;
    const unsigned header = (quote[0] & 0xfU) * 4;
    if (header < kMinHeader || header > quote.size()) return std::nullopt;
    if ((load16(&quote[kFragment]).host() & 0x1fffU) != 0) return std::nullopt;

    FlowKey key = generic_key(quote[kProtocol], load32(&quote[kSource]), load32(&quote[kDestination]), zone);
    if (!tracker_of(key.kind()).quoted(quote.subspan(header), key)) return std::nullopt;
    return key;
}

std::optional<FlowKey> quoted_tuple6(std::span<const std::uint8_t> quote, std::uint16_t zone) noexcept {
    constexpr unsigned kSource = 8, kDestination = 24;
    if (quote.size() < kIp6Header || quote[0] >> 4 != 6) return std::nullopt;
    const Ip6Walk walk = walk_quote(quote);
    if (walk.end != Ip6Walk::End::transport) return std::nullopt;
    FlowKey key = generic_key(walk.proto, IpAddress::from_bytes(&quote[kSource]),
                              IpAddress::from_bytes(&quote[kDestination]), zone);
    const auto behind = quote.subspan(std::min<std::size_t>(walk.l4_offset, quote.size()));
    if (!tracker_of(key.kind()).quoted(behind, key)) return std::nullopt;
    return key;
}

std::size_t quoted_transport(std::span<const std::uint8_t> quote, bool v6) noexcept {
    return v6 ? walk_quote(quote).l4_offset : (quote[0] & 0xfU) * std::size_t{4};
}

}  // namespace sluice

#include "dataplane/ingress/quote.hh"

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

}  // namespace sluice

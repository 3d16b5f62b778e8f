// IPv6-to-IPv6 network prefix translation (RFC 6296): the prefix of an address is exchanged, and one 16-bit word behind
// it makes up for that, so that the sum over the address stays what it was and no transport checksum changes. Without
// ports and one to one, so it is what reaches hosts from outside, too.
//
// Pure; any thread.
#pragma once

#include <optional>

#include "dataplane/base/checksum.hh"
#include "dataplane/base/ip_address.hh"

namespace sluice {

inline constexpr unsigned kLongestPrefixNat = 64;

/// `address` with its first `length` (1 to 64) bits those of `prefix`. The word that makes up is the fourth for
/// prefixes up to /48 (3.4), else the first of the interface identifier that is not ffff (3.5); nothing if there is
/// none, for which 3.5 tells to drop the packet.
[[nodiscard]] constexpr std::optional<IpAddress> exchange_prefix(const IpAddress& address, const IpAddress& prefix,
                                                                 unsigned length) noexcept {
    const auto word16 = [](const IpAddress& a, unsigned i) {
        return static_cast<std::uint16_t>(i % 2 == 0 ? a.word(i / 2) >> 16 : a.word(i / 2) & 0xffffU);
    };
    const IpAddress mask = prefix_edge(IpAddress{}, length, true);  // ones behind the prefix
    IpAddress out;
    for (unsigned i = 0; i < 4; ++i)
        out.set_word(i, (prefix.word(i) & ~mask.word(i)) | (address.word(i) & mask.word(i)));

    unsigned at = 3;
    if (length > 48)
        for (at = 4; at < 8 && word16(address, at) == 0xffff; ++at) {
        }
    if (at == 8 || (at == 3 && word16(address, at) == 0xffff)) return std::nullopt;
    std::uint32_t sum = word16(address, at);
    for (unsigned i = 0; i < 8; ++i) {
        sum += word16(address, i);
        sum += static_cast<std::uint16_t>(~word16(out, i));
    }
    std::uint16_t made_up = fold(sum);
    if (made_up == 0xffff) made_up = 0;
    const unsigned shift = at % 2 == 0 ? 16 : 0;
    out.set_word(at / 2, (out.word(at / 2) & ~(0xffffU << shift)) | std::uint32_t{made_up} << shift);
    return out;
}

}  // namespace sluice

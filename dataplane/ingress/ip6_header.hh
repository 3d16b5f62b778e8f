// The chain of headers between the IPv6 header and the transport header (RFC 8200 4), read once and without state. Used
// by parse, which proves lengths by it, and for what ICMPv6 errors quote.
//
// As in Linux (ipv6_skip_exthdr): hop-by-hop options, destination options, routing, authentication and fragment headers
// are passed; everything else is the transport's. A chain must lie in the first buffer and is of bounded length, so
// that nobody is made to read on and on (RFC 8504 5.3, RFC 7112).
//
// Pure; any thread.
#pragma once

#include <cstdint>
#include <cstring>
#include <span>

#include "dataplane/base/types.hh"

namespace sluice {

inline constexpr unsigned kIp6Header = 40, kIp6FragmentHeader = 8, kIp6LeastMtu = 1280;

struct Ip6Walk {
    enum class End : std::uint8_t {
        transport,     ///< `proto` begins at `l4_offset`
        fragment,      ///< a part of a datagram: `l4_offset` is behind the fragment header
        malformed,     ///< a header beyond the packet, a chain that is too long, hop-by-hop options not in front
        source_route,  ///< routing header of type 0 (RFC 5095)
    };
    End end = End::malformed;
    std::uint8_t proto = 0;
    std::uint16_t l4_offset = 0;  ///< from the IPv6 header on
    std::uint16_t named_at = 6;   ///< offset of the byte that holds `proto`; of a fragment, that names its header
    // --- of a fragment
    std::uint16_t offset = 0;  ///< in bytes
    bool more = false;
    Be32 id{};
};

/// `packet` begins with a whole IPv6 header; as much of what follows as may be read. The walk begins with the header at
/// `at`, which the byte at `named_at` names. With `cut` it goes on behind a header of which nothing but the beginning
/// is there, so that `l4_offset` may lie beyond `packet`.
[[nodiscard]] inline Ip6Walk walk_ip6(std::span<const std::uint8_t> packet, unsigned at = kIp6Header,
                                      std::uint16_t named_at = 6, bool cut = false) noexcept {
    constexpr unsigned kMostHeaders = 8;
    constexpr std::uint8_t kHopByHop = 0, kRouting = 43, kFragment = 44, kAuthentication = 51, kDestination = 60;
    Ip6Walk walk;
    walk.named_at = named_at;
    std::uint8_t next = packet[walk.named_at];
    for (unsigned i = 0; i <= kMostHeaders; ++i) {
        const bool passed = next == kHopByHop || next == kRouting || next == kFragment || next == kAuthentication ||
                            next == kDestination;
        walk.proto = next;
        walk.l4_offset = static_cast<std::uint16_t>(at);
        if (!passed) {
            walk.end = Ip6Walk::End::transport;
            return walk;
        }
        const unsigned least = !cut ? 8 : next == kFragment ? 4 : 2;
        if (at + least > packet.size() || (next == kHopByHop && at != kIp6Header)) return walk;
        const std::uint8_t* header = &packet[at];
        unsigned bytes = kIp6FragmentHeader;
        if (next == kFragment) {
            Be16 where;
            std::memcpy(&where.raw, header + 2, sizeof where.raw);
            walk.offset = where.host() & 0xfff8U;
            walk.more = (where.host() & 1U) != 0;
            if (at + bytes <= packet.size()) std::memcpy(&walk.id.raw, header + 4, sizeof walk.id.raw);
            if (walk.offset != 0 || walk.more) {  // alone it is a whole datagram (RFC 6946)
                walk.proto = header[0];
                walk.l4_offset = static_cast<std::uint16_t>(at + bytes);
                walk.end = Ip6Walk::End::fragment;
                return walk;
            }
        } else {
            bytes = next == kAuthentication ? (header[1] + 2U) * 4 : (header[1] + 1U) * 8;
            if (!cut && at + bytes > packet.size()) return walk;
            if (next == kRouting && at + 3 <= packet.size() && header[2] == 0) {
                walk.end = Ip6Walk::End::source_route;
                return walk;
            }
        }
        walk.named_at = static_cast<std::uint16_t>(at);
        next = header[0];
        at += bytes;
    }
    return walk;
}

/// What follows the fragment header that ends at `l4_offset`, in the first fragment of a datagram.
[[nodiscard]] inline Ip6Walk walk_behind_fragment(std::span<const std::uint8_t> packet, unsigned l4_offset,
                                                  bool cut = false) noexcept {
    return walk_ip6(packet, l4_offset, static_cast<std::uint16_t>(l4_offset - kIp6FragmentHeader), cut);
}

/// To the transport header also of a datagram's first fragment, as errors quote it, and of a packet that they cut
/// within a header: as in Linux, the bytes that say what follows are enough.
[[nodiscard]] inline Ip6Walk walk_quote(std::span<const std::uint8_t> packet) noexcept {
    const Ip6Walk walk = walk_ip6(packet, kIp6Header, 6, true);
    if (walk.end != Ip6Walk::End::fragment || walk.offset != 0) return walk;
    return walk_behind_fragment(packet, walk.l4_offset, true);
}

}  // namespace sluice

// What the builder and the decoder of test packets share: bytes in network order, and the checksum in its plainest
// form.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "dataplane/base/ip_address.hh"

namespace sluice::test::wire {

using Bytes = std::vector<std::uint8_t>;

inline void put8(Bytes& out, unsigned v) {
    out.push_back(static_cast<std::uint8_t>(v));
}
inline void put16(Bytes& out, unsigned v) {
    put8(out, v >> 8 & 0xff);
    put8(out, v & 0xff);
}
inline void put32(Bytes& out, std::uint32_t v) {
    put16(out, v >> 16);
    put16(out, v & 0xffff);
}
inline void put(Bytes& out, std::span<const std::uint8_t> more) {
    out.insert(out.end(), more.begin(), more.end());
}

inline void poke16(Bytes& at, std::size_t offset, unsigned v) {
    at[offset] = static_cast<std::uint8_t>(v >> 8);
    at[offset + 1] = static_cast<std::uint8_t>(v);
}

/// RFC 1071 word by word in host order: slow, plain, and not the data plane's code.
inline std::uint16_t checksum(std::span<const std::uint8_t> bytes, std::uint32_t sum = 0) {
    for (std::size_t i = 0; i < bytes.size(); ++i) sum += i % 2 == 0 ? unsigned{bytes[i]} << 8 : bytes[i];
    while (sum > 0xffff) sum = (sum & 0xffff) + (sum >> 16);
    return static_cast<std::uint16_t>(~sum);
}

inline void put_address(Bytes& out, const IpAddress& a, bool v6) {
    for (unsigned i = v6 ? 0 : 3; i < 4; ++i) put32(out, a.word(i));
}

inline std::uint32_t pseudo_sum(const IpAddress& src, const IpAddress& dst, bool v6, unsigned proto,
                                std::size_t length) {
    std::uint32_t sum = proto + static_cast<std::uint32_t>(length);
    for (unsigned i = v6 ? 0 : 3; i < 4; ++i)
        for (const std::uint32_t word : {src.word(i), dst.word(i)}) sum += (word >> 16) + (word & 0xffff);
    return sum;
}

inline constexpr unsigned kIcmp = 1, kIcmpv6 = 58;
inline constexpr unsigned kRoutingHeader = 43, kFragmentHeader = 44, kAuthenticationHeader = 51;

inline bool is_icmp(unsigned proto, bool v6) {
    return proto == (v6 ? kIcmpv6 : kIcmp);
}
inline bool is_extension(unsigned number) {
    return number == 0 || number == kRoutingHeader || number == kFragmentHeader || number == kAuthenticationHeader ||
           number == 60;
}

inline bool is_icmp_error(unsigned type, bool v6) {
    if (v6) return type < 128;
    return type == 3 || type == 4 || type == 5 || type == 11 || type == 12;
}

}  // namespace sluice::test::wire

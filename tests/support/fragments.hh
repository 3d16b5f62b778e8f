// Fragments for tests: a packet cut into pieces, and pieces joined, in code of their own, so that they can judge the
// data plane's.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <span>
#include <stdexcept>
#include <vector>

#include "tests/support/packet_builder.hh"

namespace sluice::test {

namespace bytes {

inline std::uint8_t byte_at(const Frame& f, std::size_t at) {
    return std::to_integer<std::uint8_t>(f.at(at));
}
inline unsigned word_at(const Frame& f, std::size_t at) {
    return static_cast<unsigned>(byte_at(f, at) << 8 | byte_at(f, at + 1));
}
inline void put_word(Frame& f, std::size_t at, unsigned value) {
    f.at(at) = std::byte(value >> 8 & 0xffU);
    f.at(at + 1) = std::byte(value & 0xffU);
}
/// Ethernet header, with a tag if there is one.
inline std::size_t ether(const Frame& f) {
    return word_at(f, 12) == 0x8100 ? 18 : 14;
}
inline std::size_t ip_header(const Frame& f) {
    return (byte_at(f, ether(f)) & 0xfU) * std::size_t{4};
}
inline void seal(Frame& f) {
    put_word(f, ether(f) + 10, 0);
    std::uint32_t sum = 0;
    for (std::size_t i = 0; i < ip_header(f); i += 2) sum += word_at(f, ether(f) + i);
    while (sum > 0xffff) sum = (sum & 0xffff) + (sum >> 16);
    put_word(f, ether(f) + 10, ~sum & 0xffff);
}

}  // namespace bytes

/// Bytes `begin` to `end` of the data of the frame `whole` as a fragment; `more` follow.
inline Frame piece_of(const Frame& whole, std::size_t begin, std::size_t end, bool more) {
    using namespace bytes;
    const std::size_t headers = ether(whole) + ip_header(whole);
    Frame f(whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(headers));
    f.insert(f.end(), whole.begin() + static_cast<std::ptrdiff_t>(headers + begin),
             whole.begin() + static_cast<std::ptrdiff_t>(headers + end));
    put_word(f, ether(f) + 2, static_cast<unsigned>(f.size() - ether(f)));
    const unsigned df = word_at(whole, ether(whole) + 6) & 0x4000U;
    put_word(f, ether(f) + 6, df | (more ? 0x2000U : 0U) | static_cast<unsigned>(begin / 8));
    seal(f);
    return f;
}

/// The packet in fragments with `data_bytes` (a multiple of 8) of its data each, in order.
inline std::vector<Frame> fragments_of(const PacketBuilder& packet, std::size_t data_bytes) {
    const Frame whole = packet.bytes();
    const std::size_t all = whole.size() - bytes::ether(whole) - bytes::ip_header(whole);
    std::vector<Frame> pieces;
    for (std::size_t begin = 0; begin < all; begin += data_bytes) {
        const std::size_t end = std::min(all, begin + data_bytes);
        pieces.push_back(piece_of(whole, begin, end, end != all));
    }
    return pieces;
}

/// The datagram that fragments in order make; throws when they do not fit together, or their headers disagree.
inline Frame rejoined(std::span<const Frame> pieces) {
    using namespace bytes;
    if (pieces.empty()) throw std::logic_error("no fragments");
    Frame whole;
    for (std::size_t i = 0; i < pieces.size(); ++i) {
        const Frame& f = pieces[i];
        const std::size_t headers = ether(f) + ip_header(f);
        const Decoded d = decode(f);
        if (!d.ip_checksum_ok) throw std::logic_error("a broken fragment " + d.error);
        if (d.padding != 0 || d.total_length != f.size() - ether(f)) throw std::logic_error("a fragment's length");
        if (d.more_fragments != (i + 1 != pieces.size())) throw std::logic_error("more fragments");
        if (i == 0) whole.assign(f.begin(), f.begin() + static_cast<std::ptrdiff_t>(headers));
        if (d.fragment_offset_bytes != whole.size() - ether(whole) - ip_header(whole)) throw std::logic_error("a gap");
        // Addresses, identification and the like: all but length, offset, checksum and options.
        for (const std::size_t at : {0, 1, 8, 9, 12, 13, 14, 15, 16, 17, 18, 19, 4, 5})
            if (f.at(ether(f) + at) != whole.at(ether(whole) + at)) throw std::logic_error("headers differ");
        if (!std::equal(f.begin(), f.begin() + static_cast<std::ptrdiff_t>(ether(f)), whole.begin()))
            throw std::logic_error("frames differ");
        whole.insert(whole.end(), f.begin() + static_cast<std::ptrdiff_t>(headers), f.end());
    }
    put_word(whole, ether(whole) + 2, static_cast<unsigned>(whole.size() - ether(whole)));
    put_word(whole, ether(whole) + 6, word_at(whole, ether(whole) + 6) & 0x4000U);
    seal(whole);
    return whole;
}

}  // namespace sluice::test

// IPv6 fragments for tests: packets cut into pieces, and pieces joined, in code of their own, so that they can judge
// the data plane's.
#pragma once

#include <algorithm>
#include <cstdint>
#include <span>
#include <stdexcept>
#include <vector>

#include "tests/support/fragments.hh"

namespace sluice::test {

inline constexpr std::size_t kSeam6 = 40;  ///< where the fragment header goes when no header must be in front of it

inline unsigned long_at(const Frame& f, std::size_t at) {
    return bytes::word_at(f, at) << 16 | bytes::word_at(f, at + 2);
}
/// Bytes behind the Ethernet header where the fragment header is; throws when there is none.
inline std::size_t seam_of(const Frame& f) {
    std::size_t at = bytes::ether(f) + 40;
    for (unsigned next = bytes::byte_at(f, at - 34); next != 44;
         at += (bytes::byte_at(f, at + 1) + std::size_t{1}) * 8) {
        if (next != 0 && next != 43 && next != 60) throw std::logic_error("not a fragment");
        next = bytes::byte_at(f, at);
        if (next == 44) return at + (bytes::byte_at(f, at + 1) + std::size_t{1}) * 8 - bytes::ether(f);
    }
    return at - bytes::ether(f);
}
/// The byte that names what is at `seam`.
inline std::size_t namer_of(const Frame& f, std::size_t seam) {
    std::size_t named_at = bytes::ether(f) + 6;
    for (std::size_t at = 40; at < seam;) {
        named_at = bytes::ether(f) + at;
        at += (bytes::byte_at(f, named_at + 1) + std::size_t{1}) * 8;
    }
    return named_at;
}

/// Bytes `begin` to `end` of what is behind `seam` in the frame `whole`, as a fragment; `more` follow.
inline Frame piece6_of(const Frame& whole, std::size_t begin, std::size_t end, bool more, std::uint32_t id = 1,
                       std::size_t seam = kSeam6) {
    using namespace bytes;
    const auto at = [&](std::size_t i) { return whole.begin() + static_cast<std::ptrdiff_t>(i); };
    const std::size_t headers = ether(whole) + seam;
    Frame f(at(0), at(headers));
    const std::size_t named_at = namer_of(whole, seam);
    f.resize(headers + 8);
    f[headers] = f[named_at];
    f[named_at] = std::byte{44};
    put_word(f, headers + 2, static_cast<unsigned>(begin) | (more ? 1U : 0U));
    put_word(f, headers + 4, id >> 16);
    put_word(f, headers + 6, id & 0xffffU);
    f.insert(f.end(), at(headers + begin), at(headers + end));
    put_word(f, ether(f) + 4, static_cast<unsigned>(f.size() - ether(f) - 40));
    return f;
}

inline std::vector<Frame> fragments6_of(const Frame& whole, std::size_t data_bytes, std::uint32_t id = 1,
                                        std::size_t seam = kSeam6) {
    const std::size_t all = whole.size() - bytes::ether(whole) - seam;
    std::vector<Frame> pieces;
    for (std::size_t begin = 0; begin < all; begin += data_bytes) {
        const std::size_t end = std::min(all, begin + data_bytes);
        pieces.push_back(piece6_of(whole, begin, end, end != all, id, seam));
    }
    return pieces;
}
inline std::vector<Frame> fragments6_of(const PacketBuilder& whole, std::size_t data_bytes, std::uint32_t id = 1,
                                        std::size_t seam = kSeam6) {
    return fragments6_of(whole.bytes(), data_bytes, id, seam);
}
inline std::uint32_t fragment_id6(const Frame& piece) {
    return long_at(piece, bytes::ether(piece) + seam_of(piece) + 4);
}

/// The datagram that fragments in order make; throws when they do not fit together, or their headers disagree.
inline Frame rejoined6(std::span<const Frame> pieces) {
    using namespace bytes;
    if (pieces.empty()) throw std::logic_error("no fragments");
    const Frame& first = pieces[0];
    const std::size_t seam = seam_of(first), headers = ether(first) + seam;
    Frame whole(first.begin(), first.begin() + static_cast<std::ptrdiff_t>(headers));
    whole[namer_of(whole, seam)] = first[headers];
    for (std::size_t i = 0; i < pieces.size(); ++i) {
        const Frame& f = pieces[i];
        if (seam_of(f) != seam) throw std::logic_error("the fragment header is elsewhere");
        if (word_at(f, ether(f) + 4) != f.size() - ether(f) - 40) throw std::logic_error("a fragment's length");
        const unsigned where = word_at(f, headers + 2);
        if ((where & 1U) != (i + 1 != pieces.size() ? 1U : 0U)) throw std::logic_error("more fragments");
        if ((where & 0xfff8U) != whole.size() - headers) throw std::logic_error("a gap");
        if (long_at(f, headers + 4) != long_at(first, headers + 4)) throw std::logic_error("identifications differ");
        if (byte_at(f, headers + 1) != 0 || (where & 6U) != 0) throw std::logic_error("reserved bits");
        for (std::size_t at = 0; at < headers + 2; ++at)  // all but the length
            if (at != ether(f) + 4 && at != ether(f) + 5 && f.at(at) != first.at(at))
                throw std::logic_error("headers differ");
        whole.insert(whole.end(), f.begin() + static_cast<std::ptrdiff_t>(headers + 8), f.end());
    }
    put_word(whole, ether(whole) + 4, static_cast<unsigned>(whole.size() - ether(whole) - 40));
    return whole;
}

}  // namespace sluice::test

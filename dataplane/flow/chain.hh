// A datagram that was put together from fragments travels as a chain of their buffers: the first has the Ethernet and
// the IPv4 header, each other one the data of one fragment, in order. Nothing is copied, and the fragments leave as
// they came. Behind the first parse nothing else is ever in several buffers.
//
// What is read or written by accessors of Packet must be in the first buffer; parse sees to it with `pull`, which is
// all that may move data here. A buffer that it empties stays in the chain, and before the datagram leaves, `give_back`
// undoes it where what was moved has only been read.
//
// Owner: the worker that has the packet.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstring>

#include <rte_mbuf.h>

#include "dataplane/base/checksum.hh"
#include "dataplane/flow/packet.hh"

namespace sluice {

/// IP bytes of the largest fragment, kept in the first buffer of a chain. DPDK has the field for the size of the pieces
/// into which a device shall cut, and looks at it only where a flag asks for that.
[[nodiscard]] inline std::uint16_t largest_piece_of(const rte_mbuf* chain) noexcept {
    return chain->tso_segsz;
}
inline void set_largest_piece(rte_mbuf* chain, std::uint16_t bytes) noexcept {
    chain->tso_segsz = bytes;
}

namespace detail {

/// Bytes of a later buffer of a chain that `pull` has moved to the first; they are still in front of its data. In the
/// same field.
[[nodiscard]] inline std::uint16_t moved_from(const rte_mbuf* later) noexcept {
    return later->tso_segsz;
}
inline void set_moved_from(rte_mbuf* later, unsigned bytes) noexcept {
    later->tso_segsz = static_cast<std::uint16_t>(bytes);
}

/// False: the packet is shorter, or the first buffer has no room.
inline bool pull_from_chain(Packet& p, unsigned bytes) noexcept {
    rte_mbuf* first = p.mbuf;
    for (rte_mbuf* next = first->next; next != nullptr && p.contiguous() < bytes; next = next->next) {
        const auto wanted = static_cast<std::uint16_t>(std::min<unsigned>(bytes - p.contiguous(), next->data_len));
        if (wanted > rte_pktmbuf_tailroom(first)) return false;
        std::memcpy(rte_pktmbuf_mtod_offset(first, std::uint8_t*, first->data_len),
                    rte_pktmbuf_mtod(next, std::uint8_t*), wanted);
        first->data_len = static_cast<std::uint16_t>(first->data_len + wanted);
        next->data_len = static_cast<std::uint16_t>(next->data_len - wanted);
        next->data_off = static_cast<std::uint16_t>(next->data_off + wanted);
        set_moved_from(next, unsigned{moved_from(next)} + wanted);
    }
    return p.contiguous() >= bytes;
}

}  // namespace detail

/// The first `bytes` behind the IPv4 header lie in the first buffer, or will now. False: the packet is shorter.
[[nodiscard]] inline bool pull(Packet& p, unsigned bytes) noexcept {
    if (p.l4_bytes < bytes) return false;
    return p.contiguous() >= bytes || detail::pull_from_chain(p, bytes);
}

/// The edges between buffers are again where they were before `pull`. False, and nothing happens, when what it has
/// moved was written to since, as NAT does: such a datagram is cut anew, in Linux too.
[[nodiscard]] inline bool give_back(rte_mbuf* first) noexcept {
    unsigned moved = 0;
    for (const rte_mbuf* m = first->next; m != nullptr; m = m->next) moved += detail::moved_from(m);
    if (moved == 0) return true;
    const std::uint8_t* copy = rte_pktmbuf_mtod_offset(first, const std::uint8_t*, first->data_len - moved);
    for (const rte_mbuf* m = first->next; m != nullptr; m = m->next) {
        const std::uint16_t bytes = detail::moved_from(m);
        if (std::memcmp(copy, rte_pktmbuf_mtod(m, const std::uint8_t*) - bytes, bytes) != 0) return false;
        copy += bytes;
    }
    first->data_len = static_cast<std::uint16_t>(first->data_len - moved);
    for (rte_mbuf* m = first->next; m != nullptr; m = m->next) {
        rte_pktmbuf_prepend(m, detail::moved_from(m));
        detail::set_moved_from(m, 0);
    }
    return true;
}

/// Hands the first `bytes` behind the IPv4 header to `each(const std::uint8_t*, std::size_t)`, buffer by buffer. All
/// but the last are even, as fragments are multiples of eight and headers of four.
template <class Each>
inline void each_stretch(const Packet& p, std::size_t bytes, Each&& each) noexcept {
    std::size_t here = std::min<std::size_t>(bytes, p.contiguous());
    each(p.l4, here);
    bytes -= here;
    for (const rte_mbuf* m = p.mbuf->next; m != nullptr && bytes != 0; m = m->next) {
        here = std::min<std::size_t>(bytes, m->data_len);
        each(rte_pktmbuf_mtod(m, const std::uint8_t*), here);
        bytes -= here;
    }
}

namespace detail {

[[gnu::noinline]] inline std::uint16_t checksum_of_chain(const Packet& p, std::size_t bytes,
                                                         std::uint32_t sum) noexcept {
    each_stretch(p, bytes, [&](const std::uint8_t* at, std::size_t n) noexcept { sum = partial_sum(at, n, sum); });
    return static_cast<std::uint16_t>(~fold(sum));
}

}  // namespace detail

/// The Internet checksum over the first `bytes` behind the IPv4 header.
[[nodiscard]] inline std::uint16_t transport_checksum(const Packet& p, std::size_t bytes,
                                                      std::uint32_t initial) noexcept {
    if (p.contiguous() >= bytes) [[likely]]
        return checksum_of(p.l4, bytes, initial);
    return detail::checksum_of_chain(p, bytes, initial);
}

}  // namespace sluice

// Cuts a packet that is larger than the exit MTU and may be cut (DF clear; RFC 791 2.3). The pieces are copies in
// buffers of one segment each, which every driver takes.
//
// Called by the worker that sends. Failure policy: all pieces or none; a packet that cannot be cut is dropped.
#pragma once

#include <array>
#include <span>

#include <rte_mempool.h>

#include "dataplane/flow/packet.hh"

namespace sluice {

/// Enough for 9 kB at the smallest MTU that IPv4 allows with a header of 20 bytes.
inline constexpr unsigned kMaxPieces = 192;
using Pieces = std::array<rte_mbuf*, kMaxPieces>;

/// Consumes `p`. The pieces have `p`'s Ethernet header and right header checksums; balance.split counts them. Empty:
/// `p` was dropped as no_buffer or fragment_failed.
[[nodiscard]] std::span<rte_mbuf*> cut(Packet& p, std::uint16_t mtu, rte_mempool* pool, Disposal& disposal,
                                       Pieces& pieces) noexcept;

}  // namespace sluice

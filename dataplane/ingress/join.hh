// Makes one datagram of its fragments: their buffers become a chain (flow/chain.hh), their headers go, and the header
// of the first one speaks for all (RFC 791 3.2), of IPv6 without the fragment header (RFC 8200 4.5). As in Linux
// (ip_fragment.c, ip_frag_reasm; nf_conntrack_reasm.c) DF stays when the largest fragment had it, so that the sender is
// told when that does not fit the way out.
//
// Called by reassembly. Cannot fail.
#pragma once

#include <cstdint>
#include <span>

#include <rte_mbuf.h>

namespace sluice {

/// What the fragments say together.
struct JoinedHeader {
    std::uint16_t data_bytes = 0;         ///< behind the headers that every fragment has
    std::uint16_t largest = 0;            ///< IP bytes of the largest fragment
    bool dont_fragment = false;           ///< the largest had DF (IPv4)
    bool congestion_experienced = false;  ///< one of them did (RFC 3168 5.3)
};

/// Takes frames of fragments, untagged, without padding, in the order of the datagram; returns the first.
rte_mbuf* join(std::span<rte_mbuf* const> pieces, const JoinedHeader& header) noexcept;

}  // namespace sluice

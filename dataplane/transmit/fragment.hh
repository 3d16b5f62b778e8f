// Makes fragments of a datagram that leaves in pieces (RFC 791 2.3, 3.2; RFC 8200 4.5): because it is larger than the
// exit MTU, or because it came in pieces. As in Linux (ip_do_fragment, ip6_fragment) those leave as they came if each
// fits; otherwise the datagram is cut anew, into pieces no larger than the largest that came. DF of the datagram is DF
// of each piece then; those that leave as they came lose it, there too. IPv6 differs in what Linux does differently:
// pieces cut anew may have 1280 bytes whatever came, and a datagram that is no larger than its largest piece was
// leaves whole.
// Every piece is in one buffer, which every driver takes.
//
// Called by the worker that sends. Failure policy: all pieces or none; a packet that cannot be cut is dropped.
#pragma once

#include <utility>

#include <rte_mempool.h>

#include "dataplane/flow/packet.hh"

namespace sluice {

/// Consumes `p`, whose headers are final. The pieces, linked by mbuf::next, have `p`'s Ethernet header and right header
/// checksums; balance.split counts them. `id` is the identification of IPv6's, unpredictable and new for each datagram
/// (FragmentIds). nullptr: `p` was dropped as no_buffer or fragment_failed.
[[nodiscard]] rte_mbuf* cut(Packet& p, std::uint16_t mtu, rte_mempool* pool, Disposal& disposal, Be32 id = {}) noexcept;

/// Hands the pieces one by one to `each(rte_mbuf*)`.
template <class Each>
inline void each_piece(rte_mbuf* pieces, Each&& each) noexcept {
    while (pieces != nullptr) each(std::exchange(pieces, std::exchange(pieces->next, nullptr)));
}

}  // namespace sluice

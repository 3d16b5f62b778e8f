// Whether a packet may travel on at all: time to live and size (RFC 1812 5.3.1, 5.2.7.2; RFC 1191 for "fragmentation
// needed"; RFC 8200 5 for IPv6, which no router cuts). Asked with the way out known and before the filter, as in Linux,
// so that a packet which ends here opens no flow; and before translation, so that the ICMP error quotes what the sender
// sent.
//
// Pure; any worker. The caller drops with the reason and sends the answer.
#pragma once

#include <algorithm>

#include "dataplane/flow/ip_fields.hh"
#include "dataplane/flow/packet.hh"
#include "dataplane/policy/decision.hh"

namespace sluice {

/// `mtu` is the exit port's, in IP bytes. What may be fragmented (DF clear) passes: Egress cuts it. The box's own
/// packets are not hops: their TTL is the kernel's business. So is what goes to the box.
[[nodiscard]] inline Decision check_limits(const Packet& p, std::uint16_t mtu) noexcept {
    if (p.out_port == kKernelPort) return {};
    if (!p.local_out && p.hops_left() <= 1) return Decision::drop(DropReason::ttl_exceeded, Answer::ttl_exceeded);
    // What came in fragments leaves in fragments, none larger than the largest.
    const unsigned largest = p.largest_piece != 0 ? std::min(p.largest_piece, p.l3_bytes) : p.l3_bytes;
    if (largest > mtu && dont_fragment(p))
        return Decision::drop(DropReason::mtu_exceeded, Answer::fragmentation_needed);
    return {};
}

}  // namespace sluice

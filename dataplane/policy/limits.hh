// Whether a packet may travel on at all: time to live and size (RFC 1812 5.3.1, 5.2.7.2; RFC 1191 for "fragmentation
// needed"). Asked with the way out known and before the filter, as in Linux, so that a packet which ends here opens no
// flow; and before translation, so that the ICMP error quotes what the sender sent.
//
// Pure; any worker. The caller drops with the reason and sends the answer.
#pragma once

#include "dataplane/flow/packet.hh"
#include "dataplane/policy/decision.hh"

namespace sluice {

/// TTL is the high byte of the word that it shares with the protocol (RFC 1141, RFC 1624).
inline void decrement_ttl(rte_ipv4_hdr& ip) noexcept {
    ChecksumDelta delta;
    const auto word = [&ip] { return be16(unsigned{ip.time_to_live} << 8 | ip.next_proto_id); };
    const Be16 before = word();
    --ip.time_to_live;
    delta.replace(before, word());
    ip.hdr_checksum = delta.apply(ip.hdr_checksum);
}

/// `mtu` is the exit port's, in IP bytes. What may be fragmented (DF clear) passes: Egress cuts it. The box's own
/// packets are not hops: their TTL is the kernel's business. So is what goes to the box.
[[nodiscard]] inline Decision check_limits(const Packet& p, std::uint16_t mtu) noexcept {
    constexpr unsigned kDontFragment = 0x4000;
    if (p.out_port == kKernelPort) return {};
    if (!p.local_out && p.ip()->time_to_live <= 1)
        return Decision::drop(DropReason::ttl_exceeded, Answer::ttl_exceeded);
    // What came in fragments leaves in fragments, none larger than the largest.
    const unsigned largest = p.largest_piece != 0 ? p.largest_piece : p.l3_bytes;
    if (largest > mtu && (Be16::from_raw(p.ip()->fragment_offset).host() & kDontFragment) != 0)
        return Decision::drop(DropReason::mtu_exceeded, Answer::fragmentation_needed);
    return {};
}

}  // namespace sluice

// Translation of an ICMP error about a packet of a flow (RFC 5508 4.2; nf_nat_proto.c, nf_nat_icmp_reply_translation):
// the addresses it travels by, and the packet that it quotes, which becomes what the receiver of the error once sent.
//
// The error travels the way of the flow's packets with tuple `key`; the packet that it quotes travelled the other way.
// So the flow's plan for this direction is applied to the outer header, and mirrored to the quote: the quoted source
// becomes the new destination, and so on. What the plan adds to checksums is the same for both. Every checksum that the
// quote holds is corrected as far as it is there (never verified, so a wrong one stays as wrong as it was), and the
// error's own follows.
//
// An error comes from the flow's other end or from any router before it. When the flow's NAT replaces the sources of
// what travels this way, the error's source is replaced too, whoever it is: the address would mean nothing on the other
// side, or tell of a network that is hidden. Otherwise it stays, which is what makes traceroute work.
//
// Called by the flow's owner. Cannot fail: fields that the quote is too short for are not written.
#pragma once

#include "dataplane/flow/packet.hh"
#include "dataplane/flow/rewrite_plan.hh"
#include "dataplane/flow/seq_adjust.hh"

namespace sluice {

/// `p` is an ICMP error whose `key` the plan was made for; `to` are the plan's whole addresses. `replaces_source`: the
/// flow's NAT replaces sources in this direction. `shift`: how a helper has shifted the TCP numbers of the quoted
/// packet's direction, or nullptr.
void rewrite_error(Packet& p, const RewritePlan& plan, const Ends& to, bool replaces_source,
                   const SeqAdjust* shift) noexcept;

}  // namespace sluice

// Conntrack for ICMP errors about packets of a flow: RELATED, whichever way they travel (nf_conntrack_proto_icmp.c,
// nf_conntrack_inet_error). They neither refresh nor end the flow nor count on it (RFC 5508 REQ-4, RFC 5382 REQ-10).
//
// Two kinds are dropped when the flow is translated, as nf_nat_icmp_reply_translation does: a redirect, which names a
// gateway that means nothing on the other side (IPv6's is no error and has no flow), and a quote without the eight
// bytes that RFC 792 asks for.
//
// Owner: the flow's worker.
#pragma once

#include "dataplane/flow/packet.hh"
#include "dataplane/ingress/quote.hh"
#include "dataplane/policy/decision.hh"

namespace sluice {

/// `p` is an ICMP error about a packet of the flow `h`.
[[nodiscard]] inline Decision relate(Packet& p, const FlowHot& h) noexcept {
    constexpr std::uint8_t kRedirect = 5;
    constexpr std::size_t kLeast = 8;
    p.state = PacketState::related;
    if (!h.has(status::kSourceNat | status::kDestNat)) return {};
    if (!p.v6 && p.icmp()->icmp_type == kRedirect) return Decision::drop(DropReason::icmp_redirect_nat);
    const std::size_t header = quoted_transport(p.payload(), p.v6);
    if (h.kind != L4Kind::generic && h.kind != L4Kind::esp && p.payload().size() < header + kLeast)
        return Decision::drop(DropReason::icmp_quote_short);
    return {};
}

}  // namespace sluice

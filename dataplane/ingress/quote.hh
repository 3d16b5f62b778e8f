// What an ICMP error says about the packet that it is about (RFC 792; RFC 1812 4.3.2.3 for how much is quoted): whose
// it was. Called by parse, which alone proves lengths; what this accepts, translate/icmp_inner may write into.
//
// As in Linux (nf_conntrack_core.c, nf_ct_get_tuplepr): the IPv4 header must be whole, and of what follows as much as
// names the flow, four bytes for ports and eight for an ICMP query. The quote may be cut short anywhere behind that. No
// checksum in it is verified: routers quote what they have changed already, and RFC 5508 (REQ-3) forbids looking at the
// transport's.
//
// Pure; any thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

#include "dataplane/flow/flow_key.hh"

namespace sluice {

/// The tuple of the quoted packet, or nothing: too short, no IPv4, a later fragment (it has no ports), or an ICMP
/// message that is itself no query.
[[nodiscard]] std::optional<FlowKey> quoted_tuple(std::span<const std::uint8_t> quote, std::uint16_t zone) noexcept;
/// The same of what an ICMPv6 error quotes.
[[nodiscard]] std::optional<FlowKey> quoted_tuple6(std::span<const std::uint8_t> quote, std::uint16_t zone) noexcept;

/// Bytes in front of the transport header, of a quote that has a tuple. Of one without ports it may be cut off.
[[nodiscard]] std::size_t quoted_transport(std::span<const std::uint8_t> quote, bool v6) noexcept;

}  // namespace sluice

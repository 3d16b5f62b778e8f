// Messages of rtnetlink to values. Pure: bytes in, values out; no socket, no state, any thread.
//
// A message is taken apart by libnl with a policy for each attribute, so a short or missing one is `malformed`, never a
// read beyond the end. `ignored` is what is well-formed and none of our business: other address families, bridge
// databases that share the message types, cached routes, tables that are neither main nor local.
#pragma once

#include "control/linux/kernel.hh"

struct nlmsghdr;

namespace sluice {

enum class ParseStatus : std::uint8_t { ok, ignored, malformed };

template <class T>
struct Parsed {
    ParseStatus status = ParseStatus::malformed;
    T value{};
};

/// The header's length must lie within the buffer (NLMSG_OK); types are RTM_NEW… or RTM_DEL… of the kind.
Parsed<LinkInfo> parse_link(const nlmsghdr& message);
Parsed<AddressInfo> parse_address(const nlmsghdr& message);
Parsed<RouteInfo> parse_route(const nlmsghdr& message);
Parsed<NeighbourInfo> parse_neighbour(const nlmsghdr& message);

/// An RTM_NEWRULE of IP that is not one of those that a kernel begins with.
bool is_foreign_rule(const nlmsghdr& message);

}  // namespace sluice

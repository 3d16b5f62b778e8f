// One route lookup for one packet, with what Linux tells the sender when there is no way.
//
// Any worker; the routes are a publication.
#pragma once

#include "dataplane/flow/packet.hh"
#include "dataplane/ingress/port_table.hh"
#include "dataplane/policy/decision.hh"
#include "dataplane/policy/routes.hh"

namespace sluice {

/// By whose routes a packet goes: by those of its conntrack zone, then by all.
struct RouteZone {
    std::uint16_t zone = 0;
    /// Leave by a port of this zone, or not at all: where its answers are looked for, and where a tenant's own address
    /// means the tenant. A first packet goes wherever routes lead.
    bool stay = false;

    static constexpr RouteZone prefer(std::uint16_t zone) noexcept { return {zone, false}; }
    static constexpr RouteZone only(std::uint16_t zone) noexcept { return {zone, true}; }
};

/// The zone of packets that arrive by the port where `p` leaves; what goes to the box is answered where it came in.
[[nodiscard]] inline std::uint16_t zone_of_answers(const Packet& p, const PortTable& ports) noexcept {
    return p.out_port < kKernelPort ? ports[p.out_port].zone : p.key.zone;
}

/// It came from outside with an address of the box as its source.
[[nodiscard]] inline bool claims_to_be_ours(const Packet& p, std::uint16_t zone, const RouteTable& routes) noexcept {
    return !p.local_out && routes.addresses().is_own_in(zone, p.source());
}

/// Sets p.next_hop and p.out_port for a packet that goes to `destination`, or says why it cannot.
[[nodiscard]] Decision find_exit(Packet& p, const IpAddress& destination, RouteZone by, const RouteTable& routes,
                                 const PortTable& ports) noexcept;

}  // namespace sluice

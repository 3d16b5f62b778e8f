// The IP half of parse, by family: proves the header, sets what Packet says of it, and tells control traffic for the
// box and addresses that no packet may have from the rest. See parse.hh.
#pragma once

#include "dataplane/flow/packet.hh"
#include "dataplane/ingress/parse.hh"
#include "dataplane/ingress/port_table.hh"

namespace sluice {

/// `available`: bytes of the frame behind the Ethernet header, of which p.l3 is the first. As parse itself, but the
/// transport header is not looked at yet, and what is `gone` is the caller's to drop, for the reason `why`.
Arrival read_ip4(Packet& p, unsigned available, const std::uint8_t* frame, const PortInfo& port,
                 DropReason& why) noexcept;
Arrival read_ip6(Packet& p, unsigned available, std::uint16_t zone, DropReason& why) noexcept;

/// Of addresses of hosts, 1/8 to 223/8 but 127/8, there is nothing to say: most packets are from one to another, and
/// asked only that.
[[nodiscard]] constexpr bool is_between_hosts(Ip4 from, Ip4 to) noexcept {
    const auto is_host = [](Ip4 a) noexcept {
        const std::uint32_t top = a.host() >> 24;
        return (top - 1 < 223) & (top != 127);
    };
    return is_host(from) & is_host(to) & (from != to);
}

namespace detail {

inline Arrival refuse(DropReason reason, DropReason& why) noexcept {
    why = reason;
    return Arrival::gone;
}
inline Arrival is_control(Packet& p, PuntClass punt_class) noexcept {
    p.punt_class = punt_class;
    return Arrival::punt;
}

}  // namespace detail

}  // namespace sluice

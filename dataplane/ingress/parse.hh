// The only place that proves lengths: a frame comes in as bytes and leaves as a Packet whose accessors can be trusted,
// or it leaves the burst with a reason. Nothing below looks at an unproven byte.
//
// Order of checks: frame → VLAN → MAC → EtherType → IPv4 header → control traffic for the box → addresses → fragments →
// transport header and checksum. Control packets (ARP, ND, MLD, DHCP, IGMP, link-local multicast, limited broadcast)
// are recognised *before* the martian check, because they rightly carry sources that no other packet may have (RFC
// 1812 5.3.7 for martians, RFC 791, 768, 9293, 792 for the headers).
//
// As in Linux, TCP and UDP port 0 are ordinary port numbers here (nf_conntrack tracks and translates them), and a flag
// combination that no stack sends is conntrack's business (INVALID), not a malformed packet.
//
// Side effects on the mbuf, all idempotent, since a packet that another worker hands over is parsed again:
//  * a VLAN tag is taken out (a twin sees untagged frames; transmit/ puts the exit port's tag in);
//  * Ethernet padding is cut, so that the length is that of the packet;
//  * a device's frame in several buffers is joined into one when that has the room; in a datagram made of fragments
//    (flow/chain.hh) the first buffer gets what the transport header needs;
//  * RX checksum flags say GOOD once software has verified what the device did not.
//
// Called by the worker that received or was handed the packet. No state.
#pragma once

#include "dataplane/flow/packet.hh"
#include "dataplane/ingress/port_table.hh"

namespace sluice {

enum class [[nodiscard]] Arrival : std::uint8_t{
    forward,  ///< IPv4 for the stages; every field of Packet that says what arrived is set
    punt,  ///< control traffic, `punt_class` set, untagged frame. From a device: for the twin of `in_port`. From a twin
           ///< (`local_out`): leaves by `out_port` as it is.
    fragment,  ///< of IPv4: all is set but what the transport header says; `key` names the datagram that it is of
    gone,      ///< dropped and counted
};

/// `p` holds the mbuf and, when they are known already, the ports:
///  * from a device: `in_port` is kNoPort; mbuf->port is the ethdev port id;
///  * handed over by another worker: `in_port` as it was found there;
///  * from a twin: `local_out`, `in_port` = kKernelPort, `out_port` = the twin's port. Its MAC is not checked.
Arrival parse(Packet& p, const PortTable& ports, Disposal& disposal) noexcept;

}  // namespace sluice

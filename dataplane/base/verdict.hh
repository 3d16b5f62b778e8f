// The one list of drop reasons. A new reason is one line here: the enum, the counter, the metric label and the help
// text all follow from it. A packet is dropped only through Disposal (flow/packet.hh), which counts.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>

namespace sluice {

// X(name, help): grouped by the stage that drops.
#define SLUICE_DROP_REASONS(X)                                                        \
    /* ingress: frame */                                                              \
    X(eth_short, "frame shorter than an Ethernet header")                             \
    X(eth_wrong_mac, "unicast frame for another station's MAC")                       \
    X(vlan_unknown, "VLAN tag, or lack of one, that no logical port has")             \
    X(frame_segments, "frame in several buffers that does not fit one")               \
    X(eth_unknown_type, "EtherType that is neither IP nor ARP")                       \
    X(ip6_off, "IPv6 packet, which is switched off")                                  \
    /* ingress: IP header */                                                          \
    X(ip_short, "IP header cut short")                                                \
    X(ip_version, "version field is not that of the EtherType")                       \
    X(ip_header_length, "IHL below 5 or beyond the packet")                           \
    X(ip_total_length, "total length below the header or beyond the frame")           \
    X(ip_checksum, "IPv4 header checksum is wrong")                                   \
    X(ip_source_route, "source route option, or IPv6 routing header of type 0")       \
    X(ip_option_malformed, "IPv4 option with an impossible length")                   \
    X(ip6_extension, "IPv6 headers cut short, too many, or out of order")             \
    X(ip_martian_source, "source is loopback, multicast, broadcast, reserved or 0/8") \
    X(ip_martian_destination, "destination is loopback, reserved or 0/8")             \
    X(ip_land_attack, "source and destination are the same")                          \
    X(ip_spoofed_own, "source is one of the box's own addresses")                     \
    X(ip6_link_scope, "IPv6 address of a link that would have to leave the link")     \
    /* ingress: transport header */                                                   \
    X(l4_short, "transport header cut short")                                         \
    X(tcp_header_length, "TCP data offset below 5 or beyond the segment")             \
    X(tcp_checksum, "TCP checksum is wrong")                                          \
    X(udp_length, "UDP length below 8 or beyond the packet")                          \
    X(udp_checksum, "UDP checksum is wrong")                                          \
    X(icmp_checksum, "ICMP checksum is wrong")                                        \
    /* ingress: fragments */                                                          \
    X(fragment_repeated, "fragment that was here before")                             \
    X(fragment_overlap, "fragments of one datagram that overlap")                     \
    X(fragment_length, "fragment without data, or beyond its datagram or 64 KB")      \
    X(fragment_ecn, "fragments of one datagram that disagree about ECN")              \
    X(fragment_limit, "more fragments than may wait")                                 \
    X(fragment_evicted, "unfinished datagram that made room for a newer one")         \
    X(fragment_timeout, "datagram of which not every fragment came in time")          \
    /* steering */                                                                    \
    X(handoff_ring_full, "ring to another worker was full")                           \
    X(multicast, "multicast that is neither control traffic nor routed")              \
    /* policy */                                                                      \
    X(filter_raw, "a raw rule said drop")                                             \
    X(filter_input, "filter chain input said drop")                                   \
    X(filter_forward, "filter chain forward said drop")                               \
    X(filter_output, "filter chain output said drop")                                 \
    X(filter_reject, "filter said reject (an answer was sent if allowed)")            \
    X(no_route, "no route to the destination")                                        \
    X(route_unreachable, "blackhole, unreachable or prohibit route")                  \
    X(flow_table_full, "table full, dropping packet")                                 \
    X(half_open_full, "half-open budget used up, newcomer refused")                   \
    X(flow_insert_failed, "a key could not be inserted")                              \
    X(first_packet_full, "no room to wait for a flow's first packet to come back")    \
    X(nat_pool_exhausted, "no free address and port in the SNAT pool")                \
    X(nat_no_address, "masquerade found no address, or a prefix none to exchange")    \
    X(expect_clash, "an expectation for the tuple exists already")                    \
    /* track */                                                                       \
    X(flow_stale, "handed-over flow was gone when the packet reached its owner")      \
    X(icmp_quote_short, "ICMP error about a translated flow that quotes too little")  \
    X(icmp_redirect_nat, "ICMP redirect about a translated flow")                     \
    X(alg_malformed, "helper could not make sense of a command it must rewrite")      \
    X(alg_out_of_order, "data behind a command of which a part is still missing")     \
    X(alg_no_room, "rewritten payload does not fit the packet")                       \
    /* transmit */                                                                    \
    X(ttl_exceeded, "TTL reached zero")                                               \
    X(mtu_exceeded, "larger than the exit MTU with DF set")                           \
    X(fragment_failed, "could not be cut to the exit MTU")                            \
    X(neighbour_queue_full, "too many packets wait for this neighbour")               \
    X(neighbour_failed, "neighbour did not answer")                                   \
    X(port_down, "exit port is down")                                                 \
    X(tx_full, "transmit queue was full")                                             \
    X(no_buffer, "no packet buffer for a generated or copied packet")                 \
    /* punt */                                                                        \
    X(punt_limited_arp, "token bucket of punt class arp_nd was empty")                \
    X(punt_limited_routing, "token bucket of punt class routing was empty")           \
    X(punt_limited_established, "token bucket of punt class established was empty")   \
    X(punt_limited_new, "token bucket of punt class new was empty")                   \
    X(punt_limited_exception, "token bucket of punt class exception was empty")       \
    X(punt_ring_full, "ring to the control thread was full")                          \
    X(shutdown, "worker was stopping")

enum class DropReason : std::uint8_t {
#define X(name, help) name,
    SLUICE_DROP_REASONS(X)
#undef X
};

inline constexpr auto kDropReasonNames = std::to_array<std::string_view>({
#define X(name, help) #name,
    SLUICE_DROP_REASONS(X)
#undef X
});
inline constexpr auto kDropReasonHelp = std::to_array<std::string_view>({
#define X(name, help) help,
    SLUICE_DROP_REASONS(X)
#undef X
});
inline constexpr std::size_t kDropReasonCount = kDropReasonNames.size();

constexpr std::string_view name_of(DropReason r) noexcept {
    return kDropReasonNames[static_cast<std::size_t>(r)];
}

}  // namespace sluice

// The names of IP protocols and ICMP types, for reading and for printing.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string_view>

namespace sluice::config {

struct NamedNumber {
    std::string_view name;
    std::uint8_t value;
};

inline constexpr std::array<NamedNumber, 10> kProtocols{{{"tcp", 6},
                                                         {"udp", 17},
                                                         {"icmp", 1},
                                                         {"icmpv6", 58},
                                                         {"igmp", 2},
                                                         {"gre", 47},
                                                         {"esp", 50},
                                                         {"ah", 51},
                                                         {"sctp", 132},
                                                         {"udplite", 136}}};

/// As nft lists them (nft describe icmp type).
inline constexpr std::array<NamedNumber, 13> kIcmpTypes{{{"echo-reply", 0},
                                                         {"destination-unreachable", 3},
                                                         {"source-quench", 4},
                                                         {"redirect", 5},
                                                         {"echo-request", 8},
                                                         {"router-advertisement", 9},
                                                         {"router-solicitation", 10},
                                                         {"time-exceeded", 11},
                                                         {"parameter-problem", 12},
                                                         {"timestamp-request", 13},
                                                         {"timestamp-reply", 14},
                                                         {"info-request", 15},
                                                         {"info-reply", 16}}};

/// As nft lists them (nft describe icmpv6 type). The first name of a number is the one that is printed.
inline constexpr std::array<NamedNumber, 19> kIcmpv6Types{{{"destination-unreachable", 1},
                                                           {"packet-too-big", 2},
                                                           {"time-exceeded", 3},
                                                           {"parameter-problem", 4},
                                                           {"echo-request", 128},
                                                           {"echo-reply", 129},
                                                           {"mld-listener-query", 130},
                                                           {"mld-listener-report", 131},
                                                           {"mld-listener-done", 132},
                                                           {"mld-listener-reduction", 132},
                                                           {"nd-router-solicit", 133},
                                                           {"nd-router-advert", 134},
                                                           {"nd-neighbor-solicit", 135},
                                                           {"nd-neighbor-advert", 136},
                                                           {"nd-redirect", 137},
                                                           {"router-renumbering", 138},
                                                           {"ind-neighbor-solicit", 141},
                                                           {"ind-neighbor-advert", 142},
                                                           {"mld2-listener-report", 143}}};

/// Of ICMP or ICMPv6.
inline std::span<const NamedNumber> icmp_types(bool v6) noexcept {
    if (v6) return kIcmpv6Types;
    return kIcmpTypes;
}

}  // namespace sluice::config

// The names of IP protocols and ICMP types, for reading and for printing.
#pragma once

#include <array>
#include <cstdint>
#include <string_view>

namespace sluice::config {

struct NamedNumber {
    std::string_view name;
    std::uint8_t value;
};

inline constexpr std::array<NamedNumber, 9> kProtocols{{{"tcp", 6},
                                                        {"udp", 17},
                                                        {"icmp", 1},
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

}  // namespace sluice::config

// Who speaks in a play, and in which words: addresses, ports, flags, TCP options, FTP lines.
#pragma once

#include <cstdint>
#include <string>

#include "tests/fuzz/tape.hh"
#include "tests/support/packet_builder.hh"

namespace sluice::fuzz {

inline constexpr Ip4 kInsiders[] = {ip4(192, 168, 1, 10), ip4(192, 168, 1, 20), ip4(192, 168, 1, 21)};
inline constexpr Ip4 kOutsiders[] = {ip4(203, 0, 113, 50), ip4(203, 0, 113, 254), ip4(198, 51, 100, 7)};
inline constexpr Ip4 kBox = ip4(203, 0, 113, 1);
inline constexpr Ip4 kBoxInside = ip4(192, 168, 1, 1);

inline constexpr std::uint16_t kTcpPorts[] = {21, 80, 21, 79, 2121, 5001, 20};
inline constexpr std::uint16_t kUdpPorts[] = {80, 53, 7, 0};
inline constexpr std::uint8_t kQueries[] = {8, 13, 15, 17, 0, 14, 9, 40};
inline constexpr std::uint8_t kErrors[] = {3, 11, 12, 3, 4, 5};
inline constexpr std::uint8_t kProtocols[] = {47, 132, 50, 51, 136, 4, 2, 89, 253, 6, 17, 1};
inline constexpr std::uint32_t kBeginnings[] = {1000, 0xffffff00, 0, 0x7fffffff, 0x80000000};

constexpr bool is_private(Ip4 a) noexcept {
    return (a.host() & 0xffffff00U) == kBoxInside.host() - 1;
}

/// What a host would send next, mostly.
std::uint8_t flags_of(Tape& tape);
std::uint8_t answer_flags(std::uint8_t heard) noexcept;
void add_options(Tape& tape, test::PacketBuilder& packet);
/// A line of FTP in which `speaker` announces itself, perhaps cut, joined or damaged; or any bytes; or nothing.
std::string speech(Tape& tape, Ip4 speaker);
/// Makes the checksum of the IPv4 header right, when there is one.
void mend_ip_checksum(test::Frame& frame);

}  // namespace sluice::fuzz

// Who speaks in a play, and in which words: addresses, ports, flags, TCP options, FTP lines.
#pragma once

#include <cstdint>
#include <string>

#include "tests/fuzz/tape.hh"
#include "tests/support/packet_builder.hh"

namespace sluice::fuzz {

/// Who speaks with whom, of one family.
struct People {
    bool v6;
    IpAddress insiders[3], outsiders[3];
    IpAddress box, box_inside;
    std::uint8_t queries[8], errors[6];
    IpProto icmp;
};
inline constexpr People kPeople4{false,
                                 {ip4(192, 168, 1, 10), ip4(192, 168, 1, 20), ip4(192, 168, 1, 21)},
                                 {ip4(203, 0, 113, 50), ip4(203, 0, 113, 254), ip4(198, 51, 100, 7)},
                                 ip4(203, 0, 113, 1),
                                 ip4(192, 168, 1, 1),
                                 {8, 13, 15, 17, 0, 14, 9, 40},
                                 {3, 11, 12, 3, 4, 5},
                                 IpProto::icmp};
/// The last one inside is of a prefix that is exchanged for another.
inline constexpr People kPeople6{true,
                                 {ip6(0x2001, 0xdb8, 1, 0, 0, 0, 0, 0x10), ip6(0x2001, 0xdb8, 1, 0, 0, 0, 0, 0x20),
                                  ip6(0x2001, 0xdb8, 4, 7, 0, 0, 0, 0x21)},
                                 {ip6(0x2001, 0xdb8, 2, 0, 0, 0, 0, 0x50), ip6(0x2001, 0xdb8, 2, 0, 0, 0, 0, 0x254),
                                  ip6(0x2001, 0xdb8, 0xff, 0, 0, 0, 0, 7)},
                                 ip6(0x2001, 0xdb8, 2, 0, 0, 0, 0, 1),
                                 ip6(0x2001, 0xdb8, 1, 0, 0, 0, 0, 1),
                                 {128, 139, 128, 128, 129, 140, 135, 200},
                                 {1, 2, 3, 4, 1, 100},
                                 IpProto::icmpv6};
inline const People& people_of(Tape& tape) noexcept {
    return tape.one_in(2) ? kPeople6 : kPeople4;
}

inline constexpr std::uint16_t kTcpPorts[] = {21, 80, 21, 79, 2121, 5001, 20};
inline constexpr std::uint16_t kUdpPorts[] = {80, 53, 7, 0};
/// Of IPv6 some are extension headers, of what happens to lie there.
inline constexpr std::uint8_t kProtocols[] = {47, 132, 50, 51, 136, 4, 2, 89, 253, 6, 17, 1, 58, 0, 43, 44, 60, 59};
inline constexpr std::uint32_t kBeginnings[] = {1000, 0xffffff00, 0, 0x7fffffff, 0x80000000};

constexpr bool is_private(const IpAddress& a) noexcept {
    return in_prefix(a, kPeople4.box_inside, 24) || in_prefix(a, kPeople6.box_inside, 64) ||
           in_prefix(a, kPeople6.insiders[2], 48);
}

/// What a host would send next, mostly.
std::uint8_t flags_of(Tape& tape);
std::uint8_t answer_flags(std::uint8_t heard) noexcept;
void add_options(Tape& tape, test::PacketBuilder& packet);
/// Extension headers, now and then; `packet` is of IPv6.
void add_headers(Tape& tape, test::PacketBuilder& packet);
/// A line of FTP in which `speaker` announces itself, perhaps cut, joined or damaged; or any bytes; or nothing.
std::string speech(Tape& tape, const IpAddress& speaker);
/// Makes the checksum of the IPv4 header right, when the frame has one.
void mend_ip_checksum(test::Frame& frame);

}  // namespace sluice::fuzz

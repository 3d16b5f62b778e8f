// Packets of protocols that PacketBuilder has no words for, as payloads of protocol(number, …): SCTP, UDP-Lite, GRE and
// ESP. Checksums are computed here bit by bit, so that they can judge the data plane's.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "tests/support/packet_builder.hh"

namespace sluice::test {

using L4Bytes = std::vector<std::uint8_t>;

inline void append(L4Bytes& out, std::uint64_t value, unsigned bytes) {
    for (unsigned i = bytes; i-- > 0;) out.push_back(static_cast<std::uint8_t>(value >> (8 * i)));
}

/// CRC32c (RFC 9260, appendix A), reflected, one bit at a time.
inline std::uint32_t crc32c(std::span<const std::uint8_t> bytes) {
    std::uint32_t crc = 0xffffffffU;
    for (const std::uint8_t byte : bytes) {
        crc ^= byte;
        for (int bit = 0; bit < 8; ++bit) crc = (crc >> 1) ^ ((crc & 1) != 0 ? 0x82f63b78U : 0);
    }
    return ~crc;
}

/// Fills in the checksum of an SCTP packet: the CRC's lowest byte goes first.
inline void seal_sctp(L4Bytes& packet) {
    for (unsigned i = 8; i < 12; ++i) packet[i] = 0;
    const std::uint32_t crc = crc32c(packet);
    for (unsigned i = 0; i < 4; ++i) packet[8 + i] = static_cast<std::uint8_t>(crc >> (8 * i));
}
inline bool sctp_sealed(std::span<const std::uint8_t> packet) {
    L4Bytes copy(packet.begin(), packet.end());
    seal_sctp(copy);
    return std::equal(copy.begin(), copy.end(), packet.begin(), packet.end());
}

/// One chunk: header and as much behind it as its kind has at least.
inline L4Bytes sctp_chunk_of(unsigned type, unsigned flags = 0, std::uint32_t init_tag = 0) {
    const bool init = type == 1 || type == 2;
    L4Bytes out;
    append(out, type, 1);
    append(out, flags, 1);
    append(out, init ? 20 : 8, 2);
    append(out, init ? init_tag : 0, 4);
    if (init) {
        append(out, 65535, 4);
        append(out, 0x00010001, 4);
        append(out, 10, 4);
    }
    return out;
}

/// An SCTP packet between two ports, in the IP packet that `protocol` begins.
inline PacketBuilder sctp(const IpAddress& src, unsigned sport, const IpAddress& dst, unsigned dport, std::uint32_t tag,
                          const std::vector<L4Bytes>& chunks, bool right = true) {
    L4Bytes packet;
    append(packet, sport, 2);
    append(packet, dport, 2);
    append(packet, tag, 4);
    append(packet, 0, 4);
    for (const L4Bytes& chunk : chunks) packet.insert(packet.end(), chunk.begin(), chunk.end());
    seal_sctp(packet);
    if (!right) packet[8] ^= 1;
    return protocol(132, src, dst).payload(packet);
}

/// `coverage` as in the header; the checksum is right for that.
inline PacketBuilder udplite(const IpAddress& src, unsigned sport, const IpAddress& dst, unsigned dport,
                             unsigned coverage, std::string_view text) {
    L4Bytes packet;
    append(packet, sport, 2);
    append(packet, dport, 2);
    append(packet, coverage, 2);
    append(packet, 0, 2);
    packet.insert(packet.end(), text.begin(), text.end());
    L4Bytes summed;
    for (const IpAddress& a : {src, dst})
        for (unsigned i = a.is_v4() ? 3 : 0; i < 4; ++i) append(summed, a.word(i), 4);
    append(summed, 136, 2);
    append(summed, packet.size(), 2);
    const std::size_t covered = coverage == 0 ? packet.size() : std::min<std::size_t>(coverage, packet.size());
    summed.insert(summed.end(), packet.begin(), packet.begin() + static_cast<std::ptrdiff_t>(covered));
    if (summed.size() % 2 != 0) summed.push_back(0);
    std::uint32_t sum = 0;
    for (std::size_t i = 0; i < summed.size(); i += 2)
        sum += static_cast<std::uint32_t>(summed[i] << 8 | summed[i + 1]);
    while (sum >> 16 != 0) sum = (sum & 0xffff) + (sum >> 16);
    const auto field = static_cast<std::uint16_t>(~sum);
    packet[6] = static_cast<std::uint8_t>((field == 0 ? 0xffff : field) >> 8);
    packet[7] = static_cast<std::uint8_t>(field == 0 ? 0xff : field);
    return protocol(136, src, dst).payload(packet);
}
/// What a receiver of a UDP-Lite packet computes over it.
inline bool udplite_sound(const IpAddress& src, const IpAddress& dst, std::span<const std::uint8_t> packet) {
    const unsigned coverage = static_cast<unsigned>(packet[4] << 8 | packet[5]);
    const std::string_view text(reinterpret_cast<const char*>(packet.data()) + 8, packet.size() - 8);
    const auto port = [&](unsigned at) { return static_cast<unsigned>(packet[at] << 8 | packet[at + 1]); };
    const auto made = udplite(src, port(0), dst, port(2), coverage, text).ip_packet();
    return std::equal(made.begin() + (src.is_v4() ? 20 : 40), made.end(), packet.begin(), packet.end());
}

inline PacketBuilder gre(const IpAddress& src, const IpAddress& dst, unsigned flags_and_version, unsigned proto,
                         std::uint64_t rest, unsigned rest_bytes) {
    L4Bytes packet;
    append(packet, flags_and_version, 2);
    append(packet, proto, 2);
    append(packet, rest, rest_bytes);
    return protocol(47, src, dst).payload(packet);
}

inline PacketBuilder esp(const IpAddress& src, const IpAddress& dst, std::uint32_t spi, std::uint32_t sequence = 1) {
    L4Bytes packet;
    append(packet, spi, 4);
    append(packet, sequence, 4);
    append(packet, 0x0123456789abcdefU, 8);
    return protocol(50, src, dst).payload(packet);
}

}  // namespace sluice::test

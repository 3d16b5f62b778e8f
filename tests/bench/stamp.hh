// A packet that is made once and then written for any number of flows: 64 bytes are copied and the tuple patched in,
// with checksums that follow from those of the original by one's complement arithmetic (RFC 1071), which does not mind
// what lies behind the headers. So a packet costs the same whatever its flow and however many there are.
//
// Pure values; any thread.
#pragma once

#include <array>
#include <cstdint>
#include <cstring>

#include <rte_mbuf.h>

#include "dataplane/base/types.hh"
#include "tests/support/packet_builder.hh"

namespace sluice::bench {

enum class Protocol : std::uint8_t { udp, tcp };
/// How tuples differ: neighbouring clients and ports, where weak hashes fall apart, or all bits at random.
enum class Pattern : std::uint8_t { sequential, random };

struct Tuple {
    Ip4 src, dst;
    std::uint16_t sport = 0, dport = 0;  ///< host order
    friend bool operator==(const Tuple&, const Tuple&) = default;
    [[nodiscard]] Tuple reversed() const noexcept { return {dst, src, dport, sport}; }
};

/// Where a client's packets go: 53 or 443.
constexpr std::uint16_t service(Protocol p) noexcept {
    return p == Protocol::udp ? 53 : 443;
}

/// The i-th of a row of 2^32 tuples of clients in 10.64.0.0/10 to 198.18.0.0/15. Within 33 million in a row no client
/// uses a port twice, and none that two clients use leads to the same server: masquerade keeps every source port.
Tuple fresh_tuple(std::uint64_t i, Protocol protocol, Pattern pattern) noexcept;

/// What differs between the packets of two flows, as it lies in the frame.
struct Patch {
    std::uint64_t addresses;
    std::uint32_t ports;
    std::uint16_t ip_checksum;
    std::uint16_t l4_checksum;
};
static_assert(sizeof(Patch) == 16);

/// The frame's offsets: no VLAN tag, no IP options.
inline constexpr unsigned kIpAt = 14, kIpChecksumAt = kIpAt + 10, kAddressesAt = kIpAt + 12, kPortsAt = kIpAt + 20;

class Stamp {
public:
    static constexpr unsigned kBytes = 64;  ///< of a frame that are written; what is behind them is there already

    Stamp() = default;
    /// Of UDP or TCP over IPv4.
    explicit Stamp(const test::PacketBuilder& packet);

    [[nodiscard]] Patch patch(const Tuple& t) const noexcept {
        const std::uint64_t addresses = t.src.raw | std::uint64_t{t.dst.raw} << 32;
        const std::uint32_t ports = be16(t.sport).raw | std::uint32_t{be16(t.dport).raw} << 16;
        const std::uint64_t both = (addresses & 0xffffffffU) + (addresses >> 32);
        std::uint16_t l4 = checksum(l4_sum_ + both + ports);
        if (l4 == 0) l4 = 0xffff;  // UDP has none then
        return {addresses, ports, checksum(ip_sum_ + both), l4};
    }
    void write(std::byte* frame, const Patch& patch) const noexcept {
        std::memcpy(frame, bytes_.data(), kBytes);
        std::memcpy(frame + kAddressesAt, &patch.addresses, sizeof patch.addresses);
        std::memcpy(frame + kPortsAt, &patch.ports, sizeof patch.ports);
        std::memcpy(frame + kIpChecksumAt, &patch.ip_checksum, sizeof patch.ip_checksum);
        std::memcpy(frame + l4_checksum_at_, &patch.l4_checksum, sizeof patch.l4_checksum);
    }
    /// Into an mbuf that was just allocated.
    void write(rte_mbuf* m, const Patch& patch) const noexcept {
        write(rte_pktmbuf_mtod(m, std::byte*), patch);
        m->data_len = frame_bytes_;
        m->pkt_len = frame_bytes_;
    }
    void write(rte_mbuf* m, const Tuple& t) const noexcept { write(m, patch(t)); }
    [[nodiscard]] std::uint16_t frame_bytes() const noexcept { return frame_bytes_; }

private:
    static std::uint16_t checksum(std::uint64_t sum) noexcept {
        sum = (sum & 0xffffffffU) + (sum >> 32);
        sum = (sum & 0xffffU) + (sum >> 16);
        sum = (sum & 0xffffU) + (sum >> 16);
        sum = (sum & 0xffffU) + (sum >> 16);
        return static_cast<std::uint16_t>(~sum);
    }

    std::array<std::byte, kBytes> bytes_{};
    std::uint64_t ip_sum_ = 0, l4_sum_ = 0;  // without addresses and ports
    std::uint16_t frame_bytes_ = 0;
    std::uint16_t l4_checksum_at_ = 0;
};

}  // namespace sluice::bench

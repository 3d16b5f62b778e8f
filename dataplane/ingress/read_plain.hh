// Reads a plain packet (flow/plain_packet.hh): what parse asks step by step of any packet is asked here in one piece,
// each byte read once, both checksums included.
//
// What is not plain, for whatever reason, is left as it was and goes to parse, which alone says what is wrong with a
// packet. The two may not disagree: a test and the parser's fuzzer hold them against each other.
//
// Owner: the worker that received the packet. Cannot fail.
#pragma once

#include <cstdint>
#include <cstring>

#include <rte_mbuf.h>

#include "dataplane/base/checksum.hh"
#include "dataplane/base/wide_sum.hh"
#include "dataplane/flow/plain_packet.hh"
#include "dataplane/ingress/parse_ip.hh"
#include "dataplane/ingress/port_table.hh"

namespace sluice {

/// The port by which untagged frames come, as its packets are asked for it.
struct PlainPort {
    std::uint64_t mac = 0;  ///< in the first six bytes
    PortIndex index = kNoPort;
    std::uint16_t zone = 0;

    static PlainPort of(PortIndex index, const PortInfo& port) noexcept {
        PlainPort p;
        std::memcpy(&p.mac, port.mac.bytes.data(), port.mac.bytes.size());
        p.index = index;
        p.zone = port.zone;
        return p;
    }
};

namespace plain {

inline constexpr unsigned kEther = 14, kIp = 20, kUdp = 8, kTcp = 20;
inline constexpr unsigned kUdpPortAndLength = 2, kUdpChecksum = 6, kTcpHeaderLength = 12;

using sluice::detail::load_word;

/// Bytes from the transport header to the payload; 0: the header is not sound, or it may be the box's own business: UDP
/// to DHCP's ports (parse_ip4).
[[nodiscard]] inline unsigned header_bytes(const std::uint8_t* l4, unsigned bytes, bool udp) noexcept {
    if (udp) {
        constexpr unsigned kDhcpServer = 67, kDhcpPorts = 2;
        const std::uint32_t port_and_length = __builtin_bswap32(load_word<std::uint32_t>(l4 + kUdpPortAndLength));
        const bool may_be_dhcp = (port_and_length >> 16) - kDhcpServer < kDhcpPorts;
        return ((port_and_length & 0xffffU) == bytes) & !may_be_dhcp ? kUdp : 0;
    }
    const unsigned header = (l4[kTcpHeaderLength] >> 4) * 4U;
    return (header >= kTcp) & (header <= bytes) ? header : 0;
}

/// The IPv4 header in the words in which it is read.
struct IpWords {
    std::uint64_t first, second;
    std::uint32_t destination;

    static IpWords at(const std::uint8_t* l3) noexcept {
        return {load_word<std::uint64_t>(l3), load_word<std::uint64_t>(l3 + 8), load_word<std::uint32_t>(l3 + 16)};
    }
    // In a register: of 16 bits compilers make a detour through memory.
    [[nodiscard]] unsigned total_bytes() const noexcept {
        return static_cast<std::uint16_t>(__builtin_bswap64(first) >> 32);
    }
    [[nodiscard]] bool is_fragment() const noexcept { return (first >> 48 & be16(0x3fff).raw) != 0; }
    [[nodiscard]] std::uint8_t proto() const noexcept { return static_cast<std::uint8_t>(second >> 8); }
    [[nodiscard]] std::uint32_t source() const noexcept { return static_cast<std::uint32_t>(second >> 32); }
    /// Of its words of 32 bits.
    [[nodiscard]] std::uint64_t sum() const noexcept {
        return (first & 0xffffffffU) + (first >> 32) + (second & 0xffffffffU) + (second >> 32) + destination;
    }
    /// Of what the pseudo header has in network byte order: to swap the bytes of a word is to multiply it by 256, as
    /// far as is_zero_sum can tell.
    [[nodiscard]] std::uint64_t pseudo_sum(unsigned l4_bytes) const noexcept {
        return std::uint64_t{source()} + destination + ((proto() + l4_bytes) << 8);
    }
};

/// The sums of a packet that is not short, or has no room behind it.
[[nodiscard, gnu::noinline]] inline std::uint64_t long_sum(const std::uint8_t* l4, unsigned bytes) noexcept {
    return partial_sum(l4, bytes);
}

[[nodiscard]] inline bool transport_holds(const rte_mbuf* m, const std::uint8_t* l3, const IpWords& ip, unsigned total,
                                          std::uint64_t header_sum) noexcept {
    // Of a short one the whole IP packet is summed up, and the header's words are taken off again.
    const bool room = m->data_off + kEther + kShortSum <= m->buf_len;
    const std::uint64_t sum = (total <= kShortSum) & room ? short_sum(l3, total) - header_sum  //
                                                          : long_sum(l3 + kIp, total - kIp);
    return is_zero_sum(sum + ip.pseudo_sum(total - kIp));
}

inline constexpr std::uint64_t kIpSaid = RTE_MBUF_F_RX_IP_CKSUM_MASK, kIpGood = RTE_MBUF_F_RX_IP_CKSUM_GOOD;
inline constexpr std::uint64_t kL4Said = RTE_MBUF_F_RX_L4_CKSUM_MASK, kL4Good = RTE_MBUF_F_RX_L4_CKSUM_GOOD;

/// Where a device has said something of the checksums, but not that both are right, or the sender has computed none.
[[nodiscard, gnu::noinline]] inline bool others_hold(rte_mbuf* m, const std::uint8_t* l3, unsigned total,
                                                     bool none) noexcept {
    const std::uint64_t said = m->ol_flags & (kIpSaid | kL4Said);
    if ((said & kL4Said) == RTE_MBUF_F_RX_L4_CKSUM_NONE) return false;  // to be filled in
    const IpWords ip = IpWords::at(l3);
    if ((said & kIpSaid) != kIpGood && !is_zero_sum(ip.sum())) return false;
    if (!none && (said & kL4Said) != kL4Good && !transport_holds(m, l3, ip, total, ip.sum())) return false;
    m->ol_flags = (m->ol_flags & ~(kIpSaid | kL4Said)) | kIpGood | (none ? said & kL4Said : kL4Good);
    return true;
}

/// The checksums that no device has vouched for are right. Writes down that they are.
[[nodiscard]] inline bool checksums_hold(rte_mbuf* m, const std::uint8_t* l3, const IpWords& ip, unsigned total,
                                         bool udp) noexcept {
    const std::uint64_t said = m->ol_flags & (kIpSaid | kL4Said);
    if (said == (kIpGood | kL4Good)) return true;
    const bool none = udp && load_word<std::uint16_t>(l3 + kIp + kUdpChecksum) == 0;  // RFC 768
    if (said != 0 || none) [[unlikely]]
        return others_hold(m, l3, total, none);
    const std::uint64_t header_sum = ip.sum();
    if (!(is_zero_sum(header_sum) & transport_holds(m, l3, ip, total, header_sum))) [[unlikely]]
        return false;
    m->ol_flags |= kIpGood | kL4Good;
    return true;
}

}  // namespace plain

/// `m` came untagged by `port`. True: it is plain, and `p` says so. False: `m` is not changed.
[[nodiscard]] inline bool read_plain(PlainPacket& p, rte_mbuf* m, const PlainPort& port) noexcept {
    using namespace plain;
    constexpr std::uint32_t kTypeAndStart = 0x00450008;  // 08 00, then version 4 and five words of header
    auto* frame = rte_pktmbuf_mtod(m, std::uint8_t*);
    if (m->nb_segs != 1 || m->data_len < kEther + kIp + kUdp || (m->ol_flags & RTE_MBUF_F_RX_VLAN_STRIPPED) != 0)
        return false;
    const std::uint64_t to_another = (load_word<std::uint64_t>(frame) ^ port.mac) << 16;
    const std::uint64_t other_type = (load_word<std::uint32_t>(frame + 12) & 0x00ffffffU) ^ kTypeAndStart;
    if ((to_another | other_type) != 0) [[unlikely]]
        return false;
    std::uint8_t* l3 = frame + kEther;
    const IpWords ip = IpWords::at(l3);
    const unsigned total = ip.total_bytes(), available = m->data_len - kEther;
    const bool udp = ip.proto() == static_cast<std::uint8_t>(IpProto::udp);
    const bool tcp = ip.proto() == static_cast<std::uint8_t>(IpProto::tcp);
    const unsigned least = kIp + (udp ? kUdp : kTcp);
    const bool sound = (!ip.is_fragment()) & (udp | tcp) & (total >= least) & (total <= available) &
                       is_between_hosts(Ip4::from_raw(ip.source()), Ip4::from_raw(ip.destination));
    if (!sound) [[unlikely]]
        return false;
    const unsigned header = header_bytes(l3 + kIp, total - kIp, udp);
    if (header == 0 || !checksums_hold(m, l3, ip, total, udp)) return false;

    m->data_len = static_cast<std::uint16_t>(kEther + total);  // padding is not the packet's
    m->pkt_len = kEther + total;
    p.mbuf = m;
    p.l3 = l3;
    p.key.words = ip4_key_words(ip.source(), ip.destination, load_word<std::uint32_t>(l3 + kIp), ip.proto(), port.zone);
    p.l3_bytes = static_cast<std::uint16_t>(total);
    p.l4_header = static_cast<std::uint8_t>(header);
    p.in_port = port.index;
    return true;
}

}  // namespace sluice

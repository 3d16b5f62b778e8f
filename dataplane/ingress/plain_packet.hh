// The plain packet, proven at once: whole, IPv4 without options, UDP or TCP, in one buffer, from one host to another
// and addressed to this station. Nearly every packet is one, and what parse asks step by step of any packet is asked of
// it here in one piece, each byte read once.
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
#include "dataplane/flow/packet.hh"
#include "dataplane/ingress/parse_ip.hh"
#include "dataplane/ingress/port_table.hh"

namespace sluice {

namespace plain {

inline constexpr unsigned kEther = 14, kIp = 20, kUdp = 8, kTcp = 20;
inline constexpr unsigned kUdpChecksum = 6, kTcpHeaderLength = 12;

template <class Word>
[[nodiscard]] inline Word word_at(const std::uint8_t* at) noexcept {
    return detail::load_word<Word>(at);
}

/// UDP between DHCP's ports may be the box's own business (parse_ip4).
[[nodiscard]] inline bool may_be_dhcp(const std::uint8_t* ports) noexcept {
    constexpr unsigned kServer = 67, kClient = 68;
    const unsigned to = Be16::from_raw(word_at<std::uint16_t>(ports + 2)).host();
    return to == kServer || to == kClient;
}

/// Bytes from the transport header to the payload; 0: the header is not sound.
[[nodiscard]] inline unsigned header_bytes(const std::uint8_t* l4, unsigned bytes, bool udp) noexcept {
    if (udp) {
        const bool whole = bytes >= kUdp && Be16::from_raw(word_at<std::uint16_t>(l4 + 4)).host() == bytes;
        return whole && !may_be_dhcp(l4) ? kUdp : 0;
    }
    if (bytes < kTcp) return 0;
    const unsigned header = (l4[kTcpHeaderLength] >> 4) * 4U;
    return header >= kTcp && header <= bytes ? header : 0;
}

/// The checksums that no device has vouched for are right. Writes down that they are.
[[nodiscard]] inline bool checksums_hold(rte_mbuf* m, const std::uint8_t* l3, unsigned l4_bytes, bool udp) noexcept {
    constexpr std::uint64_t kAsked = RTE_MBUF_F_RX_IP_CKSUM_MASK | RTE_MBUF_F_RX_L4_CKSUM_MASK;
    constexpr std::uint64_t kGood = RTE_MBUF_F_RX_IP_CKSUM_GOOD | RTE_MBUF_F_RX_L4_CKSUM_GOOD;
    std::uint64_t said = m->ol_flags & kAsked;
    if (said == kGood) return true;
    if ((said & RTE_MBUF_F_RX_L4_CKSUM_MASK) == RTE_MBUF_F_RX_L4_CKSUM_NONE) return false;  // to be filled in
    // Added in words of 32 bits, a few of which cannot overflow 64; in words of 16 it is the same sum (RFC 1071, 2).
    const std::uint64_t addresses = std::uint64_t{word_at<std::uint32_t>(l3 + 12)} + word_at<std::uint32_t>(l3 + 16);
    const auto folded = [](std::uint64_t wide) noexcept {
        return static_cast<std::uint32_t>((wide & 0xffffU) + (wide >> 16 & 0xffffU) + (wide >> 32));
    };
    if ((said & RTE_MBUF_F_RX_IP_CKSUM_MASK) != RTE_MBUF_F_RX_IP_CKSUM_GOOD) {
        const std::uint64_t sum =
            addresses + word_at<std::uint32_t>(l3) + word_at<std::uint32_t>(l3 + 4) + word_at<std::uint32_t>(l3 + 8);
        if (fold(folded(sum)) != 0xffff) return false;
        said = (said & ~RTE_MBUF_F_RX_IP_CKSUM_MASK) | RTE_MBUF_F_RX_IP_CKSUM_GOOD;
    }
    const std::uint8_t* l4 = l3 + kIp;
    const bool none = udp && word_at<std::uint16_t>(l4 + kUdpChecksum) == 0;  // RFC 768: the sender computed none
    if (!none && (said & RTE_MBUF_F_RX_L4_CKSUM_MASK) != RTE_MBUF_F_RX_L4_CKSUM_GOOD) {
        const std::uint64_t pseudo = addresses + Be16::from_host(l3[9]).raw + be16(l4_bytes).raw;
        if (fold(partial_sum(l4, l4_bytes, folded(pseudo))) != 0xffff) return false;
        said = (said & ~RTE_MBUF_F_RX_L4_CKSUM_MASK) | RTE_MBUF_F_RX_L4_CKSUM_GOOD;
    }
    m->ol_flags = (m->ol_flags & ~kAsked) | said;
    return true;
}

}  // namespace plain

/// `p` is as made by default, `m` came untagged by `port`, whose number is `in_port`. True: `p` is what parse would
/// have made of it, and `plain`. False: neither `p` nor `m` is changed.
[[nodiscard]] inline bool read_plain(Packet& p, rte_mbuf* m, PortIndex in_port, const PortInfo& port) noexcept {
    using namespace plain;
    constexpr std::uint32_t kTypeAndStart = 0x00450008;  // 08 00, then version 4 and five words of header
    const auto* frame = rte_pktmbuf_mtod(m, std::uint8_t*);
    if (m->nb_segs != 1 || m->data_len < kEther + kIp + kUdp || (m->ol_flags & RTE_MBUF_F_RX_VLAN_STRIPPED) != 0 ||
        (word_at<std::uint32_t>(frame + 12) & 0x00ffffffU) != kTypeAndStart ||
        std::memcmp(frame, port.mac.bytes.data(), port.mac.bytes.size()) != 0)
        return false;
    auto* l3 = rte_pktmbuf_mtod_offset(m, std::uint8_t*, kEther);
    const unsigned total = Be16::from_raw(word_at<std::uint16_t>(l3 + 2)).host();
    const unsigned available = m->data_len - kEther;
    const bool fragment = (word_at<std::uint16_t>(l3 + 6) & be16(0x3fff).raw) != 0;
    const std::uint8_t proto = l3[9];
    const bool udp = proto == static_cast<std::uint8_t>(IpProto::udp);
    if (total < kIp || total > available || fragment || (!udp && proto != static_cast<std::uint8_t>(IpProto::tcp)) ||
        !is_between_hosts(Ip4::from_raw(word_at<std::uint32_t>(l3 + 12)),
                          Ip4::from_raw(word_at<std::uint32_t>(l3 + 16))))
        return false;
    const unsigned l4_bytes = total - kIp;
    const unsigned header = header_bytes(l3 + kIp, l4_bytes, udp);
    if (header == 0 || !checksums_hold(m, l3, l4_bytes, udp)) return false;

    m->data_len = static_cast<std::uint16_t>(kEther + total);  // padding is not the packet's
    m->pkt_len = kEther + total;
    p.mbuf = m;
    p.l3 = l3;
    p.l4 = l3 + kIp;
    p.l3_bytes = static_cast<std::uint16_t>(total);
    p.l4_bytes = static_cast<std::uint16_t>(l4_bytes);
    p.payload_offset = static_cast<std::uint16_t>(header);
    p.in_port = in_port;
    p.proto = proto;
    p.plain = true;
    p.key.set_ip4(l3 + 12, p.l4, proto, port.zone);
    return true;
}

}  // namespace sluice

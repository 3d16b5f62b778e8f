// The common part of what sluice sends in answer to a packet: a frame back to the station it came from, with an IP
// header of its family. Used by icmp_error and reject.
#pragma once

#include <cstdint>
#include <cstring>

#include <rte_ether.h>
#include <rte_ip.h>
#include <rte_mbuf.h>

#include "dataplane/base/checksum.hh"
#include "dataplane/flow/packet.hh"

namespace sluice {

struct AnswerHeader {
    IpAddress src{}, dst{};
    IpProto proto{};
    std::uint8_t tos = 0;
    std::uint16_t id = 0;        ///< IPv4
    bool dont_fragment = false;  ///< IPv4
};

struct AnswerFrame {
    rte_mbuf* mbuf = nullptr;
    std::uint8_t* l4 = nullptr;  ///< `l4_bytes` bytes to fill
};

inline constexpr std::uint8_t kAnswerHops = 64;  // RFC 1700, and Linux

inline void write_ip4(rte_ipv4_hdr* ip, const AnswerHeader& header, std::uint16_t l4_bytes) noexcept {
    std::memset(ip, 0, sizeof *ip);
    ip->version_ihl = 0x45;
    ip->type_of_service = header.tos;
    ip->total_length = be16(sizeof *ip + l4_bytes).raw;
    ip->packet_id = be16(header.id).raw;
    ip->fragment_offset = be16(header.dont_fragment ? 0x4000 : 0).raw;
    ip->time_to_live = kAnswerHops;
    ip->next_proto_id = static_cast<std::uint8_t>(header.proto);
    ip->src_addr = header.src.v4().raw;
    ip->dst_addr = header.dst.v4().raw;
    ip->hdr_checksum = checksum_of(ip, sizeof *ip);
}

inline void write_ip6(rte_ipv6_hdr* ip, const AnswerHeader& header, std::uint16_t l4_bytes) noexcept {
    ip->vtc_flow = Be32::from_host(6U << 28 | std::uint32_t{header.tos} << 20).raw;
    ip->payload_len = be16(l4_bytes).raw;
    ip->proto = static_cast<std::uint8_t>(header.proto);
    ip->hop_limits = kAnswerHops;
    header.src.to_bytes(ip->src_addr);
    header.dst.to_bytes(ip->dst_addr);
}

/// Ethernet and IP headers in a new mbuf, addressed back to where `p`'s frame came from. No mbuf: the pool is empty.
inline AnswerFrame start_answer(rte_mempool* pool, const Packet& p, const AnswerHeader& header,
                                std::uint16_t l4_bytes) noexcept {
    rte_mbuf* m = rte_pktmbuf_alloc(pool);
    if (m == nullptr) return {};
    const bool v6 = !header.src.is_v4();
    const unsigned headers = sizeof(rte_ether_hdr) + (v6 ? sizeof(rte_ipv6_hdr) : sizeof(rte_ipv4_hdr));
    char* frame = rte_pktmbuf_append(m, static_cast<std::uint16_t>(headers + l4_bytes));
    if (frame == nullptr) {
        rte_pktmbuf_free(m);
        return {};
    }
    auto* eth = reinterpret_cast<rte_ether_hdr*>(frame);
    const auto* arrived = reinterpret_cast<const rte_ether_hdr*>(p.l3 - sizeof(rte_ether_hdr));
    eth->dst_addr = arrived->src_addr;
    eth->src_addr = arrived->dst_addr;
    eth->ether_type = be16(v6 ? 0x86dd : 0x0800).raw;

    if (v6) {
        write_ip6(reinterpret_cast<rte_ipv6_hdr*>(eth + 1), header, l4_bytes);
    } else {
        write_ip4(reinterpret_cast<rte_ipv4_hdr*>(eth + 1), header, l4_bytes);
    }
    return {m, reinterpret_cast<std::uint8_t*>(frame) + headers};
}

}  // namespace sluice

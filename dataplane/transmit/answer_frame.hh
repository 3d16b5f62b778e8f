// The common part of what sluice sends in answer to a packet: a frame back to the station it came from, with an IPv4
// header. Used by icmp_error and reject.
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
    Ip4 src{}, dst{};
    IpProto proto{};
    std::uint8_t tos = 0;
    std::uint16_t id = 0;
    bool dont_fragment = false;
};

struct AnswerFrame {
    rte_mbuf* mbuf = nullptr;
    std::uint8_t* l4 = nullptr;  ///< `l4_bytes` bytes to fill
};

/// Ethernet and IPv4 headers in a new mbuf, addressed back to where `p`'s frame came from. No mbuf: the pool is empty.
inline AnswerFrame start_answer(rte_mempool* pool, const Packet& p, const AnswerHeader& header,
                                std::uint16_t l4_bytes) noexcept {
    rte_mbuf* m = rte_pktmbuf_alloc(pool);
    if (m == nullptr) return {};
    constexpr unsigned kHeaders = sizeof(rte_ether_hdr) + sizeof(rte_ipv4_hdr);
    char* frame = rte_pktmbuf_append(m, static_cast<std::uint16_t>(kHeaders + l4_bytes));
    if (frame == nullptr) {
        rte_pktmbuf_free(m);
        return {};
    }
    auto* eth = reinterpret_cast<rte_ether_hdr*>(frame);
    const auto* arrived = reinterpret_cast<const rte_ether_hdr*>(p.l3 - sizeof(rte_ether_hdr));
    eth->dst_addr = arrived->src_addr;
    eth->src_addr = arrived->dst_addr;
    eth->ether_type = be16(0x0800).raw;

    auto* ip = reinterpret_cast<rte_ipv4_hdr*>(eth + 1);
    std::memset(ip, 0, sizeof *ip);
    ip->version_ihl = 0x45;
    ip->type_of_service = header.tos;
    ip->total_length = be16(sizeof *ip + l4_bytes).raw;
    ip->packet_id = be16(header.id).raw;
    ip->fragment_offset = be16(header.dont_fragment ? 0x4000 : 0).raw;
    ip->time_to_live = 64;  // RFC 1700, and Linux
    ip->next_proto_id = static_cast<std::uint8_t>(header.proto);
    ip->src_addr = header.src.raw;
    ip->dst_addr = header.dst.raw;
    ip->hdr_checksum = checksum_of(ip, sizeof *ip);
    return {m, reinterpret_cast<std::uint8_t*>(ip + 1)};
}

}  // namespace sluice

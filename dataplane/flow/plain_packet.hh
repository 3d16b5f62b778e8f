// The plain packet: whole, IPv4 without options, UDP or TCP, in one buffer, untagged, from one host to another. Nearly
// every packet is one, so of a plain packet no more is written down than its way through the fast path needs
// (fast_path.hh): less than a line, where a Packet has three. What turns out to be anything else than a usual packet of
// an established flow becomes a Packet and goes through the stages.
//
// Owner: one worker.
#pragma once

#include <array>
#include <cstdint>
#include <cstring>

#include <rte_ip.h>
#include <rte_mbuf.h>

#include "dataplane/flow/flow_entry.hh"
#include "dataplane/flow/flow_key.hh"
#include "dataplane/flow/flow_ref.hh"
#include "dataplane/flow/packet.hh"

namespace sluice {

struct PlainPacket {
    rte_mbuf* mbuf;          // owned until it has left the burst
    std::uint8_t* l3;        // IPv4 header, of 20 bytes
    KeyHead key;             // as FlowKey
    std::uint32_t hash;      // of the key, once hashed
    FlowRef found;           // the flow, a stub or none, once looked up
    std::uint16_t l3_bytes;  // all of the IP packet
    std::uint8_t l4_header;  // bytes of the transport header
    std::uint8_t ahead;      // packets that are not plain and came before it in its burst
    PortIndex in_port;

    [[nodiscard]] rte_ipv4_hdr* ip() const noexcept { return reinterpret_cast<rte_ipv4_hdr*>(l3); }
    [[nodiscard]] std::uint8_t* l4() const noexcept { return l3 + sizeof(rte_ipv4_hdr); }
    [[nodiscard]] rte_tcp_hdr* tcp() const noexcept { return reinterpret_cast<rte_tcp_hdr*>(l4()); }
    [[nodiscard]] std::uint16_t l4_bytes() const noexcept {
        return static_cast<std::uint16_t>(l3_bytes - sizeof(rte_ipv4_hdr));
    }
    [[nodiscard]] bool is_tcp() const noexcept {
        return (key.words[1] >> 32 & 0xffU) == static_cast<unsigned>(IpProto::tcp);
    }
    [[nodiscard]] std::uint8_t proto() const noexcept { return l3[offsetof(rte_ipv4_hdr, next_proto_id)]; }
};
static_assert(sizeof(PlainPacket) <= 48);

/// The plain packets of a burst, in their order of arrival.
class PlainBurst {
public:
    PlainBurst() = default;
    PlainBurst(const PlainBurst&) = delete;
    PlainBurst& operator=(const PlainBurst&) = delete;

    /// Where the next one is written; it is of the burst once `push` has said so.
    [[nodiscard]] PlainPacket& next() noexcept { return packets_[count_]; }
    /// `ahead`: of PlainPacket.
    void push(unsigned ahead) noexcept {
        PlainPacket& p = packets_[count_++];
        p.found = FlowRef{};
        p.ahead = static_cast<std::uint8_t>(ahead);
    }
    void clear() noexcept { count_ = 0; }
    [[nodiscard]] unsigned count() const noexcept { return count_; }
    [[nodiscard]] bool empty() const noexcept { return count_ == 0; }

    [[nodiscard]] PlainPacket& operator[](unsigned i) noexcept { return packets_[i]; }

    /// Runs `stays(PlainPacket&) -> bool` over the burst in order and closes the gaps that the others leave.
    template <class Stays>
    void keep(Stays&& stays) noexcept {
        unsigned kept = 0;
        for (unsigned i = 0; i < count_; ++i) {
            if (!stays(packets_[i])) [[likely]]
                continue;
            if (kept != i) packets_[kept] = packets_[i];
            ++kept;
        }
        count_ = kept;
    }

private:
    std::array<PlainPacket, kBurst> packets_;
    unsigned count_ = 0;
};

/// Makes `p`, which is as made by default, what parse would have made of the same packet.
inline void unfold(const PlainPacket& plain, Packet& p) noexcept {
    p.mbuf = plain.mbuf;
    p.l3 = plain.l3;
    p.l4 = plain.l4();
    p.l3_bytes = plain.l3_bytes;
    p.l4_bytes = plain.l4_bytes();
    p.payload_offset = plain.l4_header;
    p.in_port = plain.in_port;
    p.proto = plain.proto();
    std::memcpy(static_cast<void*>(&p.key), &plain.key, sizeof plain.key);
}

}  // namespace sluice

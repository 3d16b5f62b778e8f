// May a packet that belongs to no flow open one, and in which state does that flow begin? The pure half of the
// trackers, needed before there is a flow; the other half (what later packets do) is in track/.
//
// TCP: nf_conntrack_proto_tcp.c, tcp_new(): a SYN, or mid-stream when `loose`. UDP and unknown protocols always. ICMP:
// the asking types only. Pure; any thread.
#pragma once

#include <algorithm>
#include <cstdint>

#include "dataplane/flow/packet.hh"
#include "dataplane/flow/tcp_table.hh"
#include "dataplane/flow/timeouts.hh"

namespace sluice {

struct Admission {
    bool admit = false;  ///< false: the packet is INVALID
    TcpState tcp_state = TcpState::none;
    std::uint32_t timeout_s = 0;
};

[[nodiscard]] inline Admission admission_of(const Packet& p, const Timeouts& timeouts) noexcept {
    if (p.icmp_error || !p.trackable) return {};
    switch (l4_kind(p.proto)) {
        case L4Kind::tcp: {
            const std::uint8_t flags = p.tcp()->tcp_flags;
            if (!tcp_flags_legal(flags)) return {};
            const auto cell = tcp_transition(Direction::original, tcp_flag_class(flags), TcpState::none);
            if (!cell.moves()) return {};
            // Picked up mid-stream, without any sign of an answer yet: Linux gives it the unacknowledged timeout.
            const bool unacknowledged = cell.next() == TcpState::established;
            return {true, cell.next(), timeouts.tcp_for(cell.next(), {.unacknowledged = unacknowledged})};
        }
        case L4Kind::udp:
            return {true, TcpState::none, timeouts.udp};
        case L4Kind::icmp:
            return {icmp_is_request(p.icmp()->icmp_type), TcpState::none, timeouts.icmp};
        case L4Kind::generic:
            return {true, TcpState::none, timeouts.generic};
    }
    return {};
}

}  // namespace sluice

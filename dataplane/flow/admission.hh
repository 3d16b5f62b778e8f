// May a packet that belongs to no flow open one, and in which state does that flow begin? The pure half of the
// trackers, needed before there is a flow; the other half (what later packets do) is in track/.
//
// TCP: nf_conntrack_proto_tcp.c, tcp_new(): a SYN, or mid-stream when `loose`. UDP and unknown protocols always. ICMP:
// the asking types only. Pure; any thread.
#pragma once

#include <cstdint>

#include "dataplane/base/invalid_reason.hh"
#include "dataplane/flow/packet.hh"
#include "dataplane/flow/tcp_rules.hh"
#include "dataplane/flow/tcp_table.hh"
#include "dataplane/flow/timeouts.hh"

namespace sluice {

struct Admission {
    bool admit = false;  ///< false: the packet is INVALID, for the reason `refused`
    InvalidReason refused{};
    TcpState tcp_state = TcpState::none;
    std::uint32_t timeout_s = 0;  ///< TCP: of the state, without the caps that the segment's numbers may put on it
};

[[nodiscard]] inline Admission admission_of(const Packet& p, const Timeouts& timeouts, const TcpRules& rules) noexcept {
    const auto refuse = [](InvalidReason reason) { return Admission{.refused = reason}; };
    if (p.icmp_error) return refuse(InvalidReason::icmp_unrelated);
    if (!p.trackable) return refuse(InvalidReason::icmp_type);
    switch (l4_kind(p.proto)) {
        case L4Kind::tcp: {
            const std::uint8_t flags = p.tcp()->tcp_flags;
            if (!tcp_flags_legal(flags)) return refuse(InvalidReason::tcp_flags);
            const auto cell = tcp_transition(Direction::original, tcp_flag_class(flags), TcpState::none);
            const bool picked_up = cell.moves() && cell.next() == TcpState::established;
            if (!cell.moves() || (picked_up && !rules.loose)) return refuse(InvalidReason::tcp_no_connection);
            return {.admit = true, .tcp_state = cell.next(), .timeout_s = timeouts.of(cell.next())};
        }
        case L4Kind::udp:
            return {.admit = true, .timeout_s = timeouts.udp};
        case L4Kind::icmp:
            if (!icmp_is_request(p.icmp()->icmp_type)) return refuse(InvalidReason::icmp_no_request);
            return {.admit = true, .timeout_s = timeouts.icmp};
        case L4Kind::generic:
            return {.admit = true, .timeout_s = timeouts.generic};
    }
    return {};
}

}  // namespace sluice

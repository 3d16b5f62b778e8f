// How long a silent flow lives, per protocol and state, in seconds: part of the published policy. The values come from
// the configuration (conntrack.timeouts, with the defaults of the chosen profile); there are none here, so that the
// defaults exist in one place only.
//
// Life cycle: filled by the compiler of the policy, immutable once published; workers read it.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include "dataplane/flow/tcp_table.hh"

namespace sluice {

/// What shortens the timeout of a TCP flow below that of its state.
struct TcpCaps {
    bool retransmitted = false;   ///< the same segment was seen as often as tcp_max_retrans counts
    bool reset = false;           ///< this segment is an RST, even one that did not close the flow (RFC 5961, 3.2)
    bool unacknowledged = false;  ///< data is outstanding, or the flow was picked up and never answered
    bool zero_window = false;     ///< the last window announced was zero
};

struct Timeouts {
    /// By TcpState; NONE is never in force, as no flow is ever in it.
    std::array<std::uint32_t, kTcpStateCount> tcp;
    std::uint32_t tcp_unacknowledged;  ///< cap, see TcpCaps
    std::uint32_t tcp_max_retrans;     ///< cap, see TcpCaps; a zero window has it too
    std::uint32_t udp;                 ///< until a reply is seen and the flow is a stream
    std::uint32_t udp_stream;          ///< from then on
    std::uint32_t icmp;
    std::uint32_t icmpv6;
    std::uint32_t generic;
    std::array<std::uint32_t, 9> sctp;  ///< by l4::SctpState; NONE is never in force
    std::uint32_t gre;                  ///< until it is answered
    std::uint32_t gre_stream;           ///< from then on
    std::uint32_t udplite;              ///< as of UDP
    std::uint32_t udplite_stream;
    std::uint32_t esp;

    friend constexpr bool operator==(const Timeouts&, const Timeouts&) = default;

    [[nodiscard]] constexpr std::uint32_t of(TcpState state) const noexcept {
        return tcp[static_cast<std::size_t>(state)];
    }
    constexpr void set(TcpState state, std::uint32_t seconds) noexcept {
        tcp[static_cast<std::size_t>(state)] = seconds;
    }

    /// The timeout that a TCP segment puts in force when it leaves the flow in `state`. A cap never lengthens it; the
    /// first one that shortens it applies, in the order of Linux.
    [[nodiscard]] constexpr std::uint32_t tcp_for(TcpState state, TcpCaps caps) const noexcept {
        const std::uint32_t full = of(state);
        if (caps.retransmitted && full > tcp_max_retrans) return tcp_max_retrans;
        if (caps.reset) return of(TcpState::close);
        if (caps.unacknowledged && full > tcp_unacknowledged) return tcp_unacknowledged;
        if (caps.zero_window && full > tcp_max_retrans) return tcp_max_retrans;
        return full;
    }
};

}  // namespace sluice

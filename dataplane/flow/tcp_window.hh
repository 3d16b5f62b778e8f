// Does a TCP segment lie in the window? We stand between the two ends and see every segment before its receiver does,
// so what an end may send follows from what its peer has said: no further than ack + window, not far below what is
// acknowledged already; and it cannot acknowledge what was never sent (van Rooij, "Real stateful TCP packet filtering
// in IP Filter", with window scaling, RFC 7323, and SACK, RFC 2018).
//
//     I    seq       <= sender.max_end                      not beyond what the receiver allows
//     II   end       >= sender.end - receiver.max_window    not long acknowledged
//     III  (s)ack    <= receiver.end                        only what the receiver has sent
//     IV   (s)ack    >= receiver.end - max(66000, window)   no ancient acknowledgement
//
// A failed I or III is INVALID. A failed II or IV is an old repeat: it passes, and teaches nothing. Linux:
// nf_conntrack_proto_tcp.c, tcp_in_window(), as of 6.18.
//
// Owner: the flow's worker.
#pragma once

#include <cstdint>
#include <span>

#include "dataplane/base/invalid_reason.hh"
#include "dataplane/flow/flow_entry.hh"
#include "dataplane/flow/packet.hh"
#include "dataplane/flow/seq_adjust.hh"
#include "dataplane/flow/tcp_rules.hh"
#include "dataplane/flow/timeouts.hh"

namespace sluice {

/// A segment's numbers, in host order.
struct TcpSegment {
    std::uint32_t seq = 0;
    std::uint32_t end = 0;     ///< one past its data; SYN and FIN count as a byte each
    std::uint32_t ack = 0;     ///< as in the header; meaningless without the ACK flag
    std::uint16_t window = 0;  ///< as in the header, not scaled
    std::uint8_t flags = 0;
    TcpFlagClass kind = TcpFlagClass::none;

    static TcpSegment of(const rte_tcp_hdr& header, std::uint32_t payload_bytes) noexcept;
    static TcpSegment of(const Packet& p) noexcept { return of(*p.tcp(), p.payload_bytes()); }
    [[nodiscard]] bool has(std::uint8_t flag) const noexcept { return (flags & flag) != 0; }
};

inline TcpSegment TcpSegment::of(const rte_tcp_hdr& h, std::uint32_t payload_bytes) noexcept {
    TcpSegment s;
    s.flags = h.tcp_flags;
    s.kind = tcp_flag_class(s.flags);
    s.seq = Be32::from_raw(h.sent_seq).host();
    s.ack = Be32::from_raw(h.recv_ack).host();
    s.window = Be16::from_raw(h.rx_win).host();
    s.end = s.seq + payload_bytes + (s.has(tcp_flag::kSyn) ? 1U : 0U) + (s.has(tcp_flag::kFin) ? 1U : 0U);
    return s;
}

enum class TcpFit : std::uint8_t {
    in,      ///< in the window; the memory of both ends is up to date
    repeat,  ///< let it pass, it changes nothing
    beyond,  ///< fails I: tcp_sequence
    unsent,  ///< fails III: tcp_ack
};

/// Checks the segment and learns from it. `shift`: what a helper did to the numbers of the receiver's stream, nullptr
/// when it did nothing; it is taken back from the acknowledgement.
TcpFit fit_window(FlowHot& flow, const Packet& p, const TcpSegment& segment, const TcpRules& rules,
                  const SeqAdjust* shift) noexcept;

/// The same for a segment with these options that acknowledges and neither begins nor ends anything, of an end that has
/// spoken before. True: `in`, and all is done. False: it may be any of these, and nothing has changed.
[[nodiscard]] bool fits_as_usual(FlowHot& flow, Direction d, const TcpSegment& segment,
                                 std::span<const std::uint8_t> options, const TcpRules& rules) noexcept;

/// The memory of a flow that `p` opens, before it is published.
void begin_window(FlowHot& flow, const Packet& p, const TcpRules& rules) noexcept;

/// The timeout that a segment of `kind` puts in force, in seconds, when it has left the flow in its present state.
[[nodiscard]] std::uint32_t tcp_timeout(const FlowHot& flow, TcpFlagClass kind, const Timeouts& timeouts,
                                        const TcpRules& rules) noexcept;

/// What TcpMemory::last_memo keeps of a SYN that was let through.
[[nodiscard]] std::uint32_t annotate_syn(const Packet& p, const TcpSegment& segment) noexcept;
/// The peer has accepted that SYN: its sender's window is what the SYN said, and the peer's is learned anew.
void begin_again(FlowHot& flow, Direction syn_direction) noexcept;

}  // namespace sluice

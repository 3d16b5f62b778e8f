// SCTP (RFC 9260): the states of nf_conntrack_proto_sctp.c (l4/sctp_table.hh), and the verification tag that every
// packet carries and that only the two ends know. A packet with another tag belongs to another association; what
// follows from it for each chunk is RFC 9260, 8.4 and 8.5.1:
//
//   INIT                          carries none (0), and says which one the answers must have
//   ABORT, SHUTDOWN COMPLETE      that of their receiver, or with the T flag that of their sender
//   SHUTDOWN ACK                  any: it may answer an association that is long gone
//   HEARTBEAT, HEARTBEAT ACK      of a path that we have seen nothing else of, the first one tells the tag; a pair with
//                                 another tag begins the tracking of that path anew
//   all others                    that of their receiver
//
// A HEARTBEAT whose tag is not the known one passes without any effect, and only alone. The CRC32c over the whole
// packet is verified by ingress (INVALID when wrong), and written anew when a port is translated.
#pragma once

#include "dataplane/l4/plain.hh"
#include "dataplane/l4/sctp_table.hh"

namespace sluice::l4 {

struct Sctp : WithPorts {
    static constexpr auto kStates = kSctpStateNames;

    /// What the flow remembers.
    struct Memory {
        std::uint32_t tag[2];  // that packets of a direction must carry, as on the wire; 0: not known
        SctpState state;
        bool init[2];            // an INIT was seen in this direction, and no COOKIE ACK since
        bool strange_heartbeat;  // one with another tag has passed, in `strange_direction`
        Direction strange_direction;
    };

    static std::optional<DropReason> parse(Packet& p, std::uint16_t zone) noexcept;
    static Admission admit(const Packet& p, const TrackRules& rules) noexcept;
    static std::uint32_t begin(FlowHot& flow, const Packet& p, const TrackRules& rules) noexcept;
    static Followed follow(FlowHot& flow, Packet& p, const TrackRules& rules, Now now) noexcept;
    static void rewrite(Packet& p, const RewritePlan& plan) noexcept;
    static void rewrite_quote(QuoteBytes& quote, std::size_t at, const RewritePlan& plan,
                              const SeqAdjust* shift) noexcept;
    static Listed list(const FlowHot& flow) noexcept {
        return {static_cast<std::uint8_t>(flow.memory<Memory>().state), {}};
    }
    static bool is_closing(const FlowHot& flow) noexcept {
        const SctpState state = flow.memory<Memory>().state;
        return state >= SctpState::shutdown_sent && state <= SctpState::shutdown_ack_sent;
    }
};

/// CRC32c (RFC 9260, appendix A) of an SCTP packet, its checksum field taken for zero, as it lies in the packet.
[[nodiscard]] std::uint32_t sctp_checksum(std::span<const std::uint8_t> packet) noexcept;

}  // namespace sluice::l4

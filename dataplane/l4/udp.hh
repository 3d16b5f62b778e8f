// UDP (RFC 768), in two stages as nf_conntrack_proto_udp.c: the short timeout until a reply was seen *and* two seconds
// have passed since the flow began; from then on it is a stream, with the long timeout, and ASSURED. A lone question
// with its answer (DNS) never gets there.
#pragma once

#include "dataplane/l4/plain.hh"

namespace sluice::l4 {

struct Udp : WithPorts {
    static std::optional<DropReason> parse(Packet& p, std::uint16_t zone) noexcept {
        constexpr unsigned kHeader = 8;
        if (!pull(p, kHeader)) return DropReason::l4_short;
        const unsigned length = Be16::from_raw(p.udp()->dgram_len).host();
        if (length < kHeader || length > p.l4_bytes) return DropReason::udp_length;
        // 0: the sender computed none (RFC 768). Linux sums up the whole packet, also what is behind the datagram.
        if (p.udp()->dgram_cksum != 0 && !checksum_holds(p, length, pseudo_of(p, length), 6) &&
            (length == p.l4_bytes || !checksum_holds(p, p.l4_bytes, pseudo_of(p, p.l4_bytes), 6)))
            return DropReason::udp_checksum;
        p.l4_bytes = static_cast<std::uint16_t>(length);  // what follows is in the packet but not in the datagram
        p.payload_offset = kHeader;
        set_key(p, zone);
        return std::nullopt;
    }

    static std::uint32_t begin(FlowHot&, const Packet&, const TrackRules& rules) noexcept { return rules.timeouts.udp; }

    static Followed follow(FlowHot& flow, Packet&, const TrackRules& rules, Now now) noexcept {
        return in_stages(flow, rules.timeouts.udp, rules.timeouts.udp_stream, now);
    }

    /// Which of the two timeouts is in force.
    static Followed in_stages(const FlowHot& flow, std::uint32_t first_s, std::uint32_t stream_s, Now now) noexcept {
        constexpr TimeMs kStreamAfterMs = 2000;
        // What became a stream stays one, and nobody asks again when it began.
        const bool stream =
            flow.has(status::kAssured) || (flow.has(status::kSeenReply) && now.ms > flow.created_ms + kStreamAfterMs);
        if (!stream) return {.timeout_s = first_s};
        return {.timeout_s = stream_s, .status = status::kAssured};
    }

    static void rewrite(Packet& p, const RewritePlan& plan) noexcept {
        rte_udp_hdr* udp = p.udp();
        udp->src_port = plan.sport.raw;
        udp->dst_port = plan.dport.raw;
        correct_checksum(*udp, plan.l4);
    }

    static void correct_checksum(rte_udp_hdr& udp, ChecksumDelta delta) noexcept {
        if (udp.dgram_cksum == 0) return;  // the sender computed none, so there is none to correct (RFC 768)
        const std::uint16_t sum = delta.apply(udp.dgram_cksum);
        udp.dgram_cksum = sum != 0 ? sum : std::uint16_t{0xffff};
    }

    static void rewrite_quote(QuoteBytes& quote, std::size_t at, const RewritePlan& plan, const SeqAdjust*) noexcept {
        constexpr std::size_t kChecksum = 6;
        swap_ports(quote, at, plan);
        if (quote.has(at + kChecksum + 2)) quote.correct_udp(at + kChecksum, plan.l4);
    }
};

}  // namespace sluice::l4

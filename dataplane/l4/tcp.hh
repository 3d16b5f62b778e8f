// TCP, but for what a segment does to its connection (track/tcp_fsm.hh): the header (RFC 9293), who may open a
// connection (nf_conntrack_proto_tcp.c, tcp_new(): a SYN, or mid-stream when `loose`), and how it is written anew.
#pragma once

#include "dataplane/flow/tcp_window.hh"
#include "dataplane/l4/plain.hh"

namespace sluice::l4 {

struct Tcp : WithPorts {
    static constexpr auto kStates = kTcpStateNames;

    static std::optional<DropReason> parse(Packet& p, std::uint16_t zone) noexcept {
        constexpr unsigned kMinHeader = 20;
        if (!pull(p, kMinHeader)) return DropReason::l4_short;
        const unsigned header = (p.tcp()->data_off >> 4) * 4U;
        if (header < kMinHeader || !pull(p, header)) return DropReason::tcp_header_length;
        if (!checksum_holds(p, p.l4_bytes, pseudo_of(p, p.l4_bytes), 16)) return DropReason::tcp_checksum;
        p.payload_offset = static_cast<std::uint16_t>(header);
        set_key(p, zone);
        return std::nullopt;
    }

    static Admission admit(const Packet& p, const TrackRules& rules) noexcept {
        const std::uint8_t flags = p.tcp()->tcp_flags;
        if (!tcp_flags_legal(flags)) return Admission::refuse(InvalidReason::tcp_flags);
        const auto cell = first(flags);
        const bool picked_up = cell.moves() && cell.next() == TcpState::established;
        if (!cell.moves() || (picked_up && !rules.tcp.loose))
            return Admission::refuse(InvalidReason::tcp_no_connection);
        return {.admit = true};
    }

    static std::uint32_t begin(FlowHot& flow, const Packet& p, const TrackRules& rules) noexcept {
        const std::uint8_t flags = p.tcp()->tcp_flags;
        flow.tcp_state = first(flags).next();
        begin_window(flow, p, rules.tcp);
        return tcp_timeout(flow, tcp_flag_class(flags), rules.timeouts, rules.tcp);
    }

    static void rewrite(Packet& p, const RewritePlan& plan) noexcept {
        rte_tcp_hdr* tcp = p.tcp();
        tcp->src_port = plan.sport.raw;
        tcp->dst_port = plan.dport.raw;
        tcp->cksum = plan.l4.apply(tcp->cksum);
    }

    static void rewrite_quote(QuoteBytes& quote, std::size_t at, const RewritePlan& plan,
                              const SeqAdjust* shift) noexcept {
        constexpr std::size_t kSequence = 4, kChecksum = 16, kHeader = 20;
        ChecksumDelta delta = plan.l4;
        swap_ports(quote, at, plan);
        if (shift != nullptr && quote.has(at + kSequence + 4)) {
            const auto seen = quote.get<Be32>(at + kSequence);
            const auto sent = Be32::from_host(shift->adjust_ack(seen.host()));  // back into the sender's numbers
            delta.replace(seen, sent);
            quote.put(at + kSequence, sent);
        }
        // Of a header that is cut it stays as it is, as in Linux.
        if (quote.has(at + kHeader)) quote.correct(at + kChecksum, delta);
    }

    static Listed list(const FlowHot& flow) noexcept { return {static_cast<std::uint8_t>(flow.tcp_state), {}}; }
    static bool is_closing(const FlowHot& flow) noexcept {
        return flow.tcp_state >= TcpState::fin_wait && flow.tcp_state <= TcpState::close;
    }

private:
    static constexpr TcpTransition first(std::uint8_t flags) noexcept {
        return tcp_transition(Direction::original, tcp_flag_class(flags), TcpState::none);
    }
};

}  // namespace sluice::l4

// See tcp_window.hh. Every comparison is modulo 2^32.
#include "dataplane/flow/tcp_window.hh"

#include <algorithm>
#include <span>

#include "dataplane/base/sequence.hh"

namespace sluice {

namespace {

using namespace tcp_flag;

constexpr std::uint32_t kAckSlack = 66000;  // Linux: the largest window without scaling, and a little more
constexpr std::uint8_t kMaxScale = 14;      // RFC 7323 section 2.3

constexpr std::uint8_t kOptionEnd = 0, kOptionNop = 1, kOptionScale = 3, kOptionSackPermitted = 4, kOptionSack = 5,
                       kOptionTimestamp = 8;

std::span<const std::uint8_t> options_of(const Packet& p) noexcept {
    return {p.l4 + sizeof(rte_tcp_hdr), p.payload_offset - sizeof(rte_tcp_hdr)};
}

std::uint32_t number_at(const std::uint8_t* at) noexcept {
    return std::uint32_t{at[0]} << 24 | std::uint32_t{at[1]} << 16 | std::uint32_t{at[2]} << 8 | at[3];
}

/// Calls visit(kind, value) for every whole option until it answers false or the rest makes no sense.
template <class Visit>
void each_option(std::span<const std::uint8_t> options, Visit&& visit) noexcept {
    while (!options.empty() && options[0] != kOptionEnd) {
        if (options[0] == kOptionNop) {
            options = options.subspan(1);
            continue;
        }
        if (options.size() < 2 || options[1] < 2 || options[1] > options.size()) return;
        if (!visit(options[0], options.subspan(2, options[1] - 2U))) return;
        options = options.subspan(options[1]);
    }
}

struct SynOptions {
    std::uint8_t scale = 0;
    std::uint8_t flags = 0;  // tcp_end::kWindowScale, kSackPermitted
};

SynOptions syn_options(const Packet& p) noexcept {
    SynOptions found;
    each_option(options_of(p), [&](std::uint8_t kind, std::span<const std::uint8_t> value) noexcept {
        if (kind == kOptionSackPermitted && value.empty()) found.flags |= tcp_end::kSackPermitted;
        if (kind == kOptionScale && value.size() == 1) {
            found.flags |= tcp_end::kWindowScale;
            found.scale = std::min(value[0], kMaxScale);
        }
        return true;
    });
    return found;
}

/// The right edge of the highest SACK block, or `ack` when there is none above it.
std::uint32_t highest_sack(const Packet& p, std::uint32_t ack) noexcept {
    const auto options = options_of(p);
    // Nearly every segment with options has this one alone: two NOPs and a timestamp.
    if (options.size() == 12 && options[0] == kOptionNop && options[1] == kOptionNop &&
        options[2] == kOptionTimestamp && options[3] == 10)
        return ack;
    each_option(options, [&](std::uint8_t kind, std::span<const std::uint8_t> value) noexcept {
        if (kind != kOptionSack || value.empty() || value.size() % 8 != 0) return true;
        for (std::size_t at = 0; at < value.size(); at += 8)
            if (const std::uint32_t right = number_at(&value[at + 4]); seq_after(right, ack)) ack = right;
        return false;
    });
    return ack;
}

std::uint32_t at_least_one(std::uint32_t window) noexcept {
    return std::max(window, 1U);
}

/// Reads an end from its SYN or SYN/ACK: windows in those are never scaled (RFC 7323 section 2.2).
void begin_end(FlowHot& flow, const Packet& p, const TcpSegment& s) noexcept {
    const Direction d = p.direction;
    TcpEnd& sender = flow.tcp.ends[index_of(d)];
    sender.end = sender.max_end = s.end;
    sender.max_window = at_least_one(s.window);
    if (!options_of(p).empty()) {
        const SynOptions said = syn_options(p);
        flow.tcp.clear(d, static_cast<std::uint8_t>(~unsigned{tcp_end::kLiberal}));
        flow.tcp.set(d, said.flags);
        flow.dir(d).tcp_scale = said.scale;
    }
    // Scaling is in force only when both have offered it.
    if (d == Direction::reply && (flow.tcp.flags[0] & flow.tcp.flags[1] & tcp_end::kWindowScale) == 0)
        flow.half[0].tcp_scale = flow.half[1].tcp_scale = 0;
}

/// Enough to tell an exact repeat of an ACK: two different ones that agree cost a flow a shorter timeout, no more.
std::uint32_t fingerprint(const TcpSegment& s, std::uint32_t ack, Direction d) noexcept {
    constexpr std::uint64_t kOdd = 0x9e3779b97f4a7c15U;
    const std::uint64_t mixed = (std::uint64_t{s.seq} << 32 | ack) * kOdd;
    return static_cast<std::uint32_t>(mixed >> 32) ^ (std::uint32_t{s.window} << 1 | index_of(d));
}

void count_repeats(TcpMemory& tcp, const TcpSegment& s, std::uint32_t ack, Direction d) noexcept {
    const std::uint32_t memo = fingerprint(s, ack, d);
    if (tcp.last_memo == memo && tcp.last_end == s.end) {
        if (tcp.repeats != 0xff) ++tcp.repeats;
        return;
    }
    tcp.last_memo = memo;
    tcp.last_end = s.end;
    tcp.repeats = 0;
    tcp.set_last(tcp_last::kZeroWindow, s.window == 0);
}

}  // namespace

TcpSegment TcpSegment::of(const Packet& p) noexcept {
    const rte_tcp_hdr& h = *p.tcp();
    TcpSegment s;
    s.flags = h.tcp_flags;
    s.kind = tcp_flag_class(s.flags);
    s.seq = Be32::from_raw(h.sent_seq).host();
    s.ack = Be32::from_raw(h.recv_ack).host();
    s.window = Be16::from_raw(h.rx_win).host();
    s.end = s.seq + p.l4_bytes - p.payload_offset + (s.has(kSyn) ? 1U : 0U) + (s.has(kFin) ? 1U : 0U);
    return s;
}

TcpFit fit_window(FlowHot& flow, const Packet& p, const TcpSegment& s, const TcpRules& rules,
                  const SeqAdjust* shift) noexcept {
    TcpMemory& tcp = flow.tcp;
    const Direction d = p.direction, back = opposite(d);
    TcpEnd& sender = tcp.ends[index_of(d)];
    TcpEnd& receiver = tcp.ends[index_of(back)];
    const bool liberal = rules.be_liberal || tcp.has(d, tcp_end::kLiberal);
    const auto refuse = [liberal](TcpFit fit) { return liberal ? TcpFit::in : fit; };

    std::uint32_t seq = s.seq, end = s.end;
    std::uint32_t ack = s.ack;
    std::uint32_t sack = tcp.has(back, tcp_end::kSackPermitted) ? highest_sack(p, ack) : ack;
    if (shift != nullptr && shift->active()) {
        sack = shift->adjust_ack(sack);
        ack = shift->adjust_ack(ack);
    }

    if (sender.max_window == 0) {
        if (s.has(kSyn)) {
            begin_end(flow, p, s);
            if (!s.has(kAck)) return TcpFit::in;  // simultaneous open: nothing is acknowledged yet
        } else {
            // The connection began before us: this segment is all that is known of its sender.
            sender.end = end;
            sender.max_window = at_least_one(std::uint32_t{s.window} << flow.dir(d).tcp_scale);
            sender.max_end = end + sender.max_window;
            if (receiver.max_window == 0) {
                receiver.end = receiver.max_end = sack;
            } else if (sack == receiver.end + 1) {
                ++receiver.end;  // probably the answer to a keep-alive probe
            }
        }
    } else if (s.has(kSyn) && seq_after(end, sender.end) &&
               (flow.tcp_state == TcpState::syn_sent || flow.tcp_state == TcpState::syn_recv)) {
        // Another attempt, with numbers and options of its own.
        begin_end(flow, p, s);
        if (d == Direction::reply && !s.has(kAck)) return TcpFit::in;
    }

    // Without ACK, and in the RST of stacks that set it with the number zero, the number says nothing: take it as fit.
    if (!s.has(kAck) || (s.has(kRst) && ack == 0)) ack = sack = receiver.end;
    // The RST that answers a SYN has no number to offer.
    if (s.has(kRst) && seq == 0 && flow.tcp_state == TcpState::syn_sent) seq = end = sender.end;

    const std::uint32_t oldest_ack = receiver.end - std::max(sender.max_window, kAckSlack);
    const bool fresh_data = seq_after(end, sender.end - receiver.max_window - 1);  // II
    if (seq_after(seq, sender.max_end)) {                                          // I
        const std::uint32_t excess = end - sender.max_end + 1;
        if (receiver.max_window != 0 && fresh_data && seq_after(sack, oldest_ack - 1) &&
            !seq_after(sack, receiver.end) && excess <= receiver.max_window) {
            // Some stacks send a little more than was allowed. If it arrives it will be acknowledged: be ready for
            // that.
            sender.end = end;
            tcp.set(d, tcp_end::kUnacknowledged);
            return refuse(TcpFit::repeat);
        }
        return refuse(TcpFit::beyond);
    }
    if (seq_after(sack, receiver.end)) return refuse(TcpFit::unsent);            // III
    if (receiver.max_window != 0 && !fresh_data) return refuse(TcpFit::repeat);  // II
    if (seq_before(sack, oldest_ack)) return refuse(TcpFit::repeat);             // IV

    const std::uint32_t window = s.has(kSyn) ? s.window : std::uint32_t{s.window} << flow.dir(d).tcp_scale;
    sender.max_window = std::max(sender.max_window, window + (sack - ack));
    if (seq_after(end, sender.end)) {
        sender.end = end;
        tcp.set(d, tcp_end::kUnacknowledged);
    }
    if (s.has(kAck)) {
        std::uint32_t& max_ack = flow.dir(d).tcp_max_ack;
        if (!tcp.has(d, tcp_end::kMaxAckKnown) || seq_after(ack, max_ack)) max_ack = ack;
        tcp.set(d, tcp_end::kMaxAckKnown);
    }
    if (receiver.max_window != 0 && seq_after(end, sender.max_end)) receiver.max_window += end - sender.max_end;
    if (!seq_before(sack + window, receiver.max_end)) receiver.max_end = sack + at_least_one(window);
    if (ack == receiver.end) tcp.clear(back, tcp_end::kUnacknowledged);
    if (s.kind == TcpFlagClass::ack) count_repeats(tcp, s, ack, d);
    return TcpFit::in;
}

void begin_window(FlowHot& flow, const Packet& p, const TcpRules& rules) noexcept {
    const TcpSegment s = TcpSegment::of(p);
    TcpMemory& tcp = flow.tcp;
    TcpEnd& sender = tcp.ends[index_of(Direction::original)];
    if (s.kind == TcpFlagClass::syn) {
        begin_end(flow, p, s);
    } else {
        sender.end = s.end;
        sender.max_window = at_least_one(s.window);
        sender.max_end = s.end + sender.max_window;
        // Its options went by before us: SACK may be in use, and the scale is not known.
        tcp.flags[0] = tcp.flags[1] = tcp_end::kSackPermitted | tcp_end::kLiberal;
    }
    (void)fit_window(flow, p, s, rules, nullptr);
    tcp.note_last(s.kind, Direction::original);
}

std::uint32_t annotate_syn(const Packet& p, const TcpSegment& s) noexcept {
    const SynOptions said = syn_options(p);
    return std::uint32_t{s.window} << 16 | std::uint32_t{said.scale} << 8 | said.flags;
}

void begin_again(FlowHot& flow, Direction d) noexcept {
    TcpMemory& tcp = flow.tcp;
    TcpEnd& end = tcp.ends[index_of(d)];
    end.end = end.max_end = tcp.last_end;
    end.max_window = at_least_one(tcp.last_memo >> 16);
    flow.dir(d).tcp_scale = static_cast<std::uint8_t>(tcp.last_memo >> 8);
    tcp.flags[index_of(d)] = static_cast<std::uint8_t>(tcp.last_memo);
    const Direction back = opposite(d);
    tcp.ends[index_of(back)] = TcpEnd{};
    tcp.flags[index_of(back)] &= tcp_end::kLiberal;
    flow.dir(back).tcp_max_ack = 0;
    flow.dir(back).tcp_scale = 0;
    tcp.set_last(tcp_last::kChallengeExpected, false);
}

}  // namespace sluice

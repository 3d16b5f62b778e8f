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

constexpr std::uint8_t kOptionEnd = 0, kOptionNop = 1, kOptionScale = 3, kOptionSackPermitted = 4, kOptionSack = 5;
constexpr std::uint32_t kTimestampAlone = 0x0101080a;  // NOP, NOP, kind 8, length 10

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

/// Nearly every segment with options has a timestamp alone: two NOPs in front of it.
bool may_have_sack(std::span<const std::uint8_t> options) noexcept {
    if (options.empty()) return false;
    return options.size() != 12 || number_at(options.data()) != kTimestampAlone;
}

/// The right edge of the highest SACK block, or `ack` when there is none above it.
[[gnu::noinline]] std::uint32_t highest_sack(std::span<const std::uint8_t> options, std::uint32_t ack) noexcept {
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
std::uint32_t fingerprint(const TcpSegment& s, std::uint32_t ack) noexcept {
    constexpr std::uint64_t kOdd = 0x9e3779b97f4a7c15U;
    const std::uint64_t mixed = (std::uint64_t{s.seq} << 32 | ack) * kOdd;
    return static_cast<std::uint32_t>(mixed >> 32) ^ s.window;
}

void count_repeats(TcpMemory& tcp, const TcpSegment& s, std::uint32_t ack, Direction d) noexcept {
    const std::uint32_t memo = fingerprint(s, ack);
    if (tcp.last_memo == memo && tcp.last_end == s.end && tcp.last_direction() == d) {
        if (tcp.repeats != 0xff) ++tcp.repeats;
        return;
    }
    tcp.last_memo = memo;
    tcp.last_end = s.end;
    tcp.repeats = 0;
    tcp.set_last(tcp_last::kZeroWindow, s.window == 0);
}

/// What a segment says, once a helper's shift is taken back and what it does not say is filled in.
struct Numbers {
    std::uint32_t seq, end, ack, sack;

    static Numbers of(const TcpSegment& s, std::span<const std::uint8_t> options, const TcpMemory& tcp,
                      Direction d) noexcept {
        Numbers n{.seq = s.seq, .end = s.end, .ack = s.ack, .sack = s.ack};
        if (tcp.has(opposite(d), tcp_end::kSackPermitted) && may_have_sack(options))
            n.sack = highest_sack(options, n.ack);
        return n;
    }
};

/// Segments that begin something, or do not acknowledge anything. True: they fit without looking at any number.
[[gnu::noinline]] bool meet_unusual(FlowHot& flow, const Packet& p, const TcpSegment& s, Numbers& n) noexcept {
    const Direction d = p.direction;
    TcpEnd& sender = flow.tcp.ends[index_of(d)];
    TcpEnd& receiver = flow.tcp.ends[index_of(opposite(d))];
    if (sender.max_window == 0) {
        if (s.has(kSyn)) {
            begin_end(flow, p, s);
            if (!s.has(kAck)) return true;  // simultaneous open: nothing is acknowledged yet
        } else {
            // The connection began before us: this segment is all that is known of its sender.
            sender.end = n.end;
            sender.max_window = at_least_one(std::uint32_t{s.window} << flow.dir(d).tcp_scale);
            sender.max_end = n.end + sender.max_window;
            if (receiver.max_window == 0) {
                receiver.end = receiver.max_end = n.sack;
            } else if (n.sack == receiver.end + 1) {
                ++receiver.end;  // probably the answer to a keep-alive probe
            }
        }
    } else if (s.has(kSyn) && seq_after(n.end, sender.end) &&
               (flow.tcp_state == TcpState::syn_sent || flow.tcp_state == TcpState::syn_recv)) {
        // Another attempt, with numbers and options of its own.
        begin_end(flow, p, s);
        if (d == Direction::reply && !s.has(kAck)) return true;
    }
    // Without ACK, and in the RST of stacks that set it with the number zero, the number says nothing: take it as fit.
    if (!s.has(kAck) || (s.has(kRst) && n.ack == 0)) n.ack = n.sack = receiver.end;
    // The RST that answers a SYN has no number to offer.
    if (s.has(kRst) && n.seq == 0 && flow.tcp_state == TcpState::syn_sent) n.seq = n.end = sender.end;
    return false;
}

/// Beyond what the receiver allowed, but by less than another window.
bool is_small_excess(const TcpEnd& sender, const TcpEnd& receiver, const Numbers& n) noexcept {
    return receiver.max_window != 0 && n.end - sender.max_end + 1 <= receiver.max_window;
}

/// The segment is in the window: what it says of both ends.
void learn(FlowHot& flow, const TcpSegment& s, const Numbers& n, Direction d) noexcept {
    TcpMemory& tcp = flow.tcp;
    const Direction back = opposite(d);
    TcpEnd& sender = tcp.ends[index_of(d)];
    TcpEnd& receiver = tcp.ends[index_of(back)];
    DirectionHalf& half = flow.dir(d);
    const std::uint32_t window = s.has(kSyn) ? s.window : std::uint32_t{s.window} << half.tcp_scale;
    sender.max_window = std::max(sender.max_window, window + (n.sack - n.ack));
    if (receiver.max_window != 0 && seq_after(n.end, sender.max_end)) receiver.max_window += n.end - sender.max_end;
    if (!seq_before(n.sack + window, receiver.max_end)) receiver.max_end = n.sack + at_least_one(window);
    unsigned own = tcp.flags[index_of(d)];
    if (seq_after(n.end, sender.end)) {
        sender.end = n.end;
        own |= tcp_end::kUnacknowledged;
    }
    if (s.has(kAck)) {
        if ((own & tcp_end::kMaxAckKnown) == 0 || seq_after(n.ack, half.tcp_max_ack)) half.tcp_max_ack = n.ack;
        own |= tcp_end::kMaxAckKnown;
    }
    tcp.flags[index_of(d)] = static_cast<std::uint8_t>(own);
    if (n.ack == receiver.end) tcp.clear(back, tcp_end::kUnacknowledged);
    if (s.kind == TcpFlagClass::ack) count_repeats(tcp, s, n.ack, d);
}

/// Nothing that this end sends is refused for its numbers.
bool is_liberal(const TcpMemory& tcp, Direction d, const TcpRules& rules) noexcept {
    return rules.be_liberal || tcp.has(d, tcp_end::kLiberal);
}

/// I to IV. All four at once: they nearly always hold, and one branch is cheaper than four.
struct Inequalities {
    bool allowed, fresh, sent, recent;

    static Inequalities of(const TcpEnd& sender, const TcpEnd& receiver, const Numbers& n) noexcept {
        return {!seq_after(n.seq, sender.max_end),
                receiver.max_window == 0 || seq_after(n.end, sender.end - receiver.max_window - 1),
                !seq_after(n.sack, receiver.end),
                !seq_before(n.sack, receiver.end - std::max(sender.max_window, kAckSlack))};
    }
    [[nodiscard]] bool all() const noexcept { return allowed & fresh & sent & recent; }
};

}  // namespace

bool fits_as_usual(FlowHot& flow, Direction d, const TcpSegment& s, std::span<const std::uint8_t> options,
                   const TcpRules& rules) noexcept {
    const TcpMemory& tcp = flow.tcp;
    const TcpEnd& sender = tcp.ends[index_of(d)];
    if (sender.max_window == 0) return false;
    const Numbers n = Numbers::of(s, options, tcp, d);
    const auto holds = Inequalities::of(sender, tcp.ends[index_of(opposite(d))], n);
    // What a liberal end sends passes, and teaches nothing; but what is beyond the window may be a small excess.
    if (!holds.all()) [[unlikely]]
        return holds.allowed && is_liberal(tcp, d, rules);
    learn(flow, s, n, d);
    return true;
}

TcpFit fit_window(FlowHot& flow, const Packet& p, const TcpSegment& s, const TcpRules& rules,
                  const SeqAdjust* shift) noexcept {
    TcpMemory& tcp = flow.tcp;
    const Direction d = p.direction;
    TcpEnd& sender = tcp.ends[index_of(d)];
    TcpEnd& receiver = tcp.ends[index_of(opposite(d))];

    Numbers n = Numbers::of(s, options_of(p), tcp, d);
    if (shift != nullptr && shift->active()) [[unlikely]] {
        const bool blocks = n.sack != n.ack;
        n.ack = shift->adjust_ack(n.ack);
        n.sack = blocks ? shift->adjust_ack(n.sack) : n.ack;
    }
    const bool usual = (s.flags & (kSyn | kRst | kAck)) == kAck && sender.max_window != 0;
    if (!usual && meet_unusual(flow, p, s, n)) return TcpFit::in;

    const auto holds = Inequalities::of(sender, receiver, n);
    if (!holds.all()) [[unlikely]] {
        TcpFit fit = holds.allowed ? (holds.sent ? TcpFit::repeat : TcpFit::unsent) : TcpFit::beyond;
        if (!holds.allowed && holds.fresh && holds.sent && holds.recent && is_small_excess(sender, receiver, n)) {
            // Some stacks send a little more than was allowed. If it arrives it will be acknowledged: be ready for
            // that.
            sender.end = n.end;
            tcp.set(d, tcp_end::kUnacknowledged);
            fit = TcpFit::repeat;
        }
        return is_liberal(tcp, d, rules) ? TcpFit::in : fit;
    }
    learn(flow, s, n, d);
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

std::uint32_t tcp_timeout(const FlowHot& flow, TcpFlagClass kind, const Timeouts& timeouts,
                          const TcpRules& rules) noexcept {
    const TcpMemory& tcp = flow.tcp;
    const TcpCaps caps{.retransmitted = tcp.repeats >= rules.max_retrans,
                       .reset = kind == TcpFlagClass::rst,
                       .unacknowledged = ((tcp.flags[0] | tcp.flags[1]) & tcp_end::kUnacknowledged) != 0,
                       .zero_window = tcp.waits_for(tcp_last::kZeroWindow)};
    const std::uint32_t timeout_s = timeouts.tcp_for(flow.tcp_state, caps);
    // Picked up, and nobody has answered yet: the long timeout waits for that.
    const bool alone = flow.tcp_state == TcpState::established && !flow.has(status::kSeenReply);
    return alone ? std::min(timeout_s, timeouts.tcp_unacknowledged) : timeout_s;
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

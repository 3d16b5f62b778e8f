#include "dataplane/track/tcp_fsm.hh"

#include "dataplane/base/sequence.hh"
#include "dataplane/flow/flow_event.hh"
#include "dataplane/flow/tcp_window.hh"

namespace sluice {

namespace {

/// What the rules on top of the table make of a segment, before anybody looks at its numbers.
enum class Step : std::uint8_t {
    check_window,  ///< go to `next` if it is in the window
    believe,       ///< go to `next` without that: the numbers we hold are older than those of the ends
    pass,          ///< TrackResult::ignore
    reopen,
    refuse,  ///< an RST that its receiver would not believe
};

/// One segment on its way through the rules.
struct Passage {
    FlowHot& flow;
    Packet& p;
    const TcpSegment& segment;
    const TcpRules& rules;
    TcpState from;  ///< as who follows the flow's changes is told
    TcpState next;

    [[nodiscard]] Direction direction() const noexcept { return p.direction; }
    [[nodiscard]] TcpMemory& tcp() const noexcept { return flow.tcp; }
};

/// RFC 1122 4.2.2.13: a SYN may reopen a connection that was closed, or that an RST of the same side aborted.
bool may_reopen(const Passage& t) noexcept {
    return ((t.tcp().flags[0] | t.tcp().flags[1]) & tcp_end::kCloseInitiated) != 0 ||
           t.tcp().last_was(TcpFlagClass::rst, t.direction());
}

/// A segment that changes nothing, because the ends may be in agreement while we are not.
Step let_through(Passage& t) noexcept {
    TcpMemory& tcp = t.tcp();
    const TcpSegment& s = t.segment;
    if (s.kind == TcpFlagClass::syn_ack && tcp.last_was(TcpFlagClass::syn, opposite(t.direction())) &&
        s.ack == tcp.last_end) {
        begin_again(t.flow, opposite(t.direction()));
        t.from = TcpState::syn_sent;  // the connection is another one
        t.next = TcpState::syn_recv;
        return Step::check_window;
    }
    tcp.note_last(s.kind, t.direction());
    tcp.last_end = s.end;
    tcp.set_last(tcp_last::kZeroWindow, s.window == 0);
    tcp.last_memo = s.kind == TcpFlagClass::syn ? annotate_syn(t.p, s) : s.ack;
    if (s.kind == TcpFlagClass::syn && t.direction() == Direction::original) {
        tcp.set_last(tcp_last::kSimultaneousOpen, false);
        tcp.set_last(tcp_last::kChallengeExpected, t.flow.tcp_state == TcpState::last_ack);
    }
    return Step::pass;
}

/// Conditions under which an RST closes: it must be one that its receiver believes.
Step judge_reset(Passage& t) noexcept {
    TcpMemory& tcp = t.tcp();
    const TcpSegment& s = t.segment;
    const TcpState now = t.flow.tcp_state;
    // While a connection closes, its tuple may be in use again already and our numbers be those of the one before.
    if (now >= TcpState::fin_wait && now <= TcpState::close) return Step::believe;

    const Direction back = opposite(t.direction());
    if (tcp.has(back, tcp_end::kMaxAckKnown) && tcp.last_flags() != TcpFlagClass::syn) {
        const bool established = now == TcpState::established && t.flow.has(status::kAssured);
        const std::uint32_t expected = t.flow.dir(back).tcp_max_ack;
        if (s.seq == 0 && !established) return Step::check_window;  // answers a SYN that we let through
        if (seq_before(s.seq, expected) && !t.rules.ignore_invalid_rst) return Step::refuse;
        if (!established || s.seq == expected) return Step::check_window;
        if (tcp.last_was(TcpFlagClass::ack, t.direction()) && s.seq == tcp.last_end) return Step::check_window;
        t.next = now;  // the receiver will ask with a challenge ACK whether it is meant
    }
    // An answer to a SYN or ACK that we let through: it acknowledges what is in none of our windows.
    const bool after_syn = t.flow.has(status::kSeenReply) && tcp.last_was(TcpFlagClass::syn, back);
    const bool after_ack = !t.flow.has(status::kAssured) && tcp.last_flags() == TcpFlagClass::ack;
    if ((after_syn || after_ack) && s.ack == tcp.last_end) return Step::believe;
    // The challenge ACK to a lone SYN has provoked it.
    if (now == TcpState::syn_sent && tcp.last_was(TcpFlagClass::ack, Direction::reply) && s.seq == tcp.last_memo)
        return Step::believe;
    return Step::check_window;
}

Step apply_rules(Passage& t, TcpTransition cell) noexcept {
    TcpMemory& tcp = t.tcp();
    const TcpState now = t.flow.tcp_state;
    if (cell.is_ignore()) return let_through(t);
    t.next = cell.next();
    switch (t.next) {
        case TcpState::syn_sent:
            if (now != TcpState::time_wait && now != TcpState::close) return Step::check_window;
            return may_reopen(t) ? Step::reopen : let_through(t);
        case TcpState::time_wait:
            if (now == TcpState::last_ack && t.segment.kind == TcpFlagClass::ack &&
                tcp.last_was(TcpFlagClass::syn, opposite(t.direction())) &&
                tcp.waits_for(tcp_last::kChallengeExpected)) {
                tcp.set_last(tcp_last::kChallengeExpected, false);
                return Step::pass;
            }
            return Step::check_window;
        case TcpState::syn_sent2:
            tcp.set_last(tcp_last::kSimultaneousOpen, true);
            return Step::check_window;
        case TcpState::syn_recv:
            if (t.direction() == Direction::reply && t.segment.kind == TcpFlagClass::ack &&
                tcp.waits_for(tcp_last::kSimultaneousOpen))
                t.next = TcpState::established;
            return Step::check_window;
        case TcpState::close:
            return t.segment.kind == TcpFlagClass::rst ? judge_reset(t) : Step::check_window;
        default:
            return Step::check_window;
    }
}

/// An end that answers a FIN or RST with another, out of every window, shows that we are out of step: the flow must not
/// stay for days.
void shorten_after_invalid_close(FlowStore& store, const Packet& p, const TcpSegment& s, const Timeouts& timeouts,
                                 Now now) noexcept {
    constexpr TimeMs kLeaveAloneMs = 120'000;
    FlowHot& h = store.hot(p.slot);
    if (!h.has(status::kAssured) || (s.kind != TcpFlagClass::rst && s.kind != TcpFlagClass::fin)) return;
    const TcpFlagClass before = h.tcp.last_flags();
    if (h.tcp.last_direction() == p.direction || (before != TcpFlagClass::fin && before != TcpFlagClass::rst)) {
        h.tcp.note_last(s.kind, p.direction);
        return;
    }
    const TimeMs left = h.lifetime.load().deadline_ms() - now.ms;
    if (left >= kLeaveAloneMs && left > TimeMs{timeouts.tcp_unacknowledged} * 1000)
        store.refresh(p.slot, now, timeouts.tcp_unacknowledged);
}

TrackResult refuse(Packet& p, InvalidReason reason) noexcept {
    p.invalid_reason = reason;
    return TrackResult::invalid;
}

/// The segment belongs to the flow and moves it to `next`.
TrackResult arrive(FlowStore& store, const Passage& t, const Timeouts& timeouts, Now now) noexcept {
    FlowHot& h = t.flow;
    const TcpFlagClass kind = t.segment.kind;
    const TcpState old = t.from;
    h.tcp.note_last(kind, t.direction());
    if (t.next != old) {
        if (t.next == TcpState::fin_wait) h.tcp.set(t.direction(), tcp_end::kCloseInitiated);
        store.set_tcp_state(t.p.slot, t.next);
        t.p.changes |= changed::kState;
    }
    if (!h.has(status::kSeenReply)) {
        if (kind == TcpFlagClass::rst) return TrackResult::kill;
        // A repeated SYN does not renew the timeout: port reuse must not keep a dead entry alive.
        if (kind == TcpFlagClass::syn && old == TcpState::syn_sent) return TrackResult::ignore;
    } else if (!h.has(status::kAssured) && t.next == TcpState::established &&
               (old == TcpState::syn_recv || old == TcpState::established)) {
        store.set_status(t.p, status::kAssured);
    }
    store.refresh(t.p.slot, now, tcp_timeout(h, kind, timeouts, t.rules));
    return TrackResult::accept;
}

}  // namespace

TrackResult track_tcp(FlowStore& store, Packet& p, const Timeouts& timeouts, const TcpRules& rules,
                      const SeqAdjust* shift, Now now) noexcept {
    FlowHot& h = store.hot(p.slot);
    if (!tcp_flags_legal(p.tcp()->tcp_flags)) return refuse(p, InvalidReason::tcp_flags);
    const TcpSegment segment = TcpSegment::of(p);
    const TcpTransition cell = tcp_transition(p.direction, segment.kind, h.tcp_state);
    if (cell.is_invalid()) return refuse(p, InvalidReason::tcp_state);

    Passage t{h, p, segment, rules, h.tcp_state, h.tcp_state};
    // No rule is about an ACK of an established connection, and nearly every segment is one.
    if (segment.kind != TcpFlagClass::ack || h.tcp_state != TcpState::established) {
        switch (apply_rules(t, cell)) {
            case Step::pass:
                return TrackResult::ignore;
            case Step::reopen:
                return TrackResult::reopen;
            case Step::refuse:
                return refuse(p, InvalidReason::tcp_reset);
            case Step::believe:
                return arrive(store, t, timeouts, now);
            case Step::check_window:
                break;
        }
    }
    const TcpFit fit = fit_window(h, p, segment, rules, shift);
    if (fit == TcpFit::in) return arrive(store, t, timeouts, now);
    if (fit == TcpFit::repeat) return TrackResult::ignore;
    shorten_after_invalid_close(store, p, segment, timeouts, now);
    return refuse(p, fit == TcpFit::beyond ? InvalidReason::tcp_sequence : InvalidReason::tcp_ack);
}

}  // namespace sluice

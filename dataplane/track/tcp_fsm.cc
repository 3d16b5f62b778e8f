#include "dataplane/track/tcp_fsm.hh"

namespace sluice {

namespace {

// FlowHot::tcp_flags_seen, per direction.
constexpr std::uint8_t kCloseInitiated = 1;    // this side sent the first FIN
constexpr std::uint8_t kSimultaneousOpen = 2;  // both sides sent a SYN before any SYN/ACK

void remember(FlowHot& h, const Packet& p, TcpFlagClass flags) noexcept {
    h.tcp_last_direction = static_cast<std::uint8_t>(p.direction);
    h.tcp_last_class = static_cast<std::uint8_t>(flags);
}

bool last_was(const FlowHot& h, Direction d, TcpFlagClass flags) noexcept {
    return h.tcp_last_direction == static_cast<std::uint8_t>(d) && h.tcp_last_class == static_cast<std::uint8_t>(flags);
}

/// RFC 1122 4.2.2.13: a SYN may reopen a connection that this side closed, or that its RST aborted.
bool may_reopen(const FlowHot& h, Direction d) noexcept {
    return ((h.tcp_flags_seen[0] | h.tcp_flags_seen[1]) & kCloseInitiated) != 0 || last_was(h, d, TcpFlagClass::rst);
}

}  // namespace

TrackResult track_tcp(FlowStore& store, const Packet& p, const Timeouts& timeouts, Now now) noexcept {
    FlowHot& h = store.hot(p.slot);
    const std::uint8_t raw_flags = p.tcp()->tcp_flags;
    if (!tcp_flags_legal(raw_flags)) return TrackResult::invalid;
    const TcpFlagClass flags = tcp_flag_class(raw_flags);
    const TcpState old_state = h.tcp_state;
    const TcpTransition cell = tcp_transition(p.direction, flags, old_state);
    if (cell.is_invalid()) return TrackResult::invalid;

    TcpState next = old_state;
    if (cell.moves()) {
        next = cell.next();
        const bool reopening =
            next == TcpState::syn_sent && (old_state == TcpState::time_wait || old_state == TcpState::close);
        if (reopening) {
            if (may_reopen(h, p.direction)) return TrackResult::reopen;
            remember(h, p, flags);
            return TrackResult::accept;  // out of sync: let it pass, the peer's answer will tell
        }
        if (next == TcpState::syn_sent2) h.tcp_flags_seen[0] |= kSimultaneousOpen;
        if (next == TcpState::syn_recv && p.direction == Direction::reply && flags == TcpFlagClass::ack &&
            (h.tcp_flags_seen[0] & kSimultaneousOpen) != 0)
            next = TcpState::established;
    }
    // A cell that says ignore changes neither state nor lifetime.
    if (cell.is_ignore()) {
        remember(h, p, flags);
        return TrackResult::accept;
    }

    remember(h, p, flags);
    if (next != old_state) {
        if (next == TcpState::fin_wait) h.tcp_flags_seen[index_of(p.direction)] |= kCloseInitiated;
        store.set_tcp_state(p.slot, next);
    }

    bool unacknowledged = false;
    if (!h.has(status::kSeenReply)) {
        if (flags == TcpFlagClass::rst) return TrackResult::kill;
        // A repeated SYN does not renew the timeout: port reuse must not keep a dead entry alive.
        if (flags == TcpFlagClass::syn && old_state == TcpState::syn_sent) return TrackResult::accept;
        unacknowledged = next == TcpState::established;
    } else if (!h.has(status::kAssured) && next == TcpState::established &&
               (old_state == TcpState::syn_recv || old_state == TcpState::established)) {
        store.set_status(p.slot, status::kAssured);
    }
    store.refresh(p.slot, now, timeouts.tcp_for(next, {.unacknowledged = unacknowledged}));
    return TrackResult::accept;
}

}  // namespace sluice

#include "dataplane/track/conntrack.hh"

namespace sluice {

Decision Conntrack::follow(Packet& p, const Policy& policy, Now now) noexcept {
    if (p.slot == kNoSlot) return {};  // INVALID or UNTRACKED, judged already
    if (!stands(p, store_)) {          // evicted by a later packet of the burst
        const Decision d = newcomers_.begin_again(p, policy, now);
        if (d.fate != Fate::go || p.slot == kNoSlot || p.fresh) return d;
    }
    if (p.fresh) return {};
    if (p.icmp_error) [[unlikely]]
        return relate(p, store_.hot(p.slot));
    const Timeouts& timeouts = policy.timeouts_of(store_.hot(p.slot).dir(p.direction).timeouts);
    switch (track(store_, p, {timeouts, policy.tcp}, shift_of_peer(p), now)) {
        case TrackResult::accept:
        case TrackResult::ignore:
            break;
        case TrackResult::invalid:
            return creator_.pass_invalid(p, policy);
        case TrackResult::reopen:
            store_.kill(p.slot, DeathCause::replaced);
            return newcomers_.begin_again(p, policy, now);
        case TrackResult::kill:
            p.changes = 0;  // only its end is told
            ended_[ended_count_++] = {p.slot, p.generation};
            break;
    }
    return {};
}

const SeqAdjust* Conntrack::shift_of_peer(const Packet& p) noexcept {
    if (!store_.hot(p.slot).has(status::kHelper)) return nullptr;
    return &alg_.state_of(p.slot).of(opposite(p.direction)).adjust;
}

void Conntrack::end_burst() noexcept {
    for (unsigned i = 0; i < ended_count_; ++i)
        if (store_.is(ended_[i].slot, ended_[i].generation)) store_.kill(ended_[i].slot, DeathCause::closed);
    ended_count_ = 0;
}

}  // namespace sluice

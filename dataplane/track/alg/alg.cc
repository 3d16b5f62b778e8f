// See alg.hh.
#include "dataplane/track/alg/alg.hh"

#include <algorithm>

#include "dataplane/ingress/steer.hh"
#include "dataplane/lookup/find_flow.hh"

namespace sluice {

Alg::Alg(const Parts& parts, std::uint32_t states) : p_(parts), states_(states) {
    free_.reserve(states);
    for (std::uint32_t i = states; i-- > 0;) free_.push_back(i);
}

void Alg::attach(Packet& p, const Policy& policy, Now) noexcept {
    if (p.proto != static_cast<std::uint8_t>(IpProto::tcp) || !policy.ftp.enabled) return;
    const auto& ports = policy.ftp.ports;
    const auto wanted = [&](Be16 port) { return std::find(ports.begin(), ports.end(), port.host()) != ports.end(); };
    const FlowView flow = p_.store.flow(p.slot);
    if (!wanted(flow.key(Direction::original).dport) && !wanted(flow.key(Direction::reply).sport)) return;
    if (p_.store.hot(p.slot).has(status::kExpected | status::kHelper)) return;
    if (free_.empty()) {
        p_.counters.alg_no_state.add();
        return;
    }
    const std::uint32_t index = free_.back();
    free_.pop_back();
    FtpState& state = states_[index];
    state = FtpState{};
    state.slot = p.slot;
    state.generation = p.generation;
    state.live = true;
    p_.store.hot(p.slot).helper_state = index;
    p_.store.set_status(p, status::kHelper);
}

void Alg::foresee(std::span<Packet* const> packets) const noexcept {
    for (const Packet* p : packets) {
        if (!stands(*p, p_.store)) continue;
        const FlowHot& hot = p_.store.hot(p->slot);
        if (hot.has(status::kHelper)) states_[hot.helper_state].prefetch(p->direction);
    }
}

void Alg::count_problem(FtpProblem problem) noexcept {
    if (problem == FtpProblem::port_zero || problem == FtpProblem::port_privileged) {
        p_.counters.alg_refused_port.add();
    } else {
        p_.counters.alg_malformed.add();
    }
}

Announcement Alg::announce(const Packet& p, const Policy& policy, FtpState& state, const FtpCommand& command,
                           Now now) noexcept {
    if (!policy.ftp.enabled) return {};
    if (state.epsv_all && command.kind != FtpKind::epsv_reply) {
        p_.counters.alg_malformed.add();
        return {};
    }
    const FlowView flow = p_.store.flow(p.slot);
    const FlowKey sender = flow.key(p.direction);
    const FlowKey peer = flow.key(opposite(p.direction));
    const bool elsewhere = command.has_address && command.address != sender.src() && command.address != peer.dst();
    if (elsewhere && command.address.is_v4() == sender.is_v6()) {
        p_.counters.alg_malformed.add();
        return {};
    }
    if (elsewhere && !policy.ftp.loose) {
        p_.counters.alg_refused_address.add();
        return {};
    }
    p_.counters.alg_commands.add();

    Expectation e;
    e.tuple =
        port_key(IpProto::tcp, peer.src(), Be16{}, elsewhere ? command.address : peer.dst(), command.port, peer.zone);
    e.real_destination = elsewhere ? command.address : sender.src();
    e.real_port = command.port;
    e.real_zone = sender.zone;
    if (sender.dst() != peer.src()) e.source_as = sender.dst();  // the peer is shown to the sender by this address
    e.master = p.slot;
    e.master_generation = state.generation;
    e.master_worker = p_.worker;
    e.master_tuple = flow.key(Direction::original);
    e.mark = flow.hot.mark;
    e.deadline_ms = now.ms + std::uint64_t{policy.ftp.expect_timeout_s} * 1000;
    if (!promise(p, policy, state, e, !elsewhere, now)) return {Announcement::Fate::refuse, {}, {}};

    const bool other_address = command.has_address && command.address != e.tuple.dst();
    if (!other_address && e.tuple.dport == command.port) return {};
    return {Announcement::Fate::rewrite, e.tuple.dst(), e.tuple.dport};
}

/// Puts the expectation where it belongs; its port is another one if the announced one is taken.
bool Alg::promise(const Packet& p, const Policy& policy, FtpState& state, Expectation& e, bool may_move,
                  Now now) noexcept {
    // The connection arrives where this packet leaves.
    if (const auto home = home_of(p_.homes, p_.ports, p.out_port, e.tuple.src(), e.tuple.dst()); home != p_.worker) {
        PeerMessage message;
        message.kind = PeerKind::expect;
        message.from_worker = p_.worker;
        message.expectation = e;
        if (home >= peers_.size() || peers_[home] == nullptr || !peers_[home]->post(message)) {
            p_.counters.expect_refused.add();
            return false;
        }
        state.told_workers[home / 64] |= std::uint64_t{1} << (home % 64);
        return true;
    }
    // Active servers connect from the port below the one of the control connection (RFC 959 section 3.2); clients from
    // any.
    const Be16 likely_source = p.direction == Direction::original ? be16(e.master_tuple.dport.host() - 1U) : Be16{};
    const bool foreseen = may_move && likely_source != Be16{};
    for (unsigned tries = 0;; ++tries) {
        FlowKey likely = e.tuple;
        likely.sport = likely_source;
        const std::uint32_t hash = foreseen ? p_.store.table().hash(likely) : 0;
        if (foreseen) p_.store.table().prefetch(hash);  // both tables' lines at once
        const ExpectTable::Place place = p_.expectations.place_of(e);
        if (!may_move || !is_taken(e, place, likely, hash, now)) {
            const ExpectOutcome outcome = p_.expectations.add(e, place, policy.ftp.max_expected, now);
            return outcome == ExpectOutcome::added || outcome == ExpectOutcome::refreshed;
        }
        if (tries == kPortTries) {
            p_.counters.expect_refused.add();
            return false;
        }
        e.tuple.dport = be16(1024 + p_.random.below(65536 - 1024));
    }
}

bool Alg::is_taken(const Expectation& e, const ExpectTable::Place& place, const FlowKey& likely, std::uint32_t hash,
                   Now now) noexcept {
    if (p_.expectations.clashes(e, place, now)) return true;
    if (likely.sport == Be16{}) return false;
    const FlowRef ref = p_.store.table().lookup(likely, hash);
    if (!ref) return false;
    if (p_.store.is_stub(ref)) return true;
    // An earlier data connection of the same control connection gives way by itself: its next SYN reopens it.
    const FlowCold& holder = p_.store.cold(ref.slot());
    return holder.master != e.master || holder.master_generation != e.master_generation;
}

void Alg::release(SlotIndex slot) noexcept {
    FlowHot& hot = p_.store.hot(slot);
    const std::uint32_t index = hot.helper_state;
    FtpState& state = states_[index];
    p_.expectations.remove_of(slot, state.generation, p_.worker);
    state.live = false;
    if (forget_elsewhere(state)) {
        give_back(index);
    } else {
        ++waiting_;
    }
}

bool Alg::forget_elsewhere(FtpState& state) noexcept {
    for (std::size_t worker = 0; worker < peers_.size(); ++worker) {
        std::uint64_t& word = state.told_workers[worker / 64];
        const std::uint64_t bit = std::uint64_t{1} << (worker % 64);
        if ((word & bit) == 0) continue;
        PeerMessage message;
        message.kind = PeerKind::remove_expect;
        message.from_worker = p_.worker;
        message.expectation.master = state.slot;
        message.expectation.master_generation = state.generation;
        message.expectation.master_worker = p_.worker;
        if (!peers_[worker]->post(message)) return false;
        word &= ~bit;
    }
    return true;
}

void Alg::give_back(std::uint32_t index) noexcept {
    states_[index].slot = kNoSlot;
    free_.push_back(index);
}

void Alg::sweep(Now now, unsigned budget) noexcept {
    if (free_.size() == states_.size()) return;
    for (unsigned i = 0; i < budget; ++i) {
        hand_ = hand_ + 1 < states_.size() ? hand_ + 1 : 0;
        FtpState& state = states_[hand_];
        if (state.live) {
            for (FtpStream& stream : state.stream) {
                const std::uint32_t begin = stream.join.begin();
                if (!stream.join.expire(static_cast<std::uint32_t>(now.ms))) continue;
                stream.rewind(begin);
                p_.counters.alg_hold_expired.add();
            }
        } else if (waiting_ != 0 && state.slot != kNoSlot && forget_elsewhere(state)) {
            give_back(hand_);
            --waiting_;
        }
    }
}

}  // namespace sluice

#include "dataplane/policy/flow_create.hh"

#include "dataplane/flow/tcp_window.hh"
#include "dataplane/ingress/steer.hh"
#include "dataplane/l4/trackers.hh"
#include "dataplane/lookup/find_flow.hh"
#include "dataplane/policy/find_exit.hh"
#include "dataplane/policy/limits.hh"
#include "dataplane/policy/verdict.hh"

namespace sluice {

SynEnd syn_end(const Packet& p) noexcept {
    if (p.key.kind() != L4Kind::tcp) return std::nullopt;
    const TcpSegment segment = TcpSegment::of(p);
    return segment.kind == TcpFlagClass::syn ? SynEnd(segment.end) : std::nullopt;
}

Decision FlowCreator::create(Packet& p, const Policy& policy, Now now) noexcept {
    if (p.state == PacketState::untracked) return pass_without_flow(p, policy);
    Draft draft;
    if (const Admission opening = admission_of(p, {policy.timeouts, policy.tcp}); !opening.admit) {
        p.state = PacketState::invalid;
        p.invalid_reason = opening.refused;
        return pass_invalid(p, policy);
    }
    if (claims_to_be_ours(p, p.key.zone, p_.routes)) return Decision::drop(DropReason::ip_spoofed_own);
    // Only now: a packet that may open no flow must not use an expectation up.
    if (p_.expectations.size() != 0) {
        Expectation found;
        if (p_.expectations.take(p.key, now, found)) draft.expectation = found;
    }
    p.state = draft.expectation ? PacketState::related : PacketState::new_flow;
    draft.mark = inherited_mark(draft);

    draft.tuple = p.key;
    if (draft.expectation) {
        draft.tuple.set_dst(draft.expectation->real_destination);
        draft.tuple.dport = draft.expectation->real_port;
    } else if (!p.local_out && !policy.dnat.empty()) {
        const DestinationNat nat = decide_dnat(policy, p.key, p.in_port, round_robin_, p_.random, {p.mark, draft.mark});
        draft.tuple = nat.tuple;
        draft.dnat = nat.rule;
        if (nat.tuple.dst().is_none()) return Decision::drop(DropReason::nat_no_address);
    }

    if (Decision routed = way_out(p, draft.tuple.dst(), route_zone(p, draft)); routed.fate != Fate::go) return routed;
    Decision verdict =
        judge_packet(policy, p_.worker, p, draft.tuple, {&draft.mark, nullptr, &draft.timeouts}, p_.counters);
    if (verdict.fate != Fate::go) return verdict;

    if (draft.dnat != nullptr) draft.dnat_rule = draft.dnat->rule;
    Decision result = choose_source(p, policy, draft, 0, now);
    if (result.fate == Fate::go) result = make(p, policy, draft, now);
    if (result.log < 0) result.log = verdict.log;
    return result;
}

/// Where DNAT or a helper names a tenant's host, it is of that tenant; else routes say whose it is.
RouteZone FlowCreator::route_zone(const Packet& p, const Draft& draft) noexcept {
    if (draft.expectation) return RouteZone::only(draft.expectation->real_zone);
    if (draft.dnat != nullptr && draft.dnat->zone) return RouteZone::only(*draft.dnat->zone);
    return RouteZone::prefer(p.key.zone);
}

/// Before the filter, as in Linux; and what goes no further opens no flow.
Decision FlowCreator::way_out(Packet& p, const IpAddress& destination, RouteZone by) const noexcept {
    if (Decision routed = find_exit(p, destination, by, p_.routes, p_.ports); routed.fate != Fate::go) return routed;
    return check_limits(p, p_.ports.mtu(p.out_port));
}

/// Also when it names no flow, and so has no key.
std::uint16_t FlowCreator::arrival_zone(const Packet& p) const noexcept {
    const PortIndex port = p.local_out ? p.out_port : p.in_port;
    return port < kKernelPort ? p_.ports[port].zone : std::uint16_t{0};
}

Decision FlowCreator::pass_invalid(Packet& p, const Policy& policy) noexcept {
    p_.counters.invalid[static_cast<std::size_t>(p.invalid_reason)].add();
    return pass_without_flow(p, policy);
}

/// INVALID or UNTRACKED: routed and judged for itself.
Decision FlowCreator::pass_without_flow(Packet& p, const Policy& policy) noexcept {
    const std::uint16_t zone = arrival_zone(p);
    if (claims_to_be_ours(p, zone, p_.routes)) return Decision::drop(DropReason::ip_spoofed_own);
    p.slot = kNoSlot;
    if (Decision routed = way_out(p, p.destination(), RouteZone::prefer(zone)); routed.fate != Fate::go) return routed;
    return judge_packet(policy, p_.worker, p, header_tuple(p), {}, p_.counters);
}

/// An expected flow takes the mark of its master: as it is now where the master is of this worker, else as it was when
/// the helper announced the flow.
std::uint32_t FlowCreator::inherited_mark(const Draft& draft) const noexcept {
    if (!draft.expectation) return 0;
    const Expectation& e = *draft.expectation;
    const bool here = e.master_worker == p_.worker && p_.store.is(e.master, e.master_generation);
    return here ? p_.store.hot(e.master).mark : e.mark;
}

/// For masquerade: a packet of the box itself has no hop here, its destination stands for the gateway.
const NextHop& FlowCreator::hop_of(const Packet& p) const noexcept {
    static constexpr NextHop kNone{};
    const NextHop* hop = p.next_hop == kNoNextHop ? nullptr : p_.routes.hop(p.next_hop);
    return hop == nullptr ? kNone : *hop;
}

/// The tuple that `wanted` becomes with the source that another flow of the same inside endpoint has, the newest one
/// that the rule may still give: an endpoint has one outside face towards all (RFC 4787, REQ-1), as far as that is free
/// and this worker knows. What needs no translation is asked for as it is first, as in Linux.
std::optional<FlowKey> FlowCreator::known_mapping(const Packet& p, const SourceNat& nat, const FlowKey& wanted,
                                                  Now now) const noexcept {
    std::optional<FlowKey> mapped;
    if (!has_chosen_port(wanted) || nat.allows(p.key.src(), p.key.sport)) return mapped;
    (void)p_.store.find_mapping(p.key, source_hash(p), now, [&](const FlowKey& reply) noexcept {
        if (!nat.allows(reply.dst(), chosen_port(reply))) return false;
        mapped = wanted;
        mapped->set_dst(reply.dst());
        chosen_port(*mapped) = chosen_port(reply);
        return true;
    });
    return mapped;
}

/// Of packets with the tuple `reply`, which come by the port where `p` leaves.
std::uint8_t FlowCreator::home_of_answers(const Packet& p, const FlowKey& reply) const noexcept {
    if (p_.homes.workers() == 1) return p_.worker;
    return home_of(p_.homes, p_.ports, p.out_port, reply.src(), reply.dst());
}

Decision FlowCreator::choose_source(Packet& p, const Policy& policy, Draft& draft, unsigned attempt, Now now) noexcept {
    FlowKey wanted = invert(draft.tuple);
    wanted.zone = zone_of_answers(p, p_.ports);
    const Marks marks{p.mark, draft.mark};
    const bool asks = !draft.expectation && p.out_port != kKernelPort && !policy.snat.empty();
    SourceNat nat =
        asks ? decide_snat(policy, draft.tuple, p.in_port, p.out_port, hop_of(p), p_.routes.addresses(), attempt, marks)
             : SourceNat::none(draft.tuple);
    if (draft.expectation && !draft.expectation->source_as.is_none()) nat.address = draft.expectation->source_as;
    if (asks && nat.address.is_none()) return Decision::drop(DropReason::nat_no_address);
    draft.masquerade = nat.rule != nullptr && nat.rule->snat == SnatKind::masquerade;
    draft.snat_rule = nat.rule == nullptr ? kNoRule : nat.rule->rule;
    draft.nat_gauge = nat.rule == nullptr ? kNoNatGauge : nat.rule->gauge;

    if (const auto mapped = attempt == 0 ? known_mapping(p, nat, wanted, now) : std::nullopt) {
        if (home_of_answers(p, *mapped) == p_.worker) {
            const std::uint32_t hash = p_.store.table().hash(*mapped);
            if (chooser_.is_free(*mapped, hash)) {
                draft.reply = *mapped;
                draft.reply_hash = hash;
                return {};
            }
        } else if (mapped->dst() == nat.address) {
            wanted = *mapped;  // its home says whether it is free there, and if it is not, gives another
        }
    }
    for (unsigned i = attempt; i < nat.alternatives; ++i) {
        if (i != attempt)
            nat = decide_snat(policy, draft.tuple, p.in_port, p.out_port, hop_of(p), p_.routes.addresses(), i, marks);
        wanted.set_dst(nat.address);
        const std::uint8_t home = home_of_answers(p, wanted);
        if (home != p_.worker) {
            const FlowKey kept = PortChooser::may_keep(wanted, nat.ports) ? wanted : FlowKey{};
            if (!p_.firsts.depart(p.key, p.hash, home, kept, now)) return Decision::drop(DropReason::first_packet_full);
            HandoffNote& note = begin_note(p, HandoffKind::stub_request, p_.worker);
            note.expected = draft.expectation.has_value();
            note.attempt = static_cast<std::uint8_t>(i);
            note.ports = nat.ports.ports;
            note.ports_bound = nat.ports.bound;
            note.policy_generation = policy.generation;
            note.masquerade = draft.masquerade;
            note.snat_rule = draft.snat_rule;
            note.dnat_rule = draft.dnat_rule;
            note.reply = wanted;
            if (draft.expectation) {
                note.master = draft.expectation->master;
                note.master_generation = draft.expectation->master_generation;
            }
            note.mark = draft.mark;
            note.timeouts = draft.timeouts;
            p_.counters.stub_requests.add();
            return Decision::hand_over(home);
        }
        if (const auto reply = chooser_.choose(wanted, nat.ports, syn_end(p))) {
            draft.reply = reply->key;
            draft.reply_hash = reply->hash;
            return {};
        }
    }
    p_.counters.nat_exhausted.add();
    if (draft.snat_rule != kNoRule) policy.counter(p_.worker, draft.snat_rule).exhausted.add();
    return Decision::drop(DropReason::nat_pool_exhausted);
}

/// A place for the newcomer, which is half-open like all of them. Two limits stand: the table, and in it the half-open
/// budget, so that who never answers uses up no more than that. Profile linux: the half-open flow that has waited
/// longest leaves, so in a flood they push out each other and nobody else; only where there is none, Linux's choice
/// does. Profile cgn: the newcomer is refused, and its sender told so (RFC 5508, REQ-8).
Decision FlowCreator::make_room(const Policy& policy, Now now) noexcept {
    const bool table_full = p_.store.live() >= policy.max_flows_per_worker;
    if (!table_full && p_.store.half_open() < policy.max_half_open_per_worker) return {};
    (table_full ? p_.counters.table_full : p_.counters.half_open_full).add();
    const bool refuse = policy.table_full == TableFull::refuse;
    const SlotIndex victim = refuse       ? kNoSlot
                             : table_full ? p_.store.eviction_victim(now)
                                          : p_.store.oldest_half_open();
    if (victim == kNoSlot)
        return Decision::drop(table_full ? DropReason::flow_table_full : DropReason::half_open_full,
                              refuse ? Answer::admin_prohibited : Answer::none);
    evict(victim, now);
    if (!table_full) p_.counters.half_open_early_drops.add();
    return {};
}

void FlowCreator::evict(SlotIndex slot, Now now) noexcept {
    p_.store.kill(slot, p_.store.expired(slot, now) ? DeathCause::timeout : DeathCause::evicted);
    p_.counters.early_drops.add();
}

Decision FlowCreator::make(Packet& p, const Policy& policy, const Draft& draft, Now now) noexcept {
    if (const Decision room = make_room(policy, now); room.fate != Fate::go) return room;
    const SlotIndex slot = p_.store.allocate();
    if (slot == kNoSlot) return Decision::drop(DropReason::flow_table_full);

    const FlowView flow = p_.store.flow(slot);
    FlowHot& h = flow.hot;
    FlowCold& c = flow.cold;
    flow.set_key(Direction::original, p.key);
    flow.set_key(Direction::reply, draft.reply);
    c.snat_rule = draft.snat_rule;
    c.dnat_rule = draft.dnat_rule;
    c.stub_worker = draft.stub_worker;
    c.nat_gauge = draft.nat_gauge;
    h.kind = p.key.kind();
    h.half[0].plan = RewritePlan::between(p.key, invert(draft.reply));
    h.half[1].plan = h.half[0].plan.of_answers(p.key, draft.reply);
    h.half[0].next_hop = p.next_hop;
    h.half[0].route_epoch = p_.routes.epoch();
    c.nat_generation = policy.generation;
    h.created_ms = now.ms;
    const RewritePlan& plan = h.half[0].plan;
    if (draft.reply.dst() != p.key.src() || plan.sport != p.key.sport) h.status |= status::kSourceNat;
    if (draft.reply.src() != p.key.dst() || plan.dport != p.key.dport) h.status |= status::kDestNat;
    if (p.local_out || p.out_port == kKernelPort) h.status |= status::kLocal;
    c.masqueraded = draft.masquerade;
    if (draft.expectation) {
        h.status |= status::kExpected;
        c.master = draft.expectation->master;
        c.master_generation = draft.expectation->master_generation;
    }
    h.mark = draft.mark;
    const Timeouts& timeouts = policy.timeouts_of(draft.timeouts);
    h.half[0].timeouts = h.half[1].timeouts = draft.timeouts;
    p.direction = Direction::original;  // not the one in which it met the flow that it replaces
    std::uint32_t timeout_s = tracker_of(h.kind).begin(h, p, {timeouts, policy.tcp});
    // Linux puts the timeout of a SYN in force with a policy, also for a connection that was picked up.
    if (draft.timeouts != 0 && h.kind == L4Kind::tcp) timeout_s = timeouts.of(TcpState::syn_sent);
    h.half[0].packets = 1;
    h.half[0].bytes = p.l3_bytes;
    p_.store.refresh(slot, now, timeout_s);
    // Of the one Newcomers knows that it is not there, of the other the port choice.
    if (!p_.store.publish_new(slot, {p.hash, draft.reply_hash, h.has(status::kSourceNat) ? source_hash(p) : 0}))
        return Decision::drop(DropReason::flow_insert_failed);

    if (draft.dnat_rule != kNoRule) policy.counter(p_.worker, draft.dnat_rule).count(p.l3_bytes);
    if (draft.snat_rule != kNoRule) policy.counter(p_.worker, draft.snat_rule).count(p.l3_bytes);
    faces_[p.in_port % faces_.size()] = {p.in_port, draft.reply.dst() != p.key.src(), draft.reply.zone,
                                         draft.reply.dst()};
    p.slot = slot;
    p.generation = h.generation;
    p.fresh = true;
    return {};
}

FlowKey FlowCreator::likely_reply(const Packet& p) const noexcept {
    FlowKey reply = invert(p.key);
    const Face& face = faces_[p.in_port % faces_.size()];
    if (face.in_port != p.in_port) return reply;
    reply.zone = face.zone;
    if (face.translated && face.address.is_v4() != p.v6) reply.set_dst(face.address);
    return reply;
}

}  // namespace sluice

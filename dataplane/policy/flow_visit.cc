// The part of FlowCreator for flows whose reply tuple is at home at another worker: what that worker does with the
// first packet, and what the owner does with its answer.
#include "dataplane/lookup/find_flow.hh"
#include "dataplane/policy/find_exit.hh"
#include "dataplane/policy/flow_create.hh"

namespace sluice {

Decision FlowCreator::to_owner(Packet& p, FlowRef stub_ref) noexcept {
    const Stub& stub = p_.store.stub(stub_ref);
    begin_note(p, HandoffKind::stub_hit, p_.worker).reply = stub.original;
    p_.counters.stub_hits.add();
    return Decision::hand_over(stub.owner);
}

void FlowCreator::answer_stub_request(HandoffNote& note, const Packet& first) noexcept {
    const FlowKey& original = first.key;
    const std::uint8_t owner = note.from_worker;
    const PortChoice ports{note.ports, note.ports_bound};
    const std::uint32_t hash = p_.store.table().hash(note.reply);
    std::optional<FreeTuple> reply;
    note.answer = StubAnswer::refused;
    if (PortChooser::may_keep(note.reply, ports) && p_.firsts.mirrors(note.reply, hash, owner, original)) {
        // Both ends spoke first in the same instant, and each one's packet is away to the other one's worker. Both
        // workers see that, and both know whose flow it becomes: the lower one's.
        if (p_.worker < owner) {
            note.answer = StubAnswer::yielded;
        } else if (!p_.store.table().lookup(note.reply, hash)) {
            reply = {note.reply, hash};
        }
    } else {
        reply = chooser_.choose(note.reply, ports, syn_end(first));
    }
    if (reply && p_.store.add_stub(reply->key, owner, original)) {
        note.reply = reply->key;
        note.answer = StubAnswer::kept;
    }
    note.kind = HandoffKind::stub_answer;
    note.from_worker = p_.worker;
}

Decision FlowCreator::finish(Packet& p, const Policy& policy, Now now) noexcept {
    const HandoffNote note = note_of(p.mbuf);
    const bool kept = note.answer == StubAnswer::kept;
    p_.firsts.returned(p.key, p.hash);
    // Its flow is there already: the other end's, or that of a packet which was sent when this one was given up. It
    // stands; this packet's stub goes, if it got one.
    if (const FlowRef ref = p_.store.table().lookup(p.key, p.hash)) {
        if (kept) p_.store.withdraw_stub(note.from_worker, note.reply, p.key);
        if (p_.store.is_stub(ref)) return to_owner(p, ref);
        join(p, ref, p_.store);
        return {};
    }
    // The other end's flow could not be made after all.
    if (note.answer == StubAnswer::yielded) return Decision::drop(DropReason::flow_insert_failed);

    Draft draft;
    draft.tuple = invert(note.reply);
    draft.tuple.set_src(p.key.src());
    draft.tuple.sport = p.key.sport;
    draft.tuple.zone = p.key.zone;
    if (p.key.shape() == TupleShape::spi) draft.tuple.dport = p.key.dport;
    if (note.expected) {
        Expectation& fulfilled = draft.expectation.emplace();
        fulfilled.master = note.master;
        fulfilled.master_generation = note.master_generation;
    }
    draft.mark = note.mark;
    draft.timeouts = note.timeouts;
    draft.dnat_rule = note.policy_generation == policy.generation ? note.dnat_rule : kNoRule;
    draft.snat_rule = note.policy_generation == policy.generation ? note.snat_rule : kNoRule;
    draft.masquerade = note.masquerade;
    for (const NatRule& rule : policy.snat)
        if (rule.rule == draft.snat_rule) draft.nat_gauge = rule.gauge;
    p.state = note.expected ? PacketState::related : PacketState::new_flow;
    Decision made = find_exit(p, draft.tuple.dst(), RouteZone::only(note.reply.zone), p_.routes, p_.ports);
    if (made.fate == Fate::go && !kept) made = choose_source(p, policy, draft, note.attempt + 1U, now);
    if (kept) {
        draft.reply = note.reply;
        draft.reply_hash = p_.store.table().hash(note.reply);
        draft.stub_worker = note.from_worker;
    }
    if (made.fate == Fate::go) made = make(p, policy, draft, now);
    if (made.fate != Fate::go && kept) p_.store.withdraw_stub(note.from_worker, note.reply, p.key);
    return made;
}

}  // namespace sluice

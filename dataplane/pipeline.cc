#include "dataplane/pipeline.hh"

#include <algorithm>
#include <array>

#include "dataplane/ingress/parse.hh"
#include "dataplane/ingress/read_plain.hh"
#include "dataplane/policy/limits.hh"
#include "dataplane/policy/raw.hh"
#include "dataplane/policy/verdict.hh"
#include "dataplane/translate/icmp_inner.hh"
#include "dataplane/translate/rewrite.hh"

namespace sluice {

Pipeline::Pipeline(PipelineParts parts) noexcept
    : p_(std::move(parts)),
      steering_(p_.worker, p_.homes, p_.ports, p_.handoff),
      newcomers_({p_.store, p_.creator, p_.firsts, steering_, burst_, p_.counters}),
      conntrack_(p_.store, p_.creator, newcomers_, p_.alg),
      exits_(p_.routes, p_.ports, p_.store, newcomers_),
      fast_path_({p_.worker, p_.store, p_.routes, p_.ports, p_.egress, p_.tx, p_.counters}),
      enforcer_({p_.ports, p_.handoff, p_.egress, p_.disposal, p_.to_control}),
      control_traffic_({p_.worker, enforcer_, p_.punts, p_.tx, p_.disposal, p_.counters}) {
    p_.store.on_helper_death([](void* alg, SlotIndex slot) noexcept { static_cast<Alg*>(alg)->release(slot); },
                             &p_.alg);
}

// --- where packets come from

void Pipeline::receive(Now now, std::uint16_t device, rte_mbuf** mbufs, unsigned n) noexcept {
    const Policy& policy = begin(now, n);
    p_.counters.balance.received.add(n);
    for (unsigned i = 0; i < n; ++i) {
        mbufs[i]->port = device;
        rte_prefetch0(rte_pktmbuf_mtod(mbufs[i], void*));
    }
    const PortIndex untagged = p_.ports.untagged(device);
    const PlainPort port = untagged == kNoPort ? PlainPort{} : PlainPort::of(untagged, p_.ports[untagged]);
    const bool alone = steering_.alone();
    std::uint64_t plain = 0, bytes = 0;
    for (unsigned i = 0; i < n; ++i) {
        const std::uint32_t length = mbufs[i]->pkt_len;
        PlainPacket& p = plain_.next();
        if (untagged == kNoPort || !read_plain(p, mbufs[i], port)) [[unlikely]] {
            arrive(mbufs[i], policy, kNoPort, now);
            continue;
        }
        ++plain;
        bytes += length;
        if (alone || is_at_home(p)) plain_.push(burst_.count);
    }
    if (plain != 0) {
        p_.counters.ports[untagged].rx_packets.add(plain);
        p_.counters.ports[untagged].rx_bytes.add(bytes);
    }
    run(policy, now);
}

bool Pipeline::is_at_home(const PlainPacket& plain) noexcept {
    Packet& p = burst_.push();
    unfold(plain, p);
    const bool here = steering_.to_home(p) == Verdict::next;
    burst_.pop();
    return here;
}

void Pipeline::receive_from_kernel(Now now, rte_mbuf** mbufs, unsigned n) noexcept {
    const Policy& policy = begin(now, n);
    p_.counters.balance.from_twins.add(n);
    for (unsigned i = 0; i < n; ++i) arrive(mbufs[i], policy, note_of(mbufs[i]).out_port, now);
    run(policy, now);
}

void Pipeline::receive_handoff(Now now, rte_mbuf** mbufs, unsigned n) noexcept {
    // Stubs and expectations that the sender took back or announced before it let go of these packets.
    stages_.end(Stage::receive);
    if (hear_peers(now) != 0) stages_.end(Stage::control);
    const Policy& policy = begin(now, n);
    for (unsigned i = 0; i < n; ++i) {
        if (note_of(mbufs[i]).kind == HandoffKind::transmit) {
            p_.tx.send_complete(note_of(mbufs[i]).out_port, mbufs[i]);
        } else {
            arrive_again(mbufs[i], policy, now);
        }
    }
    run(policy, now);
}

void Pipeline::arrive(rte_mbuf* m, const Policy& policy, PortIndex twin, Now now) noexcept {
    Packet& p = burst_.push();
    p.mbuf = m;
    p.local_out = twin != kNoPort;
    if (p.local_out) p.in_port = kKernelPort;
    p.out_port = twin;
    const std::uint32_t bytes = m->pkt_len;
    const Arrival arrival = parse(p, p_.ports, p_.disposal);
    if (p.in_port != kNoPort) {
        PortCounters& c = p_.counters.ports[p.in_port];
        c.rx_packets.add();
        c.rx_bytes.add(bytes);
    }
    if (arrival == Arrival::fragment && steering_.to_home(p) == Verdict::next) return gather(p, policy, now);
    settle_down(p, arrival, policy, now);
}

void Pipeline::settle_down(Packet& p, Arrival arrival, const Policy& policy, Now now) noexcept {
    if (arrival == Arrival::forward && steering_.to_home(p) == Verdict::next) {
        p.hash = p_.store.table().hash(p.key);
        return;
    }
    if (arrival == Arrival::punt) control_traffic_.pass(p, policy, now);
    burst_.pop();
}

void Pipeline::gather(Packet& fragment, const Policy& policy, Now now) noexcept {
    const PortIndex in_port = fragment.in_port, out_port = fragment.out_port;
    const bool local_out = fragment.local_out;
    rte_mbuf* datagram = p_.reassembly.add(fragment, now);
    burst_.pop();
    if (datagram == nullptr) return;
    Packet& p = burst_.push();
    p.mbuf = datagram;
    p.in_port = in_port;
    p.out_port = out_port;
    p.local_out = local_out;
    // Only now is it known which packet an ICMP error is about, and so where its flow is.
    settle_down(p, parse(p, p_.ports, p_.disposal), policy, now);
}

void Pipeline::arrive_again(rte_mbuf* m, const Policy& policy, Now now) noexcept {
    if (burst_.count == kBurst) run(policy, now);  // of those that waited there may be more than came
    const HandoffNote note = note_of(m);
    Packet& p = burst_.push();
    p.mbuf = m;
    p.in_port = note.in_port;
    p.out_port = note.out_port;
    p.local_out = note.local_out;
    p.mark = note.packet_mark;
    p.raw_done = note.raw_done;
    // Parsed and found sound before; here again only to set up `p`.
    const Arrival arrival = parse(p, p_.ports, p_.disposal);
    if (arrival == Arrival::fragment) return gather(p, policy, now);
    if (arrival != Arrival::forward) {
        burst_.pop();
        return;
    }
    p.hash = p_.store.table().hash(p.key);
    bool stays = true;
    switch (note.kind) {
        case HandoffKind::stub_request:
            p_.creator.answer_stub_request(note_of(m), p);
            p_.handoff.send(note.from_worker, m);
            stays = false;
            break;
        case HandoffKind::stub_answer:
            stays = enforcer_.obey(p, p_.creator.finish(p, policy, now), now) == Verdict::next;
            break;
        case HandoffKind::stub_hit:
            stays = newcomers_.find_by_original(p, note);
            if (!stays) (void)p_.disposal.drop(p, DropReason::flow_stale);
            break;
        case HandoffKind::arrived:
        case HandoffKind::transmit:
            break;
    }
    const FlowKey key = p.key;
    const std::uint32_t hash = p.hash;
    if (!stays) burst_.pop();
    if (note.kind == HandoffKind::stub_answer)
        p_.firsts.release(key, hash, [&](rte_mbuf* next) noexcept { arrive_again(next, policy, now); });
}

// --- the stages, in the order of a packet's way

void Pipeline::run(const Policy& policy, Now now) noexcept {
    const auto obey = [&](Packet& p, const Decision& d) noexcept { return enforcer_.obey(p, d, now); };
    const bool watched = p_.store.events().on();
    if (!use_fast_path_ || policy.has_raw() || watched) [[unlikely]] {
        hash_keys(plain_, p_.store.table().hasher());
        unfold_plain();
    }
    if (policy.has_raw()) [[unlikely]]
        burst_.keep([&](Packet& p) noexcept { return obey(p, judge_raw(policy, p_.worker, p)); });
    stages_.end(Stage::parse, plain_.count() + burst_.count);
    if (burst_.count != 0) look_up(burst_, p_.store, p_.counters);
    if (!plain_.empty()) look_up(plain_, p_.store, p_.counters);
    stages_.end(Stage::lookup, plain_.empty() ? burst_.count : plain_.count());
    if (!plain_.empty()) {
        fast_path_.carry(plain_, burst_, policy, now);
        unfold_plain();
        stages_.end(Stage::fast_path, burst_.count);
    }
    if (burst_.count == 0) {
        if (watched) tell_events();
        return;
    }
    p_.alg.foresee(burst_.packets());
    burst_.keep([&](Packet& p) noexcept { return obey(p, newcomers_.admit(p, policy, now)); });
    stages_.end(Stage::policy, burst_.count);
    const auto follow = [&](Packet& p) noexcept { return obey(p, conntrack_.follow(p, policy, now)); };
    if (watched) [[unlikely]] {
        burst_.keep([&](Packet& p) noexcept {
            const Verdict verdict = follow(p);
            if (p.changes != 0) p_.store.note_changes(p);
            return verdict;
        });
    } else {
        burst_.keep(follow);
    }
    stages_.end(Stage::track, burst_.count);
    burst_.keep([&](Packet& p) noexcept { return obey(p, exits_.choose(p, policy, now)); });
    stages_.end(Stage::route, burst_.count);
    burst_.keep([&](Packet& p) noexcept { return obey(p, check_limits(p, p_.ports.mtu(p.out_port))); });
    stages_.end(Stage::limits, burst_.count);
    burst_.keep([&](Packet& p) noexcept { return obey(p, filter(p, policy, now)); });
    stages_.end(Stage::filter, burst_.count);
    burst_.keep([&](Packet& p) noexcept { return translate(p, policy, now); });
    stages_.end(Stage::translate, burst_.count);
    for (Packet* p : burst_.packets()) p_.egress.leave(*p, now);
    conntrack_.end_burst();
    if (watched) [[unlikely]]
        tell_events();
    burst_.clear();
    stages_.end(Stage::transmit, 0);
}

/// Plain packets take their places among the others, in the order of arrival.
void Pipeline::unfold_plain() noexcept {
    if (plain_.empty()) [[likely]]
        return;
    const unsigned others = burst_.count;
    std::array<Packet*, kBurst> in_order;
    unsigned n = 0, other = 0;
    for (unsigned i = 0; i < plain_.count(); ++i) {
        while (other < plain_[i].ahead) in_order[n++] = burst_.at[other++];
        Packet& p = burst_.push();
        unfold(plain_[i], p);
        p.hash = plain_[i].hash;
        settle(p, plain_[i].found, p_.store);
        in_order[n++] = &p;
    }
    while (other < others) in_order[n++] = burst_.at[other++];
    std::copy_n(in_order.begin(), n, burst_.at.begin());
    plain_.clear();
}

void Pipeline::tell_events() noexcept {
    p_.store.tell_events(burst_.packets());
}

/// From here on no flow ends while the burst is under way: those made in it stand, and helpers may attach to them.
Decision Pipeline::filter(Packet& p, const Policy& policy, Now now) noexcept {
    if (p.slot == kNoSlot) return {};  // INVALID or UNTRACKED, judged already
    // Evicted by a later packet of the burst for the second time: there is no room for it.
    if (!stands(p, p_.store)) return Decision::drop(DropReason::flow_table_full);
    if (p.fresh) {  // judged when it made its flow
        p_.alg.attach(p, policy, now);
        return {};
    }
    const FlowView flow = p_.store.flow(p.slot);
    if (p.icmp_error) [[unlikely]]
        return judge_error(policy, p_.worker, p, flow, p_.counters);
    return judge_of_flow(policy, p_.worker, p, flow, p_.counters);
}

/// Helpers run last, on packets that are about to leave, as in Linux: what is dropped announces nothing.
Verdict Pipeline::translate(Packet& p, const Policy& policy, Now now) noexcept {
    if (p.slot == kNoSlot) return Verdict::next;
    if (p.icmp_error) [[unlikely]] {
        translate_error(p);
        return Verdict::next;
    }
    const FlowView flow = p_.store.flow(p.slot);
    const RewritePlan& plan = flow.hot.dir(p.direction).plan;
    if (plan.active != 0) {
        if (p.v6) {
            rewrite(p, plan, {flow.source_of(p.direction, true), flow.destination_of(p.direction, true)});
        } else {
            rewrite(p, plan);
        }
    }
    if (flow.hot.has(status::kHelper)) return help(p, policy, now);
    return Verdict::next;
}

Verdict Pipeline::help(Packet& p, const Policy& policy, Now now) noexcept {
    // Helpers read and write text, which must lie in one piece.
    if (p.mbuf->nb_segs != 1 && rte_pktmbuf_linearize(p.mbuf) != 0) return p_.disposal.drop(p, DropReason::alg_no_room);
    return p_.mangle.apply(p, policy, p_.ports.mtu(p.out_port), now);
}

void Pipeline::translate_error(Packet& p) noexcept {
    const FlowView flow = p_.store.flow(p.slot);
    const RewritePlan& plan = flow.hot.dir(p.direction).plan;
    const SeqAdjust* shift = conntrack_.shift_of_peer(p);
    const std::uint8_t source_side = p.direction == Direction::original ? status::kSourceNat : status::kDestNat;
    if (plan.active == 0 && shift == nullptr) return;
    const Ends to{flow.source_of(p.direction, p.v6), flow.destination_of(p.direction, p.v6)};
    rewrite_error(p, plan, to, flow.hot.has(source_side), shift);
}

// --- the frame around a burst

const Policy& Pipeline::begin(Now now, unsigned packets) noexcept {
    stages_.received(packets);
    p_.store.events().at(now.ms);
    p_.store.table().forget_inserted();
    burst_.clear();
    plain_.clear();
    const Policy& policy = *p_.policy.load();
    if (policy.generation != configured_generation_) {
        configured_generation_ = policy.generation;
        p_.punts.configure(policy.punt_limits);
        p_.answers.configure(policy.icmp_error_limit);
    }
    return policy;
}

void Pipeline::end_of_burst(Now) noexcept {
    p_.tx.flush();
    p_.disposal.flush();
}

}  // namespace sluice

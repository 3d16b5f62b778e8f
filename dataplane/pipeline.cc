#include "dataplane/pipeline.hh"

#include <bit>

#include "dataplane/ingress/parse.hh"
#include "dataplane/policy/verdict.hh"
#include "dataplane/track/track.hh"
#include "dataplane/translate/rewrite.hh"
#include "dataplane/transmit/limits.hh"

namespace sluice {

namespace {

constexpr bool knows_its_tuple(const Packet& p) noexcept {
    return p.trackable && !p.icmp_error;
}

}  // namespace

Pipeline::Pipeline(PipelineParts parts) noexcept : p_(std::move(parts)) {
    p_.store.on_helper_death([](void* alg, SlotIndex slot) noexcept { static_cast<Alg*>(alg)->release(slot); },
                             &p_.alg);
}

// --- where packets come from

void Pipeline::receive(Now now, std::uint16_t device, rte_mbuf** mbufs, unsigned n) noexcept {
    stages_.start();
    const Policy& policy = begin();
    p_.counters.balance.received.add(n);
    for (unsigned i = 0; i < n; ++i) {
        mbufs[i]->port = device;
        rte_prefetch0(rte_pktmbuf_mtod(mbufs[i], void*));
    }
    for (unsigned i = 0; i < n; ++i) arrive(mbufs[i], policy, kNoPort, now);
    run(policy, now);
}

void Pipeline::receive_from_kernel(Now now, rte_mbuf** mbufs, unsigned n) noexcept {
    stages_.start();
    const Policy& policy = begin();
    p_.counters.balance.from_twins.add(n);
    for (unsigned i = 0; i < n; ++i) arrive(mbufs[i], policy, note_of(mbufs[i]).out_port, now);
    run(policy, now);
}

void Pipeline::receive_handoff(Now now, rte_mbuf** mbufs, unsigned n) noexcept {
    // Stubs and expectations that the sender took back or announced before it let go of these packets.
    (void)orders(now);
    stages_.start();
    const Policy& policy = begin();
    for (unsigned i = 0; i < n; ++i) {
        const HandoffNote note = note_of(mbufs[i]);
        if (note.kind == HandoffKind::transmit) {
            p_.tx.send_complete(note.out_port, mbufs[i]);
            continue;
        }
        Packet& p = burst_.push();
        p.mbuf = mbufs[i];
        p.in_port = note.in_port;
        p.out_port = note.out_port;
        p.local_out = note.local_out;
        // Parsed and found sound by the sender; here again only to set up `p`.
        if (parse(p, p_.ports, p_.disposal) != Arrival::forward) {
            --burst_.count;
            continue;
        }
        p.hash = p_.store.table().hash(p.key);
        switch (note.kind) {
            case HandoffKind::stub_request:
                p_.creator.answer_stub_request(note_of(p.mbuf), p.key);
                p_.handoff.send(note.from_worker, p.mbuf);
                --burst_.count;
                break;
            case HandoffKind::stub_answer:
                finish_stub(p, policy, now);
                break;
            case HandoffKind::stub_hit:
                // The sender's table answered for the reply key; here the flow is found by its original one.
                if (const FlowRef ref = p_.store.table().lookup(note.reply, p_.store.table().hash(note.reply));
                    ref && !p_.store.is_stub(ref) && p_.store.cold(ref.slot()).key[1] == p.key) {
                    p.slot = ref.slot();
                    p.generation = p_.store.hot(p.slot).generation;
                    p.direction = Direction::reply;
                } else {
                    p_.store.withdraw_stub(note.from_worker, p.key, note.reply);
                    (void)p_.disposal.drop(p, DropReason::flow_stale);
                    --burst_.count;
                }
                break;
            case HandoffKind::arrived:
            case HandoffKind::transmit:
                break;
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
    if (arrival == Arrival::forward) {
        if (steer(p) == Verdict::next) return;
    } else if (arrival == Arrival::punt) {
        punt_control(p, policy, now);
    }
    --burst_.count;
}

/// Every tuple has a home, computed from the frame alone (design: who owns a flow).
Verdict Pipeline::steer(Packet& p) noexcept {
    p.hash = p_.store.table().hash(p.key);
    if (p_.homes.workers() == 1) return Verdict::next;
    const bool by_source = !p.local_out && p_.ports[p.in_port].role == PortRole::outside;
    const std::uint8_t home = p_.homes.of(Ip4::from_raw(by_source ? p.ip()->src_addr : p.ip()->dst_addr));
    if (home == p_.worker) return Verdict::next;
    HandoffNote& note = note_of(p.mbuf);
    note = HandoffNote{};
    note.kind = HandoffKind::arrived;
    note.from_worker = p_.worker;
    note.in_port = p.in_port;
    note.out_port = p.out_port;
    note.local_out = p.local_out;
    p_.handoff.send(home, p.mbuf);
    return Verdict::gone;
}

// --- the stages

void Pipeline::run(const Policy& policy, Now now) noexcept {
    stages_.end(Stage::parse);
    if (burst_.count == 0) return;
    look_up();
    stages_.end(Stage::lookup);
    burst_.keep([&](Packet& p) noexcept { return admit(p, policy, now); });
    stages_.end(Stage::policy);
    burst_.keep([&](Packet& p) noexcept { return follow(p, policy, now); });
    stages_.end(Stage::track);
    burst_.keep([&](Packet& p) noexcept { return forward_path(p, policy, now); });
    stages_.end(Stage::route);
    burst_.keep([&](Packet& p) noexcept { return filter(p, policy, now); });
    stages_.end(Stage::filter);
    burst_.keep([&](Packet& p) noexcept { return within_limits(p, now); });
    stages_.end(Stage::limits);
    burst_.keep([&](Packet& p) noexcept { return translate(p, policy, now); });
    stages_.end(Stage::translate);
    for (Packet* p : burst_.packets()) transmit(*p, now);
    stages_.end(Stage::transmit);
    burst_.clear();
    for (unsigned i = 0; i < to_kill_count_; ++i)
        if (p_.store.is(to_kill_[i], to_kill_generation_[i])) p_.store.kill(to_kill_[i], DeathCause::closed);
    to_kill_count_ = 0;
}

/// One bulk lookup for the burst; then the lines of all flows found are on their way before the first is read.
void Pipeline::look_up() noexcept {
    std::array<const FlowKey*, kBurst> keys;
    std::array<std::uint32_t, kBurst> hashes;
    std::array<FlowRef, kBurst> found;
    std::array<Packet*, kBurst> asked;
    unsigned n = 0;
    for (Packet* p : burst_.packets()) {
        if (p->slot != kNoSlot || !knows_its_tuple(*p)) continue;  // found by a stub, or has no tuple of its own
        keys[n] = &p->key;
        hashes[n] = p->hash;
        asked[n++] = p;
    }
    if (n == 0) return;
    p_.counters.lookups.add(n);
    const std::uint64_t hits = p_.store.table().lookup_bulk(std::span(keys.data(), n), hashes.data(), found.data());
    p_.counters.lookup_hits.add(static_cast<unsigned>(std::popcount(hits)));
    for (unsigned i = 0; i < n; ++i)
        if (((hits >> i) & 1) != 0 && !p_.store.is_stub(found[i]))
            p_.store.prefetch(found[i].slot(), found[i].direction());
    for (unsigned i = 0; i < n; ++i) {
        if (((hits >> i) & 1) == 0) continue;
        Packet& p = *asked[i];
        if (p_.store.is_stub(found[i])) {
            p.stub = found[i];
            continue;
        }
        p.slot = found[i].slot();
        p.direction = found[i].direction();
        p.generation = p_.store.hot(p.slot).generation;
    }
}

/// Packets without a flow: policy decides whether they get one.
Verdict Pipeline::admit(Packet& p, const Policy& policy, Now now) noexcept {
    if (p.stub) {
        const Stub stub = p_.store.stub(p.stub);
        HandoffNote& note = note_of(p.mbuf);
        note = HandoffNote{};
        note.kind = HandoffKind::stub_hit;
        note.from_worker = p_.worker;
        note.in_port = p.in_port;
        note.out_port = p.out_port;
        note.local_out = p.local_out;
        note.reply = stub.original;
        p_.handoff.send(stub.owner, p.mbuf);
        p_.counters.stub_hits.add();
        return Verdict::gone;
    }
    // Past its deadline a flow is a miss, however late the wheel is; its owner erases it on the spot.
    if (p.slot != kNoSlot && p_.store.is(p.slot, p.generation) && p_.store.expired(p.slot, now)) {
        p_.store.kill(p.slot, DeathCause::timeout);
        p_.counters.expire_late.add();
    }
    if (p.slot != kNoSlot && !p_.store.is(p.slot, p.generation)) p.slot = kNoSlot;
    if (p.slot != kNoSlot) return Verdict::next;
    if (!knows_its_tuple(p)) {
        p.state = PacketState::invalid;
        return obey(p, p_.creator.pass_invalid(p, policy), now);
    }
    // An earlier packet of this burst may have made the flow.
    if (const FlowRef ref = p_.store.table().lookup(p.key, p.hash); ref && !p_.store.is_stub(ref)) {
        p.slot = ref.slot();
        p.direction = ref.direction();
        p.generation = p_.store.hot(p.slot).generation;
        return Verdict::next;
    }
    // A reply that a stub brought here, and its flow has ended: it opens one where its own tuple is at home.
    if (steer(p) == Verdict::gone) return Verdict::gone;
    return obey(p, p_.creator.create(p, policy, now), now);
}

/// Conntrack. The packet that made its flow was tracked by making it.
Verdict Pipeline::follow(Packet& p, const Policy& policy, Now now) noexcept {
    if (p.slot == kNoSlot) return Verdict::next;  // INVALID, judged already
    if (!p_.store.is(p.slot, p.generation)) {     // evicted by a later packet of the burst: begin again
        p.slot = kNoSlot;
        p.fresh = false;
        if (const Verdict v = admit(p, policy, now); v == Verdict::gone || p.slot == kNoSlot) return v;
    }
    if (p.fresh) {
        p_.alg.attach(p, policy, now);
    } else {
        switch (track(p_.store, p, policy.timeouts, now)) {
            case TrackResult::accept:
                break;
            case TrackResult::invalid:
                return obey(p, p_.creator.pass_invalid(p, policy), now);
            case TrackResult::reopen:
                p_.store.kill(p.slot, DeathCause::replaced);
                p.slot = kNoSlot;
                if (const Verdict v = obey(p, p_.creator.create(p, policy, now), now); v == Verdict::gone) return v;
                if (p.slot != kNoSlot && p.fresh) p_.alg.attach(p, policy, now);
                break;
            case TrackResult::kill:
                to_kill_[to_kill_count_] = p.slot;
                to_kill_generation_[to_kill_count_++] = p.generation;
                break;
        }
    }
    return Verdict::next;
}

/// Where the packet leaves: cached in the flow until a route changes.
Verdict Pipeline::forward_path(Packet& p, const Policy& policy, Now now) noexcept {
    if (p.slot != kNoSlot && !p_.store.is(p.slot, p.generation)) {
        // Another packet of the burst ended its flow (reopened, evicted, address gone): what has taken over the slot
        // is not its own.
        p.slot = kNoSlot;
        p.fresh = false;
        if (const Verdict v = admit(p, policy, now); v == Verdict::gone) return v;
        if (p.slot != kNoSlot && p.fresh) p_.alg.attach(p, policy, now);
    }
    if (p.slot == kNoSlot || p.fresh) return Verdict::next;  // policy has just routed it
    DirectionHalf& half = p_.store.hot(p.slot).dir(p.direction);
    if (half.route_epoch != p_.routes.epoch() || half.next_hop == kNoNextHop) return refresh_route(p, policy, now);
    const NextHop* hop = p_.routes.hop(half.next_hop);
    if (hop == nullptr) return refresh_route(p, policy, now);
    p.next_hop = half.next_hop;
    if (!p.local_out) p.out_port = hop->kind == HopKind::local ? kKernelPort : hop->out_port;
    return Verdict::next;
}

Verdict Pipeline::refresh_route(Packet& p, const Policy& policy, Now now) noexcept {
    FlowCold& cold = p_.store.cold(p.slot);
    if (cold.masquerade_address != Ip4{} && !p_.routes.addresses().is_own(cold.masquerade_address)) {
        // Its translated address has left the box: the flow dies at its next packet, as in Linux.
        p_.store.kill(p.slot, DeathCause::address_gone);
        p.slot = kNoSlot;
        const Verdict v = obey(p, p_.creator.create(p, policy, now), now);
        if (v == Verdict::next && p.slot != kNoSlot && p.fresh) p_.alg.attach(p, policy, now);
        return v;
    }
    DirectionHalf& half = p_.store.hot(p.slot).dir(p.direction);
    const std::uint32_t epoch = p_.routes.epoch();
    if (const Decision d = p_.creator.route(p, half.plan.active != 0 ? half.plan.dst : p.key.dst); d.fate != Fate::go)
        return obey(p, d, now);
    half.next_hop = p.next_hop;
    half.route_epoch = epoch;
    return Verdict::next;
}

Verdict Pipeline::filter(Packet& p, const Policy& policy, Now now) noexcept {
    if (p.slot == kNoSlot) return Verdict::next;
    // Evicted by a later packet of the burst for the second time: there is no room for it. From here on nothing ends.
    if (!p_.store.is(p.slot, p.generation)) return p_.disposal.drop(p, DropReason::flow_table_full);
    if (p.fresh) return Verdict::next;
    VerdictCache& cache = p_.store.hot(p.slot).dir(p.direction).verdict;
    if (served_from_cache(cache, policy, p_.worker, p, p_.counters)) return Verdict::next;
    const FlowKey tuple = filter_tuple(p_.store.cold(p.slot).key, p.direction);
    return obey(p, judge_packet(policy, p_.worker, p, tuple, &cache, p_.counters), now);
}

/// Before translation, so that an ICMP error quotes what the sender sent.
Verdict Pipeline::within_limits(Packet& p, Now now) noexcept {
    if (p.out_port == kKernelPort) return Verdict::next;
    return obey(p, check_limits(p, mtu_of(p)), now);
}

/// Helpers run last, on packets that are about to leave, as in Linux: what is dropped announces nothing.
Verdict Pipeline::translate(Packet& p, const Policy& policy, Now now) noexcept {
    if (p.slot == kNoSlot) return Verdict::next;
    FlowHot& h = p_.store.hot(p.slot);
    const RewritePlan& plan = h.dir(p.direction).plan;
    if (plan.active != 0) rewrite(p, plan);
    if (h.has(status::kHelper)) return p_.mangle.apply(p, policy, mtu_of(p), now);
    return Verdict::next;
}

void Pipeline::transmit(Packet& p, Now now) noexcept {
    if (p.out_port != kKernelPort) {
        static constexpr NextHop kChosenByKernel{};
        if (const NextHop* hop = p.local_out ? &kChosenByKernel : p_.routes.hop(p.next_hop)) {
            p_.egress.send(p, *hop, now);
        } else {
            (void)p_.disposal.drop(p, DropReason::no_route);
        }
        return;
    }
    const PuntClass c = p.slot == kNoSlot                  ? PuntClass::exception
                        : p.state == PacketState::new_flow ? PuntClass::new_flow
                                                           : PuntClass::established;
    p_.punts.punt(p.mbuf, p.in_port, c, p_.disposal, now);
}

// --- parts of stages

const Policy& Pipeline::begin() noexcept {
    burst_.clear();
    const Policy& policy = *p_.policy.load();
    if (policy.generation != configured_generation_) {
        configured_generation_ = policy.generation;
        p_.punts.configure(policy.punt_limits);
        p_.answers.configure(policy.icmp_error_limit);
    }
    return policy;
}

std::uint16_t Pipeline::mtu_of(const Packet& p) const noexcept {
    return p.out_port <= kMaxPorts ? p_.ports[p.out_port].mtu.load(std::memory_order_relaxed) : 0;
}

/// Carries out what policy decided.
Verdict Pipeline::obey(Packet& p, const Decision& d, Now now) noexcept {
    if (d.log >= 0) log(p, d.log);
    switch (d.fate) {
        case Fate::go:
            return Verdict::next;
        case Fate::hand_over:
            p_.handoff.send(d.to_worker, p.mbuf);
            return Verdict::gone;
        case Fate::drop:
            break;
    }
    if (d.answer != Answer::none) p_.egress.answer(p, d.answer, mtu_of(p), now);
    if (d.reason == DropReason::flow_table_full) log(p, LogEvent::table_full);
    if (d.reason == DropReason::nat_pool_exhausted) log(p, LogEvent::pool_exhausted);
    return p_.disposal.drop(p, d.reason);
}

void Pipeline::finish_stub(Packet& p, const Policy& policy, Now now) noexcept {
    if (obey(p, p_.creator.finish(p, policy, now), now) == Verdict::gone) --burst_.count;
}

/// ARP, ND and control traffic. What is IPv4 passes the filter's input chain first.
void Pipeline::punt_control(Packet& p, const Policy& policy, Now now) noexcept {
    if (p.local_out) {
        p_.tx.send(p.out_port, p.mbuf);
        return;
    }
    const PortIndex port = p.in_port;
    if (p.punt_class != PuntClass::arp_nd) {
        p.state = PacketState::new_flow;
        p.out_port = kKernelPort;
        const Decision d = judge_packet(policy, p_.worker, p, header_tuple(p), nullptr, p_.counters);
        if (d.log >= 0) log(p, d.log);
        if (d.fate != Fate::go) {
            (void)p_.disposal.drop(p, d.reason);
            return;
        }
    }
    p_.punts.punt(p.mbuf, port, p.punt_class, p_.disposal, now);
}

/// A log line may be lost; the drop is counted all the same.
void Pipeline::log(const Packet& p, LogEvent event) noexcept {
    Notice n;
    n.kind = NoticeKind::log;
    n.detail = static_cast<std::uint32_t>(event);
    n.key = p.key;
    (void)p_.to_control.post(n);
}

void Pipeline::log(const Packet& p, std::int32_t prefix) noexcept {
    Notice n;
    n.kind = NoticeKind::log;
    n.detail = static_cast<std::uint32_t>(LogEvent::rule) | static_cast<std::uint32_t>(prefix & 0xff) << 8 |
               std::uint32_t{p.in_port} << 16 | std::uint32_t{p.out_port} << 24;
    n.deadline_ms = p.l3_bytes;
    n.key = p.key;
    (void)p_.to_control.post(n);
}

}  // namespace sluice

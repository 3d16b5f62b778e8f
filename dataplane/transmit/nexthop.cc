#include "dataplane/transmit/nexthop.hh"

#include <algorithm>
#include <cstring>

#include <rte_ether.h>

#include "dataplane/base/checksum.hh"
#include "dataplane/flow/ip_fields.hh"
#include "dataplane/ingress/parse.hh"
#include "dataplane/policy/limits.hh"
#include "dataplane/translate/rewrite.hh"
#include "dataplane/transmit/fragment.hh"

namespace sluice {

void Egress::send(Packet& p, const NextHop& hop, Now now) noexcept {
    if (p.local_out) {
        finish(p, {});
        return;
    }
    switch (hop.kind) {
        case HopKind::neighbour:
            if (!hop.resolved) {
                hold(p, hop.address, now);
                return;
            }
            // What waits for it goes first: the worker may see the new hop before it is told of it.
            if (at_.held.count() != 0) neighbour_changed(hop.address, p.out_port, now);
            finish(p, hop.mac);
            return;
        case HopKind::connected:
            hold(p, p.destination(), now);
            return;
        case HopKind::local:
        case HopKind::blackhole:
        case HopKind::unreachable:
        case HopKind::prohibit:
        case HopKind::no_route:
        case HopKind::multipath:
            break;
    }
    // Policy turned these away for the packet it judged; a route that changed since then is no way out either.
    static_cast<void>(at_.disposal.drop(p, DropReason::route_unreachable));
}

void Egress::to_box(Packet& p, Now now) noexcept {
    const PuntClass c = p.state == PacketState::untracked  ? PuntClass::new_flow
                        : p.slot == kNoSlot                ? PuntClass::exception
                        : p.state == PacketState::new_flow ? PuntClass::new_flow
                                                           : PuntClass::established;
    at_.punts.punt(p.mbuf, p.in_port, c, at_.disposal, now);
}

void Egress::finish(Packet& p, const MacAddress& to) noexcept {
    const PortInfo& port = at_.ports[p.out_port];
    if (!p.local_out) {
        decrement_hops(p);
        const auto addresses = ethernet_addresses(to, port.mac);
        std::memcpy(p.l3 - sizeof(rte_ether_hdr), addresses.data(), addresses.size());
    }
    const std::uint16_t mtu = port.mtu.load(std::memory_order_relaxed);
    if (p.l3_bytes <= mtu && p.largest_piece == 0) [[likely]] {
        at_.tx.send(p.out_port, p.mbuf);
        p.mbuf = nullptr;
        return;
    }
    // It grew here, or the MTU shrank while it waited. Fragments that fit leave as fragments.
    const unsigned largest = p.largest_piece != 0 ? std::min(p.largest_piece, p.l3_bytes) : p.l3_bytes;
    if (largest > mtu && dont_fragment(p)) {
        static_cast<void>(at_.disposal.drop(p, DropReason::mtu_exceeded));
        return;
    }
    const Be32 id = p.v6 ? at_.fragment_ids.next() : Be32{};
    each_piece(cut(p, mtu, at_.pool, at_.disposal, id), [&](rte_mbuf* m) noexcept { at_.tx.send(p.out_port, m); });
}

void Egress::hold(Packet& p, const IpAddress& address, Now now) noexcept {
    HandoffNote& note = note_of(p.mbuf);
    note = HandoffNote{};
    note.in_port = p.in_port;
    note.out_port = p.out_port;
    note.next_hop_address = address;
    note.next_hop = p.next_hop;
    note.reply = p.key;
    if (at_.held.hold(p.mbuf, address, p.out_port, now))
        p.mbuf = nullptr;
    else
        static_cast<void>(at_.disposal.drop(p, DropReason::neighbour_queue_full));
}

void Egress::answer(const Packet& p, Answer what, std::uint16_t mtu, Now now) noexcept {
    rte_mbuf* m = at_.answers.make(p, what, mtu, at_.routes.addresses(), now);
    if (m == nullptr) return;
    if (p.local_out)
        at_.punts.punt(m, p.out_port, PuntClass::exception, at_.disposal, now);
    else
        at_.tx.send(p.in_port, m);
}

/// The neighbour that a held packet waits for, as it is now; nullptr when no hop speaks of it. A directly connected one
/// is a route of its own; a gateway is behind the hop that the route named.
const NextHop* Egress::awaited_hop(const HandoffNote& note) const noexcept {
    for (const NextHop* hop : {at_.routes.lookup(note.next_hop_address, 0, at_.ports[note.out_port].zone).hop,
                               note.next_hop == kNoNextHop ? nullptr : at_.routes.hop(note.next_hop)})
        if (hop != nullptr && hop->kind == HopKind::neighbour && hop->out_port == note.out_port &&
            hop->address == note.next_hop_address && (hop->resolved || hop->failed))
            return hop;
    return nullptr;
}

/// A held packet becomes one of the burst again. False: it could not be parsed and is dropped.
bool Egress::wake(Packet& p, rte_mbuf* m) noexcept {
    p.mbuf = m;
    p.in_port = note_of(m).in_port;
    p.out_port = note_of(m).out_port;
    switch (parse(p, at_.ports, at_.disposal)) {
        case Arrival::forward:
            return true;
        case Arrival::fragment:
        case Arrival::punt:  // only if translation made control traffic of it
            static_cast<void>(at_.disposal.drop(p, DropReason::neighbour_failed));
            break;
        case Arrival::gone:
            break;
    }
    return false;
}

void Egress::neighbour_changed(const IpAddress& address, PortIndex port, Now now) noexcept {
    at_.held.take(address, port, [&](rte_mbuf* m) {
        const NextHop* hop = awaited_hop(note_of(m));
        if (hop == nullptr) {
            if (!at_.held.hold(m, address, port, now)) at_.disposal.drop(m, DropReason::neighbour_queue_full);
        } else if (!hop->resolved) {
            give_up(m, now);
        } else if (Packet p; wake(p, m)) {
            at_.disposal.counters().held_released.add();
            finish(p, hop->mac);
        }
    });
}

void Egress::expire(Now now) noexcept {
    at_.held.expire(now, [&](rte_mbuf* m) { give_up(m, now); });
}

/// The sender is told of what it sent.
void Egress::undo_translation(Packet& p, const FlowKey& arrived) noexcept {
    const RewritePlan plan = RewritePlan::between(p.key, arrived);
    if (p.v6) {
        rewrite(p, plan, {arrived.src(), arrived.dst()});
    } else {
        rewrite(p, plan);
    }
}

void Egress::give_up(rte_mbuf* m, Now now) noexcept {
    Packet p;
    if (!wake(p, m)) return;
    const FlowKey arrived = note_of(m).reply;
    if (!p.icmp_error && p.key.proto == arrived.proto && p.v6 == arrived.is_v6()) undo_translation(p, arrived);
    answer(p, Answer::host_unreachable, 0, now);
    static_cast<void>(at_.disposal.drop(p, DropReason::neighbour_failed));
}

void Egress::shutdown() noexcept {
    at_.held.drain([&](rte_mbuf* m) { at_.disposal.drop(m, DropReason::shutdown); });
}

}  // namespace sluice

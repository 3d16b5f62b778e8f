// Every tuple has a home worker, computed from the frame alone, before any lookup (design: who owns a flow): on an
// outside port by the source address, on an inside port or from the kernel by the destination. Rules, routes and exit
// ports take no part, so nothing that changes later moves a live flow. An ICMP error is at home where the packets are
// that travel its way: by what it quotes, reversed.
//
// Owner: one worker. Cannot fail; what finds the ring to another worker full is dropped there (handoff_ring_full).
#pragma once

#include <cstdint>

#include "dataplane/flow/handoff_note.hh"
#include "dataplane/flow/packet.hh"
#include "dataplane/ingress/handoff.hh"
#include "dataplane/ingress/home.hh"
#include "dataplane/ingress/port_table.hh"

namespace sluice {

/// Home of the packets from `src` to `dst` that come by `port`; kKernelPort: from the box itself.
[[nodiscard]] inline std::uint8_t home_of(const HomeMap& homes, const PortTable& ports, PortIndex port,
                                          const IpAddress& src, const IpAddress& dst) noexcept {
    const bool by_source = port < kKernelPort && ports[port].role == PortRole::outside;
    return homes.of(by_source ? src : dst);
}

class Steering {
public:
    /// Everything outlives it.
    Steering(std::uint8_t me, const HomeMap& homes, const PortTable& ports, Handoff& handoff) noexcept
        : me_(me), homes_(homes), ports_(ports), handoff_(handoff) {}

    /// All packets are at home here.
    [[nodiscard]] bool alone() const noexcept { return homes_.workers() == 1; }
    [[nodiscard]] std::uint8_t me() const noexcept { return me_; }
    [[nodiscard]] std::uint8_t home(const Packet& p) const noexcept {
        if (alone()) return me_;
        if (p.icmp_error && p.trackable) {
            const FlowKey way = p.key.shape() == TupleShape::spi ? invert(p.key) : p.key;
            return home_of(homes_, ports_, p.in_port, way.src(), way.dst());
        }
        return home_of(homes_, ports_, p.in_port, p.source(), p.destination());
    }
    /// `gone`: it is on its way to its home.
    Verdict to_home(const Packet& p) noexcept {
        const std::uint8_t home = this->home(p);
        if (home == me_) return Verdict::next;
        begin_note(p, HandoffKind::arrived, me_);
        handoff_.send(home, p.mbuf);
        return Verdict::gone;
    }

private:
    std::uint8_t me_;
    const HomeMap& homes_;
    const PortTable& ports_;
    Handoff& handoff_;
};

}  // namespace sluice

// The way out of the box: next hop, time to live, Ethernet header, pieces where they are needed; and what happens to
// packets whose next hop is not known yet.
//
// Egress brings together the parts of this room that one worker owns. It is given packets after translation and
// consumes them. A packet that waits for a neighbour keeps its arrival Ethernet header and TTL, and its note keeps the
// tuple it arrived with: if the neighbour never answers, the sender is told about the packet that it sent, not about
// the translated one.
//
// Owner: one worker. Failure policy: drops are named; answers are subject to Answers' limits.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>

#include <rte_mempool.h>

#include "dataplane/flow/packet.hh"
#include "dataplane/ingress/port_table.hh"
#include "dataplane/policy/routes.hh"
#include "dataplane/transmit/fragment_ids.hh"
#include "dataplane/transmit/held_packets.hh"
#include "dataplane/transmit/punt.hh"
#include "dataplane/transmit/reject.hh"
#include "dataplane/transmit/tx.hh"

namespace sluice {

/// The addresses of an Ethernet header, as they lie in it.
[[nodiscard]] constexpr std::array<std::uint8_t, 12> ethernet_addresses(const MacAddress& to,
                                                                        const MacAddress& from) noexcept {
    std::array<std::uint8_t, 12> both{};
    std::copy_n(to.bytes.begin(), 6, both.begin());
    std::copy_n(from.bytes.begin(), 6, both.begin() + 6);
    return both;
}

class Egress {
public:
    struct Parts {
        const PortTable& ports;
        const RouteTable& routes;
        TxBuffers& tx;
        HeldPackets& held;
        Answers& answers;
        Punts& punts;
        Disposal& disposal;
        rte_mempool* pool;  ///< for pieces
        FragmentIds fragment_ids{};
    };
    explicit Egress(const Parts& parts) noexcept : at_(parts) {}

    /// Where policy or the flow said: by `p.next_hop`, or to the box itself. `p` is gone afterwards.
    void leave(Packet& p, Now now) noexcept {
        if (p.out_port == kKernelPort) {
            to_box(p, now);
            return;
        }
        static constexpr NextHop kChosenByKernel{};
        if (const NextHop* hop = p.local_out ? &kChosenByKernel : at_.routes.hop(p.next_hop)) {
            send(p, *hop, now);
        } else {
            static_cast<void>(at_.disposal.drop(p, DropReason::no_route));
        }
    }
    /// Sends a forwarded or box-local packet by `hop` (p.out_port is the exit port). Transmitted, held or dropped: `p`
    /// is gone afterwards. Frames of the box itself have their destination MAC from the kernel already.
    void send(Packet& p, const NextHop& hop, Now now) noexcept;

    /// Whether packets wait for this neighbour, which may have answered already: they go first.
    [[nodiscard]] bool anything_waits_for(const NextHop& hop) const noexcept {
        return at_.held.any_for(hop.address, hop.out_port);
    }

    /// Tells the sender of `p`, which is as it arrived, why it does not travel on. `p` stays the caller's.
    void answer(const Packet& p, Answer what, std::uint16_t mtu, Now now) noexcept;

    /// A neighbour answered, moved or failed (Order::neighbour_changed): what waits for it leaves or is dropped.
    void neighbour_changed(const IpAddress& address, PortIndex port, Now now) noexcept;
    /// Once per loop: gives up on neighbours that did not answer in time.
    void expire(Now now) noexcept;
    /// Drops what waits, when the worker stops.
    void shutdown() noexcept;

private:
    void to_box(Packet& p, Now now) noexcept;
    void finish(Packet& p, const MacAddress& to) noexcept;
    void hold(Packet& p, const IpAddress& address, Now now) noexcept;
    static void undo_translation(Packet& p, const FlowKey& arrived) noexcept;
    void give_up(rte_mbuf* m, Now now) noexcept;
    [[nodiscard]] const NextHop* awaited_hop(const HandoffNote& note) const noexcept;
    [[nodiscard]] bool wake(Packet& p, rte_mbuf* m) noexcept;

    Parts at_;
};

}  // namespace sluice

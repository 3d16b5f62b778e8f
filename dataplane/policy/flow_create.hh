// The first packet of a flow: expectation → admit → DNAT → route, TTL, MTU → filter → SNAT and port → fill the slot →
// publish both keys. A packet that hits a flow never comes here.
//
// When the reply tuple's home is another worker, that worker alone may choose the port: the packet visits it
// (`hand_over`), `answer_stub_request` runs there, and `finish` here makes the flow (policy/flow_visit.cc). Nothing is
// reserved here while the packet is away, so a lost packet leaks nothing here; later packets of its tuple wait for it
// (policy/first_packets.hh).
//
// Owner: one worker. Everything it uses belongs to that worker or is a publication.
#pragma once

#include <array>
#include <cstdint>
#include <optional>

#include "dataplane/flow/handoff_note.hh"
#include "dataplane/flow/packet.hh"
#include "dataplane/ingress/home.hh"
#include "dataplane/ingress/port_table.hh"
#include "dataplane/lookup/flow_store.hh"
#include "dataplane/policy/decision.hh"
#include "dataplane/policy/expect_table.hh"
#include "dataplane/policy/find_exit.hh"
#include "dataplane/policy/first_packets.hh"
#include "dataplane/policy/nat_decide.hh"
#include "dataplane/policy/port_choice.hh"
#include "dataplane/policy/routes.hh"

namespace sluice {

/// Of the packet that opens a flow.
[[nodiscard]] SynEnd syn_end(const Packet& p) noexcept;

class FlowCreator {
public:
    struct Parts {
        std::uint8_t worker;
        FlowStore& store;
        ExpectTable& expectations;
        FirstPackets& firsts;
        FastRandom& random;
        const RouteTable& routes;
        const PortTable& ports;
        const HomeMap& homes;
        WorkerCounters& counters;
    };
    explicit FlowCreator(const Parts& parts) noexcept
        : p_(parts), chooser_(parts.store, parts.expectations, parts.firsts, parts.random, parts.counters) {}

    /// A packet without a flow. With `go`, either p.slot is its new flow (p.state NEW or RELATED), or the packet is
    /// INVALID or UNTRACKED, was accepted as such, and travels on untranslated with p.slot == kNoSlot.
    [[nodiscard]] Decision create(Packet& p, const Policy& policy, Now now) noexcept;

    /// The reply tuple that a first packet's flow will get if NAT does with it as with the last one that came in by the
    /// same port: a guess, for prefetching.
    [[nodiscard]] FlowKey likely_reply(const Packet& p) const noexcept;

    /// A packet that conntrack calls INVALID: judged as such between its ports, never translated.
    [[nodiscard]] Decision pass_invalid(Packet& p, const Policy& policy) noexcept;

    /// A packet whose key is kept here as a stub goes to the flow's owner.
    [[nodiscard]] Decision to_owner(Packet& p, FlowRef stub) noexcept;

    /// On the worker that is the reply tuple's home: chooses and keeps a stub; the note becomes the answer.
    void answer_stub_request(HandoffNote& note, const Packet& first) noexcept;

    /// Back on the owner with the answer. Then what waited behind the packet may go (FirstPackets::release).
    [[nodiscard]] Decision finish(Packet& p, const Policy& policy, Now now) noexcept;

private:
    [[nodiscard]] Decision pass_without_flow(Packet& p, const Policy& policy) noexcept;
    [[nodiscard]] Decision way_out(Packet& p, const IpAddress& destination, RouteZone by) const noexcept;
    [[nodiscard]] std::uint16_t arrival_zone(const Packet& p) const noexcept;
    struct Draft {
        FlowKey tuple{};  // after DNAT, in the zone where it arrived
        FlowKey reply{};  // in the zone of the exit port
        std::uint32_t reply_hash = 0;
        const NatRule* dnat = nullptr;
        bool masquerade = false;
        std::optional<Expectation> expectation{};  // that it fulfils
        std::uint8_t stub_worker = 255;
        std::uint32_t snat_rule = kNoRule, dnat_rule = kNoRule;
        std::uint32_t mark = 0;
        std::uint8_t timeouts = 0;
        std::uint16_t nat_gauge = kNoNatGauge;
    };
    [[nodiscard]] static RouteZone route_zone(const Packet& p, const Draft& draft) noexcept;
    [[nodiscard]] std::uint8_t home_of_answers(const Packet& p, const FlowKey& reply) const noexcept;
    [[nodiscard]] Decision choose_source(Packet& p, const Policy& policy, Draft& draft, unsigned attempt,
                                         Now now) noexcept;
    [[nodiscard]] std::optional<FlowKey> known_mapping(const Packet& p, const SourceNat& nat, const FlowKey& wanted,
                                                       Now now) const noexcept;
    [[nodiscard]] Decision make(Packet& p, const Policy& policy, const Draft& draft, Now now) noexcept;
    [[nodiscard]] std::uint32_t inherited_mark(const Draft& draft) const noexcept;
    [[nodiscard]] std::uint32_t source_hash(const Packet& p) const noexcept {
        return p.foreseen ? p.source_hash : p_.store.source_hash(p.key);
    }
    [[nodiscard]] const NextHop& hop_of(const Packet& p) const noexcept;
    [[nodiscard]] Decision make_room(const Policy& policy, Now now) noexcept;
    void evict(SlotIndex slot, Now now) noexcept;

    Parts p_;
    PortChooser chooser_;
    std::uint32_t round_robin_ = 0;
    /// How the last flow that began at a port looks from beyond.
    struct Face {
        PortIndex in_port = kNoPort;
        bool translated = false;
        std::uint16_t zone = 0;
        IpAddress address{};
    };
    std::array<Face, 8> faces_;  // by the last bits of the port's number
};

}  // namespace sluice

// What travels with a packet from one worker to another, in the mbuf's private area. It holds values only, never a
// pointer into a publication: the receiver parses the packet again (cheap) and looks things up in its own memory.
// Written only when a packet is handed over or held, so packets that stay at home never touch this line.
#pragma once

#include <cstdint>

#include <rte_mbuf.h>

#include "dataplane/base/types.hh"
#include "dataplane/base/verdict.hh"
#include "dataplane/flow/flow_entry.hh"
#include "dataplane/flow/flow_key.hh"
#include "dataplane/flow/packet.hh"

namespace sluice {

enum class HandoffKind : std::uint8_t {
    arrived,       ///< a frame whose home is the receiver
    stub_hit,      ///< the sender keeps a stub: a reply to the receiver's flow whose original tuple is `reply`
    stub_request,  ///< from the flow's owner: choose the reply tuple by `reply` and `ports`, keep a stub, hand back
    stub_answer,   ///< from the reply tuple's home: `reply` is kept for the owner, or `answer` says why not
    transmit,      ///< complete frame for `device`, on which the sender has no transmit queue
};

enum class StubAnswer : std::uint8_t {
    kept,     ///< a stub stands
    refused,  ///< no tuple was free
    yielded,  ///< the other end spoke first in the same instant: the packet is a reply of that flow, whose stub is here
};

struct HandoffNote {
    HandoffKind kind{};
    std::uint8_t from_worker = 0;
    PortIndex in_port = kNoPort;
    PortIndex out_port = kNoPort;
    bool local_out : 1 = false;           ///< the box itself sent it
    bool expected : 1 = false;            ///< stub_request, stub_answer: an expectation was fulfilled
    bool masquerade : 1 = false;          ///< stub_request, stub_answer: the source is the exit port's address
    bool raw_done : 1 = false;            ///< the raw rules have been asked
    bool ports_bound : 1 = false;         ///< stub_request: a rule wants one of `ports`
    StubAnswer answer{};                  ///< stub_answer
    std::uint8_t timeouts = 0;            ///< stub_request, stub_answer: id of the flow's own, 0: none
    std::uint8_t attempt = 0;             ///< stub_request: how many addresses of the pool were tried
    PortRange ports{};                    ///< stub_request: replacements come from these
    std::uint16_t device = 0;             ///< transmit
    std::uint32_t policy_generation = 0;  ///< of the rule numbers below
    std::uint32_t snat_rule = kNoRule;
    std::uint32_t dnat_rule = kNoRule;
    FlowKey reply{};               ///< stub_request: wanted; stub_answer: taken. stub_hit: the original tuple.
                                   ///< held packets: the tuple as it arrived
    IpAddress next_hop_address{};  ///< held packets: whose MAC they wait for
    union {
        std::uint32_t next_hop = kNoNextHop;  ///< held packets: where the route led, to be checked against the address
        std::uint32_t packet_mark;            ///< all others: what rules have made of it
    };
    SlotIndex master = kNoSlot;  ///< expected: the flow whose helper announced it
    std::uint32_t master_generation = 0;
    std::uint32_t mark = 0;  ///< stub_request, stub_answer: of the flow, as it was inherited or set by the filter
};
static_assert(sizeof(HandoffNote) <= 128);

/// Size of the private area that every packet pool must have.
inline constexpr std::uint16_t kMbufPrivateBytes = 128;

inline HandoffNote& note_of(rte_mbuf* m) noexcept {
    return *static_cast<HandoffNote*>(rte_mbuf_to_priv(m));
}

/// A new note for `p`: who sends it, and the ports that the receiver cannot find out. The rest is the caller's.
inline HandoffNote& begin_note(const Packet& p, HandoffKind kind, std::uint8_t from_worker) noexcept {
    HandoffNote& note = note_of(p.mbuf);
    note = HandoffNote{};
    note.kind = kind;
    note.from_worker = from_worker;
    note.in_port = p.in_port;
    note.out_port = p.out_port;
    note.local_out = p.local_out;
    note.packet_mark = p.mark;
    note.raw_done = p.raw_done;
    return note;
}

}  // namespace sluice

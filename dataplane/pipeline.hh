// The spine: the order of the stages and nothing else. A packet goes
//
//   parse → steer (→ reassemble) → (raw rules) → lookup → (policy on a miss) → track → route → filter → limits
//   → translate → transmit
//
// and a plain packet of an established flow, as nearly all are, from lookup to transmit by the fast path
// (fast_path.hh): each stage over the whole burst before the next begins, so that each can prefetch for the next. The
// packets of a flow keep their order of arrival throughout, whether they hit it or made it.
//
// Everything here belongs to one worker, or is a publication that is read once per burst.
#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include <rte_mbuf.h>

#include "dataplane/base/clock.hh"
#include "dataplane/base/publication.hh"
#include "dataplane/base/stage_clock.hh"
#include "dataplane/fast_path.hh"
#include "dataplane/flow/listing.hh"
#include "dataplane/flow/packet.hh"
#include "dataplane/flow/plain_packet.hh"
#include "dataplane/ingress/handoff.hh"
#include "dataplane/ingress/home.hh"
#include "dataplane/ingress/parse.hh"
#include "dataplane/ingress/port_table.hh"
#include "dataplane/ingress/read_plain.hh"
#include "dataplane/ingress/reassembly.hh"
#include "dataplane/ingress/steer.hh"
#include "dataplane/lookup/flow_store.hh"
#include "dataplane/policy/exits.hh"
#include "dataplane/policy/expect_table.hh"
#include "dataplane/policy/first_packets.hh"
#include "dataplane/policy/flow_create.hh"
#include "dataplane/policy/newcomers.hh"
#include "dataplane/policy/policy.hh"
#include "dataplane/policy/routes.hh"
#include "dataplane/track/alg/alg.hh"
#include "dataplane/track/conntrack.hh"
#include "dataplane/translate/alg_mangle.hh"
#include "dataplane/transmit/control_traffic.hh"
#include "dataplane/transmit/enforce.hh"
#include "dataplane/transmit/nexthop.hh"
#include "dataplane/transmit/punt.hh"
#include "dataplane/transmit/reject.hh"
#include "dataplane/transmit/tx.hh"

namespace sluice {

/// What a pipeline is made of. Made and kept by the worker's Lcore (or a test); all of it outlives the pipeline.
struct PipelineParts {
    std::uint8_t worker;
    const PortTable& ports;
    const HomeMap& homes;
    const Publication<Policy>& policy;
    RouteTable& routes;
    Reassembly& reassembly;
    FlowStore& store;
    ExpectTable& expectations;
    FirstPackets& firsts;
    FlowCreator& creator;
    Alg& alg;
    AlgMangle& mangle;
    Handoff& handoff;
    Punts& punts;
    TxBuffers& tx;
    Answers& answers;
    Egress& egress;
    Disposal& disposal;
    Ring<Notice>& to_control;
    Ring<Order>& orders;
    std::vector<Ring<PeerMessage>*> from_peers;  ///< by worker; nullptr for itself
    WorkerCounters& counters;
};

class Pipeline {
public:
    explicit Pipeline(PipelineParts parts) noexcept;

    /// Frames from a device.
    void receive(Now now, std::uint16_t device, rte_mbuf** mbufs, unsigned n) noexcept;
    /// Packets that other workers handed over, notes filled in.
    void receive_handoff(Now now, rte_mbuf** mbufs, unsigned n) noexcept;
    /// Frames that twins sent: the note's out_port is the twin's port.
    void receive_from_kernel(Now now, rte_mbuf** mbufs, unsigned n) noexcept;

    /// Orders of control and messages of other workers, a bounded number; how many were done.
    unsigned orders(Now now) noexcept;
    /// Timers of what this worker holds (expectations, held packets, half commands, first packets that are away) and
    /// notices that had to wait.
    void housekeeping(Now now) noexcept;
    /// Transmit buffers and freed packets leave.
    void end_of_burst(Now now) noexcept;

    /// Whether plain packets of established flows take the fast path (they do, unless told otherwise), or the stages'
    /// way as all others: the result is the same, which is what tests ask.
    void use_fast_path(bool on) noexcept { use_fast_path_ = on; }
    /// Counts cycles by stage, when told to. Whoever runs the loops tells it of their begin and end.
    [[nodiscard]] StageClock& stages() noexcept { return stages_; }

private:
    // --- in order (pipeline.cc)
    const Policy& begin(Now now, unsigned packets) noexcept;
    /// `twin`: the port whose twin sent it, or kNoPort for a frame from a device.
    void arrive(rte_mbuf* m, const Policy& policy, PortIndex twin, Now now) noexcept;
    /// False: it is on its way to its home.
    [[nodiscard]] bool is_at_home(const PlainPacket& plain) noexcept;
    /// `p`, the last of the burst, was parsed: it stays when it is to be forwarded and at home here.
    void settle_down(Packet& p, Arrival arrival, const Policy& policy, Now now) noexcept;
    /// A fragment, at its home: when it is the one that was missing, its datagram arrives. `p`, the last of the burst,
    /// is not of it afterwards.
    void gather(Packet& p, const Policy& policy, Now now) noexcept;
    /// From another worker, or from among those that waited here.
    void arrive_again(rte_mbuf* m, const Policy& policy, Now now) noexcept;
    void run(const Policy& policy, Now now) noexcept;
    void unfold_plain() noexcept;
    /// The burst is decided: its events are told.
    void tell_events() noexcept;
    [[nodiscard]] Decision filter(Packet& p, const Policy& policy, Now now) noexcept;
    Verdict translate(Packet& p, const Policy& policy, Now now) noexcept;
    void translate_error(Packet& p) noexcept;
    Verdict help(Packet& p, const Policy& policy, Now now) noexcept;

    // --- besides packets (pipeline_duties.cc)
    [[nodiscard]] unsigned most_orders() noexcept;
    [[nodiscard]] bool take_orders(unsigned most, Now now) noexcept;
    void obey_order(const Order& order, Now now) noexcept;
    unsigned hear_peers(Now now) noexcept;
    void hear_peer(const PeerMessage& message, Now now) noexcept;
    void list(ListSlice& slice) noexcept;
    void list_flows(ListSlice& slice) noexcept;
    void flush_slice() noexcept;
    void erase(EraseBatch& batch) noexcept;
    void update(UpdateBatch& batch, Now now) noexcept;

    PipelineParts p_;
    Steering steering_;
    Newcomers newcomers_;
    Conntrack conntrack_;
    Exits exits_;
    FastPath fast_path_;
    bool use_fast_path_ = true;
    Enforcer enforcer_;
    ControlTraffic control_traffic_;
    StageClock stages_{p_.counters};
    Burst burst_;
    PlainBurst plain_;
    std::uint32_t configured_generation_ = 0;
    std::array<Order, FlowStore::kMostEnding> taken_;  ///< orders; those from next_order_ on are still to be done
    unsigned next_order_ = 0, taken_count_ = 0;
    std::uint64_t received_before_ = 0, births_before_ = 0;  ///< when orders were asked for the last time
    std::uint64_t loops_of_orders_ = 0;                      ///< what has been saved up for them while packets wait
    SlotIndex flush_from_ = kNoSlot;  ///< a flush goes through the slots from here; kNoSlot: none under way
    FlushTicket* flush_ticket_ = nullptr;
};

}  // namespace sluice

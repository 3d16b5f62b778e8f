// The flows of one worker: slots (hot and cold lines), the key table, and what the control thread is told about them.
//
// Life of a slot:
//   allocate() → filled by policy/flow_create → publish() → packets → kill() → `died` posted → free again
// Fill, then publish: both keys go in only when the slot is complete; what fails is undone in reverse order. A slot is
// free again only after its `died` notice went into the mailbox, behind which every later notice about the slot queues,
// so the control thread never mistakes one flow for another.
//
// Notices never get lost and block nobody: one that finds the mailbox full is a bit in the slot, the slot joins a list,
// and `pump` sends it later. A flow that is born and dies in between is not told about at all.
//
// Flows whose source is translated are found by that source too (source_mappings.hh).
//
// Owner: one worker, except `lifetime` (read by control) and `armed` (written by control).
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "dataplane/base/clock.hh"
#include "dataplane/flow/flow_entry.hh"
#include "dataplane/flow/flow_ref.hh"
#include "dataplane/flow/listing.hh"
#include "dataplane/flow/mailbox.hh"
#include "dataplane/flow/packet.hh"
#include "dataplane/lookup/flow_events.hh"
#include "dataplane/lookup/flow_table.hh"
#include "dataplane/lookup/source_mappings.hh"

namespace sluice {

class FlowStore {
public:
    struct Options {
        std::uint32_t capacity = 0;  ///< flows
        int socket = -1;             ///< NUMA node
        HashSecret secret{};
        bool ipv6 = false;   ///< flows may be of IPv6: 48 bytes each
        bool alone = false;  ///< there is no other worker for whose flows this one would keep stubs
    };

    /// Throws std::runtime_error when memory is short (start-up only).
    FlowStore(const Options& options, WorkerCounters& counters, Ring<Notice>& to_control);
    FlowStore(const FlowStore&) = delete;
    FlowStore& operator=(const FlowStore&) = delete;

    // --- slots
    /// A slot to fill, with its generation set and everything else reset but what only its status makes valid; kNoSlot
    /// when none is free.
    [[nodiscard]] SlotIndex allocate() noexcept;
    /// Gives back a slot that was never published.
    void abandon(SlotIndex slot) noexcept;
    /// Inserts the reply key (unless another worker keeps it as a stub), then the original key, and tells control. On
    /// failure everything is undone and the slot is free again.
    [[nodiscard]] bool publish(SlotIndex slot) noexcept;
    /// Of the keys of a flow, as table() makes them.
    struct Hashes {
        std::uint32_t original, reply;
        std::uint32_t source;  ///< source_hash() of the original key; of flows with status::kSourceNat alone
    };
    /// The same of a flow whose keys are known not to be in the table, with their hashes.
    [[nodiscard]] bool publish_new(SlotIndex slot, const Hashes& hashes) noexcept;
    /// Takes the flow out of the table, counts why, and tells control. The slot's generation changes. `by`: the process
    /// that wants it so, for those who listen to events.
    void kill(SlotIndex slot, DeathCause cause, std::uint32_t by = 0) noexcept;

    [[nodiscard]] FlowHot& hot(SlotIndex slot) noexcept { return hot_[slot]; }
    [[nodiscard]] const FlowHot& hot(SlotIndex slot) const noexcept { return hot_[slot]; }
    [[nodiscard]] FlowCold& cold(SlotIndex slot) noexcept { return cold_[slot]; }
    [[nodiscard]] const FlowCold& cold(SlotIndex slot) const noexcept { return cold_[slot]; }
    [[nodiscard]] FlowView flow(SlotIndex slot) const noexcept {
        return {hot_[slot], cold_[slot], high_.size() == 0 ? nullptr : &high_[slot]};
    }
    /// The tuple of packets of direction `d` as they arrive.
    [[nodiscard]] FlowKey key(SlotIndex slot, Direction d) const noexcept { return flow(slot).key(d); }
    [[nodiscard]] bool is(SlotIndex slot, std::uint32_t generation) const noexcept {
        return slot < capacity_ && hot_[slot].alive && hot_[slot].generation == generation;
    }
    /// A live flow as listings and events show it.
    [[nodiscard]] FlowCopy copy(SlotIndex slot) const noexcept;
    [[nodiscard]] std::uint32_t capacity() const noexcept { return capacity_; }
    [[nodiscard]] std::uint32_t live() const noexcept { return live_; }
    /// Live flows that nobody has vouched for yet: TCP and SCTP that are not ASSURED, others that nobody answered.
    [[nodiscard]] std::uint32_t half_open() const noexcept { return half_open_; }
    /// The half-open flow that was made first, or kNoSlot.
    [[nodiscard]] SlotIndex oldest_half_open() const noexcept { return oldest_half_open_; }

    // --- keys
    [[nodiscard]] FlowTable& table() noexcept { return table_; }
    [[nodiscard]] bool is_stub(FlowRef ref) const noexcept { return table_.keys().is_stub(ref); }
    [[nodiscard]] const Stub& stub(FlowRef ref) const noexcept { return stubs_[ref.slot() - capacity_]; }
    [[nodiscard]] bool add_stub(const FlowKey& reply, std::uint8_t owner, const FlowKey& original) noexcept;
    /// Only the stub of exactly that flow: a late message about an old one removes nothing.
    void remove_stub(const FlowKey& reply, std::uint8_t owner, const FlowKey& original) noexcept;
    /// The same by whatever flow of `owner` it is for: the answer that told of it was lost.
    void take_back_stub(const FlowKey& reply, std::uint8_t owner) noexcept;
    /// Rings to the other workers, by worker; needed only where flows have stubs. Called once, at start.
    void connect_peers(std::uint8_t self, std::vector<Ring<PeerMessage>*> peers) {
        self_ = self;
        peers_ = std::move(peers);
    }
    /// Tells the worker that keeps a stub for a flow that never came to be; when its ring is full, a free slot carries
    /// the message until `pump` can send it.
    void withdraw_stub(std::uint8_t worker, const FlowKey& reply, const FlowKey& original) noexcept;
    /// The message alone. False: the ring is full.
    bool post_remove_stub(std::uint8_t worker, const FlowKey& reply, const FlowKey& original) noexcept;

    // --- flows whose answers nobody can know beforehand (ESP, l4/esp.hh)
    /// The flow, or the stub of one, that waits longest for a packet between these addresses.
    [[nodiscard]] FlowRef find_waiting(const FlowKey& key, Now now) noexcept;
    /// `key` is what the answers to `waiting` carry from now on. False: there was no room for the key.
    bool answer(FlowRef waiting, const FlowKey& key, std::uint32_t hash) noexcept;
    /// Whether answers to the flow carry `key`. If the flow's reply key is kept by another worker, who has just learned
    /// it, the owner learns it here.
    [[nodiscard]] bool replies_with(SlotIndex slot, const FlowKey& key) noexcept;

    // --- source mappings
    /// How many flows find_mapping() looks at: in the same list may be many of another endpoint.
    static constexpr unsigned kMappingsLooked = 32;
    /// Of where `original` comes from: address, port or identifier, protocol, zone.
    [[nodiscard]] std::uint32_t source_hash(const FlowKey& original) const noexcept {
        return table_.hasher().of_source(original);
    }
    /// Shows `fits(reply key)` the live flows with a translated source that come from where `original` comes from,
    /// whose source_hash() is `hash`, the newest first, until it says true. Of `original` only the source matters.
    template <class Fits>
    bool find_mapping(const FlowKey& original, std::uint32_t hash, Now now, Fits&& fits) const noexcept {
        SlotIndex slot = mappings_.newest(hash);
        for (unsigned looked = 0; slot != kNoSlot && looked < kMappingsLooked; ++looked) {
            if (mappings_.hash(slot) == hash && has_source(slot, original) && !expired(slot, now) &&
                fits(key(slot, Direction::reply)))
                return true;
            slot = mappings_.older(slot);
        }
        return false;
    }

    // --- time
    /// A packet refreshed the flow: `timeout_s` is in force from now on. Tells control only when the deadline moved
    /// before the time at which the wheel will look anyway, and once per arming.
    void refresh(SlotIndex slot, Now now, std::uint32_t timeout_s) noexcept {
        FlowHot& h = hot_[slot];
        const Lifetime life{now.ms, timeout_s};
        h.lifetime.store(life);
        if (!h.alive) [[unlikely]]
            return;  // being filled: `born` will tell
        const TimeMs armed = h.armed.load(h.generation);
        // An announcement is good for one arming: the wheel may come to the same time once more.
        const auto arming = static_cast<std::uint32_t>(armed);
        if (arming != h.announced_ms) h.announced_ms = kNotAnnounced;
        if (life.deadline_ms() < armed && arming != h.announced_ms) [[unlikely]]
            announce_shortened(slot, arming);
    }
    [[nodiscard]] bool expired(SlotIndex slot, Now now) const noexcept {
        return hot_[slot].lifetime.load().deadline_ms() <= now.ms;
    }

    /// Called by kill() for flows with status::kHelper, before their keys go. Set once, at start.
    using DeathHook = void (*)(void* context, SlotIndex slot) noexcept;
    void on_helper_death(DeathHook hook, void* context) noexcept {
        death_hook_ = hook;
        death_context_ = context;
    }

    // --- state that gauges follow
    void set_tcp_state(SlotIndex slot, TcpState state) noexcept;
    void set_status(SlotIndex slot, std::uint8_t bits) noexcept;
    /// The same of the packet's flow, because of the packet.
    void set_status(Packet& p, std::uint8_t bits) noexcept;
    /// The flow's mark from now on; the next packets are judged by it. False: it has it already.
    bool set_mark(SlotIndex slot, std::uint32_t mark) noexcept { return sluice::set_mark(hot_[slot], mark); }

    /// What an operator wants of a live flow (conntrack -U); Linux's words are ctnetlink_change_conntrack. A timeout of
    /// 0 ends it: `gone`.
    UpdateBatch::Result update(SlotIndex slot, const FlowUpdate& what, std::uint32_t by, Now now) noexcept;

    // --- events
    [[nodiscard]] FlowEvents& events() noexcept { return events_; }
    /// While somebody listens: what this packet has just changed of its flow is noted, as the flow is now.
    void note_changes(const Packet& p) noexcept {
        if (p.slot != kNoSlot) events_.updated(copy(p.slot), 0, 0, &p);
    }
    /// The burst is decided, and these packets leave: events are told. What other packets have changed is told with the
    /// next one of their flow that leaves.
    void tell_events(std::span<Packet* const> leaving) noexcept;

    /// Who makes room in a full table: the oldest half-open flow; without any, near a rotating hand, a flow that is not
    /// ASSURED, is expired or is being closed, or kNoSlot: at most 16 flows are looked at (Linux looks at 8 buckets),
    /// in at most 256 slots. The caller kills it.
    [[nodiscard]] SlotIndex eviction_victim(Now now) noexcept;

    /// Sends notices that found the mailbox full earlier; at most `budget`. True when none is left.
    bool pump(unsigned budget) noexcept;
    [[nodiscard]] bool has_pending() const noexcept { return pending_head_ != kNoSlot; }

    /// A packet without a flow will ask for this key soon.
    void prefetch_key(const FlowKey& key) const noexcept { table_.prefetch(table_.hash(key)); }
    /// And for flows of the same source, by source_hash(): the first call asks for their list, the second one for who
    /// is in there.
    void prefetch_source(std::uint32_t hash) const noexcept { mappings_.prefetch_list(hash); }
    void prefetch_newest(std::uint32_t hash) const noexcept { mappings_.prefetch_newest(hash); }
    /// These flows are about to be killed. The first call asks for their lines, the second one, which reads them, for
    /// what they lead to; at most kMostEnding.
    static constexpr unsigned kMostEnding = 32;
    void prefetch_slot(SlotIndex slot) const noexcept {
        __builtin_prefetch(&hot_[slot].lifetime, 1);
        __builtin_prefetch(&hot_[slot].tcp, 1);
        __builtin_prefetch(&cold_[slot], 1);
    }
    void prefetch_ends(std::span<const SlotIndex> slots) const noexcept;

private:
    /// Without room for a quoted_key errors find no flow, and nothing worse.
    void insert_quoted(SlotIndex slot, Direction d) noexcept;
    void erase_quoted(SlotIndex slot) noexcept;
    [[nodiscard]] bool sends_to_itself(SlotIndex slot) const noexcept;
    void settle_in(SlotIndex slot, std::uint32_t source_hash) noexcept;
    void account(const FlowHot& hot, bool arrives) noexcept;
    /// An answer alone proves nothing about who shakes hands: a server answers a SYN, or an INIT, from anywhere.
    [[nodiscard]] static bool is_half_open(const FlowHot& h) noexcept {
        const bool shakes_hands = h.kind == L4Kind::tcp || h.kind == L4Kind::sctp;
        return !h.has(status::kAssured) && (shakes_hands || !h.has(status::kSeenReply));
    }
    [[nodiscard]] bool has_source(SlotIndex slot, const FlowKey& original) const noexcept;
    void join_half_open(SlotIndex slot) noexcept;
    void leave_half_open(SlotIndex slot) noexcept;
    static constexpr auto kNotAnnounced = static_cast<std::uint32_t>(ArmedWord::kNotArmed);
    void announce_shortened(SlotIndex slot, std::uint32_t arming) noexcept;
    void notify(SlotIndex slot, std::uint8_t bit) noexcept;
    void defer(SlotIndex slot, std::uint8_t bits) noexcept;
    [[nodiscard]] bool post(SlotIndex slot, std::uint8_t bit) noexcept;
    [[nodiscard]] bool post_stub_gone(SlotIndex slot) noexcept;
    void recycle(SlotIndex slot) noexcept;

    WorkerCounters& counters_;
    Ring<Notice>& to_control_;
    FlowEvents events_;
    std::uint32_t untold_ = 0;  // live flows with changes that wait for a packet to leave
    std::uint32_t capacity_;
    std::uint32_t live_ = 0;
    std::uint32_t half_open_ = 0;
    SlotIndex oldest_half_open_ = kNoSlot;  // half-open flows, linked by age
    SlotIndex newest_half_open_ = kNoSlot;
    HugeArray<FlowHot> hot_;
    HugeArray<FlowCold> cold_;
    HugeArray<FlowHigh> high_;  // empty: no IPv6
    std::vector<Stub> stubs_;
    std::vector<std::uint32_t> free_stubs_;
    FlowTable table_;
    std::uint32_t quoted_ = 0;   // keys of it that no packet has
    HugeArray<SlotIndex> free_;  // a stack
    std::uint32_t free_count_ = 0;
    SourceMappings mappings_;           // of live flows with status::kSourceNat
    SlotIndex pending_head_ = kNoSlot;  // slots with notices that wait, first in, first out
    SlotIndex pending_tail_ = kNoSlot;
    SlotIndex used_ = 0;  // no slot from here on was ever allocated
    SlotIndex hand_ = 0;
    std::uint32_t next_id_ = 1;
    DeathHook death_hook_ = nullptr;
    void* death_context_ = nullptr;
    std::uint8_t self_ = 0;
    std::vector<Ring<PeerMessage>*> peers_;
};

}  // namespace sluice

// The events of one worker's flows on their way to control, while somebody listens.
//
// An event is noted when it happens, with a copy of the flow as it is at that moment, and told when the burst has been
// decided: Linux tells what a packet has changed when the packet leaves conntrack, and keeps it for the next one of the
// flow when a rule drops it. So an update that a packet caused names that packet until the burst has settled; births
// and deaths are told whatever becomes of a packet. A flow that ends before its birth was told has never been.
//
// Nobody listens: nothing is noted. The ring is full: the event is lost and counted, and control tells the listeners.
// Owner: one worker. The ring is control's, given by an order and taken back by one.
#pragma once

#include <array>
#include <cstdint>

#include "dataplane/base/counters.hh"
#include "dataplane/flow/flow_event.hh"
#include "dataplane/flow/mailbox.hh"

namespace sluice {

class FlowEvents {
public:
    explicit FlowEvents(WorkerCounters& counters) noexcept : counters_(counters) {}

    /// Events go to `ring` from now on; nullptr: nobody listens any more.
    void listen(Ring<FlowEvent>* ring) noexcept {
        tell_all();
        ring_ = ring;
    }
    [[nodiscard]] bool on() const noexcept { return ring_ != nullptr; }
    /// What is noted from now on happens at this time.
    void at(TimeMs now_ms) noexcept { now_ms_ = now_ms; }

    /// Only while on(): the flow as it is now. `cause`: told only if settle() is told that this packet leaves.
    void created(const FlowCopy& flow) noexcept;
    void updated(const FlowCopy& flow, std::uint8_t changes, std::uint32_t by, const void* cause = nullptr) noexcept;
    void destroyed(const FlowCopy& flow, std::uint32_t by) noexcept;

    /// The packet leaves, with all that it has changed: its event is told, with the mark and the helper that `flow` has
    /// got by it since it was noted; if it has made the flow (`fresh`), they are part of the birth. False: no event was
    /// noted for it.
    bool settle(const void* cause, bool fresh, const FlowCopy& flow, std::uint8_t changes) noexcept;
    /// Sends what is settled. For the others calls `kept(slot, generation, cause)`.
    template <class Kept>
    void tell(Kept&& kept) noexcept {
        for (unsigned i = 0; i < count_; ++i) {
            const Noted& n = noted_[i];
            if (n.cause == nullptr)
                post(n.event);
            else
                kept(n.event.flow.slot, n.event.flow.generation, n.cause);
        }
        count_ = 0;
    }
    /// Sends all, whatever becomes of packets: outside of a burst.
    void tell_all() noexcept {
        for (unsigned i = 0; i < count_; ++i) post(noted_[i].event);
        count_ = 0;
    }
    [[nodiscard]] bool waiting() const noexcept { return count_ != 0; }

private:
    struct Noted {
        FlowEvent event;
        const void* cause = nullptr;
    };
    void note(const FlowCopy& flow, FlowEventKind kind, std::uint8_t changes, std::uint32_t by,
              const void* cause) noexcept;
    void post(const FlowEvent& event) noexcept;
    [[nodiscard]] static bool same(const FlowEvent& event, const FlowCopy& flow) noexcept {
        return event.flow.slot == flow.slot && event.flow.generation == flow.generation;
    }

    WorkerCounters& counters_;
    Ring<FlowEvent>* ring_ = nullptr;
    TimeMs now_ms_ = 0;
    unsigned count_ = 0;
    std::array<Noted, 128> noted_;
};

}  // namespace sluice

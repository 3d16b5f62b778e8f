// Helpers (application layer gateways): protocols that announce further connections in their payload. A helper attaches
// to a flow when the flow is made, looks at its payload after conntrack, adds expectations, and says what text must be
// rewritten; translate/alg_mangle does the rewriting.
//
// Owner: one worker.
#pragma once

#include "dataplane/base/clock.hh"
#include "dataplane/flow/packet.hh"
#include "dataplane/lookup/flow_store.hh"
#include "dataplane/policy/expect_table.hh"
#include "dataplane/policy/policy.hh"

namespace sluice {

class Alg {
public:
    struct Parts {
        std::uint8_t worker;
        FlowStore& store;
        ExpectTable& expectations;
        Disposal& disposal;
        WorkerCounters& counters;
    };
    explicit Alg(const Parts& parts) noexcept : p_(parts) {}

    /// A flow was made by `p`: the helper that wants it gets state and the flow status::kHelper.
    void attach(const Packet& p, const Policy& policy, Now now) noexcept;
    /// A packet of a flow with status::kHelper, after conntrack and before the filter.
    Verdict inspect(Packet& p, const Policy& policy, Now now) noexcept;
    /// The flow died: its state and its expectations go.
    void release(SlotIndex slot) noexcept;
    /// Timers; at most `budget` states are looked at.
    void sweep(Now now, unsigned budget) noexcept;

private:
    Parts p_;
};

}  // namespace sluice

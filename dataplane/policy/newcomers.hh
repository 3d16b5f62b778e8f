// Packets that have no flow here: whose they are, and whether they get one.
//
//   past its deadline → the flow is ended     the first of its tuple is away → waits for it
//   stub → to the flow's owner                an earlier packet's flow → joins it
//   ESP, and a flow waits for an answer → it is the answer
//   not at home here → to its home            INVALID → judged as such       otherwise → policy/flow_create
//
// The first of them in a burst looks ahead for all: what their flows will need of the tables comes at the same time.
//
// Owner: one worker.
#pragma once

#include "dataplane/ingress/steer.hh"
#include "dataplane/lookup/find_flow.hh"
#include "dataplane/policy/flow_create.hh"

namespace sluice {

class Newcomers {
public:
    struct Parts {
        FlowStore& store;
        FlowCreator& creator;
        FirstPackets& firsts;
        const Steering& steering;
        const Burst& burst;  ///< of which the packets are
        WorkerCounters& counters;
    };
    explicit Newcomers(const Parts& parts) noexcept : p_(parts) {}

    /// With `go`, either p.slot is its flow, or it is INVALID and travels on untranslated (p.slot == kNoSlot). A packet
    /// whose flow stands and lives goes on as it is.
    [[nodiscard]] Decision admit(Packet& p, const Policy& policy, Now now) noexcept {
        if (stands(p, p_.store) && !p_.store.expired(p.slot, now)) [[likely]]
            return {};
        return admit_without_flow(p, policy, now);
    }

    /// Its flow has ended under it (reopened, evicted, address gone): what took over the slot is not its own. It begins
    /// again, as if it had come just now. The packet itself or another one of the burst may have ended the flow.
    [[nodiscard]] Decision begin_again(Packet& p, const Policy& policy, Now now) noexcept {
        p.slot = kNoSlot;
        p.fresh = false;
        return admit_without_flow(p, policy, now);
    }

    /// A packet that hit a stub at worker `note.from_worker`: finds its flow by the original tuple. False: the flow is
    /// gone, and the stub has been told so.
    [[nodiscard]] bool find_by_original(Packet& p, const HandoffNote& note) noexcept;

private:
    [[nodiscard]] Decision admit_without_flow(Packet& p, const Policy& policy, Now now) noexcept;
    [[nodiscard]] Decision wait(Packet& p) noexcept;
    void look_ahead() noexcept;

    Parts p_;
};

}  // namespace sluice

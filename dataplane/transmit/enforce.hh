// Carries out what policy decided: the packet goes on, visits another worker, or is dropped, its sender answered and
// the control thread told what to log.
//
// Owner: one worker. Failure policy: a log line or an answer may be lost; the drop is counted all the same.
#pragma once

#include "dataplane/flow/mailbox.hh"
#include "dataplane/ingress/handoff.hh"
#include "dataplane/policy/decision.hh"
#include "dataplane/transmit/nexthop.hh"

namespace sluice {

class Enforcer {
public:
    struct Parts {
        const PortTable& ports;
        Handoff& handoff;
        Egress& egress;
        Disposal& disposal;
        Ring<Notice>& to_control;
    };
    explicit Enforcer(const Parts& parts) noexcept : p_(parts) {}

    Verdict obey(Packet& p, const Decision& decision, Now now) noexcept {
        if (decision.is_silent_go()) [[likely]]
            return Verdict::next;
        return carry_out(p, decision, now);
    }
    /// A rule on the packet's way logs: the tuple that it matched, as netfilter's LOG prints what its chain sees.
    void log(const Packet& p, std::int32_t prefix) noexcept;

private:
    Verdict carry_out(Packet& p, const Decision& decision, Now now) noexcept;
    void log(const Packet& p, LogEvent event) noexcept;

    Parts p_;
};

}  // namespace sluice

#include "dataplane/transmit/control_traffic.hh"

#include "dataplane/policy/verdict.hh"

namespace sluice {

void ControlTraffic::pass(Packet& p, const Policy& policy, Now now) noexcept {
    if (p.local_out) {
        p_.tx.send(p.out_port, p.mbuf);
        return;
    }
    if (p.punt_class != PuntClass::arp_nd) {
        p.state = PacketState::new_flow;
        p.out_port = kKernelPort;
        Decision d = judge_packet(policy, p_.worker, p, header_tuple(p), {}, p_.counters);
        d.answer = Answer::none;  // to a group or a broadcast address
        if (p_.enforcer.obey(p, d, now) == Verdict::gone) return;
    }
    p_.punts.punt(p.mbuf, p.in_port, p.punt_class, p_.disposal, now);
}

}  // namespace sluice

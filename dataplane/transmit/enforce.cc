#include "dataplane/transmit/enforce.hh"

#include "dataplane/flow/ip_fields.hh"

namespace sluice {

Verdict Enforcer::carry_out(Packet& p, const Decision& d, Now now) noexcept {
    if (d.log >= 0) log(p, d.log);
    switch (d.fate) {
        case Fate::go:
            return Verdict::next;
        case Fate::hand_over:
            p_.handoff.send(d.to_worker, p.mbuf);
            return Verdict::gone;
        case Fate::wait:
            return Verdict::gone;
        case Fate::drop:
            break;
    }
    // As Linux, which has counted it down before its filter sees the packet.
    if (d.reason == DropReason::filter_reject && !p.local_out && p.out_port != kKernelPort) decrement_hops(p);
    if (d.answer != Answer::none) p_.egress.answer(p, d.answer, p_.ports.mtu(p.out_port), now);
    if (d.reason == DropReason::nat_pool_exhausted) log(p, LogEvent::pool_exhausted);
    return p_.disposal.drop(p, d.reason);
}

void Enforcer::log(const Packet& p, LogEvent event) noexcept {
    Notice n;
    n.kind = NoticeKind::log;
    n.detail = static_cast<std::uint32_t>(event);
    n.key = header_tuple(p);
    (void)p_.to_control.post(n);
}

void Enforcer::log(const Packet& p, std::int32_t prefix) noexcept {
    Notice n;
    n.kind = NoticeKind::log;
    n.detail = static_cast<std::uint32_t>(LogEvent::rule) | static_cast<std::uint32_t>(prefix & 0xff) << 8 |
               std::uint32_t{p.in_port} << 16 | std::uint32_t{p.out_port} << 24;
    n.deadline_ms = p.l3_bytes;
    n.key = p.judged.value_or(FlowKey{});
    (void)p_.to_control.post(n);
}

}  // namespace sluice

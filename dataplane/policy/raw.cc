#include "dataplane/policy/raw.hh"

#include "dataplane/policy/rule_match.hh"

namespace sluice {

Decision judge_raw(const Policy& policy, unsigned worker, Packet& p) noexcept {
    if (p.raw_done) return {};
    p.raw_done = true;
    MatchInput input = MatchInput::of(header_tuple(p));
    input.in_port = p.in_port;
    input.out_port = p.out_port;
    input.has_flow = false;
    input.marks.packet = p.mark;
    Decision decision;
    for (const FilterRule& rule : p.local_out ? policy.raw_output : policy.raw) {
        if (!matches(rule.match, input, policy)) continue;
        policy.counter(worker, rule.rule).count(p.l3_bytes);
        apply_sets(rule, input);
        if (rule.action == FilterAction::next) continue;
        if (rule.action == FilterAction::drop) decision = Decision::drop(DropReason::filter_raw);
        if (rule.action == FilterAction::notrack) {
            p.state = PacketState::untracked;
            p.trackable = false;
        }
        decision.log = rule.log;
        break;
    }
    p.mark = input.marks.packet;
    return decision;
}

}  // namespace sluice

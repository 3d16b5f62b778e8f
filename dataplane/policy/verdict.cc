#include "dataplane/policy/verdict.hh"

namespace sluice {

Decision judge_packet(const Policy& policy, unsigned worker, const Packet& p, const FlowKey& tuple, VerdictCache* cache,
                      WorkerCounters& counters) noexcept {
    MatchInput input = MatchInput::of(tuple);
    input.in_port = p.in_port;
    input.out_port = p.out_port;
    input.state = p.state;
    input.invalid_reason = p.invalid_reason;
    if (tuple.kind() == L4Kind::icmp && p.l4_bytes != 0) input.icmp_type = p.l4[0];
    const Chain chain = chain_of(p);
    const FilterVerdict v = judge(policy, chain, input);
    counters.verdict_judged.add();
    RuleCounter& c = policy.counter(worker, v.rule);
    c.packets.add();
    c.bytes.add(p.l3_bytes);

    Decision decision;
    if (v.action == FilterAction::drop) decision = Decision::drop(dropped_by(chain));
    if (v.action == FilterAction::reject)
        decision = Decision::drop(DropReason::filter_reject, answer_for(v.reject_with));
    decision.log = v.log;
    if (cache != nullptr && v.action == FilterAction::accept && v.cacheable) {
        cache->policy_generation = policy.generation;
        cache->rule = v.rule;
        cache->in_port = p.in_port;
        cache->out_port = p.out_port;
        cache->state = p.state;
        cache->chain = static_cast<std::uint8_t>(chain);
    }
    return decision;
}

}  // namespace sluice

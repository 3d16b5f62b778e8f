#include "dataplane/policy/verdict.hh"

#include "dataplane/flow/flow_event.hh"

namespace sluice {

Decision judge_packet(const Policy& policy, unsigned worker, Packet& p, const FlowKey& tuple, JudgedFlow flow,
                      WorkerCounters& counters) noexcept {
    MatchInput input = MatchInput::of(tuple);
    input.in_port = p.in_port;
    input.out_port = p.out_port;
    input.state = p.state;
    input.invalid_reason = p.invalid_reason;
    if (tuple.shape() == TupleShape::query && p.l4_bytes != 0) input.icmp_type = p.l4[0];
    input.has_flow = flow.mark != nullptr;
    const std::uint32_t mark_before = input.has_flow ? *flow.mark : 0;
    input.marks = {p.mark, mark_before};
    const Chain chain = chain_of(p);
    const FilterVerdict v = judge(
        policy, chain, input, [&](const FilterRule& r) noexcept { policy.counter(worker, r.rule).count(p.l3_bytes); });
    counters.verdict_judged.add();
    policy.counter(worker, v.rule).count(p.l3_bytes);
    p.mark = input.marks.packet;
    if (input.has_flow) *flow.mark = input.marks.flow;
    if (flow.timeouts != nullptr) *flow.timeouts = input.timeouts;

    Decision decision;
    if (v.action == FilterAction::drop) decision = Decision::drop(dropped_by(chain));
    if (v.action == FilterAction::reject)
        decision = Decision::drop(DropReason::filter_reject, answer_for(v.reject_with));
    decision.log = v.log;
    if (v.log >= 0) p.judged = tuple;
    const bool lasting = input.marks.flow == mark_before;  // judged again it would come to the same
    if (flow.cache != nullptr && v.action == FilterAction::accept && v.cacheable && lasting) {
        flow.cache->policy_generation = policy.generation;
        flow.cache->rule = v.rule;
        flow.cache->in_port = p.in_port;
        flow.cache->out_port = p.out_port;
        flow.cache->state = p.state;
        flow.cache->chain = static_cast<std::uint8_t>(chain);
    }
    return decision;
}

Decision judge_anew(const Policy& policy, unsigned worker, Packet& p, const FlowKey& tuple, const FlowView& flow,
                    VerdictCache* cache, WorkerCounters& counters) noexcept {
    std::uint32_t mark = flow.hot.mark;
    const Decision decision = judge_packet(policy, worker, p, tuple, {&mark, cache}, counters);
    if (set_mark(flow.hot, mark)) p.changes |= changed::kMark;
    return decision;
}

}  // namespace sluice

// The filter's verdict on a packet, from the flow's cache or judged now.
//
// Filter rules are judged per packet, as in Linux. The cache makes that cheap and may never change a verdict: it holds
// one accept per direction, with the packet state, ports and generation it was judged for, and the rule whose counters
// a hit adds to. Any mismatch judges again. INVALID packets have no flow and so no cache; a path on which a rule logs
// is not cached, nor one on which a rule matched that decides nothing (it wants to be counted too); drops and rejects
// are judged every time. A verdict may depend on the flow's mark: when the mark changes, both directions forget theirs,
// and a judgement that changes the mark itself is not kept.
//
// Owner: the flow's worker.
#pragma once

#include "dataplane/flow/packet.hh"
#include "dataplane/policy/decision.hh"
#include "dataplane/policy/rule_match.hh"

namespace sluice {

/// The chain a packet passes: to the box, from it, or through it.
[[nodiscard]] constexpr Chain chain_of(const Packet& p) noexcept {
    if (p.local_out) return Chain::output;
    return p.out_port == kKernelPort ? Chain::input : Chain::forward;
}

/// What the packet's flow has to do with it. None of it: a packet without a flow.
struct JudgedFlow {
    std::uint32_t* mark = nullptr;     ///< rules match and set it
    VerdictCache* cache = nullptr;     ///< filled when the verdict may be served again
    std::uint8_t* timeouts = nullptr;  ///< of a flow that begins: rules give it timeouts of its own
};

/// Judges `tuple` (the packet after DNAT, before SNAT) in state p.state between p.in_port and p.out_port, and counts
/// the rules that matched. Rules may set p.mark.
[[nodiscard]] Decision judge_packet(const Policy& policy, unsigned worker, Packet& p, const FlowKey& tuple,
                                    JudgedFlow flow, WorkerCounters& counters) noexcept;

/// The same for a packet of a flow that there is: its mark and its verdicts follow.
[[nodiscard]] Decision judge_anew(const Policy& policy, unsigned worker, Packet& p, const FlowKey& tuple,
                                  const FlowView& flow, VerdictCache* cache, WorkerCounters& counters) noexcept;

/// True when `cache` answers for this packet: accepted and counted.
[[nodiscard]] inline bool served_from_cache(const VerdictCache& cache, const Policy& policy, unsigned worker,
                                            const Packet& p, WorkerCounters& counters) noexcept {
    if (!cache.answers(policy.generation, p.state, p.in_port) || cache.out_port != p.out_port) return false;
    policy.counter(worker, cache.rule).count(p.l3_bytes);
    counters.verdict_cached.add();
    return true;
}

/// The tuple that filter rules see for a packet of a flow: translated by what netfilter does before its forward hook.
[[nodiscard]] inline FlowKey filter_tuple(const FlowKeys& keys, Direction d) noexcept {
    // Original: DNAT done, SNAT not yet. Reply: SNAT undone, DNAT not yet.
    const FlowKey far = invert(keys[index_of(opposite(d))]);
    FlowKey tuple = keys[index_of(d)];
    tuple.set_dst(far.dst());
    if (tuple.shape() == TupleShape::query) {
        if (d == Direction::reply) tuple.sport = far.sport;
    } else {
        tuple.dport = far.dport;
    }
    return tuple;
}

/// The filter's answer for a packet of the flow, from its cache or judged now.
[[nodiscard]] inline Decision judge_of_flow(const Policy& policy, unsigned worker, Packet& p, const FlowView& flow,
                                            WorkerCounters& counters) noexcept {
    VerdictCache& cache = flow.hot.dir(p.direction).verdict;
    if (served_from_cache(cache, policy, worker, p, counters)) return {};
    return judge_anew(policy, worker, p, filter_tuple(flow.keys(), p.direction), flow, &cache, counters);
}

/// The filter's answer for an ICMP error about a packet of a flow, judged each time: by its own addresses, of which the
/// destination is that of the flow's packets which travel its way. Its mark is the flow's.
[[nodiscard]] inline Decision judge_error(const Policy& policy, unsigned worker, Packet& p, const FlowView& flow,
                                          WorkerCounters& counters) noexcept {
    FlowKey tuple = header_tuple(p);
    tuple.set_dst(flow.destination_of(p.direction, p.v6));
    return judge_anew(policy, worker, p, tuple, flow, nullptr, counters);
}

}  // namespace sluice

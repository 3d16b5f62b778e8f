// The verdict cache never changes a verdict, nor which rules are counted, nor a flow's mark: the same packets of the
// same flows go past two copies of the same policies, once with the cache and once judged afresh each time; after every
// packet both boxes must agree in the decision, in all counters and in the mark.
#include "dataplane/policy/verdict.hh"

#include <array>
#include <memory>
#include <random>
#include <vector>

#include <catch2/catch.hpp>

using namespace sluice;

namespace {

constexpr std::array<PortIndex, 4> kPorts{0, 1, 2, kKernelPort};
constexpr std::array<PacketState, 4> kStates{PacketState::new_flow, PacketState::established, PacketState::related,
                                             PacketState::invalid};
constexpr std::array<std::uint8_t, 4> kProtos{1, 6, 17, 47};

class Dice {
public:
    explicit Dice(unsigned seed) : engine_(seed) {}
    unsigned below(unsigned n) { return static_cast<unsigned>(engine_() % n); }
    bool one_in(unsigned n) { return below(n) == 0; }
    template <class T, std::size_t N>
    T of(const std::array<T, N>& values) {
        return values[below(N)];
    }
    /// Few addresses and ports, so that rules and packets meet often.
    Ip4 address() { return ip4(192, 0, 2, below(16)); }
    Be16 port() { return be16(below(16)); }

private:
    std::mt19937 engine_;
};

void add_sets(Policy& policy, Dice& dice) {
    for (unsigned i = 0; i < 6; ++i) {
        const unsigned a = dice.below(8), b = a + dice.below(4);
        policy.address_sets.push_back({{ip4(192, 0, 2, a), ip4(192, 0, 2, b)}});
        if (dice.one_in(2)) policy.address_sets.back().push_back({ip4(192, 0, 2, b + 2), ip4(192, 0, 2, b + 3)});
        const auto first = static_cast<std::uint16_t>(dice.below(12));
        policy.port_sets.push_back({{first, static_cast<std::uint16_t>(first + dice.below(4))}});
    }
    for (const unsigned type : {0U, 8U}) policy.icmp_type_sets.emplace_back().set(type);
}

/// Few marks, so that what one rule sets another one matches.
MarkMatch random_mark(Dice& dice) {
    const std::uint32_t mask = dice.one_in(2) ? 0xffffffffU : 1 + dice.below(3);
    return {dice.below(4) & mask, mask, dice.one_in(3)};
}

MarkSet random_set(Dice& dice) {
    const std::uint32_t mask = dice.one_in(2) ? 0xffffffffU : 1 + dice.below(3);
    return {dice.below(4) & mask, mask, dice.one_in(3)};
}

MatchSpec random_match(Dice& dice) {
    MatchSpec spec;
    if (dice.one_in(6)) spec.mark = random_mark(dice);
    if (dice.one_in(5)) {
        spec.ct_mark = random_mark(dice);
        spec.needs_flow = true;
    }
    if (dice.one_in(3)) spec.in_ports = std::uint64_t{1} << dice.of(kPorts) | std::uint64_t{1} << dice.of(kPorts);
    if (dice.one_in(3)) spec.out_ports = std::uint64_t{1} << dice.of(kPorts) | std::uint64_t{1} << dice.of(kPorts);
    if (dice.one_in(3)) spec.states = static_cast<std::uint8_t>(1 + dice.below(15));
    if (dice.one_in(4)) spec.src = {static_cast<SetId>(dice.below(6)), dice.one_in(4)};
    if (dice.one_in(4)) spec.dst = {static_cast<SetId>(dice.below(6)), dice.one_in(4)};
    if (!dice.one_in(2)) return spec;
    spec.proto = dice.of(kProtos);
    if (spec.proto == 1 && dice.one_in(2)) spec.icmp_types = static_cast<std::int32_t>(dice.below(2));
    if (spec.proto == 6 || spec.proto == 17) {
        if (dice.one_in(3)) spec.sport = {static_cast<SetId>(dice.below(6)), dice.one_in(4)};
        if (dice.one_in(2)) spec.dport = {static_cast<SetId>(dice.below(6)), dice.one_in(4)};
    }
    return spec;
}

/// The same seed gives the same policy.
std::unique_ptr<Policy> random_policy(unsigned seed, std::uint32_t generation) {
    Dice dice(seed);
    auto policy = std::make_unique<Policy>();
    policy->generation = generation;
    add_sets(*policy, dice);
    std::uint32_t number = 0;
    for (FilterChain& chain : policy->filter) {
        chain.rules.resize(dice.below(8));
        for (FilterRule& rule : chain.rules) {
            rule.match = random_match(dice);
            rule.action = dice.one_in(3) ? FilterAction::drop : FilterAction::accept;
            if (dice.one_in(6)) rule.action = FilterAction::reject;
            rule.reject_with = static_cast<RejectWith>(dice.below(3));
            if (dice.one_in(5)) rule.log = static_cast<std::int32_t>(dice.below(4));
            if (dice.one_in(5)) rule.set_ct_mark = random_set(dice);
            if (dice.one_in(6)) rule.set_mark = random_set(dice);
            if (rule.set_mark.copy) rule.match.needs_flow = true;
            if (dice.one_in(6)) rule.action = FilterAction::next;
            if (rule.action == FilterAction::next) rule.log = -1;
            rule.rule = number++;
        }
        chain.policy = dice.one_in(3) ? FilterAction::drop : FilterAction::accept;
    }
    for (FilterChain& chain : policy->filter) chain.policy_rule = number++;
    policy->rule_count = number;
    policy->counters.push_back(std::make_unique<RuleCounter[]>(number));
    return policy;
}

struct Flow {
    FlowHot hot{};
    FlowCold cold{};
    [[nodiscard]] FlowView view() { return {hot, cold, nullptr}; }
    std::uint32_t judged_mark = 0;  // of the box without a cache
    PortIndex usual_port[2]{};      // where each direction mostly arrives
};

/// A flow that may be translated on either side, as NAT leaves it.
void random_flow(Dice& dice, Flow& flow) {
    FlowKey original;
    const std::uint8_t proto = dice.of(kProtos);
    if (proto == 1) {
        original = icmp_key(dice.address(), dice.address(), 8, 0, dice.port());
    } else if (proto == 47) {
        original = generic_key(47, dice.address(), dice.address());
    } else {
        original = port_key(IpProto{proto}, dice.address(), dice.port(), dice.address(), dice.port());
    }
    FlowKey reply = invert(original);
    if (dice.one_in(3)) reply.set_dst(dice.address());  // source NAT
    if (dice.one_in(3)) reply.set_src(dice.address());  // destination NAT
    if (proto == 6 || proto == 17) {
        if (dice.one_in(3)) reply.dport = dice.port();
        if (dice.one_in(3)) reply.sport = dice.port();
    }
    flow.view().set_key(Direction::original, original);
    flow.view().set_key(Direction::reply, reply);
    flow.view().set_key(Direction::original, original);
    flow.view().set_key(Direction::reply, reply);
    flow.view().set_key(Direction::original, original);
    flow.view().set_key(Direction::reply, reply);
    flow.usual_port[0] = dice.of(kPorts);
    do flow.usual_port[1] = dice.of(kPorts);
    while (flow.usual_port[0] == kKernelPort && flow.usual_port[1] == kKernelPort);
}

/// A packet of the flow, mostly like the last one in its direction; it points to `icmp`.
Packet random_packet(Dice& dice, Flow& flow, Direction direction, std::uint32_t generation, rte_icmp_hdr& icmp) {
    const FlowKey key = flow.view().key(direction);
    Packet p;
    p.key = key;
    p.direction = direction;
    p.proto = key.proto;
    p.l3_bytes = static_cast<std::uint16_t>(28 + dice.below(1000));
    p.in_port = flow.usual_port[index_of(direction)];
    p.out_port = flow.usual_port[index_of(opposite(direction))];
    if (dice.one_in(6)) p.in_port = dice.of(kPorts);
    while (dice.one_in(6) || (p.in_port == kKernelPort && p.out_port == kKernelPort)) p.out_port = dice.of(kPorts);
    p.local_out = p.in_port == kKernelPort;
    p.state = dice.one_in(3) ? dice.of(kStates) : PacketState::established;
    // The marks that packets come with are made by rules that see the tuple and the ports, and nothing else.
    p.mark = (generation + index_of(direction) + p.in_port + p.out_port) % 4;
    icmp.icmp_type = key.kind() == L4Kind::icmp ? key.icmp_type() : 0;
    p.l4 = reinterpret_cast<std::uint8_t*>(&icmp);
    return p;
}

/// As the pipeline does: INVALID packets have no flow, so no cache.
Decision filter_with_cache(const Policy& policy, Packet p, Flow& flow, WorkerCounters& counters) {
    if (p.state == PacketState::invalid)
        return judge_packet(policy, 0, p, filter_tuple(flow.view().keys(), p.direction), {}, counters);
    return judge_of_flow(policy, 0, p, flow.view(), counters);
}

Decision filter_without(const Policy& policy, Packet p, Flow& flow, WorkerCounters& counters) {
    JudgedFlow judged;
    if (p.state != PacketState::invalid) judged.mark = &flow.judged_mark;
    return judge_packet(policy, 0, p, filter_tuple(flow.view().keys(), p.direction), judged, counters);
}

bool same(const Decision& a, const Decision& b) {
    return a.fate == b.fate && a.reason == b.reason && a.answer == b.answer && a.log == b.log;
}

bool same_counters(const Policy& a, const Policy& b) {
    for (std::uint32_t rule = 0; rule < a.rule_count; ++rule)
        if (a.counter(0, rule).packets.get() != b.counter(0, rule).packets.get() ||
            a.counter(0, rule).bytes.get() != b.counter(0, rule).bytes.get())
            return false;
    return true;
}

}  // namespace

TEST_CASE("random policies and flows: the cache changes no verdict, no rule that is counted and no mark") {
    const auto counters = std::make_unique<WorkerCounters>();
    const auto judged_counters = std::make_unique<WorkerCounters>();
    unsigned packets = 0, disagreements = 0, marks_changed = 0;
    for (unsigned round = 0; round < 200; ++round) {
        Dice dice(round);
        std::array<Flow, 4> flows;
        for (Flow& flow : flows) random_flow(dice, flow);
        // Flows live on while policies come and go: what one policy cached must not speak for the next.
        for (std::uint32_t generation = 1; generation <= 4; ++generation) {
            const unsigned seed = round * 16 + generation;
            const auto cached = random_policy(seed, generation);
            const auto judged = random_policy(seed, generation);
            for (unsigned i = 0; i < 400; ++i) {
                Flow& flow = flows[dice.below(4)];
                const Direction direction = dice.one_in(2) ? Direction::original : Direction::reply;
                rte_icmp_hdr icmp{};
                if (dice.one_in(100)) {  // somebody sets the mark by hand
                    flow.judged_mark = dice.below(4);
                    set_mark(flow.hot, flow.judged_mark);
                }
                const std::uint32_t before = flow.judged_mark;
                const Packet p = random_packet(dice, flow, direction, generation, icmp);
                const Decision fast = filter_with_cache(*cached, p, flow, *counters);
                const Decision slow = filter_without(*judged, p, flow, *judged_counters);
                ++packets;
                if (flow.judged_mark != before) ++marks_changed;
                if (!same(fast, slow) || !same_counters(*cached, *judged) || flow.hot.mark != flow.judged_mark)
                    ++disagreements;
            }
        }
    }
    CHECK(disagreements == 0);
    // The test speaks of the cache only if the cache spoke.
    CHECK(counters->verdict_cached.get() > packets / 10);
    CHECK(counters->verdict_judged.get() > packets / 10);
    CHECK(marks_changed > packets / 100);
    CHECK(counters->verdict_cached.get() + counters->verdict_judged.get() == packets);
    CHECK(judged_counters->verdict_judged.get() == packets);
}

namespace {

/// One chain: udp is dropped, gre logged and accepted, the rest accepted by rule 2.
std::unique_ptr<Policy> small_policy(std::uint32_t generation) {
    auto policy = std::make_unique<Policy>();
    policy->generation = generation;
    FilterChain& forward = policy->filter[static_cast<std::size_t>(Chain::forward)];
    forward.rules.resize(3);
    forward.rules[0].match.proto = 17;
    forward.rules[0].action = FilterAction::drop;
    forward.rules[1].match.proto = 47;
    forward.rules[1].log = 3;
    for (std::uint32_t i = 0; i < 3; ++i) forward.rules[i].rule = i;
    std::uint32_t number = 3;
    for (FilterChain& chain : policy->filter) chain.policy_rule = number++;
    policy->rule_count = number;
    policy->counters.push_back(std::make_unique<RuleCounter[]>(number));
    return policy;
}

struct Judged {
    explicit Judged(std::uint8_t proto) {
        tuple = proto == 47 ? generic_key(47, ip4(192, 0, 2, 1), ip4(203, 0, 113, 1))
                            : port_key(IpProto{proto}, ip4(192, 0, 2, 1), be16(1), ip4(203, 0, 113, 1), be16(2));
        packet.in_port = 0;
        packet.out_port = 1;
        packet.state = PacketState::established;
        packet.l3_bytes = 100;
        decision = judge_packet(*policy, 0, packet, tuple, {&mark, &cache}, *counters);
    }
    [[nodiscard]] bool served(const Packet& p, const Policy& by) const {
        return served_from_cache(cache, by, 0, p, *counters);
    }
    std::unique_ptr<Policy> policy = small_policy(1);
    std::unique_ptr<WorkerCounters> counters = std::make_unique<WorkerCounters>();
    FlowKey tuple{};
    Packet packet;
    VerdictCache cache;
    std::uint32_t mark = 0;
    Decision decision;
};

}  // namespace

TEST_CASE("an accept is served for the same state, ports and generation only, and counts its rule") {
    const Judged tcp(6);
    CHECK(tcp.decision.fate == Fate::go);
    CHECK(tcp.served(tcp.packet, *tcp.policy));
    CHECK(tcp.policy->counter(0, 2).packets.get() == 2);
    CHECK(tcp.policy->counter(0, 2).bytes.get() == 200);
    const auto changed = [&](auto change) {
        Packet p = tcp.packet;
        change(p);
        return tcp.served(p, *tcp.policy);
    };
    CHECK_FALSE(changed([](Packet& p) { p.state = PacketState::new_flow; }));
    CHECK_FALSE(changed([](Packet& p) { p.in_port = 2; }));
    CHECK_FALSE(changed([](Packet& p) { p.out_port = 2; }));
    CHECK_FALSE(tcp.served(tcp.packet, *small_policy(2)));
    CHECK(tcp.policy->counter(0, 2).packets.get() == 2);
    CHECK_FALSE(served_from_cache(VerdictCache{}, *tcp.policy, 0, Packet{}, *tcp.counters));
}

TEST_CASE("drops and logged packets are judged every time") {
    const Judged udp(17);
    CHECK(udp.decision.fate == Fate::drop);
    CHECK(udp.decision.reason == DropReason::filter_forward);
    CHECK_FALSE(udp.served(udp.packet, *udp.policy));
    const Judged gre(47);
    CHECK(gre.decision.fate == Fate::go);
    CHECK(gre.decision.log == 3);
    CHECK_FALSE(gre.served(gre.packet, *gre.policy));
}

namespace {

/// One chain: rule 0 keeps the low byte of the packet's mark in the flow (or sets it to 5), rule 1 drops flows with
/// mark 0x17, rule 2 accepts the rest.
std::unique_ptr<Policy> marking_policy(bool copies) {
    auto policy = small_policy(1);
    auto& rules = policy->filter[static_cast<std::size_t>(Chain::forward)].rules;
    for (FilterRule& rule : rules) rule = {.rule = rule.rule};
    rules[0].match.states = static_cast<std::uint8_t>(PacketState::new_flow);
    rules[0].set_ct_mark = copies ? MarkSet{0, 0xff, true} : MarkSet{5, 0xff, false};
    rules[0].action = FilterAction::next;
    rules[1].match.ct_mark = {0x17, 0xffffffffU, false};
    rules[1].match.needs_flow = true;
    rules[1].action = FilterAction::drop;
    return policy;
}

struct Marked {
    explicit Marked(bool copies) : policy(marking_policy(copies)) {
        const FlowKey original = port_key(IpProto::udp, ip4(192, 0, 2, 1), be16(1), ip4(203, 0, 113, 1), be16(2));
        const FlowView flow{hot, cold, nullptr};
        flow.set_key(Direction::original, original);
        flow.set_key(Direction::reply, invert(original));
    }
    Decision filter(PacketState state, std::uint32_t mark = 0, Direction direction = Direction::original) {
        Packet p;
        p.in_port = direction == Direction::original ? 0 : 1;
        p.out_port = direction == Direction::original ? 1 : 0;
        p.direction = direction;
        p.state = state;
        p.mark = mark;
        return judge_of_flow(*policy, 0, p, {hot, cold, nullptr}, *counters);
    }
    std::uint64_t counted(std::uint32_t rule) const { return policy->counter(0, rule).packets.get(); }
    std::unique_ptr<Policy> policy;
    std::unique_ptr<WorkerCounters> counters = std::make_unique<WorkerCounters>();
    FlowHot hot{};
    FlowCold cold{};
};

}  // namespace

TEST_CASE("a rule that decides nothing sets marks, is counted for each packet, and the next rules see the marks") {
    Marked flow(true);
    flow.hot.mark = 0xab00;
    CHECK(flow.filter(PacketState::new_flow, 0x1016).fate == Fate::go);
    CHECK(flow.hot.mark == 0xab16);
    CHECK(flow.filter(PacketState::new_flow, 0x1016).fate == Fate::go);
    CHECK(flow.counted(0) == 2);
    CHECK(flow.counted(2) == 2);
    flow.hot.mark = 0;
    CHECK(flow.filter(PacketState::new_flow, 0x17).reason == DropReason::filter_forward);
    CHECK(flow.counted(1) == 1);
}

TEST_CASE("an accept that depends on the flow's mark is forgotten when the mark changes, in both directions") {
    Marked flow(false);
    for (unsigned i = 0; i < 2; ++i) {
        CHECK(flow.filter(PacketState::established).fate == Fate::go);
        CHECK(flow.filter(PacketState::established, 0, Direction::reply).fate == Fate::go);
    }
    CHECK(flow.counters->verdict_cached.get() == 2);
    set_mark(flow.hot, 0x17);
    CHECK(flow.filter(PacketState::established).fate == Fate::drop);
    CHECK(flow.filter(PacketState::established, 0, Direction::reply).fate == Fate::drop);
    // The same mark again is no change.
    set_mark(flow.hot, 0);
    CHECK(flow.filter(PacketState::established).fate == Fate::go);
    set_mark(flow.hot, 0);
    CHECK(flow.filter(PacketState::established).fate == Fate::go);
    CHECK(flow.counters->verdict_cached.get() == 3);
}

TEST_CASE("a packet without a flow has no flow mark to match, to set or to copy") {
    auto policy = marking_policy(false);
    auto& rules = policy->filter[static_cast<std::size_t>(Chain::forward)].rules;
    rules[0].match = {};
    rules[0].match.needs_flow = true;
    rules[0].set_mark = {0, 0xffffffffU, true};
    rules[1].match.ct_mark = {0x17, 0xffffffffU, true};  // any but 0x17: not even that
    const auto counters = std::make_unique<WorkerCounters>();
    Packet p;
    p.in_port = 0;
    p.out_port = 1;
    p.state = PacketState::invalid;
    p.mark = 9;
    const FlowKey tuple = port_key(IpProto::udp, ip4(192, 0, 2, 1), be16(1), ip4(203, 0, 113, 1), be16(2));
    CHECK(judge_packet(*policy, 0, p, tuple, {}, *counters).fate == Fate::go);
    CHECK(p.mark == 9);
    CHECK(policy->counter(0, 0).packets.get() == 0);
    CHECK(policy->counter(0, 2).packets.get() == 1);
}

TEST_CASE("rules see a flow as netfilter's forward hook does: after DNAT, before SNAT, in both directions") {
    // client 192.0.2.7:40000 → box 203.0.113.1:8080, sent on to 198.51.100.9:80 as 198.51.100.1:50000
    const FlowKeys keys = {
        port_key(IpProto::tcp, ip4(192, 0, 2, 7), be16(40000), ip4(203, 0, 113, 1), be16(8080)),
        port_key(IpProto::tcp, ip4(198, 51, 100, 9), be16(80), ip4(198, 51, 100, 1), be16(50000)),
    };
    CHECK(filter_tuple(keys, Direction::original) ==
          port_key(IpProto::tcp, ip4(192, 0, 2, 7), be16(40000), ip4(198, 51, 100, 9), be16(80)));
    CHECK(filter_tuple(keys, Direction::reply) ==
          port_key(IpProto::tcp, ip4(198, 51, 100, 9), be16(80), ip4(192, 0, 2, 7), be16(40000)));
    // ping 192.0.2.7 → 203.0.113.9, leaving as 203.0.113.1 with another identifier
    const FlowKeys ping = {
        icmp_key(ip4(192, 0, 2, 7), ip4(203, 0, 113, 9), 8, 0, be16(5)),
        icmp_key(ip4(203, 0, 113, 9), ip4(203, 0, 113, 1), 0, 0, be16(900)),
    };
    CHECK(filter_tuple(ping, Direction::original) == ping[0]);
    CHECK(filter_tuple(ping, Direction::reply) == icmp_key(ip4(203, 0, 113, 9), ip4(192, 0, 2, 7), 0, 0, be16(5)));
}

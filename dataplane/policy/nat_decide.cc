#include "dataplane/policy/nat_decide.hh"

#include <algorithm>

namespace sluice {

namespace {

/// Spreads addresses over a pool; the same source lands on the same place for as long as the pool is the same.
std::uint64_t place_in_pool(Ip4 source, std::uint64_t size) noexcept {
    const std::uint64_t mixed = std::uint64_t{source.host()} * 0x9e3779b97f4a7c15U;
    return (mixed >> 32) % size;
}

std::uint64_t pick(const NatRule& rule, const FlowKey& key, std::uint32_t& round_robin, FastRandom& random) noexcept {
    switch (rule.schedule) {
        case Schedule::round_robin:
            return round_robin++ % rule.pool.size;
        case Schedule::random:
            return random() % rule.pool.size;
        case Schedule::source_hash:
            break;
    }
    return place_in_pool(key.src, rule.pool.size);
}

std::uint16_t target_port(const NatRule& rule, std::uint16_t port, FastRandom& random) noexcept {
    if (rule.shift_ports) {
        const unsigned offset = unsigned{port} - rule.shift_from;
        return static_cast<std::uint16_t>(rule.ports.first + std::min(offset, rule.ports.size() - 1));
    }
    if (rule.ports.first == rule.ports.last) return rule.ports.first;
    return static_cast<std::uint16_t>(rule.ports.first + random.below(rule.ports.size()));
}

}  // namespace

DestinationNat decide_dnat(const Policy& policy, const FlowKey& key, PortIndex in_port, std::uint32_t& round_robin,
                           FastRandom& random, Marks marks) noexcept {
    MatchInput input = MatchInput::of(key);
    input.marks = marks;
    input.in_port = in_port;
    const NatRule* rule = first_match(policy.dnat, input, policy);
    FlowKey tuple = key;
    if (rule != nullptr) {
        if (rule->pool.size != 0) tuple.dst = rule->pool.at(pick(*rule, key, round_robin, random));
        const bool ports = key.shape() == TupleShape::ports;
        if (rule->has_ports && ports) tuple.dport = be16(target_port(*rule, key.dport.host(), random));
    }
    return {rule, tuple};
}

SourceNat decide_snat(const Policy& policy, const FlowKey& tuple, PortIndex in_port, PortIndex out_port,
                      const NextHop& hop, const Addresses& addresses, unsigned attempt, Marks marks) noexcept {
    MatchInput input = MatchInput::of(tuple);
    input.marks = marks;
    input.in_port = in_port;
    input.out_port = out_port;
    SourceNat nat;
    nat.address = tuple.src;
    const std::uint16_t own_port = tuple.sport.host();
    nat.ports.ports = tuple.shape() == TupleShape::query ? PortRange{} : port_class(own_port);
    nat.rule = first_match(policy.snat, input, policy);
    if (nat.rule == nullptr || nat.rule->snat == SnatKind::none) return nat;
    if (nat.rule->snat == SnatKind::masquerade) {
        nat.address = addresses.towards(out_port, hop.kind == HopKind::neighbour ? hop.address : tuple.dst);
    } else {
        const AddressPool& pool = nat.rule->pool;
        nat.alternatives = static_cast<unsigned>(std::min<std::uint64_t>(pool.size, kMaxPoolAttempts));
        nat.address = pool.at((place_in_pool(tuple.src, pool.size) + attempt) % pool.size);
    }
    if (nat.rule->has_ports) nat.ports.ports = nat.rule->ports;
    return nat;
}

}  // namespace sluice

#include "dataplane/policy/nat_decide.hh"

#include <algorithm>

#include "dataplane/policy/prefix_nat.hh"

namespace sluice {

namespace {

/// Spreads addresses over a pool; the same source lands on the same place for as long as the pool is the same.
std::uint64_t place_in_pool(const IpAddress& source, std::uint64_t size) noexcept {
    constexpr std::uint64_t kOdd = 0x9e3779b97f4a7c15U;
    std::uint64_t mixed = std::uint64_t{source.low.host()} * kOdd;
    if (!source.is_v4()) mixed = (source.lower64() ^ ((source.upper64() * kOdd) >> 29)) * kOdd;
    return (mixed >> 32) % size;
}

/// IPv4 looks at the gateway's subnet; a gateway of IPv6 is of the link, and says nothing of the address to be seen
/// beyond (nf_nat_masquerade.c).
IpAddress masquerades_towards(const NextHop& hop, const IpAddress& far) noexcept {
    return hop.kind == HopKind::neighbour && far.is_v4() ? hop.address : far;
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
    return place_in_pool(key.src(), rule.pool.size);
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
    const NatRule* rule = first_match(policy.dnat, policy.dnat_index, input, policy);
    FlowKey tuple = key;
    if (rule != nullptr) {
        if (rule->prefix_length != 0) {
            tuple.set_dst(exchange_prefix(key.dst(), rule->pool.at(0), rule->prefix_length).value_or(IpAddress{}));
        } else if (rule->pool.size != 0)
            tuple.set_dst(rule->pool.at(pick(*rule, key, round_robin, random)));
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
    SourceNat nat = SourceNat::none(tuple);
    nat.rule = first_match(policy.snat, policy.snat_index, input, policy);
    if (nat.rule == nullptr || nat.rule->snat == SnatKind::none) return nat;
    if (nat.rule->snat == SnatKind::masquerade) {
        nat.address = addresses.towards(out_port, masquerades_towards(hop, tuple.dst()));
    } else if (nat.rule->snat == SnatKind::prefix) {
        nat.address = exchange_prefix(tuple.src(), nat.rule->pool.at(0), nat.rule->prefix_length).value_or(IpAddress{});
    } else {
        const AddressPool& pool = nat.rule->pool;
        nat.alternatives = static_cast<unsigned>(std::min<std::uint64_t>(pool.size, kMaxPoolAttempts));
        nat.address = pool.at((place_in_pool(tuple.src(), pool.size) + attempt) % pool.size);
    }
    if (nat.rule->has_ports) nat.ports = {nat.rule->ports, true};
    return nat;
}

}  // namespace sluice

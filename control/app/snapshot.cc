#include "control/app/snapshot.hh"

#include <algorithm>

#include <rte_version.h>

#include "control/compile/limits.hh"
#include "control/compile/names.hh"
#include "control/config/parse_values.hh"
#include "dataplane/flow/tcp_table.hh"

namespace sluice::app {

namespace {

/// Sum over workers of one counter.
template <class Pick>
std::uint64_t sum(const Engine& engine, Pick pick) {
    std::uint64_t total = 0;
    for (const auto& lcore : engine.lcores()) total += pick(lcore->counters).get();
    return total;
}

void add_ports(const SnapshotSources& from, metrics::Snapshot& out) {
    const auto& config = from.publisher.config();
    const Addresses& addresses = from.engine.routes().addresses();
    for (std::size_t i = 0; i < config.ports.size(); ++i) {
        const auto index = static_cast<PortIndex>(i);
        const PortInfo& info = from.machine.table[index];
        metrics::Port port;
        port.name = config.ports[i].name;
        port.device = config.ports[i].is_vlan() ? config.ports[i].parent + "." + std::to_string(config.ports[i].vlan)
                                                : config.ports[i].device;
        port.role = info.role == PortRole::inside ? "inside" : "outside";
        port.zone = info.zone;
        port.tap = config.ports[i].tap;
        port.mac = config::to_string(info.mac);
        for (const PortAddress& a : addresses.by_port[index])
            port.addresses.push_back(to_string(IpPrefix{a.address, a.prefix_length}));
        port.up = info.up.load(std::memory_order_relaxed);
        port.twin_up = from.kernel.twin_up(index);
        port.mtu = info.mtu.load(std::memory_order_relaxed);
        port.speed_mbps = from.machine.ports.speed_mbps(index);
        port.received = {sum(
                             from.engine, [&](auto& c) -> auto& { return c.ports[index].rx_packets; }),
                         sum(
                             from.engine, [&](auto& c) -> auto& { return c.ports[index].rx_bytes; })};
        port.transmitted = {sum(
                                from.engine, [&](auto& c) -> auto& { return c.ports[index].tx_packets; }),
                            sum(
                                from.engine, [&](auto& c) -> auto& { return c.ports[index].tx_bytes; })};
        if (!config.ports[i].is_vlan()) {  // the device's own, once
            const DeviceStats stats = from.machine.ports.stats(index);
            port.receive_missed = stats.missed;
            port.receive_errors = stats.rx_errors;
            port.transmit_errors = stats.tx_errors;
        }
        out.ports.push_back(std::move(port));
    }
}

void add_rules(const SnapshotSources& from, metrics::Snapshot& out) {
    const auto& rules = from.publisher.names().rules;
    const auto totals = from.publisher.rule_totals();
    const Policy& policy = *from.publisher.publication().load();
    for (std::size_t i = 0; i < rules.size() && i < totals.size(); ++i) {
        const RuleName& rule = rules[i];
        if (rule.kind == RuleKind::filter || rule.kind == RuleKind::chain_policy) {
            out.rules.push_back({std::string(name_of(rule.chain)),
                                 rule.number,
                                 rule.text,
                                 rule.comment,
                                 {totals[i].packets, totals[i].bytes}});
            continue;
        }
        metrics::NatRule nat;
        nat.number = rule.number;
        nat.kind = rule.kind == RuleKind::dnat ? "dnat" : rule.kind == RuleKind::snat ? "snat" : "masquerade";
        nat.text = rule.text;
        nat.comment = rule.comment;
        nat.flows_created = totals[i].packets;  // one for each flow
        nat.pool_exhausted = totals[i].exhausted;
        for (const NatRule& compiled : policy.snat) {
            if (compiled.rule != i) continue;
            if (compiled.snat == SnatKind::addresses) nat.pool_addresses = compiled.pool.size;
            if (compiled.gauge < kNatGauges)
                nat.pool_in_use = sum(
                    from.engine, [&](auto& c) -> auto& { return c.nat_mappings[compiled.gauge]; });
        }
        out.nat.push_back(std::move(nat));
    }
}

void add_flows(const Engine& engine, metrics::Snapshot& out) {
    for (std::size_t s = 1; s < std::size(WorkerCounters{}.flows_tcp) && s < kTcpStateCount; ++s)
        out.flows.push_back({"tcp", std::string(name_of(static_cast<TcpState>(s))),
                             sum(
                                 engine, [s](auto& c) -> auto& { return c.flows_tcp[s]; })});
    for (std::size_t k = 1; k < kL4KindCount; ++k) {
        const auto kind = static_cast<L4Kind>(k);
        const bool named = name_of(kind) != name_of(L4Kind::generic);
        out.flows.push_back({named                 ? std::string(name_of(kind))
                             : kind == L4Kind::esp ? "esp"
                                                   : "other",
                             "-",
                             sum(
                                 engine, [k](auto& c) -> auto& { return c.flows_of[k]; })});
    }
}

metrics::Worker worker_of(const Lcore& lcore, std::uint32_t number) {
    const WorkerCounters& c = lcore.counters;
    metrics::Worker w;
    w.number = number;
    w.lcore = lcore_of_worker(number);
    w.flow_capacity = lcore.store.capacity();
    w.flows_born = c.flow_births.get();
    for (const Counter& deaths : c.flow_deaths) w.flows_died += deaths.get();
    w.flows = w.flows_born - w.flows_died;
    w.flows_evicted = c.flow_deaths[static_cast<std::size_t>(DeathCause::evicted)].get();
    w.flows_refused = c.drops[static_cast<std::size_t>(DropReason::flow_table_full)].get();
    w.half_open = c.flows_half_open.get();
    w.half_open_evicted = c.half_open_early_drops.get();
    w.half_open_refused = c.drops[static_cast<std::size_t>(DropReason::half_open_full)].get();
    const std::uint64_t chosen = c.nat_port_random.get();
    w.tuples_taken = std::max(c.nat_port_probes.get(), chosen) - chosen;
    w.expectations = c.expectations.get();
    w.busy_cycles = c.cycles_busy.get();
    w.idle_cycles = c.cycles_idle.get();
    w.measured_loops = c.measured_loops.get();
    w.handoffs_sent = c.balance.handed_out.get();
    w.handoffs_received = c.balance.handed_in.get();
    w.events_told = c.events_told.get();
    w.events_lost = c.events_lost.get();
    w.mailbox_overflows = c.notices_deferred.get();
    w.held_packets = c.balance.held.get();
    w.first_packet_waits = c.firsts_waited_for.get();
    w.first_packets_lost = c.firsts_lost.get();
    w.fragments_held = c.fragments_held.get();
    w.datagrams_joined = c.datagrams_joined.get();
    w.datagrams_cut = c.datagrams_cut.get();
    w.verdict_cache_hits = c.verdict_cached.get();
    w.verdict_cache_misses = c.verdict_judged.get();
    w.fast_path = c.fast_path.get();
    for (std::size_t i = 0; i < kDropReasonCount; ++i) w.drops[i] = c.drops[i].get();
    for (std::size_t i = 0; i < kInvalidReasonCount; ++i) w.invalid[i] = c.invalid[i].get();
    return w;
}

void add_helpers(const Engine& engine, metrics::Ftp& ftp) {
    ftp.commands_seen = sum(
        engine, [](auto& c) -> auto& { return c.alg_commands; });
    ftp.rewrites = sum(
        engine, [](auto& c) -> auto& { return c.alg_rewrites; });
    ftp.refused_foreign_address = sum(
        engine, [](auto& c) -> auto& { return c.alg_refused_address; });
    ftp.refused_privileged_port = sum(
        engine, [](auto& c) -> auto& { return c.alg_refused_port; });
    ftp.malformed = sum(
        engine, [](auto& c) -> auto& { return c.alg_malformed; });
    ftp.split_commands_joined = sum(
        engine, [](auto& c) -> auto& { return c.alg_joined; });
    ftp.expectations_created = sum(
        engine, [](auto& c) -> auto& { return c.expect_created; });
    ftp.expectations_fulfilled = sum(
        engine, [](auto& c) -> auto& { return c.expect_fulfilled; });
    ftp.expectations_expired = sum(
        engine, [](auto& c) -> auto& { return c.expect_expired; });
    ftp.expectations_replaced = sum(
        engine, [](auto& c) -> auto& { return c.expect_replaced; });
    for (const auto& lcore : engine.lcores()) ftp.expectations_forgotten += lcore->expectations.forgotten();
    ftp.expectations_refused = sum(
        engine, [](auto& c) -> auto& { return c.expect_refused; });
}

void add_balance(const Engine& engine, metrics::Balance& out) {
    for (const auto& lcore : engine.lcores()) {
        const BalanceCounters& balance = lcore->counters.balance;
        out.received += balance.received.get();
        out.from_twins += balance.from_twins.get();
        out.generated += balance.generated.get();
        out.split += balance.split.get();
        out.transmitted += balance.transmitted.get();
        out.punted += balance.punted.get();
        out.merged += balance.merged.get();
    }
}

}  // namespace

metrics::Snapshot take_snapshot(const SnapshotSources& from, const ReloadFigures& reloads) {
    metrics::Snapshot out;
    out.dpdk_version = rte_version();
    add_ports(from, out);
    add_rules(from, out);
    add_flows(from.engine, out);
    for (std::uint32_t i = 0; i < from.engine.lcores().size(); ++i) {
        out.workers.push_back(worker_of(*from.engine.lcores()[i], i));
        out.flow_capacity += out.workers.back().flow_capacity;
    }
    const AgeingStats ageing = from.ageing.stats();
    out.lateness_events = ageing.found_dead;
    out.lateness_sum_ms = ageing.lateness_sum_ms;
    out.lateness_max_ms = ageing.lateness_max_ms;
    for (std::size_t i = 0; i < kPuntClassCount; ++i)
        out.punts.push_back(
            {std::string(i == static_cast<std::size_t>(PuntClass::new_flow) ? "new" : kPuntClassNames[i]),
             sum(
                 from.engine, [i](auto& c) -> auto& { return c.punts_passed[i]; }),
             sum(
                 from.engine, [i](auto& c) -> auto& { return c.punts_limited[i]; })});
    add_helpers(from.engine, out.ftp);
    add_balance(from.engine, out.balance);
    out.from_twins = {sum(
                          from.engine, [](auto& c) -> auto& { return c.balance.from_twins; }),
                      sum(
                          from.engine, [](auto& c) -> auto& { return c.ports[kKernelPort].rx_bytes; })};
    out.punted_packets = sum(
        from.engine, [](auto& c) -> auto& { return c.balance.punted; });
    out.generated_packets = sum(
        from.engine, [](auto& c) -> auto& { return c.balance.generated; });
    const config::Config& config = from.publisher.config();
    out.flow_limit = compile::flow_limit(config, from.publisher.target());
    out.flow_limit_from_memory = !config.conntrack.max;
    out.half_open_limit = compile::half_open_limit(config, from.publisher.target());
    out.policy_generation = from.publisher.generation();
    out.reloads = reloads.reloads;
    out.reload_failures = reloads.failures;
    out.last_reload_s = reloads.last_s;
    out.routes = from.kernel.routing().routes();
    out.neighbours = from.kernel.routing().neighbours();
    out.guard_restored = from.kernel.guard_restored();
    return out;
}

}  // namespace sluice::app

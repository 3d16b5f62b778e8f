// Families in the order in which a person reads them: box, ports, flows, policy, helpers, punts, workers, listeners.
// Names follow Prometheus practice: unit and _total as suffix, no unit prefixes, labels with bounded values.
#include "control/metrics/exporter.hh"

#include <algorithm>
#include <sstream>
#include <utility>

#include <prometheus/metric_family.h>
#include <prometheus/text_serializer.h>

namespace sluice::metrics {
namespace {

using prometheus::ClientMetric;
using prometheus::MetricFamily;
using prometheus::MetricType;
using Labels = std::vector<ClientMetric::Label>;

/// Collects families; a family is begun and then gets its values.
class Builder {
public:
    Builder& counter(std::string name, std::string help) {
        return begin(std::move(name), std::move(help), MetricType::Counter);
    }
    Builder& gauge(std::string name, std::string help) {
        return begin(std::move(name), std::move(help), MetricType::Gauge);
    }

    template <class Number>
    Builder& value(Number number, Labels labels = {}) {
        ClientMetric metric;
        metric.label = std::move(labels);
        (families_.back().type == MetricType::Counter ? metric.counter.value : metric.gauge.value) =
            static_cast<double>(number);
        families_.back().metric.push_back(std::move(metric));
        return *this;
    }

    void summary(std::string name, std::string help) { begin(std::move(name), std::move(help), MetricType::Summary); }
    void summary_value(std::uint64_t count, double sum, Labels labels = {}) {
        ClientMetric metric;
        metric.label = std::move(labels);
        metric.summary.sample_count = count;
        metric.summary.sample_sum = sum;
        families_.back().metric.push_back(std::move(metric));
    }

    /// Families without a value are left out (say, no NAT pools): HELP without samples tells nothing.
    std::vector<MetricFamily> take() {
        std::erase_if(families_, [](const MetricFamily& family) { return family.metric.empty(); });
        return std::move(families_);
    }

private:
    Builder& begin(std::string name, std::string help, MetricType type) {
        auto& family = families_.emplace_back();
        family.name = std::move(name);
        family.help = std::move(help);
        family.type = type;
        return *this;
    }

    std::vector<MetricFamily> families_;
};

void add_box(Builder& b, const Snapshot& s) {
    b.gauge("sluice_build_info", "Always 1; the labels say what is running.")
        .value(1, {{"version", s.version}, {"dpdk", s.dpdk_version}});
    b.gauge("sluice_uptime_seconds", "Time since sluiced started.").value(s.uptime_s);
    b.counter("sluice_reloads_total", "Configuration reloads by result; a failed one changed nothing.")
        .value(s.reloads, {{"result", "success"}})
        .value(s.reload_failures, {{"result", "failure"}});
    b.gauge("sluice_last_reload_timestamp_seconds", "UNIX time at which the configuration in force was loaded.")
        .value(s.last_reload_s);
    b.gauge("sluice_policy_generation", "Generation of the policy in force; grows with each change.")
        .value(s.policy_generation);
    b.gauge("sluice_routes", "Routes that were learnt from the kernel.").value(s.routes);
    b.gauge("sluice_neighbours", "Neighbours (next hops) that were learnt from the kernel.").value(s.neighbours);
    b.counter("sluice_guard_restored_total",
              "Times that another program had changed or removed the guard, and sluiced wrote it again.")
        .value(s.guard_restored);
    b.counter("sluice_log_lines_lost_total", "Lines of the log that were lost because nobody took them.")
        .value(s.log_lines_lost);
}

void add_listeners(Builder& b, const Snapshot& s) {
    b.gauge("sluice_flow_event_listeners", "Clients that listen to events of flows.").value(s.event_listeners);
    b.counter("sluice_flow_event_listener_lost_total",
              "Events of flows that a listener did not get because it was too slow.")
        .value(s.events_lost_by_listeners);
    b.gauge("sluice_http_connections", "Open connections to the control socket and to the metrics endpoint.");
    for (const Listener& l : s.listeners) b.value(l.connections, {{"listener", l.name}});
    b.counter("sluice_http_accepted_total", "Connections accepted, by listener.");
    for (const Listener& l : s.listeners) b.value(l.accepted, {{"listener", l.name}});
    b.counter("sluice_http_cut_total",
              "Connections that were evicted for newcomers, refused as one too many, or timed out.");
    for (const Listener& l : s.listeners) {
        b.value(l.evicted, {{"listener", l.name}, {"reason", "evicted"}});
        b.value(l.refused, {{"listener", l.name}, {"reason", "refused"}});
        b.value(l.timed_out, {{"listener", l.name}, {"reason", "timed_out"}});
    }
}

void add_ports(Builder& b, const Snapshot& s) {
    const auto each = [&](auto&& add) {
        for (const Port& port : s.ports) add(port);
    };
    const auto both_ways = [&](auto member) {
        each([&](const Port& p) {
            b.value(p.received.*member, {{"port", p.name}, {"direction", "receive"}});
            b.value(p.transmitted.*member, {{"port", p.name}, {"direction", "transmit"}});
        });
    };
    b.counter("sluice_port_packets_total", "Packets by port and direction.");
    both_ways(&Traffic::packets);
    b.counter("sluice_port_bytes_total", "Bytes of frames, without FCS, by port and direction.");
    both_ways(&Traffic::bytes);
    b.counter("sluice_port_receive_missed_total",
              "Frames that the device lost because no worker fetched them in time.");
    each([&](const Port& p) { b.value(p.receive_missed, {{"port", p.name}}); });
    b.counter("sluice_port_errors_total", "Frames that the device reported as broken.");
    each([&](const Port& p) {
        b.value(p.receive_errors, {{"port", p.name}, {"direction", "receive"}});
        b.value(p.transmit_errors, {{"port", p.name}, {"direction", "transmit"}});
    });
    b.gauge("sluice_port_up", "1 when the port has carrier.");
    each([&](const Port& p) { b.value(p.up ? 1 : 0, {{"port", p.name}}); });
    b.counter("sluice_twin_packets_total", "Packets that the kernel sent out of the twins.")
        .value(s.from_twins.packets);
    b.counter("sluice_twin_bytes_total", "Bytes that the kernel sent out of the twins.").value(s.from_twins.bytes);
    b.counter("sluice_punted_packets_total", "Packets given to the kernel.").value(s.punted_packets);
    b.counter("sluice_generated_packets_total", "TCP resets and ICMP errors that the data plane made.")
        .value(s.generated_packets);
    b.counter("sluice_balance_packets_total",
              "Terms of the packet balance: packets that came (received, from_twins, generated, split) and that left "
              "(transmitted, punted, merged).")
        .value(s.balance.received, {{"term", "received"}})
        .value(s.balance.from_twins, {{"term", "from_twins"}})
        .value(s.balance.generated, {{"term", "generated"}})
        .value(s.balance.split, {{"term", "split"}})
        .value(s.balance.transmitted, {{"term", "transmitted"}})
        .value(s.balance.punted, {{"term", "punted"}})
        .value(s.balance.merged, {{"term", "merged"}});
}

void add_drops(Builder& b, const Snapshot& s) {
    b.counter("sluice_drops_total", "Packets dropped, by reason; sluicectl stats explains each.");
    for (std::size_t reason = 0; reason < kDropReasonCount; ++reason) {
        std::uint64_t sum = 0;
        for (const Worker& w : s.workers) sum += w.drops[reason];
        b.value(sum, {{"reason", std::string(kDropReasonNames[reason])}});
    }
}

void add_invalid(Builder& b, const Snapshot& s) {
    b.counter("sluice_invalid_packets_total",
              "Packets that conntrack found INVALID, by reason; the filter judges them.");
    for (std::size_t reason = 0; reason < kInvalidReasonCount; ++reason) {
        std::uint64_t sum = 0;
        for (const Worker& w : s.workers) sum += w.invalid[reason];
        b.value(sum, {{"reason", std::string(kInvalidReasonNames[reason])}});
    }
}

void add_flows(Builder& b, const Snapshot& s) {
    b.gauge("sluice_flows", "Live flows by protocol and state.");
    for (const FlowGroup& g : s.flows) b.value(g.flows, {{"proto", g.proto}, {"state", g.state}});
    b.gauge("sluice_flow_limit", "conntrack.max in force.").value(s.flow_limit);
    b.gauge("sluice_half_open_limit", "conntrack.half_open in force, in flows.").value(s.half_open_limit);
    b.gauge("sluice_flow_capacity", "Flow slots of all workers; fixed at start.").value(s.flow_capacity);

    const auto each = [&](auto member) {
        for (const Worker& w : s.workers) b.value(w.*member, {{"worker", std::to_string(w.number)}});
    };
    b.gauge("sluice_worker_flows", "Live flows that a worker owns.");
    each(&Worker::flows);
    b.gauge("sluice_worker_flow_capacity", "Flow slots of a worker.");
    each(&Worker::flow_capacity);
    b.gauge("sluice_worker_half_open_flows",
            "Live flows of a worker that are half-open: TCP and SCTP that are not ASSURED, others without an answer.");
    each(&Worker::half_open);
    b.counter("sluice_flows_born_total", "Flows created.");
    each(&Worker::flows_born);
    b.counter("sluice_flows_died_total", "Flows that ended, for whatever reason.");
    each(&Worker::flows_died);
    b.counter("sluice_flows_evicted_total", "Flows that made room for a newcomer.");
    each(&Worker::flows_evicted);
    b.counter("sluice_flows_refused_total", "Newcomers refused because the table was full.");
    each(&Worker::flows_refused);
    b.counter("sluice_half_open_evicted_total",
              "Flows that made room because the half-open budget was used up (part of sluice_flows_evicted_total).");
    each(&Worker::half_open_evicted);
    b.counter("sluice_half_open_refused_total", "Newcomers refused because the half-open budget was used up.");
    each(&Worker::half_open_refused);
    b.gauge("sluice_expectations", "Connections that helpers announced and that have not come yet.");
    each(&Worker::expectations);
}

void add_policy(Builder& b, const Snapshot& s) {
    const auto rules = std::min(s.rules.size(), kMaxRuleSeries);
    const auto each_rule = [&](auto member) {
        for (std::size_t i = 0; i < rules; ++i) {
            const Rule& r = s.rules[i];
            const std::string number = r.number == 0 ? "policy" : std::to_string(r.number);
            b.value(r.hits.*member, {{"chain", r.chain}, {"rule", number}, {"comment", r.comment}});
        }
    };
    b.counter("sluice_rule_packets_total", "Packets that a filter rule (or the policy of its chain) decided.");
    each_rule(&Traffic::packets);
    b.counter("sluice_rule_bytes_total", "Bytes that a filter rule (or the policy of its chain) decided.");
    each_rule(&Traffic::bytes);

    const auto nat_rules = std::min(s.nat.size(), kMaxRuleSeries);
    const auto each_nat = [&](bool pools_only, auto member) {
        for (std::size_t i = 0; i < nat_rules; ++i) {
            const NatRule& n = s.nat[i];
            if (!pools_only || n.pool_addresses > 0)
                b.value(n.*member, {{"rule", std::to_string(n.number)}, {"kind", n.kind}, {"comment", n.comment}});
        }
    };
    b.counter("sluice_nat_flows_created_total", "Flows that a NAT rule translated.");
    each_nat(false, &NatRule::flows_created);
    b.gauge("sluice_nat_pool_addresses", "Addresses of a source pool.");
    each_nat(true, &NatRule::pool_addresses);
    b.gauge("sluice_nat_pool_mappings", "Flows that hold an address and port of a source pool.");
    each_nat(true, &NatRule::pool_in_use);
    b.counter("sluice_nat_pool_exhausted_total", "Packets refused because a source pool had no free address and port.");
    each_nat(true, &NatRule::pool_exhausted);
    b.gauge("sluice_rules_without_series", "Rules beyond the number that gets series of its own.")
        .value((s.rules.size() - rules) + (s.nat.size() - nat_rules));
}

void add_helpers(Builder& b, const Snapshot& s) {
    b.counter("sluice_ftp_commands_total", "PORT, EPRT, 227 and 229 that were understood.").value(s.ftp.commands_seen);
    b.counter("sluice_ftp_rewrites_total", "FTP commands and replies whose payload was rewritten.")
        .value(s.ftp.rewrites);
    b.counter("sluice_ftp_refusals_total",
              "FTP commands refused for the endpoint they announced: another host's address, or a port below 1024.")
        .value(s.ftp.refused_foreign_address, {{"reason", "foreign_address"}})
        .value(s.ftp.refused_privileged_port, {{"reason", "privileged_port"}});
    b.counter("sluice_ftp_malformed_total", "FTP commands that made no sense.").value(s.ftp.malformed);
    b.counter("sluice_ftp_split_commands_joined_total", "FTP commands that came in two segments and were joined.")
        .value(s.ftp.split_commands_joined);
    b.counter("sluice_expectations_total",
              "Announced connections by what became of them; refused ones were never created.")
        .value(s.ftp.expectations_created, {{"event", "created"}})
        .value(s.ftp.expectations_fulfilled, {{"event", "fulfilled"}})
        .value(s.ftp.expectations_expired, {{"event", "expired"}})
        .value(s.ftp.expectations_replaced, {{"event", "replaced"}})
        .value(s.ftp.expectations_forgotten, {{"event", "forgotten"}})
        .value(s.ftp.expectations_refused, {{"event", "refused"}});
}

void add_punts(Builder& b, const Snapshot& s) {
    b.counter("sluice_punts_total",
              "Packets for the kernel by class, and whether the class's token bucket let them pass.");
    for (const PuntClass& p : s.punts) {
        b.value(p.passed, {{"class", p.name}, {"result", "passed"}});
        b.value(p.limited, {{"class", p.name}, {"result", "limited"}});
    }
}

void add_workers(Builder& b, const Snapshot& s) {
    const auto each = [&](auto member) {
        for (const Worker& w : s.workers) b.value(w.*member, {{"worker", std::to_string(w.number)}});
    };
    b.counter("sluice_worker_cycles_total", "TSC cycles of a worker: busy are bursts with packets.");
    for (const Worker& w : s.workers) {
        b.value(w.busy_cycles, {{"worker", std::to_string(w.number)}, {"mode", "busy"}});
        b.value(w.idle_cycles, {{"worker", std::to_string(w.number)}, {"mode", "idle"}});
    }
    b.counter("sluice_handoff_packets_total", "Packets between workers, by the worker's side of it.");
    for (const Worker& w : s.workers) {
        b.value(w.handoffs_sent, {{"worker", std::to_string(w.number)}, {"direction", "sent"}});
        b.value(w.handoffs_received, {{"worker", std::to_string(w.number)}, {"direction", "received"}});
    }
    b.counter("sluice_mailbox_overflows_total", "Notices that found the mailbox full and waited in their flow slot.");
    each(&Worker::mailbox_overflows);
    b.counter("sluice_flow_events_total", "Events of flows that a worker told, while somebody listened to them.");
    each(&Worker::events_told);
    b.counter("sluice_flow_events_lost_total", "Events of flows that found the ring to control full.");
    each(&Worker::events_lost);
    b.gauge("sluice_held_packets",
            "Packets that wait for a neighbour, a fragment, the rest of a command or their flow's first one.");
    each(&Worker::held_packets);
    b.counter("sluice_first_packet_waits_total",
              "Packets that waited until the first one of their flow was back from another worker.");
    each(&Worker::first_packet_waits);
    b.counter("sluice_first_packets_lost_total",
              "First packets of flows that did not come back from another worker in time.");
    each(&Worker::first_packets_lost);
    b.gauge("sluice_fragments_held", "Fragments of datagrams that are not whole yet.");
    each(&Worker::fragments_held);
    b.counter("sluice_datagrams_joined_total", "Datagrams that were put together from fragments.");
    each(&Worker::datagrams_joined);
    b.counter("sluice_datagrams_cut_total", "Datagrams that left in fragments.");
    each(&Worker::datagrams_cut);
    b.counter("sluice_verdict_cache_hits_total", "Packets whose verdict came from their flow.");
    each(&Worker::verdict_cache_hits);
    b.counter("sluice_verdict_cache_misses_total", "Packets that were judged by the rules.");
    each(&Worker::verdict_cache_misses);
    b.counter("sluice_fast_path_packets_total", "Packets that took the fast path.");
    each(&Worker::fast_path);
    b.summary("sluice_wheel_lateness_seconds", "How long after its deadline the ageing wheel found a flow dead.");
    b.summary_value(s.lateness_events, static_cast<double>(s.lateness_sum_ms) / 1000.0);
    b.gauge("sluice_wheel_lateness_max_seconds", "The worst lateness of the ageing wheel since the start.")
        .value(static_cast<double>(s.lateness_max_ms) / 1000.0);
}

}  // namespace

std::vector<MetricFamily> families_of(const Snapshot& snapshot) {
    Builder builder;
    add_box(builder, snapshot);
    add_ports(builder, snapshot);
    add_drops(builder, snapshot);
    add_invalid(builder, snapshot);
    add_flows(builder, snapshot);
    add_policy(builder, snapshot);
    add_helpers(builder, snapshot);
    add_punts(builder, snapshot);
    add_workers(builder, snapshot);
    add_listeners(builder, snapshot);
    return builder.take();
}

std::string exposition(const std::vector<const prometheus::Collectable*>& collectables) {
    std::vector<MetricFamily> all;
    for (const auto* collectable : collectables) {
        auto families = collectable->Collect();
        std::ranges::move(families, std::back_inserter(all));
    }
    std::ostringstream out;
    prometheus::TextSerializer().Serialize(out, all);
    return std::move(out).str();
}

}  // namespace sluice::metrics

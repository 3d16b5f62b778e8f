// JSON of a snapshot's parts and of configuration issues.
#include <cstddef>
#include <cstdint>
#include <numeric>

#include <boost/json/value.hpp>

#include "control/api/json.hh"

namespace sluice::api {
namespace {

namespace json = boost::json;

json::object traffic_json(const metrics::Traffic& t) {
    return {{"packets", t.packets}, {"bytes", t.bytes}};
}

/// What `conntrack -S` prints for a CPU, in its order. The last three cannot happen here: a lookup never meets a table
/// that grows, one worker inserts all keys of a tuple, and buckets have no chains.
json::object conntrack_json(const metrics::Worker& w) {
    const auto dropped = [&w](auto... reasons) { return (w.drops[static_cast<std::size_t>(reasons)] + ...); };
    return {{"found", w.tuples_taken},
            {"invalid", std::accumulate(w.invalid.begin(), w.invalid.end(), std::uint64_t{0})},
            {"insert", w.flows_born},
            {"insert_failed", dropped(DropReason::flow_insert_failed)},
            {"drop", dropped(DropReason::flow_table_full, DropReason::half_open_full, DropReason::first_packet_full,
                             DropReason::expect_clash, DropReason::alg_malformed, DropReason::alg_out_of_order,
                             DropReason::alg_no_room)},
            {"early_drop", w.flows_evicted},
            {"error", dropped(DropReason::icmp_checksum)},
            {"search_restart", 0},
            {"clash_resolve", 0},
            {"chaintoolong", 0}};
}

json::object worker_json(const metrics::Worker& w) {
    return {{"worker", w.number},
            {"lcore", w.lcore},
            {"flows", w.flows},
            {"flow_capacity", w.flow_capacity},
            {"flows_born", w.flows_born},
            {"flows_died", w.flows_died},
            {"flows_evicted", w.flows_evicted},
            {"flows_refused", w.flows_refused},
            {"half_open", w.half_open},
            {"half_open_evicted", w.half_open_evicted},
            {"half_open_refused", w.half_open_refused},
            {"expectations", w.expectations},
            {"busy_cycles", w.busy_cycles},
            {"idle_cycles", w.idle_cycles},
            {"measured_loops", w.measured_loops},
            {"handoffs_sent", w.handoffs_sent},
            {"handoffs_received", w.handoffs_received},
            {"mailbox_overflows", w.mailbox_overflows},
            {"events_told", w.events_told},
            {"events_lost", w.events_lost},
            {"held_packets", w.held_packets},
            {"first_packet_waits", w.first_packet_waits},
            {"first_packets_lost", w.first_packets_lost},
            {"fragments_held", w.fragments_held},
            {"datagrams_joined", w.datagrams_joined},
            {"datagrams_cut", w.datagrams_cut},
            {"verdict_cache_hits", w.verdict_cache_hits},
            {"verdict_cache_misses", w.verdict_cache_misses},
            {"fast_path", w.fast_path},
            {"conntrack", conntrack_json(w)}};
}

/// All reasons, also those that never happened: a reader can tell "zero" from "unknown".
template <std::size_t N>
json::array reasons_json(const metrics::Snapshot& snapshot, std::array<std::uint64_t, N> metrics::Worker::*counts,
                         const std::array<std::string_view, N>& names, const std::array<std::string_view, N>& help) {
    json::array out;
    for (std::size_t reason = 0; reason < N; ++reason) {
        std::uint64_t sum = 0;
        for (const auto& worker : snapshot.workers) sum += (worker.*counts)[reason];
        out.push_back(json::object{{"reason", names[reason]}, {"packets", sum}, {"help", help[reason]}});
    }
    return out;
}

json::object ftp_json(const metrics::Ftp& f) {
    return {{"commands_seen", f.commands_seen},
            {"rewrites", f.rewrites},
            {"refusals", f.refused_foreign_address + f.refused_privileged_port},
            {"refused_foreign_address", f.refused_foreign_address},
            {"refused_privileged_port", f.refused_privileged_port},
            {"malformed", f.malformed},
            {"split_commands_joined", f.split_commands_joined},
            {"expectations_created", f.expectations_created},
            {"expectations_fulfilled", f.expectations_fulfilled},
            {"expectations_expired", f.expectations_expired},
            {"expectations_replaced", f.expectations_replaced},
            {"expectations_forgotten", f.expectations_forgotten},
            {"expectations_refused", f.expectations_refused}};
}

}  // namespace

json::object to_json(const ConfigIssue& issue) {
    return {{"file", issue.file},
            {"line", issue.line},
            {"column", issue.column},
            {"path", issue.path},
            {"message", issue.message}};
}

json::array ports_json(const metrics::Snapshot& snapshot) {
    json::array out;
    for (const auto& p : snapshot.ports)
        out.push_back(json::object{{"name", p.name},
                                   {"device", p.device},
                                   {"role", p.role},
                                   {"zone", p.zone},
                                   {"tap", p.tap},
                                   {"mac", p.mac},
                                   {"addresses", json::array(p.addresses.begin(), p.addresses.end())},
                                   {"up", p.up},
                                   {"twin_up", p.twin_up},
                                   {"mtu_bytes", p.mtu},
                                   {"speed_mbps", p.speed_mbps},
                                   {"received", traffic_json(p.received)},
                                   {"transmitted", traffic_json(p.transmitted)},
                                   {"receive_missed", p.receive_missed},
                                   {"receive_errors", p.receive_errors},
                                   {"transmit_errors", p.transmit_errors}});
    return out;
}

json::array rules_json(const metrics::Snapshot& snapshot) {
    json::array out;
    for (const auto& r : snapshot.rules)
        out.push_back(json::object{{"chain", r.chain},
                                   {"number", r.number},
                                   {"rule", r.text},
                                   {"comment", r.comment},
                                   {"packets", r.hits.packets},
                                   {"bytes", r.hits.bytes}});
    return out;
}

json::array nat_json(const metrics::Snapshot& snapshot) {
    json::array out;
    for (const auto& n : snapshot.nat) {
        json::object rule{{"number", n.number},
                          {"kind", n.kind},
                          {"rule", n.text},
                          {"comment", n.comment},
                          {"flows_created", n.flows_created}};
        if (n.pool_addresses > 0)
            rule["pool"] = json::object{
                {"addresses", n.pool_addresses}, {"in_use", n.pool_in_use}, {"exhausted", n.pool_exhausted}};
        out.push_back(std::move(rule));
    }
    return out;
}

json::object stats_json(const metrics::Snapshot& s) {
    json::object out{{"uptime_s", s.uptime_s},
                     {"policy_generation", s.policy_generation},
                     {"reloads", s.reloads},
                     {"reload_failures", s.reload_failures},
                     {"last_reload_unix_s", s.last_reload_s},
                     {"flow_limit", s.flow_limit},
                     {"flow_limit_from_memory", s.flow_limit_from_memory},
                     {"half_open_limit", s.half_open_limit},
                     {"flow_capacity", s.flow_capacity},
                     {"routes", s.routes},
                     {"neighbours", s.neighbours},
                     {"guard_restored", s.guard_restored},
                     {"log_lines_lost", s.log_lines_lost},
                     {"from_twins", traffic_json(s.from_twins)},
                     {"punted_packets", s.punted_packets},
                     {"generated_packets", s.generated_packets}};
    out["drops"] = reasons_json(s, &metrics::Worker::drops, kDropReasonNames, kDropReasonHelp);
    out["invalid"] = reasons_json(s, &metrics::Worker::invalid, kInvalidReasonNames, kInvalidReasonHelp);
    json::array flows;
    for (const auto& f : s.flows)
        flows.push_back(json::object{{"proto", f.proto}, {"state", f.state}, {"flows", f.flows}});
    out["flows"] = std::move(flows);
    json::array workers;
    for (const auto& w : s.workers) workers.push_back(worker_json(w));
    out["workers"] = std::move(workers);
    json::array punts;
    for (const auto& p : s.punts)
        punts.push_back(json::object{{"class", p.name}, {"passed", p.passed}, {"limited", p.limited}});
    out["punts"] = std::move(punts);
    out["ftp"] = ftp_json(s.ftp);
    return out;
}

json::object version_json(const metrics::Snapshot& s) {
    return {{"version", s.version}, {"dpdk", s.dpdk_version}, {"uptime_s", s.uptime_s}};
}

}  // namespace sluice::api

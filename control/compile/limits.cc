#include "control/compile/limits.hh"

#include <algorithm>

#include "control/config/memory.hh"
#include "dataplane/l4/sctp_table.hh"

namespace sluice::compile {
namespace {

std::uint32_t seconds_of(config::seconds duration) noexcept {
    // Flows keep 24 bits of seconds (flow/lifetime.hh).
    return static_cast<std::uint32_t>(std::clamp<std::int64_t>(duration.count(), 0, 0xffffff));
}

Timeouts timeouts_of(const config::Timeouts& from) noexcept {
    Timeouts to{};
    to.set(TcpState::syn_sent, seconds_of(from.tcp_syn_sent));
    to.set(TcpState::syn_recv, seconds_of(from.tcp_syn_recv));
    to.set(TcpState::established, seconds_of(from.tcp_established));
    to.set(TcpState::fin_wait, seconds_of(from.tcp_fin_wait));
    to.set(TcpState::close_wait, seconds_of(from.tcp_close_wait));
    to.set(TcpState::last_ack, seconds_of(from.tcp_last_ack));
    to.set(TcpState::time_wait, seconds_of(from.tcp_time_wait));
    to.set(TcpState::close, seconds_of(from.tcp_close));
    to.set(TcpState::syn_sent2, seconds_of(from.tcp_syn_sent2));
    to.tcp_max_retrans = seconds_of(from.tcp_max_retrans);
    to.tcp_unacknowledged = seconds_of(from.tcp_unacknowledged);
    to.udp = seconds_of(from.udp);
    to.udp_stream = seconds_of(from.udp_stream);
    to.icmp = seconds_of(from.icmp);
    to.icmpv6 = seconds_of(from.icmpv6);
    to.generic = seconds_of(from.generic);
    const auto sctp = [&](l4::SctpState state, config::seconds duration) {
        to.sctp[static_cast<std::size_t>(state)] = seconds_of(duration);
    };
    sctp(l4::SctpState::closed, from.sctp_closed);
    sctp(l4::SctpState::cookie_wait, from.sctp_cookie_wait);
    sctp(l4::SctpState::cookie_echoed, from.sctp_cookie_echoed);
    sctp(l4::SctpState::established, from.sctp_established);
    sctp(l4::SctpState::shutdown_sent, from.sctp_shutdown_sent);
    sctp(l4::SctpState::shutdown_recd, from.sctp_shutdown_recd);
    sctp(l4::SctpState::shutdown_ack_sent, from.sctp_shutdown_ack_sent);
    sctp(l4::SctpState::heartbeat_sent, from.sctp_heartbeat_sent);
    to.gre = seconds_of(from.gre);
    to.gre_stream = seconds_of(from.gre_stream);
    to.udplite = seconds_of(from.udplite);
    to.udplite_stream = seconds_of(from.udplite_stream);
    to.esp = seconds_of(from.esp);
    return to;
}

/// The limit protects the control thread, of which there is one: all workers together keep to it. So each has an even
/// share, at least one packet; a single source, whose packets may all have one home, gets that share and no more.
BucketSpec bucket_of(const config::PuntLimit& limit, unsigned workers) noexcept {
    return {std::max(1U, limit.rate / workers), std::max(1U, limit.burst / workers)};
}

FtpPolicy ftp_of(const config::FtpHelper& from) {
    return {from.enabled, from.ports, from.loose, seconds_of(from.expect_timeout), from.max_expected};
}

/// What `budget` makes of `flows`; `number` stands for a budget that is no share.
std::uint32_t budget_of(const config::FlowBudget& budget, std::uint32_t flows, std::uint32_t number) noexcept {
    if (!budget.percent) return std::min(number, flows);
    const auto share = static_cast<std::uint32_t>(std::uint64_t{flows} * budget.value / 100);
    return std::max(1U, share);
}

}  // namespace

std::uint32_t total_of(std::uint32_t capacity, unsigned workers) noexcept {
    if (workers <= 1) return capacity;
    const std::uint64_t even = std::uint64_t{capacity} * 4 / 5;
    return static_cast<std::uint32_t>(std::min<std::uint64_t>(even * workers, 0xffffffffU));
}

std::uint32_t wanted_flows(const config::Config& config) {
    return config.conntrack.max ? *config.conntrack.max : config::flows_of_memory(config);
}

std::uint32_t flow_limit(const config::Config& config, const CompileTarget& target) {
    return std::min(wanted_flows(config), total_of(target.flow_capacity, target.workers));
}

std::uint32_t half_open_limit(const config::Config& config, const CompileTarget& target) {
    return budget_of(config.conntrack.half_open, flow_limit(config, target), config.conntrack.half_open.value);
}

void set_limits(const config::Config& config, const CompileTarget& target, Policy& policy) {
    const config::Conntrack& conntrack = config.conntrack;
    policy.timeouts = timeouts_of(conntrack.timeouts);
    policy.tcp = {conntrack.tcp.loose, conntrack.tcp.be_liberal, conntrack.tcp.ignore_invalid_rst,
                  conntrack.tcp.max_retrans};
    policy.table_full = conntrack.profile == config::ConntrackProfile::cgn ? TableFull::refuse : TableFull::early_drop;
    policy.max_flows_per_worker = std::min(share_of(wanted_flows(config), target.workers), target.flow_capacity);
    policy.max_half_open_per_worker = budget_of(conntrack.half_open, policy.max_flows_per_worker,
                                                share_of(conntrack.half_open.value, target.workers));
    policy.max_expectations_per_worker =
        std::min(share_of(conntrack.expect_max, target.workers), target.expectation_capacity);
    policy.ftp = ftp_of(config.helpers.ftp);

    const auto limit = [&](PuntClass punt, const config::PuntLimit& from) {
        policy.punt_limits[static_cast<std::size_t>(punt)] = bucket_of(from, target.workers);
    };
    limit(PuntClass::arp_nd, config.punt.arp_nd);
    limit(PuntClass::routing, config.punt.routing);
    limit(PuntClass::established, config.punt.established);
    limit(PuntClass::new_flow, config.punt.new_flow);
    limit(PuntClass::exception, config.punt.exception);
}

void set_timeout_policies(const config::Config& config, const TimeoutIds& ids, Policy& policy) {
    policy.timeout_policies.assign(ids.size(), policy.timeouts);
    for (const config::TimeoutPolicy& from : config.conntrack.timeout_policies) {
        config::Timeouts timeouts = config.conntrack.timeouts;
        for (const config::TimeoutPolicy::Value& value : from.values) timeouts.*value.of = value.value;
        policy.timeout_policies[ids.at(from.name) - 1U] = timeouts_of(timeouts);
    }
}

}  // namespace sluice::compile

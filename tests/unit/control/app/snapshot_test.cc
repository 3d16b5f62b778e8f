// Counters in, figures out: each figure of a snapshot from the counter that it is made of.
#include "control/app/snapshot.hh"

#include <algorithm>

#include <catch2/catch.hpp>

#include "control/config/parse_values.hh"
#include "dataplane/flow/tcp_table.hh"
#include "tests/unit/control/app/live_room.hh"

using namespace sluice;
using namespace sluice::test;

namespace {

metrics::Snapshot take() {
    return the_room->box->snapshot();
}

template <class Enum>
constexpr std::size_t index_of(Enum value) {
    return static_cast<std::size_t>(value);
}

RuleCounter& rule_counters(std::uint32_t rule) {
    return the_room->publisher.publication().load()->counter(0, rule);
}

}  // namespace

TEST_CASE("ports: what they are, what the kernel set on them, what went through them") {
    REQUIRE(the_room->until([] { return take().ports[0].addresses.size() == 1; }));
    auto& counters = the_room->counters().ports;
    const auto before = take().ports;
    counters[0].rx_packets.add(3);
    counters[0].rx_bytes.add(300);
    counters[1].tx_packets.add(2);
    counters[1].tx_bytes.add(128);
    counters[2].rx_packets.add(1);
    const auto ports = take().ports;
    REQUIRE(ports.size() == 3);
    CHECK(ports[0].name == "lan");
    CHECK(ports[0].device == "net_ring_lan");
    CHECK(ports[0].role == "inside");
    CHECK(ports[0].tap == "lan0");
    CHECK(ports[0].addresses == std::vector<std::string>{"192.0.2.1/24"});
    CHECK(ports[0].mtu == 1500);
    CHECK(ports[0].mac == config::to_string(the_room->machine.table[0].mac));
    CHECK(ports[1].role == "outside");
    CHECK(ports[2].device == "wan.20");
    CHECK(ports[2].mac == ports[1].mac);
    CHECK(ports[0].received.packets - before[0].received.packets == 3);
    CHECK(ports[0].received.bytes - before[0].received.bytes == 300);
    CHECK(ports[1].transmitted.packets - before[1].transmitted.packets == 2);
    CHECK(ports[1].transmitted.bytes - before[1].transmitted.bytes == 128);
    CHECK(ports[1].received.packets == before[1].received.packets);
    CHECK(ports[2].received.packets - before[2].received.packets == 1);
}

TEST_CASE("twins and guard after somebody changed them") {
    const auto run = [](const char* command) { REQUIRE(std::system(command) == 0); };
    REQUIRE(the_room->until([] { return take().ports[0].twin_up && take().ports[1].twin_up; }));
    run("ip link set lan0 down");
    CHECK(the_room->until([] { return !take().ports[0].twin_up; }));
    CHECK(take().ports[1].twin_up);
    run("ip link set lan0 up");
    CHECK(the_room->until([] { return take().ports[0].twin_up; }));

    const auto before = take().guard_restored;
    run("nft flush ruleset");
    CHECK(the_room->until([&] { return take().guard_restored == before + 1; }));
    run("nft list table inet sluice_guard_lan0 >/dev/null && nft list table bridge sluice_guard_lan0 >/dev/null");

    run("ip link set lan0 mtu 1200");
    CHECK(the_room->until([] { return take().ports[0].mtu == 1200; }));
    run("ip link set lan0 mtu 1500");
    CHECK(the_room->until([] { return take().ports[0].mtu == 1500; }));
    run("test $(cat /proc/sys/net/ipv6/conf/lan0/disable_ipv6) = 1");
}

TEST_CASE("rules and NAT rules, each with its hits, chain policies included") {
    the_room->write(configuration());
    REQUIRE(the_room->reload().issues.empty());
    const auto before = take();
    const auto& names = the_room->publisher.names().rules;
    for (std::uint32_t i = 0; i < names.size(); ++i) {
        rule_counters(i).packets.add(i + 1);
        rule_counters(i).bytes.add(100 * (i + 1));
        rule_counters(i).exhausted.add(i + 7);
    }
    const auto gauge = the_room->publisher.publication().load()->snat.at(0).gauge;
    the_room->counters().nat_mappings[gauge].set(5);
    const auto after = take();

    REQUIRE(after.rules.size() == 4);  // one rule, three policies
    REQUIRE(after.nat.size() == 2);
    std::uint64_t filter_packets = 0, nat_flows = 0, all = 0;
    for (std::size_t i = 0; i < after.rules.size(); ++i) {
        const auto packets = after.rules[i].hits.packets - before.rules[i].hits.packets;
        CHECK(after.rules[i].hits.bytes - before.rules[i].hits.bytes == 100 * packets);
        filter_packets += packets;
    }
    for (std::size_t i = 0; i < after.nat.size(); ++i)
        nat_flows += after.nat[i].flows_created - before.nat[i].flows_created;
    for (std::uint32_t i = 0; i < names.size(); ++i) all += i + 1;
    CHECK(filter_packets + nat_flows == all);

    const auto rule = std::ranges::find(after.rules, "out", &metrics::Rule::comment);
    REQUIRE(rule != after.rules.end());
    CHECK(rule->chain == "forward");
    CHECK(rule->number == 1);
    CHECK_THAT(rule->text, Catch::Contains("proto tcp"));
    const auto policy =
        std::ranges::find_if(after.rules, [](const auto& r) { return r.chain == "forward" && r.number == 0; });
    REQUIRE(policy != after.rules.end());
    CHECK(policy->text == "policy drop");

    const auto pool = std::ranges::find(after.nat, "snat", &metrics::NatRule::kind);
    REQUIRE(pool != after.nat.end());
    CHECK(pool->comment == "pool");
    CHECK(pool->pool_addresses == 4);
    CHECK(pool->pool_in_use == 5);
    CHECK(pool->pool_exhausted > 0);
    const auto forward = std::ranges::find(after.nat, "dnat", &metrics::NatRule::kind);
    REQUIRE(forward != after.nat.end());
    CHECK(forward->pool_addresses == 0);
    CHECK(forward->pool_in_use == 0);
}

TEST_CASE("flows by protocol and state") {
    auto& c = the_room->counters();
    c.flows_tcp[index_of(TcpState::established)].set(11);
    c.flows_of[static_cast<std::size_t>(L4Kind::udp)].set(12);
    c.flows_of[static_cast<std::size_t>(L4Kind::icmp)].set(13);
    c.flows_of[static_cast<std::size_t>(L4Kind::generic)].set(14);
    const auto flows = take().flows;
    const auto count = [&](std::string_view proto, std::string_view state) {
        const auto at =
            std::ranges::find_if(flows, [&](const auto& f) { return f.proto == proto && f.state == state; });
        return at == flows.end() ? 0 : at->flows;
    };
    CHECK(count("tcp", "ESTABLISHED") == 11);
    CHECK(count("tcp", "SYN_SENT") == 0);
    CHECK(count("udp", "-") == 12);
    CHECK(count("icmp", "-") == 13);
    CHECK(count("other", "-") == 14);
    CHECK(std::ranges::count(flows, "tcp", &metrics::FlowGroup::proto) == kTcpStateCount - 1);  // all but "none"
}

TEST_CASE("a worker's figures: births and deaths of every cause, drops, cycles") {
    auto& c = the_room->counters();
    const auto before = take().workers.at(0);
    const auto flows_before = the_room->box->count_flows();
    c.flow_births.add(100);
    for (auto& deaths : c.flow_deaths) deaths.add(2);
    c.drops[index_of(DropReason::flow_table_full)].add(9);
    c.drops[index_of(DropReason::half_open_full)].add(10);
    c.half_open_early_drops.add(11);
    c.flows_half_open.set(12);
    c.drops[index_of(DropReason::ip_checksum)].add(4);
    c.cycles_busy.add(50);
    c.measured_loops.add(49);
    c.cycles_idle.add(70);
    c.balance.handed_out.add(6);
    c.balance.handed_in.add(5);
    c.balance.held.set(3);
    c.fragments_held.set(2);
    c.datagrams_joined.add(11);
    c.datagrams_cut.add(12);
    c.notices_deferred.add(8);
    c.verdict_cached.add(20);
    c.fast_path.add(19);
    c.verdict_judged.add(21);
    c.firsts_waited_for.add(22);
    c.firsts_lost.add(23);
    c.expectations.set(2);
    const auto snapshot = take();
    REQUIRE(snapshot.workers.size() == 1);
    const auto& w = snapshot.workers[0];
    const std::uint64_t deaths = 2 * kDeathCauseNames.size();
    CHECK(w.number == 0);
    CHECK(w.lcore == lcore_of_worker(0));
    CHECK(w.flows_born - before.flows_born == 100);
    CHECK(w.flows_died - before.flows_died == deaths);
    CHECK(w.flows - before.flows == 100 - deaths);
    CHECK(the_room->box->count_flows() - flows_before == 100 - deaths);
    CHECK(w.flows_evicted - before.flows_evicted == 2);
    CHECK(w.flows_refused - before.flows_refused == 9);
    CHECK(w.half_open_refused - before.half_open_refused == 10);
    CHECK(w.half_open_evicted - before.half_open_evicted == 11);
    CHECK(w.half_open == 12);
    CHECK(w.drops[index_of(DropReason::ip_checksum)] - before.drops[index_of(DropReason::ip_checksum)] == 4);
    CHECK(w.busy_cycles - before.busy_cycles == 50);
    CHECK(w.measured_loops - before.measured_loops == 49);
    CHECK(w.idle_cycles - before.idle_cycles == 70);
    CHECK(w.handoffs_sent - before.handoffs_sent == 6);
    CHECK(w.handoffs_received - before.handoffs_received == 5);
    CHECK(w.held_packets == 3);
    CHECK(w.fragments_held == 2);
    CHECK(w.datagrams_joined - before.datagrams_joined == 11);
    CHECK(w.datagrams_cut - before.datagrams_cut == 12);
    CHECK(w.mailbox_overflows - before.mailbox_overflows == 8);
    CHECK(w.verdict_cache_hits - before.verdict_cache_hits == 20);
    CHECK(w.verdict_cache_misses - before.verdict_cache_misses == 21);
    CHECK(w.fast_path - before.fast_path == 19);
    CHECK(w.first_packet_waits - before.first_packet_waits == 22);
    CHECK(w.first_packets_lost - before.first_packets_lost == 23);
    CHECK(w.expectations == 2);
    CHECK(w.flow_capacity >= 1024);
    CHECK(snapshot.flow_capacity == w.flow_capacity);
    CHECK(snapshot.flow_limit == 1024);
    CHECK_FALSE(snapshot.flow_limit_from_memory);
    CHECK(snapshot.half_open_limit == 512);
}

TEST_CASE("punts, the helper, twins and what the box is") {
    auto& c = the_room->counters();
    const auto before = take();
    c.punts_passed[index_of(PuntClass::new_flow)].add(5);
    c.punts_limited[index_of(PuntClass::arp_nd)].add(6);
    c.alg_commands.add(1);
    c.alg_rewrites.add(2);
    c.alg_refused_address.add(3);
    c.alg_refused_port.add(4);
    c.alg_malformed.add(5);
    c.alg_joined.add(6);
    c.expect_created.add(7);
    c.expect_fulfilled.add(8);
    c.expect_expired.add(9);
    c.expect_refused.add(10);
    c.balance.from_twins.add(11);
    c.ports[kKernelPort].rx_bytes.add(12);
    c.balance.punted.add(13);
    c.balance.generated.add(14);
    c.expect_replaced.add(15);
    c.balance.merged.add(16);
    c.balance.split.add(17);
    c.balance.received.add(18);
    c.balance.transmitted.add(19);
    const auto s = take();
    REQUIRE(s.punts.size() == kPuntClassCount);
    const auto& fresh = s.punts[index_of(PuntClass::new_flow)];
    CHECK(fresh.name == "new");  // as the configuration's key
    CHECK(fresh.passed - before.punts[index_of(PuntClass::new_flow)].passed == 5);
    CHECK(s.punts[0].name == "arp_nd");
    CHECK(s.punts[0].limited - before.punts[0].limited == 6);
    CHECK(s.ftp.commands_seen - before.ftp.commands_seen == 1);
    CHECK(s.ftp.rewrites - before.ftp.rewrites == 2);
    CHECK(s.ftp.refused_foreign_address - before.ftp.refused_foreign_address == 3);
    CHECK(s.ftp.refused_privileged_port - before.ftp.refused_privileged_port == 4);
    CHECK(s.ftp.malformed - before.ftp.malformed == 5);
    CHECK(s.ftp.split_commands_joined - before.ftp.split_commands_joined == 6);
    CHECK(s.ftp.expectations_created - before.ftp.expectations_created == 7);
    CHECK(s.ftp.expectations_fulfilled - before.ftp.expectations_fulfilled == 8);
    CHECK(s.ftp.expectations_expired - before.ftp.expectations_expired == 9);
    CHECK(s.ftp.expectations_refused - before.ftp.expectations_refused == 10);
    CHECK(s.from_twins.packets - before.from_twins.packets == 11);
    CHECK(s.from_twins.bytes - before.from_twins.bytes == 12);
    CHECK(s.punted_packets - before.punted_packets == 13);
    CHECK(s.generated_packets - before.generated_packets == 14);
    CHECK(s.ftp.expectations_replaced - before.ftp.expectations_replaced == 15);
    CHECK(s.balance.from_twins - before.balance.from_twins == 11);
    CHECK(s.balance.punted - before.balance.punted == 13);
    CHECK(s.balance.generated - before.balance.generated == 14);
    CHECK(s.balance.merged - before.balance.merged == 16);
    CHECK(s.balance.split - before.balance.split == 17);
    CHECK(s.balance.received - before.balance.received == 18);
    CHECK(s.balance.transmitted - before.balance.transmitted == 19);
    CHECK(s.version == "1.2.3");
    CHECK_THAT(s.dpdk_version, Catch::StartsWith("DPDK "));
    CHECK(s.uptime_s > 0);
    CHECK(s.policy_generation == the_room->publisher.generation());
    REQUIRE(s.listeners.size() == 1);
    CHECK(s.listeners[0].accepted == 7);
}

TEST_CASE("routes that the kernel has are counted") {
    REQUIRE(the_room->until([] { return take().routes > 0; }));
}

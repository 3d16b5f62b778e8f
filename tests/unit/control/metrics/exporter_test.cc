// The exposition of a filled snapshot, judged by promtool and by a few samples.
#include "control/metrics/exporter.hh"

#include <cstdio>
#include <string>
#include <sys/wait.h>

#include <catch2/catch.hpp>

#include "tests/support/fake_box.hh"

using namespace sluice;

namespace {

std::string text_of(const metrics::Snapshot& snapshot) {
    const metrics::SnapshotCollector collector([&] { return snapshot; });
    return metrics::exposition({&collector});
}

/// What `promtool check metrics` answers to this text; its messages go to the test's output.
int promtool(const std::string& text) {
    std::FILE* tool = ::popen("promtool check metrics", "w");
    REQUIRE(tool != nullptr);
    std::fwrite(text.data(), 1, text.size(), tool);
    const int status = ::pclose(tool);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

std::size_t count_of(const std::string& text, const std::string& what) {
    std::size_t count = 0;
    for (auto at = text.find(what); at != std::string::npos; at = text.find(what, at + 1)) ++count;
    return count;
}

}  // namespace

TEST_CASE("promtool finds nothing to criticise") {
    CHECK(promtool(text_of(test::full_snapshot())) == 0);
    CHECK(promtool(text_of({})) == 0);
}

TEST_CASE("promtool would say so if something were wrong") {
    CHECK(promtool("# TYPE wrong_name counter\nwrong_name 1\n") != 0);
}

TEST_CASE("values and labels arrive") {
    const auto text = text_of(test::full_snapshot());
    const auto has = [&](const char* line) { return text.find(std::string(line) + '\n') != std::string::npos; };
    CHECK(has(R"(sluice_build_info{version="0.1.0",dpdk="DPDK 22.11.3"} 1)"));
    CHECK(has("sluice_uptime_seconds 3723.5"));
    CHECK(has(R"(sluice_port_packets_total{port="lan",direction="receive"} 1000)"));
    CHECK(has(R"(sluice_port_bytes_total{port="lan",direction="transmit"} 90000)"));
    CHECK(has(R"(sluice_drops_total{reason="flow_table_full"} 40)"));
    CHECK(has(R"(sluice_flows{proto="tcp",state="ESTABLISHED"} 3)"));
    CHECK(has(R"(sluice_flows_born_total{worker="0"} 9)"));
    CHECK(has(R"(sluice_worker_half_open_flows{worker="0"} 4)"));
    CHECK(has("sluice_half_open_limit 500"));
    CHECK(has(R"(sluice_half_open_evicted_total{worker="0"} 6)"));
    CHECK(has(R"(sluice_half_open_refused_total{worker="0"} 3)"));
    CHECK(has(R"(sluice_rule_packets_total{chain="forward",rule="1",comment="web \"out\""} 12)"));
    CHECK(has(R"(sluice_rule_bytes_total{chain="forward",rule="policy",comment=""} 60)"));
    CHECK(has(R"(sluice_nat_pool_mappings{rule="1",kind="masquerade",comment=""} 4)"));
    CHECK(has(R"(sluice_punts_total{class="new",result="limited"} 2)"));
    CHECK(has("sluice_ftp_rewrites_total 4"));
    CHECK(has(R"(sluice_expectations_total{event="replaced"} 8)"));
    CHECK(has(R"(sluice_expectations_total{event="forgotten"} 9)"));
    CHECK(has(R"(sluice_balance_packets_total{term="split"} 51)"));
    CHECK(has(R"(sluice_balance_packets_total{term="merged"} 52)"));
    CHECK(has(R"(sluice_ftp_refusals_total{reason="foreign_address"} 1)"));
    CHECK(has(R"(sluice_ftp_refusals_total{reason="privileged_port"} 2)"));
    CHECK(has(R"(sluice_first_packet_waits_total{worker="0"} 31)"));
    CHECK(has(R"(sluice_first_packets_lost_total{worker="0"} 1)"));
    CHECK(has(R"(sluice_wheel_lateness_seconds_count 4)"));
    CHECK(has(R"(sluice_wheel_lateness_seconds_sum 0.04)"));
    CHECK(has(R"(sluice_reloads_total{result="failure"} 1)"));
    CHECK(has("sluice_log_lines_lost_total 12"));
    CHECK(has(R"(sluice_http_connections{listener="control"} 2)"));
    CHECK(has(R"(sluice_http_accepted_total{listener="control"} 90)"));
    CHECK(has(R"(sluice_http_cut_total{listener="control",reason="evicted"} 3)"));
    CHECK(has(R"(sluice_http_cut_total{listener="control",reason="refused"} 1)"));
    CHECK(has(R"(sluice_http_cut_total{listener="control",reason="timed_out"} 5)"));
}

TEST_CASE("drops of all workers are summed") {
    auto snapshot = test::full_snapshot();
    snapshot.workers.push_back(snapshot.workers.front());
    CHECK(text_of(snapshot).find("sluice_drops_total{reason=\"flow_table_full\"} 80\n") != std::string::npos);
}

TEST_CASE("a huge rule set does not make a huge scrape") {
    auto snapshot = test::full_snapshot();
    snapshot.rules.assign(metrics::kMaxRuleSeries + 500, {.chain = "forward", .number = 1, .text = "accept"});
    const auto text = text_of(snapshot);
    CHECK(count_of(text, "\nsluice_rule_packets_total{") == metrics::kMaxRuleSeries);
    CHECK(text.find("sluice_rules_without_series 500\n") != std::string::npos);
}

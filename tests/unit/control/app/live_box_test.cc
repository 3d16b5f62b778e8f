// Reload and check, all or nothing; captures; and a box that goes away while somebody waits for it.
#include "control/app/live_box.hh"

#include <algorithm>
#include <chrono>
#include <thread>

#include <boost/asio/steady_timer.hpp>
#include <catch2/catch.hpp>
#include <rte_ethdev.h>

#include "tests/unit/control/app/live_room.hh"

using namespace sluice;
using namespace sluice::test;
using Catch::Contains;

namespace {

constexpr const char* kOtherPolicy = "filter: {forward: {policy: accept}}\n";

}  // namespace

TEST_CASE("a reload puts the file in force: policy, addresses of the twins, counts") {
    the_room->write(configuration());
    REQUIRE(the_room->reload().issues.empty());
    const auto before = the_room->box->snapshot();
    the_room->write(configuration("198.51.100.1/24", kOtherPolicy));
    const auto result = the_room->reload();
    CHECK(result.issues.empty());
    CHECK(result.generation == before.policy_generation + 1);
    const auto after = the_room->box->snapshot();
    CHECK(after.policy_generation == result.generation);
    CHECK(after.reloads == before.reloads + 1);
    CHECK(after.reload_failures == before.reload_failures);
    CHECK(after.last_reload_s >= before.last_reload_s);
    CHECK(after.last_reload_s > 1.7e9);
    CHECK(after.nat.empty());
    CHECK(the_room->until(
        [] { return the_room->box->snapshot().ports[0].addresses == std::vector<std::string>{"198.51.100.1/24"}; }));
    CHECK_THAT(the_room->box->effective_config(), Contains("198.51.100.1/24") && Contains("conntrack:"));

    the_room->write(configuration());
    REQUIRE(the_room->reload().issues.empty());
    CHECK(the_room->until(
        [] { return the_room->box->snapshot().ports[0].addresses == std::vector<std::string>{"192.0.2.1/24"}; }));
}

TEST_CASE("cycles are measured for as long as it was asked for") {
    unsigned told = 0;
    const auto measurement =
        the_room->box->measure_cycles(std::chrono::seconds(5), [&](const api::CycleReport& report) {
            ++told;
            CHECK(report.seconds >= 5);
            CHECK(report.seconds < 100);
            CHECK(report.workers.size() == 1);
        });
    Now now = the_room->machine.clock.now();
    the_room->box->cycles().poll(now);
    CHECK(told == 0);
    now.ms += 5000;
    now.tsc += 5 * the_room->machine.clock.hz();
    the_room->box->cycles().poll(now);
    CHECK(told == 1);
    CHECK(the_room->box->cycles().running() == 0);
}

TEST_CASE("a file that cannot be in force changes nothing and says where it is wrong") {
    the_room->write(configuration());
    REQUIRE(the_room->reload().issues.empty());
    const auto before = the_room->box->snapshot();
    const auto config = the_room->box->effective_config();

    std::vector<api::ConfigIssue> issues;
    SECTION("a mistake") {
        the_room->write(configuration() + "bogus: 1\n");
        const auto answer = the_room->reload();
        CHECK_FALSE(answer.restart_needed);
        issues = answer.issues;
        REQUIRE(issues.size() == 1);
        CHECK(issues[0].path == "bogus");
        CHECK(issues[0].line > 1);
        CHECK(issues[0].column == 1);
    }
    SECTION("no file") {
        std::filesystem::remove(the_room->file);
        issues = the_room->reload().issues;
        REQUIRE(issues.size() == 1);
        CHECK_THAT(issues[0].message, Contains("cannot be read"));
    }
    SECTION("what needs a restart") {
        the_room->write(configuration("192.0.2.1/24", kOtherPolicy, "neighbours: {hold: 7}\n"));
        const auto answer = the_room->reload();
        CHECK(answer.restart_needed);
        issues = answer.issues;
        REQUIRE(issues.size() == 1);
        CHECK_THAT(issues[0].message, Contains("needs a restart"));
    }
    CHECK(issues[0].file == the_room->file.string());
    const auto after = the_room->box->snapshot();
    CHECK(after.policy_generation == before.policy_generation);
    CHECK(after.reloads == before.reloads);
    CHECK(after.reload_failures == before.reload_failures + 1);
    CHECK(after.last_reload_s == before.last_reload_s);
    CHECK(after.nat.size() == 2);
    CHECK(the_room->box->effective_config() == config);
}

TEST_CASE("a reload that a newer one overtakes says so, and the newer one counts") {
    the_room->write(configuration());
    REQUIRE(the_room->reload().issues.empty());
    the_room->write(configuration("192.0.2.1/24", kOtherPolicy));
    std::vector<api::ReloadResult> results;
    for (int i = 0; i < 4; ++i) the_room->box->reload([&](const api::ReloadResult& r) { results.push_back(r); });
    REQUIRE(the_room->until([&] { return results.size() == 4; }));
    for (const auto& result : results)
        for (const auto& issue : result.issues) CHECK_THAT(issue.message, Contains("a newer reload took the place"));
    CHECK(the_room->box->snapshot().nat.empty());
}

TEST_CASE("check judges a text by itself, says what of it needs a restart of this box, and changes nothing") {
    const auto before = the_room->box->snapshot();
    const auto good = the_room->check(configuration("192.0.2.1/24", kOtherPolicy));
    CHECK(good.issues.empty());
    CHECK(good.restart_needed.empty());
    const auto bad = the_room->check("ports: [{name: lan}]\n").issues;
    REQUIRE_FALSE(bad.empty());
    CHECK(bad[0].file == "configuration");
    CHECK(bad[0].path == "ports[0]");
    CHECK(bad[0].line == 1);
    const auto other_box = the_room->check(configuration("192.0.2.1/24", "", "neighbours: {hold: 7}\n"));
    CHECK(other_box.issues.empty());  // as a file it is valid
    CHECK(other_box.restart_needed == std::vector<std::string>{"neighbours has changed: needs a restart"});
    const auto after = the_room->box->snapshot();
    CHECK(after.policy_generation == before.policy_generation);
    CHECK(after.reloads == before.reloads);
    CHECK(after.reload_failures == before.reload_failures);
}

TEST_CASE("captures of a port, as many as there may be") {
    const auto start = [](const char* port) { return the_room->box->start_capture(port, 128, [](const auto&) {}); };
    std::vector<std::unique_ptr<api::Capture>> running;
    for (const char* port : {"lan", "wan", "dmz", "lan"}) running.push_back(start(port));
    CHECK(running.back()->lost_packets() == 0);
    CHECK_THROWS_WITH(start("wan"), "4 captures are running, which is the most: end one first");
    running.pop_back();
    running.push_back(start("wan"));
    CHECK_THROWS_WITH(start("nowhere"), Contains("'nowhere'"));
    running.clear();
    the_room->machine.grace.reclaim();
}

TEST_CASE("a capture may end when its timer is due, or is being served") {
    // Both timers are due in the same turn of the event loop, this one first.
    boost::asio::steady_timer first(the_room->io, std::chrono::milliseconds(0));
    auto capture = the_room->box->start_capture("lan", 128, [](const auto&) {});
    first.async_wait([&](boost::system::error_code) { capture.reset(); });
    std::this_thread::sleep_for(std::chrono::milliseconds(10));  // asio's timers know the real clock only
    the_room->io.restart();
    CHECK(the_room->io.poll() >= 2);
    CHECK(capture == nullptr);
    // A dead timer in the queue would be found due for ever.
    the_room->io.restart();
    the_room->io.run_for(std::chrono::milliseconds(20));
    the_room->machine.grace.reclaim();
    CHECK(the_room->box->start_capture("lan", 128, [](const auto&) {})->lost_packets() == 0);
}

TEST_CASE("a capture hands packets on in the order of time, whichever way they went") {
    struct Started {
        Started() { the_room->machine.ports.start(); }
        ~Started() { the_room->machine.ports.stop(); }
        Started(const Started&) = delete;
        Started& operator=(const Started&) = delete;
    } started;
    struct Seen {
        std::uint64_t time_us;
        bool transmitted;
        std::size_t length;
    };
    std::vector<Seen> seen;
    auto capture = the_room->box->start_capture("lan", 128, [&](const api::CapturedPacket& p) {
        seen.push_back({p.time_us, p.transmitted, p.data.size()});
    });
    // What the device sends comes back to it: a request out, then its reply in, and so on.
    const std::uint16_t device = the_room->machine.table[0].device;
    constexpr std::uint16_t kPairs = 20;
    for (std::uint16_t i = 0; i < kPairs; ++i) {
        rte_mbuf* m = rte_pktmbuf_alloc(the_room->machine.ports.pool());
        REQUIRE(m != nullptr);
        REQUIRE(rte_pktmbuf_append(m, static_cast<std::uint16_t>(60 + i)) != nullptr);
        REQUIRE(rte_eth_tx_burst(device, 0, &m, 1) == 1);
        REQUIRE(rte_eth_rx_burst(device, 0, &m, 1) == 1);
        rte_pktmbuf_free(m);
    }
    REQUIRE(the_room->until([&] { return seen.size() == 2 * kPairs; }));
    for (std::size_t i = 0; i < seen.size(); ++i) {
        CHECK(seen[i].transmitted == (i % 2 == 0));
        CHECK(seen[i].length == 60 + i / 2);
    }
    CHECK(std::is_sorted(seen.begin(), seen.end(), [](const Seen& a, const Seen& b) { return a.time_us < b.time_us; }));
    CHECK(capture->lost_packets() == 0);
    capture.reset();
    the_room->machine.grace.reclaim();
}

TEST_CASE("handlers of a box that is gone are not called") {
    the_room->write(configuration());
    int answers = 0;
    auto box = the_room->new_box();
    box->check(configuration(), [&](const auto&) { ++answers; });
    box->reload([&](const auto&) { ++answers; });
    box.reset();
    the_room->io.restart();
    the_room->io.run_for(std::chrono::milliseconds(50));
    CHECK(answers == 0);
}

#include "control/compile/limits.hh"

#include <catch2/catch.hpp>

#include "tests/unit/control/compile/configs.hh"

using namespace sluice;
using namespace sluice::test;

TEST_CASE("one worker's share: all of it alone, an even share and a quarter among several") {
    CHECK(compile::share_of(1000, 1) == 1000);
    CHECK(compile::share_of(1000, 2) == 625);
    CHECK(compile::share_of(1000, 3) == 418);  // 334, and a quarter
    CHECK(compile::share_of(1, 8) == 2);
    CHECK(compile::share_of(0xffffffffU, 1) == 0xffffffffU);
    CHECK(compile::share_of(0xffffffffU, 2) == 2684354560U);
}

TEST_CASE("from tables back to the total that they were made for") {
    for (const unsigned workers : {1U, 2U, 3U, 4U, 7U, 64U})
        for (const std::uint32_t total : {64U, 1000U, 65536U, 999'424U, 134'217'728U}) {
            const std::uint32_t room = compile::share_of(total, workers);
            const std::uint32_t back = compile::total_of(room, workers);
            INFO(workers << " workers, " << total);
            CHECK(back >= total);
            CHECK(compile::share_of(back, workers) <= room);
            if (back <= 0xffffffffU - workers)
                CHECK((workers == 1 || compile::share_of(back + workers, workers) > room));
        }
}

TEST_CASE("without conntrack.max the memory decides, within the tables") {
    config::Config config = three_ports();
    const CompileTarget vast{1, 0xffffffffU, 1};
    const auto limit = [&](std::uint32_t megabytes) {
        config.memory.megabytes = megabytes;
        return compile::flow_limit(config, vast);
    };
    const auto fixed = static_cast<std::uint32_t>(config::memory_need(config).fixed());
    CHECK(limit(fixed + 16) == 16 * 2048);
    CHECK(limit(fixed + 17) == 17 * 2048);
    CHECK(limit(1024) == (1024 - fixed) * 2048);
    CHECK(limit(16) == 16 * 2048);  // less is no configuration
    CHECK(limit(1'048'576) == config::kMostFlows);
    CHECK(compile::flow_limit(config, {1, 5000, 1}) == 5000);
    config.memory.megabytes = 1024;
    const std::uint32_t all = compile::wanted_flows(config);
    CHECK(compile::flow_limit(config, {4, compile::share_of(all, 4), 1}) == all);
    config.ports[0].zone = 1;
    config.ports[1].zone = 9;
    CHECK(limit(1024) == (1024 - fixed - 2 * 4) * 2048);
    config.ipv6 = config::Ipv6Mode::on;
    CHECK(config::memory_need(config).routes == config::memory_need(three_ports()).routes + 112 + 2 * 2 * 4);
    config.ports[0].zone = config.ports[1].zone = 0;
    const auto fixed6 = static_cast<std::uint32_t>(config::memory_need(config).fixed());
    CHECK(fixed6 > fixed + 100);
    CHECK(limit(1024) == (1024 - fixed6) * 1792);
    CHECK(limit(64) == 16 * 1792);
    config.conntrack.max = 700;
    CHECK(compile::flow_limit(config, vast) == 700);
}

TEST_CASE("the half-open budget: a share of each worker's limit, or a number that workers share") {
    config::Config config = three_ports();
    config.conntrack.max = 1000;
    const auto of = [&](CompileTarget target) {
        return std::pair{compile_policy(config, target, 1).policy->max_half_open_per_worker,
                         compile::half_open_limit(config, target)};
    };
    CHECK(of({1, 5000, 1}) == std::pair{500U, 500U});
    CHECK(of({4, 5000, 1}) == std::pair{156U, 500U});
    config.conntrack.half_open = {100, true};
    CHECK(of({1, 5000, 1}) == std::pair{1000U, 1000U});
    config.conntrack.half_open = {1, true};
    CHECK(of({1, 64, 1}) == std::pair{1U, 1U});  // never none at all
    config.conntrack.half_open = {40, false};
    CHECK(of({1, 5000, 1}) == std::pair{40U, 40U});
    CHECK(of({4, 5000, 1}) == std::pair{13U, 40U});
    config.conntrack.half_open = {4000, false};
    CHECK(of({1, 5000, 1}) == std::pair{1000U, 1000U});
}

TEST_CASE("table limits never exceed the tables") {
    config::Config config = three_ports();
    config.conntrack.max = 1000;
    config.conntrack.expect_max = 100;
    const auto limits = [&](CompileTarget target) {
        const auto compiled = compile_policy(config, target, 1);
        return std::pair{compiled.policy->max_flows_per_worker, compiled.policy->max_expectations_per_worker};
    };
    CHECK(limits({1, 5000, 500}) == std::pair{1000U, 100U});
    CHECK(limits({4, 5000, 500}) == std::pair{313U, 32U});
    CHECK(limits({1, 600, 50}) == std::pair{600U, 50U});
}

TEST_CASE("timeouts, each to its own place") {
    config::Config config = three_ports();
    config::Timeouts& t = config.conntrack.timeouts;
    using config::seconds;
    t = {seconds{1},  seconds{2},  seconds{3},  seconds{4},  seconds{5},  seconds{6},  seconds{7},  seconds{8},
         seconds{9},  seconds{10}, seconds{11}, seconds{12}, seconds{13}, seconds{14}, seconds{15}, seconds{16},
         seconds{17}, seconds{18}, seconds{19}, seconds{20}, seconds{21}, seconds{22}, seconds{23}, seconds{24},
         seconds{25}, seconds{26}, seconds{27}, seconds{28}, seconds{29}};
    const auto compiled = compile_policy(config, kOneWorker, 1);
    const Timeouts& made = compiled.policy->timeouts;
    CHECK(made.of(TcpState::syn_sent) == 1);
    CHECK(made.of(TcpState::syn_recv) == 2);
    CHECK(made.of(TcpState::established) == 3);
    CHECK(made.of(TcpState::fin_wait) == 4);
    CHECK(made.of(TcpState::close_wait) == 5);
    CHECK(made.of(TcpState::last_ack) == 6);
    CHECK(made.of(TcpState::time_wait) == 7);
    CHECK(made.of(TcpState::close) == 8);
    CHECK(made.of(TcpState::syn_sent2) == 9);
    CHECK(made.tcp_max_retrans == 10);
    CHECK(made.tcp_unacknowledged == 11);
    CHECK(made.udp == 12);
    CHECK(made.udp_stream == 13);
    CHECK(made.icmp == 14);
    CHECK(made.icmpv6 == 15);
    CHECK(made.generic == 16);
    CHECK(made.sctp == std::array<std::uint32_t, 9>{0, 17, 18, 19, 20, 21, 22, 23, 24});
    CHECK(made.gre == 25);
    CHECK(made.gre_stream == 26);
    CHECK(made.udplite == 27);
    CHECK(made.udplite_stream == 28);
    CHECK(made.esp == 29);
}

TEST_CASE("a full table: the profile says who gives way") {
    config::Config config = three_ports();
    CHECK(compile_policy(config, kOneWorker, 1).policy->table_full == TableFull::early_drop);
    config.conntrack.profile = config::ConntrackProfile::cgn;
    CHECK(compile_policy(config, kOneWorker, 1).policy->table_full == TableFull::refuse);
}

TEST_CASE("the FTP helper as configured") {
    config::Config config = three_ports();
    config.helpers.ftp = {false, {21, 2121}, true, 4, config::seconds{60}};
    const auto compiled = compile_policy(config, kOneWorker, 1);
    const FtpPolicy& ftp = compiled.policy->ftp;
    CHECK_FALSE(ftp.enabled);
    CHECK(ftp.ports == std::vector<std::uint16_t>{21, 2121});
    CHECK(ftp.loose);
    CHECK(ftp.max_expected == 4);
    CHECK(ftp.expect_timeout_s == 60);
}

TEST_CASE("punt limits are of the box: workers share them, and none is left without") {
    config::Config config = three_ports();
    config.punt = {{2000, 500}, {5000, 1000}, {20000, 2000}, {1000, 200}, {3, 1}};
    const auto limit = [&](unsigned workers, PuntClass punt) {
        const auto compiled = compile_policy(config, {workers, 1000, 100}, 1);
        return compiled.policy->punt_limits[static_cast<std::size_t>(punt)];
    };
    CHECK(limit(1, PuntClass::arp_nd) == BucketSpec{2000, 500});
    CHECK(limit(1, PuntClass::routing) == BucketSpec{5000, 1000});
    CHECK(limit(1, PuntClass::established) == BucketSpec{20000, 2000});
    CHECK(limit(1, PuntClass::new_flow) == BucketSpec{1000, 200});
    CHECK(limit(1, PuntClass::exception) == BucketSpec{3, 1});
    CHECK(limit(4, PuntClass::arp_nd) == BucketSpec{500, 125});
    CHECK(limit(4, PuntClass::exception) == BucketSpec{1, 1});  // 0 would mean no limit
}

TEST_CASE("timeout policies: ids by name, for as long as there is a name for them") {
    config::Config config = three_ports();
    const auto dns = [](unsigned replied) {
        return config::TimeoutPolicy{"dns", 17, {{&config::Timeouts::udp_stream, config::seconds{replied}}}};
    };
    const config::TimeoutPolicy web{"web", 6, {{&config::Timeouts::tcp_close, config::seconds{1}}}};
    config.conntrack.timeout_policies = {web, dns(9)};
    config.filter.forward.rules = {filter_rule([](auto& r) { r.proto = 17, r.set_timeout = "dns"; })};
    auto first = compile_policy(config, kOneWorker, 1);
    const std::uint8_t id = first.policy->chain(Chain::forward).rules[0].set_timeouts;
    CHECK(id == 2);
    CHECK(first.policy->timeouts_of(id).udp_stream == 9);
    CHECK(first.policy->timeouts_of(id).udp == first.policy->timeouts.udp);
    CHECK(first.policy->timeouts_of(1).of(TcpState::close) == 1);
    CHECK(first.policy->timeouts_of(0) == first.policy->timeouts);
    CHECK(first.policy->timeouts_of(3) == first.policy->timeouts);

    // web goes: its flows have the usual timeouts. dns keeps its id, with new values.
    config.conntrack.timeout_policies = {dns(7)};
    auto second = compile_policy(config, kOneWorker, 2, {}, {}, first.names.timeout_ids);
    CHECK(second.policy->chain(Chain::forward).rules[0].set_timeouts == id);
    CHECK(second.policy->timeouts_of(id).udp_stream == 7);
    CHECK(second.policy->timeouts_of(1) == second.policy->timeouts);

    // And comes again.
    config.conntrack.timeout_policies = {dns(7), web};
    auto third = compile_policy(config, kOneWorker, 3, {}, {}, second.names.timeout_ids);
    CHECK(third.policy->timeouts_of(1).of(TcpState::close) == 1);
}

TEST_CASE("the 256th name of a timeout policy is refused") {
    config::Config config = three_ports();
    TimeoutIds ids;
    for (unsigned i = 1; i <= 255; ++i) ids.emplace("p" + std::to_string(i), static_cast<std::uint8_t>(i));
    config.conntrack.timeout_policies = {{"p255", 17, {{&config::Timeouts::udp, config::seconds{1}}}}};
    CHECK(compile_policy(config, kOneWorker, 1, {}, {}, ids).policy->timeouts_of(255).udp == 1);
    config.conntrack.timeout_policies[0].name = "another";
    CHECK_THROWS_AS(compile_policy(config, kOneWorker, 1, {}, {}, ids), CompileError);
}

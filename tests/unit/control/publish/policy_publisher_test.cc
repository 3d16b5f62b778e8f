#include "control/publish/policy_publisher.hh"

#include <atomic>
#include <thread>

#include <catch2/catch.hpp>

#include "tests/unit/control/compile/configs.hh"

using namespace sluice;
using namespace sluice::test;

namespace {

constexpr CompileTarget kTarget{1, 1U << 20, 1U << 16};

/// Forward rules for these protocols.
config::Config config_of(std::initializer_list<std::uint8_t> protos) {
    config::Config config = three_ports();
    for (const std::uint8_t proto : protos)
        config.filter.forward.rules.push_back(filter_rule([&](auto& r) { r.proto = proto; }));
    return config;
}

struct Room {
    boost::asio::io_context io;
    GracePeriods grace{1};
    PolicyPublisher publisher{io, grace, kTarget, config_of({6})};
    std::vector<ApplyResult> results;

    void ask(config::Config config) {
        publisher.apply(std::move(config), [this](ApplyResult r) { results.push_back(std::move(r)); });
    }
    /// Until nothing is left to do, the helper's work included.
    void run() {
        io.run();
        io.restart();
    }
    [[nodiscard]] const Policy* live() const { return publisher.publication().load(); }
};

}  // namespace

TEST_CASE("the first policy is there before anything runs") {
    const Room room;
    CHECK(room.publisher.generation() == 1);
    CHECK(room.live()->chain(Chain::forward).rules.size() == 1);
    CHECK(room.publisher.config() == config_of({6}));
    CHECK(room.publisher.names().rules.size() == 4);
    CHECK(room.publisher.rule_totals().size() == 4);
    CHECK(room.grace.pending() == 0);
}

TEST_CASE("a new configuration is published as the next generation, never from within apply") {
    Room room;
    const Policy* first = room.live();
    room.ask(config_of({6, 17}));
    CHECK(room.results.empty());
    CHECK(room.live() == first);
    room.run();
    REQUIRE(room.results.size() == 1);
    CHECK(room.results[0].outcome == ApplyOutcome::published);
    CHECK(room.results[0].ok());
    CHECK(room.results[0].generation == 2);
    REQUIRE(room.results[0].previous);
    CHECK(*room.results[0].previous == config_of({6}));
    CHECK(room.live()->generation == 2);
    CHECK(room.live()->chain(Chain::forward).rules.size() == 2);
    CHECK(room.publisher.config() == config_of({6, 17}));
    CHECK(room.publisher.names().rules[1].text == "proto udp accept");
    CHECK(room.grace.pending() == 1);
    CHECK(room.grace.reclaim() == 1);
}

TEST_CASE("an equal configuration publishes nothing") {
    Room room;
    const Policy* first = room.live();
    room.ask(config_of({6}));
    CHECK(room.results.empty());
    room.run();
    REQUIRE(room.results.size() == 1);
    CHECK(room.results[0].outcome == ApplyOutcome::unchanged);
    CHECK(room.results[0].generation == 1);
    CHECK(room.live() == first);
    CHECK(room.grace.pending() == 0);
}

TEST_CASE("what needs a restart is refused as a whole") {
    Room room;
    config::Config wanted = config_of({6, 17});
    wanted.memory.megabytes = 4096;
    wanted.ports[0].device = "net_null9";
    room.ask(wanted);
    room.run();
    REQUIRE(room.results.size() == 1);
    CHECK(room.results[0].outcome == ApplyOutcome::refused);
    CHECK_FALSE(room.results[0].ok());
    CHECK(room.results[0].messages.size() == 2);
    CHECK(room.publisher.generation() == 1);
    CHECK(room.publisher.config() == config_of({6}));
    CHECK(room.live()->chain(Chain::forward).rules.size() == 1);
}

TEST_CASE("what no policy can hold fails with a sentence and changes nothing; the next request is served") {
    Room room;
    config::Config wanted = config_of({6});
    wanted.nat = {nat_rule([](auto& r) { r.out.names = {"wan"}, r.action = config::Snat{}; })};  // no address
    room.ask(wanted);
    room.run();
    REQUIRE(room.results.size() == 1);
    CHECK(room.results[0].outcome == ApplyOutcome::failed);
    REQUIRE(room.results[0].messages.size() == 1);
    CHECK_THAT(room.results[0].messages[0], Catch::StartsWith("nat[0]: "));
    CHECK(room.publisher.generation() == 1);
    CHECK(room.publisher.config() == config_of({6}));
    room.ask(config_of({17}));
    room.run();
    CHECK(room.results.back().outcome == ApplyOutcome::published);
    CHECK(room.publisher.generation() == 2);
}

TEST_CASE("the latest request wins and the ones it overtakes are told") {
    Room room;
    room.ask(config_of({1}));
    room.ask(config_of({2}));
    room.ask(config_of({3}));
    room.run();
    REQUIRE(room.results.size() == 3);
    // In the order of their answers: the one that waited, the one that was being compiled, the last.
    CHECK(room.results[0].outcome == ApplyOutcome::superseded);
    CHECK(room.results[1].outcome == ApplyOutcome::superseded);
    CHECK(room.results[2].outcome == ApplyOutcome::published);
    CHECK(room.publisher.config() == config_of({3}));
    CHECK(room.publisher.generation() == 2);
}

TEST_CASE("taking back a change before it is in force leaves what is") {
    Room room;
    room.ask(config_of({1}));
    room.ask(config_of({6}));
    room.run();
    REQUIRE(room.results.size() == 2);
    CHECK(room.results[0].outcome == ApplyOutcome::superseded);
    CHECK(room.results[1].outcome == ApplyOutcome::unchanged);
    CHECK(room.publisher.generation() == 1);
}

TEST_CASE("a publisher that goes while the helper works calls nobody") {
    boost::asio::io_context io;
    GracePeriods grace{1};
    unsigned calls = 0;
    {
        PolicyPublisher publisher(io, grace, kTarget, config_of({6}));
        publisher.apply(config_of({17}), [&](ApplyResult) { ++calls; });
        publisher.apply(config_of({6}), [&](ApplyResult) { ++calls; });
    }
    io.run();
    CHECK(calls == 0);
}

TEST_CASE("a worker counts through many reloads and not one packet is lost") {
    Room room;
    std::atomic<bool> stop{false};
    std::atomic<std::uint64_t> bursts{0};
    std::uint64_t counted = 0, went_back = 0;
    std::thread worker([&] {
        std::uint32_t last = 0;
        room.grace.online(0);
        while (!stop.load(std::memory_order_relaxed)) {
            const Policy* policy = room.live();
            // Rule 0 is "proto tcp" in every policy, whatever stands behind it.
            for (int packet = 0; packet < 32; ++packet) {
                policy->counter(0, 0).packets.add();
                policy->counter(0, 0).bytes.add(100);
                ++counted;
            }
            if (policy->generation < last) ++went_back;
            last = policy->generation;
            bursts.fetch_add(1, std::memory_order_relaxed);
            room.grace.quiescent(0);
        }
        room.grace.offline(0);
    });
    std::uint64_t total = 0, stepped_back = 0;
    for (unsigned reload = 0; reload < 100; ++reload) {
        config::Config next = config_of({6});
        next.filter.forward.rules.push_back(
            filter_rule([&](auto& r) { r.proto = static_cast<std::uint8_t>(100 + reload); }));
        room.ask(next);
        room.run();
        const std::uint64_t seen = bursts.load();
        while (bursts.load() == seen) std::this_thread::yield();
        room.grace.reclaim();
        const std::uint64_t now = room.publisher.rule_totals()[0].packets;
        if (now < total) ++stepped_back;
        total = now;
    }
    stop = true;
    worker.join();
    CHECK(room.publisher.rule_totals()[0].packets == counted);  // with policies that still wait
    room.grace.reclaim();
    CHECK(room.grace.pending() == 0);
    CHECK(room.publisher.rule_totals()[0] == RuleTotal{counted, counted * 100});
    CHECK(counted > 100 * 32);
    CHECK(went_back == 0);
    CHECK(stepped_back == 0);
    CHECK(room.publisher.generation() == 101);
}

// Changes of the machine's rules are heard of, few and many, and looked at in moderation.
#include "control/linux/guard.hh"
#include "control/linux/guard_watch.hh"
#include "tests/unit/control/linux/netns_support.hh"

using namespace sluice;
using namespace sluice::test;
using namespace std::chrono_literals;

namespace {

struct Watched : Box {
    int looks = 0;
    int failing = 0;  ///< looks that fail
    std::unique_ptr<GuardWatch> watch;

    void open(const GuardWatchOptions& options = {.pause = 50ms, .retry_in = 50ms}) {
        watch = value_of(GuardWatch::open(
            io,
            [this] {
                ++looks;
                return looks > failing;
            },
            [](const Failure& why) { FAIL_CHECK(why.text); }, options));
    }
    /// Nothing more comes, for longer than the pause.
    bool is_quiet() {
        return !comes_true([this, before = looks] { return looks != before; }, 200ms);
    }
};

}  // namespace

TEST_CASE("each change of another program is followed by a look") {
    Watched box;
    box.open();
    CHECK(box.is_quiet());
    int expected = 0;
    for (const char* change : {"nft add table inet t", "nft flush ruleset", "nft add table ip t"}) {
        sh(change);
        ++expected;
        box.until("a look", [&] { return box.looks == expected; });
        CHECK(box.is_quiet());
    }
    sh("nft list ruleset >/dev/null");
    CHECK(box.is_quiet());
    CHECK(box.watch->counters().looks == 3);
    CHECK(box.watch->counters().overruns == 0);
}

TEST_CASE("changes in a row are looked at together, the last one too") {
    Watched box;
    box.open();
    sh("nft add table inet t");
    box.until("the first look", [&] { return box.looks == 1; });
    sh("nft add table inet u; nft add table inet v; nft add table inet w");
    box.until("the second look", [&] { return box.looks == 2; });
    CHECK(box.is_quiet());
}

TEST_CASE("a look that fails is done again") {
    Watched box;
    box.failing = 2;
    box.open();
    sh("nft add table inet t");
    box.until("the third look", [&] { return box.looks == 3; });
    CHECK(box.is_quiet());
}

TEST_CASE("changes of which the kernel lost the messages are looked at as well") {
    Watched box;
    box.open({.receive_buffer_bytes = 1, .pause = 50ms, .retry_in = 50ms});
    sh("{ echo 'add table inet t'; for i in $(seq 300); do echo \"add chain inet t c$i\"; done; } | nft -f -");
    box.until("a look", [&] { return box.looks > 0 && box.watch->counters().overruns > 0; });
}

TEST_CASE("a guard that is kept whenever the rules change is back after a flush, and rests then") {
    Watched box;
    const auto guard = value_of(Guard::open("lan0"));
    int restored = 0;
    box.watch = value_of(GuardWatch::open(
        box.io,
        [&] {
            ++box.looks;
            restored += value_of(guard->keep()) ? 1 : 0;
            return true;
        },
        [](const Failure& why) { FAIL_CHECK(why.text); }, {.pause = 50ms}));
    REQUIRE_FALSE(guard->set_interfaces(std::vector<std::string>{"lan0", "wan0"}));
    box.until("a look at what we did ourselves", [&] { return box.looks == 1; });
    CHECK(box.is_quiet());
    CHECK(restored == 0);
    const auto written = output_of("nft list ruleset");
    sh("nft flush ruleset");
    box.until("the guard is back", [&] { return output_of("nft list ruleset") == written; });
    box.comes_true([] { return false; }, 300ms);  // the look at what we did
    CHECK(restored == 1);
    CHECK(box.looks <= 3);
    CHECK(box.is_quiet());
}

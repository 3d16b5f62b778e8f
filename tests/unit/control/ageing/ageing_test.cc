// Ageing against real flow stores on a virtual clock: the test plays the worker (it refreshes flows, obeys expire
// orders as the pipeline does) and checks that no flow ends early, none lives past its deadline by more than a tick of
// the wheel and of the poll, and that full mailboxes lose nothing.
#include "control/ageing/ageing.hh"

#include <algorithm>
#include <map>
#include <memory>
#include <random>
#include <vector>

#include <catch2/catch.hpp>

#include "tests/support/flow_room.hh"

using namespace sluice;
using test::FlowRoom;

namespace {

/// One worker and its wheel.
struct Clockwork : FlowRoom {
    explicit Clockwork(std::uint32_t capacity = 64, unsigned notices = 1024, unsigned orders_size = 1024)
        : FlowRoom(capacity, notices),
          orders("orders" + tag, orders_size, -1),
          ageing({{&store, &to_control, &orders}}, now.ms, [this](unsigned, const Notice& n) { others.push_back(n); }) {
    }

    /// What the worker does with its mailboxes in one loop. Every flow that ends is noted with the time.
    void worker() {
        (void)store.pump(64);
        std::array<Order, 16> batch;
        const unsigned n = orders.take(batch.data(), batch.size());
        for (unsigned i = 0; i < n; ++i) {
            const Order& o = batch[i];
            if (o.kind != OrderKind::expire) FAIL("not an expire");
            if (!store.is(o.slot, o.generation)) continue;
            if (!store.expired(o.slot, now)) {
                ++refused;
                continue;
            }
            deaths[store.cold(o.slot).id] = now.ms;
            store.kill(o.slot, DeathCause::timeout);
        }
    }
    void step(unsigned budget = 1000) {
        (void)ageing.poll(now.ms, budget);
        worker();
    }
    /// Polls every `every` ms until `until`.
    void run(TimeMs until, TimeMs every = TimingWheel::kTickMs, unsigned budget = 1000) {
        while (now.ms < until) {
            now.ms = std::min(until, now.ms + every);
            step(budget);
        }
    }
    std::uint32_t id(SlotIndex slot) { return store.cold(slot).id; }

    Now now{1000, 0};
    Ring<Order> orders;
    std::vector<Notice> others;
    Ageing ageing;
    std::map<std::uint32_t, TimeMs> deaths;  // by flow id
    unsigned refused = 0;
};

constexpr TimeMs kSlack = 2 * TimingWheel::kTickMs;  // one tick of the wheel, one poll to obey

void check_death(const Clockwork& box, std::uint32_t id, TimeMs deadline) {
    INFO("flow " << id);
    const auto found = box.deaths.find(id);
    REQUIRE(found != box.deaths.end());
    CHECK(found->second >= deadline);
    CHECK(found->second <= deadline + kSlack);
}

}  // namespace

TEST_CASE("every flow ends at its deadline, never early, within a tick") {
    Clockwork box(256);
    std::map<std::uint32_t, TimeMs> deadlines;
    for (unsigned n = 0; n < 200; ++n) {
        box.run(box.now.ms + 37);
        const std::uint32_t timeout = 1 + n % 97;
        const SlotIndex slot = box.open(n, box.now, timeout);
        deadlines[box.id(slot)] = box.now.ms + TimeMs{timeout} * 1000;
        box.step();
    }
    box.run(120'000);
    CHECK(box.store.live() == 0);
    REQUIRE(box.deaths.size() == 200);
    for (const auto& [id, deadline] : deadlines) check_death(box, id, deadline);
    CHECK(box.ageing.stats().armed == 0);
    CHECK(box.refused == 0);
    CHECK(box.ageing.stats().expires_repeated == 0);
}

TEST_CASE("a clock that goes back leaves nothing due for ever") {
    Clockwork box;
    box.now.ms = 0;
    (void)box.open(1U, box.now, 1);  // until 1000 ms, where the wheel began
    unsigned polls = 0;
    while (polls < 100 && box.ageing.poll(box.now.ms, 1000)) ++polls;
    CHECK(polls < 100);
    box.worker();
    box.run(2000);
    CHECK(box.store.live() == 0);
}

TEST_CASE("a flow that packets keep alive lives on, with hardly any work for control") {
    Clockwork box;
    const SlotIndex slot = box.open(1U, box.now, 60);
    const std::uint32_t id = box.id(slot);
    const std::uint32_t generation = box.store.hot(slot).generation;
    while (box.now.ms < 600'000) {
        box.run(box.now.ms + 1000, 100);
        REQUIRE(box.store.is(slot, generation));
        box.store.refresh(slot, box.now, 60);
    }
    CHECK(box.ageing.stats().rearmed <= 12);
    CHECK(box.ageing.stats().notices == 1);
    CHECK(box.ageing.stats().expires_posted == 0);
    const TimeMs deadline = box.now.ms + 60'000;
    box.run(deadline + 100);
    check_death(box, id, deadline);
}

TEST_CASE("a deadline that moves from five days to ten seconds holds at once") {
    Clockwork box;
    const SlotIndex slot = box.open(1U, box.now, 432'000);
    const std::uint32_t id = box.id(slot);
    const bool armed_first = GENERATE(true, false);
    if (armed_first) box.run(5000);
    box.store.refresh(slot, box.now, 10);
    const TimeMs deadline = box.now.ms + 10'000;
    box.run(deadline + 100);
    check_death(box, id, deadline);
}

TEST_CASE("a deadline shortened between birth and arming, or right behind it, is seen") {
    Clockwork box;
    const SlotIndex slot = box.open(1U, box.now, 432'000);
    const std::uint32_t id = box.id(slot);
    SECTION("the notice is read first") {
        (void)box.ageing.poll(box.now.ms, 1000);
    }
    SECTION("the notice is read afterwards") {}
    SECTION("the worker has not seen the arming when it stores the lifetime") {
        (void)box.ageing.poll(box.now.ms, 1000);
        // As if both stores crossed: the lifetime changes, and nobody announces it.
        box.store.hot(slot).lifetime.store({box.now.ms, 10});
    }
    box.store.refresh(slot, box.now, 10);
    const TimeMs deadline = box.now.ms + 10'000;
    box.run(deadline + 100);
    check_death(box, id, deadline);
}

TEST_CASE("a deadline that is shortened again and again is followed every time") {
    Clockwork box;
    const SlotIndex slot = box.open(1U, box.now, 432'000);
    const std::uint32_t id = box.id(slot);
    TimeMs deadline = 0;
    for (const std::uint32_t timeout : {7200U, 300U, 120U, 60U, 30U, 10U, 3U}) {
        box.run(box.now.ms + 500);
        box.store.refresh(slot, box.now, timeout);
        deadline = box.now.ms + TimeMs{timeout} * 1000;
    }
    box.run(deadline + 100);
    check_death(box, id, deadline);
}

TEST_CASE("a flow is followed again after it went out to the very deadline it once was announced at") {
    Clockwork box;
    const SlotIndex slot = box.open(1U, box.now, 1000);
    const std::uint32_t id = box.id(slot);
    const TimeMs first = box.now.ms + 1'000'000;
    box.run(2000);
    box.store.refresh(slot, box.now, 10);  // announced at the arming `first`
    box.run(3000);
    box.store.refresh(slot, {first - 900'000, 0}, 900);  // back to `first` exactly
    box.run(20'000);                                     // due at the short deadline: armed at `first` again
    box.store.refresh(slot, box.now, 10);
    const TimeMs deadline = box.now.ms + 10'000;
    box.run(deadline + 2000);
    check_death(box, id, deadline);
}

TEST_CASE("an expire that the worker refuses is asked again when its time has come") {
    Clockwork box;
    const SlotIndex slot = box.open(1U, box.now, 10);
    const std::uint32_t id = box.id(slot);
    box.run(11'000 - 8);
    box.now.ms = 11'000;
    (void)box.ageing.poll(box.now.ms, 1000);
    REQUIRE(box.orders.count() == 1);
    box.store.refresh(slot, {10'999, 0}, 10);  // a packet of the same moment
    box.worker();
    CHECK(box.refused == 1);
    CHECK(box.store.live() == 1);
    box.run(22'000);
    check_death(box, id, 20'999);
}

TEST_CASE("an order that is not answered is given again") {
    Clockwork box;
    (void)box.open(1U, box.now, 10);
    for (; box.now.ms < 14'500; box.now.ms += 8) (void)box.ageing.poll(box.now.ms, 1000);
    CHECK(box.ageing.stats().expires_posted == 4);  // at 11, 12, 13 and 14 s
    CHECK(box.ageing.stats().expires_repeated == 3);
    box.worker();  // all four at once: the first kills, the others are about a flow that is gone
    CHECK(box.store.live() == 0);
    CHECK(box.deaths.size() == 1);
    box.run(20'000);
    CHECK(box.ageing.stats().expires_posted == 4);
}

TEST_CASE("mailboxes that are full in both directions lose nothing") {
    Clockwork box(1000, 8, 8);
    std::map<std::uint32_t, TimeMs> deadlines;
    for (unsigned n = 0; n < 1000; ++n) {
        const std::uint32_t timeout = 1 + n % 5;
        const SlotIndex slot = box.open(n, box.now, timeout);
        REQUIRE(slot != kNoSlot);
        deadlines[box.id(slot)] = box.now.ms + TimeMs{timeout} * 1000;
    }
    CHECK(box.store.has_pending());
    // What finds the order ring full is tried again as soon as a worker may have emptied it, seven at a time: of each
    // second's two hundred the last is gone before the second is over.
    const TimeMs end = box.now.ms + 5000 + 1000;
    box.run(end);
    CHECK(box.store.live() == 0);
    CHECK(box.ageing.stats().armed == 0);
    CHECK(box.ageing.stats().orders_full > 0);
    CHECK_FALSE(box.store.has_pending());
    REQUIRE(box.deaths.size() == 1000);
    for (const auto& [id, deadline] : deadlines)
        if (box.deaths[id] < deadline) FAIL_CHECK("flow " << id << " ended early");
    unsigned slots = 0;
    while (box.store.allocate() != kNoSlot) ++slots;
    CHECK(slots == 1000);
}

TEST_CASE("slots that are used again while notices about their former flow are under way stay apart") {
    Clockwork box(2, 4096);
    for (unsigned n = 0; n < 500; ++n) {
        const SlotIndex brief = box.open(n, box.now, 1);
        box.store.kill(brief, DeathCause::closed);
    }
    const SlotIndex slot = box.open(1000U, box.now, 30);
    const std::uint32_t id = box.id(slot);
    const TimeMs deadline = box.now.ms + 30'000;
    // Control is behind: it reads three notices per poll.
    while (box.now.ms < deadline + 50) {
        box.now.ms += 8;
        box.step(3);
    }
    check_death(box, id, deadline);
    CHECK(box.deaths.size() == 1);
}

TEST_CASE("one poll does no more than its budget says") {
    Clockwork box(512);
    for (unsigned n = 0; n < 500; ++n) (void)box.open(n, box.now, 1);
    CHECK(box.ageing.poll(box.now.ms, 10));
    CHECK(box.ageing.stats().notices == 10);
    while (box.ageing.poll(box.now.ms, 10)) {
    }
    CHECK(box.ageing.stats().notices == 500);
    CHECK(box.ageing.stats().armed == 500);
    box.now.ms += 1008;
    CHECK(box.ageing.poll(box.now.ms, 10));
    CHECK(box.ageing.stats().expires_posted <= 10);
    CHECK(box.ageing.stats().lateness_ms > 0);
    while (box.ageing.poll(box.now.ms, 10)) {
    }
    CHECK(box.ageing.stats().expires_posted == 500);
    CHECK(box.ageing.stats().lateness_ms == 0);
}

TEST_CASE("notices that are not about lifetimes go to who wants them") {
    Clockwork box;
    Notice n;
    n.kind = NoticeKind::resolve;
    n.detail = 3;
    REQUIRE(box.to_control.post(n));
    n.kind = NoticeKind::log;
    REQUIRE(box.to_control.post(n));
    box.step();
    REQUIRE(box.others.size() == 2);
    CHECK(box.others[0].detail == 3);
    CHECK(box.others[1].kind == NoticeKind::log);
}

TEST_CASE("ageing agrees with a model over days of random births, refreshes, shortenings and kills") {
    const unsigned seed = GENERATE(1U, 2U, 3U);
    Clockwork box(256, 64, 16);
    std::mt19937 random(seed);
    struct Model {
        std::uint32_t id;
        TimeMs deadline;
    };
    std::map<SlotIndex, Model> model;
    unsigned early = 0, late = 0, ended = 0, next = 0;
    const std::array<std::uint32_t, 8> timeouts{1, 10, 30, 60, 120, 300, 7200, 432'000};
    const auto settle = [&] {
        for (unsigned i = 0; i < 40; ++i) box.step();
    };
    const auto reconcile = [&] {
        for (auto it = model.begin(); it != model.end();) {
            const auto [slot, flow] = *it;
            const auto died = box.deaths.find(flow.id);
            if (died == box.deaths.end()) {
                // A second of grace: an order that was refused or found its ring full is repeated after that.
                if (box.now.ms > flow.deadline + 1000 + kSlack) ++late;
                ++it;
                continue;
            }
            if (died->second < flow.deadline) ++early;
            ++ended;
            it = model.erase(it);
        }
    };
    const TimeMs end = 3ULL * 24 * 3600 * 1000;
    while (box.now.ms < end) {
        const unsigned dice = static_cast<unsigned>(random() % 100);
        // Mostly short waits, sometimes hours; the wheel is polled in steps that a busy control thread might make.
        TimeMs wait = dice < 70 ? random() % 2000 : dice < 95 ? random() % 120'000 : random() % 7'200'000;
        const TimeMs every = wait > 100'000 ? 500 : 40;
        while (wait > 0) {
            const TimeMs now_step = std::min(wait, every);
            box.now.ms += now_step;
            wait -= now_step;
            box.step();
        }
        settle();
        reconcile();
        for (unsigned i = 0; i < 8; ++i) {
            const std::uint32_t timeout = timeouts[random() % timeouts.size()];
            const unsigned what = static_cast<unsigned>(random() % 10);
            if (what < 4) {
                const SlotIndex slot = box.open(next++, box.now, timeout);
                if (slot != kNoSlot) model[slot] = {box.id(slot), box.now.ms + TimeMs{timeout} * 1000};
                continue;
            }
            if (model.empty()) continue;
            auto it = model.begin();
            std::advance(it, random() % model.size());
            if (box.now.ms >= it->second.deadline) continue;  // a packet would miss
            if (what < 9) {
                box.store.refresh(it->first, box.now, timeout);
                it->second.deadline = box.now.ms + TimeMs{timeout} * 1000;
            } else {
                box.store.kill(it->first, DeathCause::closed);
                model.erase(it);
            }
        }
        REQUIRE(model.size() == box.store.live());
    }
    settle();
    CHECK(early == 0);
    CHECK(late == 0);
    CHECK(ended > 100);
    CHECK(box.ageing.stats().armed >= box.store.live());
}

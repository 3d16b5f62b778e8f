#include "dataplane/base/publication.hh"

#include <array>
#include <atomic>
#include <thread>
#include <utility>
#include <vector>

#include <catch2/catch.hpp>

using namespace sluice;

namespace {

/// Counts its deaths.
struct Item {
    Item(int v, int& d) : value(v), deaths(d) {}
    ~Item() { ++deaths; }
    int value;
    int& deaths;
};

}  // namespace

TEST_CASE("an object is freed when every online worker has been quiescent, not before") {
    int deaths = 0;
    GracePeriods grace(2);
    Publication<Item> publication(std::make_unique<const Item>(1, deaths));
    grace.online(0);
    grace.online(1);
    CHECK(publication.load()->value == 1);
    publication.publish(std::make_unique<const Item>(2, deaths), grace);
    CHECK(publication.load()->value == 2);
    CHECK(grace.pending() == 1);
    CHECK(grace.reclaim() == 0);
    grace.quiescent(0);
    CHECK(grace.reclaim() == 0);
    grace.quiescent(0);
    CHECK(grace.reclaim() == 0);
    CHECK(deaths == 0);
    grace.quiescent(1);
    CHECK(grace.reclaim() == 1);
    CHECK(deaths == 1);
    CHECK(grace.pending() == 0);
    grace.offline(0);
    grace.offline(1);
}

TEST_CASE("the last look at an object comes when no worker sees it any more, once, just before it is freed") {
    int deaths = 0;
    std::vector<std::pair<int, int>> looks;  // value seen, deaths until then
    GracePeriods grace(1);
    Publication<Item> publication;
    const auto publish = [&](int value) {
        publication.publish(std::make_unique<const Item>(value, deaths), grace,
                            [&](const Item& item) { looks.emplace_back(item.value, deaths); });
    };
    grace.online(0);
    publish(1);
    CHECK(grace.pending() == 0);  // there was nothing before it
    publish(2);
    CHECK(grace.reclaim() == 0);
    CHECK(looks.empty());
    grace.quiescent(0);
    CHECK(grace.reclaim() == 1);
    CHECK(looks == std::vector<std::pair<int, int>>{{1, 0}});
    CHECK(deaths == 1);
    grace.offline(0);
}

TEST_CASE("a worker that is offline holds nobody up, also when it goes offline while others wait") {
    int deaths = 0;
    GracePeriods grace(3);
    Publication<Item> publication(std::make_unique<const Item>(1, deaths));
    publication.publish(std::make_unique<const Item>(2, deaths), grace);
    CHECK(grace.reclaim() == 1);  // nobody is online

    grace.online(0);
    grace.online(1);
    publication.publish(std::make_unique<const Item>(3, deaths), grace);
    grace.quiescent(0);
    CHECK(grace.reclaim() == 0);
    grace.offline(1);
    CHECK(grace.reclaim() == 1);
    CHECK(deaths == 2);

    publication.publish(std::make_unique<const Item>(4, deaths), grace);
    grace.online(2);  // comes after: cannot hold item 3
    grace.quiescent(0);
    CHECK(grace.reclaim() == 1);
    grace.offline(0);
    grace.offline(2);
}

TEST_CASE("objects are freed in the order in which they were retired, each in its own time") {
    GracePeriods grace(1);
    std::vector<int> order;
    grace.online(0);
    grace.retire([&] { order.push_back(1); });
    grace.quiescent(0);
    grace.retire([&] { order.push_back(2); });
    grace.retire([&] { order.push_back(3); });
    CHECK(grace.reclaim() == 1);
    CHECK(order == std::vector{1});
    grace.quiescent(0);
    CHECK(grace.reclaim() == 2);
    CHECK(order == std::vector{1, 2, 3});
    grace.offline(0);
}

TEST_CASE("what is freed may retire more") {
    GracePeriods grace(1);
    int calls = 0;
    grace.online(0);
    grace.retire([&] {
        ++calls;
        grace.retire([&] { ++calls; });
    });
    grace.quiescent(0);
    CHECK(grace.reclaim() == 1);
    CHECK(grace.pending() == 1);
    grace.quiescent(0);
    CHECK(grace.reclaim() == 1);
    CHECK(calls == 2);
    grace.offline(0);
}

TEST_CASE("destruction frees what still waits and what is still published") {
    int deaths = 0;
    {
        GracePeriods grace(1);
        Publication<Item> publication;
        CHECK(publication.load() == nullptr);
        grace.online(0);
        publication.publish(std::make_unique<const Item>(1, deaths), grace);
        publication.publish(std::make_unique<const Item>(2, deaths), grace);
        publication.publish(nullptr, grace);
        CHECK(publication.load() == nullptr);
        publication.publish(std::make_unique<const Item>(3, deaths), grace);
        CHECK(grace.pending() == 2);
        CHECK(deaths == 0);
        grace.offline(0);
    }
    CHECK(deaths == 3);
    CHECK_THROWS_AS(GracePeriods(0), std::invalid_argument);
}

TEST_CASE("two workers never see an object that was freed") {
    // Freed objects go to a pool that marks them dead, so that a reader that came too late is caught, not undefined.
    struct Cell {
        std::atomic<std::uint64_t> number{0};
        std::atomic<bool> dead{false};
    };
    constexpr unsigned kRounds = 20'000;
    std::vector<std::unique_ptr<Cell>> cells;
    for (unsigned i = 0; i <= kRounds; ++i) cells.push_back(std::make_unique<Cell>());

    GracePeriods grace(2);
    std::atomic<const Cell*> published{cells[0].get()};
    std::atomic<bool> stop{false};
    std::array<std::atomic<std::uint64_t>, 2> bursts{};
    std::array<std::atomic<std::uint64_t>, 2> seen_dead{};
    std::array<std::atomic<std::uint64_t>, 2> went_back{};
    const auto worker = [&](unsigned me) {
        std::uint64_t last = 0;
        grace.online(me);
        while (!stop.load(std::memory_order_relaxed)) {
            grace.quiescent(me);
            const Cell* cell = published.load(std::memory_order_acquire);
            const std::uint64_t number = cell->number.load(std::memory_order_relaxed);
            for (int use = 0; use < 16; ++use)
                if (cell->dead.load(std::memory_order_relaxed)) ++seen_dead[me];
            if (number < last) ++went_back[me];
            last = number;
            ++bursts[me];
            if (number % 64 == 0) {
                grace.offline(me);
                std::this_thread::yield();
                grace.online(me);
            }
        }
        grace.offline(me);
    };
    std::thread first(worker, 0);
    std::thread second(worker, 1);
    while (bursts[0] == 0 || bursts[1] == 0) std::this_thread::yield();
    std::size_t freed = 0;
    for (unsigned i = 1; i <= kRounds; ++i) {
        cells[i]->number.store(i, std::memory_order_relaxed);
        const Cell* former = published.exchange(cells[i].get(), std::memory_order_acq_rel);
        grace.retire([former] { const_cast<Cell*>(former)->dead.store(true, std::memory_order_relaxed); });
        freed += grace.reclaim();
    }
    stop = true;
    first.join();
    second.join();
    freed += grace.reclaim();
    CHECK(freed == kRounds);
    CHECK(seen_dead[0] + seen_dead[1] == 0);
    CHECK(went_back[0] + went_back[1] == 0);
}

#include "control/app/capture_order.hh"

#include <catch2/catch.hpp>

using namespace sluice;

TEST_CASE("what came from several rings is given out by its stamp") {
    CaptureOrder<int> order;
    for (const auto tsc : {10U, 30U, 50U}) order.add(tsc, static_cast<int>(tsc));
    for (const auto tsc : {20U, 40U, 60U}) order.add(tsc, static_cast<int>(tsc));
    CHECK(order.due(70) == std::vector{10, 20, 30, 40, 50, 60});
    CHECK(order.due(70).empty());
}

TEST_CASE("what may still be preceded waits for its turn") {
    CaptureOrder<int> order;
    order.add(10, 1);
    order.add(30, 3);
    CHECK(order.due(10).empty());
    CHECK(order.due(30) == std::vector{1});
    // An earlier stamp in a ring that had been drained already.
    order.add(20, 2);
    CHECK(order.due(31) == std::vector{2, 3});
}

TEST_CASE("equal stamps keep the order in which they came, and the rest can be had") {
    CaptureOrder<int> order;
    for (int i = 0; i < 40; ++i) order.add(7, i);
    order.add(6, -1);
    const auto all = order.all();
    REQUIRE(all.size() == 41);
    for (int i = 0; i < 41; ++i) CHECK(all[static_cast<std::size_t>(i)] == i - 1);
    CHECK(order.all().empty());
}

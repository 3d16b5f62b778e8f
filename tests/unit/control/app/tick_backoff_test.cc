#include "control/app/tick_backoff.hh"

#include <catch2/catch.hpp>

using namespace sluice::app;
using namespace std::chrono_literals;

TEST_CASE("control looks every millisecond while there is work and a while after, then less and less often") {
    TickBackoff backoff;
    const std::chrono::steady_clock::time_point start{1h};
    CHECK(backoff.after_tick(true, start) == 1ms);
    CHECK(backoff.after_tick(false, start + 1999ms) == 1ms);
    CHECK(backoff.after_tick(false, start + 2000ms) == 2ms);
    CHECK(backoff.after_tick(false, start + 2002ms) == 4ms);
    CHECK(backoff.after_tick(false, start + 2006ms) == 4ms);
    CHECK(backoff.after_tick(true, start + 2010ms) == 1ms);
    CHECK(backoff.after_tick(false, start + 2011ms) == 1ms);
    CHECK(backoff.after_tick(false, start + 4010ms) == 2ms);
}

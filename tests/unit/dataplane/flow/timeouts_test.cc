#include "dataplane/flow/timeouts.hh"

#include <catch2/catch.hpp>

using namespace sluice;

TEST_CASE("a cap shortens the timeout of a state and never lengthens it") {
    Timeouts timeouts{};
    timeouts.set(TcpState::established, 432'000);
    timeouts.set(TcpState::fin_wait, 120);
    timeouts.set(TcpState::close, 10);
    timeouts.tcp_max_retrans = 200;
    timeouts.tcp_unacknowledged = 100;
    struct Case {
        TcpState state;
        TcpCaps caps;
        std::uint32_t seconds;
    };
    const Case cases[]{
        {TcpState::established, {}, 432'000},
        {TcpState::established, {.retransmitted = true}, 200},
        {TcpState::established, {.reset = true}, 10},
        {TcpState::established, {.unacknowledged = true}, 100},
        {TcpState::established, {.zero_window = true}, 200},
        {TcpState::established, {.unacknowledged = true, .zero_window = true}, 100},
        {TcpState::established, {.retransmitted = true, .reset = true, .unacknowledged = true}, 200},
        {TcpState::fin_wait, {.retransmitted = true}, 120},
        {TcpState::fin_wait, {.retransmitted = true, .unacknowledged = true}, 100},
        {TcpState::fin_wait, {.zero_window = true}, 120},
        {TcpState::close, {.retransmitted = true, .unacknowledged = true, .zero_window = true}, 10},
    };
    for (const Case& c : cases) {
        INFO(name_of(c.state) << " " << c.seconds);
        CHECK(timeouts.tcp_for(c.state, c.caps) == c.seconds);
    }
}

TEST_CASE("setting one state leaves the others alone") {
    Timeouts timeouts{};
    timeouts.set(TcpState::syn_sent2, 7);
    const Timeouts before = timeouts;
    timeouts.set(TcpState::time_wait, 120);
    CHECK_FALSE(timeouts == before);
    CHECK(timeouts.of(TcpState::syn_sent2) == 7);
    CHECK(timeouts.of(TcpState::close) == 0);
}

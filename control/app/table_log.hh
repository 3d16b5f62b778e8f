// Says in the log that the flow table, or the half-open budget, is full. Workers only count such events: a flood must
// not fill their mailboxes. Control looks at the sums now and then and writes a line for what is new, with its number;
// where Linux has a line of its own, it is Linux's, which scripts look for, and no more often than Linux writes it.
//
// Owner: control thread. Time is passed in.
#pragma once

#include <chrono>
#include <cstdint>

#include "control/app/engine.hh"
#include "control/logging/rate_limit.hh"

namespace sluice::app {

/// Sums over all workers since the start.
struct TableEvents {
    std::uint64_t refused = 0;                ///< newcomers dropped: the table was full
    std::uint64_t half_open_refused = 0;      ///< newcomers dropped: the half-open budget was used up
    std::uint64_t early_drops = 0;            ///< flows that made room in a full table
    std::uint64_t half_open_early_drops = 0;  ///< flows that made room in the half-open budget
};

[[nodiscard]] TableEvents table_events(const Engine& engine);

class TableLog {
public:
    struct Limits {
        std::uint64_t flows = 0;
        std::uint64_t half_open = 0;
    };
    void look(const TableEvents& events, const Limits& limits, std::chrono::steady_clock::time_point now);

private:
    /// One kind of event: how many of them have been told.
    struct Line {
        std::uint64_t told = 0;
        logging::RateLimit limit;
        /// How many to tell of now; 0: none.
        [[nodiscard]] std::uint64_t due(std::uint64_t count, std::chrono::steady_clock::time_point now);
    };
    // Refusals at Linux's rate (net_ratelimit). Early drops are what a busy box may live with: Linux says nothing.
    Line refused_{0, logging::RateLimit{10, std::chrono::seconds(5)}};
    Line half_open_refused_{0, logging::RateLimit{10, std::chrono::seconds(5)}};
    Line early_drops_{0, logging::RateLimit{1, std::chrono::seconds(5)}};
    Line half_open_early_drops_{0, logging::RateLimit{1, std::chrono::seconds(5)}};
};

}  // namespace sluice::app

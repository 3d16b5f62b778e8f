// Time is passed in, never read: a worker reads the TSC once a burst and hands `Now` down; tests hand down what they
// like.
#pragma once

#include <cstdint>

namespace sluice {

/// Milliseconds since the daemon started (monotonic). 40 bits are stored in flows: 34 years.
using TimeMs = std::uint64_t;

/// A point in time as a worker sees it for one burst.
struct Now {
    TimeMs ms = 0;
    std::uint64_t tsc = 0;  ///< raw cycle counter, for cycle accounting and random seeds only
};

}  // namespace sluice

// What the command line asks for. What it leaves open each scenario fills in by itself.
#pragma once

#include <algorithm>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "tests/bench/traffic.hh"

namespace sluice::bench {

struct Options {
    std::vector<std::string> scenarios{"E1"};
    std::vector<std::uint32_t> flows;  ///< empty: the scenario's
    std::vector<std::string> directions{"out", "in"};
    Protocol protocol = Protocol::udp;
    Pattern pattern = Pattern::sequential;
    std::vector<Frames> frames{Frames::smallest};
    std::vector<std::uint32_t> rules;    ///< empty: the scenario's
    std::optional<std::uint32_t> slots;  ///< of the flow table, where a scenario makes new flows
    std::uint64_t packets = 500000;
    unsigned rounds = 5;
    unsigned seconds = 5;    ///< of worker time, in scenarios that take their time from the clock
    unsigned megabytes = 0;  ///< 0: as much as the scenarios need
    bool json = false, verify = false, ordinary_pages = false;

    [[nodiscard]] std::vector<std::uint32_t> flows_or(std::vector<std::uint32_t> usual) const {
        return flows.empty() ? std::move(usual) : flows;
    }
    /// The most of what `bytes(flows)` is for those numbers of flows: a scenario has one box at a time.
    template <class Bytes>
    [[nodiscard]] std::uint64_t most_over_flows(std::vector<std::uint32_t> usual, Bytes&& bytes) const {
        std::uint64_t most = 0;
        for (const std::uint32_t n : flows_or(std::move(usual))) most = std::max<std::uint64_t>(most, bytes(n));
        return most;
    }
    [[nodiscard]] std::vector<std::uint32_t> rules_or(std::vector<std::uint32_t> usual) const {
        return rules.empty() ? std::move(usual) : rules;
    }
};

}  // namespace sluice::bench

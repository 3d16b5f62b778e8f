// For tests of ICMP errors: who sends them, and what lets them pass.
#pragma once

#include <string>

#include "tests/support/two_ports.hh"

namespace sluice::test {

inline constexpr Ip4 kRouter = ip4(203, 0, 113, 77);  // on the way, outside
inline constexpr Ip4 kPool = ip4(203, 0, 113, 50);

inline const std::string kOnlyRelated = R"(
filter:
  input: {policy: drop, rules: [{state: related, action: accept}]}
  forward:
    policy: drop
    rules:
      - {state: related, dst: 192.168.1.0/24, action: accept}
      - {in: lan, state: [new, established], action: accept}
  output: {policy: accept, rules: []}
)";

inline constexpr std::size_t kWhole = 2000;  ///< of a quote: all of the packet

struct ErrorBox : TwoPorts {
    [[nodiscard]] std::uint64_t unrelated() const {
        return sum([](const WorkerCounters& c) -> const Counter& {
            return c.invalid[static_cast<std::size_t>(InvalidReason::icmp_unrelated)];
        });
    }
};

}  // namespace sluice::test

#include "tests/bench/scenario.hh"

#include <array>
#include <string_view>

namespace sluice::bench {

std::span<const Scenario* const> all_scenarios() {
    static constexpr std::array kAll{&kIo, &kE1, &kE2, &kE3, &kE4, &kN1, &kN2, &kN3, &kC1,
                                     &kC2, &kR1, &kM1, &kS1, &kA1, &kK1, &kO1, &kJ1};
    return kAll;
}

const Scenario* find_scenario(std::string_view name) {
    for (const Scenario* s : all_scenarios())
        if (name == s->name) return s;
    return nullptr;
}

}  // namespace sluice::bench

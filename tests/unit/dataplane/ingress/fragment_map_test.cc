#include "dataplane/ingress/fragment_map.hh"

#include <memory>
#include <random>
#include <vector>

#include <catch2/catch.hpp>

using namespace sluice;
using Place = FragmentMap::Place;

TEST_CASE("a fragment is fresh, repeated or overlapping") {
    FragmentMap map;
    CHECK(map.add(0, 24) == Place::fresh);
    CHECK(map.add(24, 48) == Place::fresh);
    CHECK(map.add(96, 120) == Place::fresh);
    CHECK(map.reach() == 120);

    CHECK(map.add(0, 24) == Place::repeated);
    CHECK(map.add(8, 16) == Place::repeated);
    CHECK(map.add(16, 32) == Place::repeated);  // of two that came in order
    CHECK(map.add(40, 56) == Place::overlapping);
    CHECK(map.add(88, 104) == Place::overlapping);
    CHECK(map.add(0, 120) == Place::overlapping);
    CHECK(map.add(112, 128) == Place::overlapping);

    CHECK(map.add(48, 96) == Place::fresh);  // the gap
    CHECK(map.reach() == 120);
    // Everything is here, but not from one run: Linux sees three pieces here.
    CHECK(map.add(40, 56) == Place::overlapping);
    CHECK(map.add(48, 96) == Place::repeated);

    map.clear();
    CHECK(map.reach() == 0);
    CHECK(map.add(0, 120) == Place::fresh);
}

TEST_CASE("the last bytes of the largest datagram have a place") {
    FragmentMap map;
    CHECK(map.add(65512, 65515) == Place::fresh);
    CHECK(map.add(65512, 65515) == Place::repeated);
    CHECK(map.add(0, 65512) == Place::fresh);
    CHECK(map.reach() == 65515);
    map.clear();
    CHECK(map.add(0, 65536) == Place::fresh);
    CHECK(map.add(65528, 65536) == Place::repeated);
}

namespace {

/// The same as told by Linux: a list of runs, each begun by a fragment that did not continue the farthest one.
class Runs {
public:
    Place add(unsigned begin, unsigned end) {
        for (auto& r : runs_) {
            if (end <= r.begin || begin >= r.end) continue;
            return begin >= r.begin && end <= r.end ? Place::repeated : Place::overlapping;
        }
        if (end > reach_ && begin == reach_ && !runs_.empty()) {
            runs_[farthest_].end = end;
        } else {
            runs_.push_back({begin, end});
            if (end > reach_) farthest_ = runs_.size() - 1;
        }
        if (end > reach_) reach_ = end;
        return Place::fresh;
    }

private:
    struct Run {
        unsigned begin, end;
    };
    std::vector<Run> runs_;
    std::size_t farthest_ = 0;
    unsigned reach_ = 0;
};

}  // namespace

TEST_CASE("ten thousand random fragments are placed as Linux places them") {
    std::mt19937 random(7);
    const auto map = std::make_unique<FragmentMap>();
    unsigned repeated = 0, overlapping = 0;
    for (unsigned datagram = 0; datagram < 500; ++datagram) {
        map->clear();
        Runs runs;
        for (unsigned i = 0; i < 20; ++i) {
            const auto begin = static_cast<unsigned>(random() % 200 * 8);
            const auto end = static_cast<unsigned>(begin + (1 + random() % 30) * 8);
            const Place place = map->add(begin, end);
            REQUIRE(place == runs.add(begin, end));
            repeated += place == Place::repeated;
            overlapping += place == Place::overlapping;
        }
    }
    CHECK(repeated > 100);
    CHECK(overlapping > 100);
}

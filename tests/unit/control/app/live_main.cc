// A live box needs the EAL (once in a process), twins and netlink: these tests run in a network namespace of their own,
// with one box for all of them. Without the right to make one, or a second core, they are skipped (exit code 77), not
// passed.
#include <cstdio>
#include <sched.h>

#define CATCH_CONFIG_RUNNER
#include <catch2/catch.hpp>

#include "tests/unit/control/app/live_room.hh"

namespace sluice::test {

LiveRoom* the_room = nullptr;

}  // namespace sluice::test

int main(int argc, char** argv) {
    if (unshare(CLONE_NEWNET) != 0) {
        std::perror("skipped: cannot make a network namespace");
        return 77;
    }
    cpu_set_t cpus;
    CPU_ZERO(&cpus);
    if (sched_getaffinity(0, sizeof cpus, &cpus) != 0 || !CPU_ISSET(0, &cpus) || !CPU_ISSET(1, &cpus)) {
        std::fputs("skipped: a box needs cores 0 and 1\n", stderr);
        return 77;
    }
    try {
        sluice::test::LiveRoom room;
        sluice::test::the_room = &room;
        return Catch::Session().run(argc, argv);
    } catch (const std::exception& error) {
        std::fprintf(stderr, "the box does not start: %s\n", error.what());
        return 1;
    }
}

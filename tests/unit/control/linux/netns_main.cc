// These tests talk to a real kernel, each in a network namespace of its own, which they enter by themselves. Without
// the right to do that they are skipped (exit code 77), not passed.
#include <cstdio>
#include <sched.h>

#define CATCH_CONFIG_RUNNER
#include <catch2/catch.hpp>

int main(int argc, char** argv) {
    if (unshare(CLONE_NEWNET) != 0) {
        std::perror("skipped: cannot make a network namespace");
        return 77;
    }
    return Catch::Session().run(argc, argv);
}

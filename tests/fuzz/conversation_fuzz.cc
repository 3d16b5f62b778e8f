// libFuzzer harness of the whole data plane, from parse to transmit, with filter, NAT, FTP helper and one or two
// workers. Its input is not a packet but a program that makes packets (tests/fuzz/play.hh), so that conversations get
// past the first checks; parse_fuzz.cc throws bytes at the parser alone.
//
// The box checks itself by Catch2 assertions, so all runs inside one test case, and a failed assertion aborts.
#define CATCH_CONFIG_RUNNER
#define CATCH_CONFIG_NO_POSIX_SIGNALS  // they are the fuzzer's
#include <cstdint>
#include <cstdio>
#include <cstdlib>

#include <catch2/catch.hpp>

#include "tests/fuzz/play.hh"

extern "C" int LLVMFuzzerRunDriver(int* argc, char*** argv,
                                   int (*callback)(const std::uint8_t* data, std::size_t size));

namespace {

int argument_count;
char** arguments;

struct Judge : Catch::TestEventListenerBase {
    using TestEventListenerBase::TestEventListenerBase;
    bool assertionEnded(const Catch::AssertionStats& stats) override {
        if (stats.assertionResult.isOk()) return true;
        for (const auto& info : stats.infoMessages) std::fprintf(stderr, "%s\n", info.message.c_str());
        sluice::fuzz::require(false, stats.assertionResult.getExpandedExpression().c_str());
        return true;
    }
};
CATCH_REGISTER_LISTENER(Judge)

int play(const std::uint8_t* data, std::size_t size) {
    static sluice::fuzz::Stage one(1), two(2);
    sluice::fuzz::Tape tape({data, size});
    (tape.one_in(2) ? two : one).play(tape);
    return 0;
}

}  // namespace

TEST_CASE("conversations") {
    LLVMFuzzerRunDriver(&argument_count, &arguments, play);
}

int main(int argc, char** argv) {
    argument_count = argc;
    arguments = argv;
    return Catch::Session().run(1, argv);
}

#include "control/app/table_log.hh"

#include <memory>
#include <sstream>

#include <catch2/catch.hpp>
#include <spdlog/sinks/ostream_sink.h>
#include <spdlog/spdlog.h>

using namespace sluice::app;
using namespace std::chrono_literals;

namespace {

struct Room {
    Room() {
        auto logger =
            std::make_shared<spdlog::logger>("table", std::make_shared<spdlog::sinks::ostream_sink_st>(written));
        logger->set_pattern("%v");
        spdlog::set_default_logger(logger);
    }
    ~Room() { spdlog::set_default_logger(former); }

    std::string look() {
        log.look(events, {1000, 500}, now);
        std::string text = written.str();
        written.str({});
        return text;
    }

    std::shared_ptr<spdlog::logger> former = spdlog::default_logger();
    std::ostringstream written;
    TableLog log;
    TableEvents events;
    std::chrono::steady_clock::time_point now{1h};
};

}  // namespace

TEST_CASE_METHOD(Room, "a full table speaks Linux's words, and says how many packets it cost") {
    CHECK(look().empty());
    events.refused = 7;
    CHECK(look() == "nf_conntrack: nf_conntrack: table full, dropping packet (7 dropped, limit 1000)\n");
    now += 500ms;
    CHECK(look().empty());
    events.refused = 9;
    CHECK(look() == "nf_conntrack: nf_conntrack: table full, dropping packet (2 dropped, limit 1000)\n");
}

TEST_CASE_METHOD(Room, "refusals are told ten times in five seconds, and none is left out of the count") {
    unsigned lines = 0;
    for (unsigned i = 0; i < 49; ++i, now += 100ms) {
        events.refused += 3;
        lines += look().empty() ? 0 : 1;
    }
    CHECK(lines == 10);
    now += 100ms;
    CHECK(look() == "nf_conntrack: nf_conntrack: table full, dropping packet (117 dropped, limit 1000)\n");
}

TEST_CASE_METHOD(Room, "early drops are told once in five seconds, and silence nothing else") {
    events.early_drops = 100;
    events.half_open_early_drops = 20;
    CHECK(look() ==
          "nf_conntrack: table full, 100 flows dropped early (limit 1000)\n"
          "nf_conntrack: half-open budget full, 20 flows dropped early (limit 500)\n");
    now += 4999ms;
    events.early_drops = 105;
    CHECK(look().empty());
    events.half_open_refused = 1;
    CHECK(look() == "nf_conntrack: half-open budget full, dropping packet (1 dropped, limit 500)\n");
    now += 1ms;
    CHECK(look() == "nf_conntrack: table full, 5 flows dropped early (limit 1000)\n");
}

#include "dataplane/track/alg/segment_join.hh"

#include <array>
#include <string>

#include <catch2/catch.hpp>

#include "dataplane/track/alg/ftp_parse.hh"

using namespace sluice;

namespace {

std::string joined(const SegmentJoin& join, std::string_view payload, std::size_t skip) {
    std::array<char, 2048> room{};
    return {room.data(), join.join(payload, skip, room)};
}

}  // namespace

TEST_CASE("join: every command cut at every place is read whole") {
    struct Case {
        const char* line;
        FtpSide side;
    };
    for (const auto& c : {Case{"PORT 192,0,2,1,4,5\r\n", FtpSide::client},
                          {"EPRT |1|192.0.2.1|1029|\r\n", FtpSide::client},
                          {"227 Entering Passive Mode (192,0,2,1,4,5)\r\n", FtpSide::server},
                          {"229 Extended (|||1029|)\r\n", FtpSide::server}})
        for (std::uint32_t isn : {1000U, 0xfffffffaU})
            for (std::size_t cut = 1; cut < std::string_view(c.line).size(); ++cut) {
                INFO(c.line << " cut at " << cut);
                const std::string_view line(c.line);
                SegmentJoin join;
                FtpScan first(line.substr(0, cut), c.side);
                const auto part = first.next();
                REQUIRE(part);
                REQUIRE(part->incomplete);
                REQUIRE(join.hold(isn, line.substr(part->line_begin, part->line_end), 0) == HoldResult::held);
                const auto step = join.arrive(isn + static_cast<std::uint32_t>(cut), line.size() - cut);
                REQUIRE(step.action == JoinAction::join);
                const auto whole = joined(join, line.substr(cut), step.skip);
                CHECK(whole == line);
                CHECK(join.begin() == isn);
                FtpScan second(whole, c.side);
                const auto command = second.next();
                REQUIRE(command);
                CHECK(command->announces());
                CHECK(command->port == be16(1029));
            }
}

TEST_CASE("join: a command in single bytes is collected") {
    const std::string line = "PORT 192,0,2,1,4,5\r\n";
    SegmentJoin join;
    REQUIRE(join.hold(500, line.substr(0, 1), 0) == HoldResult::held);
    for (std::size_t i = 1; i < line.size(); ++i) {
        CHECK(join.on_ack(500) == 500 + i);
        const auto step = join.arrive(static_cast<std::uint32_t>(500 + i), 1);
        REQUIRE(step.action == JoinAction::join);
        const auto text = joined(join, line.substr(i, 1), step.skip);
        FtpScan scan(text, FtpSide::client);
        const auto command = scan.next();
        REQUIRE(command);
        CHECK(command->incomplete == (i + 1 < line.size()));
        if (command->incomplete) REQUIRE(join.hold(500, text, 0) == HoldResult::held);
    }
}

TEST_CASE("join: the acknowledgement of what precedes the text is lifted over it, others are not") {
    SegmentJoin join;
    CHECK(join.on_ack(77) == 77);
    REQUIRE(join.hold(0xfffffffeU, "PORT 1", 0) == HoldResult::held);
    CHECK(join.on_ack(0xfffffff0U) == 0xfffffff0U);
    CHECK_FALSE(join.promised());
    CHECK(join.on_ack(0xfffffffeU) == 4);
    CHECK(join.promised());
    CHECK(join.on_ack(0xfffffffdU) == 0xfffffffdU);  // reordered, old
    CHECK(join.on_ack(1) == 4);                      // inside: never less than what was promised
    CHECK(join.active());
    CHECK(join.on_ack(20) == 20);
    CHECK_FALSE(join.active());
    CHECK_FALSE(join.promised());
}

TEST_CASE("join: retransmissions of the held part, of the second part and of both") {
    SegmentJoin join;
    REQUIRE(join.hold(1010, "PORT 192,0", 0) == HoldResult::held);  // 1010 … 1020
    // The held segment again, with the ten bytes that preceded it.
    auto step = join.arrive(1000, 20);
    CHECK(step.action == JoinAction::trim);
    CHECK(step.skip == 10);
    step = join.arrive(1010, 10);
    CHECK(step.action == JoinAction::trim);
    CHECK(step.skip == 0);
    step = join.arrive(1010, 4);
    CHECK(step.action == JoinAction::trim);
    step = join.arrive(1015, 5);
    CHECK(step.action == JoinAction::trim);
    CHECK(step.skip == 0);
    // Older data and pure ACKs go by.
    CHECK(join.arrive(1000, 10).action == JoinAction::pass);
    CHECK(join.arrive(1020, 0).action == JoinAction::pass);
    // The second part, overlapping or not, once or again.
    CHECK(join.arrive(1020, 5).action == JoinAction::join);
    step = join.arrive(1016, 10);
    CHECK(step.action == JoinAction::join);
    CHECK(step.skip == 4);
    CHECK(joined(join, "92,0,2,1,4", 4) == "PORT 192,0,2,1,4");
    // What follows goes by: the text stays until it is acknowledged.
    CHECK(join.arrive(1026, 5).action == JoinAction::pass);
    // Both in one retransmission: whole already.
    CHECK(join.arrive(1010, 25).action == JoinAction::pass);
    CHECK(join.arrive(1000, 35).action == JoinAction::pass);
    CHECK(join.active());
}

TEST_CASE("join: FIN releases the text as it is") {
    SegmentJoin join;
    REQUIRE(join.hold(1010, "PORT", 0) == HoldResult::held);
    CHECK(join.arrive(1014, 0, false).action == JoinAction::pass);
    const auto step = join.arrive(1014, 0, true);
    CHECK(step.action == JoinAction::join);
    CHECK(joined(join, "", step.skip) == "PORT");
    CHECK(join.arrive(1010, 4, true).action == JoinAction::pass);
    CHECK(join.on_ack(1015) == 1015);
    CHECK_FALSE(join.active());
}

TEST_CASE("join: bounds") {
    SegmentJoin join;
    CHECK(join.hold(1, "", 0) == HoldResult::too_long);
    CHECK(join.hold(1, std::string(513, 'x'), 0) == HoldResult::too_long);
    CHECK_FALSE(join.active());
    CHECK(join.arrive(1, 5).action == JoinAction::pass);
    REQUIRE(join.hold(1, std::string(512, 'x'), 0) == HoldResult::held);
    std::array<char, 514> room{};
    CHECK(join.join("abc", 0, room) == 0);
    CHECK(join.join("abc", 1, room) == 514);
    CHECK(room[511] == 'x');
    CHECK(room[512] == 'b');
    // The payload may lie in the room already.
    std::array<char, 600> in_place{'y', 'z'};
    CHECK(join.join({in_place.data(), 2}, 0, in_place) == 514);
    CHECK(in_place[0] == 'x');
    CHECK(in_place[512] == 'y');
    CHECK(in_place[513] == 'z');
}

TEST_CASE("join: time reclaims only what the sender still has") {
    SegmentJoin join;
    CHECK_FALSE(join.expire(1'000'000));
    REQUIRE(join.hold(100, "PORT", 0xfffffff0U) == HoldResult::held);  // the clock wraps
    CHECK_FALSE(join.expire(4000));
    CHECK(join.expire(5000));
    CHECK_FALSE(join.active());
    REQUIRE(join.hold(100, "PORT", 0) == HoldResult::held);
    CHECK(join.on_ack(100) == 104);
    CHECK_FALSE(join.expire(1'000'000));
    CHECK(join.text() == "PORT");
    // A promised text is not given up for another one.
    CHECK(join.hold(200, "EPRT", 0) == HoldResult::busy);
    CHECK(join.text() == "PORT");
    join.clear();
    CHECK_FALSE(join.active());
}

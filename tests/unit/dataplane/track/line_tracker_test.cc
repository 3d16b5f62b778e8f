#include "dataplane/track/alg/line_tracker.hh"

#include <catch2/catch.hpp>

using namespace sluice;

TEST_CASE("lines: nothing is a line start before one was seen") {
    const LineTracker lines;
    CHECK_FALSE(lines.at_line_start(0));
    CHECK_FALSE(lines.at_line_start(1));
}

TEST_CASE("lines: the two latest starts are remembered, the older one goes") {
    LineTracker lines;
    lines.note_line_end(100);
    lines.note_line_end(120);
    CHECK(lines.at_line_start(100));
    CHECK(lines.at_line_start(120));
    lines.note_line_end(150);
    CHECK_FALSE(lines.at_line_start(100));
    CHECK(lines.at_line_start(120));
    CHECK(lines.at_line_start(150));
    CHECK_FALSE(lines.at_line_start(151));
}

TEST_CASE("lines: a repeated start changes nothing and an old one pushes out nothing") {
    LineTracker lines;
    lines.note_line_end(100);
    lines.note_line_end(100);
    lines.note_line_end(120);
    lines.note_line_end(120);
    lines.note_line_end(80);
    CHECK(lines.at_line_start(100));
    CHECK(lines.at_line_start(120));
    CHECK_FALSE(lines.at_line_start(80));
    lines.note_line_end(110);  // between the two: newer than the older one
    CHECK(lines.at_line_start(110));
    CHECK(lines.at_line_start(120));
}

TEST_CASE("lines: order holds across the wrap of sequence numbers") {
    LineTracker lines;
    lines.note_line_end(0xfffffff0U);
    lines.note_line_end(0xfffffffcU);
    lines.note_line_end(0x00000008U);
    CHECK_FALSE(lines.at_line_start(0xfffffff0U));
    CHECK(lines.at_line_start(0xfffffffcU));
    CHECK(lines.at_line_start(8));
    lines.note_line_end(0xfffffff4U);
    CHECK_FALSE(lines.at_line_start(0xfffffff4U));
    lines.note_line_end(0);
    CHECK(lines.at_line_start(0));
    CHECK(lines.at_line_start(8));
}

TEST_CASE("lines: a segment that runs ahead of the stream does not pass") {
    LineTracker lines;
    CHECK(lines.in_order(12345));  // nothing known yet
    lines.note_data(0xfffffff0U);
    CHECK(lines.in_order(0xfffffff0U));
    CHECK(lines.in_order(0xffffff00U));
    CHECK_FALSE(lines.in_order(0xfffffff1U));
    CHECK_FALSE(lines.in_order(3));
    lines.note_data(3);
    CHECK(lines.in_order(3));
    lines.note_data(0xfffffff8U);  // a retransmission moves nothing back
    CHECK(lines.in_order(3));
    CHECK_FALSE(lines.in_order(4));
}

TEST_CASE("lines: the first remembered start within a segment") {
    LineTracker lines;
    CHECK_FALSE(lines.first_start_in(0, 100));
    lines.note_line_end(4);
    lines.note_line_end(0xfffffff8U);
    CHECK(lines.first_start_in(0xfffffff0U, 20) == 0xfffffff8U);
    CHECK(lines.first_start_in(0xfffffff8U, 20) == 0xfffffff8U);
    CHECK(lines.first_start_in(0xfffffff9U, 20) == 4U);
    CHECK(lines.first_start_in(4, 5) == 4U);
    CHECK_FALSE(lines.first_start_in(4, 4));
    CHECK_FALSE(lines.first_start_in(0xfffffff9U, 4));
    CHECK_FALSE(lines.first_start_in(5, 20));
}

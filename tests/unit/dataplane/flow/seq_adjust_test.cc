#include "dataplane/flow/seq_adjust.hh"

#include <array>
#include <random>
#include <vector>

#include <catch2/catch.hpp>

using namespace sluice;

namespace {

/// 32 bits at a time, from a fixed seed.
class Random {
public:
    explicit Random(std::uint32_t seed) : engine_(seed) {}
    std::uint32_t operator()() { return static_cast<std::uint32_t>(engine_()); }

private:
    std::mt19937 engine_;
};

std::vector<std::uint8_t> sack_option(const std::vector<std::uint32_t>& edges) {
    std::vector<std::uint8_t> bytes{1, 1, 5, static_cast<std::uint8_t>(2 + 4 * edges.size())};
    for (const auto edge : edges)
        for (int shift = 24; shift >= 0; shift -= 8) bytes.push_back(static_cast<std::uint8_t>(edge >> shift));
    return bytes;
}

}  // namespace

TEST_CASE("seq: nothing recorded, nothing shifted") {
    const SeqAdjust adjust;
    CHECK_FALSE(adjust.active());
    CHECK(adjust.adjust_seq(5) == 5);
    CHECK(adjust.adjust_ack(5) == 5);
    CHECK_FALSE(adjust.inside_change(5));
    CHECK_FALSE(adjust.first_line_in(0, 100));
}

TEST_CASE("seq: one longer text, before, inside and behind it, also across the wrap") {
    for (const std::uint32_t origin : {0U, 1000U, 0xfffffff5U, 0x7ffffff5U}) {
        INFO(origin);
        SeqAdjust adjust;
        // Line at +10, text ends at +20, five bytes longer: +25 for the receiver.
        REQUIRE(adjust.record(origin + 10, origin + 20, 5) == SeqRecord::recorded);
        CHECK(adjust.active());
        CHECK(adjust.adjust_seq(origin) == origin);
        CHECK(adjust.adjust_seq(origin + 10) == origin + 10);
        CHECK(adjust.adjust_seq(origin + 20) == origin + 25);
        CHECK(adjust.adjust_seq(origin + 500) == origin + 505);
        CHECK(adjust.adjust_ack(origin + 10) == origin + 10);
        for (std::uint32_t inside = 11; inside < 25; ++inside) {
            CHECK(adjust.adjust_ack(origin + inside) == origin + 10);
            CHECK(adjust.adjust_left_edge(origin + inside) == origin + 20);
        }
        CHECK(adjust.adjust_ack(origin + 25) == origin + 20);
        CHECK(adjust.adjust_left_edge(origin + 25) == origin + 20);
        CHECK(adjust.adjust_ack(origin + 26) == origin + 21);
        CHECK_FALSE(adjust.inside_change(origin + 10));
        CHECK(adjust.inside_change(origin + 11));
        CHECK(adjust.inside_change(origin + 19));
        CHECK_FALSE(adjust.inside_change(origin + 20));
        CHECK(adjust.first_line_in(origin + 4, origin + 11) == origin + 10);
        CHECK(adjust.first_line_in(origin + 10, origin + 11) == origin + 10);
        CHECK_FALSE(adjust.first_line_in(origin + 4, origin + 10));
        CHECK_FALSE(adjust.first_line_in(origin + 11, origin + 30));
    }
}

TEST_CASE("seq: a shorter text") {
    SeqAdjust adjust;
    REQUIRE(adjust.record(100, 120, -7) == SeqRecord::recorded);
    CHECK(adjust.adjust_seq(120) == 113);
    CHECK(adjust.adjust_ack(112) == 100);
    CHECK(adjust.adjust_ack(113) == 120);
}

TEST_CASE("seq: a retransmission is known, contradictions and the past are refused") {
    SeqAdjust adjust;
    REQUIRE(adjust.record(100, 120, 3) == SeqRecord::recorded);
    const auto before = adjust.adjust_seq(100);
    CHECK(adjust.record(100, 120, 3) == SeqRecord::known);
    CHECK(adjust.count == 1);
    CHECK(adjust.adjust_seq(100) == before);
    CHECK(adjust.record(100, 120, 4) == SeqRecord::refused);
    CHECK(adjust.record(110, 130, 4) == SeqRecord::refused);
    CHECK(adjust.record(50, 70, 4) == SeqRecord::refused);
    CHECK(adjust.record(200, 200, 4) == SeqRecord::refused);
    CHECK(adjust.record(200, 200 + 70000, 4) == SeqRecord::refused);
    CHECK(adjust.record(200, 220, 40000) == SeqRecord::refused);
    CHECK(adjust.record(200, 220, -21) == SeqRecord::refused);
    CHECK(adjust.record(120, 140, 0) == SeqRecord::recorded);
    CHECK(adjust.count == 2);
    CHECK(adjust.adjust_ack(130) == 120);
}

TEST_CASE("seq: more changes than are remembered become one offset") {
    SeqAdjust adjust;
    for (std::uint32_t i = 0; i < 10; ++i) {
        REQUIRE(adjust.record(1000 + 100 * i, 1020 + 100 * i, 2) == SeqRecord::recorded);
        adjust.note_ack(1020 + 100 * i);
    }
    CHECK(adjust.count == SeqAdjust::kMaxChanges);
    CHECK(adjust.adjust_seq(2000) == 2020);
    CHECK(adjust.adjust_ack(2020) == 2000);
    CHECK(adjust.adjust_seq(1900) == 1918);
    CHECK(adjust.adjust_seq(1800) == 1816);
    CHECK(adjust.adjust_seq(1700) == 1714);
    CHECK(adjust.adjust_ack(1714) == 1700);
}

TEST_CASE("seq: a change that is not acknowledged is never forgotten") {
    SeqAdjust adjust;
    for (std::uint32_t i = 0; i < SeqAdjust::kMaxChanges; ++i)
        REQUIRE(adjust.record(1000 + 100 * i, 1020 + 100 * i, 2) == SeqRecord::recorded);
    CHECK(adjust.record(2000, 2020, 2) == SeqRecord::busy);
    CHECK(adjust.record(1000, 1020, 2) == SeqRecord::known);
    adjust.note_ack(1019);
    CHECK(adjust.record(2000, 2020, 2) == SeqRecord::busy);
    adjust.note_ack(1020);
    CHECK(adjust.record(2000, 2020, 2) == SeqRecord::recorded);
    CHECK(adjust.record(3000, 3020, 2) == SeqRecord::busy);
    CHECK(adjust.adjust_seq(2020) == 2028);
    CHECK(adjust.adjust_seq(1020) == 1022);
}

TEST_CASE("seq: old changes never come to look like the future") {
    SeqAdjust adjust;
    REQUIRE(adjust.record(1000, 1020, 5) == SeqRecord::recorded);
    adjust.settle(1020 + (1U << 30));
    CHECK(adjust.count == 1);
    adjust.settle(1021 + (1U << 30));
    CHECK(adjust.count == 0);
    CHECK(adjust.active());
    // More than 2^31 later every number is still behind the change.
    CHECK(adjust.adjust_seq(1000U + (3U << 30)) == 1005U + (3U << 30));
    CHECK(adjust.adjust_ack(1005U + (3U << 30)) == 1000U + (3U << 30));
}

TEST_CASE("seq: SACK blocks are shifted back, and one that becomes empty is taken out") {
    SeqAdjust adjust;
    REQUIRE(adjust.record(100, 120, 5) == SeqRecord::recorded);
    auto options = sack_option({50, 90, 125, 200});
    CHECK(adjust.adjust_sack(options));
    CHECK(options == sack_option({50, 90, 120, 195}));
    options = sack_option({50, 90, 60, 70});
    CHECK_FALSE(adjust.adjust_sack(options));
    CHECK(options == sack_option({50, 90, 60, 70}));
    // Edges inside the text shrink the block; a block wholly inside disappears and NOPs take its place.
    options = sack_option({110, 200, 105, 118});
    CHECK(adjust.adjust_sack(options));
    auto expected = sack_option({120, 195});
    expected.insert(expected.end(), 8, std::uint8_t{1});
    CHECK(options == expected);
    options = sack_option({105, 118});
    CHECK(adjust.adjust_sack(options));
    CHECK(options == std::vector<std::uint8_t>(12, 1));
}

TEST_CASE("seq: malformed options are survived") {
    SeqAdjust adjust;
    REQUIRE(adjust.record(100, 120, 5) == SeqRecord::recorded);
    for (std::vector<std::uint8_t> options : std::vector<std::vector<std::uint8_t>>{{},
                                                                                    {5},
                                                                                    {5, 0},
                                                                                    {5, 1},
                                                                                    {5, 2},
                                                                                    {5, 10},
                                                                                    {5, 10, 0, 0},
                                                                                    {5, 9, 0, 0, 0, 200, 0, 0, 0},
                                                                                    {0, 5, 10},
                                                                                    {1, 1, 1},
                                                                                    {8, 255}}) {
        const auto before = options;
        CHECK_FALSE(adjust.adjust_sack(options));
        CHECK(options == before);
    }
    Random random(7);
    for (int round = 0; round < 20000; ++round) {
        std::vector<std::uint8_t> options(random() % 41);
        for (auto& byte : options) byte = static_cast<std::uint8_t>(random() % 3 == 0 ? 5 : random() % 20);
        const auto size = options.size();
        adjust.adjust_sack(options);
        CHECK(options.size() == size);
    }
}

TEST_CASE("seq: a header is shifted in both directions and its checksum follows") {
    Random random(11);
    for (int round = 0; round < 2000; ++round) {
        SeqAdjust own, peer;
        const auto base = static_cast<std::uint32_t>(random());
        if (round % 3 != 0)
            REQUIRE(own.record(base, base + 20, static_cast<int>(random() % 40) - 20) != SeqRecord::refused);
        if (round % 3 != 1)
            REQUIRE(peer.record(base, base + 20, static_cast<int>(random() % 40) - 20) != SeqRecord::refused);
        std::array<std::uint8_t, 60> header{};
        for (auto& byte : header) byte = static_cast<std::uint8_t>(random());
        const bool ack = round % 5 != 0;
        header[12] = 0xf0;
        header[13] = ack ? 0x10 : 0x02;
        const auto put = [&header](std::size_t at, std::uint32_t value) {
            const auto wire = Be32::from_host(value);
            std::memcpy(&header[at], &wire, 4);
        };
        const auto get = [&header](std::size_t at) {
            Be32 wire;
            std::memcpy(&wire, &header[at], 4);
            return wire.host();
        };
        const auto seq = base + random() % 60, acked = base + random() % 60;
        put(4, seq);
        put(8, acked);
        // A timestamp option before it puts the SACK blocks at odd places.
        const auto sack = sack_option({base + 30, base + 50, base + 5, base + 12});
        header[20] = 3, header[21] = 3, header[22] = 7;
        std::copy(sack.begin(), sack.end(), header.begin() + 23);
        std::fill(header.begin() + 23 + static_cast<std::ptrdiff_t>(sack.size()), header.end(), std::uint8_t{1});
        header[16] = header[17] = 0;
        const auto checksum = checksum_of(header.data(), header.size());
        const auto delta = adjust_tcp_header(header, own, peer);
        CHECK(get(4) == own.adjust_seq(seq));
        CHECK(get(8) == (ack ? peer.adjust_ack(acked) : acked));
        if (!ack || !peer.active()) CHECK(std::equal(sack.begin(), sack.end(), header.begin() + 23));
        CHECK(delta.apply(checksum) == checksum_of(header.data(), header.size()));
    }
    std::array<std::uint8_t, 19> cut{};
    SeqAdjust own;
    REQUIRE(own.record(0, 20, 5) == SeqRecord::recorded);
    CHECK(adjust_tcp_header(cut, own, own).sum == 0);
    CHECK(cut == std::array<std::uint8_t, 19>{});
}

TEST_CASE("seq: every place outside the changes survives the way there and back") {
    Random random(23);
    for (int round = 0; round < 300; ++round) {
        SeqAdjust adjust;
        auto at = static_cast<std::uint32_t>(random());
        const auto origin = at;
        std::vector<SeqAdjust::Change> known;
        for (unsigned i = 0; i < SeqAdjust::kMaxChanges; ++i) {
            at += random() % 30;
            const auto length = static_cast<std::uint32_t>(1 + random() % 30);
            const auto delta = static_cast<int>(random() % 40) - static_cast<int>(std::min(length, 20U));
            REQUIRE(adjust.record(at, at + length, delta) == SeqRecord::recorded);
            known.push_back({at, static_cast<std::uint16_t>(length), static_cast<std::int16_t>(delta)});
            at += length;
        }
        for (auto seq = origin; seq != at + 50; ++seq) {
            std::uint32_t expected = seq;
            for (const auto& change : known)
                if (!seq_before(seq, change.end())) expected += static_cast<std::uint32_t>(std::int32_t{change.delta});
            CHECK(adjust.adjust_seq(seq) == expected);
            if (adjust.inside_change(seq)) continue;
            // A text that vanished leaves two places of the sender at one of the receiver: either is right.
            const auto back = adjust.adjust_ack(expected);
            if (back != seq) CHECK(adjust.adjust_seq(back) == expected);
        }
    }
}

// A whole control connection through the pure pieces of the helper: a sender (with or without Nagle's algorithm) that
// cuts its commands anywhere, loses, repeats and re-cuts segments; a box that finds, holds, joins, rewrites and shifts;
// a receiver that answers as TCP does, with SACK. Whatever happens on the way, the receiver must read exactly the
// rewritten text, the sender must get it all acknowledged, and no byte may ever be seen with two values.
#include "tests/support/ftp_stream.hh"

#include <algorithm>
#include <array>
#include <optional>
#include <string>
#include <vector>

#include <catch2/catch.hpp>

#include "dataplane/flow/seq_adjust.hh"
#include "dataplane/track/alg/ftp_parse.hh"
#include "dataplane/track/alg/line_tracker.hh"
#include "dataplane/track/alg/segment_join.hh"
#include "dataplane/translate/ftp_mangle.hh"

using namespace sluice;
using namespace sluice::test::ftp;

namespace {

constexpr Ip4 kOutside = ip4(203, 0, 113, 200);

/// What the glue between flows and the pure pieces does, on strings.
class Box {
public:
    explicit Box(std::uint32_t first) {
        lines_.note_line_end(first);
        lines_.note_data(first);
    }

    std::optional<Segment> forward(Segment in) {
        if (!lines_.in_order(in.seq)) return std::nullopt;
        const auto step = join_.arrive(in.seq, in.data.size());
        if (step.action == JoinAction::trim) {
            if (step.skip == 0) return Segment{adjust_.adjust_seq(join_.begin()) - 1, ""};
            return leave({in.seq, in.data.substr(0, step.skip)});
        }
        if (step.action == JoinAction::join) {
            std::array<char, 4096> room{};
            in = {join_.begin(), std::string(room.data(), join_.join(in.data, step.skip, room))};
        }
        return leave(std::move(in));
    }

    Ack backward(Ack in) {
        const auto ack = adjust_.adjust_ack(in.ack);
        adjust_.note_ack(ack);
        Ack out{join_.on_ack(ack), 0, 0};
        if (in.sack_left != in.sack_right) {
            out.sack_left = adjust_.adjust_left_edge(in.sack_left);
            out.sack_right = adjust_.adjust_ack(in.sack_right);
            if (!seq_before(out.sack_left, out.sack_right)) out.sack_left = out.sack_right = 0;
        }
        return out;
    }

    unsigned held = 0, rewritten = 0;

private:
    std::optional<Segment> leave(Segment segment) {
        const auto end = segment.seq + static_cast<std::uint32_t>(segment.data.size());
        auto start = lines_.first_start_in(segment.seq, end);
        const auto changed = adjust_.first_line_in(segment.seq, end);
        if (changed && (!start || seq_before(*changed, *start))) start = changed;
        if (adjust_.inside_change(segment.seq) && !segment.data.empty()) return std::nullopt;
        const bool ends_line = !segment.data.empty() && segment.data.back() == '\n';
        refused_.reset();
        if (start && !edit(segment, *start - segment.seq)) return std::nullopt;
        lines_.note_data(refused_ ? *refused_ : end);
        if (segment.data.empty()) return Segment{adjust_.adjust_seq(segment.seq) - 1, ""};
        if (ends_line && !refused_) lines_.note_line_end(end);
        return Segment{adjust_.adjust_seq(segment.seq), segment.data};
    }

    bool edit(Segment& segment, std::size_t from) {
        const std::string text = segment.data.substr(from);
        const auto origin = segment.seq + static_cast<std::uint32_t>(from);
        std::vector<FtpCommand> found;
        FtpScan scan(text, FtpSide::client);
        while (const auto command = scan.next()) {
            if (command->announces()) found.push_back(*command);
            if (!command->incomplete) continue;
            const auto at = origin + static_cast<std::uint32_t>(command->line_begin);
            const auto result = join_.hold(at, text.substr(command->line_begin), 0);
            if (result == HoldResult::too_long) continue;
            if (result == HoldResult::busy && from + command->line_begin == 0) return false;
            if (result == HoldResult::busy)
                refused_ = at;
            else
                ++held;
            lines_.note_line_end(at);
            segment.data.resize(from + command->line_begin);
        }
        std::vector<std::string> texts;
        for (const auto& command : found) {
            std::array<char, kMaxHostPort> room{};
            texts.emplace_back(room.data(),
                               format_host_port(command.kind, kOutside, command.port, command.delimiter, room));
            const auto delta =
                static_cast<int>(texts.back().size()) - static_cast<int>(command.text_end - command.text_begin);
            const auto line_begin = origin + static_cast<std::uint32_t>(command.line_begin);
            const auto recorded =
                adjust_.record(line_begin, origin + static_cast<std::uint32_t>(command.text_end), delta);
            if (recorded == SeqRecord::refused) return false;
            if (recorded == SeqRecord::busy) {
                if (from + command.line_begin == 0) return false;
                refused_ = line_begin;
                segment.data.resize(from + command.line_begin);
                found.resize(texts.size() - 1);
                lines_.note_line_end(line_begin);
                break;
            }
            ++rewritten;
        }
        for (auto i = found.size(); i-- > 0;) {
            std::vector<char> payload(segment.data.begin(), segment.data.end());
            const auto used = payload.size();
            payload.resize(used + kMaxHostPort);
            const auto now =
                replace_in_payload(payload, used, from + found[i].text_begin, from + found[i].text_end, texts[i]);
            REQUIRE(now);
            segment.data.assign(payload.data(), *now);
        }
        return true;
    }

    LineTracker lines_;
    SegmentJoin join_;
    SeqAdjust adjust_;
    std::optional<std::uint32_t> refused_;  ///< where the last packet was cut because the join was busy
};

}  // namespace

TEST_CASE("FTP stream: a command cut at every place gets through, also by a sender with Nagle's algorithm") {
    Random random(1);
    unsigned held = 0, rewritten = 0;
    for (const std::string line : {"PORT 10,0,0,7,78,32\r\n", "EPRT |1|10.0.0.7|20000|\r\n"})
        for (std::size_t cut = 1; cut < line.size(); ++cut)
            for (const bool nagle : {true, false}) {
                INFO(line << " cut at " << cut << (nagle ? " with" : " without") << " Nagle");
                const std::string wanted =
                    line[0] == 'P' ? "PORT 203,0,113,200,78,32\r\n" : "EPRT |1|203.0.113.200|20000|\r\n";
                Box box(0xfffffff0U);
                run(box, {{line.substr(0, cut), line.substr(cut), "LIST\r\n"}, wanted + "LIST\r\n"}, 0xfffffff0U, nagle,
                    0, 3, random);
                held += box.held;
                rewritten += box.rewritten;
            }
    CHECK(held == 2 * (20 + 24));
    CHECK(rewritten == held);
}

TEST_CASE("FTP stream: random commands, cuts, losses and retransmissions") {
    Random random(20);
    unsigned held = 0, rewritten = 0;
    for (unsigned round = 0; round < 1500; ++round) {
        INFO("round " << round);
        const auto script = random_script(random);
        const auto isn = round % 4 == 0 ? 0xffffffffU - random() % 120 : static_cast<std::uint32_t>(random());
        Box box(isn);
        run(box, script, isn, round % 2 == 0, round % 3 == 0 ? 0 : 10 + random() % 25, 1 + random() % 3, random);
        held += box.held;
        rewritten += box.rewritten;
    }
    CHECK(held > 500);
    CHECK(rewritten > 500);
}

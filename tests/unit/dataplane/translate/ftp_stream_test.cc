// A whole control connection through the pure pieces of the helper: a sender (with or without Nagle's algorithm) that
// cuts its commands anywhere, loses, repeats and re-cuts segments; a box that finds, holds, joins, rewrites and shifts;
// a receiver that answers as TCP does, with SACK. Whatever happens on the way, the receiver must read exactly the
// rewritten text, the sender must get it all acknowledged, and no byte may ever be seen with two values.
#include <algorithm>
#include <array>
#include <map>
#include <optional>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include <catch2/catch.hpp>

#include "dataplane/track/alg/ftp_parse.hh"
#include "dataplane/track/alg/line_tracker.hh"
#include "dataplane/track/alg/segment_join.hh"
#include "dataplane/translate/ftp_mangle.hh"
#include "dataplane/flow/seq_adjust.hh"

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

constexpr Ip4 kOutside = ip4(203, 0, 113, 200);

struct Segment {
    std::uint32_t seq = 0;
    std::string data;
};
struct Ack {
    std::uint32_t ack = 0;
    std::uint32_t sack_left = 0, sack_right = 0;  ///< equal: none
};

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

/// Reassembles in its own numbering and insists that every byte has one value.
class Receiver {
public:
    explicit Receiver(std::uint32_t first) : first_(first) {}

    std::optional<Ack> receive(const Segment& segment) {
        const auto at = static_cast<std::int32_t>(segment.seq - first_);
        for (std::size_t i = 0; i < segment.data.size(); ++i) {
            const auto place = at + static_cast<std::int32_t>(i);
            REQUIRE(place >= 0);
            const auto [it, fresh] = bytes_.emplace(place, segment.data[i]);
            if (!fresh) REQUIRE(it->second == segment.data[i]);
        }
        const bool old = seq_before(segment.seq, first_ + next());
        if (segment.data.empty() && !old) return std::nullopt;
        Ack ack{first_ + next(), 0, 0};
        const auto beyond = bytes_.upper_bound(static_cast<std::int32_t>(next()));
        if (beyond != bytes_.end()) {
            auto right = beyond->first;
            while (bytes_.count(right) != 0) ++right;
            ack.sack_left = first_ + static_cast<std::uint32_t>(beyond->first);
            ack.sack_right = first_ + static_cast<std::uint32_t>(right);
        }
        return ack;
    }
    [[nodiscard]] std::string text() const {
        std::string out;
        for (const auto& [place, c] : bytes_) out += c;
        return out.substr(0, next());
    }

private:
    [[nodiscard]] std::uint32_t next() const {
        std::uint32_t at = 0;
        while (bytes_.count(static_cast<std::int32_t>(at)) != 0) ++at;
        return at;
    }
    std::uint32_t first_;
    std::map<std::int32_t, char> bytes_;
};

struct Script {
    std::vector<std::string> writes;  ///< one segment each, when first sent
    std::string expected;
};

/// Runs the writes through the box; `loss` in percent on each of the three ways.
Script random_script(Random& random) {
    Script script;
    const unsigned lines = 2 + random() % 7;
    for (unsigned i = 0; i < lines; ++i) {
        const unsigned port = 1024 + random() % 64000;
        const std::string address = random() % 2 != 0 ? "10,0,0,7" : "192,168,100,177";
        const std::string dotted = random() % 2 != 0 ? "10.0.0.7" : "192.168.100.177";
        std::string line, wanted;
        const auto comma = "," + std::to_string(port >> 8) + "," + std::to_string(port & 255U);
        switch (random() % 4) {
            case 0:
                line = wanted = "NOOP\r\n";
                break;
            case 1:
                line = wanted = "RETR file-" + std::to_string(port) + "\r\n";
                break;
            case 2:
                line = "PORT " + address + comma + "\r\n";
                wanted = "PORT 203,0,113,200" + comma + "\r\n";
                break;
            default:
                line = "EPRT |1|" + dotted + "|" + std::to_string(port) + "|\r\n";
                wanted = "EPRT |1|203.0.113.200|" + std::to_string(port) + "|\r\n";
        }
        script.expected += wanted;
        // Commands are cut anywhere, up to single bytes; other lines may share a segment with what precedes them.
        const bool command = line != wanted;
        if (!script.writes.empty() && script.writes.back().back() == '\n' && random() % 3 == 0) {
            script.writes.back() += line;
            continue;
        }
        while (command && line.size() > 1 && random() % 3 != 0) {
            const auto cut = 1 + random() % (line.size() - 1);
            script.writes.push_back(line.substr(0, cut));
            line.erase(0, cut);
        }
        script.writes.push_back(line);
    }
    return script;
}

void run(const Script& script, std::uint32_t isn, bool nagle, unsigned loss, unsigned flight, Random& random,
         unsigned& held, unsigned& rewritten) {
    std::string stream;
    std::vector<std::uint32_t> ends;
    for (const auto& write : script.writes) {
        stream += write;
        ends.push_back(static_cast<std::uint32_t>(stream.size()));
    }
    Box box(isn);
    Receiver receiver(isn);
    const auto lost = [&] { return random() % 100 < loss; };
    std::uint32_t una = 0, sent = 0;
    std::size_t next_write = 0;
    std::vector<Ack> answers;
    const auto transmit = [&](std::uint32_t from, std::uint32_t to) {
        if (lost()) return;
        const auto out = box.forward({isn + from, stream.substr(from, to - from)});
        if (!out || lost()) return;
        if (const auto ack = receiver.receive(*out); ack && !lost()) answers.push_back(*ack);
        // The network may also deliver it twice.
        if (random() % 8 == 0)
            if (const auto ack = receiver.receive(*out)) answers.push_back(*ack);
    };
    for (unsigned round = 0; una < stream.size(); ++round) {
        REQUIRE(round < 5000);
        bool progress = false;
        // Nagle: a new small segment waits until everything is acknowledged.
        unsigned in_flight = 0;
        for (std::size_t i = 0; i < next_write; ++i) in_flight += ends[i] > una ? 1U : 0U;
        while (next_write < script.writes.size() && in_flight < (nagle ? 1U : flight)) {
            transmit(sent, ends[next_write]);
            sent = ends[next_write++];
            ++in_flight;
        }
        for (const auto& answer : std::exchange(answers, {})) {
            const auto seen = box.backward(answer);
            const auto ack = static_cast<std::int32_t>(seen.ack - isn);
            REQUIRE(ack >= 0);
            REQUIRE(static_cast<std::uint32_t>(ack) <= sent);
            if (static_cast<std::uint32_t>(ack) > una) {
                una = static_cast<std::uint32_t>(ack);
                progress = true;
            }
            if (seen.sack_left != seen.sack_right) {
                REQUIRE(seq_before(seen.sack_left, seen.sack_right));
                REQUIRE_FALSE(seq_after(seen.sack_right, isn + sent));
            }
        }
        if (progress || una == sent) continue;
        // Timeout: the first unacknowledged bytes again, cut as before, or everything in one, or shorter.
        auto to = *std::upper_bound(ends.begin(), ends.end(), una);
        if (random() % 3 == 0) to = sent;
        transmit(una, std::min(to, sent));
    }
    REQUIRE(receiver.text() == script.expected);
    held += box.held;
    rewritten += box.rewritten;
}

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
                run({{line.substr(0, cut), line.substr(cut), "LIST\r\n"}, wanted + "LIST\r\n"}, 0xfffffff0U, nagle, 0,
                    3, random, held, rewritten);
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
        run(script, isn, round % 2 == 0, round % 3 == 0 ? 0 : 10 + random() % 25, 1 + random() % 3, random, held,
            rewritten);
    }
    CHECK(held > 500);
    CHECK(rewritten > 500);
}

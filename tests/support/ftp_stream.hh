// A control connection for the FTP helper's tests: a sender (with or without Nagle's algorithm) that cuts its commands
// anywhere, loses, repeats and re-cuts segments; a receiver that answers as TCP does, with SACK, and insists that no
// byte is ever seen with two values. What lies between them is the test's: the pure pieces, or the whole data plane.
#pragma once

#include <algorithm>
#include <map>
#include <optional>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include <catch2/catch.hpp>

#include "dataplane/base/sequence.hh"

namespace sluice::test::ftp {

/// 32 bits at a time, from a fixed seed.
class Random {
public:
    explicit Random(std::uint32_t seed) : engine_(seed) {}
    std::uint32_t operator()() { return static_cast<std::uint32_t>(engine_()); }

private:
    std::mt19937 engine_;
};

struct Segment {
    std::uint32_t seq = 0;
    std::string data;
};
struct Ack {
    std::uint32_t ack = 0;
    std::uint32_t sack_left = 0, sack_right = 0;  ///< equal: none
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

/// Announcements come from 10.0.0.7 and, unless `one_address`, also from an address of another length; all are to be
/// told as 203.0.113.200.
inline Script random_script(Random& random, bool one_address = false) {
    Script script;
    const unsigned lines = 2 + random() % 7;
    for (unsigned i = 0; i < lines; ++i) {
        const unsigned port = 1024 + random() % 64000;
        const std::string address = one_address || random() % 2 != 0 ? "10,0,0,7" : "192,168,100,177";
        const std::string dotted = one_address || random() % 2 != 0 ? "10.0.0.7" : "192.168.100.177";
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

/// Runs the writes through `box`, which answers `forward(Segment) -> optional<Segment>` and `backward(Ack) -> Ack`; the
/// first byte has the number `isn`. `loss` in percent on each of the three ways; `flight`: writes under way at once.
template <class Box>
void run(Box& box, const Script& script, std::uint32_t isn, bool nagle, unsigned loss, unsigned flight,
         Random& random) {
    std::string stream;
    std::vector<std::uint32_t> ends;
    for (const auto& write : script.writes) {
        stream += write;
        ends.push_back(static_cast<std::uint32_t>(stream.size()));
    }
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
}

}  // namespace sluice::test::ftp

// A hostile network and a sender that cuts anywhere, with the whole data plane between: masquerading, so that every
// announcement changes its length. The model of tests/support/ftp_stream.hh judges: the receiver reads exactly the
// rewritten text, everything is acknowledged, and no byte ever has two values.
#include "tests/support/ftp_stream.hh"

#include <catch2/catch.hpp>

#include "tests/support/box.hh"

using namespace sluice;
using namespace sluice::test;

namespace {

constexpr Ip4 kClient = ip4(10, 0, 0, 7), kServer = ip4(198, 51, 100, 10), kTranslated = ip4(203, 0, 113, 200);

/// One control connection through a box, in the model's terms.
class Connection {
public:
    Connection(Box& box, unsigned sport, std::uint32_t first) : box_(box), sport_(sport) {
        box_.send("lan", tcp(kClient, sport_, kServer, 21).flags(kSyn).seq(first - 1));
        const Decoded syn = box_.one("wan");
        seen_ = syn.sport;
        box_.send("wan", tcp(kServer, 21, kTranslated, seen_).flags(kSyn | kAck).seq(4999).ack(first));
        (void)box_.one("lan");
        box_.send("lan", tcp(kClient, sport_, kServer, 21).seq(first).ack(5000));
        (void)box_.one("wan");
    }
    std::optional<ftp::Segment> forward(const ftp::Segment& in) {
        box_.send("lan", tcp(kClient, sport_, kServer, 21).flags(kAck | kPsh).seq(in.seq).ack(5000).payload(in.data));
        const auto out = box_.sent("wan");
        REQUIRE(out.size() <= 1);
        if (out.empty()) return std::nullopt;
        const Decoded d = decode(out[0]);
        REQUIRE(d.valid_checksums());
        return ftp::Segment{d.seq, d.payload};
    }
    ftp::Ack backward(const ftp::Ack& in) {
        auto packet = tcp(kServer, 21, kTranslated, seen_).seq(5000).ack(in.ack);
        const std::array<std::pair<std::uint32_t, std::uint32_t>, 1> block{{{in.sack_left, in.sack_right}}};
        if (in.sack_left != in.sack_right) packet.sack(block);
        box_.send("wan", packet);
        const Decoded d = box_.one("lan");
        REQUIRE(d.valid_checksums());
        if (d.sack.empty()) return {d.ack, 0, 0};
        return {d.ack, d.sack[0].first, d.sack[0].second};
    }

private:
    Box& box_;
    unsigned sport_, seen_ = 0;
};

}  // namespace

TEST_CASE("FTP stream: the whole data plane between a hostile network and a sender that cuts anywhere") {
    ftp::Random random(22);
    constexpr unsigned kRounds = 1000;
    Box box;
    box.port("lan", PortRole::inside, "10.0.0.1/8");
    box.port("wan", PortRole::outside, "203.0.113.200/24");
    box.route("0.0.0.0/0", "203.0.113.254");
    box.configure(R"(
filter:
  input: {policy: drop, rules: []}
  forward: {policy: accept, rules: []}
  output: {policy: accept, rules: []}
nat: [{out: wan, src: 10.0.0.0/8, snat: masquerade}]
helpers: {ftp: {max_expected: 8}}
conntrack: {timeouts: {tcp_close: 1s}, tcp: {ignore_invalid_rst: true}}
)");
    for (unsigned round = 0; round < kRounds; ++round) {
        INFO("round " << round);
        const auto script = ftp::random_script(random, true);
        const auto isn = round % 4 == 0 ? 0xffffffffU - random() % 120 : static_cast<std::uint32_t>(random());
        Connection connection(box, 10000 + round, isn);
        ftp::run(connection, script, isn, round % 2 == 0, round % 3 == 0 ? 0 : 10 + random() % 25, 1 + random() % 3,
                 random);
        // From before the window: no end would believe it, but here it ends the flow.
        box.send("lan", tcp(kClient, 10000 + round, kServer, 21).flags(kRst | kAck).seq(isn).ack(5000));
        (void)box.sent("wan");
        // What it was promised goes with it: a port that is still promised would be told as another one.
        box.advance(1100);
        REQUIRE(box.flows().empty());
    }
    const auto count = [&](Counter WorkerCounters::*counter) {
        return box.sum([&](const WorkerCounters& c) -> const Counter& { return c.*counter; });
    };
    CHECK(count(&WorkerCounters::alg_held) > kRounds / 3);
    CHECK(count(&WorkerCounters::alg_joined) > kRounds / 3);
    CHECK(count(&WorkerCounters::alg_rewrites) > kRounds / 3);
}

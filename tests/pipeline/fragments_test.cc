// Fragments through the whole data plane: reassembled at their home, tracked and translated as one packet, and sent in
// fragments again. Every step checks the packet balance.
#include "tests/support/fragments.hh"

#include <algorithm>
#include <random>

#include <catch2/catch.hpp>

#include "tests/support/l4_packets.hh"
#include "tests/support/two_ports.hh"
#include "tests/support/two_workers.hh"

using namespace sluice;
using namespace sluice::test;

namespace {

const std::string kForward =
    kAcceptAll + "nat: [{in: wan, dst: 203.0.113.1, proto: udp, dport: 7000, dnat: {to: 192.168.1.10, port: 7001}}]\n";

template <class Box>
struct Fragmenting : Box {
    using Box::Box;

    /// The fragments as they come to `port`.
    std::vector<Frame> arriving(const std::string& port, PacketBuilder packet, std::size_t data_bytes) {
        return fragments_of(packet.to(this->port_mac(port)), data_bytes);
    }
    void send_all(const std::string& port, const std::vector<Frame>& frames, unsigned queue = 0) {
        for (const Frame& f : frames) this->queue_frame(port, f, queue);
        this->settle();
    }
    void send_in_pieces(const std::string& port, const PacketBuilder& packet, std::size_t data_bytes) {
        send_all(port, arriving(port, packet, data_bytes));
    }
    /// The one datagram that left by `port`, and how it left.
    Decoded whole_from(const std::string& port) {
        pieces = this->sent(port);
        const Decoded d = decode(rejoined(pieces));
        CHECK(d.valid_checksums());
        return d;
    }
    std::size_t largest_piece() const {
        std::size_t largest = 0;
        for (const Frame& f : pieces) largest = std::max(largest, f.size() - 14);
        return largest;
    }
    std::vector<std::size_t> sizes() const {
        std::vector<std::size_t> all;
        for (const Frame& f : pieces) all.push_back(f.size() - 14);
        return all;
    }
    std::uint64_t count(Counter WorkerCounters::*counter) const {
        return this->sum([&](const WorkerCounters& c) -> const Counter& { return c.*counter; });
    }

    std::vector<Frame> pieces;
};

using FragmentBox = Fragmenting<TwoPorts>;
using FragmentWorkers = Fragmenting<TwoWorkers>;

std::string pattern(std::size_t bytes) {
    return decode(udp(kClient, 1, kServer, 2).payload_bytes(bytes).bytes()).payload;
}

}  // namespace

TEST_CASE_METHOD(FragmentBox, "fragments go out and back through masquerade in any order") {
    configure(kMasquerade);
    std::mt19937 random(1);
    for (const std::size_t size : {100U, 3000U, 30000U, 65507U}) {
        INFO(size << " bytes");
        auto out = arriving("lan", udp(kClient, 5000, kServer, 53).payload_bytes(size), size == 100 ? 40 : 1480);
        std::shuffle(out.begin(), out.end(), random);
        send_all("lan", out);
        const Decoded seen = whole_from("wan");
        CHECK(pieces.size() == out.size());
        CHECK(seen.src == kBoxOutside);
        CHECK(seen.sport == 5000);
        CHECK(seen.ttl == 63);
        CHECK(seen.payload == pattern(size));

        auto back = arriving("wan", udp(kServer, 53, kBoxOutside, 5000).payload_bytes(size), 1400);
        std::reverse(back.begin(), back.end());
        if (back.size() == 1) continue;  // the small one comes whole
        send_all("wan", back);
        const Decoded answer = whole_from("lan");
        CHECK(answer.dst == kClient);
        CHECK(answer.dport == 5000);
        CHECK(answer.payload == pattern(size));
    }
    const FlowCopy f = flow();
    CHECK(f.packets[0] == 4);
    CHECK(f.packets[1] == 3);
    CHECK(f.bytes[0] == 100 + 3000 + 30000 + 65507 + 4 * 28);
    CHECK(all_drops() == 0);
    CHECK(count(&WorkerCounters::datagrams_joined) == 7);
    CHECK(count(&WorkerCounters::datagrams_cut) == 7);
    CHECK(count(&WorkerCounters::fragments_held) == 0);
}

TEST_CASE_METHOD(FragmentBox, "fragments go in and back through a port forward") {
    configure(kForward);
    send_in_pieces("wan", udp(kServer, 5000, kBoxOutside, 7000).payload_bytes(30000), 1480);
    const Decoded seen = whole_from("lan");
    CHECK(seen.dst == kClient);
    CHECK(seen.dport == 7001);
    CHECK(seen.payload == pattern(30000));
    send_in_pieces("lan", udp(kClient, 7001, kServer, 5000).payload_bytes(30000), 1480);
    const Decoded answer = whole_from("wan");
    CHECK(answer.src == kBoxOutside);
    CHECK(answer.sport == 7000);
    CHECK(answer.payload == pattern(30000));
    CHECK(all_drops() == 0);
}

TEST_CASE_METHOD(FragmentBox, "a ping of 60000 bytes is one echo") {
    configure(kMasquerade);
    send_in_pieces("lan", echo_request(kClient, kServer, 7).payload_bytes(60000), 1480);
    const Decoded seen = whole_from("wan");
    CHECK(seen.icmp_type == 8);
    CHECK(seen.payload.size() == 60000);
    send_in_pieces("wan", echo_reply(kServer, kBoxOutside, seen.icmp_id).payload_bytes(60000), 1480);
    CHECK(whole_from("lan").icmp_id == 7);
}

TEST_CASE_METHOD(FragmentBox, "fragments leave as large as they came, also when all would fit one packet") {
    configure(kMasquerade);
    send_in_pieces("lan", udp(kClient, 5000, kServer, 53).payload_bytes(500), 200);
    CHECK(whole_from("wan").payload == pattern(500));
    CHECK(sizes() == std::vector<std::size_t>{220, 220, 128});

    // Of different sizes, a tiny one first.
    const Frame frame = udp(kClient, 5000, kServer, 53).payload_bytes(500).to(port_mac("lan")).bytes();
    send_all("lan", {piece_of(frame, 0, 8, true), piece_of(frame, 8, 408, true), piece_of(frame, 408, 508, false)});
    CHECK(whole_from("wan").payload == pattern(500));
    CHECK(sizes() == std::vector<std::size_t>{28, 420, 120});
}

TEST_CASE_METHOD(FragmentBox, "what is only read of later fragments leaves with them") {
    using Sizes = std::vector<std::size_t>;
    const auto cut_at = [&](const std::string& port, PacketBuilder packet, std::size_t edge) {
        const Frame frame = packet.to(port_mac(port)).bytes();
        const std::size_t all = frame.size() - 14 - 20;
        send_all(port, {piece_of(frame, 0, edge, true), piece_of(frame, edge, all, false)});
    };
    const auto question = [](const IpAddress& from) { return udp(from, 5000, kServer, 53).payload_bytes(400); };

    SECTION("routed: all of it") {
        configure(kAcceptAll);
        send("lan", question(kClient));
        CHECK(one("wan").src == kClient);
        for (const std::size_t edge : {8U, 24U, 104U}) {
            cut_at("wan", icmp_error(kServer, kClient, 3, 3, question(kClient), 408), edge);
            CHECK(whole_from("lan").quoted == question(kClient).ip_packet());
            CHECK(sizes() == Sizes{20 + edge, 20 + 436 - edge});
        }
        cut_at("lan", sctp(kClient, 4000, kServer, 80, 0, {sctp_chunk_of(1, 0, 7)}), 8);
        CHECK(whole_from("wan").payload.size() == 32);
        CHECK(sizes() == Sizes{28, 44});
        cut_at("lan", tcp(kClient, 40000, kServer, 80).flags(kSyn).mss(1460).payload_bytes(96), 8);
        CHECK(whole_from("wan").payload == pattern(96));
        CHECK(sizes() == Sizes{28, 132});
    }
    SECTION("translated: unless it was written to") {
        configure(kMasquerade);
        send("lan", question(kClient));
        CHECK(one("wan").src == kBoxOutside);
        const auto error = icmp_error(kServer, kBoxOutside, 3, 3, question(kBoxOutside), 408);
        cut_at("wan", error, 104);
        CHECK(whole_from("lan").quoted == question(kClient).ip_packet());
        CHECK(sizes() == Sizes{124, 352});
        cut_at("wan", error, 24);
        CHECK(whole_from("lan").quoted == question(kClient).ip_packet());
        CHECK(sizes() == Sizes{428, 48});  // no larger than the largest that came, 432
    }
    CHECK(all_drops() == 0);
}

TEST_CASE("fragments too large for the way out are cut anew") {
    FragmentBox box;
    box.port("dmz", PortRole::outside, "198.51.100.1/24", false, 576);
    box.configure(kAcceptAll);
    box.send_in_pieces("lan", udp(kClient, 5000, ip4(198, 51, 100, 9), 53).payload_bytes(5000), 1480);
    CHECK(box.whole_from("dmz").payload == pattern(5000));
    CHECK(box.largest_piece() == 572);
    // No larger than what came, though more would fit.
    const Frame frame = udp(kClient, 5000, ip4(198, 51, 100, 9), 53).payload_bytes(700).to(box.port_mac("lan")).bytes();
    const std::uint8_t nops[] = {1, 1, 1, 1};
    const Frame longer =
        udp(kClient, 5000, ip4(198, 51, 100, 9), 53).payload_bytes(700).ip_option(nops).to(box.port_mac("lan")).bytes();
    box.send_all("lan",
                 {piece_of(longer, 0, 8, true), piece_of(frame, 8, 368, true), piece_of(frame, 368, 708, false)});
    CHECK(box.whole_from("dmz").payload == pattern(700));
    CHECK(box.sizes() == std::vector<std::size_t>{376, 380});  // 20 + 360 came, and now each header has 24
    CHECK(box.all_drops() == 0);
}

TEST_CASE("DF on fragments") {
    FragmentBox box;
    box.port("dmz", PortRole::outside, "198.51.100.1/24", false, 576);
    box.configure(kAcceptAll);
    const auto question = udp(kClient, 5000, ip4(198, 51, 100, 9), 53).payload_bytes(1000).dont_fragment();

    SECTION("matters no more when they fit, as in Linux") {
        box.send_in_pieces("lan", question, 512);
        static_cast<void>(box.whole_from("dmz"));
        for (const Frame& f : box.pieces) CHECK_FALSE(decode(f).dont_fragment);
        CHECK(box.sizes() == std::vector<std::size_t>{532, 516});
    }
    SECTION("tells the sender when they do not") {
        box.send_in_pieces("lan", question, 600);
        CHECK(box.quiet("dmz"));
        const Decoded error = box.one("lan");
        CHECK(error.icmp_type == 3);
        CHECK(error.icmp_code == 4);
        CHECK(error.mtu == 576);
        CHECK(error.valid_checksums());
        CHECK(error.quoted.size() == 548);  // across buffers
        const Decoded quoted = decode_ip(error.quoted, true);
        CHECK(quoted.total_length == 1028);
        CHECK(quoted.sport == 5000);
        const auto bytes = question.ip_packet();
        CHECK(std::equal(error.quoted.begin() + 20, error.quoted.end(), bytes.begin() + 20));
        CHECK(box.drops(DropReason::mtu_exceeded) == 1);
    }
    SECTION("counts only on the largest") {
        const Frame df = PacketBuilder(question).to(box.port_mac("lan")).bytes();
        const Frame plain = PacketBuilder(question).dont_fragment(false).to(box.port_mac("lan")).bytes();
        box.send_all("lan", {piece_of(plain, 0, 800, true), piece_of(df, 800, 1008, false)});
        CHECK_FALSE(box.whole_from("dmz").dont_fragment);
        CHECK(box.largest_piece() <= 576);
    }
}

TEST_CASE_METHOD(FragmentBox, "for the box they are one packet, and what the box sends in fragments leaves so") {
    configure(kMasquerade);
    send_in_pieces("lan", echo_request(kClient, kBoxInside, 7).payload_bytes(8000), 1480);
    const auto to_box = punted("lan");
    REQUIRE(to_box.size() == 1);
    const Decoded asked = decode(to_box.front());
    CHECK(asked.valid_checksums());
    CHECK(asked.payload.size() == 8000);
    CHECK_FALSE(asked.more_fragments);

    const auto answer =
        fragments_of(echo_reply(kBoxInside, kClient, 7).payload_bytes(8000).from(port_mac("lan")).to(mac(7)), 1480);
    for (const Frame& f : answer) send_frame_from_kernel("lan", f);
    CHECK(sent("lan") == answer);
    CHECK(flow().packets[1] == 1);
    CHECK(all_drops() == 0);
}

TEST_CASE_METHOD(FragmentBox, "what is not whole in time is dropped; who speaks for the box is told") {
    configure(kMasquerade);
    const auto through = arriving("lan", udp(kClient, 5000, kServer, 53).payload_bytes(2000), 800);
    const auto to_box = arriving("lan", udp(kClient, 5000, kBoxInside, 53).payload_bytes(2000).ip_id(2), 800);
    send_all("lan", {through[0], through[1]});
    send_all("lan", {to_box[0], to_box[2]});
    send_all("lan", {arriving("lan", udp(kClient, 5000, kBoxInside, 53).payload_bytes(2000).ip_id(3), 800)[1]});
    CHECK(count(&WorkerCounters::fragments_held) == 5);
    advance(29900);
    CHECK(all_drops() == 0);
    CHECK(quiet("lan"));
    advance(200);
    CHECK(drops(DropReason::fragment_timeout) == 5);
    const Decoded error = one("lan");
    CHECK(error.icmp_type == 11);
    CHECK(error.icmp_code == 1);
    CHECK(error.src == kBoxInside);
    CHECK(error.dst == kClient);
    CHECK(decode_ip(error.quoted, true).more_fragments);
    CHECK(flows().empty());
}

TEST_CASE_METHOD(FragmentBox, "the filter judges the datagram, and a reject quotes it") {
    configure("filter: {forward: {policy: drop, rules: [{proto: udp, dport: 53, action: reject}]}}\n");
    send_in_pieces("lan", udp(kClient, 5000, kServer, 53).payload_bytes(3000), 400);
    CHECK(quiet("wan"));
    const Decoded error = one("lan");
    CHECK(error.icmp_type == 3);
    CHECK(error.icmp_code == 3);
    CHECK(error.quoted.size() == 548);
    CHECK(error.valid_checksums());
    send_in_pieces("lan", udp(kClient, 5000, kServer, 54).payload_bytes(3000), 400);
    CHECK(quiet("lan"));
    CHECK(drops(DropReason::filter_forward) == 1);
    CHECK(drops(DropReason::filter_reject) == 1);
}

TEST_CASE_METHOD(FragmentBox, "a transport header in several fragments is read and translated") {
    configure(kMasquerade);
    const auto syn = tcp(kClient, 40000, kServer, 80).flags(kSyn).mss(1460).payload_bytes(10);
    send_in_pieces("lan", syn, 8);
    const Decoded out = whole_from("wan");
    CHECK(out.src == kBoxOutside);
    CHECK(out.flags == kSyn);
    CHECK(out.tcp_options.size() == 4);
    CHECK(largest_piece() == 28);
    CHECK(flow().tcp_state == TcpState::syn_sent);
}

TEST_CASE_METHOD(FragmentBox, "broken transport checksums are seen over all fragments") {
    configure(kMasquerade);
    send_in_pieces("lan", udp(kClient, 5000, kServer, 53).payload_bytes(3000).break_checksum(), 1480);
    CHECK(drops(DropReason::udp_checksum) == 1);
    CHECK(quiet("wan"));
    send_in_pieces("lan", udp(kClient, 5000, kServer, 53).payload_bytes(3000).no_udp_checksum(), 1480);
    CHECK(whole_from("wan").udp_checksum == 0);
}

TEST_CASE("a datagram waits for its neighbour as one packet") {
    FragmentBox box;
    box.port("dmz", PortRole::outside, "198.51.100.1/24", true);
    box.configure(kAcceptAll);
    const Ip4 host = ip4(198, 51, 100, 9);
    box.send_in_pieces("lan", udp(kClient, 5000, host, 53).payload_bytes(5000), 600);
    CHECK(box.quiet("dmz"));
    box.neighbour("dmz", host, mac(99));
    const Decoded seen = box.whole_from("dmz");
    CHECK(seen.eth_dst == mac(99));
    CHECK(seen.ttl == 63);
    CHECK(seen.payload == pattern(5000));
    CHECK(box.largest_piece() == 620);

    SECTION("and is given up as one") {
        const Ip4 nobody = ip4(198, 51, 100, 10);
        box.send_in_pieces("lan", udp(kClient, 5000, nobody, 53).payload_bytes(5000), 600);
        box.neighbour("dmz", nobody, std::nullopt);
        CHECK(box.drops(DropReason::neighbour_failed) == 1);
        const Decoded error = box.one("lan");
        CHECK(error.icmp_code == 1);
        CHECK(decode_ip(error.quoted, true).total_length == 5028);
    }
}

TEST_CASE_METHOD(FragmentBox, "an FTP command that comes in fragments is rewritten") {
    configure(kMasquerade + "helpers: {ftp: {ports: [21]}}\n");
    send("lan", tcp(kClient, 40000, kServer, 21).flags(kSyn).seq(999));
    send("wan", tcp(kServer, 21, kBoxOutside, 40000).flags(kSyn | kAck).seq(4999).ack(1000));
    send("lan", tcp(kClient, 40000, kServer, 21).flags(kAck).seq(1000).ack(5000));
    static_cast<void>(sent("wan"));
    static_cast<void>(sent("lan"));
    const std::string command = "PORT 192,168,1,10,156,65\r\n";
    send_in_pieces("lan", tcp(kClient, 40000, kServer, 21).flags(kAck | kPsh).seq(1000).ack(5000).payload(command), 24);
    const Decoded seen = whole_from("wan");
    CHECK(seen.payload == "PORT 203,0,113,1,156,65\r\n");
    CHECK(largest_piece() <= 44);
}

// --- several workers

TEST_CASE_METHOD(FragmentWorkers, "fragments meet at the home of their addresses, whatever queue they come by") {
    configure(kMasquerade);
    const unsigned home = GENERATE(0U, 1U);
    const Ip4 client = lan(1 - home), server = wan(home);
    const auto out = arriving("lan", udp(client, 5000, server, 53).payload_bytes(5000), 1480);
    for (std::size_t i = 0; i < out.size(); ++i) queue_frame("lan", out[i], static_cast<unsigned>(i % 2));
    settle();
    CHECK(whole_from("wan").payload == pattern(5000));
    CHECK(births(home) == 1);
    CHECK(handed_over() == out.size() / 2);
    CHECK(lcore(home).counters.datagrams_joined.get() == 1);

    const auto back = arriving("wan", udp(server, 53, kBoxOutside, 5000).payload_bytes(5000), 1480);
    for (std::size_t i = 0; i < back.size(); ++i) queue_frame("wan", back[i], static_cast<unsigned>(i % 2));
    settle();
    CHECK(whole_from("lan").dst == client);
    CHECK(births(1 - home) == 0);
    CHECK(lcore(home).counters.datagrams_joined.get() == 2);
    CHECK(all_drops() == 0);
}

TEST_CASE_METHOD(FragmentWorkers, "an ICMP error in fragments goes to the home of what it quotes, whole") {
    configure(kAcceptAll);
    const unsigned home = GENERATE(0U, 1U);
    const Ip4 client = lan(0), server = wan(home), router = wan(1 - home, 1);
    const auto question = udp(client, 5000, server, 53).payload_bytes(200);
    send("lan", question);
    static_cast<void>(sent("wan"));
    send_in_pieces("wan", icmp_error(router, client, 11, 0, question, 208), 64);
    const Decoded error = whole_from("lan");
    CHECK(error.icmp_type == 11);
    CHECK(error.src == router);
    CHECK(lcore(1 - home).counters.datagrams_joined.get() == 1);
    CHECK(largest_piece() == 84);
    CHECK(all_drops() == 0);
}

TEST_CASE_METHOD(FragmentWorkers,
                 "a first datagram in fragments visits the home of its reply and is followed in order") {
    // Inside to inside: the reply's home is another worker's.
    configure(kAcceptAll + "nat: [{in: lan, dst: 203.0.113.1, proto: udp, dnat: {to: " + to_text(dmz(1)) + "}}]\n");
    const Ip4 client = lan(0);
    const unsigned home = home_of(kBoxOutside);
    std::vector<Frame> all;
    for (unsigned i = 0; i < 3; ++i)
        for (const Frame& f : arriving("lan", udp(client, 5000, kBoxOutside, 53).payload_bytes(3000).ip_id(i), 1480))
            all.push_back(f);
    send_all("lan", all, home);
    const auto frames = sent("dmz");
    REQUIRE(frames.size() == all.size());
    for (unsigned i = 0; i < 3; ++i) {
        const std::vector<Frame> of(frames.begin() + 3 * i, frames.begin() + 3 * i + 3);
        const Decoded d = decode(rejoined(of));
        CHECK(d.valid_checksums());
        CHECK(d.ip_id == i);
        CHECK(d.payload == pattern(3000));
    }
    CHECK(flow().packets[0] == 3);
    CHECK(all_drops() == 0);
}

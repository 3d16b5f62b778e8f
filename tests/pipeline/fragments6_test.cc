// IPv6 fragments through the whole data plane: as fragments_test.cc has it for IPv4, and what the fragment header, the
// rule that no router cuts, and the headers in front of it add. Every step checks the packet balance.
#include "tests/support/fragments6.hh"

#include <algorithm>
#include <random>
#include <set>

#include <catch2/catch.hpp>

#include "tests/support/two_ports.hh"
#include "tests/support/two_workers.hh"

using namespace sluice;
using namespace sluice::test;

namespace {

const std::string kForward6 = kAcceptAll + R"(
nat:
  - {in: wan, dst: "2001:db8:2::1", proto: udp, dport: 7000, dnat: {to: "2001:db8:1::10", port: 7001}}
)";
constexpr IpAddress kDmzHost = ip6(0x2001, 0xdb8, 5, 0, 0, 0, 0, 9);

template <class Box>
struct Fragmenting : Box {
    using Box::Box;

    std::vector<Frame> arriving(const std::string& port, PacketBuilder packet, std::size_t data_bytes,
                                std::size_t seam = kSeam6) {
        return fragments6_of(packet.to(this->port_mac(port)), data_bytes, ++last_id, seam);
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
        const Decoded d = decode(rejoined6(pieces));
        CHECK(d.valid_checksums());
        ids.insert(fragment_id6(pieces.front()));
        return d;
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
    std::set<std::uint32_t> ids;  ///< that the box has used
    std::uint32_t last_id = 0;
};

using FragmentBox = Fragmenting<TwoPorts>;
using FragmentWorkers = Fragmenting<TwoWorkers>;
using Sizes = std::vector<std::size_t>;

/// With a way out that takes 1280 bytes.
struct NarrowBox : FragmentBox {
    NarrowBox() {
        port("dmz", PortRole::outside, "198.51.100.1/24", false, 1280);
        address("dmz", "2001:db8:5::1/64");
        configure(kAcceptAll);
    }
};

std::string pattern(std::size_t bytes) {
    return decode(udp(kClient6, 1, kServer6, 2).payload_bytes(bytes).bytes()).payload;
}

}  // namespace

TEST_CASE_METHOD(FragmentBox, "IPv6 fragments go out and back through masquerade in any order") {
    configure(kMasquerade6);
    std::mt19937 random(1);
    for (const std::size_t size : {1300U, 3000U, 30000U, 65487U}) {
        INFO(size << " bytes");
        auto out = arriving("lan", udp(kClient6, 5000, kServer6, 53).payload_bytes(size), 1240);
        std::shuffle(out.begin(), out.end(), random);
        send_all("lan", out);
        const Decoded seen = whole_from("wan");
        CHECK(pieces.size() == out.size());
        CHECK(seen.src == kBoxOutside6);
        CHECK(seen.sport == 5000);
        CHECK(seen.ttl == 63);
        CHECK(seen.payload == pattern(size));

        auto back = arriving("wan", udp(kServer6, 53, kBoxOutside6, 5000).payload_bytes(size), 1232);
        std::reverse(back.begin(), back.end());
        send_all("wan", back);
        const Decoded answer = whole_from("lan");
        CHECK(answer.dst == kClient6);
        CHECK(answer.dport == 5000);
        CHECK(answer.payload == pattern(size));
    }
    CHECK(ids.size() == 8);
    const FlowCopy f = flow();
    CHECK(f.packets[0] == 4);
    CHECK(f.packets[1] == 4);
    CHECK(f.bytes[0] == 1300 + 3000 + 30000 + 65487 + 4 * 48);  // the fragment header is not the datagram's
    CHECK(all_drops() == 0);
    CHECK(count(&WorkerCounters::datagrams_joined) == 8);
    CHECK(count(&WorkerCounters::datagrams_cut) == 8);
    CHECK(count(&WorkerCounters::fragments_held) == 0);
}

TEST_CASE_METHOD(FragmentBox, "IPv6 fragments go in and back through a port forward") {
    configure(kForward6);
    send_in_pieces("wan", udp(kServer6, 5000, kBoxOutside6, 7000).payload_bytes(30000), 1448);
    const Decoded seen = whole_from("lan");
    CHECK(seen.dst == kClient6);
    CHECK(seen.dport == 7001);
    CHECK(seen.payload == pattern(30000));
    send_in_pieces("lan", udp(kClient6, 7001, kServer6, 5000).payload_bytes(30000), 1448);
    const Decoded answer = whole_from("wan");
    CHECK(answer.src == kBoxOutside6);
    CHECK(answer.sport == 7000);
    CHECK(answer.payload == pattern(30000));
    CHECK(all_drops() == 0);
}

TEST_CASE_METHOD(FragmentBox, "an IPv6 ping of 60000 bytes is one echo") {
    configure(kMasquerade6);
    send_in_pieces("lan", echo_request(kClient6, kServer6, 7).payload_bytes(60000), 1448);
    const Decoded seen = whole_from("wan");
    CHECK(seen.icmp_type == 128);
    CHECK(seen.payload.size() == 60000);
    send_in_pieces("wan", echo_reply(kServer6, kBoxOutside6, seen.icmp_id).payload_bytes(60000), 1448);
    const Decoded back = whole_from("lan");
    CHECK(back.icmp_id == 7);
    CHECK(back.dst == kClient6);
}

TEST_CASE_METHOD(FragmentBox, "IPv6 fragments leave as large as they came") {
    configure(kMasquerade6);
    send_in_pieces("lan", udp(kClient6, 5000, kServer6, 53).payload_bytes(500), 200);
    CHECK(whole_from("wan").payload == pattern(500));
    CHECK(sizes() == Sizes{248, 248, 156});
    const auto routed = udp(kClient6, 5000, kServer6, 53).hop_by_hop().destination_options().payload_bytes(500);
    send_all("lan", arriving("lan", routed, 200, 56));
    const Decoded seen = whole_from("wan");
    CHECK(seen.payload == pattern(500));
    CHECK(seen.extensions == std::vector<std::uint8_t>{0, 60});
    CHECK(sizes() == Sizes{264, 264, 172});
    CHECK(all_drops() == 0);
}

TEST_CASE_METHOD(NarrowBox, "no router cuts IPv6: fragments too large for the way out") {
    const auto question = udp(kClient6, 5000, kDmzHost, 53).payload_bytes(2000);
    send_in_pieces("lan", question, 1232);
    CHECK(whole_from("dmz").payload == pattern(2000));
    CHECK(sizes() == Sizes{1280, 48 + 2008 - 1232});

    send_in_pieces("lan", question, 1240);
    CHECK(quiet("dmz"));
    const Decoded error = one("lan");
    CHECK(error.icmp_type == 2);
    CHECK(error.icmp_code == 0);
    CHECK(error.mtu == 1280);
    CHECK(error.src == kBoxInside6);
    CHECK(error.dst == kClient6);
    CHECK(error.valid_checksums());
    CHECK(error.quoted.size() == 1280 - 48);  // across buffers
    const Decoded quoted = decode_ip(error.quoted, true);
    CHECK(quoted.sport == 5000);
    CHECK(quoted.extensions.empty());
    CHECK(drops(DropReason::mtu_exceeded) == 1);
    CHECK(all_drops() == 1);
}

TEST_CASE_METHOD(FragmentBox, "IPv6 for the box is one packet, and what the box sends in fragments leaves so") {
    configure(kMasquerade6);
    send_in_pieces("lan", echo_request(kClient6, kBoxInside6, 7).payload_bytes(8000), 1448);
    const auto to_box = punted("lan");
    REQUIRE(to_box.size() == 1);
    const Decoded asked = decode(to_box.front());
    CHECK(asked.valid_checksums());
    CHECK(asked.payload.size() == 8000);
    CHECK(asked.extensions.empty());

    const auto answer = echo_reply(kBoxInside6, kClient6, 7).payload_bytes(8000).from(port_mac("lan")).to(mac(7));
    for (const Frame& f : fragments6_of(answer, 1448, 0x4711)) send_frame_from_kernel("lan", f);
    CHECK(whole_from("lan").payload == asked.payload);
    CHECK(rejoined6(pieces) == answer.bytes());
    CHECK(pieces.size() == 6);
    CHECK(flow().packets[1] == 1);
    CHECK(all_drops() == 0);
}

TEST_CASE_METHOD(FragmentBox, "IPv6 that is not whole in time is dropped; who speaks for the box is told") {
    configure(kMasquerade6);
    const auto through = arriving("lan", udp(kClient6, 5000, kServer6, 53).payload_bytes(2000), 800);
    const auto to_box = arriving("lan", udp(kClient6, 5000, kBoxInside6, 53).payload_bytes(2000), 800);
    send_all("lan", {through[0], through[1]});
    send_all("lan", {to_box[0], to_box[2]});
    send_all("lan", {arriving("lan", udp(kClient6, 5000, kBoxInside6, 53).payload_bytes(2000), 800)[1]});
    CHECK(count(&WorkerCounters::fragments_held) == 5);
    advance(29900);
    CHECK(all_drops() == 0);
    CHECK(quiet("lan"));
    advance(200);
    CHECK(drops(DropReason::fragment_timeout) == 5);
    const Decoded error = one("lan");
    CHECK(error.icmp_type == 3);
    CHECK(error.icmp_code == 1);
    CHECK(error.src == kBoxInside6);
    CHECK(error.dst == kClient6);
    CHECK(error.valid_checksums());
    const Decoded quoted = decode_ip(error.quoted, true);
    CHECK(quoted.more_fragments);
    CHECK(error.quoted.size() == 848);
    CHECK(flows().empty());
}

TEST_CASE_METHOD(FragmentBox, "the filter judges the IPv6 datagram, and a reject quotes it") {
    configure("filter: {forward: {policy: drop, rules: [{proto: udp, dport: 53, action: reject}]}}\n");
    send_in_pieces("lan", udp(kClient6, 5000, kServer6, 53).payload_bytes(3000), 400);
    CHECK(quiet("wan"));
    const Decoded error = one("lan");
    CHECK(error.icmp_type == 1);
    CHECK(error.icmp_code == 4);
    CHECK(error.quoted.size() == 1280 - 48);
    CHECK(error.valid_checksums());
    send_in_pieces("lan", udp(kClient6, 5000, kServer6, 54).payload_bytes(3000), 400);
    CHECK(quiet("lan"));
    CHECK(drops(DropReason::filter_forward) == 1);
    CHECK(drops(DropReason::filter_reject) == 1);
}

TEST_CASE_METHOD(FragmentBox, "what hides its ports in later IPv6 fragments gets nowhere") {
    configure(kAcceptAll);
    send_in_pieces("lan", tcp(kClient6, 40000, kServer6, 80).flags(kSyn).payload_bytes(100), 16);
    CHECK(drops(DropReason::ip6_extension) == 1);
    const auto hidden = udp(kClient6, 5000, kServer6, 53).destination_options().payload_bytes(100);
    send_in_pieces("lan", hidden, 8);
    CHECK(drops(DropReason::ip6_extension) == 2);
    advance(31000);
    CHECK(quiet("wan"));
    CHECK(quiet("lan"));
    CHECK(flows().empty());

    // Options may come later, and ports are read and translated as ever.
    const auto syn = tcp(kClient6, 40000, kServer6, 80).flags(kSyn).mss(1440).payload_bytes(1400);
    send_in_pieces("lan", syn, 24);
    const auto left = sent("wan");
    CHECK(decode(rejoined6(left)).tcp_options.size() == 4);
    CHECK(flow().tcp_state == TcpState::syn_sent);
}

TEST_CASE_METHOD(FragmentBox, "an IPv6 datagram of overlapping fragments is dropped whole") {
    configure(kAcceptAll);
    const Frame whole = udp(kClient6, 5000, kServer6, 53).payload_bytes(100).to(port_mac("lan")).bytes();
    send_all("lan", {piece6_of(whole, 0, 48, true), piece6_of(whole, 40, 88, true), piece6_of(whole, 88, 108, false),
                     piece6_of(whole, 48, 88, true)});
    CHECK(drops(DropReason::fragment_overlap) == 4);
    CHECK(quiet("wan"));
    CHECK(flows().empty());
}

TEST_CASE_METHOD(FragmentBox, "broken transport checksums are seen over all IPv6 fragments") {
    configure(kMasquerade6);
    send_in_pieces("lan", udp(kClient6, 5000, kServer6, 53).payload_bytes(3000).break_checksum(), 1448);
    CHECK(drops(DropReason::udp_checksum) == 1);
    CHECK(quiet("wan"));
}

// --- several workers

TEST_CASE_METHOD(FragmentWorkers, "IPv6 fragments meet at the home of their addresses, whatever queue they come by") {
    configure(kMasquerade6);
    const unsigned home = GENERATE(0U, 1U);
    const IpAddress client = lan6(1 - home), server = wan6(home);
    const auto out = arriving("lan", udp(client, 5000, server, 53).payload_bytes(5000), 1448);
    for (std::size_t i = 0; i < out.size(); ++i) queue_frame("lan", out[i], static_cast<unsigned>(i % 2));
    settle();
    CHECK(whole_from("wan").payload == pattern(5000));
    CHECK(births(home) == 1);
    CHECK(handed_over() == out.size() / 2);
    CHECK(lcore(home).counters.datagrams_joined.get() == 1);

    const auto back = arriving("wan", udp(server, 53, kBoxOutside6, 5000).payload_bytes(5000), 1448);
    for (std::size_t i = 0; i < back.size(); ++i) queue_frame("wan", back[i], static_cast<unsigned>(i % 2));
    settle();
    CHECK(whole_from("lan").dst == client);
    CHECK(births(1 - home) == 0);
    CHECK(lcore(home).counters.datagrams_joined.get() == 2);
    CHECK(all_drops() == 0);
}

TEST_CASE_METHOD(FragmentWorkers, "an ICMPv6 error in fragments goes to the home of what it quotes, whole") {
    configure(kAcceptAll);
    const unsigned home = GENERATE(0U, 1U);
    const IpAddress client = lan6(0), server = wan6(home), router = wan6(1 - home, 1);
    const auto question = udp(client, 5000, server, 53).payload_bytes(200);
    send("lan", question);
    static_cast<void>(sent("wan"));
    send_in_pieces("wan", icmp_error(router, client, 3, 0, question, 208), 64);
    const Decoded error = whole_from("lan");
    CHECK(error.icmp_type == 3);
    CHECK(error.src == router);
    CHECK(lcore(1 - home).counters.datagrams_joined.get() == 1);
    CHECK(all_drops() == 0);
}

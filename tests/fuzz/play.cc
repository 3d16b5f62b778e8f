// What a play does: one act per choice on the tape.
#include "tests/fuzz/play.hh"

#include <cstdio>
#include <cstdlib>
#include <cstring>

#include <rte_mempool.h>

#include "dataplane/policy/prefix_nat.hh"
#include "tests/support/fragments6.hh"

namespace sluice::fuzz {

using namespace sluice::test;

namespace {

constexpr unsigned kMostActs = 48;
constexpr std::size_t kRemembered = 6;
constexpr std::uint32_t kFlows = 64;  // few, so that the table fills up

const char* const kConfiguration = R"(
conntrack: {max: 64}
helpers: {ftp: {ports: [21, 2121]}}
filter:
  input: {policy: drop, rules: [{proto: icmp, action: accept}, {proto: icmpv6, action: accept}]}
  forward:
    policy: accept
    rules:
      - {state: invalid, action: drop}
      - {state: [established, related], action: accept}
      - {in: wan, proto: udp, dport: 7, action: reject}
      - {in: lan, proto: tcp, dport: 79, action: reject}
  output: {policy: accept, rules: []}
nat:
  - {out: wan, src: 192.168.1.0/24, snat: masquerade}
  - {in: wan, dst: 203.0.113.1, proto: tcp, dport: 21, dnat: {to: 192.168.1.20, port: 2121}}
  - {in: wan, dst: 203.0.113.1, proto: tcp, dport: 80, dnat: {to: 192.168.1.20, port: 8080}}
  - {in: wan, dst: 203.0.113.1, proto: udp, dport: 80, dnat: {to: 192.168.1.20, port: 8080}}
  - {out: wan, src: "2001:db8:1::/64", snat: masquerade}
  - {out: wan, src: "2001:db8:4::/48", snat: {prefix: "2001:db8:94::/48"}}
  - {in: wan, dst: "2001:db8:94::/48", dnat: {prefix: "2001:db8:4::/48"}}
  - {in: wan, dst: "2001:db8:2::1", proto: tcp, dport: 21, dnat: {to: "2001:db8:1::20", port: 2121}}
  - {in: wan, dst: "2001:db8:2::1", proto: tcp, dport: 80, dnat: {to: "2001:db8:1::20", port: 8080}}
  - {in: wan, dst: "2001:db8:2::1", proto: udp, dport: 80, dnat: {to: "2001:db8:1::20", port: 8080}}
)";

bool is_ip(const Decoded& packet) {
    return packet.ether_type == 0x0800 || packet.ether_type == 0x86dd;
}

unsigned free_buffers() {
    return rte_mempool_avail_count(rte_mempool_lookup("box-packets"));
}

}  // namespace

void require(bool kept, const char* promise) {
    if (kept) return;
    std::fprintf(stderr, "broken: %s\n", promise);
    std::abort();
}

Stage::Stage(unsigned workers) : workers_(workers), box_({.workers = workers, .flows_per_worker = kFlows}) {
    box_.port("lan", PortRole::inside, "192.168.1.1/24");
    box_.port("wan", PortRole::outside, "203.0.113.1/24", false, 1400);
    box_.address("lan", "2001:db8:1::1/64");
    box_.address("wan", "2001:db8:2::1/64");
    box_.route("198.51.100.0/24", "203.0.113.254");
    box_.route("2001:db8:ff::/48", "2001:db8:2::254");
    box_.route("2001:db8:4::/48", "2001:db8:1::20");
    box_.configure(kConfiguration);
    buffers_ = free_buffers();
}

void Stage::play(Tape tape) {
    for (unsigned acts = 0; !tape.ended() && acts < kMostActs; ++acts) {
        queue_ = workers_ == 1 ? 0 : tape.below(workers_);
        act(tape);
        if (!tape.one_in(4)) look();  // otherwise the next comes in the same burst
    }
    look();
    finish();
}

void Stage::act(Tape& tape) {
    switch (tape.below(16)) {
        case 0:
            return open_connection(tape);
        case 1:
        case 2:
        case 3:
            return talk(tape);
        case 4:
        case 5:
            return say_tcp(tape);
        case 6:
        case 7:
            return answer(tape);
        case 8:
            return say_datagram(tape);
        case 9:
            return say_other(tape);
        case 10:
            return report_error(tape);
        case 11:
            return send_pieces(tape);
        case 12:
            return repeat(tape);
        case 13:
            return send_raw(tape);
        case 14:
            return speak_from_kernel(tape);
        default:
            return pass_time(tape);
    }
}

Stage::Way Stage::way_of(Tape& tape, const People& people) {
    if (tape.one_in(2)) return {true, tape.of(people.insiders), tape.of(people.outsiders)};
    // The way in is by the box, or by the address that stands for the last one inside.
    const bool by_prefix = people.v6 && tape.one_in(4);
    const IpAddress published =
        exchange_prefix(kPeople6.insiders[2], ip6(0x2001, 0xdb8, 0x94, 0, 0, 0, 0, 0), 48).value();
    return {false, tape.of(people.outsiders), by_prefix ? published : people.box};
}

void Stage::say_tcp(Tape& tape) {
    const People& people = people_of(tape);
    const Way way = way_of(tape, people);
    auto packet = tcp(way.from, 40000 + tape.below(4), way.to, tape.of(kTcpPorts));
    packet.flags(flags_of(tape)).seq(tape.of(kBeginnings) + static_cast<std::uint32_t>(tape.step()));
    packet.window(tape.one_in(4) ? tape.half() : 65535U).ack(tape.one_in(4) ? tape.word() : 0);
    add_options(tape, packet);
    packet.payload(speech(tape, way.from));
    if (people.v6) add_headers(tape, packet);
    put(side_of(way), packet);
}

void Stage::say_datagram(Tape& tape) {
    const People& people = people_of(tape);
    const Way way = way_of(tape, people);
    auto packet = udp(way.from, tape.half(), way.to, tape.of(kUdpPorts));
    packet.payload(tape.bytes(tape.below(24)));
    if (tape.one_in(8)) packet.no_udp_checksum();
    if (tape.one_in(8)) packet.udp_length(tape.half());
    if (people.v6) add_headers(tape, packet);
    put(side_of(way), packet);
}

void Stage::say_other(Tape& tape) {
    const People& people = people_of(tape);
    const Way way = way_of(tape, people);
    if (tape.one_in(2)) {
        auto packet = icmp(way.from, way.to, tape.of(people.queries), 0, tape.word());
        packet.payload(tape.bytes(8));
        if (people.v6) add_headers(tape, packet);
        put(side_of(way), packet);
    } else {
        put(side_of(way), protocol(tape.of(kProtocols), way.from, way.to).payload(tape.bytes(tape.below(40))));
    }
}

void Stage::answer(Tape& tape) {
    const Side& side = tape.one_in(2) ? lan_ : wan_;
    if (side.reached.empty()) return;
    const Frame& frame = side.reached[side.reached.size() - 1 - tape.below(static_cast<unsigned>(side.reached.size()))];
    const Decoded heard = decode(frame);
    if (!is_ip(heard) || !heard.error.empty()) return;
    switch (static_cast<IpProto>(heard.proto)) {
        case IpProto::tcp:
            return answer_tcp(tape, side, heard);
        case IpProto::udp:
            return put(side, udp(heard.dst, heard.dport, heard.src, heard.sport).payload(tape.bytes(tape.below(24))));
        case IpProto::icmp:
        case IpProto::icmpv6:
            return put(side, icmp(heard.dst, heard.src, icmp_inverse(heard.icmp_type, heard.v6).value_or(0), 0,
                                  static_cast<std::uint32_t>(heard.icmp_id) << 16 | heard.icmp_seq));
        default:
            return put(side, protocol(heard.proto, heard.dst, heard.src).payload(tape.bytes(tape.below(40))));
    }
}

void Stage::answer_tcp(Tape& tape, const Side& side, const Decoded& heard) {
    auto packet = tcp(heard.dst, heard.dport, heard.src, heard.sport);
    const bool counted = (heard.flags & (kSyn | kFin)) != 0;
    packet.flags(tape.one_in(4) ? flags_of(tape) : answer_flags(heard.flags));
    packet.seq(((heard.flags & kAck) != 0 ? heard.ack : tape.of(kBeginnings)) +
               static_cast<std::uint32_t>(tape.step()));
    packet.ack(heard.seq + static_cast<std::uint32_t>(heard.payload.size()) + (counted ? 1U : 0U) +
               (tape.one_in(8) ? static_cast<std::uint32_t>(tape.step()) : 0U));
    packet.window(tape.one_in(8) ? tape.half() : 65535U);
    add_options(tape, packet);
    packet.payload(speech(tape, heard.dst));
    put(side, packet);
}

void Stage::report_error(Tape& tape) {
    const Side& side = tape.one_in(2) ? lan_ : wan_;
    if (side.reached.empty()) return;
    const Frame& frame = side.reached[tape.below(static_cast<unsigned>(side.reached.size()))];
    const Decoded heard = decode(frame);
    if (!is_ip(heard) || !heard.error.empty()) return;
    const People& people = heard.v6 ? kPeople6 : kPeople4;
    const auto* bytes = reinterpret_cast<const std::uint8_t*>(frame.data());
    const unsigned most = 14U + (heard.v6 ? 40 : 20) + tape.below(60);
    std::vector<std::uint8_t> quote(bytes + 14, bytes + std::min<std::size_t>(frame.size(), most));
    if (tape.one_in(4)) quote[tape.below(static_cast<unsigned>(quote.size()))] ^= tape.byte();
    const IpAddress router = tape.one_in(2) ? heard.dst : (&side == &lan_ ? people.insiders[0] : people.outsiders[1]);
    put(side, icmp(router, heard.src, tape.of(people.errors), tape.below(16), tape.word()).payload(quote));
}

void Stage::send_pieces(Tape& tape) {
    const People& people = people_of(tape);
    const bool out = tape.one_in(2), in_order = tape.one_in(2);
    const Side& side = out ? lan_ : wan_;
    auto packet = udp(people.insiders[0], 5000, people.outsiders[0], 80);
    if (!out) packet = udp(people.outsiders[0], 5000, people.box, 80);
    const unsigned id = tape.below(3);
    if (!people.v6) packet.ip_id(id);
    const Frame whole = packet.payload_bytes(8U * tape.byte()).to(box_.port_mac(side.port)).bytes();
    const std::size_t all = whole.size() - 14 - (people.v6 ? 40 : 20);
    std::size_t from = 0;
    for (unsigned pieces = 1 + tape.below(8); pieces > 0; --pieces) {
        if (!in_order) from = std::min<std::size_t>(8U * tape.byte(), all & ~std::size_t{7});
        const std::size_t to = std::min<std::size_t>(from + 8U * (1 + tape.below(64)), all);
        put_frame(side, people.v6 ? piece6_of(whole, from, to, to < all, id) : piece_of(whole, from, to, to < all));
        from = in_order ? to & ~std::size_t{7} : from;
    }
}

void Stage::repeat(Tape& tape) {
    if (told_.empty()) return;
    auto [side, frame] = told_[tape.below(static_cast<unsigned>(told_.size()))];
    for (unsigned changes = tape.below(4); changes > 0 && frame.size() > 14; --changes) {
        frame[14 + tape.half() % (frame.size() - 14)] ^= static_cast<std::byte>(tape.byte());
        damaged_ = true;
    }
    mend_ip_checksum(frame);
    put_frame(*side, frame);
}

void Stage::send_raw(Tape& tape) {
    const Side& side = tape.one_in(2) ? lan_ : wan_;
    const auto bytes = tape.bytes(tape.byte());
    Frame frame(14 + bytes.size());
    const bool v6 = tape.one_in(2);
    const MacAddress to = box_.port_mac(side.port);
    std::memcpy(frame.data(), to.bytes.data(), 6);
    frame[12] = v6 ? std::byte{0x86} : std::byte{8};
    frame[13] = v6 ? std::byte{0xdd} : std::byte{0};
    if (!bytes.empty()) std::memcpy(frame.data() + 14, bytes.data(), bytes.size());
    damaged_ = true;
    mend_ip_checksum(frame);
    put_frame(side, frame);
}

void Stage::speak_from_kernel(Tape& tape) {
    const People& people = people_of(tape);
    const bool out = tape.one_in(2);
    const IpAddress from = out ? people.box : people.box_inside;
    const IpAddress to = out ? tape.of(people.outsiders) : tape.of(people.insiders);
    look();
    box_.send_from_kernel(
        out ? "wan" : "lan",
        tcp(from, tape.of(kTcpPorts), to, 40000 + tape.below(4)).flags(flags_of(tape)).seq(tape.of(kBeginnings)));
}

void Stage::pass_time(Tape& tape) {
    static constexpr unsigned kWaits[] = {1, 90, 900, 130'000, 440'000};
    look();
    box_.advance(tape.of(kWaits));
}

void Stage::put(const Side& side, const PacketBuilder& packet) {
    PacketBuilder addressed = packet;
    put_frame(side, addressed.to(box_.port_mac(side.port)).bytes());
}

void Stage::put_frame(const Side& side, Frame frame) {
    if (frame.size() > 1514) return;
    box_.queue_frame(side.port, frame, queue_);
    told_.emplace_back(&side, std::move(frame));
    if (told_.size() > kRemembered) told_.pop_front();
}

void Stage::look() {
    box_.settle();
    for (Side* side : {&lan_, &wan_})
        for (Frame& frame : box_.sent(side->port)) {
            check(*side, frame);
            hear(*side, decode(frame));
            side->reached.push_back(std::move(frame));
            if (side->reached.size() > kRemembered) side->reached.pop_front();
        }
    static_cast<void>(box_.punted("lan"));
    static_cast<void>(box_.punted("wan"));
}

void Stage::check(const Side& side, const Frame& frame) const {
    const Decoded packet = decode(frame);
    if (!is_ip(packet)) return;
    const auto promise = [&](bool kept, const char* text) {
        if (!kept) require(false, (text + (" (" + describe(frame)) + ")").c_str());
    };
    promise(packet.ip_checksum_ok, "an IPv4 header's checksum is right");
    const bool piece = packet.more_fragments || packet.fragment_offset_bytes != 0;
    // UDP without a checksum is let through, of IPv6 too (RFC 6935).
    const bool none = packet.v6 && packet.proto == static_cast<std::uint8_t>(IpProto::udp) && packet.udp_checksum == 0;
    if (!damaged_ && !piece && !none) promise(packet.l4_checksum_ok, "a transport checksum is right");
    if (&side != &wan_ || piece) return;
    promise(!is_private(packet.src), "no private address leaves as a source");
    if (packet.quoted.size() < (packet.v6 ? 40U : 20U)) return;
    const Decoded quoted = decode_ip(packet.quoted, true);
    promise(damaged_ || !is_private(quoted.dst), "no private address leaves in a quotation");
}

void Stage::finish() {
    box_.flush();
    box_.advance(100'001);  // held packets, expectations and pieces of fragments have their end
    look();
    require(box_.flows().empty(), "a flush leaves no flow");
    require(box_.sum([](const WorkerCounters& c) -> const Counter& { return c.expectations; }) == 0,
            "no expectation is left");
    require(box_.sum([](const WorkerCounters& c) -> const Counter& { return c.stubs; }) == 0, "no stub is left");
    require(free_buffers() == buffers_, "no packet buffer is lost");
    static_cast<void>(box_.logged());
    lan_.reached.clear();
    wan_.reached.clear();
    told_.clear();
    ends_[0] = ends_[1] = {};
    damaged_ = false;
}

}  // namespace sluice::fuzz

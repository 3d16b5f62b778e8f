// N2: whole TCP connections through masquerade, seven packets each: SYN, SYN/ACK, ACK, FIN, ACK, FIN, ACK, the last of
// them leaving the flow in TIME_WAIT, from where it is erased after its timeout of 1 s (the other timeouts are the
// usual ones). 64 k and 1 M connections (--flows) are in progress; their packets come in turn, one of each, so that a
// connection's next packet comes when all others had theirs, and its flow has left the caches. The table has half as
// many slots again, and as many as end in a second.
//
// The clock goes by packets: a second is a quarter as many lives as connections are in progress (at least 16 k), so
// that flows end as fast as they begin, whatever the machine. The cost of erasing is included; control's own work is
// done in between and counted apart.
#include <algorithm>
#include <array>
#include <stdexcept>
#include <string>
#include <vector>

#include <rte_cycles.h>

#include "tests/bench/measure.hh"
#include "tests/bench/scenario.hh"

namespace sluice::bench {

namespace {

constexpr unsigned kSteps = 7;
const std::vector<std::uint32_t> kAlive{65536, 1000000};

std::uint32_t lives_per_second(std::uint32_t alive) {
    return std::max<std::uint32_t>(alive / 4, std::min<std::uint32_t>(alive, 16384));
}
PolicyWish wish(std::uint32_t alive) {
    PolicyWish w;
    w.slots = alive + alive / 2 + 2 * lives_per_second(alive) + 1024;
    w.time_wait_s = 1;
    return w;
}

struct Step {
    bool by_client;
    unsigned flags;
    std::uint32_t seq, ack;
};
constexpr std::uint32_t kClient = 1000, kServers = 5000;  // initial sequence numbers
constexpr std::array<Step, kSteps> kLife{{{true, test::kSyn, kClient, 0},
                                          {false, test::kSyn | test::kAck, kServers, kClient + 1},
                                          {true, test::kAck, kClient + 1, kServers + 1},
                                          {true, test::kFin | test::kAck, kClient + 1, kServers + 1},
                                          {false, test::kAck, kServers + 1, kClient + 2},
                                          {false, test::kFin | test::kAck, kServers + 1, kClient + 2},
                                          {true, test::kAck, kClient + 2, kServers + 2}}};

class Lives {
public:
    Lives(Devices& devices, const Options& o, std::uint32_t alive)
        : devices_(devices),
          box_(devices, wish(alive)),
          pattern_(o.pattern),
          packets_per_second_(std::uint64_t{lives_per_second(alive)} * kSteps),
          connections_(alive) {
        for (unsigned i = 0; i < kSteps; ++i) {
            const PortIndex in = kLife[i].by_client ? BenchBox::kLan : BenchBox::kWan;
            test::PacketBuilder packet = packet_of({}, Protocol::tcp, box_.mac(in), kLife[i].flags);
            stamps_[i] = Stamp(packet.seq(kLife[i].seq).ack(kLife[i].ack).payload_bytes(0).pad_to(60));
        }
        // Born as many at a time as their lives have steps, so that all steps come mixed.
        for (std::uint32_t i = 0; i < alive; ++i) connections_[i].waits = static_cast<std::uint8_t>(i % kSteps);
        start_ms_ = box_.set_clock(1000);
    }

    BenchBox& box() noexcept { return box_; }

    /// The next packet of the next connection; goes through when there are as many for its port as a burst holds.
    void packet() {
        Connection& c = connections_[turn_];
        if (++turn_ == connections_.size()) turn_ = 0;
        if (c.waits != 0) {
            --c.waits;
            return;
        }
        const Step& step = kLife[c.step];
        Tuple t = tuple(c);
        if (!step.by_client) t = {t.dst, kWanAddress, t.dport, t.sport};  // masquerade has kept the port
        Side& side = sides_[step.by_client ? 0 : 1];
        if (rte_pktmbuf_alloc_bulk(devices_.pool, &side.mbufs[side.count], 1) != 0)
            throw std::runtime_error("the packet pool is empty");
        side.sent[side.count] = t;
        stamps_[c.step].write(side.mbufs[side.count++], t);
        if (++c.step == kSteps) {
            c = {next_++, 0, 0};
            ++ended;
        }
        if (side.count == kBurst) pass(step.by_client ? BenchBox::kLan : BenchBox::kWan, side);
    }
    void run(std::uint64_t packets, bool look = false) {
        look_ = look;
        for (const std::uint64_t end = sent_ + packets; sent_ < end;) packet();
        look_ = false;
    }
    /// Every connection has begun, lives have ended and their flows too.
    void warm_up() {
        for (Connection& c : connections_) c.number = next_++;
        run(std::uint64_t{connections_.size()} * kSteps + 3 * packets_per_second_ / 2);
    }

    std::uint64_t cycles = 0, cycles_orders = 0, control = 0, ended = 0;
    LoopTimes times;

private:
    struct Connection {
        std::uint32_t number = 0;
        std::uint8_t step = 0;
        std::uint8_t waits = 0;  // turns until it begins
    };
    struct Side {
        std::array<rte_mbuf*, kBurst> mbufs;
        std::array<Tuple, kBurst> sent;
        unsigned count = 0;
    };

    [[nodiscard]] Tuple tuple(const Connection& c) const { return fresh_tuple(c.number, Protocol::tcp, pattern_); }

    void pass(PortIndex in, Side& side) {
        side.count = 0;
        sent_ += kBurst;
        if (look_) {
            const auto frames = box_.through(in, side.mbufs.data(), kBurst);
            for (unsigned i = 0; i < kBurst; ++i) look_at(frames[i], side.sent[i], in);
        } else {
            const LoopCost cost = box_.work(in, side.mbufs.data(), kBurst);
            times.add(cost.all);
            cycles += cost.all;
            cycles_orders += cost.orders;
        }
        const TimeMs now = start_ms_ + sent_ * 1000 / packets_per_second_;
        if (now == box_.now().ms) return;
        box_.set_clock(now);
        const std::uint64_t start = rte_rdtsc();
        box_.control_tick();
        control += rte_rdtsc() - start;
        if (look_) (void)box_.work(in, nullptr, 0);
    }
    /// Of an answer only the client's port is known here; its address is the flow's.
    static void look_at(const test::Frame& frame, const Tuple& sent, PortIndex in) {
        if (in == BenchBox::kLan) return check_frame(frame, {kWanAddress, sent.dst, sent.sport, sent.dport});
        check_frame(frame, {sent.src, test::decode(frame).dst.v4(), sent.sport, sent.dport});
    }

    Devices& devices_;
    BenchBox box_;
    Pattern pattern_;
    std::uint64_t packets_per_second_;
    TimeMs start_ms_ = 0;
    std::array<Stamp, kSteps> stamps_;
    std::vector<Connection> connections_;
    std::array<Side, 2> sides_;
    std::size_t turn_ = 0;
    std::uint32_t next_ = 0;
    std::uint64_t sent_ = 0;
    bool look_ = false;
};

boost::json::object row(const Options& o, Devices& devices, std::uint32_t alive) {
    Lives lives(devices, o, alive);
    BenchBox& box = lives.box();
    const auto drops = box.drops_by_reason();
    lives.warm_up();
    if (o.verify) lives.run(o.packets, true);
    const std::uint64_t births = box.sum(&WorkerCounters::flow_births), deaths = box.deaths();
    const std::uint64_t packets = std::max<std::uint64_t>(o.packets, kBurst);
    std::vector<double> per_life, per_packet, erasing, control;
    lives.times.clear();
    lives.ended = 0;
    for (unsigned round = 0; round < o.rounds; ++round) {
        lives.cycles = lives.cycles_orders = lives.control = 0;
        lives.run(packets);
        const double cycles = static_cast<double>(lives.cycles) / static_cast<double>(packets);
        per_packet.push_back(cycles);
        per_life.push_back(cycles * kSteps);
        erasing.push_back(static_cast<double>(lives.cycles_orders) / static_cast<double>(packets) * kSteps);
        control.push_back(static_cast<double>(lives.control) / static_cast<double>(packets) * kSteps);
    }
    const boost::json::object dropped = drops_since(box, drops);
    must_not_drop("N2", dropped);
    const std::uint64_t begun = box.sum(&WorkerCounters::flow_births) - births;
    const std::uint64_t sent = packets * o.rounds;
    // Each life makes one flow; those in progress at either end are not whole ones.
    const std::uint64_t whole = sent / kSteps;
    if (begun + alive < whole || begun > whole + alive || lives.ended + alive < whole)
        throw std::runtime_error("N2: " + std::to_string(begun) + " flows for " + std::to_string(whole) + " lives");
    if (box.sum(&WorkerCounters::nat_port_random) != 0) throw std::runtime_error("N2: ports were not kept");
    const double cycles = median(per_life);
    return {{"flows", alive},
            {"slots", box.store().capacity()},
            {"timeout_s", 1},
            {"erasing", true},
            {"alive", box.store().live()},
            {"flows_begun", begun},
            {"flows_erased", box.deaths() - deaths},
            {"cycles_per_connection", cycles},
            {"cycles_per_connection_least", *std::min_element(per_life.begin(), per_life.end())},
            {"cycles_per_connection_most", *std::max_element(per_life.begin(), per_life.end())},
            {"cycles_per_packet", median(per_packet)},
            {"cycles_erasing_per_connection", median(erasing)},
            {"control_cycles_per_connection", median(control)},
            {"connections_per_second", static_cast<double>(rte_get_tsc_hz()) / cycles},
            {"lost", 0},
            {"loop_cycles", percentiles(lives.times)},
            {"drops", dropped}};
}

Section run(const Options& o, Devices& devices) {
    Section section{kN2.name,
                    kN2.about,
                    {"flows", "slots", "alive", "cycles_per_connection", "cycles_per_packet",
                     "cycles_erasing_per_connection", "control_cycles_per_connection", "connections_per_second",
                     "loop_cycles.p50", "loop_cycles.p99", "loop_cycles.p99.9"},
                    {}};
    for (const std::uint32_t alive : o.flows_or(kAlive)) {
        if (alive < 64 * kSteps) throw std::runtime_error("N2 needs 448 connections at least (--flows)");
        section.rows.push_back(row(o, devices, alive));
    }
    return section;
}

std::uint64_t memory(const Options& o) {
    return o.most_over_flows(kAlive, [](std::uint32_t alive) { return BenchBox::memory_bytes(wish(alive).slots); });
}

}  // namespace

const Scenario kN2{"N2",
                   "whole TCP connections of 7 packets, masquerade, 64 k and 1 M in progress (--flows); TIME_WAIT 1 s, "
                   "erasing included",
                   "flows pattern verify", memory, run};

}  // namespace sluice::bench

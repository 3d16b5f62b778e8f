// A1: E1 with TCP (64 k established flows, --flows, masquerade), and the same with one packet in a hundred being an FTP
// PORT command that is rewritten to the outside address, so that its length changes, the checksum with it, and every
// sequence number behind it; each announces a data connection that never comes. 256 control connections (fewer where
// there are few flows) take turns.
//
// The table has half as many slots again as there are flows; none times out (5 d) and nothing is erased. The generator
// builds these commands one by one, which takes long and is not counted, as it is not of other packets.
#include <algorithm>
#include <array>
#include <stdexcept>
#include <string>

#include <rte_cycles.h>

#include "tests/bench/measure.hh"
#include "tests/bench/scenario.hh"

namespace sluice::bench {

namespace {

const std::vector<std::uint32_t> kFlows{65536};
constexpr unsigned kMostControls = 256, kFtp = 21;
constexpr std::uint32_t kClientBegins = 1000, kServerBegins = 5000;

std::uint32_t slots_for(std::uint32_t flows) {
    return flows + flows / 2 + 2 * kMostControls + 1024;
}

struct Control {
    Tuple tuple;
    Tuple reply;
    std::string command;
    std::uint32_t seq = kClientBegins + 1;
    std::uint32_t ack = kServerBegins + 1;
};

class FtpLoad {
public:
    FtpLoad(Devices& devices, const Options& o, std::uint32_t flows)
        : devices_(devices),
          box_(devices, wish(flows)),
          traffic_(open(o, flows), permutation(flows), Protocol::tcp, box_.mac(BenchBox::kLan), test::kAck) {
        controls_.resize(std::clamp(flows / 100, 1U, kMostControls));
        for (std::uint32_t i = 0; i < controls_.size(); ++i) begin(controls_[i], i);
    }

    BenchBox& box() noexcept { return box_; }

    /// With every `every`-th packet a command; 0: none.
    LoopCost burst(unsigned every) {
        std::array<rte_mbuf*, kBurst> mbufs;
        for (unsigned i = 0; i < kBurst; ++i) {
            if (every != 0 && ++packets_ % every == 0) {
                mbufs[i] = command();
            } else {
                traffic_.fill(devices_.pool, &mbufs[i], 1);
            }
        }
        const LoopCost cost = box_.work(BenchBox::kLan, mbufs.data(), kBurst);
        return cost;
    }
    std::uint64_t commands = 0;

private:
    static PolicyWish wish(std::uint32_t flows) {
        PolicyWish w;
        w.slots = slots_for(flows);
        return w;
    }
    std::vector<Tuple> open(const Options& o, std::uint32_t flows) {
        std::vector<Tuple> tuples = client_tuples(flows, Protocol::tcp, o.pattern);
        (void)box_.open(tuples, Protocol::tcp);
        return tuples;
    }

    /// Windows are as large as they can be, so that the server need not acknowledge what is sent here.
    void begin(Control& c, std::uint32_t i) {
        constexpr std::array<std::uint8_t, 4> kScale{3, 3, 14, 1};
        c.tuple = {Ip4::from_host(ip4(10, 3, 4, 0).host() + i), ip4(198, 51, 100, 250),
                   static_cast<std::uint16_t>(40000 + i), kFtp};
        c.reply = Tuple{kWanAddress, c.tuple.dst, c.tuple.sport, kFtp}.reversed();
        const std::string commas = test::to_text(c.tuple.src);
        // A port of its own each, so that it is free outside, too, and the address alone makes the command longer.
        c.command = "PORT ";
        c.command.append(commas).append(",195,").append(std::to_string(i)).append("\r\n");
        std::replace(c.command.begin(), c.command.end(), '.', ',');
        (void)once(from_client(c).flags(test::kSyn).seq(kClientBegins).ack(0).tcp_option(kScale), BenchBox::kLan);
        (void)once(from_server(c).flags(test::kSyn | test::kAck).tcp_option(kScale), BenchBox::kWan);
        (void)once(from_client(c), BenchBox::kLan);
        const std::string greeting = "220 ready\r\n";
        (void)once(from_server(c).seq(kServerBegins + 1).flags(test::kPsh | test::kAck).payload(greeting),
                   BenchBox::kWan);
        c.ack += static_cast<std::uint32_t>(greeting.size());
        // The first command is looked at.
        rte_mbuf* m = mbuf(c);
        const auto frames = box_.through(BenchBox::kLan, &m, 1);
        const test::Decoded d = test::decode(frames.at(0));
        const std::string start = "PORT 203,0,113,1,";
        if (d.payload.compare(0, start.size(), start) != 0 || d.payload.size() == c.command.size() ||
            !d.valid_checksums())
            throw std::runtime_error("A1: an FTP command was not rewritten: " + test::describe(frames.at(0)));
    }
    [[nodiscard]] test::PacketBuilder from_client(const Control& c) const {
        return test::tcp(c.tuple.src, c.tuple.sport, c.tuple.dst, kFtp)
            .to(box_.mac(BenchBox::kLan))
            .seq(c.seq)
            .ack(c.ack);
    }
    [[nodiscard]] test::PacketBuilder from_server(const Control& c) const {
        return test::tcp(c.reply.src, kFtp, c.reply.dst, c.reply.dport)
            .to(box_.mac(BenchBox::kWan))
            .seq(kServerBegins)
            .ack(c.seq);
    }
    test::Frame once(const test::PacketBuilder& packet, PortIndex in) {
        rte_mbuf* m = packet.mbuf(devices_.pool);
        return box_.through(in, &m, 1).at(0);
    }
    rte_mbuf* mbuf(Control& c) {
        rte_mbuf* m = from_client(c).flags(test::kPsh | test::kAck).payload(c.command).mbuf(devices_.pool);
        c.seq += static_cast<std::uint32_t>(c.command.size());
        return m;
    }
    rte_mbuf* command() {
        ++commands;
        Control& c = controls_[turn_];
        if (++turn_ == controls_.size()) turn_ = 0;
        return mbuf(c);
    }

    Devices& devices_;
    BenchBox box_;
    Traffic traffic_;
    std::vector<Control> controls_;
    std::size_t turn_ = 0;
    std::uint64_t packets_ = 0;
};

struct Case {
    unsigned every;
    std::vector<double> cycles{};
    std::uint64_t commands = 0;
    LoopTimes times{};
};

void run_case(Case& c, FtpLoad& load, const Options& o) {
    BenchBox& box = load.box();
    const auto drops = box.drops_by_reason();
    const std::uint64_t rewrites = box.sum(&WorkerCounters::alg_rewrites), commands = load.commands;
    // A hundred bursts have 32 commands; what is rare must not be left out by the median of loops.
    constexpr std::uint64_t kBlock = 100;
    std::vector<double> blocks;
    for (std::uint64_t done = 0; done < o.packets || done == 0; done += kBlock * kBurst) {
        std::uint64_t cycles = 0;
        for (std::uint64_t i = 0; i < kBlock; ++i) {
            const LoopCost cost = load.burst(c.every);
            c.times.add(cost.all);
            cycles += cost.all;
        }
        blocks.push_back(static_cast<double>(cycles) / (kBlock * kBurst));
    }
    box.serve_control();
    c.cycles.push_back(median(std::move(blocks)));
    c.commands += load.commands - commands;
    if (const auto dropped = drops_since(box, drops); !dropped.empty())
        throw std::runtime_error("A1 lost packets: " + boost::json::serialize(dropped));
    if (box.sum(&WorkerCounters::alg_rewrites) - rewrites != load.commands - commands)
        throw std::runtime_error("A1: not every command was rewritten");
}

Section run(const Options& o, Devices& devices) {
    Section section{kA1.name,
                    kA1.about,
                    {"flows", "ftp_percent", "cycles_per_packet", "mpps", "mpps_kept", "cycles_per_command",
                     "loop_cycles.p50", "loop_cycles.p99", "loop_cycles.p99.9"},
                    {}};
    for (const std::uint32_t flows : o.flows_or(kFlows)) {
        FtpLoad load(devices, o, flows);
        std::vector<Case> cases{{0}, {100}};
        for (unsigned round = 0; round < o.rounds; ++round)
            for (Case& c : cases) run_case(c, load, o);
        const double without = median(cases.front().cycles);
        for (const Case& c : cases) {
            const double cycles = median(c.cycles);
            boost::json::object row{{"flows", flows},
                                    {"slots", load.box().store().capacity()},
                                    {"timeout_s", 432000},
                                    {"erasing", false},
                                    {"ftp_percent", c.every == 0 ? 0.0 : 100.0 / c.every},
                                    {"commands", c.commands},
                                    {"cycles_per_packet", cycles},
                                    {"mpps", mpps(rte_get_tsc_hz(), cycles)},
                                    {"mpps_kept", without / cycles},
                                    {"loop_cycles", percentiles(c.times)},
                                    {"drops", boost::json::object{}}};
            if (c.every != 0) row["cycles_per_command"] = without + (cycles - without) * c.every;
            section.rows.push_back(std::move(row));
        }
    }
    return section;
}

std::uint64_t memory(const Options& o) {
    std::uint64_t most = 0;
    for (const std::uint32_t flows : o.flows_or(kFlows))
        most = std::max(most, BenchBox::memory_bytes(slots_for(flows)));
    return most;
}

}  // namespace

const Scenario kA1{
    "A1",
    "E1 with TCP and 1 % FTP commands that change their length; 64 k flows (--flows), table 1.5 times as "
    "many, timeout 5 d, no erasing",
    memory, run};

}  // namespace sluice::bench

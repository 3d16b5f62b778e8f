// A1: E1 with TCP (64 k established flows, --flows, masquerade), and the same with one packet in a hundred being an FTP
// PORT command that is rewritten to the outside address, so that its length changes, the checksum with it, and every
// sequence number behind it; each announces a data connection that never comes. 256 control connections (fewer where
// there are few flows) take turns. The server answers each command before its client sends the next one, as servers do:
// an acknowledgement is what lets the helper forget a change. Answers come from outside in bursts of their own, and are
// in the figures, too: so 2 % of the packets are of control connections.
//
// Commands and answers are looked at when a connection begins, and again in the end: text, checksums, and the sequence
// numbers that each side sees. The table has half as many slots again as there are flows; none times out (5 d) and
// nothing is erased. The generator builds control packets one by one, which takes long and is not counted, as it is not
// of other packets.
#include <algorithm>
#include <array>
#include <stdexcept>
#include <string>
#include <string_view>

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

/// Of an FTP server, with the lengths that they have.
constexpr std::string_view kGreeting = "220 ready\r\n", kAnswer = "200 PORT command successful.\r\n";
constexpr std::string_view kTold = "PORT 203,0,113,1,";

/// Each side numbers as itself; `growth` is what one rewriting adds to the client's stream.
struct Control {
    Tuple tuple;
    Tuple reply;
    std::string command;
    std::uint32_t client_seq = kClientBegins, server_seq = kServerBegins;
    std::uint32_t growth = 0, shift = 0;  ///< shift: by which the server's numbers of the client's stream are ahead
};

class FtpLoad {
public:
    FtpLoad(Devices& devices, const Options& o, std::uint32_t flows)
        : devices_(devices),
          box_(devices, wish(flows)),
          traffic_(open_clients(box_, flows, Protocol::tcp, o.pattern), permutation(flows), Protocol::tcp,
                   box_.mac(BenchBox::kLan), test::kAck) {
        controls_.resize(std::clamp(flows / 100, 1U, kMostControls));
        for (std::uint32_t i = 0; i < controls_.size(); ++i) begin(controls_[i], i);
    }

    BenchBox& box() noexcept { return box_; }

    struct Cost {
        std::uint64_t cycles = 0, answering = 0;  ///< `answering`: of them
        unsigned packets = 0;
    };
    /// With every `every`-th packet a command; 0: none. When so many wait that their answers are a burst, so are they.
    Cost burst(unsigned every, LoopTimes& times) {
        std::array<rte_mbuf*, kBurst> mbufs;
        for (unsigned i = 0; i < kBurst; ++i) {
            if (every != 0 && ++packets_ % every == 0) {
                mbufs[i] = command();
            } else {
                traffic_.fill(devices_.pool, &mbufs[i], 1);
            }
        }
        Cost cost{box_.work(BenchBox::kLan, mbufs.data(), kBurst).all, 0, kBurst};
        times.add(cost.cycles);
        if (const std::size_t most = std::min<std::size_t>(kBurst, controls_.size()); unanswered_ >= most) {
            cost.answering = answer();
            cost.cycles += cost.answering;
            cost.packets += static_cast<unsigned>(most);
            times.add(cost.answering);
        }
        return cost;
    }
    /// A command and its answer, by way of one of the connections: all that an end sees of them must be right.
    void check(Control& c) {
        const std::uint32_t seen = c.client_seq + c.shift;
        rte_mbuf* m = command_of(c);
        const test::Frame out = once(m, BenchBox::kLan);
        const test::Decoded d = test::decode(out);
        c.growth = static_cast<std::uint32_t>(d.payload.size() - c.command.size());
        c.shift += c.growth;
        if (!d.payload.starts_with(kTold) || !d.payload.ends_with("\r\n") || c.growth == 0 || d.seq != seen ||
            d.ack != c.server_seq || !d.valid_checksums())
            throw std::runtime_error("A1: a command was not rewritten as it should be: " + test::describe(out));
        m = answer_of(c);
        const test::Frame back = once(m, BenchBox::kWan);
        const test::Decoded e = test::decode(back);
        if (e.payload != kAnswer || e.ack != c.client_seq || !e.valid_checksums())
            throw std::runtime_error("A1: an answer is wrong: " + test::describe(back));
    }
    void check_all() {
        while (unanswered_ != 0) (void)answer();
        for (Control& c : controls_) check(c);
    }
    std::uint64_t commands = 0;

private:
    static PolicyWish wish(std::uint32_t flows) {
        PolicyWish w;
        w.slots = slots_for(flows);
        return w;
    }

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
        (void)once(from_client(c).flags(test::kSyn).ack(0).tcp_option(kScale).mbuf(devices_.pool), BenchBox::kLan);
        ++c.client_seq;
        (void)once(from_server(c).flags(test::kSyn | test::kAck).tcp_option(kScale).mbuf(devices_.pool),
                   BenchBox::kWan);
        ++c.server_seq;
        (void)once(from_client(c).mbuf(devices_.pool), BenchBox::kLan);
        (void)once(from_server(c).flags(test::kPsh | test::kAck).payload(kGreeting).mbuf(devices_.pool),
                   BenchBox::kWan);
        c.server_seq += static_cast<std::uint32_t>(kGreeting.size());
        check(c);
    }
    [[nodiscard]] test::PacketBuilder from_client(const Control& c) const {
        return test::tcp(c.tuple.src, c.tuple.sport, c.tuple.dst, kFtp)
            .to(box_.mac(BenchBox::kLan))
            .seq(c.client_seq)
            .ack(c.server_seq);
    }
    [[nodiscard]] test::PacketBuilder from_server(const Control& c) const {
        return test::tcp(c.reply.src, kFtp, c.reply.dst, c.reply.dport)
            .to(box_.mac(BenchBox::kWan))
            .seq(c.server_seq)
            .ack(c.client_seq + c.shift);
    }
    test::Frame once(rte_mbuf* m, PortIndex in) { return box_.through(in, &m, 1).at(0); }
    rte_mbuf* command_of(Control& c) {
        rte_mbuf* m = from_client(c).flags(test::kPsh | test::kAck).payload(c.command).mbuf(devices_.pool);
        c.client_seq += static_cast<std::uint32_t>(c.command.size());
        return m;
    }
    rte_mbuf* answer_of(Control& c) {
        rte_mbuf* m = from_server(c).flags(test::kPsh | test::kAck).payload(kAnswer).mbuf(devices_.pool);
        c.server_seq += static_cast<std::uint32_t>(kAnswer.size());
        return m;
    }
    Control& nth(std::size_t turn) noexcept { return controls_[turn % controls_.size()]; }
    rte_mbuf* command() {
        ++commands;
        ++unanswered_;
        Control& c = nth(turn_++);
        rte_mbuf* m = command_of(c);
        c.shift += c.growth;
        return m;
    }
    /// Those that wait, a burst of them at most. Returns cycles.
    std::uint64_t answer() {
        std::array<rte_mbuf*, kBurst> mbufs;
        const auto n = static_cast<unsigned>(std::min<std::size_t>(kBurst, unanswered_));
        for (unsigned i = 0; i < n; ++i) mbufs[i] = answer_of(nth(turn_ - unanswered_ + i));
        unanswered_ -= n;
        return box_.work(BenchBox::kWan, mbufs.data(), n).all;
    }

    Devices& devices_;
    BenchBox box_;
    Traffic traffic_;
    std::vector<Control> controls_;
    std::size_t turn_ = 0, unanswered_ = 0;
    std::uint64_t packets_ = 0;
};

struct Case {
    unsigned every;
    std::vector<double> blocks{}, answers{};  ///< cycles of a packet, of an answer
    std::uint64_t commands = 0;
    LoopTimes times{};
};

/// A hundred bursts, which have 32 commands: what is rare must not be left out by the median of loops.
constexpr unsigned kBlock = 100;

void run_block(Case& c, FtpLoad& load) {
    const std::uint64_t commands = load.commands;
    FtpLoad::Cost all;
    for (unsigned i = 0; i < kBlock; ++i) {
        const FtpLoad::Cost cost = load.burst(c.every, c.times);
        all.cycles += cost.cycles;
        all.answering += cost.answering;
        all.packets += cost.packets;
    }
    c.blocks.push_back(static_cast<double>(all.cycles) / all.packets);
    if (const unsigned answered = all.packets - kBlock * kBurst; answered != 0)
        c.answers.push_back(static_cast<double>(all.answering) / answered);
    c.commands += load.commands - commands;
    load.box().serve_control();
}

/// The cases take turns block by block: their difference is smaller than what neighbours on the machine change in a
/// second.
void run_cases(std::vector<Case>& cases, FtpLoad& load, const Options& o) {
    BenchBox& box = load.box();
    const auto drops = box.drops_by_reason();
    const std::uint64_t rewrites = box.sum(&WorkerCounters::alg_rewrites), commands = load.commands;
    for (std::uint64_t done = 0; done < o.rounds * o.packets || done == 0; done += std::uint64_t{kBlock} * kBurst)
        for (Case& c : cases) run_block(c, load);
    must_not_drop("A1", drops_since(box, drops));
    if (box.sum(&WorkerCounters::alg_rewrites) - rewrites != load.commands - commands)
        throw std::runtime_error("A1: not every command was rewritten");
}

Section run(const Options& o, Devices& devices) {
    Section section{kA1.name,
                    kA1.about,
                    {"flows", "ftp_percent", "cycles_per_packet", "mpps", "mpps_kept", "cycles_per_command",
                     "cycles_per_answer", "loop_cycles.p50", "loop_cycles.p99", "loop_cycles.p99.9"},
                    {}};
    for (const std::uint32_t flows : o.flows_or(kFlows)) {
        FtpLoad load(devices, o, flows);
        std::vector<Case> cases{{0}, {100}};
        run_cases(cases, load, o);
        load.check_all();
        const double without = median(cases.front().blocks);
        for (const Case& c : cases) {
            const double cycles = median(c.blocks);
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
            if (c.every != 0) {
                // Of `every` + 1 packets one is a command, one an answer, and the others cost what they do alone.
                const double answer = median(c.answers);
                row["cycles_per_command"] = cycles * (c.every + 1) - without * (c.every - 1) - answer;
                row["cycles_per_answer"] = answer;
            }
            section.rows.push_back(std::move(row));
        }
    }
    return section;
}

std::uint64_t memory(const Options& o) {
    return o.most_over_flows(kFlows, [](std::uint32_t flows) { return BenchBox::memory_bytes(slots_for(flows)); });
}

}  // namespace

const Scenario kA1{
    "A1",
    "E1 with TCP and 1 % FTP commands that change their length, each answered; 64 k flows (--flows), table 1.5 "
    "times as many, timeout 5 d, no erasing",
    "flows pattern", memory, run};

}  // namespace sluice::bench

// Both ends of a program under test: two memif ports, at which it is the client, and UDP packets of 64 bytes (60
// without FCS) that say when they left. They go in at the one port and are timed when they come out of the other.
//
// Packets leave one by one or a few at a time, paced by the TSC, so that queues are of the program's making and not of
// the generator's. When the generator was away (its core is not its own), it does not send what it has missed, and
// `pause` says how long it was. Times are from the clock's reading before the packet is written to the one after the
// receive call that returned it, so they have the copies of both memif ports in them.
//
// Thread: one, which owns the line. Failure policy: std::runtime_error when ports cannot be made or flows not opened.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include <rte_mbuf.h>

#include "tests/bench/loop_times.hh"
#include "tests/bench/stamp.hh"

namespace sluice::bench {

/// What came of packets at a constant rate.
struct Trial {
    double wanted_pps = 0, seconds = 0;  ///< seconds: that it took
    std::uint64_t sent = 0, received = 0;
    std::uint64_t reordered = 0;  ///< came behind a later packet of their flow
    std::uint64_t pause = 0;      ///< cycles: the longest time between two looks of the generator at its ports
    LoopTimes latency{};          ///< cycles

    [[nodiscard]] double pps() const noexcept { return seconds > 0 ? static_cast<double>(sent) / seconds : 0; }
    [[nodiscard]] double lost() const noexcept {
        return sent == 0 ? 0 : static_cast<double>(sent - received) / static_cast<double>(sent);
    }
};

class MemifLine {
public:
    /// Listens at `socket`, ids 0 (inside) and 1 (outside). Packets of `flows` flows are for `box`.
    MemifLine(const std::string& socket, std::uint32_t flows, MacAddress box);
    ~MemifLine();
    MemifLine(const MemifLine&) = delete;
    MemifLine& operator=(const MemifLine&) = delete;

    /// Until the program is there.
    void wait_for_links(double seconds) const;
    /// Sends each flow's first packet until it has been answered from the other end: a stateful program knows all of
    /// them then. The answers must be for the one who asked.
    void open(double seconds);
    /// Of the packets that came out while flows were opened; the last one's source.
    [[nodiscard]] Ip4 outside_source() const noexcept { return source_; }

    Trial run(double pps, double seconds);

private:
    /// What the payload begins with, in this machine's byte order.
    struct Mark {
        std::uint64_t tsc;
        std::uint64_t number;  ///< of the packet; above it the trial's
    };
    static constexpr unsigned kMarkAt = 14 + 20 + 8, kNumberBits = 48;

    /// Packets `first` … `first + n - 1`. What the program has no room for is lost.
    void send(std::uint64_t first, unsigned n);
    void receive(Trial& trial);
    void reflect();
    unsigned take_answers(std::vector<bool>& answered);
    void drain() const;
    /// Nothing for frames that are not of this trial: the kernel of the box says things, too.
    [[nodiscard]] std::optional<Mark> mark_of(const rte_mbuf* m) const noexcept;

    std::uint32_t flows_;
    rte_mempool* pool_;
    std::uint16_t inside_ = 0, outside_ = 0;
    Stamp stamp_;
    std::vector<Tuple> tuples_;        // in order of sending
    std::vector<Patch> patches_;       // the same
    std::vector<std::uint64_t> next_;  // by flow: the number behind the last that came
    std::uint64_t trial_ = 0;
    Ip4 source_{};
};

}  // namespace sluice::bench

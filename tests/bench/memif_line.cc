#include "tests/bench/memif_line.hh"

#include <algorithm>
#include <array>
#include <cstring>
#include <stdexcept>

#include <rte_cycles.h>
#include <rte_dev.h>
#include <rte_ethdev.h>

#include "dataplane/flow/packet.hh"
#include "tests/bench/traffic.hh"

namespace sluice::bench {

namespace {

constexpr unsigned kPoolPackets = 8191, kPayloadBytes = 18, kFrameBytes = 60;
/// Behind the mark, at the frame's end.
constexpr std::uint16_t kMagic = 0x7c51;
constexpr unsigned kMagicAt = kFrameBytes - sizeof kMagic, kUdpChecksumAt = 14 + 20 + 6;
/// Packets that leave together: what is due in a microsecond, and no more than this.
constexpr unsigned kLargestGroup = 8;
constexpr double kGroupsPerSecond = 1e6;
/// So many groups late it catches up; later it was away.
constexpr double kForgiven = 8;

std::uint16_t memif_port(const char* name, const std::string& options, rte_mempool* pool) {
    const std::string problem = std::string(name).append(" (").append(options).append("): ");
    if (rte_eal_hotplug_add("vdev", name, options.c_str()) != 0)
        throw std::runtime_error(problem + "cannot be made (is librte-net-memif installed?)");
    std::uint16_t port = 0;
    rte_eth_conf conf{};
    if (rte_eth_dev_get_port_by_name(name, &port) != 0 || rte_eth_dev_configure(port, 1, 1, &conf) != 0 ||
        rte_eth_rx_queue_setup(port, 0, 1024, 0, nullptr, pool) != 0 ||
        rte_eth_tx_queue_setup(port, 0, 1024, 0, nullptr) != 0 || rte_eth_dev_start(port) != 0)
        throw std::runtime_error(problem + "cannot be started");
    return port;
}

bool is_up(std::uint16_t port) {
    rte_eth_link link{};
    return rte_eth_link_get_nowait(port, &link) == 0 && link.link_status == RTE_ETH_LINK_UP;
}

std::uint64_t words(std::uint64_t v) noexcept {
    return (v & 0xffffU) + (v >> 16 & 0xffffU) + (v >> 32 & 0xffffU) + (v >> 48);
}

/// The checksum when zeros have become `a` and `b`; words as they lie in memory, so byte order does not matter.
std::uint16_t with(std::uint16_t checksum, std::uint64_t a, std::uint64_t b) noexcept {
    std::uint64_t sum = static_cast<std::uint16_t>(~checksum) + words(a) + words(b);
    sum = (sum & 0xffffU) + (sum >> 16);
    sum = (sum & 0xffffU) + (sum >> 16);
    const auto result = static_cast<std::uint16_t>(~sum);
    return result == 0 ? std::uint16_t{0xffff} : result;
}

test::PacketBuilder packet(MacAddress to) {
    std::array<std::uint8_t, kPayloadBytes> payload{};
    std::memcpy(payload.data() + kPayloadBytes - sizeof kMagic, &kMagic, sizeof kMagic);
    return test::udp(Ip4{}, 0, Ip4{}, 0).to(to).payload(payload);
}

/// The frame as its answer; checksums do not mind the order.
void turn_round(std::byte* frame) noexcept {
    std::swap_ranges(frame, frame + 6, frame + 6);
    std::swap_ranges(frame + kAddressesAt, frame + kAddressesAt + 4, frame + kAddressesAt + 4);
    std::swap_ranges(frame + kPortsAt, frame + kPortsAt + 2, frame + kPortsAt + 2);
}

}  // namespace

MemifLine::MemifLine(const std::string& socket, std::uint32_t flows, MacAddress box)
    : flows_(flows),
      pool_(rte_pktmbuf_pool_create("line", kPoolPackets, 256, 0, RTE_MBUF_DEFAULT_BUF_SIZE, -1)),
      stamp_(packet(box)),
      next_(flows) {
    if (pool_ == nullptr) throw std::runtime_error("no memory for packets");
    const std::string options = "role=server,socket-abstract=no,socket=" + socket + ",id=";
    inside_ = memif_port("net_memif0", options + "0", pool_);
    outside_ = memif_port("net_memif1", options + "1", pool_);
    const std::vector<Tuple> tuples = client_tuples(flows, Protocol::udp, Pattern::sequential);
    for (const std::uint32_t flow : permutation(flows)) {
        tuples_.push_back(tuples[flow]);
        patches_.push_back(stamp_.patch(tuples[flow]));
    }
}

MemifLine::~MemifLine() {
    for (const std::uint16_t port : {inside_, outside_}) {
        rte_eth_dev_stop(port);
        rte_eth_dev_close(port);
    }
    rte_mempool_free(pool_);
}

void MemifLine::wait_for_links(double seconds) const {
    const std::uint64_t end = rte_rdtsc() + static_cast<std::uint64_t>(seconds * static_cast<double>(rte_get_tsc_hz()));
    while (!is_up(inside_) || !is_up(outside_)) {
        if (rte_rdtsc() > end) throw std::runtime_error("the program has not connected both memif ports");
        rte_delay_us_sleep(1000);
    }
}

std::optional<MemifLine::Mark> MemifLine::mark_of(const rte_mbuf* m) const noexcept {
    if (m->data_len < kFrameBytes) return std::nullopt;
    const auto* const frame = rte_pktmbuf_mtod(m, const std::byte*);
    std::uint16_t magic;
    std::memcpy(&magic, frame + kMagicAt, sizeof magic);
    Mark mark;
    std::memcpy(&mark, frame + kMarkAt, sizeof mark);
    if (magic != kMagic || mark.number >> kNumberBits != trial_) return std::nullopt;
    mark.number &= (std::uint64_t{1} << kNumberBits) - 1;
    return mark;
}

void MemifLine::send(std::uint64_t first, unsigned n) {
    std::array<rte_mbuf*, kBurst> mbufs;
    if (rte_pktmbuf_alloc_bulk(pool_, mbufs.data(), n) != 0) throw std::runtime_error("the packet pool is empty");
    const std::uint64_t tsc = rte_rdtsc();
    for (unsigned i = 0; i < n; ++i) {
        const Mark mark{tsc, (first + i) | trial_ << kNumberBits};
        stamp_.write(mbufs[i], patches_[(first + i) % flows_]);
        auto* const frame = rte_pktmbuf_mtod(mbufs[i], std::byte*);
        std::memcpy(frame + kMarkAt, &mark, sizeof mark);
        std::uint16_t checksum;
        std::memcpy(&checksum, frame + kUdpChecksumAt, sizeof checksum);
        checksum = with(checksum, mark.tsc, mark.number);
        std::memcpy(frame + kUdpChecksumAt, &checksum, sizeof checksum);
    }
    const unsigned taken = rte_eth_tx_burst(inside_, 0, mbufs.data(), static_cast<std::uint16_t>(n));
    if (taken < n) rte_pktmbuf_free_bulk(mbufs.data() + taken, n - taken);
}

void MemifLine::receive(Trial& trial) {
    std::array<rte_mbuf*, kBurst> mbufs;
    const unsigned n = rte_eth_rx_burst(outside_, 0, mbufs.data(), kBurst);
    if (n == 0) return;
    const std::uint64_t now = rte_rdtsc();
    for (unsigned i = 0; i < n; ++i) {
        const auto mark = mark_of(mbufs[i]);
        if (!mark) continue;
        trial.latency.add(now - mark->tsc);
        ++trial.received;
        std::uint64_t& next = next_[mark->number % flows_];
        if (mark->number < next) {
            ++trial.reordered;
        } else {
            next = mark->number + 1;
        }
    }
    rte_pktmbuf_free_bulk(mbufs.data(), n);
}

void MemifLine::drain() const {
    std::array<rte_mbuf*, kBurst> mbufs;
    for (const std::uint16_t port : {inside_, outside_})
        while (const unsigned n = rte_eth_rx_burst(port, 0, mbufs.data(), kBurst))
            rte_pktmbuf_free_bulk(mbufs.data(), n);
}

Trial MemifLine::run(double pps, double seconds) {
    const auto hz = static_cast<double>(rte_get_tsc_hz());
    const unsigned group = std::clamp(static_cast<unsigned>(pps / kGroupsPerSecond), 1U, kLargestGroup);
    const double step = group * hz / pps;
    drain();
    ++trial_;
    std::fill(next_.begin(), next_.end(), 0);
    Trial t;
    t.wanted_pps = pps;
    const std::uint64_t begin = rte_rdtsc(), end = begin + static_cast<std::uint64_t>(seconds * hz);
    std::uint64_t last = begin;
    double due = step;
    for (std::uint64_t now = begin; now < end; now = rte_rdtsc()) {
        t.pause = std::max(t.pause, now - last);
        last = now;
        if (const auto at = static_cast<double>(now - begin); at >= due) {
            if (at - due > kForgiven * step) due = at;
            due += step;
            send(t.sent, group);
            t.sent += group;
        }
        receive(t);
    }
    t.seconds = static_cast<double>(rte_rdtsc() - begin) / hz;
    const std::uint64_t patience = rte_rdtsc() + rte_get_tsc_hz() / 50;
    while (t.received < t.sent && rte_rdtsc() < patience) receive(t);
    return t;
}

void MemifLine::reflect() {
    std::array<rte_mbuf*, kBurst> mbufs;
    const unsigned n = rte_eth_rx_burst(outside_, 0, mbufs.data(), kBurst);
    unsigned back = 0;
    for (unsigned i = 0; i < n; ++i) {
        if (!mark_of(mbufs[i])) {
            rte_pktmbuf_free(mbufs[i]);
            continue;
        }
        auto* const frame = rte_pktmbuf_mtod(mbufs[i], std::byte*);
        std::memcpy(&source_, frame + kAddressesAt, sizeof source_);
        turn_round(frame);
        mbufs[back++] = mbufs[i];
    }
    const unsigned taken =
        back == 0 ? 0 : rte_eth_tx_burst(outside_, 0, mbufs.data(), static_cast<std::uint16_t>(back));
    if (taken < back) rte_pktmbuf_free_bulk(mbufs.data() + taken, back - taken);
}

unsigned MemifLine::take_answers(std::vector<bool>& answered) {
    std::array<rte_mbuf*, kBurst> mbufs;
    unsigned fresh = 0;
    const unsigned n = rte_eth_rx_burst(inside_, 0, mbufs.data(), kBurst);
    for (unsigned i = 0; i < n; ++i) {
        const auto mark = mark_of(mbufs[i]);
        if (!mark || mark->number >= flows_ || answered[mark->number]) continue;
        const Tuple& asked = tuples_[mark->number];
        const test::Decoded d = test::decode(test::frame_of(mbufs[i]));
        if (Tuple{d.src.v4(), d.dst.v4(), d.sport, d.dport} != asked.reversed() || !d.valid_checksums())
            throw std::runtime_error("a wrong answer came: " + test::describe(test::frame_of(mbufs[i])));
        answered[mark->number] = true;
        ++fresh;
    }
    rte_pktmbuf_free_bulk(mbufs.data(), n);
    return fresh;
}

void MemifLine::open(double seconds) {
    const std::uint64_t hz = rte_get_tsc_hz();
    const std::uint64_t end = rte_rdtsc() + static_cast<std::uint64_t>(seconds * static_cast<double>(hz));
    drain();
    ++trial_;
    std::vector<bool> answered(flows_);
    std::uint32_t there = 0;
    while (there < flows_) {
        if (rte_rdtsc() > end)
            throw std::runtime_error(std::to_string(there) + " of " + std::to_string(flows_) + " flows were answered");
        for (std::uint32_t flow = 0; flow < flows_; ++flow) {
            if (answered[flow]) continue;
            send(flow, 1);
            // No faster than somebody who makes flows answers.
            for (const std::uint64_t soon = rte_rdtsc() + hz / 100000; rte_rdtsc() < soon;) {
                reflect();
                there += take_answers(answered);
            }
        }
        for (const std::uint64_t soon = rte_rdtsc() + hz / 50; there < flows_ && rte_rdtsc() < soon;) {
            reflect();
            there += take_answers(answered);
        }
    }
}

}  // namespace sluice::bench

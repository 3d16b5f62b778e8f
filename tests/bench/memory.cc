// M1: what a NATed flow takes of memory, all told, and how fast a table fills. The table has as many slots as flows
// will come (--flows), and every flow is a new one of UDP through masquerade, timeout 30 s; nothing is erased.
//
// Bytes are measured, not reckoned: DPDK's heap (tables, slots, rings) before and after the box was made, and what the
// C library's heap gave out meanwhile (free lists, source mappings, control's wheel). A box of 256 slots is made
// first: what that has already is not the flows'.
#include <array>
#include <malloc.h>
#include <stdexcept>
#include <string>

#include <rte_cycles.h>
#include <rte_lcore.h>
#include <rte_malloc.h>

#include "tests/bench/fresh_flows.hh"
#include "tests/bench/measure.hh"
#include "tests/bench/scenario.hh"

namespace sluice::bench {

namespace {

const std::vector<std::uint32_t> kFlows{1000000};
constexpr std::uint32_t kLeast = 256;

struct Bytes {
    std::uint64_t dpdk = 0, ordinary = 0;
    Bytes operator-(const Bytes& b) const noexcept { return {dpdk - b.dpdk, ordinary - b.ordinary}; }
    [[nodiscard]] std::uint64_t all() const noexcept { return dpdk + ordinary; }
};

Bytes taken() {
    Bytes b;
    for (unsigned i = 0; i < rte_socket_count(); ++i) {
        rte_malloc_socket_stats stats{};
        if (rte_malloc_get_socket_stats(rte_socket_id_by_idx(i), &stats) == 0) b.dpdk += stats.heap_allocsz_bytes;
    }
    const struct mallinfo2 heap = ::mallinfo2();
    b.ordinary = heap.uordblks + heap.hblkhd;
    return b;
}

PolicyWish wish(std::uint32_t slots) {
    PolicyWish w;
    w.slots = slots;
    return w;
}

boost::json::object row(const Options& o, Devices& devices, std::uint32_t flows) {
    const Bytes nothing = taken();
    Bytes fixed;
    {
        BenchBox least(devices, wish(kLeast));
        fixed = taken() - nothing;
    }
    const Bytes before = taken();
    BenchBox box(devices, wish(flows));
    const Bytes made = taken() - before;
    box.set_clock(1000);

    FreshFlows row_of_flows(Protocol::udp, o.pattern, box.mac(BenchBox::kLan));
    std::array<rte_mbuf*, kBurst> mbufs;
    LoopTimes times;
    std::uint64_t cycles = 0;
    const auto drops = box.drops_by_reason();
    for (std::uint32_t done = 0; done < flows;) {
        const unsigned n = std::min<std::uint32_t>(kBurst, flows - done);
        row_of_flows.fill(devices.pool, mbufs.data(), n);
        const std::uint64_t took = box.work(BenchBox::kLan, mbufs.data(), n).all;
        times.add(took);
        cycles += took;
        done += n;
        box.control_tick();
    }
    const Bytes full = taken() - before;
    if (box.store().live() != flows)
        throw std::runtime_error("M1: " + std::to_string(box.store().live()) + " of " + std::to_string(flows) +
                                 " flows are there: " + boost::json::serialize(drops_since(box, drops)));
    const auto per_flow = [&](std::uint64_t more, std::uint64_t less) {
        return (static_cast<double>(more) - static_cast<double>(less)) / (flows - kLeast);
    };
    return {{"flows", flows},
            {"slots", box.store().capacity()},
            {"timeout_s", 30},
            {"erasing", false},
            {"bytes_per_flow", per_flow(full.all(), fixed.all())},
            {"dpdk_bytes_per_flow", per_flow(full.dpdk, fixed.dpdk)},
            {"ordinary_bytes_per_flow", per_flow(full.ordinary, fixed.ordinary)},
            {"bytes_when_empty", made.all()},
            {"bytes_when_full", full.all()},
            {"bytes_without_flows", fixed.all()},
            {"fill_seconds", static_cast<double>(cycles) / static_cast<double>(rte_get_tsc_hz())},
            {"cycles_per_new_flow", static_cast<double>(cycles) / flows},
            {"loop_cycles", percentiles(times)},
            {"drops", drops_since(box, drops)}};
}

Section run(const Options& o, Devices& devices) {
    Section section{kM1.name,
                    kM1.about,
                    {"flows", "bytes_per_flow", "dpdk_bytes_per_flow", "ordinary_bytes_per_flow", "bytes_when_full",
                     "bytes_without_flows", "fill_seconds", "cycles_per_new_flow"},
                    {}};
    for (const std::uint32_t flows : o.flows_or(kFlows)) {
        if (flows <= kLeast) throw std::runtime_error("M1 needs more than 256 flows (--flows)");
        section.rows.push_back(row(o, devices, flows));
    }
    return section;
}

std::uint64_t memory(const Options& o) {
    return o.most_over_flows(kFlows, [](std::uint32_t flows) { return BenchBox::memory_bytes(flows); });
}

}  // namespace

const Scenario kM1{"M1",
                   "memory of a NATed flow and time to fill the table, 1 M flows (--flows) in as many slots; timeout "
                   "30 s, no erasing",
                   "flows pattern", memory, run};

}  // namespace sluice::bench

// Packets of which every one opens a flow: a row of tuples that does not repeat itself for 33 million packets.
#pragma once

#include <stdexcept>

#include <rte_mbuf.h>

#include "tests/bench/traffic.hh"

namespace sluice::bench {

class FreshFlows {
public:
    /// From the `first` of the row on. Of TCP they are SYNs.
    FreshFlows(Protocol protocol, Pattern pattern, MacAddress to, std::uint64_t first = 0)
        : stamp_(packet_of({}, protocol, to, test::kSyn)), protocol_(protocol), pattern_(pattern), next_(first) {}

    /// Into mbufs that were just allocated.
    void write(rte_mbuf** mbufs, unsigned n) noexcept {
        for (unsigned i = 0; i < n; ++i) stamp_.write(mbufs[i], fresh_tuple(next_++, protocol_, pattern_));
    }
    void fill(rte_mempool* pool, rte_mbuf** mbufs, unsigned n) {
        if (rte_pktmbuf_alloc_bulk(pool, mbufs, n) != 0) throw std::runtime_error("the packet pool is empty");
        write(mbufs, n);
    }
    /// How many so far.
    [[nodiscard]] std::uint64_t next() const noexcept { return next_; }

private:
    Stamp stamp_;
    Protocol protocol_;
    Pattern pattern_;
    std::uint64_t next_;
};

}  // namespace sluice::bench

// Box: flows, counters, and the packet balance.
#include <stdexcept>

#include <catch2/catch.hpp>

#include "tests/support/box.hh"

namespace sluice::test {

std::vector<FlowCopy> Box::flows() {
    std::vector<FlowCopy> all;
    for (auto& l : lcores_) {
        ListSlice slice;
        do {
            slice.done = false;
            if (!l->orders.post({OrderKind::list, 0, 0, 0, reinterpret_cast<std::uint64_t>(&slice)}))
                throw std::runtime_error("full");
            while (!slice.done) step();
            for (unsigned i = 0; i < slice.count; ++i) all.push_back(slice.flows[i]);
            slice.from = slice.next;
        } while (slice.next != kNoSlot);
    }
    return all;
}

void Box::flush() {
    for (auto& l : lcores_) {
        FlushTicket ticket;
        if (!l->orders.post({OrderKind::flush, 0, 0, 0, reinterpret_cast<std::uint64_t>(&ticket)}))
            throw std::runtime_error("full");
        while (!ticket.done) step();
    }
    settle();
}

FlowCopy Box::flow() {
    const auto all = flows();
    REQUIRE(all.size() == 1);
    return all.front();
}

std::uint64_t Box::drops(DropReason reason) const {
    return sum([&](const WorkerCounters& c) -> const Counter& { return c.drops[static_cast<std::size_t>(reason)]; });
}

std::uint64_t Box::all_drops() const {
    std::uint64_t total = 0;
    for (std::size_t i = 0; i < kDropReasonCount; ++i) total += drops(static_cast<DropReason>(i));
    return total;
}

void Box::check_balance() const {
    const auto of = [&](Counter BalanceCounters::*term) {
        return sum([&](const WorkerCounters& c) -> const Counter& { return c.balance.*term; });
    };
    const std::uint64_t in_rings = of(&BalanceCounters::handed_out) - of(&BalanceCounters::handed_in);
    const std::uint64_t in = of(&BalanceCounters::received) + of(&BalanceCounters::from_twins) +
                             of(&BalanceCounters::generated) + of(&BalanceCounters::split);
    const std::uint64_t out = of(&BalanceCounters::transmitted) + of(&BalanceCounters::punted) +
                              of(&BalanceCounters::held) + in_rings + all_drops() + of(&BalanceCounters::merged);
    INFO("packet balance: received " << of(&BalanceCounters::received) << " transmitted "
                                     << of(&BalanceCounters::transmitted) << " punted " << of(&BalanceCounters::punted)
                                     << " dropped " << all_drops());
    CHECK(in == out);
}

}  // namespace sluice::test

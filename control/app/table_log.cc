#include "control/app/table_log.hh"

#include <algorithm>
#include <utility>

#include <spdlog/spdlog.h>

namespace sluice::app {

TableEvents table_events(const Engine& engine) {
    TableEvents sum;
    for (const auto& lcore : engine.lcores()) {
        const WorkerCounters& c = lcore->counters;
        sum.refused += c.drops[static_cast<std::size_t>(DropReason::flow_table_full)].get();
        sum.half_open_refused += c.drops[static_cast<std::size_t>(DropReason::half_open_full)].get();
        // The narrower count first: it must not be ahead of the one that it is a part of.
        const std::uint64_t half_open = c.half_open_early_drops.get();
        sum.half_open_early_drops += half_open;
        sum.early_drops += std::max(c.early_drops.get(), half_open) - half_open;
    }
    return sum;
}

std::uint64_t TableLog::Line::due(std::uint64_t count, std::chrono::steady_clock::time_point now) {
    if (count <= told || !limit.admit(now)) return 0;
    return count - std::exchange(told, count);
}

void TableLog::look(const TableEvents& events, const Limits& limits, std::chrono::steady_clock::time_point now) {
    if (const auto n = refused_.due(events.refused, now))
        spdlog::warn("nf_conntrack: nf_conntrack: table full, dropping packet ({} dropped, limit {})", n, limits.flows);
    if (const auto n = half_open_refused_.due(events.half_open_refused, now))
        spdlog::warn("nf_conntrack: half-open budget full, dropping packet ({} dropped, limit {})", n,
                     limits.half_open);
    if (const auto n = early_drops_.due(events.early_drops, now))
        spdlog::warn("nf_conntrack: table full, {} flows dropped early (limit {})", n, limits.flows);
    if (const auto n = half_open_early_drops_.due(events.half_open_early_drops, now))
        spdlog::warn("nf_conntrack: half-open budget full, {} flows dropped early (limit {})", n, limits.half_open);
}

}  // namespace sluice::app

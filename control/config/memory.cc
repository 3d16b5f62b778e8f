#include "control/config/memory.hh"

#include <algorithm>
#include <charconv>
#include <string_view>

#include "dataplane/flow/mailbox.hh"
#include "dataplane/lookup/flow_room.hh"
#include "dataplane/worker/buffer_room.hh"
#include "dataplane/worker/lcore.hh"

namespace sluice::config {
namespace {

constexpr std::uint64_t kMegabyte = 1U << 20;
constexpr std::uint64_t kLeastFlowMegabytes = 16;
constexpr std::uint64_t kFlowsPerMegabyte = 2048;
constexpr std::uint64_t kFlowsPerMegabyte6 = 1792;
constexpr std::uint64_t kDriverMegabytes = 12;  // DPDK's own, and gaps between areas
constexpr std::uint64_t kRoute6Megabytes = 112;
constexpr std::uint64_t kZoneMegabytes = 4;  // routes of a zone, for each family
constexpr unsigned kUsualMtu = 1500;
constexpr unsigned kCaptureBuffers = 8191;

std::uint64_t megabytes_of(std::uint64_t bytes) noexcept {
    return (bytes + kMegabyte - 1) / kMegabyte;
}

/// The number behind `key` in the arguments of a device; 1 without it.
unsigned argument(std::string_view device, std::string_view key) noexcept {
    unsigned value = 1;
    if (const auto at = device.find(key); at != std::string_view::npos)
        std::from_chars(device.data() + at + key.size(), device.data() + device.size(), value);
    return std::max(1U, value);
}

unsigned queues_of(std::string_view device, unsigned workers) noexcept {
    if (device.starts_with("net_af_xdp")) return std::min(workers, argument(device, ",queue_count="));
    if (device.starts_with("net_af_packet")) return std::min(workers, argument(device, ",qpairs="));
    if (device.starts_with("net_pcap")) return 1;
    return workers;
}

std::uint64_t buffer_megabytes(const Config& config, unsigned workers) noexcept {
    unsigned of_devices = 0, mtu = kUsualMtu;
    for (const Port& port : config.ports) {
        if (port.is_vlan()) continue;
        const unsigned queues = queues_of(port.device, workers);
        of_devices += device_buffers(port.device.starts_with("net_af_xdp"), queues, port.rx_queue_size, queues,
                                     port.tx_queue_size);
        mtu = std::max<unsigned>(mtu, port.mtu.value_or(kUsualMtu));
    }
    const BufferDemand demand = buffers_under_way(config);
    const unsigned count = pool_buffers(of_devices, workers, demand.per_worker, demand.control);
    return megabytes_of(pool_bytes(count, buffer_room(mtu))) +
           megabytes_of(pool_bytes(kCaptureBuffers, RTE_MBUF_DEFAULT_BUF_SIZE));
}

std::uint64_t route_megabytes(bool v6, std::uint64_t zones) noexcept {
    // rte_lpm: four bytes for each /24, as much again for groups of longer prefixes, eight for each rule.
    const std::uint64_t groups = std::uint64_t{1 << 16} * 256;
    return megabytes_of(4 * (std::uint64_t{1} << 24) + 4 * groups + 8 * std::uint64_t{kMostRoutes} + kMegabyte / 2) +
           (v6 ? kRoute6Megabytes : 0) + zones * (v6 ? 2 : 1) * kZoneMegabytes;
}

std::uint64_t ring_megabytes(const Config& config, unsigned workers) noexcept {
    const LcoreSizes sizes;
    const std::uint64_t messages = sizes.notices * sizeof(Notice) + sizes.orders * sizeof(Order) +
                                   std::uint64_t{sizes.punts + sizes.from_kernel} * sizeof(void*);
    const std::uint64_t to_peers = std::uint64_t{sizes.peer_messages} * (sizeof(PeerMessage) + sizeof(void*));
    const std::uint64_t expectations = TagBuckets::bytes(share_of(config.conntrack.expect_max, workers));
    return kDriverMegabytes + megabytes_of(workers * (messages + expectations + (workers - 1) * to_peers));
}

}  // namespace

std::uint32_t share_of(std::uint32_t total, unsigned workers) noexcept {
    if (workers <= 1) return total;
    const std::uint64_t even = (std::uint64_t{total} + workers - 1) / workers;
    return static_cast<std::uint32_t>(std::min<std::uint64_t>((even * 5 + 3) / 4, 0xffffffffU));
}

BufferDemand buffers_under_way(const Config& config) noexcept {
    const LcoreSizes sizes;
    BufferDemand demand;
    // And what is on its way between workers.
    demand.per_worker = config.neighbours.hold_total + config.fragments.max + sizes.punts + 1024;
    demand.control = static_cast<unsigned>(config.workers.cores.size()) * sizes.from_kernel;
    return demand;
}

MemoryNeed memory_need(const Config& config) {
    const auto workers = static_cast<unsigned>(std::max<std::size_t>(config.workers.cores.size(), 1));
    const bool v6 = uses_ipv6(config);
    MemoryNeed need;
    need.buffers = buffer_megabytes(config, workers);
    need.routes = route_megabytes(v6, zones_of(config).size());
    need.rings = ring_megabytes(config, workers);
    need.flows =
        config.conntrack.max
            ? megabytes_of(workers * flow_store_bytes(share_of(*config.conntrack.max, workers), v6, workers == 1))
            : kLeastFlowMegabytes;
    return need;
}

std::string to_string(const MemoryNeed& need) {
    std::string text = std::to_string(need.buffers);
    text.append(" for packet buffers, ").append(std::to_string(need.routes)).append(" for routes, ");
    text.append(std::to_string(need.rings)).append(" for rings and DPDK itself, ");
    return text.append(std::to_string(need.flows)).append(" for flows");
}

std::uint32_t flows_of_memory(const Config& config) {
    const std::uint64_t fixed = memory_need(config).fixed();
    const std::uint64_t left = std::max(config.memory.megabytes, static_cast<std::uint32_t>(fixed) +
                                                                     static_cast<std::uint32_t>(kLeastFlowMegabytes)) -
                               fixed;
    const std::uint64_t flows = left * (uses_ipv6(config) ? kFlowsPerMegabyte6 : kFlowsPerMegabyte);
    return static_cast<std::uint32_t>(std::min<std::uint64_t>(flows, kMostFlows));
}

}  // namespace sluice::config

#include "dataplane/worker/ports.hh"

#include <algorithm>
#include <chrono>
#include <stdexcept>
#include <thread>

#include <rte_common.h>
#include <rte_errno.h>

#include "dataplane/flow/handoff_note.hh"
#include "dataplane/worker/buffer_room.hh"
#include "dataplane/worker/device.hh"

namespace sluice {

namespace {

// Together two seconds, for queues that a dead process still holds.
constexpr unsigned kBusyTries = 20;
constexpr std::chrono::milliseconds kBusyPause{100};

}  // namespace

Ports::Ports(std::span<const PortConfig> ports, const HomeMap& homes, PortTable& table, const BufferDemand& demand)
    : workers_(homes.workers()), homes_(homes), table_(table) {
    for (unsigned tries = kBusyTries;; --tries) {
        try {
            open(ports, demand);
            break;
        } catch (const QueueBusy&) {
            if (tries == 1) throw;
            devices_.clear();
            pools_.clear();
            remarks_.clear();
            std::this_thread::sleep_for(kBusyPause);
        }
    }
    fill_table(ports);
}

void Ports::open(std::span<const PortConfig> ports, const BufferDemand& demand) {
    open_devices(ports);
    make_pools(ports, demand);
    for (const auto& device : devices_) device->configure(pools_.at(device->socket()).get(), remarks_);
}

Ports::~Ports() {
    stop();
}

void Ports::open_devices(std::span<const PortConfig> ports) {
    if (ports.size() > kMaxPorts) throw std::runtime_error("more than " + std::to_string(kMaxPorts) + " ports");
    device_of_port_.resize(ports.size());
    for (std::size_t i = 0; i < ports.size(); ++i) {
        if (ports[i].device.empty()) continue;
        device_of_port_[i] = devices_.size();
        devices_.push_back(std::make_unique<Device>(ports[i]));
        devices_.back()->plan(workers_, static_cast<unsigned>(devices_.size() - 1));
    }
    if (devices_.empty()) throw std::runtime_error("no port has a device");
    for (std::size_t i = 0; i < ports.size(); ++i) {
        if (!ports[i].device.empty()) continue;
        const auto parent = std::find_if(devices_.begin(), devices_.end(),
                                         [&](const auto& d) { return d->config().name == ports[i].parent; });
        if (parent == devices_.end())
            throw std::runtime_error("port " + ports[i].name + ": parent " + ports[i].parent + " has no device");
        device_of_port_[i] = static_cast<std::size_t>(parent - devices_.begin());
    }
}

void Ports::make_pools(std::span<const PortConfig> ports, const BufferDemand& demand) {
    unsigned largest = 0;
    std::map<int, unsigned> wanted;
    for (const auto& device : devices_) {
        largest = std::max<unsigned>(largest, device->mtu());
        wanted[device->socket()] += device->buffers();
    }
    const unsigned room = buffer_room(largest);
    if (room > 0xffff) throw std::runtime_error("port " + ports.front().name + ": MTU too large for a packet buffer");
    for (const auto& [node, buffers] : wanted) {
        const unsigned count = pool_buffers(buffers, workers_, demand.per_worker, demand.control);
        const std::string name = "packets" + std::to_string(node);
        rte_mempool* const pool = rte_pktmbuf_pool_create(name.c_str(), count, kPoolCache, kMbufPrivateBytes,
                                                          static_cast<std::uint16_t>(room), node);
        if (pool == nullptr)
            throw std::runtime_error("no memory for " + std::to_string(count) + " packet buffers of " +
                                     std::to_string(room) + " bytes: raise memory.megabytes (" +
                                     rte_strerror(rte_errno) + ")");
        pools_[node].reset(pool);
    }
}

void Ports::fill_table(std::span<const PortConfig> ports) {
    for (std::size_t i = 0; i < ports.size(); ++i) {
        const auto index = static_cast<PortIndex>(i);
        Device& device = *devices_[device_of_port_[i]];
        PortInfo& info = table_[index];
        info.present = true;
        info.role = ports[i].role;
        info.zone = ports[i].zone;
        info.device = device.id();
        info.vlan = ports[i].vlan;
        info.mac = ports[i].mac.value_or(device.mac());
        info.mtu.store(ports[i].mtu.value_or(device.mtu()), std::memory_order_relaxed);
        if (info.vlan != kNoVlan) device.accept_mac(info.mac, remarks_);
        table_.bind(index);
    }
    refresh_links();
}

void Ports::start() {
    for (const auto& device : devices_) device->start(homes_);
    refresh_links();
}

void Ports::stop() noexcept {
    for (const auto& device : devices_) device->stop();
}

std::vector<RxQueue> Ports::rx_queues(unsigned worker) const {
    std::vector<RxQueue> queues;
    for (const auto& device : devices_)
        for (std::uint16_t q = 0; q < device->rx_queues(); ++q)
            if (device->worker_of_rx(q) == worker) queues.push_back({device->id(), q});
    return queues;
}

std::uint16_t Ports::tx_queue(std::uint16_t device, unsigned worker) const noexcept {
    for (const auto& d : devices_)
        if (d->id() == device) return worker < d->tx_queues() ? static_cast<std::uint16_t>(worker) : kNoQueue;
    return kNoQueue;
}

unsigned Ports::tx_worker(std::uint16_t device, unsigned worker) const noexcept {
    for (const auto& d : devices_)
        if (d->id() == device) return worker % d->tx_queues();
    return worker;
}

std::pair<std::uint16_t, std::uint16_t> Ports::queue_counts(std::uint16_t device) const noexcept {
    for (const auto& d : devices_)
        if (d->id() == device) return {d->rx_queues(), d->tx_queues()};
    return {};
}

std::vector<std::uint16_t> Ports::device_ids() const {
    std::vector<std::uint16_t> ids;
    for (const auto& device : devices_) ids.push_back(device->id());
    return ids;
}

const Ports::Device& Ports::device_of(PortIndex port) const noexcept {
    return *devices_[device_of_port_[port]];
}

std::uint64_t Ports::refresh_links() {
    std::uint64_t changed = 0;
    for (std::size_t i = 0; i < device_of_port_.size(); ++i) {
        PortInfo& info = table_[static_cast<PortIndex>(i)];
        const bool up = devices_[device_of_port_[i]]->link_up();
        if (info.up.exchange(up, std::memory_order_relaxed) != up) changed |= std::uint64_t{1} << i;
    }
    return changed;
}

DeviceStats Ports::stats(PortIndex port) const {
    rte_eth_stats s{};
    if (rte_eth_stats_get(device_of(port).id(), &s) != 0) return {};
    return {s.imissed, s.ierrors + s.rx_nombuf, s.oerrors};
}

std::uint32_t Ports::speed_mbps(PortIndex port) const {
    rte_eth_link link{};
    if (rte_eth_link_get_nowait(device_of(port).id(), &link) != 0 || link.link_speed == RTE_ETH_SPEED_NUM_UNKNOWN)
        return 0;
    return link.link_speed;
}

const std::string& Ports::kernel_interface(PortIndex port) const {
    return device_of(port).interface();
}

bool Ports::interface_replaced(PortIndex port) const {
    return device_of(port).replaced();
}

bool Ports::kernel_sees_frames(PortIndex port) const {
    const Device& device = device_of(port);
    return device.is("net_af_packet") || device.is("net_pcap") || device.is("net_af_xdp");
}

}  // namespace sluice

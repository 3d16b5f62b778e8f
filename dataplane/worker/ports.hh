// Opens the devices of the configuration, gives each worker its queues, and fills the PortTable.
//
// Life cycle: constructed on the control thread after the EAL and before the workers; the devices are configured but
// still, until start(); destroyed after the workers have ended. Destruction stops, closes and removes every device and
// then frees the packet buffers: nothing stays behind (an AF_XDP program leaves its interface with its device).
// Owner: control thread; workers use only the ids that it hands out.
// Failure policy: std::runtime_error with one line that names the port and says what to do. Whatever was opened before
// is closed again.
//
// Queues: one receive and one transmit queue for each worker where the device has that many, else as many as it has.
// Receive: a device that can hash on one address delivers straight to each packet's home (design: who owns a flow);
// others are steered in software, and their queues are dealt out so that one-queue ports land on different workers.
// Transmit: a worker without a queue passes bursts to the worker that `tx_worker` names.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include <rte_ethdev.h>
#include <rte_mbuf.h>

#include "dataplane/base/types.hh"
#include "dataplane/ingress/home.hh"
#include "dataplane/ingress/port_table.hh"
#include "dataplane/worker/worker.hh"

namespace sluice {

/// A logical port as configured; its place in the list is its PortIndex.
struct PortConfig {
    std::string name;    ///< for messages
    std::string device;  ///< PCI address or vdev arguments; empty for a VLAN port
    std::string parent;  ///< VLAN port: name of the device port
    std::uint16_t vlan = kNoVlan;
    PortRole role = PortRole::inside;
    std::uint16_t zone = 0;            ///< conntrack zone
    std::optional<std::uint16_t> mtu;  ///< absent: the device's (VLAN: the parent's)
    std::optional<MacAddress> mac;     ///< absent: the device's (VLAN: the parent's)
    std::uint16_t rx_descriptors = 1024;
    std::uint16_t tx_descriptors = 1024;
};

/// Packets that others keep, so that a device never starves for buffers.
struct BufferDemand {
    unsigned per_worker = 4096;  ///< held, on hand-off and punt rings, in transmit batches
    unsigned control = 4096;     ///< from the twins
};

/// How a device spreads what it receives.
struct RssPlan {
    bool homes = false;                ///< each packet arrives at its home's queue
    std::uint64_t hash_functions = 0;  ///< 0: no RSS at all
};
/// `queues` receive queues for `workers` workers, on a port of `role`.
RssPlan plan_rss(const rte_eth_dev_info& info, PortRole role, unsigned queues, unsigned workers);

/// Value of "iface=" in vdev arguments; empty when there is none.
std::string interface_of(const std::string& device);

inline constexpr std::uint16_t kNoQueue = 0xffff;

struct DeviceStats {
    std::uint64_t missed = 0;     ///< lost for want of a free descriptor
    std::uint64_t rx_errors = 0;  ///< bad frames, and frames without a buffer
    std::uint64_t tx_errors = 0;
};

class Ports {
public:
    Ports(std::span<const PortConfig> ports, const HomeMap& homes, PortTable& table, const BufferDemand& demand);
    ~Ports();
    Ports(const Ports&) = delete;
    Ports& operator=(const Ports&) = delete;

    /// Devices begin to receive. Throws as the constructor does.
    void start();
    /// Devices are silent afterwards. Twice is harmless.
    void stop() noexcept;

    /// The queues that a worker polls.
    [[nodiscard]] std::vector<RxQueue> rx_queues(unsigned worker) const;
    /// The worker's own transmit queue on a device, kNoQueue when it has none.
    [[nodiscard]] std::uint16_t tx_queue(std::uint16_t device, unsigned worker) const noexcept;
    /// A worker that has one: itself, if it does.
    [[nodiscard]] unsigned tx_worker(std::uint16_t device, unsigned worker) const noexcept;
    /// Receive and transmit queues of a device.
    [[nodiscard]] std::pair<std::uint16_t, std::uint16_t> queue_counts(std::uint16_t device) const noexcept;
    /// Ids of all devices.
    [[nodiscard]] std::vector<std::uint16_t> device_ids() const;
    /// Buffers for packets that control makes (frames of the twins), and for what workers generate.
    [[nodiscard]] rte_mempool* pool() const noexcept { return pools_.begin()->second.get(); }

    /// Reads the carrier of each device into the table; a bit per PortIndex whose state changed.
    std::uint64_t refresh_links();
    [[nodiscard]] DeviceStats stats(PortIndex port) const;
    /// 0: unknown.
    [[nodiscard]] std::uint32_t speed_mbps(PortIndex port) const;
    /// The kernel's interface behind an AF_XDP, AF_PACKET or pcap device; empty for others.
    [[nodiscard]] const std::string& kernel_interface(PortIndex port) const;
    /// It was deleted and made anew since the start: the port is down until the next one.
    [[nodiscard]] bool interface_replaced(PortIndex port) const;
    /// True for devices whose frames the kernel sees too, so that the kernel has to be told to drop them: a copy of
    /// each (AF_PACKET, pcap), or those of queues that nobody reads (AF_XDP).
    [[nodiscard]] bool kernel_sees_frames(PortIndex port) const;
    /// What an operator should know; one line each.
    [[nodiscard]] const std::vector<std::string>& remarks() const noexcept { return remarks_; }

private:
    class Device;
    struct FreePool {
        void operator()(rte_mempool* pool) const noexcept { rte_mempool_free(pool); }
    };
    [[nodiscard]] const Device& device_of(PortIndex port) const noexcept;
    void open(std::span<const PortConfig> ports, const BufferDemand& demand);
    void open_devices(std::span<const PortConfig> ports);
    void make_pools(std::span<const PortConfig> ports, const BufferDemand& demand);
    void fill_table(std::span<const PortConfig> ports);

    unsigned workers_;
    HomeMap homes_;
    PortTable& table_;
    std::map<int, std::unique_ptr<rte_mempool, FreePool>> pools_;  // by NUMA node; outlive the devices
    std::vector<std::unique_ptr<Device>> devices_;
    std::vector<std::size_t> device_of_port_;  // by PortIndex: place in devices_
    std::vector<std::string> remarks_;
};

}  // namespace sluice

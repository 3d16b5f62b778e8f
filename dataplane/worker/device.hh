// One ethdev of ours: found or plugged in, configured, and taken out again when the object goes.
//
// Life cycle: constructor (probe) → configure → start → stop → destructor (close and remove). Control thread.
// Failure policy: std::runtime_error, one line.
#pragma once

#include <optional>
#include <stdexcept>

#include <rte_ethdev.h>

#include "dataplane/worker/kernel_interface.hh"
#include "dataplane/worker/ports.hh"

namespace sluice {

/// An AF_XDP queue could not be had. The kernel takes the sockets of a process that died apart in its own time, so this
/// may pass; but a second try on the same device fails for good and loses the buffers of its fill ring (DPDK 22.11),
/// so whoever tries again starts from the beginning.
struct QueueBusy : std::runtime_error {
    using std::runtime_error::runtime_error;
};

class Ports::Device {
public:
    /// Finds the PCI device, or makes the virtual one. `config` is the untagged port of the device.
    explicit Device(const PortConfig& config);
    ~Device();
    Device(const Device&) = delete;
    Device& operator=(const Device&) = delete;

    /// Decides on the number of queues and on the MTU, before there are buffers.
    void plan(unsigned workers, unsigned place);
    /// Buffers that the device itself can hold.
    [[nodiscard]] unsigned buffers() const noexcept;
    void configure(rte_mempool* pool, std::vector<std::string>& remarks);
    void start(const HomeMap& homes);
    void stop() noexcept;

    /// Frames to `mac` arrive too (a VLAN port with a MAC of its own).
    void accept_mac(const MacAddress& mac, std::vector<std::string>& remarks);
    [[nodiscard]] bool link_up() const;
    /// The kernel's interface was deleted, and another one has its name: nothing comes from it, or goes to it.
    [[nodiscard]] bool replaced() const;

    [[nodiscard]] std::uint16_t id() const noexcept { return id_; }
    [[nodiscard]] const PortConfig& config() const noexcept { return config_; }
    [[nodiscard]] int socket() const noexcept;
    [[nodiscard]] std::uint16_t rx_queues() const noexcept { return rx_queues_; }
    [[nodiscard]] std::uint16_t tx_queues() const noexcept { return tx_queues_; }
    [[nodiscard]] unsigned worker_of_rx(unsigned queue) const noexcept;
    [[nodiscard]] std::uint16_t mtu() const noexcept { return mtu_; }
    [[nodiscard]] const MacAddress& mac() const noexcept { return mac_; }
    [[nodiscard]] const std::string& interface() const noexcept { return interface_; }
    [[nodiscard]] bool is(const char* driver) const noexcept { return driver_ == driver; }

private:
    [[noreturn]] void fail(const std::string& what, int error = 0) const;
    void probe();
    void set_mac(std::vector<std::string>& remarks);
    void remark_unread_queues(std::vector<std::string>& remarks) const;

    PortConfig config_;
    std::string interface_;  // of the kernel, or empty
    unsigned index_ = 0;     // the kernel's number of it, at the start
    std::optional<InterfaceClaim> claim_;
    std::string driver_;
    std::uint16_t id_ = RTE_MAX_ETHPORTS;
    rte_eth_dev_info info_{};
    RssPlan rss_;
    unsigned workers_ = 1;
    unsigned place_ = 0;
    std::uint16_t rx_queues_ = 1, tx_queues_ = 1;
    std::uint16_t rx_descriptors_ = 0, tx_descriptors_ = 0;
    std::uint16_t mtu_ = 1500;
    MacAddress mac_{};
    bool started_ = false;
};

}  // namespace sluice

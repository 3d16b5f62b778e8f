#include "dataplane/worker/device.hh"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <stdexcept>
#include <system_error>

#include <rte_dev.h>
#include <rte_errno.h>

#include "dataplane/worker/af_xdp_rights.hh"
#include "dataplane/worker/buffer_room.hh"
#include "dataplane/worker/kernel_interface.hh"

namespace sluice {

namespace {

/// The device's name: what stands before the first comma.
std::string name_of_device(const std::string& device) {
    return device.substr(0, device.find(','));
}

/// 0000:03:00.0
bool is_pci(const std::string& name) {
    return std::count(name.begin(), name.end(), ':') == 2 && name.find('.') != std::string::npos;
}

/// Why DPDK did not find a PCI device.
std::string pci_problem(const std::string& name) {
    const std::filesystem::path device = "/sys/bus/pci/devices/" + name;
    std::error_code error;
    if (!std::filesystem::exists(device, error)) return "there is no PCI device " + name;
    const auto driver = std::filesystem::read_symlink(device / "driver", error);
    return "DPDK cannot use PCI device " + name + ", it is bound to " +
           (error ? std::string("no driver") : driver.filename().string()) + "; bind it to vfio-pci (dpdk-devbind.py)";
}

/// What the driver makes a umem of: all buffers of the pool, with their headers.
std::uint64_t locked_by_queue(const rte_mempool& pool) {
    return std::uint64_t{pool.populated_size} * rte_mempool_calc_obj_size(pool.elt_size, pool.flags, nullptr);
}

rte_ether_addr to_dpdk(const MacAddress& mac) {
    rte_ether_addr address;
    std::memcpy(address.addr_bytes, mac.bytes.data(), mac.bytes.size());
    return address;
}

}  // namespace

std::string interface_of(const std::string& device) {
    for (std::size_t at = device.find(','); at != std::string::npos; at = device.find(',', at + 1))
        if (device.compare(at + 1, 6, "iface=") == 0) return device.substr(at + 7, device.find(',', at + 1) - at - 7);
    return {};
}

RssPlan plan_rss(const rte_eth_dev_info& info, PortRole role, unsigned queues, unsigned workers) {
    constexpr std::uint64_t kIpv4 = RTE_ETH_RSS_IPV4 | RTE_ETH_RSS_FRAG_IPV4 | RTE_ETH_RSS_NONFRAG_IPV4_TCP |
                                    RTE_ETH_RSS_NONFRAG_IPV4_UDP | RTE_ETH_RSS_NONFRAG_IPV4_SCTP |
                                    RTE_ETH_RSS_NONFRAG_IPV4_OTHER;
    RssPlan plan;
    if (queues < 2) return plan;
    plan.hash_functions = info.flow_type_rss_offloads & kIpv4;
    if (plan.hash_functions == 0) return plan;
    const std::uint64_t one_address = role == PortRole::outside ? RTE_ETH_RSS_L3_SRC_ONLY : RTE_ETH_RSS_L3_DST_ONLY;
    // Homes need a queue for each worker, a key as long as the device wants, and a table that ours fits into.
    plan.homes = queues == workers && (info.flow_type_rss_offloads & one_address) != 0 && info.hash_key_size != 0 &&
                 info.hash_key_size <= kHomeRssKey.size() && info.reta_size != 0 &&
                 info.reta_size % HomeMap::kEntries == 0;
    if (plan.homes) plan.hash_functions |= one_address;
    return plan;
}

Ports::Device::Device(const PortConfig& config) : config_(config), interface_(interface_of(config.device)) {
    probe();
    int error = rte_eth_dev_info_get(id_, &info_);
    if (error != 0) fail("the device does not describe itself", -error);
    driver_ = info_.driver_name;
    rte_ether_addr address{};
    error = rte_eth_macaddr_get(id_, &address);
    if (error != 0) fail("the device has no MAC address", -error);
    std::memcpy(mac_.bytes.data(), address.addr_bytes, mac_.bytes.size());
}

Ports::Device::~Device() {
    if (id_ == RTE_MAX_ETHPORTS) return;
    stop();
    rte_device* const device = info_.device;
    rte_eth_dev_close(id_);
    if (device != nullptr && !is_pci(name_of_device(config_.device))) rte_dev_remove(device);
}

void Ports::Device::fail(const std::string& what, int error) const {
    throw std::runtime_error("port " + config_.name + " (" + config_.device + "): " + what +
                             (error == 0 ? "" : std::string(": ") + rte_strerror(error)));
}

void Ports::Device::probe() {
    const std::string name = name_of_device(config_.device);
    if (is_pci(name)) {
        // The EAL has probed what it was allowed at start.
        if (rte_eth_dev_get_port_by_name(name.c_str(), &id_) != 0) fail(pci_problem(name));
        return;
    }
    if (!interface_.empty()) {
        index_ = interface_index(interface_);
        if (index_ == 0) fail("there is no interface " + interface_);
        if (!set_interface_up(interface_)) fail("interface " + interface_ + " cannot be set up", errno);
        try {
            claim_.emplace(interface_);
        } catch (const std::system_error& error) {
            if (error.code().value() == EADDRINUSE)
                fail("interface " + interface_ + " is used by another port or another sluiced");
            fail("interface " + interface_ + " cannot be claimed", error.code().value());
        }
    }
    if (rte_eth_dev_get_port_by_name(name.c_str(), &id_) == 0) {
        id_ = RTE_MAX_ETHPORTS;  // not ours to close
        fail("another port uses a device of this name");
    }
    if (const int error = rte_dev_probe(config_.device.c_str()); error != 0) {
        // Drivers answer -1 for everything; what they know more, they log.
        if (error == -EFAULT || error == -ENODEV) fail("DPDK has no driver for this");
        fail("the driver refused the device (its log line says why)", error == -1 ? 0 : -error);
    }
    if (rte_eth_dev_get_port_by_name(name.c_str(), &id_) != 0) fail("the driver made no device of this name");
}

int Ports::Device::socket() const noexcept {
    const int socket = rte_eth_dev_socket_id(id_);
    return socket >= 0 ? socket : static_cast<int>(rte_socket_id());
}

void Ports::Device::plan(unsigned workers, unsigned place) {
    workers_ = workers;
    place_ = place;
    rx_queues_ =
        static_cast<std::uint16_t>(std::clamp<unsigned>(workers, 1, std::max<unsigned>(info_.max_rx_queues, 1)));
    tx_queues_ =
        static_cast<std::uint16_t>(std::clamp<unsigned>(workers, 1, std::max<unsigned>(info_.max_tx_queues, 1)));
    if (is("net_af_xdp") || is("net_ring")) rx_queues_ = tx_queues_ = std::min(rx_queues_, tx_queues_);  // pairs
    rss_ = plan_rss(info_, config_.role, rx_queues_, workers);

    const std::uint16_t now = interface_.empty() ? 0 : interface_mtu(interface_);
    if (config_.mtu) {
        mtu_ = *config_.mtu;
    } else if (now != 0) {
        mtu_ = now;
    } else {
        rte_eth_dev_get_mtu(id_, &mtu_);
    }
    if (info_.max_mtu != 0 && mtu_ > info_.max_mtu)
        fail("MTU " + std::to_string(mtu_) + " is above the device's largest, " + std::to_string(info_.max_mtu));
}

unsigned Ports::Device::buffers() const noexcept {
    return device_buffers(is("net_af_xdp"), rx_queues_, config_.rx_descriptors, tx_queues_, config_.tx_descriptors);
}

unsigned Ports::Device::worker_of_rx(unsigned queue) const noexcept {
    return rx_queues_ == workers_ ? queue : (queue + place_) % workers_;
}

void Ports::Device::configure(rte_mempool* pool, std::vector<std::string>& remarks) {
    // A umem is one stretch of memory.
    if (is("net_af_xdp") && pool->nb_mem_chunks != 1)
        fail("the packet buffers are not contiguous, which AF_XDP needs; set memory.hugepages: off or free hugepages");
    rte_eth_conf conf{};
    conf.rxmode.mtu = mtu_;
    conf.rxmode.offloads = info_.rx_offload_capa & (RTE_ETH_RX_OFFLOAD_IPV4_CKSUM | RTE_ETH_RX_OFFLOAD_TCP_CKSUM |
                                                    RTE_ETH_RX_OFFLOAD_UDP_CKSUM);
    auto key = kHomeRssKey;
    if (rss_.hash_functions != 0) {
        conf.rxmode.mq_mode = RTE_ETH_MQ_RX_RSS;
        conf.rx_adv_conf.rss_conf.rss_hf = rss_.hash_functions;
        if (rss_.homes) {
            conf.rx_adv_conf.rss_conf.rss_key = key.data();
            conf.rx_adv_conf.rss_conf.rss_key_len = info_.hash_key_size;
        }
    }
    int error = rte_eth_dev_configure(id_, rx_queues_, tx_queues_, &conf);
    if (error != 0) fail("the device refuses " + std::to_string(rx_queues_) + " queues", -error);
    rx_descriptors_ = config_.rx_descriptors;
    tx_descriptors_ = config_.tx_descriptors;
    error = rte_eth_dev_adjust_nb_rx_tx_desc(id_, &rx_descriptors_, &tx_descriptors_);
    if (error != 0) fail("the device refuses these queue sizes", -error);
    const auto node = static_cast<unsigned>(socket());
    for (std::uint16_t q = 0; q < rx_queues_; ++q) {
        error = rte_eth_rx_queue_setup(id_, q, rx_descriptors_, node, nullptr, pool);
        if (error != 0 && is("net_af_xdp")) {
            // The driver's own number says nothing of the reason.
            const std::string missing = missing_for_af_xdp(capabilities_in_force());
            if (!missing.empty())
                fail("no rights to attach to " + interface_ + " (missing: " + missing +
                     "): run as root or with CAP_NET_ADMIN, CAP_NET_RAW, CAP_BPF");
            // Each queue locks the whole pool, and so did those of the devices before.
            const std::uint64_t queues = std::uint64_t{place_} * rx_queues_ + q + 1;
            const std::uint64_t limit = locked_memory_limit();
            const std::uint64_t needed = queues * locked_by_queue(*pool);
            if (!may_lock(capabilities_in_force(), limit, needed))
                fail("no rights to lock the memory that AF_XDP needs (" + std::to_string(needed >> 20) + " MB, and " +
                     std::to_string(limit >> 20) +
                     " are allowed): run as root, with CAP_IPC_LOCK, or with a higher limit (ulimit -l, LimitMEMLOCK)");
        }
        if (error != 0 && is("net_af_xdp"))
            throw QueueBusy("port " + config_.name + " (" + config_.device + "): cannot attach to queue " +
                            std::to_string(q) + " of " + interface_ +
                            "; does another AF_XDP program use it? (see the driver's log lines)");
        if (error != 0) fail("receive queue " + std::to_string(q) + " cannot be set up", -error);
    }
    for (std::uint16_t q = 0; q < tx_queues_; ++q) {
        error = rte_eth_tx_queue_setup(id_, q, tx_descriptors_, node, nullptr);
        if (error != 0) fail("transmit queue " + std::to_string(q) + " cannot be set up", -error);
    }
    if (config_.mtu) {
        error = rte_eth_dev_set_mtu(id_, mtu_);
        if (error != 0 && !(error == -ENOTSUP && mtu_ == 1500))
            fail("MTU " + std::to_string(mtu_) + " is refused", -error);
    }
    if (is("net_af_xdp")) remark_unread_queues(remarks);
    set_mac(remarks);
    if (rx_queues_ > 1 && !rss_.homes && workers_ > 1)
        remarks.push_back("port " + config_.name +
                          ": the device cannot hash on one address; workers steer in software");
}

/// The kernel's driver spreads frames over all of its queues, whatever part of them has a socket.
void Ports::Device::remark_unread_queues(std::vector<std::string>& remarks) const {
    const ReceiveQueues queues = interface_receive_queues(interface_);
    if (queues.count <= rx_queues_) return;
    const std::string all = std::to_string(queues.count), read = std::to_string(rx_queues_);
    std::string remark = "port " + config_.name + ": interface " + interface_ + " has " + all;
    remark.append(" receive queues, and ")
        .append(read)
        .append(" of them will be read: what comes by the others is lost");
    remark.append(" (the guard counts it); ethtool -L ").append(interface_).append(" ").append(queues.word).append(" ");
    remark.append(read).append(", or queue_count=").append(all).append(" in its device, with as many workers");
    remarks.push_back(std::move(remark));
}

void Ports::Device::set_mac(std::vector<std::string>& remarks) {
    if (!config_.mac || *config_.mac == mac_) return;
    rte_ether_addr wanted = to_dpdk(*config_.mac);
    if (rte_eth_dev_default_mac_addr_set(id_, &wanted) != 0) accept_mac(*config_.mac, remarks);
    mac_ = *config_.mac;
}

void Ports::Device::accept_mac(const MacAddress& mac, std::vector<std::string>& remarks) {
    if (mac == mac_) return;
    rte_ether_addr wanted = to_dpdk(mac);
    if (rte_eth_dev_mac_addr_add(id_, &wanted, 0) == 0 || rte_eth_promiscuous_enable(id_) == 0) return;
    remarks.push_back("port " + config_.name +
                      ": the device accepts no second MAC address; frames to it may not arrive");
}

void Ports::Device::start(const HomeMap& homes) {
    int error = rte_eth_dev_start(id_);
    if (error != 0) fail("the device does not start", -error);
    started_ = true;
    // Group addresses: OSPF, VRRP, neighbour discovery. A device that cannot filter them delivers them anyway.
    rte_eth_allmulticast_enable(id_);
    if (!rss_.homes) return;
    std::vector<rte_eth_rss_reta_entry64> table(info_.reta_size / RTE_ETH_RETA_GROUP_SIZE);
    for (unsigned i = 0; i < info_.reta_size; ++i) {
        auto& group = table[i / RTE_ETH_RETA_GROUP_SIZE];
        group.mask = ~std::uint64_t{0};
        group.reta[i % RTE_ETH_RETA_GROUP_SIZE] = homes.reta()[i % HomeMap::kEntries];
    }
    error = rte_eth_dev_rss_reta_update(id_, table.data(), info_.reta_size);
    if (error != 0) fail("the redirection table is refused", -error);
}

void Ports::Device::stop() noexcept {
    if (!started_) return;
    started_ = false;
    rte_eth_dev_stop(id_);
}

bool Ports::Device::replaced() const {
    if (interface_.empty()) return false;
    const unsigned now = interface_index(interface_);
    return now != 0 && now != index_;
}

bool Ports::Device::link_up() const {
    // Sockets and programs are bound to an interface, not to its name.
    if (!interface_.empty()) return !replaced() && interface_running(interface_);
    rte_eth_link link{};
    return rte_eth_link_get_nowait(id_, &link) == 0 && link.link_status == RTE_ETH_LINK_UP;
}

}  // namespace sluice

// A port's twin in the kernel: a persistent TAP device with the port's name, MAC, MTU and carrier. Packets for the box
// are written into it, what the kernel sends comes out of it. (Design: Linux is the control plane of the box.)
//
// Life cycle: create() finds the device or makes it; the destructor lets go of it and the device stays, with addresses
// and routes, but without carrier, until the next create(), also that of a new process. remove() deletes it for good.
// Owner: the control thread. Frames are read on wake-ups of its io_context, at most kFramesPerWakeUp at a time.
// Failure policy: a twin that cannot be had is a Failure with a text; a refused frame is counted.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include <boost/asio/io_context.hpp>

#include "control/linux/kernel.hh"

namespace sluice {

struct TwinSpec {
    std::string name;  ///< of the device in the kernel, 1–15 characters
    MacAddress mac{};
    std::uint32_t mtu_bytes = 1500;
    bool ipv6 = false;  ///< false: the kernel has none there, and sends none of its own (RS, MLD)
    std::vector<IpPrefix> addresses;
};

class Twin final : public TwinPort {
public:
    static constexpr unsigned kFramesPerWakeUp = 32;
    static constexpr std::uint32_t kLeastIpv6Mtu = 1280;  ///< RFC 8200, 5

    /// Finds or makes the device, sets MAC and MTU, takes it up with carrier. `requests` must outlive the twin. A
    /// failed address is a failure of the whole: then a twin made just now is gone again.
    static OrFailure<std::unique_ptr<Twin>> create(boost::asio::io_context& io, KernelRequests& requests,
                                                   const TwinSpec& spec);
    /// Deletes the TAP device `name` if there is one that nobody holds; for an explicit teardown without a daemon.
    static MaybeFailure remove(const std::string& name);

    ~Twin() override;
    Twin(const Twin&) = delete;
    Twin& operator=(const Twin&) = delete;

    [[nodiscard]] const std::string& name() const override { return name_; }
    [[nodiscard]] IfIndex ifindex() const override { return ifindex_; }
    void start(FrameHandler on_frame, LostHandler on_lost) override;
    bool write(std::span<const std::byte> frame) override;
    MaybeFailure set_carrier(bool on) override;
    MaybeFailure set_mtu(std::uint32_t mtu_bytes) override;
    MaybeFailure set_mac(const MacAddress& mac) override;
    std::vector<Failure> set_addresses(std::span<const IpPrefix> wanted) override;
    [[nodiscard]] const TwinCounters& counters() const override { return counters_; }
    /// Its IPv6 settings again, for the kernel made them anew: it does without IPv6 where the MTU is below
    /// kLeastIpv6Mtu, and forgets all about it.
    MaybeFailure renew_ipv6();
    /// The device goes away when this object does.
    MaybeFailure remove_on_close();

private:
    struct Reader;

    Twin(boost::asio::io_context& io, KernelRequests& requests, std::string name, IfIndex ifindex, int fd);

    KernelRequests& requests_;
    std::string name_;
    IfIndex ifindex_;
    bool ipv6_ = false;                    ///< as asked for
    std::vector<IpPrefix> own_addresses_;  ///< set by this object; for kernels that do not keep IFA_PROTO
    TwinCounters counters_;
    std::shared_ptr<Reader> reader_;  ///< also held by the wait in progress, which outlives a deleted twin
};

}  // namespace sluice

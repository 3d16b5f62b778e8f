// What the data plane knows of logical ports. Written by control before workers start (names, roles, devices) and, for
// the few live fields, by relaxed stores at run time (carrier, MTU); read by every worker.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>

#include "dataplane/base/types.hh"

namespace sluice {

inline constexpr std::uint16_t kNoVlan = 0;

struct PortInfo {
    bool present = false;
    PortRole role = PortRole::inside;
    std::uint16_t device = 0;      ///< ethdev port id
    std::uint16_t vlan = kNoVlan;  ///< 802.1Q id of a VLAN port
    std::uint16_t zone = 0;        ///< conntrack zone
    MacAddress mac{};
    std::atomic<std::uint16_t> mtu{1500};  ///< IP bytes
    std::atomic<bool> up{true};
};

/// One per process. `by_device` finds the logical port of a frame: index by ethdev port id, then by VLAN.
class PortTable {
public:
    PortInfo& operator[](PortIndex i) noexcept { return ports_[i]; }
    const PortInfo& operator[](PortIndex i) const noexcept { return ports_[i]; }
    /// IP bytes that may leave by `i`; 0 when that is no port.
    [[nodiscard]] std::uint16_t mtu(PortIndex i) const noexcept {
        return i <= kMaxPorts ? ports_[i].mtu.load(std::memory_order_relaxed) : std::uint16_t{0};
    }

    /// Control thread, before workers start. The untagged port of a device has vlan kNoVlan.
    void bind(PortIndex index) noexcept {
        const PortInfo& p = ports_[index];
        if (p.vlan == kNoVlan) {
            untagged_[p.device] = index;
        } else {
            tagged_[p.device % kDevices][tagged_count_[p.device % kDevices]++ % (kMaxPorts + 1)] = {p.vlan, index};
        }
    }
    /// The logical port for an untagged frame from `device`; kNoPort when the device has none.
    [[nodiscard]] PortIndex untagged(std::uint16_t device) const noexcept {
        return device < kDevices ? untagged_[device] : kNoPort;
    }
    [[nodiscard]] PortIndex tagged(std::uint16_t device, std::uint16_t vlan) const noexcept {
        if (device >= kDevices) return kNoPort;
        for (unsigned i = 0; i < tagged_count_[device]; ++i)
            if (tagged_[device][i].vlan == vlan) return tagged_[device][i].port;
        return kNoPort;
    }

    /// Whether IPv6 is forwarded. Control thread, before workers start.
    [[nodiscard]] bool ipv6() const noexcept { return ipv6_; }
    void enable_ipv6(bool on) noexcept { ipv6_ = on; }

private:
    static constexpr unsigned kDevices = 64;
    struct Tagged {
        std::uint16_t vlan = 0;
        PortIndex port = kNoPort;
    };
    bool ipv6_ = false;
    std::array<PortInfo, kMaxPorts + 1> ports_{};
    std::array<PortIndex, kDevices> untagged_ = [] {
        std::array<PortIndex, kDevices> a{};
        a.fill(kNoPort);
        return a;
    }();
    std::array<std::array<Tagged, kMaxPorts + 1>, kDevices> tagged_{};
    std::array<unsigned, kDevices> tagged_count_{};
};

}  // namespace sluice

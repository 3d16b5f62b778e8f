// Everything between the box and the Linux kernel, in the order in which it must come up: the guard before any twin is
// up, the twins before netlink is asked about them, the configured routes when the kernel's state is known.
//
// Life cycle: constructed after the engine, before its workers run; destroyed before it. Twins, their addresses and
// routes stay in the kernel (without carrier), so that a restart finds them again; so does the guard. But when it goes
// without having been started, the start was refused: then the twins that it made go, and the guard is as it was found.
// Owner: control thread. Failure policy: std::runtime_error from the constructor and start(), one line; later failures
// are logged.
#pragma once

#include <array>
#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <boost/asio/io_context.hpp>

#include "control/app/engine.hh"
#include "control/app/port_mtu.hh"
#include "control/app/punt_bridge.hh"
#include "control/app/routing_bridge.hh"
#include "control/config/schema.hh"
#include "control/linux/guard.hh"
#include "control/linux/guard_watch.hh"
#include "control/linux/netlink.hh"
#include "control/linux/requests.hh"
#include "control/linux/twin.hh"

namespace sluice::app {

/// Takes back what a refused start made in the kernel, and nothing that was there before: what a killed sluiced left
/// stays guarded. Its destructor does it, unless keep() was called; to be destroyed after the twins.
class StartUndo {
public:
    /// `guard` must outlive it. Throws std::runtime_error.
    explicit StartUndo(Guard& guard);
    ~StartUndo();
    StartUndo(const StartUndo&) = delete;
    StartUndo& operator=(const StartUndo&) = delete;

    /// This start made the TAP device `name`.
    void twin_made(std::string name) {
        if (!kept_) twins_.push_back(std::move(name));
    }
    void keep() noexcept { kept_ = true; }

private:
    Guard& guard_;
    GuardState before_;
    std::vector<std::string> twins_;
    bool kept_ = false;
};

class KernelSide {
public:
    KernelSide(boost::asio::io_context& io, Machine& machine, Engine& engine, const config::Config& config);
    ~KernelSide();
    KernelSide(const KernelSide&) = delete;
    KernelSide& operator=(const KernelSide&) = delete;

    /// Frames and kernel events flow from now on.
    void start();
    /// Addresses and routes of a new configuration (ports and twins are the same: the reload was checked).
    void apply(const config::Config& config);
    /// A worker asks for a neighbour.
    void resolve(const Notice& notice);
    /// Punted packets into twins; true when more wait.
    bool serve(unsigned budget) { return punts_.drain(budget); }
    /// Carrier of ports to their twins; twins that are missing are tried again. Once a second or so.
    void refresh();

    [[nodiscard]] const RoutingBridge& routing() const noexcept { return routing_; }
    [[nodiscard]] const PuntBridge& punts() const noexcept { return punts_; }
    /// How often the guard had been changed or removed by somebody and was written again.
    [[nodiscard]] std::uint64_t guard_restored() const noexcept { return guard_restored_; }
    /// Whether the port's twin is there and set up by the administrator, now.
    [[nodiscard]] bool twin_up(PortIndex port) const noexcept { return twins_[port] != nullptr && twin_up_[port]; }

private:
    [[nodiscard]] RoutingBridge::Hooks hooks();
    [[nodiscard]] MaybeFailure make_twin(PortIndex port);
    void start_twin(PortIndex port);
    void replace_twin(PortIndex port);
    [[nodiscard]] IfIndex twin_of(std::string_view port_name) const;
    void set_routes();
    void on_link(const LinkInfo& link, bool gone);
    void follow_twin(PortIndex port, const LinkInfo& link);
    void follow_interface(const LinkInfo& link, bool gone);
    void set_mtu(PortIndex port);
    void look_for_replacement(PortIndex port);
    [[nodiscard]] bool keep_guard();

    boost::asio::io_context& io_;
    Machine& machine_;
    Engine& engine_;
    config::Config config_;
    std::unique_ptr<RtnlRequests> requests_;
    std::unique_ptr<Guard> guard_;
    StartUndo undo_;
    GuardedLinks guarded_;
    PuntBridge punts_;
    RoutingBridge routing_;
    std::vector<std::unique_ptr<Twin>> twins_;  // by PortIndex; null: deleted behind our back
    std::unique_ptr<GuardWatch> guard_watch_;
    std::uint64_t guard_restored_ = 0;
    std::optional<std::chrono::steady_clock::time_point> guard_complaint_;  ///< the last
    std::unique_ptr<Netlink> netlink_;
    std::array<PortMtu, kMaxPorts + 1> mtu_{};
    std::array<IfIndex, kMaxPorts + 1> interface_{};  ///< the kernel's, behind the port's device; 0: none
    std::array<bool, kMaxPorts + 1> twin_up_{};
    std::array<bool, kMaxPorts + 1> interface_replaced_{};  ///< said already
    std::array<MacAddress, kMaxPorts + 1> strange_mac_{};   ///< complained about already
    bool resynced_ = false;
    bool twin_complaint_ = false;  ///< said already that a twin cannot be made
};

}  // namespace sluice::app

#include "control/app/kernel_side.hh"

#include <algorithm>
#include <net/if.h>
#include <stdexcept>

#include <boost/asio/post.hpp>
#include <spdlog/spdlog.h>

#include "control/app/settings.hh"

namespace sluice::app {

namespace {

constexpr std::uint32_t kNeighbourEntries = 16384;
constexpr std::chrono::seconds kGuardComplaints{60};  ///< apart, at least

template <class T>
T need(OrFailure<T> result) {
    if (const auto* failure = std::get_if<Failure>(&result)) throw std::runtime_error(failure->text);
    return std::move(std::get<T>(result));
}

void need(const MaybeFailure& failure) {
    if (failure) throw std::runtime_error(failure->text);
}

void warn(const std::vector<Failure>& failures) {
    for (const Failure& f : failures) spdlog::warn("{}", f.text);
}

/// Said once: whoever set them may count on them.
void warn_of_rules(RtnlRequests& kernel) {
    const auto rules = kernel.foreign_rules();
    if (const auto* failure = std::get_if<Failure>(&rules)) {
        spdlog::debug("{}", failure->text);
    } else if (const std::size_t count = std::get<std::size_t>(rules); count != 0) {
        spdlog::warn(
            "rules of routing (ip rule) are not read: {} beyond the kernel's own, and what is forwarded goes "
            "by the tables local and main alone",
            count);
    }
}

std::vector<std::string> twin_names(const config::Config& config) {
    std::vector<std::string> names;
    for (const auto& port : config.ports) names.push_back(port.tap);
    return names;
}

}  // namespace

StartUndo::StartUndo(Guard& guard) : guard_(guard), before_(need(guard.state())) {}

StartUndo::~StartUndo() {
    if (kept_) return;
    for (const std::string& name : twins_)
        if (const auto failure = Twin::remove(name)) spdlog::warn("{}", failure->text);
    if (const auto failure = guard_.restore(before_)) spdlog::warn("{}", failure->text);
}

KernelSide::KernelSide(boost::asio::io_context& io, Machine& machine, Engine& engine, const config::Config& config)
    : io_(io),
      machine_(machine),
      engine_(engine),
      config_(config),
      requests_(need(RtnlRequests::open())),
      guard_(need(Guard::open(config.ports.front().tap))),
      undo_(*guard_),
      guarded_(twin_names(config)),
      punts_(machine.homes, machine.ports.pool(), engine.punt_rings()),
      routing_(engine.routes(), *requests_, hooks(), machine.table.ipv6()) {
    guard_watch_ = need(GuardWatch::open(
        io, [this] { return keep_guard(); },
        [](const Failure& why) { spdlog::critical("the guard is not watched any more: {}", why.text); }));
    need(guard_->set_interfaces(guarded_.names()));
    for (const bool v6 : {false, true})
        if (const auto failure = raise_neighbour_limits(kNeighbourEntries, v6)) spdlog::debug("{}", failure->text);
    twins_.resize(config.ports.size());
    std::vector<std::string> seen_by_kernel;
    for (std::size_t i = 0; i < config.ports.size(); ++i) {
        const auto port = static_cast<PortIndex>(i);
        mtu_[port].at_start = machine.table[port].mtu.load(std::memory_order_relaxed);
        const std::string& interface = machine.ports.kernel_interface(port);
        if (interface.empty()) continue;
        interface_[port] = static_cast<IfIndex>(::if_nametoindex(interface.c_str()));
        if (!config.ports[i].is_vlan() && machine.ports.kernel_sees_frames(port)) seen_by_kernel.push_back(interface);
    }
    need(guard_->set_ingress(seen_by_kernel));
    for (std::size_t i = 0; i < config.ports.size(); ++i) need(make_twin(static_cast<PortIndex>(i)));
    netlink_ = need(Netlink::open(io, routing_, *requests_));
}

KernelSide::~KernelSide() {
    guard_watch_.reset();
    netlink_.reset();
    for (std::size_t i = 0; i < twins_.size(); ++i) punts_.set_twin(static_cast<PortIndex>(i), nullptr);
    twins_.clear();
    if (const auto failure = guard_->set_ingress({})) spdlog::warn("{}", failure->text);
}

RoutingBridge::Hooks KernelSide::hooks() {
    RoutingBridge::Hooks hooks;
    hooks.neighbour_changed = [this](const IpAddress& address, PortIndex port) {
        engine_.tell_all({.kind = OrderKind::neighbour_changed, .detail = port, .address = address});
    };
    hooks.link = [this](const LinkInfo& link, bool gone) { on_link(link, gone); };
    hooks.resynced = [this] {
        if (!resynced_) {
            spdlog::info("{} routes and {} neighbours known", routing_.routes(), routing_.neighbours());
            // Not before all that is guarded is known.
            if (const auto failure = guard_->remove_leftovers()) spdlog::warn("{}", failure->text);
        }
        resynced_ = true;
        set_routes();
    };
    hooks.complain = [](const Failure& why) { spdlog::warn("{}", why.text); };
    hooks.kernel_lost = [](const Failure& why) {
        spdlog::critical("routes and neighbours are not followed any more: {}", why.text);
    };
    return hooks;
}

MaybeFailure KernelSide::make_twin(PortIndex port) {
    const config::Port& wanted = config_.ports[port];
    const PortInfo& info = machine_.table[port];
    TwinSpec spec;
    spec.name = wanted.tap;
    spec.mac = info.mac;
    spec.mtu_bytes = mtu_[port].at_start;
    spec.ipv6 = machine_.table.ipv6();
    spec.addresses = twin_addresses(wanted);
    const bool there = ::if_nametoindex(spec.name.c_str()) != 0;
    auto created = Twin::create(io_, *requests_, spec);
    if (const auto* failure = std::get_if<Failure>(&created)) return *failure;
    if (!there) undo_.twin_made(spec.name);
    twins_[port] = std::move(std::get<std::unique_ptr<Twin>>(created));
    Twin& twin = *twins_[port];
    routing_.bind(twin.ifindex(), port, info.zone);
    punts_.set_twin(port, &twin);
    if (!info.up.load(std::memory_order_relaxed))
        if (const auto failure = twin.set_carrier(false)) spdlog::warn("{}", failure->text);
    return std::nullopt;
}

void KernelSide::start() {
    for (std::size_t i = 0; i < twins_.size(); ++i) {
        start_twin(static_cast<PortIndex>(i));
        // A device may have got its link only when it was started, which was after its twin was made.
        if (!machine_.table[static_cast<PortIndex>(i)].up.load(std::memory_order_relaxed)) continue;
        if (const auto failure = twins_[i]->set_carrier(true)) spdlog::warn("{}", failure->text);
    }
    netlink_->start();
    warn_of_rules(*requests_);
    undo_.keep();
}

void KernelSide::start_twin(PortIndex port) {
    twins_[port]->start([this, port](std::span<const std::byte> frame) { punts_.from_twin(port, frame); },
                        [this, port](const Failure& why) {
                            spdlog::warn("{}", why.text);
                            punts_.set_twin(port, nullptr);
                            // Not within its own call.
                            boost::asio::post(io_, [this, port] {
                                twins_[port].reset();
                                replace_twin(port);
                            });
                        });
}

/// An operator deleted a twin: the port works on for what is forwarded, but the box has no address there.
void KernelSide::replace_twin(PortIndex port) {
    const std::string& name = config_.ports[port].tap;
    if (const auto failure = make_twin(port)) {
        if (!twin_complaint_) spdlog::error("twin {} cannot be made anew, trying on: {}", name, failure->text);
        twin_complaint_ = true;
        return;
    }
    start_twin(port);
    twin_complaint_ = false;
    spdlog::warn("twin {} was made anew with its configured addresses", name);
}

void KernelSide::on_link(const LinkInfo& link, bool gone) {
    if (guarded_.on_link(link, gone))
        if (const auto failure = guard_->set_interfaces(guarded_.names())) spdlog::error("{}", failure->text);
    follow_interface(link, gone);
    // The kernel forgets a link's routes when it goes down.
    const auto twin = std::find_if(twins_.begin(), twins_.end(),
                                   [&](const auto& t) { return t != nullptr && t->ifindex() == link.ifindex; });
    if (twin == twins_.end() || gone) return;
    follow_twin(static_cast<PortIndex>(twin - twins_.begin()), link);
    if (link.up && link.carrier && resynced_) boost::asio::post(io_, [this] { set_routes(); });
}

/// The interface behind a device may be narrowed by hand; of what does not fit it the sender must be told.
void KernelSide::follow_interface(const LinkInfo& link, bool gone) {
    for (std::size_t i = 0; i < twins_.size(); ++i) {
        const auto port = static_cast<PortIndex>(i);
        if (interface_[port] != link.ifindex) continue;
        mtu_[port].interface = gone ? 0 : link.mtu_bytes;
        set_mtu(port);
    }
}

void KernelSide::set_mtu(PortIndex port) {
    const std::uint16_t mtu = mtu_[port].in_force();
    if (machine_.table[port].mtu.exchange(mtu, std::memory_order_relaxed) != mtu)
        spdlog::info("port {} forwards with MTU {} now", config_.ports[port].name, mtu);
}

/// What an operator sets on the twin counts for the port, as far as the device allows.
void KernelSide::follow_twin(PortIndex port, const LinkInfo& link) {
    const PortInfo& info = machine_.table[port];
    const std::uint32_t before = std::exchange(mtu_[port].twin, link.mtu_bytes);
    twin_up_[port] = link.up;
    set_mtu(port);
    const std::uint16_t at_start = mtu_[port].at_start;
    if (link.mtu_bytes > at_start && link.mtu_bytes != before)
        spdlog::warn("twin {} has MTU {}, but the device of port {} takes {} at most (set the port's mtu and restart)",
                     link.name, link.mtu_bytes, config_.ports[port].name, at_start);
    // The kernel has made a new IPv6 of its own there, without the addresses.
    if (before != 0 && before < Twin::kLeastIpv6Mtu && link.mtu_bytes >= Twin::kLeastIpv6Mtu) {
        if (const auto failure = twins_[port]->renew_ipv6()) spdlog::warn("{}", failure->text);
        warn(twins_[port]->set_addresses(twin_addresses(config_.ports[port])));
    }
    if (link.up && link.mac != info.mac && link.mac != strange_mac_[port])
        spdlog::warn(
            "twin {} was given another MAC than its port's: frames to it are not received (set the port's mac)",
            link.name);
    if (link.up) strange_mac_[port] = link.mac;
}

/// Rules of the machine changed. False when the guard could not be looked at or written.
bool KernelSide::keep_guard() {
    const auto kept = guard_->keep();
    const auto* failure = std::get_if<Failure>(&kept);
    if (failure == nullptr && !std::get<bool>(kept)) return true;
    if (failure == nullptr) ++guard_restored_;
    const auto now = std::chrono::steady_clock::now();
    if (guard_complaint_ && now - *guard_complaint_ < kGuardComplaints) return failure == nullptr;
    guard_complaint_ = now;
    if (failure != nullptr)
        spdlog::error("the guard (nftables table {}) cannot be kept, trying on: {}", guard_->table_name(),
                      failure->text);
    else
        spdlog::warn("the guard (nftables table {}) was changed or removed by another program, and is in force again",
                     guard_->table_name());
    return failure == nullptr;
}

IfIndex KernelSide::twin_of(std::string_view port_name) const {
    for (std::size_t i = 0; i < config_.ports.size(); ++i)
        if (config_.ports[i].name == port_name && twins_[i] != nullptr) return twins_[i]->ifindex();
    return 0;
}

void KernelSide::set_routes() {
    warn(requests_->set_routes(route_specs(config_, [this](std::string_view name) { return twin_of(name); })));
}

void KernelSide::apply(const config::Config& config) {
    config_ = config;
    for (std::size_t i = 0; i < twins_.size(); ++i)
        if (twins_[i] != nullptr) warn(twins_[i]->set_addresses(twin_addresses(config_.ports[i])));
    if (resynced_) set_routes();
}

void KernelSide::resolve(const Notice& notice) {
    routing_.resolve(notice.key.dst(), static_cast<PortIndex>(notice.detail));
}

/// An operator who sees the interface up must be told why its port is not.
void KernelSide::look_for_replacement(PortIndex port) {
    if (config_.ports[port].is_vlan() || interface_replaced_[port] || !machine_.ports.interface_replaced(port)) return;
    interface_replaced_[port] = true;
    spdlog::warn("port {}: interface {} was deleted and made anew: restart sluiced to use it", config_.ports[port].name,
                 machine_.ports.kernel_interface(port));
}

void KernelSide::refresh() {
    const std::uint64_t changed = machine_.ports.refresh_links();
    for (std::size_t i = 0; i < twins_.size(); ++i) {
        if (twins_[i] == nullptr) replace_twin(static_cast<PortIndex>(i));
        const bool up = machine_.table[static_cast<PortIndex>(i)].up.load(std::memory_order_relaxed);
        if (!up) look_for_replacement(static_cast<PortIndex>(i));
        if ((changed >> i & 1) == 0) continue;
        spdlog::info("port {} is {}", config_.ports[i].name, up ? "up" : "down");
        if (twins_[i] == nullptr) continue;
        if (const auto failure = twins_[i]->set_carrier(up)) spdlog::warn("{}", failure->text);
    }
}

}  // namespace sluice::app

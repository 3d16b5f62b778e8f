// From what the kernel says (netlink) to what workers route by (RouteTable). The kernel's tables are the truth; this
// translates and never decides.
//
//   kernel                                           RouteTable
//   route in table main through a twin               prefix → connected, neighbour (gateway) or multipath hop
//   route in table local (own, broadcast, anycast)   prefix → local
//   blackhole, unreachable, prohibit                 prefix → the same
//   route through another interface                  prefix → unreachable: sluice forwards between its ports only
//   neighbour on a twin, in a connected subnet       host → neighbour hop with its MAC (or: failed)
//   addresses                                        one Addresses object; those of other interfaces count as the box's
//
// A conntrack zone sees what leads through its own ports once more, in routes of its own (a view): the same network on
// two ports is two networks when their zones differ. What the kernel makes for an address it makes for each port, of
// other routes each next hop is its port's. To all together, that of zone 0 goes first where two are equally good.
//
// Of routes with one prefix, table local goes before main, then the lower metric; one whose next hops are all dead
// counts as absent. Gateways are kept resolved by the kernel as long as a route uses them; hosts are asked for when a
// worker needs them (resolve), and again when their entry goes stale.
//
// Owner: control thread. Cost of a change: its own prefix, and the known neighbours inside it.
// Failure policy: what the RouteTable has no room for is reported and counted; the rest goes on.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <utility>
#include <vector>

#include "control/linux/kernel.hh"
#include "dataplane/policy/routes.hh"

namespace sluice {

class RoutingBridge final : public KernelObserver {
public:
    struct Hooks {
        /// A neighbour answered, moved or failed: every worker gets Order::neighbour_changed.
        std::function<void(const IpAddress&, PortIndex)> neighbour_changed;
        /// Every link, twin or not (the guard follows what sits on twins).
        std::function<void(const LinkInfo&, bool gone)> link;
        /// The kernel's whole state is known, for the first time or again.
        std::function<void()> resynced;
        std::function<void(const Failure&)> complain;
        std::function<void(const Failure&)> kernel_lost;
    };

    /// All must outlive it. Hooks may be empty. Without `ipv6`, whatever the kernel says of IPv6 is passed over.
    RoutingBridge(RouteTable& table, KernelRequests& kernel, Hooks hooks, bool ipv6);

    /// The twin of a port, before netlink starts; `zone` is the port's, which the table has been given.
    void bind(IfIndex twin, PortIndex port, std::uint16_t zone = 0);
    /// A worker holds packets for this neighbour (Notice::resolve).
    void resolve(const IpAddress& address, PortIndex port);

    [[nodiscard]] std::size_t routes() const noexcept { return views_.front().installed.size(); }
    [[nodiscard]] std::size_t neighbours() const noexcept { return neighbours_.size(); }
    /// Routes that found no room.
    [[nodiscard]] std::uint64_t refused() const noexcept { return refused_; }

    void on_link(const LinkInfo& link, bool gone) override;
    void on_address(const AddressInfo& address, bool added) override;
    void on_route(const RouteInfo& route, bool added) override;
    void on_neighbour(const NeighbourInfo& neighbour, bool gone) override;
    void on_resync_begin() override { resyncing_ = true; }
    void on_resync_end() override;
    void on_kernel_lost(const Failure& why) override;

private:
    /// What makes two next hops one, so that routes share it.
    struct HopKey {
        HopKind kind{};
        PortIndex port = kNoPort;
        IpAddress address{};
        IpAddress source{};
        bool gateway = false;  // of a route: kept resolved
        friend auto operator<=>(const HopKey&, const HopKey&) = default;
    };
    struct SharedHop {
        HopKey key{};
        unsigned uses = 0;
        std::vector<std::uint32_t> members;  // multipath only, one use each
    };
    /// Lower goes first.
    struct Preference {
        std::uint32_t table = 0;  // 0 for local, 1 for main
        std::uint32_t metric = 0;
        bool of_tenant = false;  // another zone than 0
        IfIndex device = 0;
        friend auto operator<=>(const Preference&, const Preference&) = default;
    };
    /// The routes of one zone; of 0: those that all have.
    struct View {
        std::uint16_t zone = 0;
        std::map<IpPrefix, std::uint32_t> installed;  // prefix → hop id, as in the table
    };
    using NeighbourKey = std::pair<IpAddress, IfIndex>;

    [[nodiscard]] bool follows(const IpAddress& address) const noexcept { return ipv6_ || address.is_v4(); }
    [[nodiscard]] PortIndex port_of(IfIndex ifindex) const;
    [[nodiscard]] std::uint16_t zone_of(IfIndex ifindex) const;
    [[nodiscard]] const RouteInfo* best(const View& view, const IpPrefix& prefix) const;
    [[nodiscard]] bool is_usable(const View& view, const RouteInfo& route) const;
    [[nodiscard]] bool is_on_link(const View& view, const IpAddress& address, IfIndex ifindex) const;
    [[nodiscard]] bool is_seen(const View& view, const RouteNextHop& next) const;
    void evaluate(const IpPrefix& prefix);
    void evaluate(View& view, const IpPrefix& prefix);
    void evaluate_neighbours_in(const IpPrefix& prefix);
    std::uint32_t hop_for(const View& view, const RouteInfo& route);
    std::uint32_t hop_to(const RouteNextHop& next, PortIndex port, const IpAddress& source);
    std::uint32_t acquire(const HopKey& key);
    void release(std::uint32_t id);
    void keep_gateway(const HopKey& key);
    void let_gateway_go(const HopKey& key);
    [[nodiscard]] NextHop facts(const HopKey& key) const;
    void install(View& view, const IpPrefix& prefix, std::uint32_t id);
    void publish_addresses();
    void tell_workers(const IpAddress& neighbour, PortIndex port);
    void complain(const MaybeFailure& failure) const;

    RouteTable& table_;
    KernelRequests& kernel_;
    Hooks hooks_;
    std::shared_ptr<const char> life_ = std::make_shared<const char>('\0');  ///< ends with this
    std::map<IfIndex, PortIndex> ports_;
    std::map<PortIndex, IfIndex> twins_;
    std::array<std::uint16_t, kMaxPorts + 1> zone_of_port_{};
    std::vector<View> views_{1};          // the first is that of all
    std::vector<AddressInfo> addresses_;  // in the kernel's order
    std::map<IpPrefix, std::map<Preference, RouteInfo>> routes_;
    std::map<NeighbourKey, NeighbourInfo> neighbours_;
    std::set<NeighbourKey> asked_;                                  // by a worker, until the entry goes
    std::map<HopKey, std::uint32_t> ids_;                           // shared hops
    std::map<std::uint32_t, SharedHop> hops_;                       // by id
    std::map<std::pair<PortIndex, IpAddress>, unsigned> gateways_;  // uses of a neighbour as a gateway
    std::array<std::array<std::size_t, 129>, 2> lengths_{};  // how many of routes_, by whether IPv4 and prefix length
    bool ipv6_;
    std::uint64_t refused_ = 0;
    bool resyncing_ = false;
    bool told_of_tos_ = false;
};

}  // namespace sluice

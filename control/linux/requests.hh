// Requests to the kernel's routing tables (rtnetlink over a libnl socket): links, addresses, routes, neighbours.
//
// The kernel works on such a request within the send and has queued the answer when the send returns, so a call never
// sleeps for it and the control thread may call at any time. Owner: the control thread. Failure policy: the kernel's
// own words where it gives some (extended acknowledgement), else the error's text.
#pragma once

#include <map>
#include <memory>
#include <set>
#include <utility>

#include "control/linux/kernel.hh"
#include "control/linux/rtnl_socket.hh"

namespace sluice {

class RtnlRequests final : public KernelRequests {
public:
    static OrFailure<std::unique_ptr<RtnlRequests>> open();
    ~RtnlRequests() override;
    RtnlRequests(const RtnlRequests&) = delete;
    RtnlRequests& operator=(const RtnlRequests&) = delete;

    MaybeFailure change_link(IfIndex ifindex, const LinkChange& change) override;
    MaybeFailure add_address(IfIndex ifindex, const IpPrefix& prefix) override;
    MaybeFailure del_address(IfIndex ifindex, const IpPrefix& prefix) override;
    OrFailure<std::vector<AddressInfo>> addresses(IfIndex ifindex) override;
    MaybeFailure add_route(const RouteSpec& route) override;
    MaybeFailure del_route(const IpPrefix& to, std::uint32_t metric) override;
    std::vector<Failure> set_routes(std::span<const RouteSpec> wanted) override;
    MaybeFailure resolve_neighbour(IfIndex ifindex, const IpAddress& address) override;
    MaybeFailure keep_neighbour(IfIndex ifindex, const IpAddress& address) override;
    MaybeFailure release_neighbour(IfIndex ifindex, const IpAddress& address) override;

    /// How many rules of routing (`ip rule`) somebody has set, of both families: all but those that a kernel begins
    /// with.
    OrFailure<std::size_t> foreign_rules();

    /// Netlink tells what it saw: which routes are sluice's, and which kept neighbours went stale.
    void route_seen(const RouteInfo& route, bool added);
    void neighbour_seen(const NeighbourInfo& neighbour, bool gone);

private:
    explicit RtnlRequests(std::unique_ptr<RtnlSocket> socket);
    MaybeFailure use_neighbour(IfIndex ifindex, const IpAddress& address, bool managed);

    std::unique_ptr<RtnlSocket> socket_;
    std::map<RouteKey, RouteInfo> own_routes_;      ///< with kOwnProtocol, in the main table
    std::set<std::pair<IfIndex, IpAddress>> kept_;  ///< by keep_neighbour
};

/// Raises the neighbour table's limits (net.ipv4.neigh.default.gc_thresh1–3, or net.ipv6) to at least `entries`; never
/// lowers them. They are the machine's, not the namespace's: a failure in a container is ordinary.
MaybeFailure raise_neighbour_limits(std::uint32_t entries, bool v6);

}  // namespace sluice

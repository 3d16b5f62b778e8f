// The mirrors of the kernel's four tables: what a message of netlink says about one entry, and who is to be told. When
// dumps begin, end and are needed is netlink.cc's.
//
// Owner: the control thread, inside Netlink.
// Failure policy: a message that makes no sense is counted and left out.
#pragma once

#include <cstdint>
#include <functional>
#include <linux/netlink.h>
#include <set>
#include <tuple>
#include <utility>

#include "control/linux/kernel.hh"
#include "control/linux/messages.hh"
#include "control/linux/mirror.hh"
#include "control/linux/netlink.hh"

namespace sluice {

/// In the order of a resync: a link is known before its addresses, those before routes and neighbours.
enum class KernelTable : std::uint8_t { links, addresses, routes, neighbours };
inline constexpr std::size_t kKernelTables = 4;
constexpr std::size_t index_of(KernelTable table) {
    return static_cast<std::size_t>(table);
}

class KernelTables {
public:
    /// `want_routes` is called when the kernel has changed or dropped routes without saying which. All must outlive it.
    KernelTables(KernelObserver& observer, RtnlRequests& requests, NetlinkCounters& counters,
                 std::function<void()> want_routes);

    /// A message about a link, address, route or neighbour; any other is none of its business.
    void take(const nlmsghdr& message, bool from_dump);

    void begin_dump(KernelTable table);
    /// The dump was complete: what it did not mention may be swept.
    void end_dump(KernelTable table);
    /// Withdraws what the dump did not mention, among the next `limit` entries. True when it is through.
    bool sweep(KernelTable table, std::size_t limit);

    [[nodiscard]] NetlinkSizes sizes() const;

private:
    using AddressKey = std::tuple<IfIndex, IpPrefix>;
    using NeighbourKey = std::pair<IfIndex, IpAddress>;

    void take_link(const nlmsghdr& message, bool from_dump);
    void take_address(const nlmsghdr& message, bool from_dump);
    void take_route(const nlmsghdr& message, bool from_dump);
    void take_neighbour(const nlmsghdr& message, bool from_dump);

    void withdraw(const LinkInfo& link);
    void withdraw(const AddressInfo& address);
    void withdraw(const RouteInfo& route);
    void withdraw(const NeighbourInfo& neighbour);

    static AddressKey key_of(const AddressInfo& address) { return {address.ifindex, address.prefix}; }
    static NeighbourKey key_of(const NeighbourInfo& neighbour) { return {neighbour.ifindex, neighbour.address}; }

    template <class T>
    bool good(const Parsed<T>& parsed) {
        if (parsed.status == ParseStatus::malformed) ++counters_.malformed;
        return parsed.status == ParseStatus::ok;
    }
    template <class Use>
    void with(KernelTable table, Use&& use);

    KernelObserver& observer_;
    RtnlRequests& requests_;
    NetlinkCounters& counters_;
    std::function<void()> want_routes_;

    Mirror<IfIndex, LinkInfo> links_;
    Mirror<AddressKey, AddressInfo> addresses_;
    Mirror<RouteKey, RouteInfo> routes_;
    Mirror<NeighbourKey, NeighbourInfo> neighbours_;
    std::set<RouteKey> shadowing_;  ///< keys under which the kernel holds more than one route
};

}  // namespace sluice

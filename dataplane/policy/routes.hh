// Routes, next hops and the box's own addresses as workers see them. Control writes (from netlink), workers read.
//
//  * routes: an rte_lpm updated in place (its freed groups wait for grace periods by themselves); what it returns is a
//    next hop id. rte_lpm knows no prefix of length 0, so the default route stands beside it. IPv6: routes6.hh.
//  * next hops: an array of pointers, replaced entry by entry, the old entry freed after a grace period. A neighbour
//    that answered is a /32 in the LPM, so that one lookup gives the MAC.
//  * addresses: one immutable object, swapped as a whole.
//  * zones: each conntrack zone but 0 has routes of its own beside those, which lead through its ports alone. They go
//    first, so that two tenants with the same network are told apart; the next hops are the same array's. A trie each
//    (routes6.hh, which holds IPv4 as well), for only first packets and flows with a stale egress look there.
//
// `epoch` rises with every change of a route or of the addresses; a flow whose cached egress carries an older epoch
// looks its route up again, and whether its translated address is still there.
// ARP and route churn therefore never start a policy generation.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include <rte_lpm.h>

#include "dataplane/base/publication.hh"
#include "dataplane/base/types.hh"
#include "dataplane/flow/flow_entry.hh"
#include "dataplane/policy/routes6.hh"

namespace sluice {

enum class HopKind : std::uint8_t {
    local,        ///< an address of the box: punt
    blackhole,    ///< drop silently
    unreachable,  ///< drop, ICMP 3/1 (ICMPv6 1/3)
    prohibit,     ///< drop, ICMP 3/13 (ICMPv6 1/1)
    no_route,     ///< as if there were none, though a shorter prefix has one: drop, ICMP 3/0 (ICMPv6 1/0)
    connected,    ///< on-link subnet: the destination itself must be resolved
    neighbour,    ///< MAC known, or being asked for (`resolved`)
    multipath,    ///< one of `members`, chosen by flow hash
};

struct NextHop {
    HopKind kind = HopKind::blackhole;
    PortIndex out_port = kNoPort;
    bool resolved = false;  ///< neighbour: `mac` is valid
    bool failed = false;    ///< neighbour: the kernel gave up asking
    MacAddress mac{};
    IpAddress address{};                 ///< neighbour: whose MAC; connected: unused
    IpAddress preferred_source{};        ///< RTA_PREFSRC, or none
    std::vector<std::uint32_t> members;  ///< multipath: next hop ids, repeated by weight
};

struct PortAddress {
    IpAddress address{};
    std::uint8_t prefix_length = 32;
    bool secondary = false;  ///< IPv4: not of itself chosen as a source. IPv6: deprecated, or still tentative
};

/// Addresses of every port, in the kernel's order (primary first).
struct Addresses {
    std::array<std::vector<PortAddress>, kMaxPorts + 1> by_port;
    std::array<std::uint16_t, kMaxPorts + 1> zone_of_port{};

    /// To be called when all addresses are there: what every first packet asks, whether its source is one of them, then
    /// seldom needs to look through them.
    void index() noexcept;
    /// The box's address on `port` for packets that go to `far`, or to a gateway of that address: the first whose
    /// subnet holds it, else the first of its family; none when the port has none (nf_nat_masquerade.c,
    /// inet_select_addr). An IPv6 address of the link goes with addresses of the link alone (RFC 6724, rule 2).
    [[nodiscard]] IpAddress towards(PortIndex port, const IpAddress& far) const noexcept;
    [[nodiscard]] bool has(PortIndex port, const IpAddress& address) const noexcept;
    [[nodiscard]] bool is_own(const IpAddress& address) const noexcept {
        return may_be_own(address) && is_own_anywhere(address);
    }
    /// The same as a host in `zone` means the address: those of ports of other zones are not the box's there, nor is
    /// one of zone 0 in a network that lies behind a port of the zone. In zone 0 all are.
    [[nodiscard]] bool is_own_in(std::uint16_t zone, const IpAddress& address) const noexcept {
        return may_be_own(address) && (zone == 0 ? is_own_anywhere(address) : is_own_of_zone(zone, address));
    }

private:
    using Bits = std::array<std::uint64_t, 16>;
    static constexpr Bits all_bits() noexcept {
        Bits bits{};
        bits.fill(~std::uint64_t{0});
        return bits;
    }
    static constexpr unsigned bit_of(const IpAddress& address) noexcept {
        return (address.low.raw * 0x9e3779b1U) >> 22;
    }
    [[nodiscard]] bool may_be_own(const IpAddress& address) const noexcept {
        const unsigned bit = bit_of(address);
        return (own_bits_[bit / 64] >> (bit % 64) & 1) != 0;
    }
    [[nodiscard]] bool is_own_anywhere(const IpAddress& address) const noexcept;
    [[nodiscard]] bool is_own_of_zone(std::uint16_t zone, const IpAddress& address) const noexcept;

    Bits own_bits_ = all_bits();  // of those that fall on a bit which is not set none is own
};

/// A next hop id with the facts behind it, valid until the end of the burst.
struct RouteView {
    std::uint32_t id = kNoNextHop;
    const NextHop* hop = nullptr;  ///< nullptr: no route
};

class RouteTable {
public:
    /// For `max_routes` prefixes, as many again of IPv6 if that is wanted. Throws std::runtime_error when memory is
    /// short (start-up only). `name` is unique in the process.
    RouteTable(const char* name, GracePeriods& grace, std::uint32_t max_routes, std::uint32_t max_next_hops, int socket,
               bool ipv6 = false);
    ~RouteTable();
    RouteTable(const RouteTable&) = delete;
    RouteTable& operator=(const RouteTable&) = delete;

    /// Control, before workers start: from now on `zone`, not 0, has routes of its own. Throws std::runtime_error when
    /// memory is short.
    void add_zone(std::uint16_t zone);

    // --- workers
    [[nodiscard]] std::uint32_t epoch() const noexcept { return epoch_.load(std::memory_order_acquire); }
    /// Longest prefix match, in the routes of `zone` and, when those know nothing, in all; a multipath hop is resolved
    /// to one member by `flow_hash`.
    [[nodiscard]] RouteView lookup(const IpAddress& destination, std::uint32_t flow_hash,
                                   std::uint16_t zone = 0) const noexcept;
    [[nodiscard]] const NextHop* hop(std::uint32_t id) const noexcept {
        return hops_[id].load(std::memory_order_acquire);
    }
    [[nodiscard]] const Addresses& addresses() const noexcept { return *addresses_.load(); }

    // --- control thread. What changes a route or the addresses raises the epoch by itself.
    /// Adds a next hop; returns its id, 0 when the array is full.
    std::uint32_t add_hop(NextHop hop);
    /// Puts new facts behind an id in use (a neighbour answered, moved or failed). Unknown ids are ignored.
    void replace_hop(std::uint32_t id, NextHop hop);
    /// Remove the routes to it first. The id is given out again only after a grace period, so that no packet on its way
    /// finds another hop behind it.
    void remove_hop(std::uint32_t id);
    /// Adds, or points an existing prefix elsewhere: to the routes of `zone`, or, with 0, to those that all have. False
    /// when the table is full, `hop_id` is not in use or there is no such zone.
    bool add_route(const IpAddress& prefix, std::uint8_t length, std::uint32_t hop_id, std::uint16_t zone = 0);
    void remove_route(const IpAddress& prefix, std::uint8_t length, std::uint16_t zone = 0);
    void publish_addresses(std::unique_ptr<Addresses> addresses);
    /// Calls `then` when workers see all changes made so far: of IPv6 routes that may be a grace period later.
    void when_seen(std::function<void()> then);
    void touch() noexcept { epoch_.store(epoch_.load(std::memory_order_relaxed) + 1, std::memory_order_release); }

private:
    struct Zone {
        std::uint16_t number = 0;
        std::unique_ptr<Routes6> ip4;
        std::unique_ptr<Routes6> ip6;  // nullptr: no IPv6
    };
    /// nullptr: no such zone, or no IPv6.
    [[nodiscard]] Routes6* routes_of(std::uint16_t zone, bool v4) const noexcept;
    [[nodiscard]] std::uint32_t look_in_all(const IpAddress& destination) const noexcept;
    void take_out(std::uint32_t id);

    std::string name_;
    GracePeriods& grace_;
    int socket_;
    rte_lpm* lpm_ = nullptr;
    std::uint32_t max_hops_ = 0;
    std::unique_ptr<std::atomic<const NextHop*>[]> hops_;
    std::atomic<std::uint32_t> default_hop_{kNoNextHop};
    std::shared_ptr<std::vector<std::uint32_t>> free_ids_;  // shared with frees that wait for a grace period
    std::atomic<std::uint32_t> epoch_{1};
    Publication<Addresses> addresses_;
    std::unique_ptr<Routes6> ip6_;  ///< nullptr: no IPv6
    std::vector<Zone> zones_;       ///< as many as there are, which is few
};

}  // namespace sluice

#define ALLOW_EXPERIMENTAL_API  // rte_lpm_rcu_qsbr_add: in DPDK since 20.08, without which freed groups are reused at
                                // once

#include "dataplane/policy/routes.hh"

#include <algorithm>
#include <stdexcept>
#include <string>
#include <utility>

#include <rte_errno.h>

namespace sluice {

namespace {

/// Prefixes of a tenant's own network, hosts that are neighbours included.
constexpr std::uint32_t kMaxZoneRoutes = 4096;

/// IPv4 lies in a trie of IPv6 as IpAddress holds it.
constexpr std::uint8_t trie_length(const IpAddress& prefix, std::uint8_t length) noexcept {
    return static_cast<std::uint8_t>(128 - prefix.bits() + length);
}

bool in_subnet(const PortAddress& own, const IpAddress& other) noexcept {
    return in_prefix(other, own.address, own.prefix_length);
}

/// Whether packets to `far` may carry the address.
bool reaches(const PortAddress& own, const IpAddress& far) noexcept {
    if (own.address.is_v4() != far.is_v4()) return false;
    return far.is_v4() || own.address.is_link_local() == far.is_link_local();
}

}  // namespace

IpAddress Addresses::towards(PortIndex port, const IpAddress& far) const noexcept {
    const PortAddress* first = nullptr;
    for (const PortAddress& own : by_port[port]) {
        if (own.secondary || !reaches(own, far)) continue;
        if (in_subnet(own, far)) return own.address;
        if (first == nullptr) first = &own;
    }
    return first == nullptr ? IpAddress{} : first->address;
}

bool Addresses::has(PortIndex port, const IpAddress& address) const noexcept {
    return std::ranges::any_of(by_port[port], [&](const PortAddress& own) { return own.address == address; });
}

void Addresses::index() noexcept {
    own_bits_ = {};
    for (const auto& list : by_port)
        for (const PortAddress& own : list) {
            const unsigned bit = bit_of(own.address);
            own_bits_[bit / 64] |= std::uint64_t{1} << (bit % 64);
        }
}

bool Addresses::is_own_anywhere(const IpAddress& address) const noexcept {
    return std::ranges::any_of(by_port, [&](const auto& list) {
        return std::ranges::any_of(list, [&](const PortAddress& own) { return own.address == address; });
    });
}

bool Addresses::is_own_of_zone(std::uint16_t zone, const IpAddress& address) const noexcept {
    bool shared = false, behind = false;
    for (std::size_t port = 0; port < by_port.size(); ++port) {
        if (zone_of_port[port] != 0 && zone_of_port[port] != zone) continue;
        const bool of_zone = zone_of_port[port] == zone;
        for (const PortAddress& own : by_port[port]) {
            if (own.address == address) {
                if (of_zone) return true;
                shared = true;
            }
            behind = behind || (of_zone && in_subnet(own, address));
        }
    }
    return shared && !behind;
}

RouteTable::RouteTable(const char* name, GracePeriods& grace, std::uint32_t max_routes, std::uint32_t max_next_hops,
                       int socket, bool ipv6)
    : name_(name),
      grace_(grace),
      socket_(socket),
      max_hops_(max_next_hops),
      hops_(std::make_unique<std::atomic<const NextHop*>[]>(std::size_t{max_next_hops} + 1)),
      free_ids_(std::make_shared<std::vector<std::uint32_t>>()),
      addresses_(std::make_unique<const Addresses>()),
      ip6_(ipv6 ? std::make_unique<Routes6>(name, grace, max_routes, socket, [this] { touch(); }) : nullptr) {
    free_ids_->reserve(max_next_hops);
    for (std::uint32_t id = max_next_hops; id > 0; --id) free_ids_->push_back(id);  // low ids first
    // A prefix longer than 24 takes a group of its /24; the worst case is one group a route.
    constexpr std::uint32_t kMaxGroups = 1U << 16;
    const rte_lpm_config config{max_routes, std::clamp(max_routes, 256U, kMaxGroups), 0};
    lpm_ = rte_lpm_create(name, socket, &config);
    if (lpm_ == nullptr)
        throw std::runtime_error(std::string("no memory for ") + std::to_string(max_routes) +
                                 " routes (raise memory.megabytes): " + rte_strerror(rte_errno));
    rte_lpm_rcu_config rcu{};
    rcu.v = grace.qsbr();
    rcu.mode = RTE_LPM_QSBR_MODE_DQ;
    if (rte_lpm_rcu_qsbr_add(lpm_, &rcu) != 0) {
        const std::string why = rte_strerror(rte_errno);
        rte_lpm_free(lpm_);
        throw std::runtime_error("no memory for the routes' grace periods (raise memory.megabytes): " + why);
    }
}

RouteTable::~RouteTable() {
    for (std::uint32_t id = 1; id <= max_hops_; ++id) delete hops_[id].load(std::memory_order_relaxed);
    rte_lpm_free(lpm_);
}

void RouteTable::add_zone(std::uint16_t zone) {
    const auto make = [&](char family) {
        std::string name = name_;
        name.append("-z").append(std::to_string(zone)).append(1, '.').append(1, family);
        return std::make_unique<Routes6>(name, grace_, kMaxZoneRoutes, socket_, [this] { touch(); });
    };
    zones_.push_back({zone, make('4'), ip6_ == nullptr ? nullptr : make('6')});
}

Routes6* RouteTable::routes_of(std::uint16_t zone, bool v4) const noexcept {
    for (const Zone& z : zones_)
        if (z.number == zone) return v4 ? z.ip4.get() : z.ip6.get();
    return nullptr;
}

std::uint32_t RouteTable::look_in_all(const IpAddress& destination) const noexcept {
    if (!destination.is_v4()) return ip6_ == nullptr ? kNoNextHop : ip6_->lookup(destination);
    std::uint32_t id = kNoNextHop;
    if (rte_lpm_lookup(lpm_, destination.v4().host(), &id) != 0) id = default_hop_.load(std::memory_order_acquire);
    return id;
}

RouteView RouteTable::lookup(const IpAddress& destination, std::uint32_t flow_hash, std::uint16_t zone) const noexcept {
    std::uint32_t id = kNoNextHop;
    if (zone != 0)
        if (const Routes6* own = routes_of(zone, destination.is_v4())) id = own->lookup(destination);
    if (id == kNoNextHop) id = look_in_all(destination);
    if (id == kNoNextHop) return {};
    const NextHop* found = hop(id);
    if (found == nullptr) return {};
    if (found->kind != HopKind::multipath) return {id, found};
    // A member that was just removed is passed over: its share moves to the next one until control has caught up.
    const std::size_t count = found->members.size();
    const std::size_t start = static_cast<std::size_t>((std::uint64_t{flow_hash} * count) >> 32);
    for (std::size_t i = 0; i < count; ++i) {
        const std::uint32_t member_id = found->members[(start + i) % count];
        const NextHop* member = hop(member_id);
        if (member != nullptr && member->kind != HopKind::multipath) return {member_id, member};
    }
    return {};
}

std::uint32_t RouteTable::add_hop(NextHop hop) {
    if (free_ids_->empty()) return kNoNextHop;
    const std::uint32_t id = free_ids_->back();
    auto fresh = std::make_unique<const NextHop>(std::move(hop));
    free_ids_->pop_back();
    hops_[id].store(fresh.release(), std::memory_order_release);
    return id;
}

void RouteTable::replace_hop(std::uint32_t id, NextHop hop) {
    if (id == kNoNextHop || id > max_hops_ || hops_[id].load(std::memory_order_relaxed) == nullptr) return;
    auto fresh = std::make_unique<const NextHop>(std::move(hop));
    const NextHop* former = hops_[id].exchange(fresh.release(), std::memory_order_acq_rel);
    grace_.retire([former] { delete former; });
}

void RouteTable::when_seen(std::function<void()> then) {
    // One after the other: what waits for the last of them has waited for all.
    const auto behind = [&then](const std::unique_ptr<Routes6>& routes) {
        if (routes != nullptr)
            then = [at = routes.get(), next = std::move(then)]() mutable { at->when_seen(std::move(next)); };
    };
    behind(ip6_);
    for (const Zone& zone : zones_) {
        behind(zone.ip4);
        behind(zone.ip6);
    }
    then();
}

void RouteTable::remove_hop(std::uint32_t id) {
    if (id == kNoNextHop || id > max_hops_) return;
    when_seen([this, id] { take_out(id); });  // routes of IPv6 and of zones may lead to it for a moment longer
}

void RouteTable::take_out(std::uint32_t id) {
    const NextHop* former = hops_[id].exchange(nullptr, std::memory_order_acq_rel);
    if (former == nullptr) return;
    touch();  // flows that cached the id look again
    grace_.retire([former, id, ids = free_ids_] {
        delete former;
        ids->push_back(id);
    });
}

bool RouteTable::add_route(const IpAddress& prefix, std::uint8_t length, std::uint32_t hop_id, std::uint16_t zone) {
    if (hop_id == kNoNextHop || hop_id > max_hops_ || hop(hop_id) == nullptr || length > prefix.bits()) return false;
    if (zone != 0) {
        Routes6* own = routes_of(zone, prefix.is_v4());
        return own != nullptr && own->add(prefix, trie_length(prefix, length), hop_id);
    }
    if (!prefix.is_v4()) return ip6_ != nullptr && ip6_->add(prefix, length, hop_id);
    if (length == 0) {
        default_hop_.store(hop_id, std::memory_order_release);
    } else if (rte_lpm_add(lpm_, prefix.v4().host(), length, hop_id) != 0) {
        return false;
    }
    touch();
    return true;
}

void RouteTable::remove_route(const IpAddress& prefix, std::uint8_t length, std::uint16_t zone) {
    if (length > prefix.bits()) return;
    if (zone != 0) {
        if (Routes6* own = routes_of(zone, prefix.is_v4())) own->remove(prefix, trie_length(prefix, length));
        return;
    }
    if (!prefix.is_v4()) {
        if (ip6_ != nullptr) ip6_->remove(prefix, length);
        return;
    }
    if (length == 0) {
        default_hop_.store(kNoNextHop, std::memory_order_release);
    } else {
        rte_lpm_delete(lpm_, prefix.v4().host(), length);  // one that is not there is gone already
    }
    touch();
}

void RouteTable::publish_addresses(std::unique_ptr<Addresses> addresses) {
    if (addresses == nullptr) addresses = std::make_unique<Addresses>();
    addresses->index();
    addresses_.publish(std::move(addresses), grace_);
    touch();  // behind it: who sees the new epoch sees the new addresses, and masqueraded flows look at theirs
}

}  // namespace sluice

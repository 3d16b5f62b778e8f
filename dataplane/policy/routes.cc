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

bool in_subnet(const PortAddress& own, Ip4 other) noexcept {
    if (own.prefix_length == 0) return true;
    return (own.address.host() ^ other.host()) >> (32U - own.prefix_length) == 0;
}

}  // namespace

Ip4 Addresses::towards(PortIndex port, Ip4 gateway) const noexcept {
    Ip4 first{};
    for (const PortAddress& own : by_port[port]) {
        if (own.secondary) continue;
        if (in_subnet(own, gateway)) return own.address;
        if (first.raw == 0) first = own.address;
    }
    return first;
}

bool Addresses::has(PortIndex port, Ip4 address) const noexcept {
    return std::ranges::any_of(by_port[port], [&](const PortAddress& own) { return own.address == address; });
}

bool Addresses::is_own(Ip4 address) const noexcept {
    return std::ranges::any_of(by_port, [&](const auto& list) {
        return std::ranges::any_of(list, [&](const PortAddress& own) { return own.address == address; });
    });
}

RouteTable::RouteTable(const char* name, GracePeriods& grace, std::uint32_t max_routes, std::uint32_t max_next_hops,
                       int socket)
    : grace_(grace),
      max_hops_(max_next_hops),
      hops_(std::make_unique<std::atomic<const NextHop*>[]>(std::size_t{max_next_hops} + 1)),
      free_ids_(std::make_shared<std::vector<std::uint32_t>>()),
      addresses_(std::make_unique<const Addresses>()) {
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

RouteView RouteTable::lookup(Ip4 destination, std::uint32_t flow_hash) const noexcept {
    std::uint32_t id = kNoNextHop;
    if (rte_lpm_lookup(lpm_, destination.host(), &id) != 0) id = default_hop_.load(std::memory_order_acquire);
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

void RouteTable::remove_hop(std::uint32_t id) {
    if (id == kNoNextHop || id > max_hops_) return;
    const NextHop* former = hops_[id].exchange(nullptr, std::memory_order_acq_rel);
    if (former == nullptr) return;
    touch();  // flows that cached the id look again
    grace_.retire([former, id, ids = free_ids_] {
        delete former;
        ids->push_back(id);
    });
}

bool RouteTable::add_route(Ip4 prefix, std::uint8_t length, std::uint32_t hop_id) {
    if (hop_id == kNoNextHop || hop_id > max_hops_ || hop(hop_id) == nullptr || length > 32) return false;
    if (length == 0) {
        default_hop_.store(hop_id, std::memory_order_release);
    } else if (rte_lpm_add(lpm_, prefix.host(), length, hop_id) != 0) {
        return false;
    }
    touch();
    return true;
}

void RouteTable::remove_route(Ip4 prefix, std::uint8_t length) {
    if (length > 32) return;
    if (length == 0) {
        default_hop_.store(kNoNextHop, std::memory_order_release);
    } else {
        rte_lpm_delete(lpm_, prefix.host(), length);  // one that is not there is gone already
    }
    touch();
}

void RouteTable::publish_addresses(std::unique_ptr<const Addresses> addresses) {
    if (addresses == nullptr) addresses = std::make_unique<const Addresses>();
    addresses_.publish(std::move(addresses), grace_);
    touch();  // behind it: who sees the new epoch sees the new addresses, and masqueraded flows look at theirs
}

}  // namespace sluice

#include "dataplane/policy/routes6.hh"

#include <array>
#include <map>
#include <stdexcept>
#include <utility>
#include <vector>

#include <rte_errno.h>
#include <rte_rib6.h>

namespace sluice {

namespace {

using Bytes = std::array<std::uint8_t, RTE_RIB6_IPV6_ADDR_SIZE>;

Bytes bytes_of(const IpAddress& address) noexcept {
    Bytes bytes;
    address.to_bytes(bytes.data());
    return bytes;
}

struct Change {
    IpAddress prefix;
    std::uint8_t length = 0;
    std::uint32_t hop_id = 0;  // 0: to be removed
};

struct FreeRib {
    void operator()(rte_rib6* rib) const noexcept { rte_rib6_free(rib); }
};
using Rib = std::unique_ptr<rte_rib6, FreeRib>;

Rib make_rib(const std::string& name, std::uint32_t max_routes, int socket) {
    // Between prefixes there may be as many nodes that only branch.
    rte_rib6_conf config{};
    config.max_nodes = static_cast<int>(2 * max_routes);
    Rib rib(rte_rib6_create(name.c_str(), socket, &config));
    if (rib == nullptr)
        throw std::runtime_error("no memory for " + std::to_string(max_routes) +
                                 " IPv6 routes (raise memory.megabytes): " + rte_strerror(rte_errno));
    return rib;
}

void apply(rte_rib6& rib, const Change& change) noexcept {
    const Bytes prefix = bytes_of(change.prefix);
    if (change.hop_id == 0) {
        rte_rib6_remove(&rib, prefix.data(), change.length);
        return;
    }
    rte_rib6_node* node = rte_rib6_lookup_exact(&rib, prefix.data(), change.length);
    if (node == nullptr) node = rte_rib6_insert(&rib, prefix.data(), change.length);
    if (node != nullptr) rte_rib6_set_nh(node, change.hop_id);  // there is room: prefixes are counted
}

}  // namespace

class Routes6::Copies : public std::enable_shared_from_this<Copies> {
public:
    Copies(const std::string& name, GracePeriods& grace, std::uint32_t max_routes, int socket,
           std::function<void()> on_change)
        : ribs_{make_rib(name + "-a", max_routes, socket), make_rib(name + "-b", max_routes, socket)},
          grace_(grace),
          max_routes_(max_routes),
          on_change_(std::move(on_change)) {}

    [[nodiscard]] std::uint32_t lookup(const IpAddress& destination) const noexcept {
        const Bytes bytes = bytes_of(destination);
        rte_rib6* rib = ribs_[live_.load(std::memory_order_acquire)].get();
        const rte_rib6_node* node = rte_rib6_lookup(rib, bytes.data());
        std::uint64_t id = 0;
        if (node != nullptr) rte_rib6_get_nh(node, &id);
        return static_cast<std::uint32_t>(id);
    }

    bool change(const Change& change) {
        const auto key = std::pair(change.prefix, change.length);
        if (change.hop_id == 0) {
            if (known_.erase(key) == 0) return true;
        } else {
            if (!known_.contains(key) && known_.size() == max_routes_) return false;
            known_[key] = change.hop_id;
        }
        waiting_.push_back(change);
        if (!other_is_read_) swap();
        return true;
    }
    void when_seen(std::function<void()> then) {
        if (waiting_.empty()) return then();
        when_seen_.push_back(std::move(then));
    }
    /// Nobody is to be told any more.
    void close() noexcept {
        on_change_ = nullptr;
        when_seen_.clear();
    }

private:
    void swap() {
        const unsigned other = 1 - live_.load(std::memory_order_relaxed);
        for (const Change& c : missed_) apply(*ribs_[other], c);
        for (const Change& c : waiting_) apply(*ribs_[other], c);
        missed_ = std::exchange(waiting_, {});
        live_.store(other, std::memory_order_release);
        other_is_read_ = true;
        if (on_change_) on_change_();
        for (const auto& then : std::exchange(when_seen_, {})) then();
        grace_.retire([self = shared_from_this()] {
            self->other_is_read_ = false;
            if (!self->waiting_.empty() && self->on_change_) self->swap();
        });
    }

    Rib ribs_[2];
    std::atomic<unsigned> live_{0};
    GracePeriods& grace_;
    std::uint32_t max_routes_;
    std::function<void()> on_change_;
    std::map<std::pair<IpAddress, std::uint8_t>, std::uint32_t> known_;
    std::vector<Change> missed_;   // the live copy has them, the other one not yet
    std::vector<Change> waiting_;  // neither has them
    std::vector<std::function<void()>> when_seen_;
    bool other_is_read_ = false;  // by a worker that loaded it before the last change of places
};

Routes6::Routes6(const std::string& name, GracePeriods& grace, std::uint32_t max_routes, int socket,
                 std::function<void()> on_change)
    : copies_(std::make_shared<Copies>(name, grace, max_routes, socket, std::move(on_change))) {}

Routes6::~Routes6() {
    copies_->close();
}

std::uint32_t Routes6::lookup(const IpAddress& destination) const noexcept {
    return copies_->lookup(destination);
}

bool Routes6::add(const IpAddress& prefix, std::uint8_t length, std::uint32_t hop_id) {
    return length <= 128 && copies_->change({prefix, length, hop_id});
}

void Routes6::when_seen(std::function<void()> then) {
    copies_->when_seen(std::move(then));
}

void Routes6::remove(const IpAddress& prefix, std::uint8_t length) {
    if (length <= 128) copies_->change({prefix, length, 0});
}

}  // namespace sluice

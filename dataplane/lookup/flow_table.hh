// The flow table of one worker: key → slot and direction. It hides rte_hash (cuckoo hashing, 8 entries to a cache line
// with 16-bit signatures), so that nothing else knows how keys are stored.
//
// IPv4 and IPv6 keys have a table each, so that an IPv4 key costs its 16 bytes and no more; there is none for IPv6
// unless it was asked for. A burst of one family, which most are, goes to its table as it is.
//
// Life cycle: created at start on the worker's NUMA node, lives as long as the worker, cannot grow: the bucket array is
// sized so that at most 75 % of it is ever used, where an insertion moves few entries and practically never fails.
// Owner: one worker, single-threaded; no flag for concurrency is set, and no other thread may even look anything up.
// Failure: creation throws (start-up only); an insertion that does not fit says false and changes nothing.
//
// Inserting is exclusive: a key that is present is refused, never overwritten. The table doubles as the port
// allocator, and a port is free exactly when its reply key is not in here.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <utility>

#include "dataplane/flow/flow_key.hh"
#include "dataplane/flow/flow_ref.hh"
#include "dataplane/flow/keyed_hash.hh"

struct rte_hash;
struct rte_ring;

namespace sluice {

class FlowTable {
public:
    static constexpr unsigned kMaxBulk = 64;           ///< keys in one lookup_bulk
    static constexpr std::size_t kMaxNameLength = 22;  ///< what DPDK leaves us of its own limits
    static constexpr std::uint32_t kMaxCapacity = 1U << 29;

    /// A table for `capacity_keys` keys (two to a flow), of both families together, on NUMA node `socket` (-1: any).
    /// `name` is unique in the process. Without `ipv6` no IPv6 key is ever inserted. Throws std::invalid_argument for a
    /// bad name or capacity, std::runtime_error when DPDK has no memory.
    static FlowTable create(const std::string& name, std::uint32_t capacity_keys, int socket, HashSecret secret,
                            bool ipv6 = false);

    FlowTable(FlowTable&&) noexcept = default;
    FlowTable& operator=(FlowTable&&) noexcept = default;

    /// The hash that all other calls want with the key; equal for all tables that share the secret.
    [[nodiscard]] std::uint32_t hash(const FlowKey& key) const noexcept { return hash_(key); }
    [[nodiscard]] const KeyedHash& hasher() const noexcept { return hash_; }

    /// False when the key is present, the table holds `capacity()` keys, or no bucket has room; nothing changes then.
    [[nodiscard]] bool insert(const FlowKey& key, std::uint32_t hash, FlowRef value) noexcept;
    /// The same of a key that is known not to be there: nobody looks again.
    [[nodiscard]] bool insert_new(const FlowKey& key, std::uint32_t hash, FlowRef value) noexcept;
    /// False when the key is not there.
    bool erase(const FlowKey& key, std::uint32_t hash) noexcept;
    /// None when the key is not there.
    [[nodiscard]] FlowRef lookup(const FlowKey& key, std::uint32_t hash) const noexcept;

    /// Looks up a burst: bit i of the result says that keys[i] was found; found[i] is its value, or none.
    /// `hashes` and `found` hold keys.size() elements; at most kMaxBulk keys.
    [[nodiscard]] std::uint64_t lookup_bulk(std::span<const FlowKey* const> keys, const std::uint32_t* hashes,
                                            FlowRef* found) const noexcept;
    [[nodiscard]] std::uint64_t lookup_bulk(std::span<const FlowKey> keys, const std::uint32_t* hashes,
                                            FlowRef* found) const noexcept;

    /// The same for the first 16 bytes of IPv4 keys, as they lie wherever a key points.
    [[nodiscard]] std::uint64_t lookup_bulk_ip4(std::span<const void* const> keys, const std::uint32_t* hashes,
                                                FlowRef* found) const noexcept;

    /// From now on inserted() is about what is inserted from now on.
    void forget_inserted() noexcept {
        if (any_inserted_) inserted_ = {};
        any_inserted_ = false;
    }
    /// False: no key of this hash has been inserted since forget_inserted(). So a key that was not found since then is
    /// not there, however many others came meanwhile. True says nothing.
    [[nodiscard]] bool inserted(std::uint32_t hash) const noexcept {
        return any_inserted_ && (inserted_[hash / 64 % inserted_.size()] >> (hash % 64) & 1) != 0;
    }

    [[nodiscard]] std::uint32_t size() const noexcept { return size_; }
    [[nodiscard]] std::uint32_t capacity() const noexcept { return capacity_; }

private:
    struct Free {
        void operator()(rte_hash* table) const noexcept;
    };

    using Table = std::unique_ptr<rte_hash, Free>;

    /// Where a table will put its next keys. It gives its places out in turn, so the next one was used longest ago, and
    /// to write a key there would be to wait for memory. Only for prefetching: nothing depends on it.
    struct NextPlaces {
        const rte_ring* free = nullptr;  // the table's own; nullptr: not known
        const char* places = nullptr;
        std::uint32_t bytes = 0;  // of each

        static NextPlaces of(const rte_hash* table, const std::string& name, unsigned key_bytes);
        void prefetch() const noexcept;
    };

    FlowTable(Table ip4, Table ip6, NextPlaces next4, std::uint32_t capacity, HashSecret secret) noexcept
        : ip4_(std::move(ip4)), ip6_(std::move(ip6)), next4_(next4), hash_(secret), capacity_(capacity) {}

    /// nullptr: IPv6, of which there is none here.
    [[nodiscard]] const rte_hash* table_of(const FlowKey& key) const noexcept {
        return key.is_v6() ? ip6_.get() : ip4_.get();
    }
    [[nodiscard]] std::uint64_t lookup_mixed(std::span<const FlowKey* const> keys, const std::uint32_t* hashes,
                                             FlowRef* found) const noexcept;

    Table ip4_, ip6_;
    NextPlaces next4_;
    KeyedHash hash_;
    std::uint32_t capacity_;
    std::uint32_t size_ = 0;
    bool any_inserted_ = false;
    std::array<std::uint64_t, 16> inserted_{};  // a bit for all hashes that are equal in ten of theirs
};

}  // namespace sluice

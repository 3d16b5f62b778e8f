// Expectations of one worker: connections that a helper announced (FTP data). One matches once, by its tuple with the
// source port left open, and is gone; it also goes with its timer or with its master.
//
// Limits: per master (`max_expected`; the oldest gives way, as in Linux) and per table. The same expectation again
// refreshes its timer; a different one for a tuple that is taken is refused.
//
// Owner: the worker that is the home of the expected tuple. Time is passed in; whatever is past its deadline is a miss
// and is freed by `sweep`, in bounded slices.
#pragma once

#include <cstdint>
#include <vector>

#include "dataplane/base/clock.hh"
#include "dataplane/base/counters.hh"
#include "dataplane/flow/expectation.hh"
#include "dataplane/flow/flow_key.hh"
#include "dataplane/lookup/key_table.hh"

namespace sluice {

enum class ExpectOutcome : std::uint8_t { added, refreshed, clash, table_full };

class ExpectTable {
public:
    /// Throws std::runtime_error when memory is short (start-up only).
    ExpectTable(std::uint32_t capacity, int socket, HashSecret secret, WorkerCounters& counters);

    ExpectOutcome add(const Expectation& expectation, std::uint32_t max_per_master, Now now) noexcept {
        return add(expectation, place_of(expectation), max_per_master, now);
    }

    /// Where an expectation of this tuple stands, or would stand, until the next one is added or goes.
    struct Place {
        std::uint32_t hash = 0;
        FlowRef holder;
    };
    [[nodiscard]] Place place_of(const Expectation& expectation) const noexcept;
    /// Whether add() would answer `clash`.
    [[nodiscard]] bool clashes(const Expectation& expectation, const Place& place, Now now) const noexcept;
    ExpectOutcome add(const Expectation& expectation, const Place& place, std::uint32_t max_per_master,
                      Now now) noexcept;
    /// Takes the expectation that `key` fulfils out of the table; false when there is none in time.
    [[nodiscard]] bool take(const FlowKey& key, Now now, Expectation& found) noexcept;
    /// Whether a tuple is promised to an expected connection (port choice keeps off it).
    [[nodiscard]] bool holds(const FlowKey& key) const noexcept;
    /// The master died: its expectations die with it.
    void remove_of(SlotIndex master, std::uint32_t generation, std::uint8_t master_worker) noexcept;
    /// Frees what is past its deadline, at most `budget` of it.
    void sweep(Now now, unsigned budget) noexcept;

    [[nodiscard]] std::uint32_t size() const noexcept { return size_; }
    /// How many went with their master. Any thread.
    [[nodiscard]] std::uint64_t forgotten() const noexcept { return forgotten_.get(); }
    /// Copies up to `max` live entries from position `from` on; returns the next position, 0 at the end. For listings.
    std::uint32_t copy(std::uint32_t from, Expectation* out, unsigned max, unsigned& copied) const noexcept;

private:
    static constexpr std::uint32_t kNone = 0xffffffffU;
    struct alignas(64) Entry {
        Expectation e;
        std::uint32_t older = kNone, newer = kNone;  // by arrival: with one timeout for all, also by deadline
        std::uint32_t sibling = kNone;               // next in the bucket of its master, newest first
        bool used = false;
    };
    struct Keys {
        const Entry* entries;
        [[nodiscard]] bool has(FlowRef ref, const FlowKey& key) const noexcept {
            return entries[ref.slot()].e.tuple == key;
        }
    };
    static constexpr FlowRef ref_of(std::uint32_t index) noexcept { return {index, Direction::original}; }
    [[nodiscard]] std::uint32_t find(const FlowKey& key) const noexcept;
    [[nodiscard]] std::uint32_t& bucket_of(SlotIndex master) noexcept {
        return masters_[master & (masters_.size() - 1)];
    }
    static bool same_master(const Expectation& a, const Expectation& b) noexcept {
        return a.master == b.master && a.master_generation == b.master_generation && a.master_worker == b.master_worker;
    }
    static bool same_promise(const Expectation& a, const Expectation& b) noexcept {
        return same_master(a, b) && a.real_destination == b.real_destination && a.real_port == b.real_port;
    }
    void remove(std::uint32_t index) noexcept;
    void append(std::uint32_t index) noexcept;
    void unlink(std::uint32_t index) noexcept;

    WorkerCounters& counters_;
    std::vector<Entry> entries_;
    KeyTable<Keys> keys_;
    std::vector<std::uint32_t> free_;
    std::vector<std::uint32_t> masters_;  // heads of chains by master slot; a power of two of them
    std::uint32_t oldest_ = kNone, newest_ = kNone;
    std::uint32_t size_ = 0;
    Counter forgotten_;
};

}  // namespace sluice

// K1: the flow table alone, without flows: IPv4 keys of UDP in a table of so many keys (--flows), filled to 25, 50, 75
// and 95 % of its capacity. Keys and their hashes are at hand, as in the pipeline; which of them are asked for next is
// random. Each lies in the line of a slot, as flows have them. Nothing expires: keys are erased one by one, and
// others inserted in their place.
//
// Operations are timed 64 at a time, lookups in batches of 1 (one by one), 8, 32 and 64; the median counts.
#include "dataplane/lookup/key_table.hh"

#include <array>
#include <cstring>
#include <numeric>
#include <span>
#include <stdexcept>
#include <vector>

#include <rte_cycles.h>

#include "dataplane/flow/flow_entry.hh"
#include "dataplane/lookup/huge_array.hh"
#include "tests/bench/measure.hh"
#include "tests/bench/scenario.hh"

namespace sluice::bench {

namespace {

constexpr unsigned kGroup = 64;
const std::vector<std::uint32_t> kCapacities{65536, 1000000};

FlowKey key_of(std::uint32_t i, Pattern pattern) {
    const Tuple t = fresh_tuple(i, Protocol::udp, pattern);
    return port_key(IpProto::udp, t.src, be16(t.sport), t.dst, be16(t.dport));
}

struct Group {
    std::array<FlowKey, kGroup> keys;
    std::array<const FlowKey*, kGroup> at;
    std::array<std::uint32_t, kGroup> hashes;
    std::array<std::uint32_t, kGroup> places;  // in KeyBench::present_, which are their slots
    std::array<FlowRef, kGroup> found;
};

/// As StoredKeys, of flows that are nothing but their keys.
struct SlotKeys {
    const FlowHot* hot;
    [[nodiscard]] bool has(FlowRef ref, const FlowKey& key) const noexcept {
        return std::memcmp(&hot[ref.slot()].key[0], &key, sizeof(KeyHead)) == 0;
    }
    void prefetch(FlowRef ref) const noexcept { __builtin_prefetch(&hot[ref.slot()].key); }
};

class KeyBench {
public:
    KeyBench(std::uint32_t capacity, Pattern pattern)
        : hot_(capacity, -1), table_(capacity, -1, {0x5eed, 0xb0c5}, SlotKeys{hot_.data()}), pattern_(pattern) {
        for (unsigned i = 0; i < kGroup; ++i) group_.at[i] = &group_.keys[i];
    }

    void fill_to(std::uint32_t keys) {
        while (present_.size() < keys) {
            const FlowKey key = key_of(next_, pattern_);
            const auto place = static_cast<std::uint32_t>(present_.size());
            put(place, key);
            if (!table_.insert(key, table_.hash(key), ref_of(place)))
                throw std::runtime_error("K1: the table is full at " + std::to_string(present_.size()) + " of " +
                                         std::to_string(table_.capacity()) + " keys");
            present_.push_back(next_++);
        }
    }

    double hash() {
        take_present();
        return timed([&] {
            for (unsigned i = 0; i < kGroup; ++i) group_.hashes[i] = table_.hash(group_.keys[i]);
        });
    }
    double hit(unsigned batch) {
        take_present();
        const double cycles = look_up(batch);
        for (unsigned i = 0; i < kGroup; ++i)
            if (group_.found[i] != ref_of(group_.places[i])) throw std::runtime_error("K1: a key was not found");
        return cycles;
    }
    double miss(unsigned batch) {
        for (unsigned i = 0; i < kGroup; ++i) take(i, kNever + static_cast<std::uint32_t>(random() >> 40));
        const double cycles = look_up(batch);
        for (const FlowRef f : group_.found)
            if (f) throw std::runtime_error("K1: a key was found that is not there");
        return cycles;
    }
    /// Erases a group and inserts another.
    std::pair<double, double> exchange() {
        take_distinct();
        unsigned gone = 0, come = 0;
        const double erase = timed([&] {
            for (unsigned i = 0; i < kGroup; ++i)
                gone += table_.erase(group_.hashes[i], ref_of(group_.places[i])) ? 1 : 0;
        });
        for (unsigned i = 0; i < kGroup; ++i) {
            present_[group_.places[i]] = next_;
            take(i, next_++);
            put(group_.places[i], group_.keys[i]);
        }
        const double insert = timed([&] {
            for (unsigned i = 0; i < kGroup; ++i)
                come += table_.insert(group_.keys[i], group_.hashes[i], ref_of(group_.places[i])) ? 1 : 0;
        });
        if (gone != kGroup || come != kGroup || table_.size() != present_.size())
            throw std::runtime_error("K1: keys were lost");
        return {erase, insert};
    }

private:
    static constexpr std::uint32_t kNever = 0xc0000000U;  // tuples from here on are never inserted

    static constexpr FlowRef ref_of(std::uint32_t place) noexcept { return {place, Direction::original}; }
    void put(std::uint32_t place, const FlowKey& key) noexcept {
        std::memcpy(hot_[place].key[0].words.data(), &key, sizeof(KeyHead));
    }
    template <class Work>
    static double timed(Work&& work) {
        const std::uint64_t start = rte_rdtsc_precise();
        work();
        return static_cast<double>(rte_rdtsc_precise() - start) / kGroup;
    }
    double look_up(unsigned batch) {
        return timed([&] {
            if (batch == 1) {
                for (unsigned i = 0; i < kGroup; ++i) group_.found[i] = table_.lookup(group_.keys[i], group_.hashes[i]);
                return;
            }
            for (unsigned i = 0; i < kGroup; i += batch)
                (void)table_.lookup_bulk(std::span<const FlowKey* const>(group_.at.data() + i, batch),
                                         &group_.hashes[i], &group_.found[i]);
        });
    }
    void take(unsigned i, std::uint32_t number) {
        group_.keys[i] = key_of(number, pattern_);
        group_.hashes[i] = table_.hash(group_.keys[i]);
    }
    void take_present() {
        for (unsigned i = 0; i < kGroup; ++i) {
            group_.places[i] = static_cast<std::uint32_t>((random() >> 32) * present_.size() >> 32);
            take(i, present_[group_.places[i]]);
        }
    }
    /// One from each of as many stretches.
    void take_distinct() {
        const std::size_t stretch = present_.size() / kGroup;
        for (unsigned i = 0; i < kGroup; ++i) {
            group_.places[i] = static_cast<std::uint32_t>(i * stretch + ((random() >> 32) * stretch >> 32));
            take(i, present_[group_.places[i]]);
        }
    }
    std::uint64_t random() noexcept {  // xorshift: the same in every run
        state_ ^= state_ << 13;
        state_ ^= state_ >> 7;
        state_ ^= state_ << 17;
        return state_;
    }

    HugeArray<FlowHot> hot_;
    KeyTable<SlotKeys> table_;
    Pattern pattern_;
    std::vector<std::uint32_t> present_;  // numbers of the tuples that are in the table
    std::uint32_t next_ = 0;
    std::uint64_t state_ = 0x9e3779b97f4a7c15U;
    Group group_;
};

template <class Once>
double median_of(std::uint64_t groups, Once&& once) {
    std::vector<double> cycles;
    for (std::uint64_t i = 0; i < groups; ++i) cycles.push_back(once());
    return median(std::move(cycles));
}

Section run(const Options& o, Devices&) {
    Section section{
        kK1.name,
        kK1.about,
        {"keys", "fill_percent", "batch", "cycles_hash", "cycles_hit", "cycles_miss", "cycles_insert", "cycles_erase"},
        {}};
    const std::uint64_t groups = std::max<std::uint64_t>(1, o.packets / kGroup);
    for (const std::uint32_t capacity : o.flows_or(kCapacities)) {
        if (capacity < 4 * kGroup) throw std::runtime_error("K1 needs a table of 256 keys at least (--flows)");
        KeyBench bench(capacity, o.pattern);
        for (const unsigned percent : {25U, 50U, 75U, 95U}) {
            bench.fill_to(static_cast<std::uint32_t>(std::uint64_t{capacity} * percent / 100));
            std::vector<double> erase, insert;
            for (std::uint64_t i = 0; i < groups; ++i) {
                const auto [gone, come] = bench.exchange();
                erase.push_back(gone);
                insert.push_back(come);
            }
            const double hash = median_of(groups, [&] { return bench.hash(); });
            for (const unsigned batch : {1U, 8U, 32U, 64U})
                section.rows.push_back({{"keys", capacity},
                                        {"fill_percent", percent},
                                        {"batch", batch},
                                        {"erasing", true},
                                        {"cycles_hash", hash},
                                        {"cycles_hit", median_of(groups, [&] { return bench.hit(batch); })},
                                        {"cycles_miss", median_of(groups, [&] { return bench.miss(batch); })},
                                        {"cycles_insert", median(insert)},
                                        {"cycles_erase", median(erase)}});
        }
    }
    return section;
}

std::uint64_t memory(const Options& o) {
    return o.most_over_flows(kCapacities, [](std::uint32_t keys) {
        return TagBuckets::bytes(keys) + sizeof(FlowHot) * std::uint64_t{keys};
    });
}

}  // namespace

const Scenario kK1{"K1",
                   "the flow table alone: 64 k and 1 M keys (--flows), 25 to 95 % full, in batches; no timeouts, keys "
                   "erased and inserted in turn",
                   "flows pattern", memory, run};

}  // namespace sluice::bench

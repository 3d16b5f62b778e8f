#include "dataplane/lookup/tag_buckets.hh"

#include <cassert>

namespace sluice {

bool TagBuckets::insert(std::uint32_t hash, FlowRef ref) noexcept {
    const std::uint32_t home = home_of(hash);
    const std::uint16_t tag = tag_of(hash);
    if (put(buckets_[home], tag, ref.raw())) return true;
    const std::uint32_t elsewhere = other(home, tag);
    if (put(buckets_[elsewhere], tag | kElsewhere, ref.raw())) {
        ++buckets_[home].elsewhere;
        return true;
    }
    // There is room in one of the two afterwards.
    return make_room(home, elsewhere) && insert(hash, ref);
}

bool TagBuckets::erase(std::uint32_t hash, FlowRef ref) noexcept {
    Bucket& home = buckets_[home_of(hash)];
    const std::uint16_t tag = tag_of(hash);
    if (remove(home, tag, ref)) return true;
    if (home.elsewhere == 0 || !remove(buckets_[other(home_of(hash), tag)], tag | kElsewhere, ref)) return false;
    --home.elsewhere;
    return true;
}

bool TagBuckets::put(Bucket& bucket, unsigned tag, std::uint32_t ref) noexcept {
    const unsigned free = bucket.with(0);
    if (free == 0) return false;
    const auto entry = static_cast<unsigned>(std::countr_zero(free));
    bucket.tags[entry] = static_cast<std::uint16_t>(tag);
    bucket.refs[entry] = ref;
    return true;
}

bool TagBuckets::remove(Bucket& bucket, unsigned tag, FlowRef ref) noexcept {
    for (unsigned left = bucket.with(static_cast<std::uint16_t>(tag)); left != 0; left &= left - 1) {
        if (bucket.at(left) != ref) continue;
        bucket.tags[static_cast<unsigned>(std::countr_zero(left))] = 0;
        return true;
    }
    return false;
}

/// Breadth first, so that as few entries as possible are moved; each bucket is on the way once.
bool TagBuckets::make_room(std::uint32_t home, std::uint32_t elsewhere) noexcept {
    struct Step {
        std::uint32_t bucket;
        std::uint8_t from;   // the step whose entry would come here
        std::uint8_t entry;  // of that step's bucket
    };
    constexpr std::uint8_t kNowhere = 0xff;
    static_assert(kMostLooked < kNowhere);
    std::array<Step, kMostLooked> steps;
    unsigned count = 0;
    steps[count++] = {home, kNowhere, 0};
    steps[count++] = {elsewhere, kNowhere, 0};
    for (unsigned at = 0; at < count; ++at) {
        const std::uint32_t full = steps[at].bucket;
        for (unsigned entry = 0; entry < kEntries; ++entry) {
            const std::uint32_t next = other(full, buckets_[full].tags[entry]);
            if (buckets_[next].with(0) != 0) {
                // From the far end on: each entry moves into the place that the one before it left.
                std::uint32_t to = next;
                unsigned step = at, moving = entry;
                for (;;) {
                    move(steps[step].bucket, moving, to);
                    if (steps[step].from == kNowhere) return true;
                    to = steps[step].bucket;
                    moving = steps[step].entry;
                    step = steps[step].from;
                }
            }
            const auto known = [next](const Step& s) { return s.bucket == next; };
            if (count < kMostLooked && std::none_of(steps.begin(), steps.begin() + count, known))
                steps[count++] = {next, static_cast<std::uint8_t>(at), static_cast<std::uint8_t>(entry)};
        }
    }
    return false;
}

void TagBuckets::move(std::uint32_t from, unsigned entry, std::uint32_t to) noexcept {
    const std::uint16_t tag = buckets_[from].tags[entry];
    const bool goes_home = (tag & kElsewhere) != 0;
    const bool moved = put(buckets_[to], tag ^ kElsewhere, buckets_[from].refs[entry]);
    assert(moved);
    static_cast<void>(moved);
    buckets_[from].tags[entry] = 0;
    if (goes_home) {
        --buckets_[to].elsewhere;
    } else {
        ++buckets_[from].elsewhere;
    }
}

}  // namespace sluice

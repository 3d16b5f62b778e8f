// Where the flow table looks first: buckets of one cache line, each of ten entries, an entry being a tag (bits of a
// key's hash) and the reference of what has the key. The keys themselves are not in here: they lie with what they name,
// which a packet reads anyway, so that a lookup costs one line and both directions of a flow share the other.
//
// A key has two buckets, its home and one that follows from home and tag (partial-key cuckoo hashing: Fan, Andersen,
// Kaminsky, "MemC3", 2013), so entries are moved without their keys. An entry goes home when there is room; a bucket
// counts those that had to go elsewhere, so that who asks in vain for a key looks at one line only, nearly always.
//
// Life cycle: of the size it is made with, at start; at most kFullest of its entries are to be used, where an insertion
// moves few others and practically never fails. Owner: one worker, single-threaded. Failure: an insertion that finds no
// room within kMostLooked buckets says false and changes nothing; only the constructor throws.
#pragma once

#include <algorithm>
#include <array>
#include <bit>
#include <cstdint>

#if defined(__SSE2__)
#include <emmintrin.h>
#endif

#include "dataplane/flow/flow_ref.hh"
#include "dataplane/lookup/huge_array.hh"

namespace sluice {

class TagBuckets {
public:
    static constexpr unsigned kEntries = 10;
    static constexpr unsigned kMostLooked = 64;  ///< buckets that one insertion looks at for room

    /// For `capacity` keys on NUMA node `socket` (-1: any). Throws std::runtime_error when there is no memory.
    TagBuckets(std::uint32_t capacity, int socket)
        : buckets_(buckets_for(capacity), socket), mask_(buckets_for(capacity) - 1) {}

    /// False: no room. The same hash and reference may be inserted more than once.
    [[nodiscard]] bool insert(std::uint32_t hash, FlowRef ref) noexcept;
    /// False: it is not there.
    bool erase(std::uint32_t hash, FlowRef ref) noexcept;

    /// The first entry of the hash's tag for which `is(FlowRef)` says true, or none.
    template <class Is>
    [[nodiscard]] FlowRef find(std::uint32_t hash, Is&& is) const noexcept {
        const Bucket& home = buckets_[home_of(hash)];
        const std::uint16_t tag = tag_of(hash);
        const FlowRef found = find_in(home, tag, is);
        if (found || home.elsewhere == 0) return found;
        return find_in(buckets_[other(home_of(hash), tag)], tag | kElsewhere, is);
    }

    /// Where a key of this hash is looked for first.
    void prefetch(std::uint32_t hash) const noexcept { __builtin_prefetch(&buckets_[home_of(hash)]); }
    /// Who has the key, most likely: the first of its tag at home. None: there is nobody, or it lives elsewhere, which
    /// is on its way then.
    [[nodiscard]] FlowRef first(std::uint32_t hash) const noexcept {
        const Bucket& home = buckets_[home_of(hash)];
        const std::uint16_t tag = tag_of(hash);
        const unsigned same = home.with(tag);
        if (same != 0) [[likely]]
            return home.at(same);
        if (home.elsewhere != 0) __builtin_prefetch(&buckets_[other(home_of(hash), tag)]);
        return {};
    }

    /// Bytes that so many keys take.
    static constexpr std::uint64_t bytes(std::uint32_t capacity) noexcept {
        return std::uint64_t{buckets_for(capacity)} * sizeof(Bucket);
    }

private:
    static constexpr unsigned kFullestPercent = 90;
    static constexpr std::uint16_t kElsewhere = 1;  // of an entry's tag: it is not at home

    /// A power of two, and two at least.
    static constexpr std::uint32_t buckets_for(std::uint32_t capacity) noexcept {
        const std::uint64_t entries = (std::uint64_t{capacity} * 100 + kFullestPercent - 1) / kFullestPercent;
        return static_cast<std::uint32_t>(std::bit_ceil(std::max<std::uint64_t>(2, entries / kEntries + 1)));
    }

    struct alignas(64) Bucket {
        std::array<std::uint16_t, kEntries> tags{};  // 0: free
        std::uint32_t elsewhere = 0;                 // keys whose home this is, that live in their other bucket
        std::array<std::uint32_t, kEntries> refs{};

        /// A bit for each entry with this tag.
        [[nodiscard]] unsigned with(std::uint16_t tag) const noexcept {
#if defined(__SSE2__)
            const __m128i wanted = _mm_set1_epi16(static_cast<short>(tag));
            const auto* eight = reinterpret_cast<const __m128i*>(tags.data());
            const __m128i low = _mm_cmpeq_epi16(_mm_load_si128(eight), wanted);
            const __m128i high = _mm_cmpeq_epi16(_mm_load_si128(eight + 1), wanted);  // two tags, and what follows
            return static_cast<unsigned>(_mm_movemask_epi8(_mm_packs_epi16(low, high))) & kAll;
#else
            unsigned bits = 0;
            for (unsigned i = 0; i < kEntries; ++i) bits |= (tags[i] == tag ? 1U : 0U) << i;
            return bits;
#endif
        }
        /// The first of those that with() found.
        [[nodiscard]] FlowRef at(unsigned bits) const noexcept {
            return FlowRef::from_raw(refs[static_cast<unsigned>(std::countr_zero(bits))]);
        }
        static constexpr unsigned kAll = (1U << kEntries) - 1;
    };
    static_assert(sizeof(Bucket) == 64);

    [[nodiscard]] std::uint32_t home_of(std::uint32_t hash) const noexcept {
        return hash & mask_;
    }
    /// Bits of the upper half, of which small tables use none for the bucket. Never 0, and without kElsewhere.
    static constexpr std::uint16_t tag_of(std::uint32_t hash) noexcept {
        return static_cast<std::uint16_t>((hash >> 16 & 0xfffcU) | 2U);
    }
    /// The other bucket of an entry that lies in this one, never the same; its own inverse.
    [[nodiscard]] std::uint32_t other(std::uint32_t bucket, std::uint16_t tag) const noexcept {
        const std::uint32_t distance = std::uint32_t{tag} / 4 * 0x9e3779b1U >> 6;
        return bucket ^ ((distance | 1U) & mask_);
    }

    template <class Is>
    static FlowRef find_in(const Bucket& bucket, unsigned tag, Is&& is) noexcept {
        for (unsigned left = bucket.with(static_cast<std::uint16_t>(tag)); left != 0; left &= left - 1) {
            const FlowRef ref = bucket.at(left);
            if (is(ref)) [[likely]]
                return ref;
        }
        return {};
    }

    [[nodiscard]] static bool put(Bucket& bucket, unsigned tag, std::uint32_t ref) noexcept;
    [[nodiscard]] static bool remove(Bucket& bucket, unsigned tag, FlowRef ref) noexcept;
    [[nodiscard]] bool make_room(std::uint32_t home, std::uint32_t elsewhere) noexcept;
    void move(std::uint32_t from, unsigned entry, std::uint32_t to) noexcept;

    HugeArray<Bucket> buckets_;
    std::uint32_t mask_;
};

}  // namespace sluice

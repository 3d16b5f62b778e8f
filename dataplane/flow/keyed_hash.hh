// The hash of flow keys: two multiply-folds (64 × 64 → 128 bits, both halves XORed) keyed by a 128-bit secret.
//
// Whoever sends packets chooses keys, so the hash must not let them choose buckets. A CRC with a secret initial value
// does not help: CRC is linear, crc(a) ^ crc(b) does not depend on the initial value, and keys that collide for one
// secret collide for all. Here the secret is mixed into both factors of a product, which is not linear in the key; a
// test shows that keys made to collide for one secret do not for another, and that the same keys defeat CRC.
//
// The secret is drawn once at start, the same for all workers: a hash computed where a packet came in stays valid
// where it is handed to. It is not a message authentication code; it never leaves the process.
//
// Pure; any thread.
#pragma once

#include <cstdint>
#include <cstring>
#include <span>

#include "dataplane/flow/flow_key.hh"

namespace sluice {

/// 128 random bits. All-zero is legal (tests) but gives nothing to guess.
struct HashSecret {
    std::uint64_t low = 0;
    std::uint64_t high = 0;
};

class KeyedHash {
public:
    constexpr explicit KeyedHash(HashSecret secret) noexcept
        : first_(secret.low ^ 0x9e3779b97f4a7c15U),
          second_(secret.high ^ 0xc2b2ae3d27d4eb4fU),
          third_(fold_product(first_ ^ 0x165667b19e3779f9U, second_ ^ 0x27d4eb2f165667c5U)),
          // Odd, so that the last multiplication loses nothing.
          fourth_(fold_product(second_ ^ 0xd6e8feb86659fd93U, third_ ^ 0xa0761d6478bd642fU) | 1U) {}

    [[nodiscard]] std::uint32_t operator()(const FlowKey& key) const noexcept {
        std::uint64_t words[5];
        static_assert(sizeof words == sizeof key);
        std::memcpy(words, &key, FlowKey::kIp4Bytes);
        std::uint64_t mixed = fold_product(words[0] ^ first_, words[1] ^ second_);
        if (key.is_v6()) {
            // Each product has a factor that depends on what came before, and one that on the secret.
            std::memcpy(words, &key, sizeof words);
            mixed = fold_product(mixed ^ words[2], words[3] ^ third_);
            mixed = fold_product(mixed ^ words[4], first_ + second_);
        }
        return spread(mixed);
    }
    /// Of an IPv4 key, by its first 16 bytes.
    [[nodiscard]] std::uint32_t of_ip4(std::uint64_t low, std::uint64_t high) const noexcept {
        return spread(fold_product(low ^ first_, high ^ second_));
    }

    /// Of where a packet comes from alone: address, port or identifier, protocol, zone. Taken from the key's members
    /// one by one: a key made for it would be written in pieces and read in words, and wait for that.
    [[nodiscard]] std::uint32_t of_source(const FlowKey& key) const noexcept {
        const std::uint64_t rest = key.sport.raw | std::uint64_t{key.proto} << 16 | std::uint64_t{key.zone} << 32;
        std::uint64_t mixed = fold_product(key.src_low.raw ^ first_, rest ^ second_);
        if (key.is_v6()) {
            const std::uint64_t upper = key.src_high[0] | std::uint64_t{key.src_high[1]} << 32;
            mixed = fold_product(mixed ^ upper, key.src_high[2] ^ third_);
        }
        return spread(mixed);
    }

    /// hashes[i] = hash of keys[i]; `hashes` holds at least keys.size() words. The products of a burst overlap.
    void bulk(std::span<const FlowKey> keys, std::uint32_t* hashes) const noexcept {
        for (std::size_t i = 0; i < keys.size(); ++i) hashes[i] = (*this)(keys[i]);
    }

private:
    /// The second round spreads the few bits in which sequential clients and ports differ over all 32: the table
    /// takes its bucket from the low half and its tag from the high half.
    [[nodiscard]] std::uint32_t spread(std::uint64_t mixed) const noexcept {
        const std::uint64_t all = fold_product(mixed ^ third_, fourth_);
        return static_cast<std::uint32_t>(all ^ (all >> 32));
    }
    static constexpr std::uint64_t fold_product(std::uint64_t a, std::uint64_t b) noexcept {
        __extension__ using Wide = unsigned __int128;
        const Wide product = static_cast<Wide>(a) * b;
        return static_cast<std::uint64_t>(product) ^ static_cast<std::uint64_t>(product >> 64);
    }

    std::uint64_t first_;
    std::uint64_t second_;
    std::uint64_t third_;
    std::uint64_t fourth_;
};

}  // namespace sluice

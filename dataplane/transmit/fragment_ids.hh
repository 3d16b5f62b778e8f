// The identifications of IPv6 fragments that are made here: a new one for every datagram, which nobody outside can
// foretell (RFC 7739), as in Linux. Whoever can would fill the receiver's memory with fragments that spoil the
// datagram, or learn how much the box sends.
//
// A count goes through SipHash-2-4 (Aumasson and Bernstein, 2012) under the process's secret. Never 0.
//
// Owner: one worker; workers' numbers keep their counts apart.
#pragma once

#include <bit>
#include <cstdint>

#include "dataplane/base/types.hh"
#include "dataplane/flow/keyed_hash.hh"

namespace sluice {

/// SipHash-2-4 of eight bytes, the lowest first.
constexpr std::uint64_t siphash(HashSecret secret, std::uint64_t word) noexcept {
    std::uint64_t a = secret.low ^ 0x736f6d6570736575U, b = secret.high ^ 0x646f72616e646f6dU;
    std::uint64_t c = secret.low ^ 0x6c7967656e657261U, d = secret.high ^ 0x7465646279746573U;
    const auto rounds = [&](unsigned n) {
        for (; n != 0; --n) {
            a += b;
            b = std::rotl(b, 13) ^ a;
            a = std::rotl(a, 32);
            c += d;
            d = std::rotl(d, 16) ^ c;
            a += d;
            d = std::rotl(d, 21) ^ a;
            c += b;
            b = std::rotl(b, 17) ^ c;
            c = std::rotl(c, 32);
        }
    };
    constexpr std::uint64_t kEnd = std::uint64_t{sizeof word} << 56;
    for (const std::uint64_t m : {word, kEnd}) {
        d ^= m;
        rounds(2);
        a ^= m;
    }
    c ^= 0xff;
    rounds(4);
    return a ^ b ^ c ^ d;
}

class FragmentIds {
public:
    constexpr explicit FragmentIds(HashSecret secret = {}, std::uint8_t worker = 0) noexcept
        : secret_(secret), count_(std::uint64_t{worker} << 56) {}

    [[nodiscard]] constexpr Be32 next() noexcept {
        Be32 id;
        do id = Be32::from_raw(static_cast<std::uint32_t>(siphash(secret_, count_++)));
        while (id.raw == 0);
        return id;
    }

private:
    HashSecret secret_;
    std::uint64_t count_;
};

}  // namespace sluice

// The packet that an ICMP error quotes, as bytes under the error's own checksum: whatever is written into them is
// remembered as what it adds to that. Lengths were proven by ingress/quote; what may be cut off is asked for by `has`.
#pragma once

#include <cstdint>
#include <cstring>
#include <span>

#include "dataplane/base/checksum.hh"
#include "dataplane/base/types.hh"

namespace sluice {

class QuoteBytes {
public:
    explicit QuoteBytes(std::span<std::uint8_t> bytes) noexcept : bytes_(bytes) {}

    template <class Big>
    [[nodiscard]] Big get(std::size_t at) const noexcept {
        Big v;
        std::memcpy(&v.raw, &bytes_[at], sizeof v.raw);
        return v;
    }
    template <class U>
    void put(std::size_t at, BigEndian<U> value) noexcept {
        added_.replace(get<BigEndian<U>>(at), value);
        std::memcpy(&bytes_[at], &value.raw, sizeof value.raw);
    }
    void put(std::size_t at, const IpAddress& value) noexcept {
        added_.replace(IpAddress::from_bytes(&bytes_[at]), value);
        value.to_bytes(&bytes_[at]);
    }
    /// Corrects the checksum at `at`.
    void correct(std::size_t at, ChecksumDelta delta) noexcept {
        put(at, Be16::from_raw(delta.apply(get<Be16>(at).raw)));
    }
    /// Of UDP: 0 says that there is none (RFC 768), and is written as its other form.
    void correct_udp(std::size_t at, ChecksumDelta delta) noexcept {
        const std::uint16_t old = get<Be16>(at).raw;
        if (old == 0) return;
        const std::uint16_t sum = delta.apply(old);
        put(at, Be16::from_raw(sum != 0 ? sum : std::uint16_t{0xffff}));
    }
    [[nodiscard]] bool has(std::size_t bytes) const noexcept { return bytes_.size() >= bytes; }
    [[nodiscard]] std::uint8_t operator[](std::size_t at) const noexcept { return bytes_[at]; }
    [[nodiscard]] std::span<std::uint8_t> from(std::size_t at) const noexcept { return bytes_.subspan(at); }
    [[nodiscard]] ChecksumDelta added() const noexcept { return added_; }

private:
    std::span<std::uint8_t> bytes_;
    ChecksumDelta added_;
};

}  // namespace sluice

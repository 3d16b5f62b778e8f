#include "tests/bench/stamp.hh"

#include <algorithm>
#include <stdexcept>

namespace sluice::bench {

namespace {

template <class T>
T field(const test::Frame& frame, unsigned at) {
    T value;
    std::memcpy(&value, frame.data() + at, sizeof value);
    return value;
}

/// What the rest of a checksum's sum is, so that with `part` it gives `checksum`.
std::uint64_t without(std::uint16_t checksum, std::uint64_t part) {
    const std::uint64_t folded = part % 0xffffU;  // one's complement: modulo 2^16 - 1
    return std::uint64_t{static_cast<std::uint16_t>(~checksum)} + 0xffffU - folded;
}

}  // namespace

Tuple fresh_tuple(std::uint64_t i, Protocol protocol, Pattern pattern) noexcept {
    constexpr std::uint32_t kPorts = 1U << 15, kClients = 4096;
    const auto n = static_cast<std::uint32_t>(pattern == Pattern::sequential ? i : i * 0x9e3779b1U);
    const std::uint32_t row = n / kPorts;
    return {Ip4::from_host(ip4(10, 64, 0, 0).host() + (row * kClients + n % kClients) % (1U << 22)),
            Ip4::from_host(ip4(198, 18, 0, 0).host() + row), static_cast<std::uint16_t>(16384 + n % kPorts),
            service(protocol)};
}

Stamp::Stamp(const test::PacketBuilder& packet) {
    test::Frame frame = packet.bytes();
    frame_bytes_ = static_cast<std::uint16_t>(frame.size());
    frame.resize(std::max<std::size_t>(frame.size(), kBytes));
    const bool tcp = frame[kIpAt + 9] == std::byte{6};
    if (!tcp && frame[kIpAt + 9] != std::byte{17}) throw std::logic_error("neither UDP nor TCP");
    l4_checksum_at_ = static_cast<std::uint16_t>(kIpAt + 20 + (tcp ? 16 : 6));
    const auto addresses = field<std::uint64_t>(frame, kAddressesAt);
    const std::uint64_t both = (addresses & 0xffffffffU) + (addresses >> 32);
    ip_sum_ = without(field<std::uint16_t>(frame, kIpChecksumAt), both);
    l4_sum_ = without(field<std::uint16_t>(frame, l4_checksum_at_), both + field<std::uint32_t>(frame, kPortsAt));
    std::copy_n(frame.begin(), kBytes, bytes_.begin());
}

}  // namespace sluice::bench

// The generator of established flows: N of them, their packets in one direction, and a random order in which they come.
// What differs between packets is computed beforehand and read in sequence, so that the generator costs the same for
// one flow and for ten million.
//
// Failure policy: std::runtime_error when the pool is empty (a packet was lost on the way).
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include <rte_mbuf.h>

#include "tests/bench/stamp.hh"

namespace sluice::bench {

/// Frames on the wire, with their checksum: 64 bytes; 7 of 64, 4 of 594 and 1 of 1518 (the simple IMIX); 1518.
enum class Frames : std::uint8_t { smallest, imix, largest };
inline constexpr auto kFrameNames = std::to_array<std::string_view>({"64", "imix", "1500"});

/// `n` different tuples of clients inside (10.1.0.0/16) to servers outside: 198.51.100.0/24, above a million flows
/// 198.18.0.0/15.
std::vector<Tuple> client_tuples(std::uint32_t n, Protocol protocol, Pattern pattern);

/// A frame of `bytes` without its checksum, with right checksums. `tcp_flags` is for TCP.
test::PacketBuilder packet_of(const Tuple& tuple, Protocol protocol, MacAddress to, unsigned tcp_flags,
                              std::size_t bytes = 60);

/// Larger frames find what is behind their first 64 bytes in the buffers: fills all of them. Every buffer is in `pool`.
void paint(rte_mempool* pool, Protocol protocol);

/// The packets of many flows in one direction, in a fixed random order, again and again.
class Traffic {
public:
    /// `tuples` by flow; flow numbers in `order` say which comes when.
    Traffic(std::span<const Tuple> tuples, std::span<const std::uint32_t> order, Protocol protocol, MacAddress to,
            unsigned tcp_flags, Frames frames = Frames::smallest);

    /// The next `n` packets. No system call, no division.
    void fill(rte_mempool* pool, rte_mbuf** mbufs, unsigned n);
    /// Which flow the next packet is of.
    [[nodiscard]] std::uint32_t next_flow() const noexcept { return flows_[next_]; }
    [[nodiscard]] std::uint32_t flows() const noexcept { return static_cast<std::uint32_t>(flows_.size()); }

private:
    static constexpr unsigned kSizes = 3, kMix = 12;

    std::vector<Patch> patches_;        // in order of sending, for the first of stamps_
    std::vector<std::uint32_t> flows_;  // the same
    std::array<Stamp, kSizes> stamps_;  // the smallest frame first, unless there is one size only
    // By stamp: what has to be added to the checksums of the patch.
    std::array<std::uint16_t, kSizes> ip_more_{}, l4_more_{};
    bool mixed_;
    unsigned in_mix_ = 0;
    std::size_t next_ = 0;
};

/// 0 … n - 1, shuffled; always the same for one n.
std::vector<std::uint32_t> permutation(std::uint32_t n);

}  // namespace sluice::bench

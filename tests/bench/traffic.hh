// The generator: N flows, their packets in both directions, and a random order in which they come. A packet is made by
// allocating an mbuf, copying a 64-byte template and patching in one flow's tuple and checksums, which are computed
// beforehand and read in sequence, so that the generator costs the same for one flow and for a million.
//
// Failure policy: std::runtime_error when the pool is empty (a packet was lost on the way).
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include <rte_mbuf.h>

#include "dataplane/base/types.hh"
#include "tests/support/packet_builder.hh"

namespace sluice::bench {

enum class Protocol : std::uint8_t { udp, tcp };
/// How tuples differ: neighbouring clients and ports, where weak hashes fall apart, or all bits at random.
enum class Pattern : std::uint8_t { sequential, random };

struct Tuple {
    Ip4 src, dst;
    std::uint16_t sport = 0, dport = 0;  ///< host order
    friend bool operator==(const Tuple&, const Tuple&) = default;
};

/// `n` different tuples of clients inside (10.1.0.0/16) to servers outside (198.51.100.0/24).
std::vector<Tuple> client_tuples(std::uint32_t n, Protocol protocol, Pattern pattern);

/// A frame of 60 bytes (64 on the wire with its checksum) with right checksums. `tcp_flags` is for TCP.
test::PacketBuilder packet_of(const Tuple& tuple, Protocol protocol, MacAddress to, unsigned tcp_flags);

/// The packets of many flows in one direction, in a fixed random order, again and again.
class Traffic {
public:
    static constexpr unsigned kFrameBytes = 60;

    /// `tuples` by flow; flow numbers in `order` say which comes when.
    Traffic(std::span<const Tuple> tuples, std::span<const std::uint32_t> order, Protocol protocol, MacAddress to,
            unsigned tcp_flags);

    /// The next `n` packets. No system call, no division.
    void fill(rte_mempool* pool, rte_mbuf** mbufs, unsigned n);
    /// Which flow the next packet is of.
    [[nodiscard]] std::uint32_t next_flow() const noexcept { return flows_[next_]; }

private:
    /// What differs between flows, as it lies in the frame.
    struct Patch {
        std::uint64_t addresses;
        std::uint32_t ports;
        std::uint16_t ip_checksum;
        std::uint16_t l4_checksum;
    };
    static_assert(sizeof(Patch) == 16);

    std::vector<Patch> patches_;        // in order of sending
    std::vector<std::uint32_t> flows_;  // the same
    std::vector<std::byte> template_;
    unsigned checksum_at_;  // of the transport's checksum
    std::size_t next_ = 0;
};

/// 0 … n - 1, shuffled; always the same for one n.
std::vector<std::uint32_t> permutation(std::uint32_t n);

}  // namespace sluice::bench

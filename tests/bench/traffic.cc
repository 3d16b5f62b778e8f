#include "tests/bench/traffic.hh"

#include <algorithm>
#include <cstring>
#include <numeric>
#include <random>
#include <stdexcept>
#include <unordered_set>

namespace sluice::bench {

namespace {

constexpr std::uint32_t kClients = 4096;
constexpr std::size_t kSmallest = 60, kMiddle = 590, kLargest = 1514;
constexpr std::array<std::uint8_t, 12> kSizeInMix{0, 1, 0, 1, 0, 2, 0, 1, 0, 1, 0, 0};

Ip4 first_server(std::uint32_t flows) {
    return flows > 1000000 ? ip4(198, 18, 0, 1) : ip4(198, 51, 100, 1);
}

Tuple sequential(std::uint32_t i, Protocol protocol, Ip4 server) {
    constexpr std::uint32_t kPorts = 32768;
    return {Ip4::from_host(ip4(10, 1, 1, 0).host() + i % kClients), Ip4::from_host(server.host() + i / kPorts),
            static_cast<std::uint16_t>(10000 + i % kPorts), service(protocol)};
}

/// What `to` has more than `from`, in one's complement checksums.
std::uint16_t more(std::uint16_t from, std::uint16_t to) {
    return static_cast<std::uint16_t>((to + 0xffffU - from % 0xffffU) % 0xffffU);
}

std::uint16_t add(std::uint16_t checksum, std::uint16_t more) {
    const unsigned sum = unsigned{checksum} + more;
    return static_cast<std::uint16_t>((sum & 0xffffU) + (sum >> 16));
}

}  // namespace

std::vector<Tuple> client_tuples(std::uint32_t n, Protocol protocol, Pattern pattern) {
    std::vector<Tuple> tuples;
    tuples.reserve(n);
    const Ip4 server = first_server(n);
    if (pattern == Pattern::sequential) {
        for (std::uint32_t i = 0; i < n; ++i) tuples.push_back(sequential(i, protocol, server));
        return tuples;
    }
    std::mt19937_64 random(n);  // NOLINT: the same flows in every run
    std::unordered_set<std::uint64_t> taken;
    const std::uint32_t servers = n > 1000000 ? 4096 : 254;
    while (tuples.size() < n) {
        const std::uint64_t r = random();
        const Tuple t{Ip4::from_host(ip4(10, 1, 0, 0).host() + 1 + static_cast<std::uint32_t>(r % 65000)),
                      Ip4::from_host(server.host() + static_cast<std::uint32_t>((r >> 20) % servers)),
                      static_cast<std::uint16_t>(1024 + (r >> 40) % 64000), service(protocol)};
        // As many of the addresses' bits as differ, and the port.
        const std::uint64_t name =
            std::uint64_t{t.src.host() & 0xffffU} << 48 ^ std::uint64_t{t.dst.host()} << 16 ^ t.sport;
        if (taken.insert(name).second) tuples.push_back(t);
    }
    return tuples;
}

test::PacketBuilder packet_of(const Tuple& t, Protocol protocol, MacAddress to, unsigned tcp_flags, std::size_t bytes) {
    test::PacketBuilder p = protocol == Protocol::udp ? test::udp(t.src, t.sport, t.dst, t.dport)
                                                      : test::tcp(t.src, t.sport, t.dst, t.dport);
    p.to(to);
    if (protocol == Protocol::tcp) p.flags(tcp_flags);
    const std::size_t headers = kIpAt + 20 + (protocol == Protocol::udp ? 8 : 20);
    p.payload_bytes(bytes - headers);
    return p;
}

void paint(rte_mempool* pool, Protocol protocol) {
    const test::Frame frame = packet_of({}, protocol, {}, 0, kLargest).bytes();
    std::vector<rte_mbuf*> all(pool->size);
    if (rte_pktmbuf_alloc_bulk(pool, all.data(), pool->size) != 0)
        throw std::runtime_error("the packet pool lacks some");
    for (rte_mbuf* m : all) std::memcpy(rte_pktmbuf_mtod(m, std::byte*), frame.data(), frame.size());
    rte_pktmbuf_free_bulk(all.data(), pool->size);
}

Traffic::Traffic(std::span<const Tuple> tuples, std::span<const std::uint32_t> order, Protocol protocol, MacAddress to,
                 unsigned tcp_flags, Frames frames)
    : flows_(order.begin(), order.end()), mixed_(frames == Frames::imix) {
    const auto stamp = [&](std::size_t bytes) { return Stamp(packet_of({}, protocol, to, tcp_flags, bytes)); };
    stamps_ = {stamp(frames == Frames::largest ? kLargest : kSmallest), stamp(kMiddle), stamp(kLargest)};
    const Patch base = stamps_[0].patch({});
    for (unsigned i = 0; i < kSizes; ++i) {
        const Patch other = stamps_[i].patch({});
        ip_more_[i] = more(base.ip_checksum, other.ip_checksum);
        l4_more_[i] = more(base.l4_checksum, other.l4_checksum);
    }
    patches_.reserve(order.size());
    for (const std::uint32_t flow : order) patches_.push_back(stamps_[0].patch(tuples[flow]));
}

void Traffic::fill(rte_mempool* pool, rte_mbuf** mbufs, unsigned n) {
    if (rte_pktmbuf_alloc_bulk(pool, mbufs, n) != 0) throw std::runtime_error("the packet pool is empty");
    for (unsigned i = 0; i < n; ++i) {
        const Patch& patch = patches_[next_];
        if (!mixed_) {
            stamps_[0].write(mbufs[i], patch);
        } else {
            const unsigned size = kSizeInMix[in_mix_];
            if (++in_mix_ == kMix) in_mix_ = 0;
            Patch mixed = patch;
            mixed.ip_checksum = add(patch.ip_checksum, ip_more_[size]);
            mixed.l4_checksum = add(patch.l4_checksum, l4_more_[size]);
            if (mixed.l4_checksum == 0) mixed.l4_checksum = 0xffff;
            stamps_[size].write(mbufs[i], mixed);
        }
        if (++next_ == patches_.size()) next_ = 0;
    }
}

std::vector<std::uint32_t> permutation(std::uint32_t n) {
    std::vector<std::uint32_t> order(n);
    std::iota(order.begin(), order.end(), 0U);
    std::mt19937 random(n);  // NOLINT: the same order in every run
    std::shuffle(order.begin(), order.end(), random);
    return order;
}

}  // namespace sluice::bench

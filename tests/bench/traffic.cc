#include "tests/bench/traffic.hh"

#include <algorithm>
#include <cstring>
#include <numeric>
#include <random>
#include <stdexcept>
#include <unordered_set>

namespace sluice::bench {

namespace {

constexpr unsigned kIpAt = 14, kIpChecksumAt = kIpAt + 10, kAddressesAt = kIpAt + 12, kPortsAt = kIpAt + 20;
constexpr std::uint32_t kClients = 4096;

std::uint16_t service(Protocol p) {
    return p == Protocol::udp ? 53 : 443;
}

Tuple sequential(std::uint32_t i, Protocol protocol) {
    constexpr std::uint32_t kPorts = 32768;
    return {Ip4::from_host(ip4(10, 1, 1, 0).host() + i % kClients),
            Ip4::from_host(ip4(198, 51, 100, 1).host() + i / kPorts), static_cast<std::uint16_t>(10000 + i % kPorts),
            service(protocol)};
}

template <class T>
T field(std::span<const std::byte> frame, unsigned at) {
    T value;
    std::memcpy(&value, frame.data() + at, sizeof value);
    return value;
}

}  // namespace

std::vector<Tuple> client_tuples(std::uint32_t n, Protocol protocol, Pattern pattern) {
    std::vector<Tuple> tuples;
    tuples.reserve(n);
    if (pattern == Pattern::sequential) {
        for (std::uint32_t i = 0; i < n; ++i) tuples.push_back(sequential(i, protocol));
        return tuples;
    }
    std::mt19937_64 random(n);  // NOLINT: the same flows in every run
    std::unordered_set<std::uint64_t> taken;
    while (tuples.size() < n) {
        const std::uint64_t r = random();
        const Tuple t{Ip4::from_host(ip4(10, 1, 0, 0).host() + 1 + static_cast<std::uint32_t>(r % 65000)),
                      Ip4::from_host(ip4(198, 51, 100, 0).host() + 1 + static_cast<std::uint32_t>((r >> 20) % 254)),
                      static_cast<std::uint16_t>(1024 + (r >> 40) % 64000), service(protocol)};
        if (taken.insert(std::uint64_t{t.src.raw} << 32 ^ std::uint64_t{t.dst.raw} << 8 ^ t.sport).second)
            tuples.push_back(t);
    }
    return tuples;
}

test::PacketBuilder packet_of(const Tuple& t, Protocol protocol, MacAddress to, unsigned tcp_flags) {
    test::PacketBuilder p = protocol == Protocol::udp ? test::udp(t.src, t.sport, t.dst, t.dport)
                                                      : test::tcp(t.src, t.sport, t.dst, t.dport);
    p.to(to);
    if (protocol == Protocol::tcp) p.flags(tcp_flags);
    const std::size_t headers = kIpAt + 20 + (protocol == Protocol::udp ? 8 : 20);
    p.payload_bytes(Traffic::kFrameBytes - headers);
    return p;
}

Traffic::Traffic(std::span<const Tuple> tuples, std::span<const std::uint32_t> order, Protocol protocol, MacAddress to,
                 unsigned tcp_flags)
    : flows_(order.begin(), order.end()), checksum_at_(kIpAt + 20 + (protocol == Protocol::udp ? 6 : 16)) {
    patches_.reserve(order.size());
    for (const std::uint32_t flow : order) {
        const test::Frame frame = packet_of(tuples[flow], protocol, to, tcp_flags).bytes();
        patches_.push_back({field<std::uint64_t>(frame, kAddressesAt), field<std::uint32_t>(frame, kPortsAt),
                            field<std::uint16_t>(frame, kIpChecksumAt), field<std::uint16_t>(frame, checksum_at_)});
        if (template_.empty()) template_ = frame;
    }
    template_.resize(64);  // copied as one line
}

void Traffic::fill(rte_mempool* pool, rte_mbuf** mbufs, unsigned n) {
    if (rte_pktmbuf_alloc_bulk(pool, mbufs, n) != 0) throw std::runtime_error("the packet pool is empty");
    for (unsigned i = 0; i < n; ++i) {
        rte_mbuf* m = mbufs[i];
        auto* frame = rte_pktmbuf_mtod(m, std::byte*);
        const Patch& patch = patches_[next_];
        std::memcpy(frame, template_.data(), 64);
        std::memcpy(frame + kAddressesAt, &patch.addresses, sizeof patch.addresses);
        std::memcpy(frame + kPortsAt, &patch.ports, sizeof patch.ports);
        std::memcpy(frame + kIpChecksumAt, &patch.ip_checksum, sizeof patch.ip_checksum);
        std::memcpy(frame + checksum_at_, &patch.l4_checksum, sizeof patch.l4_checksum);
        m->data_len = kFrameBytes;
        m->pkt_len = kFrameBytes;
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

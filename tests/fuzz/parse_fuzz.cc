// libFuzzer harness of the parser: any frame, in a buffer of exactly its size, so that the sanitizer sees every byte
// read beyond it. The first byte chooses what the device said and whether checksums are made right first (random bytes
// never are); the rest is the frame. What the parser lets through is held against its promises, translated, and parsed
// again.
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <vector>

#include <rte_ether.h>
#include <rte_mbuf.h>

#include "dataplane/base/checksum.hh"
#include "dataplane/ingress/parse.hh"
#include "dataplane/ingress/read_plain.hh"
#include "dataplane/policy/limits.hh"
#include "dataplane/translate/icmp_inner.hh"
#include "dataplane/translate/rewrite.hh"

using namespace sluice;

namespace {

constexpr MacAddress kOwn{{2, 0, 0, 0, 0, 2}};

void require(bool promise, unsigned line = __builtin_LINE()) {
    if (promise) return;
    std::fprintf(stderr, "%s:%u: broken\n", __FILE__, line);
    std::abort();
}

/// An mbuf over bytes of its own, without a pool, and `room` bytes behind them.
class Frame {
public:
    explicit Frame(const std::uint8_t* data, std::size_t size, std::size_t room = 0)
        : bytes_(static_cast<std::uint8_t*>(std::calloc(1, size + room != 0 ? size + room : 1))) {
        if (size != 0) std::memcpy(bytes_.get(), data, size);
        mbuf.buf_addr = bytes_.get();
        mbuf.buf_len = static_cast<std::uint16_t>(size + room);
        mbuf.data_len = static_cast<std::uint16_t>(size);
        mbuf.pkt_len = static_cast<std::uint32_t>(size);
        mbuf.nb_segs = 1;
        rte_mbuf_refcnt_set(&mbuf, 1);
    }
    rte_mbuf mbuf{};

private:
    struct Free {
        void operator()(std::uint8_t* p) const { std::free(p); }
    };
    std::unique_ptr<std::uint8_t, Free> bytes_;
};

PortTable& ports() {
    static const auto table = [] {
        auto t = std::make_unique<PortTable>();
        for (const auto& [index, vlan] :
             {std::pair{PortIndex{0}, kNoVlan}, std::pair{PortIndex{1}, std::uint16_t{20}}}) {
            (*t)[index].vlan = vlan;
            (*t)[index].mac = kOwn;
            t->bind(index);
        }
        t->enable_ipv6(true);
        return t;
    }();
    return *table;
}

/// Sets the destination MAC and the IPv4 header's checksum, when there is one. `answered`: what an ICMP message quotes,
/// if it is an error, is from the host that it is sent to.
void make_plausible(std::vector<std::uint8_t>& frame, bool answered) {
    if (frame.size() < 14) return;
    std::memcpy(frame.data(), kOwn.bytes.data(), 6);
    const std::size_t l2 = frame[12] == 0x81 && frame[13] == 0 ? 18 : 14;
    if (frame.size() < l2 + 20) return;
    std::uint8_t* ip = frame.data() + l2;
    if (frame[l2 - 2] == 0x86 && frame[l2 - 1] == 0xdd) {
        constexpr std::size_t kHeader = 40, kQuotedSource6 = kHeader + 8 + 8;
        if (answered && frame.size() >= l2 + kQuotedSource6 + 16 && ip[6] == 58)
            std::memcpy(ip + kQuotedSource6, ip + 24, 16);
        return;
    }
    const std::size_t header = (ip[0] & 0xfU) * 4;
    if (header < 20 || frame.size() < l2 + header) return;
    ip[10] = ip[11] = 0;
    const std::uint16_t sum = checksum_of(ip, header);
    std::memcpy(ip + 10, &sum, 2);
    constexpr std::size_t kQuotedSource = 8 + 12;
    if (answered && ip[9] == 1 && frame.size() >= l2 + header + kQuotedSource + 4)
        std::memcpy(ip + header + kQuotedSource, ip + 16, 4);
}

void check_promises(const Packet& p) {
    const auto* begin = rte_pktmbuf_mtod(p.mbuf, std::uint8_t*);
    const auto* end = begin + p.mbuf->data_len;
    require(p.mbuf->pkt_len == p.mbuf->data_len);
    require(p.l3 == begin + 14 && p.l3 + p.l3_bytes == end);
    require(p.l4 >= p.l3 + (p.v6 ? 40 : 20) && p.l4 + p.l4_bytes <= end);
    require(p.payload_offset <= p.l4_bytes);
    unsigned sum = 0;
    for (const std::uint8_t byte : p.payload()) sum += byte;  // every byte can be read
    require(sum <= 255U * p.payload().size());
    if (p.icmp_error) {
        const IpProto icmp = p.v6 ? IpProto::icmpv6 : IpProto::icmp;
        require(p.proto == static_cast<std::uint8_t>(icmp) && p.payload_offset == 8);
        // To the sender of what it quotes. ESP is found by what is quoted, all else by the reverse of it.
        const IpAddress to = p.key.shape() == TupleShape::spi ? p.key.src() : p.key.dst();
        if (p.trackable) require(to == p.destination() && p.payload().size() >= (p.v6 ? 40U : 20U));
    }
    require(p.trackable != p.key.is_none());
    if (p.trackable) require(p.key.is_v6() == p.v6);
    static_cast<void>(check_limits(p, 1280));
}

/// What is taken for plain is what parse makes of it; `arrival` and `p` are of parse.
void check_plain(const std::vector<std::uint8_t>& bytes, std::size_t room, std::uint64_t said, Arrival arrival,
                 const Packet& p) {
    Frame frame(bytes.data(), bytes.size(), room);
    frame.mbuf.ol_flags = said;
    PlainPacket read;
    if (!read_plain(read, &frame.mbuf, PlainPort::of(0, ports()[0]))) {
        require(frame.mbuf.data_len == bytes.size() && frame.mbuf.ol_flags == said);
        return;
    }
    Packet plain;
    unfold(read, plain);
    require(arrival == Arrival::forward && p.in_port == 0 && plain.key == p.key && plain.proto == p.proto);
    require(plain.l3_bytes == p.l3_bytes && plain.l4_bytes == p.l4_bytes && plain.payload_offset == p.payload_offset);
    require(plain.l4 - plain.l3 == p.l4 - p.l3 && frame.mbuf.data_len == p.mbuf->data_len);
    require(frame.mbuf.ol_flags == p.mbuf->ol_flags && p.trackable && !p.icmp_error);
}

Arrival run(Packet& p, WorkerCounters& counters) {
    Disposal disposal(counters);  // never flushed: the buffer is not a pool's
    return parse(p, ports(), disposal);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    if (size == 0) return 0;
    static const auto counters = std::make_unique<WorkerCounters>();
    const unsigned choice = data[0];
    std::vector<std::uint8_t> bytes(data + 1, data + size);
    if ((choice & 1) != 0) make_plausible(bytes, (choice & 32) != 0);
    Frame frame(bytes.data(), bytes.size());
    if ((choice & 2) != 0) frame.mbuf.ol_flags |= RTE_MBUF_F_RX_L4_CKSUM_NONE;

    Packet p;
    p.mbuf = &frame.mbuf;
    if ((choice & 4) != 0) {
        p.local_out = true;
        p.in_port = kKernelPort;
        p.out_port = 0;
    }
    const std::uint64_t said = frame.mbuf.ol_flags;
    const Arrival arrived = run(p, *counters);
    if ((choice & 4) == 0)
        for (const std::size_t room : {std::size_t{0}, std::size_t{64}}) check_plain(bytes, room, said, arrived, p);
    if (arrived != Arrival::forward) return 0;
    check_promises(p);
    if (!p.trackable) return 0;

    // Translated, it is still a packet that the parser takes, with the tuple that was asked for.
    FlowKey to = p.key;
    to.set_src(p.v6 ? ip6(0x2001, 0xdb8, choice, 0, 0, choice << 8, 0, 7) : IpAddress(ip4(192, 0, 2, choice)));
    if (to.src() == to.dst()) return 0;
    // An error about ESP is found by what it quotes, which is the tuple of the other direction.
    if (p.icmp_error && p.key.shape() == TupleShape::spi) return 0;
    if (p.key.shape() == TupleShape::ports || p.key.shape() == TupleShape::query) to.sport = be16(choice << 8 | 1);
    const RewritePlan plan = RewritePlan::between(p.key, to);
    const Ends ends{to.src(), to.dst()};
    if (p.icmp_error) {
        SeqAdjust shift;
        shift.base = static_cast<std::int32_t>(choice);
        rewrite_error(p, plan, ends, (choice & 8) == 0, (choice & 16) == 0 ? &shift : nullptr);
        // It may now be one that nobody may send (from its own destination), which is for the caller's plan to avoid.
        if (p.source() == p.destination()) return 0;
    } else if (p.v6) {
        rewrite(p, plan, ends);
    } else {
        rewrite(p, plan);
    }
    Packet again;
    again.mbuf = p.mbuf;
    again.local_out = p.local_out;
    again.in_port = p.in_port;
    again.out_port = p.out_port;
    const Arrival arrival = run(again, *counters);
    require(arrival != Arrival::gone);
    if (arrival == Arrival::forward) require(again.key == to);
    return 0;
}

#include "dataplane/transmit/reject.hh"

#include "dataplane/base/checksum.hh"
#include "dataplane/transmit/answer_frame.hh"
#include "dataplane/transmit/icmp_error.hh"

namespace sluice {

namespace {

constexpr std::uint8_t kFin = 1, kSyn = 2, kRst = 4, kAck = 16;

constexpr bool is_tcp(const Packet& p) noexcept {
    return p.proto == static_cast<std::uint8_t>(IpProto::tcp);
}

/// RFC 4443, and what Linux takes for the reasons that IPv6 has no code of its own for (nf_reject_ipv6.c, route.c).
constexpr IcmpError error6_for(Answer answer, std::uint16_t mtu) noexcept {
    switch (answer) {
        case Answer::net_unreachable:
            return {1, 0, 0};
        case Answer::host_unreachable:
            return {1, 3, 0};
        case Answer::fragmentation_needed:
            return {2, 0, mtu};
        case Answer::admin_prohibited:
            return {1, 1, 0};
        case Answer::beyond_scope:
            return {1, 2, 0};
        case Answer::ttl_exceeded:
            return {3, 0, 0};
        case Answer::reassembly_timeout:
            return {3, 1, 0};
        case Answer::port_unreachable:
        case Answer::tcp_reset:
        case Answer::none:
            break;
    }
    return {1, 4, 0};
}

constexpr IcmpError error_for(Answer answer, std::uint16_t mtu) noexcept {
    switch (answer) {
        case Answer::net_unreachable:
            return {3, 0, 0};
        case Answer::host_unreachable:
            return {3, 1, 0};
        case Answer::fragmentation_needed:
            return {3, 4, mtu};
        case Answer::admin_prohibited:
            return {3, 13, 0};
        case Answer::ttl_exceeded:
            return {11, 0, 0};
        case Answer::reassembly_timeout:
            return {11, 1, 0};
        case Answer::beyond_scope:  // of IPv6 alone
        case Answer::port_unreachable:
        case Answer::tcp_reset:
        case Answer::none:
            break;
    }
    return {3, 3, 0};
}

/// Who speaks: the address that was spoken to when it is the box's, else the box's address on the way back to the
/// sender (RFC 1812 4.3.2.4), else any address of the family. None: the box has none. Towards the box's own kernel it
/// is the far end, because a kernel does not believe packets that come in with its own address.
IpAddress speaker(const Packet& p, const Addresses& addresses) noexcept {
    const IpAddress to = p.destination();
    if (p.local_out || addresses.is_own_in(addresses.zone_of_port[p.in_port], to)) return to;
    if (const IpAddress near = addresses.towards(p.in_port, p.source()); !near.is_none()) return near;
    for (PortIndex port = 0; port <= kMaxPorts; ++port)
        if (const IpAddress any = addresses.towards(port, p.source()); !any.is_none()) return any;
    return {};
}

}  // namespace

rte_mbuf* build_reset(rte_mempool* pool, const Packet& p) noexcept {
    const rte_tcp_hdr* segment = p.tcp();
    const AnswerHeader header{p.destination(), p.source(), IpProto::tcp, 0, 0, true};
    const AnswerFrame answer = start_answer(pool, p, header, sizeof(rte_tcp_hdr));
    if (answer.mbuf == nullptr) return nullptr;
    auto* tcp = reinterpret_cast<rte_tcp_hdr*>(answer.l4);
    *tcp = {};
    tcp->src_port = segment->dst_port;
    tcp->dst_port = segment->src_port;
    tcp->data_off = 5 << 4;
    if ((segment->tcp_flags & kAck) != 0) {
        tcp->sent_seq = segment->recv_ack;
        tcp->tcp_flags = kRst;
    } else {
        const std::uint32_t syn = (segment->tcp_flags & kSyn) != 0, fin = (segment->tcp_flags & kFin) != 0;
        const auto taken = p.payload_bytes() + syn + fin;
        tcp->recv_ack = Be32::from_host(Be32::from_raw(segment->sent_seq).host() + taken).raw;
        tcp->tcp_flags = kRst | kAck;
    }
    tcp->cksum =
        checksum_of(tcp, sizeof *tcp,
                    pseudo_header_sum(header.src, header.dst, static_cast<std::uint8_t>(IpProto::tcp), sizeof *tcp));
    return answer.mbuf;
}

void Answers::configure(BucketSpec limit) noexcept {
    if (limit == limit_) return;
    limit_ = limit;
    bucket_.configure(limit);
}

rte_mbuf* Answers::make(const Packet& p, Answer answer, std::uint16_t mtu, const Addresses& addresses,
                        Now now) noexcept {
    if (answer == Answer::none || !may_be_answered(p)) return nullptr;
    const bool reset = answer == Answer::tcp_reset && is_tcp(p);
    if (reset && (p.tcp()->tcp_flags & kRst) != 0) return nullptr;
    const IpAddress source = speaker(p, addresses);
    if (!reset && source.is_none()) return nullptr;
    if (!bucket_.take(now)) {
        counters_.icmp_errors_limited.add();
        return nullptr;
    }
    rte_mbuf* m =
        reset ? build_reset(pool_, p)
              : build_icmp_error(pool_, p, p.v6 ? error6_for(answer, mtu) : error_for(answer, mtu), source, next_id_++);
    if (m == nullptr) return nullptr;
    (reset ? counters_.resets_sent : counters_.icmp_errors_sent).add();
    counters_.balance.generated.add();
    return m;
}

}  // namespace sluice

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
        case Answer::port_unreachable:
        case Answer::tcp_reset:
        case Answer::none:
            break;
    }
    return {3, 3, 0};
}

/// Who speaks: the address that was spoken to when it is the box's, else the box's address on the way back to the
/// sender (RFC 1812 4.3.2.4), else any address it has. Zero: the box has none. Towards the box's own kernel it is the
/// far end, because a kernel does not believe packets that come in with its own address.
Ip4 speaker(const Packet& p, const Addresses& addresses) noexcept {
    const Ip4 to = Ip4::from_raw(p.ip()->dst_addr);
    if (p.local_out || addresses.is_own(to)) return to;
    if (const Ip4 near = addresses.towards(p.in_port, Ip4::from_raw(p.ip()->src_addr)); near.raw != 0) return near;
    for (const auto& list : addresses.by_port)
        if (!list.empty()) return list.front().address;
    return {};
}

}  // namespace

rte_mbuf* build_reset(rte_mempool* pool, const Packet& p) noexcept {
    const rte_tcp_hdr* segment = p.tcp();
    const AnswerHeader header{
        Ip4::from_raw(p.ip()->dst_addr), Ip4::from_raw(p.ip()->src_addr), IpProto::tcp, 0, 0, true};
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
    const Ip4 source = speaker(p, addresses);
    if (!reset && source.raw == 0) return nullptr;
    if (!bucket_.take(now)) {
        counters_.icmp_errors_limited.add();
        return nullptr;
    }
    rte_mbuf* m =
        reset ? build_reset(pool_, p) : build_icmp_error(pool_, p, error_for(answer, mtu), source, next_id_++);
    if (m == nullptr) return nullptr;
    (reset ? counters_.resets_sent : counters_.icmp_errors_sent).add();
    counters_.balance.generated.add();
    return m;
}

}  // namespace sluice

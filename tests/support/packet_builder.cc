#include "tests/support/packet_builder.hh"

#include <algorithm>
#include <cstring>
#include <stdexcept>
#include <utility>

#include "tests/support/packet_wire.hh"

namespace sluice::test {

using namespace wire;

PacketBuilder& PacketBuilder::fragment(unsigned offset_bytes, bool more) {
    fragment_ = static_cast<std::uint16_t>(offset_bytes / 8 | (more ? 0x2000U : 0U));
    return v6_ ? extension(kFragmentHeader) : *this;
}
PacketBuilder& PacketBuilder::extension(unsigned number, std::span<const std::uint8_t> body) {
    if (!v6_) throw std::logic_error("an extension header in IPv4");
    extensions_.push_back({static_cast<std::uint8_t>(number), Bytes(body.begin(), body.end()), std::nullopt});
    return *this;
}
PacketBuilder& PacketBuilder::routing(unsigned type, unsigned left) {
    return extension(kRoutingHeader, Bytes{static_cast<std::uint8_t>(type), static_cast<std::uint8_t>(left)});
}
PacketBuilder& PacketBuilder::ip_option(std::span<const std::uint8_t> option) {
    put(ip_options_, option);
    return *this;
}
PacketBuilder& PacketBuilder::tcp_option(std::span<const std::uint8_t> option) {
    put(tcp_options_, option);
    return *this;
}
PacketBuilder& PacketBuilder::mss(unsigned v) {
    Bytes option{2, 4};
    put16(option, v);
    return tcp_option(option);
}
PacketBuilder& PacketBuilder::sack(std::span<const std::pair<std::uint32_t, std::uint32_t>> blocks) {
    Bytes option{1, 1, 5, static_cast<std::uint8_t>(2 + 8 * blocks.size())};
    for (const auto& [left, right] : blocks) {
        put32(option, left);
        put32(option, right);
    }
    return tcp_option(option);
}
PacketBuilder& PacketBuilder::payload(std::string_view text) {
    payload_.assign(text.begin(), text.end());
    return *this;
}
PacketBuilder& PacketBuilder::payload(std::span<const std::uint8_t> bytes) {
    payload_.assign(bytes.begin(), bytes.end());
    return *this;
}
PacketBuilder& PacketBuilder::payload_bytes(std::size_t bytes) {
    payload_.resize(bytes);
    for (std::size_t i = 0; i < bytes; ++i) payload_[i] = static_cast<std::uint8_t>(i * 7 + (i >> 8));
    return *this;
}

Bytes PacketBuilder::transport() const {
    Bytes out;
    std::optional<std::size_t> checksum_at;
    switch (static_cast<IpProto>(proto_)) {
        case IpProto::tcp: {
            Bytes options = tcp_options_;
            while (options.size() % 4 != 0) put8(options, 0);
            put16(out, sport_);
            put16(out, dport_);
            put32(out, seq_);
            put32(out, ack_);
            put8(out, data_offset_.value_or(static_cast<std::uint8_t>(5 + options.size() / 4)) << 4 & 0xff);
            put8(out, flags_);
            put16(out, window_);
            put32(out, 0);
            put(out, options);
            checksum_at = 16;
            break;
        }
        case IpProto::udp:
            put16(out, sport_);
            put16(out, dport_);
            put16(out, udp_length_.value_or(static_cast<std::uint16_t>(8 + payload_.size())));
            put16(out, 0);
            checksum_at = 6;
            break;
        case IpProto::icmp:
        case IpProto::icmpv6:
            if (!is_icmp(proto_, v6_)) break;
            put8(out, icmp_type_);
            put8(out, icmp_code_);
            put16(out, 0);
            put32(out, icmp_seq_ ? (icmp_rest_ & 0xffff0000U) | *icmp_seq_ : icmp_rest_);
            checksum_at = 2;
            break;
        default:
            break;
    }
    put(out, payload_);
    if ((fragment_ & 0x1fff) != 0) return payload_;  // a later piece: no transport header in it
    if (!checksum_at) return out;
    std::uint16_t sum = checksum(out, proto_ == kIcmp ? 0 : pseudo_sum(src_, dst_, v6_, proto_, out.size()));
    if (proto_ == static_cast<std::uint8_t>(IpProto::udp)) {
        if (sum == 0) sum = 0xffff;
        if (no_udp_checksum_) sum = 0;
    }
    if (break_checksum_) sum = static_cast<std::uint16_t>(sum ^ 0x0101);
    poke16(out, *checksum_at, sum);
    return out;
}

Bytes PacketBuilder::ip_packet() const {
    return raw_ ? payload_ : v6_ ? ip6_packet() : ip4_packet();
}

Bytes PacketBuilder::ip6_packet() const {
    if (!ip_options_.empty() || ihl_) throw std::logic_error("IPv4 options in IPv6");
    Bytes behind;
    for (std::size_t i = 0; i < extensions_.size(); ++i) {
        const Extension& e = extensions_[i];
        Bytes header;
        put8(header, i + 1 < extensions_.size() ? extensions_[i + 1].number : proto_);
        if (e.number == kFragmentHeader) {
            put8(header, 0);
            put16(header, (unsigned{fragment_} << 3 & 0xfff8U) | (fragment_ >> 13 & 1U));
            put32(header, ip_id_);
        } else {
            put8(header, 0);
            put(header, e.body);
            while (header.size() % 8 != 0) put8(header, 0);
            const std::size_t length =
                e.number == kAuthenticationHeader ? header.size() / 4 - 2 : header.size() / 8 - 1;
            header[1] = e.length_field.value_or(static_cast<std::uint8_t>(length));
        }
        put(behind, header);
    }
    put(behind, transport());
    Bytes out;
    put32(out, std::uint32_t{version_.value_or(6)} << 28 | std::uint32_t{tos_} << 20 | (flow_label_ & 0xfffffU));
    put16(out, total_length_ ? *total_length_ - 40U : static_cast<unsigned>(behind.size()));
    put8(out, extensions_.empty() ? proto_ : extensions_.front().number);
    put8(out, ttl_);
    put_address(out, src_, true);
    put_address(out, dst_, true);
    put(out, behind);
    return out;
}

Bytes PacketBuilder::ip4_packet() const {
    Bytes options = ip_options_;
    while (options.size() % 4 != 0) put8(options, 0);
    const Bytes l4 = transport();
    const std::size_t header = 20 + options.size();
    Bytes out;
    put8(out, (unsigned{version_.value_or(4)} << 4 | ihl_.value_or(static_cast<std::uint8_t>(header / 4))) & 0xff);
    put8(out, tos_);
    put16(out, total_length_.value_or(static_cast<std::uint16_t>(header + l4.size())));
    put16(out, ip_id_ & 0xffff);
    put16(out, fragment_ | (dont_fragment_ ? 0x4000U : 0U));
    put8(out, ttl_);
    put8(out, proto_);
    put16(out, 0);
    put_address(out, src_, false);
    put_address(out, dst_, false);
    put(out, options);
    // With a lying IHL the sum is taken over what a reader would take for the header.
    const std::size_t claimed = std::clamp<std::size_t>(std::size_t{out[0] & 0xfU} * 4, 20, header);
    poke16(out, 10, checksum(std::span(out).first(claimed)) ^ (break_ip_checksum_ ? 0x0101U : 0U));
    put(out, l4);
    return out;
}

Frame PacketBuilder::bytes() const {
    Bytes out;
    put(out, dst_mac_.bytes);
    put(out, src_mac_.bytes);
    if (vlan_) {
        put16(out, 0x8100);
        put16(out, *vlan_);
    }
    put16(out, ether_type_.value_or(v6_ ? 0x86dd : 0x0800));
    put(out, ip_packet());
    if (out.size() < pad_to_) out.resize(pad_to_);
    if (cut_to_ && *cut_to_ < out.size()) out.resize(*cut_to_);
    Frame frame(out.size());
    if (!out.empty()) std::memcpy(frame.data(), out.data(), out.size());
    return frame;
}

rte_mbuf* PacketBuilder::mbuf(rte_mempool* pool, std::uint16_t device) const {
    return make_mbuf(pool, bytes(), device);
}

PacketBuilder tcp(const IpAddress& src, unsigned sport, const IpAddress& dst, unsigned dport) {
    PacketBuilder b = protocol(6, src, dst);
    b.sport_ = static_cast<std::uint16_t>(sport);
    b.dport_ = static_cast<std::uint16_t>(dport);
    return b;
}
PacketBuilder udp(const IpAddress& src, unsigned sport, const IpAddress& dst, unsigned dport) {
    PacketBuilder b = protocol(17, src, dst);
    b.sport_ = static_cast<std::uint16_t>(sport);
    b.dport_ = static_cast<std::uint16_t>(dport);
    return b;
}
PacketBuilder icmp(const IpAddress& src, const IpAddress& dst, unsigned type, unsigned code, std::uint32_t rest) {
    PacketBuilder b = protocol(src.is_v4() ? kIcmp : kIcmpv6, src, dst);
    b.icmp_type_ = static_cast<std::uint8_t>(type);
    b.icmp_code_ = static_cast<std::uint8_t>(code);
    b.icmp_rest_ = rest;
    return b;
}
PacketBuilder echo_request(const IpAddress& src, const IpAddress& dst, unsigned id, unsigned seq) {
    return icmp(src, dst, src.is_v4() ? 8 : 128, 0, id << 16 | seq);
}
PacketBuilder echo_reply(const IpAddress& src, const IpAddress& dst, unsigned id, unsigned seq) {
    return icmp(src, dst, src.is_v4() ? 0 : 129, 0, id << 16 | seq);
}
PacketBuilder icmp_error(const IpAddress& src, const IpAddress& dst, unsigned type, unsigned code,
                         const PacketBuilder& offending, std::size_t quote_bytes, std::uint32_t rest) {
    Bytes quote = offending.ip_packet();
    const std::size_t header = src.is_v4() ? std::size_t{quote.at(0) & 0xfU} * 4 : 40;
    quote.resize(std::min(quote.size(), header + quote_bytes));
    return icmp(src, dst, type, code, rest).payload(quote);
}
PacketBuilder protocol(unsigned number, const IpAddress& src, const IpAddress& dst) {
    PacketBuilder b;
    if (src.is_v4() != dst.is_v4()) throw std::logic_error("a packet from one family to the other");
    b.v6_ = !src.is_v4();
    b.src_ = src;
    b.dst_ = dst;
    b.proto_ = static_cast<std::uint8_t>(number);
    return b;
}

Frame frame_of(const rte_mbuf* m) {
    Frame out;
    for (; m != nullptr; m = m->next) {
        const auto* data = rte_pktmbuf_mtod(m, const std::byte*);
        out.insert(out.end(), data, data + m->data_len);
    }
    return out;
}

rte_mbuf* make_mbuf(rte_mempool* pool, std::span<const std::byte> frame, std::uint16_t device) {
    rte_mbuf* m = rte_pktmbuf_alloc(pool);
    if (m == nullptr) throw std::runtime_error("no mbuf left in the pool");
    char* data = rte_pktmbuf_append(m, static_cast<std::uint16_t>(frame.size()));
    if (data == nullptr) {
        rte_pktmbuf_free(m);
        throw std::runtime_error("frame does not fit one mbuf");
    }
    if (!frame.empty()) std::memcpy(data, frame.data(), frame.size());
    m->port = device;
    return m;
}

}  // namespace sluice::test

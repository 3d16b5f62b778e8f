#include "tests/support/packet_builder.hh"

#include <algorithm>
#include <cstring>
#include <stdexcept>
#include <utility>

namespace sluice::test {

namespace {

using Bytes = std::vector<std::uint8_t>;

void put8(Bytes& out, unsigned v) {
    out.push_back(static_cast<std::uint8_t>(v));
}
void put16(Bytes& out, unsigned v) {
    put8(out, v >> 8 & 0xff);
    put8(out, v & 0xff);
}
void put32(Bytes& out, std::uint32_t v) {
    put16(out, v >> 16);
    put16(out, v & 0xffff);
}
void put(Bytes& out, std::span<const std::uint8_t> more) {
    out.insert(out.end(), more.begin(), more.end());
}

void poke16(Bytes& at, std::size_t offset, unsigned v) {
    at[offset] = static_cast<std::uint8_t>(v >> 8);
    at[offset + 1] = static_cast<std::uint8_t>(v);
}

/// RFC 1071 word by word in host order: slow, plain, and not the data plane's code.
std::uint16_t checksum(std::span<const std::uint8_t> bytes, std::uint32_t sum = 0) {
    for (std::size_t i = 0; i < bytes.size(); ++i) sum += i % 2 == 0 ? unsigned{bytes[i]} << 8 : bytes[i];
    while (sum > 0xffff) sum = (sum & 0xffff) + (sum >> 16);
    return static_cast<std::uint16_t>(~sum);
}

std::uint32_t pseudo_sum(Ip4 src, Ip4 dst, unsigned proto, std::size_t length) {
    return (src.host() >> 16) + (src.host() & 0xffff) + (dst.host() >> 16) + (dst.host() & 0xffff) + proto +
           static_cast<std::uint32_t>(length);
}

bool is_icmp_error(unsigned type) {
    return type == 3 || type == 4 || type == 5 || type == 11 || type == 12;
}

/// Reads big-endian fields; beyond the end it yields zeros and remembers.
class Reader {
public:
    explicit Reader(std::span<const std::uint8_t> bytes) : bytes_(bytes) {}
    std::uint8_t u8() {
        if (at_ >= bytes_.size()) {
            short_ = true;
            return 0;
        }
        return bytes_[at_++];
    }
    std::uint16_t u16() {
        const unsigned high = u8();
        return static_cast<std::uint16_t>(high << 8 | u8());
    }
    std::uint32_t u32() {
        const std::uint32_t high = u16();
        return high << 16 | u16();
    }
    Bytes take(std::size_t n) {
        if (n > bytes_.size() - at_) short_ = true;
        n = std::min(n, bytes_.size() - at_);
        Bytes out(bytes_.begin() + static_cast<std::ptrdiff_t>(at_),
                  bytes_.begin() + static_cast<std::ptrdiff_t>(at_ + n));
        at_ += n;
        return out;
    }
    std::string rest_as_text() {
        const Bytes b = take(bytes_.size() - at_);
        return {b.begin(), b.end()};
    }
    [[nodiscard]] bool ran_short() const { return short_; }

private:
    std::span<const std::uint8_t> bytes_;
    std::size_t at_ = 0;
    bool short_ = false;
};

void decode_tcp(Decoded& d, Reader& r) {
    d.sport = r.u16();
    d.dport = r.u16();
    d.seq = r.u32();
    d.ack = r.u32();
    const unsigned offset = r.u8() >> 4;
    d.flags = r.u8();
    d.window = r.u16();
    r.take(4);  // checksum, urgent pointer
    if (r.ran_short()) return;
    if (offset < 5) {
        d.error = "tcp data offset";
        return;
    }
    d.tcp_options = r.take(offset * 4 - 20);
    for (std::size_t i = 0; i + 1 < d.tcp_options.size() && d.tcp_options[i] != 0;) {
        if (d.tcp_options[i] == 1) {
            ++i;
            continue;
        }
        const std::size_t length = d.tcp_options[i + 1];
        if (length < 2 || i + length > d.tcp_options.size()) break;
        if (d.tcp_options[i] == 5) {
            Reader blocks(std::span(d.tcp_options).subspan(i + 2, length - 2));
            for (std::size_t b = 0; b + 8 <= length - 2; b += 8) {
                const auto left = blocks.u32();
                d.sack.emplace_back(left, blocks.u32());
            }
        }
        i += length;
    }
}

void decode_icmp(Decoded& d, Reader& r) {
    d.icmp_type = r.u8();
    d.icmp_code = r.u8();
    r.u16();
    d.icmp_id = r.u16();
    d.icmp_seq = d.mtu = r.u16();
}

}  // namespace

PacketBuilder& PacketBuilder::fragment(unsigned offset_bytes, bool more) {
    fragment_ = static_cast<std::uint16_t>(offset_bytes / 8 | (more ? 0x2000U : 0U));
    return *this;
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
    const bool has_pseudo = proto_ != static_cast<std::uint8_t>(IpProto::icmp);
    std::uint16_t sum = checksum(out, has_pseudo ? pseudo_sum(src_, dst_, proto_, out.size()) : 0);
    if (proto_ == static_cast<std::uint8_t>(IpProto::udp)) {
        if (sum == 0) sum = 0xffff;
        if (no_udp_checksum_) sum = 0;
    }
    if (break_checksum_) sum = static_cast<std::uint16_t>(sum ^ 0x0101);
    poke16(out, *checksum_at, sum);
    return out;
}

Bytes PacketBuilder::ip_packet() const {
    if (raw_) return payload_;
    Bytes options = ip_options_;
    while (options.size() % 4 != 0) put8(options, 0);
    const Bytes l4 = transport();
    const std::size_t header = 20 + options.size();
    Bytes out;
    put8(out, (unsigned{version_} << 4 | ihl_.value_or(static_cast<std::uint8_t>(header / 4))) & 0xff);
    put8(out, tos_);
    put16(out, total_length_.value_or(static_cast<std::uint16_t>(header + l4.size())));
    put16(out, ip_id_);
    put16(out, fragment_ | (dont_fragment_ ? 0x4000U : 0U));
    put8(out, ttl_);
    put8(out, proto_);
    put16(out, 0);
    put32(out, src_.host());
    put32(out, dst_.host());
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
    put16(out, ether_type_);
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

PacketBuilder tcp(Ip4 src, unsigned sport, Ip4 dst, unsigned dport) {
    PacketBuilder b = protocol(6, src, dst);
    b.sport_ = static_cast<std::uint16_t>(sport);
    b.dport_ = static_cast<std::uint16_t>(dport);
    return b;
}
PacketBuilder udp(Ip4 src, unsigned sport, Ip4 dst, unsigned dport) {
    PacketBuilder b = protocol(17, src, dst);
    b.sport_ = static_cast<std::uint16_t>(sport);
    b.dport_ = static_cast<std::uint16_t>(dport);
    return b;
}
PacketBuilder icmp(Ip4 src, Ip4 dst, unsigned type, unsigned code, std::uint32_t rest) {
    PacketBuilder b = protocol(1, src, dst);
    b.icmp_type_ = static_cast<std::uint8_t>(type);
    b.icmp_code_ = static_cast<std::uint8_t>(code);
    b.icmp_rest_ = rest;
    return b;
}
PacketBuilder echo_request(Ip4 src, Ip4 dst, unsigned id, unsigned seq) {
    return icmp(src, dst, 8, 0, id << 16 | seq);
}
PacketBuilder echo_reply(Ip4 src, Ip4 dst, unsigned id, unsigned seq) {
    return icmp(src, dst, 0, 0, id << 16 | seq);
}
PacketBuilder icmp_error(Ip4 src, Ip4 dst, unsigned type, unsigned code, const PacketBuilder& offending,
                         std::size_t quote_bytes, std::uint32_t rest) {
    Bytes quote = offending.ip_packet();
    const std::size_t header = std::size_t{quote.at(0) & 0xfU} * 4;
    quote.resize(std::min(quote.size(), header + quote_bytes));
    return icmp(src, dst, type, code, rest).payload(quote);
}
PacketBuilder protocol(unsigned number, Ip4 src, Ip4 dst) {
    PacketBuilder b;
    b.src_ = src;
    b.dst_ = dst;
    b.proto_ = static_cast<std::uint8_t>(number);
    return b;
}

namespace {
PacketBuilder arp(unsigned operation, MacAddress sender_mac, Ip4 sender, MacAddress target_mac, Ip4 target) {
    Bytes body;
    put16(body, 1);
    put16(body, 0x0800);
    put8(body, 6);
    put8(body, 4);
    put16(body, operation);
    put(body, sender_mac.bytes);
    put32(body, sender.host());
    put(body, target_mac.bytes);
    put32(body, target.host());
    return raw(0x0806, body).from(sender_mac);
}
}  // namespace

PacketBuilder arp_request(MacAddress sender_mac, Ip4 sender, Ip4 target) {
    return arp(1, sender_mac, sender, MacAddress{}, target).to(kBroadcastMac);
}
PacketBuilder arp_reply(MacAddress sender_mac, Ip4 sender, MacAddress target_mac, Ip4 target) {
    return arp(2, sender_mac, sender, target_mac, target).to(target_mac);
}
PacketBuilder raw(unsigned ether_type, std::span<const std::uint8_t> bytes) {
    PacketBuilder b;
    b.raw_ = true;
    b.payload_.assign(bytes.begin(), bytes.end());
    return b.ether_type(ether_type);
}

Decoded decode_ip(std::span<const std::uint8_t> packet, bool quotation) {
    Decoded d;
    d.ether_type = 0x0800;
    Reader r(packet);
    const unsigned first = r.u8();
    d.tos = r.u8();
    d.total_length = r.u16();
    d.ip_id = r.u16();
    const unsigned fragment = r.u16();
    d.dont_fragment = (fragment & 0x4000) != 0;
    d.more_fragments = (fragment & 0x2000) != 0;
    d.fragment_offset_bytes = static_cast<std::uint16_t>((fragment & 0x1fff) * 8);
    d.ttl = r.u8();
    d.proto = r.u8();
    r.u16();
    d.src = Ip4::from_host(r.u32());
    d.dst = Ip4::from_host(r.u32());
    const std::size_t header = std::size_t{first & 0xfU} * 4;
    if (first >> 4 != 4) d.error = "ip version";
    if (header < 20) d.error = "ip header length";
    if (d.total_length < header) d.error = "ip total length";
    if (!quotation && d.total_length > packet.size()) d.error = "ip total length beyond the frame";
    d.ip_options = r.take(header < 20 ? 0 : header - 20);
    if (r.ran_short()) d.error = "short";
    if (!d.error.empty()) return d;
    d.ip_checksum_ok = checksum(packet.first(header)) == 0;
    d.padding = packet.size() > d.total_length ? packet.size() - d.total_length : 0;
    const auto l4 = packet.subspan(header, std::min<std::size_t>(packet.size(), d.total_length) - header);

    Reader t(l4);
    const bool cut = l4.size() + header < d.total_length;
    if (d.fragment_offset_bytes != 0) {
        d.payload = t.rest_as_text();
        d.l4_checksum_ok = true;
        return d;
    }
    const std::uint32_t pseudo = pseudo_sum(d.src, d.dst, d.proto, l4.size());
    switch (static_cast<IpProto>(d.proto)) {
        case IpProto::tcp:
            decode_tcp(d, t);
            d.l4_checksum_ok = checksum(l4, pseudo) == 0;
            break;
        case IpProto::udp: {
            d.sport = t.u16();
            d.dport = t.u16();
            const std::size_t length = t.u16();
            d.udp_checksum = t.u16();
            if (!cut && !d.more_fragments && length != l4.size()) d.error = "udp length";
            d.l4_checksum_ok = d.udp_checksum == 0 || checksum(l4, pseudo) == 0;
            break;
        }
        case IpProto::icmp:
            decode_icmp(d, t);
            d.l4_checksum_ok = checksum(l4) == 0;
            break;
        default:
            d.l4_checksum_ok = true;
            break;
    }
    if (cut || d.more_fragments) d.l4_checksum_ok = true;  // the sum covers bytes that are not here
    if (t.ran_short() && !cut) d.error = "transport header short";
    d.payload = t.rest_as_text();
    if (d.proto == 1 && is_icmp_error(d.icmp_type)) d.quoted.assign(d.payload.begin(), d.payload.end());
    return d;
}

Decoded decode(std::span<const std::byte> frame) {
    const std::span bytes(reinterpret_cast<const std::uint8_t*>(frame.data()), frame.size());
    Reader r(bytes);
    MacAddress dst, src;
    const auto take_mac = [&r](MacAddress& address) {
        const Bytes b = r.take(address.bytes.size());
        std::copy(b.begin(), b.end(), address.bytes.begin());
    };
    take_mac(dst);
    take_mac(src);
    std::uint16_t type = r.u16();
    std::optional<std::uint16_t> vlan;
    std::size_t l2 = 14;
    if (type == 0x8100) {
        vlan = static_cast<std::uint16_t>(r.u16() & 0xfff);
        type = r.u16();
        l2 = 18;
    }
    Decoded d;
    if (r.ran_short()) {
        d.error = "frame short";
    } else if (type == 0x0800) {
        d = decode_ip(bytes.subspan(l2));
    } else {
        d.payload = r.rest_as_text();
        d.ip_checksum_ok = d.l4_checksum_ok = true;
    }
    d.eth_src = src;
    d.eth_dst = dst;
    d.vlan = vlan;
    d.ether_type = type;
    return d;
}

bool valid_checksums(std::span<const std::byte> frame) {
    return decode(frame).valid_checksums();
}

std::string to_text(Ip4 a) {
    const std::uint32_t h = a.host();
    return std::to_string(h >> 24) + '.' + std::to_string(h >> 16 & 0xff) + '.' + std::to_string(h >> 8 & 0xff) + '.' +
           std::to_string(h & 0xff);
}

std::string Decoded::text() const {
    std::string out;
    if (vlan) out += "vlan " + std::to_string(*vlan) + ' ';
    if (ether_type == 0x0806) return out + "arp";
    if (ether_type != 0x0800) return out + "ether type " + std::to_string(ether_type);
    const bool ports = fragment_offset_bytes == 0 && (proto == 6 || proto == 17);
    out += to_text(src) + (ports ? ':' + std::to_string(sport) : "") + " > " + to_text(dst) +
           (ports ? ':' + std::to_string(dport) : "");
    if (fragment_offset_bytes != 0 || more_fragments)
        out += " fragment " + std::to_string(fragment_offset_bytes) + (more_fragments ? "+" : "");
    if (fragment_offset_bytes != 0) {
        out += " proto " + std::to_string(proto);
    } else if (proto == 6) {
        static constexpr std::pair<std::uint8_t, char> kLetters[] = {{kSyn, 'S'}, {kFin, 'F'}, {kRst, 'R'},
                                                                     {kPsh, 'P'}, {kUrg, 'U'}, {kAck, '.'}};
        out += " tcp ";
        for (const auto& [bit, letter] : kLetters)
            if ((flags & bit) != 0) out += letter;
        out += " seq " + std::to_string(seq);
        if ((flags & kAck) != 0) out += " ack " + std::to_string(ack);
    } else if (proto == 17) {
        out += " udp";
    } else if (proto == 1 && is_icmp_error(icmp_type)) {
        out += " icmp " + std::to_string(icmp_type) + '/' + std::to_string(icmp_code);
        if (icmp_type == 3 && icmp_code == 4) out += " mtu " + std::to_string(mtu);
        out += " {" + decode_ip(quoted, true).text() + '}';
    } else if (proto == 1) {
        out += " icmp " + std::to_string(icmp_type) + '/' + std::to_string(icmp_code) + " id " +
               std::to_string(icmp_id) + " seq " + std::to_string(icmp_seq);
    } else {
        out += " proto " + std::to_string(proto);
    }
    out += " ttl " + std::to_string(ttl);
    if (!payload.empty() && quoted.empty()) out += " len " + std::to_string(payload.size());
    if (!error.empty()) return out + " [" + error + ']';
    if (!ip_checksum_ok) out += " [bad ip checksum]";
    if (!l4_checksum_ok) out += " [bad checksum]";
    return out;
}

std::string describe(std::span<const std::byte> frame) {
    return decode(frame).text();
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

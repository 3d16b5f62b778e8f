// The half of packet_builder.hh that reads frames.
#include <algorithm>
#include <arpa/inet.h>
#include <utility>

#include "tests/support/packet_builder.hh"
#include "tests/support/packet_wire.hh"

namespace sluice::test {

using namespace wire;

namespace {

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
    const std::uint32_t rest = r.u32();
    d.icmp_id = static_cast<std::uint16_t>(rest >> 16);
    d.icmp_seq = static_cast<std::uint16_t>(rest);
    d.mtu = d.v6 ? rest : rest & 0xffffU;
}

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

namespace {

/// Reads the header; says how long it is, 0 after an error.
std::size_t decode_ip4_header(Decoded& d, std::span<const std::uint8_t> packet) {
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
    d.ip_options = r.take(header < 20 ? 0 : header - 20);
    if (r.ran_short()) d.error = "short";
    if (!d.error.empty()) return 0;
    d.ip_checksum_ok = checksum(packet.first(header)) == 0;
    return header;
}

/// The same, with all extension headers; a quotation may end in them.
std::size_t decode_ip6_header(Decoded& d, std::span<const std::uint8_t> packet, bool quotation) {
    Reader r(packet);
    const std::uint32_t first = r.u32();
    d.tos = static_cast<std::uint8_t>(first >> 20);
    d.flow_label = first & 0xfffffU;
    d.total_length = static_cast<std::uint16_t>(40U + r.u16());
    d.proto = r.u8();
    d.ttl = r.u8();
    for (IpAddress* address : {&d.src, &d.dst})
        for (unsigned i = 0; i < 4; ++i) address->set_word(i, r.u32());
    std::size_t header = 40;
    if (r.ran_short()) d.error = "short";
    while (d.error.empty() && is_extension(d.proto) && d.fragment_offset_bytes == 0) {
        const unsigned number = d.proto;
        d.proto = r.u8();
        const unsigned field = r.u8();
        std::size_t length = number == kAuthenticationHeader ? (field + 2U) * 4U : (field + 1U) * 8U;
        if (number == kFragmentHeader) {
            const unsigned fragment = r.u16();
            d.more_fragments = (fragment & 1) != 0;
            d.fragment_offset_bytes = static_cast<std::uint16_t>(fragment & 0xfff8U);
            d.ip_id = r.u32();
            length = 8;
        } else {
            r.take(length - 2);
        }
        if (r.ran_short()) {
            if (!quotation) d.error = "extension header";
            break;
        }
        d.extensions.push_back(static_cast<std::uint8_t>(number));
        header += length;
    }
    if (d.total_length < header) d.error = "ip total length";
    d.ip_checksum_ok = true;  // there is none
    return header;
}

}  // namespace

Decoded decode_ip(std::span<const std::uint8_t> packet, bool quotation) {
    Decoded d;
    d.v6 = !packet.empty() && packet[0] >> 4 == 6;
    d.ether_type = d.v6 ? 0x86dd : 0x0800;
    const std::size_t header = d.v6 ? decode_ip6_header(d, packet, quotation) : decode_ip4_header(d, packet);
    if (!quotation && d.total_length > packet.size()) d.error = "ip total length beyond the frame";
    if (!d.error.empty()) return d;
    d.l4_offset = static_cast<std::uint16_t>(header);
    d.padding = packet.size() > d.total_length ? packet.size() - d.total_length : 0;
    const auto l4 = packet.subspan(header, std::min<std::size_t>(packet.size(), d.total_length) - header);

    Reader t(l4);
    const bool cut = l4.size() + header < d.total_length;
    if (d.fragment_offset_bytes != 0) {
        d.payload = t.rest_as_text();
        d.l4_checksum_ok = true;
        return d;
    }
    const std::uint32_t pseudo = pseudo_sum(d.src, d.dst, d.v6, d.proto, l4.size());
    const bool icmp = is_icmp(d.proto, d.v6);
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
            const bool none = d.udp_checksum == 0 && !d.v6;  // RFC 8200 8.1
            d.l4_checksum_ok = none || (d.udp_checksum != 0 && checksum(l4, pseudo) == 0);
            break;
        }
        case IpProto::icmp:
        case IpProto::icmpv6:
            if (icmp) decode_icmp(d, t);
            d.l4_checksum_ok = !icmp || checksum(l4, d.v6 ? pseudo : 0) == 0;
            break;
        default:
            d.l4_checksum_ok = true;
            break;
    }
    if (cut || d.more_fragments) d.l4_checksum_ok = true;  // the sum covers bytes that are not here
    if (t.ran_short() && !cut) d.error = "transport header short";
    d.payload = t.rest_as_text();
    if (icmp && is_icmp_error(d.icmp_type, d.v6)) d.quoted.assign(d.payload.begin(), d.payload.end());
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
    } else if (type == 0x0800 || type == 0x86dd) {
        d = decode_ip(bytes.subspan(l2));
        if (d.v6 != (type == 0x86dd)) d.error = "ip version";
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

std::string to_text(const IpAddress& a) {
    Bytes bytes;
    put_address(bytes, a, !a.is_v4());
    char text[INET6_ADDRSTRLEN];
    return inet_ntop(a.is_v4() ? AF_INET : AF_INET6, bytes.data(), text, sizeof text);
}

std::string to_text(const IpAddress& a, unsigned port) {
    return (a.is_v4() ? to_text(a) : '[' + to_text(a) + ']') + ':' + std::to_string(port);
}

std::string Decoded::text() const {
    std::string out;
    if (vlan) out += "vlan " + std::to_string(*vlan) + ' ';
    if (ether_type == 0x0806) return out + "arp";
    if (ether_type != 0x0800 && ether_type != 0x86dd) return out + "ether type " + std::to_string(ether_type);
    const bool ports = fragment_offset_bytes == 0 && (proto == 6 || proto == 17);
    out += (ports ? to_text(src, sport) : to_text(src)) + " > " + (ports ? to_text(dst, dport) : to_text(dst));
    for (const unsigned number : extensions)
        if (number != kFragmentHeader) out += " ext " + std::to_string(number);
    if (fragment_offset_bytes != 0 || more_fragments)
        out += " fragment " + std::to_string(fragment_offset_bytes) + (more_fragments ? "+" : "");
    const std::string type_and_code = std::to_string(icmp_type) + '/' + std::to_string(icmp_code);
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
    } else if (is_icmp(proto, v6)) {
        out += (v6 ? " icmpv6 " : " icmp ") + type_and_code;
        const bool too_big = v6 ? icmp_type == 2 : icmp_type == 3 && icmp_code == 4;
        if (!is_icmp_error(icmp_type, v6)) {
            out += " id " + std::to_string(icmp_id) + " seq " + std::to_string(icmp_seq);
        } else {
            if (too_big) out += " mtu " + std::to_string(mtu);
            out += " {" + decode_ip(quoted, true).text() + '}';
        }
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

}  // namespace sluice::test

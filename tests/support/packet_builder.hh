// Frames for tests: a fluent builder that writes correct packets unless told to break something, and a decoder that
// says what a frame holds, checksums included, so that assertions speak of packets and not of offsets.
//
//   auto frame = tcp(kClient, 40000, kServer, 80).flags(kSyn).seq(7).bytes();
//   CHECK(describe(frame) == "192.0.2.7:40000 > 203.0.113.9:80 tcp S seq 7 ttl 64");
//
// The addresses say of which family a packet is; the same words build and describe IPv6:
//
//   "[2001:db8::7]:40000 > [2001:db8:1::9]:80 tcp S seq 7 ttl 64"
//
// The decoder computes checksums by full summation and in its own code, so that it can judge the data plane's deltas.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <rte_mbuf.h>

#include "dataplane/base/ip_address.hh"
#include "dataplane/base/types.hh"

namespace sluice::test {

using Frame = std::vector<std::byte>;

inline constexpr std::uint8_t kFin = 1, kSyn = 2, kRst = 4, kPsh = 8, kAck = 16, kUrg = 32;

/// Locally administered MAC 02:00:00:00:00:nn.
constexpr MacAddress mac(unsigned nn) noexcept {
    return {{2, 0, 0, 0, 0, static_cast<std::uint8_t>(nn)}};
}
inline constexpr MacAddress kBroadcastMac{{255, 255, 255, 255, 255, 255}};

class PacketBuilder {
public:
    // --- Ethernet. Default: from mac(1) to mac(2), untagged.
    PacketBuilder& from(MacAddress m) { return set(src_mac_, m); }
    PacketBuilder& to(MacAddress m) { return set(dst_mac_, m); }
    PacketBuilder& vlan(unsigned id) { return set(vlan_, static_cast<std::uint16_t>(id)); }
    PacketBuilder& ether_type(unsigned type) {
        return set(ether_type_, std::optional(static_cast<std::uint16_t>(type)));
    }
    /// Zero bytes behind the packet until the frame has `bytes`, as Ethernet pads to 60.
    PacketBuilder& pad_to(std::size_t bytes) { return set(pad_to_, bytes); }
    /// Cuts the finished frame after `bytes`.
    PacketBuilder& cut_to(std::size_t bytes) { return set(cut_to_, bytes); }

    // --- IP. Default: TTL (hop limit) 64, id 0x1234 (of IPv6: fragments alone have one), DF clear.
    PacketBuilder& ttl(unsigned v) { return set(ttl_, static_cast<std::uint8_t>(v)); }
    PacketBuilder& tos(unsigned v) { return set(tos_, static_cast<std::uint8_t>(v)); }
    PacketBuilder& ip_id(std::uint32_t v) { return set(ip_id_, v); }
    PacketBuilder& dont_fragment(bool on = true) { return set(dont_fragment_, on); }
    /// A piece: `offset_bytes` is a multiple of 8. IPv6: adds a fragment header behind the extension headers so far,
    /// (0, false) too.
    PacketBuilder& fragment(unsigned offset_bytes, bool more);
    /// Appended as it is; the header is filled up with end-of-list bytes to a multiple of four.
    PacketBuilder& ip_option(std::span<const std::uint8_t> option);
    PacketBuilder& version(unsigned v) { return set(version_, std::optional(static_cast<std::uint8_t>(v))); }
    PacketBuilder& ihl(unsigned words) { return set(ihl_, static_cast<std::uint8_t>(words)); }
    PacketBuilder& total_length(unsigned bytes) { return set(total_length_, static_cast<std::uint16_t>(bytes)); }
    PacketBuilder& break_ip_checksum() { return set(break_ip_checksum_, true); }

    // --- IPv6
    /// An IPv6 header also round what looks like IPv4 addresses (::ffff:a.b.c.d).
    PacketBuilder& as_ip6() { return set(v6_, true); }
    PacketBuilder& flow_label(std::uint32_t v) { return set(flow_label_, v); }
    /// Extension header `number` behind those so far; `body` follows its first two bytes, zeros (Pad1) fill it up.
    PacketBuilder& extension(unsigned number, std::span<const std::uint8_t> body = {});
    PacketBuilder& hop_by_hop(std::span<const std::uint8_t> options = {}) { return extension(0, options); }
    PacketBuilder& destination_options(std::span<const std::uint8_t> options = {}) { return extension(60, options); }
    /// Routing header of `type` without addresses; all segments but `left` are behind it.
    PacketBuilder& routing(unsigned type, unsigned left = 0);
    /// What the last extension header's length field says instead of the truth.
    PacketBuilder& extension_length(unsigned value) { return set(extensions_.back().length_field, value & 0xffU); }

    // --- TCP. Default: ACK, seq 1000, ack 0, window 65535.
    PacketBuilder& flags(unsigned f) { return set(flags_, static_cast<std::uint8_t>(f)); }
    PacketBuilder& seq(std::uint32_t v) { return set(seq_, v); }
    PacketBuilder& ack(std::uint32_t v) { return set(ack_, v); }
    PacketBuilder& window(unsigned v) { return set(window_, static_cast<std::uint16_t>(v)); }
    PacketBuilder& tcp_option(std::span<const std::uint8_t> option);
    PacketBuilder& mss(unsigned v);
    PacketBuilder& sack(std::span<const std::pair<std::uint32_t, std::uint32_t>> blocks);
    PacketBuilder& data_offset(unsigned words) { return set(data_offset_, static_cast<std::uint8_t>(words)); }

    // --- UDP, ICMP
    PacketBuilder& udp_length(unsigned bytes) { return set(udp_length_, static_cast<std::uint16_t>(bytes)); }
    PacketBuilder& no_udp_checksum() { return set(no_udp_checksum_, true); }
    PacketBuilder& icmp_seq(unsigned v) { return set(icmp_seq_, static_cast<std::uint16_t>(v)); }

    // --- payload and transport checksum
    PacketBuilder& payload(std::string_view text);
    PacketBuilder& payload(std::span<const std::uint8_t> bytes);
    /// `bytes` bytes of a pattern that differs from place to place.
    PacketBuilder& payload_bytes(std::size_t bytes);
    PacketBuilder& break_checksum() { return set(break_checksum_, true); }

    /// The whole frame.
    [[nodiscard]] Frame bytes() const;
    /// From the network header on, as an ICMP error quotes it.
    [[nodiscard]] std::vector<std::uint8_t> ip_packet() const;
    /// A new mbuf that holds the frame, as device `device` would deliver it. Throws when the pool is empty.
    [[nodiscard]] rte_mbuf* mbuf(rte_mempool* pool, std::uint16_t device = 0) const;

private:
    friend PacketBuilder tcp(const IpAddress&, unsigned, const IpAddress&, unsigned);
    friend PacketBuilder udp(const IpAddress&, unsigned, const IpAddress&, unsigned);
    friend PacketBuilder icmp(const IpAddress&, const IpAddress&, unsigned, unsigned, std::uint32_t);
    friend PacketBuilder protocol(unsigned, const IpAddress&, const IpAddress&);
    friend PacketBuilder raw(unsigned, std::span<const std::uint8_t>);

    template <class T, class V>
    PacketBuilder& set(T& field, V value) {
        field = value;
        return *this;
    }
    [[nodiscard]] std::vector<std::uint8_t> transport() const;
    [[nodiscard]] std::vector<std::uint8_t> ip4_packet() const;
    [[nodiscard]] std::vector<std::uint8_t> ip6_packet() const;

    MacAddress src_mac_ = mac(1), dst_mac_ = mac(2);
    std::optional<std::uint16_t> vlan_;
    std::optional<std::uint16_t> ether_type_;  ///< none: that of the family
    std::size_t pad_to_ = 0;
    std::optional<std::size_t> cut_to_;
    bool raw_ = false;  ///< payload_ is everything behind the Ethernet header

    struct Extension {
        std::uint8_t number = 0;
        std::vector<std::uint8_t> body;            ///< behind the first two bytes
        std::optional<std::uint8_t> length_field;  ///< none: the truth
    };
    bool v6_ = false;
    IpAddress src_{Ip4{}}, dst_{Ip4{}};
    std::uint8_t proto_ = 0, ttl_ = 64, tos_ = 0;
    std::optional<std::uint8_t> version_;
    std::uint32_t ip_id_ = 0x1234, flow_label_ = 0;
    std::uint16_t fragment_ = 0;  ///< as in the IPv4 header
    std::vector<Extension> extensions_;
    bool dont_fragment_ = false, break_ip_checksum_ = false;
    std::vector<std::uint8_t> ip_options_;
    std::optional<std::uint8_t> ihl_;
    std::optional<std::uint16_t> total_length_;

    std::uint16_t sport_ = 0, dport_ = 0;
    std::uint8_t flags_ = kAck;
    std::uint32_t seq_ = 1000, ack_ = 0;
    std::uint16_t window_ = 65535;
    std::vector<std::uint8_t> tcp_options_;
    std::optional<std::uint8_t> data_offset_;
    std::optional<std::uint16_t> udp_length_;
    bool no_udp_checksum_ = false;
    std::uint8_t icmp_type_ = 0, icmp_code_ = 0;
    std::uint32_t icmp_rest_ = 0;
    std::optional<std::uint16_t> icmp_seq_;
    bool break_checksum_ = false;
    std::vector<std::uint8_t> payload_;
};

/// Both addresses are of one family.
PacketBuilder tcp(const IpAddress& src, unsigned sport, const IpAddress& dst, unsigned dport);
PacketBuilder udp(const IpAddress& src, unsigned sport, const IpAddress& dst, unsigned dport);
/// ICMP, or ICMPv6 between IPv6 addresses. `rest` is the second word of the header in host order (id and sequence; for
/// 3/4 the MTU in its low half, for ICMPv6's 2/0 the MTU).
PacketBuilder icmp(const IpAddress& src, const IpAddress& dst, unsigned type, unsigned code, std::uint32_t rest = 0);
PacketBuilder echo_request(const IpAddress& src, const IpAddress& dst, unsigned id, unsigned seq = 1);
PacketBuilder echo_reply(const IpAddress& src, const IpAddress& dst, unsigned id, unsigned seq = 1);
/// An ICMP or ICMPv6 error that quotes the IP header and the first `quote_bytes` behind it of `offending`.
PacketBuilder icmp_error(const IpAddress& src, const IpAddress& dst, unsigned type, unsigned code,
                         const PacketBuilder& offending, std::size_t quote_bytes = 8, std::uint32_t rest = 0);
/// IP with any protocol number; the payload follows the header directly.
PacketBuilder protocol(unsigned number, const IpAddress& src, const IpAddress& dst);
PacketBuilder arp_request(MacAddress sender_mac, Ip4 sender, Ip4 target);
PacketBuilder arp_reply(MacAddress sender_mac, Ip4 sender, MacAddress target_mac, Ip4 target);
/// Any EtherType, any bytes behind the Ethernet header.
PacketBuilder raw(unsigned ether_type, std::span<const std::uint8_t> bytes);

/// What a frame holds. Fields of headers that are not there keep their defaults.
struct Decoded {
    std::string error;  ///< why decoding stopped early; empty when all went well
    MacAddress eth_src, eth_dst;
    std::optional<std::uint16_t> vlan;
    std::uint16_t ether_type = 0;

    bool v6 = false;
    IpAddress src{}, dst{};
    std::uint8_t proto = 0, ttl = 0, tos = 0;  ///< of IPv6: of the transport header, hop limit, traffic class
    std::uint32_t ip_id = 0, flow_label = 0;
    std::uint16_t total_length = 0;  ///< of IPv6: with the header of 40 bytes
    std::uint16_t fragment_offset_bytes = 0;
    std::vector<std::uint8_t> extensions;  ///< IPv6: numbers of the headers between the IP and the transport header
    std::uint16_t l4_offset = 0;           ///< from the IP header on
    bool dont_fragment = false, more_fragments = false;
    std::vector<std::uint8_t> ip_options;

    std::uint16_t sport = 0, dport = 0;
    std::uint32_t seq = 0, ack = 0;
    std::uint8_t flags = 0;
    std::uint16_t window = 0;
    std::vector<std::uint8_t> tcp_options;
    std::vector<std::pair<std::uint32_t, std::uint32_t>> sack;
    std::uint16_t udp_checksum = 0;  ///< as in the packet; 0: the sender made none
    std::uint8_t icmp_type = 0, icmp_code = 0;
    std::uint16_t icmp_id = 0, icmp_seq = 0;
    std::uint32_t mtu = 0;
    std::vector<std::uint8_t> quoted;  ///< ICMP error: the packet that it quotes

    std::string payload;      ///< behind the transport header (or the IP header of other protocols)
    std::size_t padding = 0;  ///< bytes behind the packet
    bool ip_checksum_ok = false, l4_checksum_ok = false;

    [[nodiscard]] bool valid_checksums() const noexcept { return error.empty() && ip_checksum_ok && l4_checksum_ok; }
    [[nodiscard]] std::string text() const;
};

Decoded decode(std::span<const std::byte> frame);
/// A packet without a frame round it; a quotation may be cut short anywhere behind its IP header.
Decoded decode_ip(std::span<const std::uint8_t> packet, bool quotation = false);
/// True when the IPv4 header's checksum and the transport's are right (fragments: the header's alone). UDP over IPv6
/// must have one.
bool valid_checksums(std::span<const std::byte> frame);
/// One line: addresses, protocol, what matters of it, TTL; bad checksums are called out.
std::string describe(std::span<const std::byte> frame);

std::string to_text(const IpAddress& address);
/// "192.0.2.1:80", "[2001:db8::1]:80"
std::string to_text(const IpAddress& address, unsigned port);

/// Copy of an mbuf's bytes, all segments.
Frame frame_of(const rte_mbuf* m);
/// A new mbuf that holds `frame`. Throws when the pool is empty or the frame does not fit one buffer.
rte_mbuf* make_mbuf(rte_mempool* pool, std::span<const std::byte> frame, std::uint16_t device = 0);

}  // namespace sluice::test

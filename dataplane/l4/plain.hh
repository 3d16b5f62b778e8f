// What trackers begin with: Plain knows nothing but addresses, WithPorts has two ports in front of its header. A
// tracker inherits from one of them and says what it does otherwise.
#pragma once

#include "dataplane/flow/chain.hh"
#include "dataplane/l4/tracker.hh"

namespace sluice::l4 {

inline Be16 load16(const std::uint8_t* at) noexcept {
    Be16 v;
    std::memcpy(&v.raw, at, sizeof v.raw);
    return v;
}
inline Be32 load32(const std::uint8_t* at) noexcept {
    Be32 v;
    std::memcpy(&v.raw, at, sizeof v.raw);
    return v;
}

/// The sum of the pseudo header for `bytes` of the transport.
inline std::uint32_t pseudo_of(const Packet& p, unsigned bytes) noexcept {
    const auto length = static_cast<std::uint16_t>(bytes);
    if (p.v6) return pseudo_header_sum(p.source(), p.destination(), p.proto, length);
    return pseudo_header_sum(Ip4::from_raw(p.ip()->src_addr), Ip4::from_raw(p.ip()->dst_addr), p.proto, length);
}

/// Of a packet without a transport checksum.
[[gnu::noinline]] inline void fill_in_checksum(Packet& p, unsigned bytes, std::uint32_t pseudo,
                                               unsigned field) noexcept {
    std::memset(p.l4 + field, 0, 2);
    std::uint16_t sum = transport_checksum(p, bytes, pseudo);
    if (sum == 0) sum = 0xffff;
    std::memcpy(p.l4 + field, &sum, 2);
}

/// True when the checksum at `field` over `bytes` of the transport is right. A device that has seen to it is believed;
/// one that says "not filled in, but the data is sound" (a virtual NIC, from another guest) gets it filled in.
inline bool checksum_holds(Packet& p, unsigned bytes, std::uint32_t pseudo, unsigned field) noexcept {
    rte_mbuf* m = p.mbuf;
    const std::uint64_t said = m->ol_flags & RTE_MBUF_F_RX_L4_CKSUM_MASK;
    if (said == RTE_MBUF_F_RX_L4_CKSUM_GOOD) return true;
    if (said == RTE_MBUF_F_RX_L4_CKSUM_NONE) [[unlikely]] {
        fill_in_checksum(p, bytes, pseudo, field);
    } else if (transport_checksum(p, bytes, pseudo) != 0) {
        return false;
    }
    m->ol_flags = (m->ol_flags & ~RTE_MBUF_F_RX_L4_CKSUM_MASK) | RTE_MBUF_F_RX_L4_CKSUM_GOOD;
    return true;
}

/// The packet is INVALID as it stands: it names no flow.
inline std::optional<DropReason> names_no_flow(Packet& p, InvalidReason reason) noexcept {
    p.trackable = false;
    p.invalid_reason = reason;
    return std::nullopt;
}

struct Plain {
    static constexpr std::array<std::string_view, 0> kStates{};

    static std::optional<DropReason> parse(Packet& p, std::uint16_t zone) noexcept {
        p.key = generic_key(p.proto, p.source(), p.destination(), zone);
        return std::nullopt;
    }
    static bool quoted(std::span<const std::uint8_t>, FlowKey&) noexcept { return true; }
    static Admission admit(const Packet&, const TrackRules&) noexcept { return {.admit = true}; }
    static void rewrite(Packet&, const RewritePlan&) noexcept {}
    static void rewrite_quote(QuoteBytes&, std::size_t, const RewritePlan&, const SeqAdjust*) noexcept {}
    static Listed list(const FlowHot&) noexcept { return {}; }
    static bool is_closing(const FlowHot&) noexcept { return false; }
};

struct WithPorts : Plain {
    static constexpr unsigned kPorts = 4;

    static void set_key(Packet& p, std::uint16_t zone) noexcept {
        if (p.v6) [[unlikely]]
            return set_ip6_key(p, zone);
        p.key.set_ip4(&p.ip()->src_addr, p.l4, p.proto, zone);
    }
    static void set_ip6_key(Packet& p, std::uint16_t zone) noexcept {
        p.key = generic_key(p.proto, p.source(), p.destination(), zone);
        p.key.sport = load16(p.l4);
        p.key.dport = load16(p.l4 + 2);
    }
    static bool quoted(std::span<const std::uint8_t> behind, FlowKey& key) noexcept {
        if (behind.size() < kPorts) return false;
        key.sport = load16(&behind[0]);
        key.dport = load16(&behind[2]);
        return true;
    }
    /// Of a quote, whose packet went the other way.
    static void swap_ports(QuoteBytes& quote, std::size_t at, const RewritePlan& plan) noexcept {
        quote.put(at, plan.dport);
        quote.put(at + 2, plan.sport);
    }
};

}  // namespace sluice::l4

#include "dataplane/translate/icmp_inner.hh"

#include <cstring>
#include <span>

namespace sluice {

namespace {

/// Bytes under the error's checksum: whatever is written into them is remembered as what it adds to that.
class Quote {
public:
    explicit Quote(std::span<std::uint8_t> bytes) noexcept : bytes_(bytes) {}

    template <class Big>
    [[nodiscard]] Big get(std::size_t at) const noexcept {
        Big v;
        std::memcpy(&v.raw, &bytes_[at], sizeof v.raw);
        return v;
    }
    template <class Big>
    void put(std::size_t at, Big value) noexcept {
        added_.replace(get<Big>(at), value);
        std::memcpy(&bytes_[at], &value.raw, sizeof value.raw);
    }
    /// Corrects the checksum at `at`.
    void correct(std::size_t at, ChecksumDelta delta) noexcept {
        put(at, Be16::from_raw(delta.apply(get<Be16>(at).raw)));
    }
    /// Of UDP: 0 says that there is none (RFC 768).
    void correct_udp(std::size_t at, ChecksumDelta delta) noexcept {
        const std::uint16_t old = get<Be16>(at).raw;
        if (old == 0) return;
        const std::uint16_t sum = delta.apply(old);
        put(at, Be16::from_raw(sum != 0 ? sum : std::uint16_t{0xffff}));
    }
    [[nodiscard]] bool has(std::size_t bytes) const noexcept { return bytes_.size() >= bytes; }
    [[nodiscard]] std::uint8_t operator[](std::size_t at) const noexcept { return bytes_[at]; }
    [[nodiscard]] ChecksumDelta added() const noexcept { return added_; }

private:
    std::span<std::uint8_t> bytes_;
    ChecksumDelta added_;
};

/// The transport header of the quoted packet, at `l4`: its kind and the first bytes were proven by ingress/quote.
void rewrite_transport(Quote& quote, std::size_t l4, L4Kind kind, const RewritePlan& plan,
                       const SeqAdjust* shift) noexcept {
    constexpr std::size_t kSequence = 4, kTcpChecksum = 16, kUdpChecksum = 6, kIcmpChecksum = 2, kIdentifier = 4;
    ChecksumDelta delta = plan.l4;
    switch (kind) {
        case L4Kind::tcp:
            quote.put(l4, plan.dport);
            quote.put(l4 + 2, plan.sport);
            if (shift != nullptr && quote.has(l4 + kSequence + 4)) {
                const auto seen = quote.get<Be32>(l4 + kSequence);
                const auto sent = Be32::from_host(shift->adjust_ack(seen.host()));  // back into the sender's numbers
                delta.replace(seen, sent);
                quote.put(l4 + kSequence, sent);
            }
            if (quote.has(l4 + kTcpChecksum + 2)) quote.correct(l4 + kTcpChecksum, delta);
            break;
        case L4Kind::udp:
            quote.put(l4, plan.dport);
            quote.put(l4 + 2, plan.sport);
            if (quote.has(l4 + kUdpChecksum + 2)) quote.correct_udp(l4 + kUdpChecksum, delta);
            break;
        case L4Kind::icmp:
            quote.put(l4 + kIdentifier, plan.sport);  // the same in both directions
            quote.correct(l4 + kIcmpChecksum, delta);
            break;
        case L4Kind::generic:
            break;
    }
}

}  // namespace

void rewrite_error(Packet& p, const RewritePlan& plan, bool replaces_source, const SeqAdjust* shift) noexcept {
    constexpr std::size_t kChecksum = 10, kSource = 12, kDestination = 16;
    Quote quote(p.payload());
    quote.put(kSource, plan.dst);
    quote.put(kDestination, plan.src);
    quote.correct(kChecksum, plan.l3);
    rewrite_transport(quote, (quote[0] & 0xfU) * 4U, p.key.kind(), plan, shift);
    rte_icmp_hdr* icmp = p.icmp();
    icmp->icmp_cksum = quote.added().apply(icmp->icmp_cksum);

    rte_ipv4_hdr* ip = p.ip();
    ChecksumDelta outer;
    outer.replace(Ip4::from_raw(ip->dst_addr), plan.dst);
    ip->dst_addr = plan.dst.raw;
    if (replaces_source) {
        outer.replace(Ip4::from_raw(ip->src_addr), plan.src);
        ip->src_addr = plan.src.raw;
    }
    ip->hdr_checksum = outer.apply(ip->hdr_checksum);
    // What a device said of the checksums was about the packet that it received.
    p.mbuf->ol_flags &= ~(RTE_MBUF_F_RX_IP_CKSUM_MASK | RTE_MBUF_F_RX_L4_CKSUM_MASK);
}

}  // namespace sluice

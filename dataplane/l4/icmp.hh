// ICMP queries (RFC 792, 950), and the errors that name the flow of the packet they quote. Only a question may open a
// flow; every packet keeps it alive, and it never becomes ASSURED (nf_conntrack_proto_icmp.c).
#pragma once

#include "dataplane/l4/plain.hh"

namespace sluice::l4 {

template <bool kV6>
struct IcmpOf : Plain {
    /// Proves the header. Of an error, ingress reads the quote behind it.
    static std::optional<DropReason> parse(Packet& p, std::uint16_t zone) noexcept {
        constexpr unsigned kHeader = 8, kQuotedHeaders = kV6 ? 512 : 60 + 60;
        if (!pull(p, kHeader)) return DropReason::l4_short;
        if (is_icmp_error(p.icmp()->icmp_type, kV6))
            static_cast<void>(pull(p, std::min<unsigned>(p.l4_bytes, kHeader + kQuotedHeaders)));
        if (!checksum_holds(p, p.l4_bytes, kV6 ? pseudo_of(p, p.l4_bytes) : 0, 2)) return DropReason::icmp_checksum;
        p.payload_offset = kHeader;
        const std::uint8_t type = p.icmp()->icmp_type;
        p.icmp_error = is_icmp_error(type, kV6);
        if (p.icmp_error) return std::nullopt;
        if (!icmp_inverse(type, kV6)) return names_no_flow(p, InvalidReason::icmp_type);
        p.key = icmp_key(p.source(), p.destination(), type, p.icmp()->icmp_code, Be16::from_raw(p.icmp()->icmp_ident),
                         zone);
        return std::nullopt;
    }

    static bool quoted(std::span<const std::uint8_t> behind, FlowKey& key) noexcept {
        constexpr unsigned kQuery = 8, kIdentifier = 4;
        if (behind.size() < kQuery || !icmp_inverse(behind[0], kV6)) return false;
        key.sport = load16(&behind[kIdentifier]);
        key.dport = load16(&behind[0]);
        return true;
    }

    static Admission admit(const Packet& p, const TrackRules&) noexcept {
        if (!icmp_is_request(p.icmp()->icmp_type, kV6)) return Admission::refuse(InvalidReason::icmp_no_request);
        return {.admit = true};
    }

    static std::uint32_t begin(FlowHot&, const Packet&, const TrackRules& rules) noexcept { return timeout(rules); }

    static Followed follow(FlowHot&, Packet&, const TrackRules& rules, Now) noexcept {
        return {.timeout_s = timeout(rules)};
    }

    static void rewrite(Packet& p, const RewritePlan& plan) noexcept {
        rte_icmp_hdr* icmp = p.icmp();  // IPv4 has no pseudo header here: the identifier alone counts (RFC 792)
        icmp->icmp_ident = plan.sport.raw;
        icmp->icmp_cksum = plan.l4.apply(icmp->icmp_cksum);
        // An update cannot tell a sum of nothing but zeros (RFC 1624, section 3): an echo reply of id and sequence zero
        // may be that, and for it all ones are right. They are for every other sum of zero, too.
        if (!kV6 && icmp->icmp_cksum == 0 && icmp->icmp_type == 0 && icmp->icmp_ident == 0) icmp->icmp_cksum = 0xffff;
    }

    static void rewrite_quote(QuoteBytes& quote, std::size_t at, const RewritePlan& plan, const SeqAdjust*) noexcept {
        constexpr std::size_t kChecksum = 2, kIdentifier = 4;
        quote.put(at + kIdentifier, plan.sport);  // the same in both directions
        quote.correct(at + kChecksum, plan.l4);
    }

private:
    static std::uint32_t timeout(const TrackRules& rules) noexcept {
        return kV6 ? rules.timeouts.icmpv6 : rules.timeouts.icmp;
    }
};

using Icmp = IcmpOf<false>;
using Icmpv6 = IcmpOf<true>;

}  // namespace sluice::l4

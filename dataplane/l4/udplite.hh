// UDP-Lite (RFC 3828): UDP whose length field says how much of the packet the checksum covers, at least the header, 0
// for all of it. Tracked as UDP, with timeouts of its own. A wrong coverage or checksum, or none, is INVALID
// (nf_conntrack_proto_udp.c, udplite_error()).
#pragma once

#include "dataplane/l4/udp.hh"

namespace sluice::l4 {

struct UdpLite : Udp {
    static std::optional<DropReason> parse(Packet& p, std::uint16_t zone) noexcept {
        constexpr unsigned kHeader = 8;
        if (!pull(p, kHeader)) return DropReason::l4_short;
        p.payload_offset = kHeader;
        const unsigned said = Be16::from_raw(p.udp()->dgram_len).host();
        const unsigned covered = said == 0 ? p.l4_bytes : said;
        if (covered < kHeader || covered > p.l4_bytes) return names_no_flow(p, InvalidReason::udplite_coverage);
        // The pseudo header tells the length of the packet, not of what is covered (RFC 3828, 3.1).
        if (p.udp()->dgram_cksum == 0 || transport_checksum(p, covered, pseudo_of(p, p.l4_bytes)) != 0)
            return names_no_flow(p, InvalidReason::udplite_checksum);
        set_key(p, zone);
        return std::nullopt;
    }

    static std::uint32_t begin(FlowHot&, const Packet&, const TrackRules& rules) noexcept {
        return rules.timeouts.udplite;
    }
    static Followed follow(FlowHot& flow, Packet&, const TrackRules& rules, Now now) noexcept {
        return in_stages(flow, rules.timeouts.udplite, rules.timeouts.udplite_stream, now);
    }
};

}  // namespace sluice::l4

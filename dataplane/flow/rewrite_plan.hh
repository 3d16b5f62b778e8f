// How the packets of one direction of a flow are rewritten: new addresses and ports, and the checksum deltas that go
// with them, computed once when the flow is made and applied blindly to every packet (translate/rewrite). Of IPv6
// addresses the upper 96 bits do not fit the flow's hot lines: they are the other direction's key's
// (FlowStore::target).
#pragma once

#include "dataplane/base/checksum.hh"
#include "dataplane/base/types.hh"
#include "dataplane/flow/flow_key.hh"

namespace sluice {

/// Where a packet comes from and goes to.
struct Ends {
    IpAddress src, dst;
};

struct RewritePlan {
    Be32 src_low{}, dst_low{};
    Be16 sport{}, dport{};    // ICMP query: `sport` is the new identifier
    ChecksumDelta l3{};       // addresses: the IPv4 header's
    ChecksumDelta l4{};       // ports: addresses (pseudo header) and ports. ICMP: the identifier alone; ICMPv6: both
    std::uint8_t active = 0;  // 0: nothing to rewrite
    std::uint8_t unused[3]{};

    /// The plan that turns packets with tuple `from` into packets with tuple `to` (same protocol and family).
    static RewritePlan between(const FlowKey& from, const FlowKey& to) noexcept {
        RewritePlan p;
        p.src_low = to.src_low;
        p.dst_low = to.dst_low;
        p.sport = to.sport;
        p.dport = to.dport;
        p.l3.replace(from.src_low, to.src_low);
        p.l3.replace(from.dst_low, to.dst_low);
        if (from.is_v6()) {
            for (unsigned i = 0; i < from.src_high.size(); ++i) {
                p.l3.replace(Be32::from_raw(from.src_high[i]), Be32::from_raw(to.src_high[i]));
                p.l3.replace(Be32::from_raw(from.dst_high[i]), Be32::from_raw(to.dst_high[i]));
            }
        }
        switch (from.shape()) {
            case TupleShape::ports:
                p.l4 = p.l3;
                p.l4.replace(from.sport, to.sport);
                p.l4.replace(from.dport, to.dport);
                break;
            case TupleShape::query:
                if (from.is_v6()) p.l4 = p.l3;  // ICMPv6 has a pseudo header (RFC 4443 2.3)
                p.l4.replace(from.sport, to.sport);
                break;
            case TupleShape::spi:  // of the two directions nothing but the addresses is comparable
                p.sport = from.sport;
                p.dport = from.dport;
                break;
            case TupleShape::keys:
            case TupleShape::addresses:
                break;
        }
        p.active = from.src() != to.src() || from.dst() != to.dst() || from.sport != p.sport || from.dport != p.dport;
        return p;
    }
    /// The plan of the answers, when this one is of the packets with tuple `original`: answers come with tuple `reply`.
    [[nodiscard]] RewritePlan of_answers(const FlowKey& original, const FlowKey& reply) const noexcept {
        const FlowKey to = invert(original);
        const bool keeps_spis = original.shape() == TupleShape::spi;
        RewritePlan p;
        p.src_low = to.src_low;
        p.dst_low = to.dst_low;
        p.sport = keeps_spis ? reply.sport : to.sport;
        p.dport = keeps_spis ? reply.dport : to.dport;
        p.l3 = l3.inverse();
        p.l4 = l4.inverse();
        p.active = active;
        return p;
    }
};
static_assert(sizeof(RewritePlan) == 20);

}  // namespace sluice

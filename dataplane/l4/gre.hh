// GRE (RFC 2784, 2890), as nf_conntrack_proto_gre.c: told apart by the addresses alone, whatever key a packet carries;
// version 1 (RFC 2637, PPTP) by its call id, which only its receiver has given out. So the two directions of a PPTP
// tunnel are two flows, as in Linux without its helper. Keys are not translated.
//
// Answered, the flow gets the longer timeout, and ASSURED with the first packet after the answer. A flow keeps the
// timeouts that it began with, and /proc shows them.
#pragma once

#include "dataplane/l4/plain.hh"

namespace sluice::l4 {

struct Gre : Plain {
    struct Memory {
        std::uint32_t timeout_s, stream_timeout_s;
    };

    static std::optional<DropReason> parse(Packet& p, std::uint16_t zone) noexcept {
        constexpr unsigned kEnhanced = 8;
        p.key = generic_key(p.proto, p.source(), p.destination(), zone);
        static_cast<void>(pull(p, std::min<unsigned>(p.l4_bytes, kEnhanced)));
        if (!quoted({p.l4, std::min<std::size_t>(p.l4_bytes, p.contiguous())}, p.key)) {
            p.key = {};
            return names_no_flow(p, InvalidReason::gre_protocol);
        }
        return std::nullopt;
    }

    /// The header itself and a quoted one are read alike.
    static bool quoted(std::span<const std::uint8_t> header, FlowKey& key) noexcept {
        constexpr unsigned kBase = 4, kCallId = 6, kEnhanced = 8;
        constexpr std::uint16_t kVersion = 0x0007, kPptp = 1, kPpp = 0x880b;
        if (header.size() < kBase || (load16(&header[0]).host() & kVersion) != kPptp) return true;
        if (header.size() < kEnhanced) return true;
        if (load16(&header[2]).host() != kPpp) return false;
        key.dport = load16(&header[kCallId]);
        return true;
    }

    static std::uint32_t begin(FlowHot& flow, const Packet&, const TrackRules& rules) noexcept {
        flow.remember(Memory{rules.timeouts.gre, rules.timeouts.gre_stream});
        return rules.timeouts.gre;
    }

    static Followed follow(FlowHot& flow, Packet&, const TrackRules&, Now) noexcept {
        const auto memory = flow.memory<Memory>();
        if (!flow.has(status::kSeenReply)) return {.timeout_s = memory.timeout_s};
        return {.timeout_s = memory.stream_timeout_s, .status = status::kAssured};
    }

    static Listed list(const FlowHot& flow) noexcept {
        const auto memory = flow.memory<Memory>();
        return {0, {memory.timeout_s, memory.stream_timeout_s}};
    }
};

}  // namespace sluice::l4

// ESP (RFC 4303), told apart by its SPI. An SPI is chosen by who receives, so the two directions of a tunnel have SPIs
// that nothing on the wire connects. They are paired as well as can be known: a flow that nobody has answered waits,
// under one of kWaitingPlaces reply keys whose SPI is none, and the first packet between the same two peers, the other
// way, whose SPI is not known is taken for the answer to the one that waits longest (FlowStore::find_waiting).
//
// Every packet keeps the flow alive; the first packet after an answer makes it ASSURED. An SPI is never translated.
// Linux has no tracker for ESP; docs/differences.md says what follows.
#pragma once

#include "dataplane/l4/plain.hh"

namespace sluice::l4 {

struct Esp : Plain {
    static std::optional<DropReason> parse(Packet& p, std::uint16_t zone) noexcept {
        constexpr unsigned kHeader = 8;
        constexpr std::uint32_t kReserved = 255;  // RFC 4303, 2.1: no SPI that is on a wire
        if (!pull(p, kHeader)) return DropReason::l4_short;
        if (load32(p.l4).host() <= kReserved) return names_no_flow(p, InvalidReason::esp_spi);
        p.key = generic_key(p.proto, p.source(), p.destination(), zone);
        (void)quoted({p.l4, kHeader}, p.key);
        return std::nullopt;
    }
    static bool quoted(std::span<const std::uint8_t> header, FlowKey& key) noexcept {
        constexpr unsigned kSpi = 4;
        if (header.size() < kSpi) return false;
        key.sport = load16(&header[0]);
        key.dport = load16(&header[2]);
        return true;
    }
    static std::uint32_t begin(FlowHot&, const Packet&, const TrackRules& rules) noexcept { return rules.timeouts.esp; }
    static Followed follow(FlowHot& flow, Packet&, const TrackRules& rules, Now) noexcept {
        return {.timeout_s = rules.timeouts.esp,
                .status = flow.has(status::kSeenReply) ? status::kAssured : std::uint8_t{0}};
    }
};

}  // namespace sluice::l4

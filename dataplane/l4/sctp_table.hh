// The SCTP transition table of Linux conntrack (nf_conntrack_proto_sctp.c, as of 6.18): direction × chunk × state →
// state. Names are those of RFC 9260, seen from the middle:
//
//   NONE ──INIT──► CLOSED ──INIT ACK (reply)──► COOKIE_WAIT ──COOKIE ECHO──► COOKIE_ECHOED ──COOKIE ACK──► ESTABLISHED
//   ESTABLISHED ──SHUTDOWN──► SHUTDOWN_SENT (by the opener) or SHUTDOWN_RECD (by its peer)
//      ──SHUTDOWN ACK──► SHUTDOWN_ACK_SENT ──SHUTDOWN COMPLETE──► CLOSED
//   NONE ──HEARTBEAT──► HEARTBEAT_SENT ──HEARTBEAT ACK (reply)──► ESTABLISHED   another path of an association
//   any state ──ABORT──► CLOSED
//
// A chunk that is not in the table (DATA, SACK and the like) leaves the state as it is.
//
// Pure constants; any thread.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>

#include "dataplane/base/types.hh"
#include "dataplane/flow/timeouts.hh"

namespace sluice::l4 {

/// What was seen of an association. Values index tables and timeouts.
enum class SctpState : std::uint8_t {
    none,
    closed,
    cookie_wait,
    cookie_echoed,
    established,
    shutdown_sent,
    shutdown_recd,
    shutdown_ack_sent,
    heartbeat_sent,
};
inline constexpr std::size_t kSctpStateCount = 9;
static_assert(kSctpStateCount == std::tuple_size_v<decltype(Timeouts::sctp)>);

inline constexpr std::array<std::string_view, kSctpStateCount> kSctpStateNames{
    "NONE",          "CLOSED",        "COOKIE_WAIT",       "COOKIE_ECHOED", "ESTABLISHED",
    "SHUTDOWN_SENT", "SHUTDOWN_RECD", "SHUTDOWN_ACK_SENT", "HEARTBEAT_SENT"};

/// Chunk types (RFC 9260, 3.2).
namespace sctp_chunk {
inline constexpr std::uint8_t kData = 0;
inline constexpr std::uint8_t kInit = 1;
inline constexpr std::uint8_t kInitAck = 2;
inline constexpr std::uint8_t kHeartbeat = 4;
inline constexpr std::uint8_t kHeartbeatAck = 5;
inline constexpr std::uint8_t kAbort = 6;
inline constexpr std::uint8_t kShutdown = 7;
inline constexpr std::uint8_t kShutdownAck = 8;
inline constexpr std::uint8_t kError = 9;
inline constexpr std::uint8_t kCookieEcho = 10;
inline constexpr std::uint8_t kCookieAck = 11;
inline constexpr std::uint8_t kShutdownComplete = 14;
}  // namespace sctp_chunk

namespace detail {

using SctpRow = std::array<SctpState, kSctpStateCount>;
using SctpTable = std::array<std::array<SctpRow, 16>, 2>;

/// In the place of a state that no packet may lead to. No flow is ever in NONE.
inline constexpr SctpState kSctpInvalid = SctpState::none;

constexpr SctpTable make_sctp_table() noexcept {
    constexpr auto IV = kSctpInvalid;
    constexpr auto CL = SctpState::closed, CW = SctpState::cookie_wait, CE = SctpState::cookie_echoed;
    constexpr auto ES = SctpState::established, SS = SctpState::shutdown_sent, SR = SctpState::shutdown_recd;
    constexpr auto SA = SctpState::shutdown_ack_sent, HS = SctpState::heartbeat_sent;

    SctpTable table{};
    auto& original = table[index_of(Direction::original)];
    auto& reply = table[index_of(Direction::reply)];
    // clang-format off
    // Chunks that change nothing. They open nothing either.
    for (auto& half : table)
        for (auto& row : half) row               = {IV, CL, CW, CE, ES, SS, SR, SA, HS};
    // now:                                        NONE CL  CW  CE  ES  SS  SR  SA  HS
    original[sctp_chunk::kInit]                  = {CL, CL, CW, CE, ES, CL, CL, SA, CW};
    original[sctp_chunk::kInitAck]               = {CL, CL, CW, CE, ES, SS, SR, SA, CL};
    original[sctp_chunk::kAbort]                 = {CL, CL, CL, CL, CL, CL, CL, CL, CL};
    original[sctp_chunk::kShutdown]              = {CL, CL, CW, CE, SS, SS, SR, SA, CL};
    original[sctp_chunk::kShutdownAck]           = {SA, CL, CW, CE, ES, SA, SA, SA, SA};
    original[sctp_chunk::kError]                 = {CL, CL, CW, CE, ES, SS, SR, SA, CL};
    original[sctp_chunk::kCookieEcho]            = {CL, CL, CE, CE, ES, SS, SR, SA, CL};
    original[sctp_chunk::kCookieAck]             = {CL, CL, CW, ES, ES, SS, SR, SA, CL};
    original[sctp_chunk::kShutdownComplete]      = {CL, CL, CW, CE, ES, SS, SR, CL, CL};
    original[sctp_chunk::kHeartbeat]             = {HS, CL, CW, CE, ES, SS, SR, SA, HS};
    original[sctp_chunk::kHeartbeatAck]          = {CL, CL, CW, CE, ES, SS, SR, SA, HS};

    reply[sctp_chunk::kInit]                     = {IV, CL, CW, CE, ES, SS, SR, SA, IV};
    reply[sctp_chunk::kInitAck]                  = {IV, CW, CW, CE, ES, SS, SR, SA, IV};
    reply[sctp_chunk::kAbort]                    = {IV, CL, CL, CL, CL, CL, CL, CL, IV};
    reply[sctp_chunk::kShutdown]                 = {IV, CL, CW, CE, SR, SS, SR, SA, IV};
    reply[sctp_chunk::kShutdownAck]              = {IV, CL, CW, CE, ES, SA, SA, SA, IV};
    reply[sctp_chunk::kError]                    = {IV, CL, CW, CL, ES, SS, SR, SA, IV};
    reply[sctp_chunk::kCookieEcho]               = {IV, CL, CE, CE, ES, SS, SR, SA, IV};
    reply[sctp_chunk::kCookieAck]                = {IV, CL, CW, ES, ES, SS, SR, SA, IV};
    reply[sctp_chunk::kShutdownComplete]         = {IV, CL, CW, CE, ES, SS, SR, CL, IV};
    reply[sctp_chunk::kHeartbeat]                = {IV, CL, CW, CE, ES, SS, SR, SA, HS};
    reply[sctp_chunk::kHeartbeatAck]             = {IV, CL, CW, CE, ES, SS, SR, SA, ES};
    // clang-format on
    return table;
}

inline constexpr SctpTable kSctpTable = make_sctp_table();

}  // namespace detail

/// The table; nothing for a chunk that cannot come in this state. NONE is the state of a flow that does not exist yet.
constexpr std::optional<SctpState> sctp_transition(Direction direction, std::uint8_t chunk, SctpState now) noexcept {
    const std::uint8_t row = chunk < 16 ? chunk : sctp_chunk::kData;
    const SctpState next = detail::kSctpTable[index_of(direction)][row][static_cast<std::size_t>(now)];
    if (next == detail::kSctpInvalid) return std::nullopt;
    return next;
}

}  // namespace sluice::l4

// The TCP transition table of Linux conntrack (nf_conntrack_proto_tcp.c, as of 6.1): direction × flags × state → state.
//
//   NONE ──SYN──► SYN_SENT ──SYN/ACK (reply)──► SYN_RECV ──ACK──► ESTABLISHED
//    │               └──SYN (reply)──► SYN_SENT2 ──SYN/ACK──► SYN_RECV       │ FIN (either)
//    └──ACK (loose pickup)──► ESTABLISHED                                    ▼
//   TIME_WAIT ◄──ACK── LAST_ACK ◄──FIN── CLOSE_WAIT ◄──ACK── FIN_WAIT ──FIN──► LAST_ACK
//   any state but NONE ──RST──► CLOSE;  TIME_WAIT, CLOSE ──SYN──► SYN_SENT (reopened, RFC 1122 4.2.2.13)
//
// We stand in the middle: packets that we saw may be lost behind us, so a state says what was *seen*, not what either
// end believes. Two answers are no states: `invalid` (cannot belong to the flow) and `ignore` (may be right, and the
// receiver will answer with what clears it up: let it pass, change nothing).
//
// The table alone decides nothing about sequence numbers, challenge ACKs (RFC 5961) or RSTs; tcp_fsm and tcp_window in
// track/ sit on top of it. A cell that nobody filled is zero and means invalid.
//
// Pure constants; any thread.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "dataplane/base/types.hh"

namespace sluice {

/// What was seen of a connection. Values index tables and timeouts.
enum class TcpState : std::uint8_t {
    none,
    syn_sent,
    syn_recv,
    established,
    fin_wait,
    close_wait,
    last_ack,
    time_wait,
    close,
    syn_sent2,
};
inline constexpr std::size_t kTcpStateCount = 10;

/// As `conntrack -L` prints them.
inline constexpr std::array<std::string_view, kTcpStateCount> kTcpStateNames{
    "NONE",       "SYN_SENT", "SYN_RECV",  "ESTABLISHED", "FIN_WAIT",
    "CLOSE_WAIT", "LAST_ACK", "TIME_WAIT", "CLOSE",       "SYN_SENT2"};
constexpr std::string_view name_of(TcpState state) noexcept {
    return kTcpStateNames[static_cast<std::size_t>(state)];
}

/// The flags byte of a TCP header (RFC 9293, 3.1).
namespace tcp_flag {
inline constexpr std::uint8_t kFin = 0x01;
inline constexpr std::uint8_t kSyn = 0x02;
inline constexpr std::uint8_t kRst = 0x04;
inline constexpr std::uint8_t kPsh = 0x08;
inline constexpr std::uint8_t kAck = 0x10;
inline constexpr std::uint8_t kUrg = 0x20;
inline constexpr std::uint8_t kEce = 0x40;
inline constexpr std::uint8_t kCwr = 0x80;
}  // namespace tcp_flag

/// What a segment is to the table.
enum class TcpFlagClass : std::uint8_t { syn, syn_ack, fin, ack, rst, none };
inline constexpr std::size_t kTcpFlagClassCount = 6;

/// RST wins over SYN, SYN (with or without ACK) over FIN, FIN over ACK.
constexpr TcpFlagClass tcp_flag_class(std::uint8_t flags) noexcept {
    if ((flags & tcp_flag::kRst) != 0) return TcpFlagClass::rst;
    if ((flags & tcp_flag::kSyn) != 0) return (flags & tcp_flag::kAck) != 0 ? TcpFlagClass::syn_ack : TcpFlagClass::syn;
    if ((flags & tcp_flag::kFin) != 0) return TcpFlagClass::fin;
    if ((flags & tcp_flag::kAck) != 0) return TcpFlagClass::ack;
    return TcpFlagClass::none;
}

/// False for combinations that no stack sends (scanners do): such a packet is INVALID. PSH, ECE and CWR do not matter.
constexpr bool tcp_flags_legal(std::uint8_t flags) noexcept {
    using namespace tcp_flag;
    switch (flags & (kFin | kSyn | kRst | kAck | kUrg)) {
        case kSyn:
        case kSyn | kUrg:
        case kSyn | kAck:
        case kRst:
        case kRst | kAck:
        case kFin | kAck:
        case kFin | kAck | kUrg:
        case kAck:
        case kAck | kUrg:
            return true;
        default:
            return false;
    }
}

/// One cell of the table: invalid, ignore, or the state to go to.
class TcpTransition {
public:
    constexpr TcpTransition() noexcept = default;  ///< invalid
    constexpr explicit(false) TcpTransition(TcpState next) noexcept
        : raw_(static_cast<std::uint8_t>(static_cast<unsigned>(next) + 1U)) {}
    static constexpr TcpTransition ignore() noexcept {
        TcpTransition cell;
        cell.raw_ = kIgnore;
        return cell;
    }

    [[nodiscard]] constexpr bool is_invalid() const noexcept { return raw_ == kInvalid; }
    [[nodiscard]] constexpr bool is_ignore() const noexcept { return raw_ == kIgnore; }
    [[nodiscard]] constexpr bool moves() const noexcept { return raw_ != kInvalid && raw_ != kIgnore; }
    /// Only when moves().
    [[nodiscard]] constexpr TcpState next() const noexcept { return static_cast<TcpState>(raw_ - 1U); }

    friend constexpr bool operator==(TcpTransition, TcpTransition) = default;

private:
    static constexpr std::uint8_t kInvalid = 0;
    static constexpr std::uint8_t kIgnore = 255;
    std::uint8_t raw_ = kInvalid;
};
static_assert(sizeof(TcpTransition) == 1);

namespace detail {

using TcpTable = std::array<std::array<std::array<TcpTransition, kTcpStateCount>, kTcpFlagClassCount>, 2>;

constexpr TcpTable make_tcp_table() noexcept {
    constexpr TcpTransition IV{};
    constexpr TcpTransition IG = TcpTransition::ignore();
    constexpr TcpTransition SS = TcpState::syn_sent, SR = TcpState::syn_recv, ES = TcpState::established;
    constexpr TcpTransition FW = TcpState::fin_wait, CW = TcpState::close_wait, LA = TcpState::last_ack;
    constexpr TcpTransition TW = TcpState::time_wait, CL = TcpState::close, S2 = TcpState::syn_sent2;

    TcpTable table{};
    auto& original = table[index_of(Direction::original)];
    auto& reply = table[index_of(Direction::reply)];
    const auto row = [](auto& half, TcpFlagClass flags) -> auto& {
        return half[static_cast<std::size_t>(flags)];
    };
    // clang-format off
    // now:                              NONE SYNS SYNR EST  FINW CLOW LACK TIMW CLOS SYN2
    row(original, TcpFlagClass::syn)     = {SS,  SS,  IG,  IG,  IG,  IG,  IG,  SS,  SS,  S2};
    row(original, TcpFlagClass::syn_ack) = {IV,  IV,  SR,  IV,  IV,  IV,  IV,  IV,  IV,  SR};
    row(original, TcpFlagClass::fin)     = {IV,  IV,  FW,  FW,  LA,  LA,  LA,  TW,  CL,  IV};
    row(original, TcpFlagClass::ack)     = {ES,  IV,  ES,  ES,  CW,  CW,  TW,  TW,  CL,  IV};
    row(original, TcpFlagClass::rst)     = {IV,  CL,  CL,  CL,  CL,  CL,  CL,  CL,  CL,  CL};

    row(reply,    TcpFlagClass::syn)     = {IV,  S2,  IV,  IV,  IV,  IV,  IV,  SS,  IV,  S2};
    row(reply,    TcpFlagClass::syn_ack) = {IV,  SR,  IG,  IG,  IG,  IG,  IG,  IG,  IG,  SR};
    row(reply,    TcpFlagClass::fin)     = {IV,  IV,  FW,  FW,  LA,  LA,  LA,  TW,  CL,  IV};
    row(reply,    TcpFlagClass::ack)     = {IV,  IG,  SR,  ES,  CW,  CW,  TW,  TW,  CL,  IG};
    row(reply,    TcpFlagClass::rst)     = {IV,  CL,  CL,  CL,  CL,  CL,  CL,  CL,  CL,  CL};
    // clang-format on
    // Segments without any flag are invalid in every state: their rows stay zero.
    return table;
}

inline constexpr TcpTable kTcpTable = make_tcp_table();

}  // namespace detail

/// The table. NONE is the state of a flow that does not exist yet: ACK there is the loose pickup of a connection that
/// began before us (callers that are not loose refuse it before they ask).
constexpr TcpTransition tcp_transition(Direction direction, TcpFlagClass flags, TcpState now) noexcept {
    return detail::kTcpTable[index_of(direction)][static_cast<std::size_t>(flags)][static_cast<std::size_t>(now)];
}

}  // namespace sluice

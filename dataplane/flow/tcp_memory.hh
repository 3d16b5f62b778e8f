// What a flow remembers of its TCP segments, packed for the line that every packet of the flow touches: for each end
// the three numbers of the window, and of the latest segment just enough to know it again. The rules that read and
// write it are in track/tcp_window and track/tcp_fsm.
//
// Owner: the flow's worker.
#pragma once

#include <cstdint>

#include "dataplane/base/types.hh"
#include "dataplane/flow/tcp_table.hh"

namespace sluice {

/// One end of a connection, known by the segments that it sent. Both ends are needed for every segment.
struct TcpEnd {
    std::uint32_t end = 0;         ///< one past the last byte that it has sent
    std::uint32_t max_end = 0;     ///< one past the last byte that its peer has ever allowed
    std::uint32_t max_window = 0;  ///< the largest window that it has announced, scaled; 0: it has not spoken yet
};

/// Facts about one end.
namespace tcp_end {
inline constexpr std::uint8_t kWindowScale = 1;      ///< its SYN offered window scaling (RFC 7323)
inline constexpr std::uint8_t kSackPermitted = 2;    ///< its SYN permitted SACK (RFC 2018)
inline constexpr std::uint8_t kLiberal = 4;          ///< picked up mid-stream, its scale is unknown: refuse nothing
inline constexpr std::uint8_t kUnacknowledged = 8;   ///< it has sent data that was not acknowledged yet
inline constexpr std::uint8_t kMaxAckKnown = 16;     ///< DirectionHalf::tcp_max_ack holds a number
inline constexpr std::uint8_t kCloseInitiated = 32;  ///< it sent the first FIN
}  // namespace tcp_end

/// Facts about the latest segment, and two that wait for a later one. The lowest four bits say what it was.
namespace tcp_last {
inline constexpr std::uint8_t kWhat = 0x0f;
inline constexpr std::uint8_t kZeroWindow = 0x10;         ///< it announced a window of zero
inline constexpr std::uint8_t kChallengeExpected = 0x20;  ///< an ignored SYN in LAST_ACK may get a challenge ACK
inline constexpr std::uint8_t kSimultaneousOpen = 0x40;   ///< both ends sent a SYN before any SYN/ACK

constexpr std::uint8_t what(TcpFlagClass flags, Direction d) noexcept {
    return static_cast<std::uint8_t>(static_cast<unsigned>(flags) << 1 | index_of(d));
}
}  // namespace tcp_last

struct TcpMemory {
    TcpEnd ends[2];  ///< by Direction of what the end sends

    /// The latest segment, as far as later ones are compared with it. What `last_memo` holds depends on the segment:
    ///   an ACK in the window              fingerprint of its numbers, to recognise exact repeats
    ///   a SYN that was let through        its window, scale and options, in case the peer answers it after all
    ///   an ACK that answered a lone SYN   its acknowledgement number (a challenge ACK, RFC 5961 section 4)
    std::uint32_t last_end = 0;
    std::uint32_t last_memo = 0;
    std::uint8_t last = tcp_last::what(TcpFlagClass::none, Direction::original) | tcp_last::kZeroWindow;
    std::uint8_t repeats = 0;  ///< of the latest ACK, with nothing new in them
    std::uint8_t flags[2]{};   ///< tcp_end bits, by Direction

    [[nodiscard]] TcpFlagClass last_flags() const noexcept {
        return static_cast<TcpFlagClass>((last & tcp_last::kWhat) >> 1);
    }
    [[nodiscard]] Direction last_direction() const noexcept { return static_cast<Direction>(last & 1U); }
    [[nodiscard]] bool last_was(TcpFlagClass f, Direction d) const noexcept {
        return (last & tcp_last::kWhat) == tcp_last::what(f, d);
    }
    void note_last(TcpFlagClass f, Direction d) noexcept {
        last = static_cast<std::uint8_t>((last & ~unsigned{tcp_last::kWhat}) | tcp_last::what(f, d));
    }
    [[nodiscard]] bool waits_for(std::uint8_t fact) const noexcept { return (last & fact) != 0; }
    void set_last(std::uint8_t fact, bool on) noexcept {
        last = static_cast<std::uint8_t>(on ? last | fact : last & ~unsigned{fact});
    }

    [[nodiscard]] bool has(Direction d, std::uint8_t bits) const noexcept { return (flags[index_of(d)] & bits) != 0; }
    void set(Direction d, std::uint8_t bits) noexcept { flags[index_of(d)] |= bits; }
    void clear(Direction d, std::uint8_t bits) noexcept {
        flags[index_of(d)] = static_cast<std::uint8_t>(flags[index_of(d)] & ~unsigned{bits});
    }
};
static_assert(sizeof(TcpMemory) == 36);

}  // namespace sluice

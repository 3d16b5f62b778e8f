// Shift of TCP sequence numbers after a helper has changed the length of the payload, for one direction of a flow.
//
// Bytes of the sender are numbered in the sender's space; the receiver sees them in its own, shifted by what all
// changes before them added. SEQ of the direction is moved from the first to the second, ACK and SACK of the opposite
// direction back. Like Linux, only the latest changes are remembered, and all older ones are one offset; three of them
// (Linux: one) because commands may be pipelined and any of the latest may be retransmitted.
//
// A change covers [line_begin, text_end): the command's line from its start to the end of the replaced text. Exact
// positions exist only outside of it. An ACK or a SACK edge that falls inside is moved so that the sender repeats the
// whole line, which then is recognised at its line start and rewritten in the same way. Therefore a retransmission gets
// the same numbers and, as its expectation exists, the same text.
//
// Changes are recorded in the order of the stream. All comparisons are modulo 2^32; settle() keeps remembered positions
// less than 2^30 behind the stream, so that they never look like its future.
//
// Owner: the worker that owns the flow; it lies in the helper's state, one per direction. noexcept, no allocation.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <type_traits>

#include "dataplane/base/checksum.hh"
#include "dataplane/base/sequence.hh"

namespace sluice {

enum class SeqRecord : std::uint8_t {
    recorded,  ///< a new change; also one of the same length, for the sake of ACKs inside of it
    known,     ///< the same change again: a retransmission
    busy,  ///< as many unacknowledged changes as are remembered: cut the payload before this line, or drop the packet
           ///< if nothing is left of it; TCP sends the rest again
    refused,  ///< overlaps another change or lies before one, or is out of range: do not rewrite, drop the packet
};

struct SeqAdjust {
    /// One replaced text. `length` counts from the start of its line to the end of the original text.
    struct Change {
        std::uint32_t line_begin = 0;
        std::uint16_t length = 0;
        std::int16_t delta = 0;
        [[nodiscard]] constexpr std::uint32_t end() const noexcept { return line_begin + length; }
    };
    static constexpr std::uint32_t kMaxChanges = 3;

    /// The first `count` are in the order of the stream.
    std::array<Change, kMaxChanges> changes{};
    std::int32_t base = 0;  ///< sum of all changes that are no longer remembered
    std::uint16_t count = 0;
    std::uint16_t acked = 0;  ///< of those, how many the receiver has acknowledged: only these may be forgotten

    /// False as long as nothing has to be shifted: the test for the fast path.
    [[nodiscard]] constexpr bool active() const noexcept { return count != 0 || base != 0; }

    /// False when record() of a new change would answer `busy`.
    [[nodiscard]] constexpr bool has_room() const noexcept { return count < kMaxChanges || acked != 0; }

    /// Notes that [.., text_end) of the line at `line_begin` became `delta` bytes longer. Numbers of the sender.
    SeqRecord record(std::uint32_t line_begin, std::uint32_t text_end, int delta) noexcept;

    /// The receiver has acknowledged everything before `ack`, as adjust_ack gave it.
    void note_ack(std::uint32_t ack) noexcept;

    /// A number of this direction's sender as the receiver is to see it.
    [[nodiscard]] std::uint32_t adjust_seq(std::uint32_t seq) const noexcept;
    /// An acknowledgement (or the right edge of a SACK block) by this direction's receiver, as the sender is to see it.
    [[nodiscard]] std::uint32_t adjust_ack(std::uint32_t ack) const noexcept;
    /// The left edge of a SACK block: inside a change it moves to the end of it.
    [[nodiscard]] std::uint32_t adjust_left_edge(std::uint32_t edge) const noexcept;

    /// True when `seq` lies strictly inside a changed range. A segment that starts there holds a part of an original
    /// text whose place in the receiver's stream does not exist: it is to be dropped, its line will be repeated.
    [[nodiscard]] bool inside_change(std::uint32_t seq) const noexcept;

    /// Start of the first changed line in [seq, end), if any. A retransmission that starts at no remembered line start
    /// is to be scanned from there: what was rewritten once is rewritten always.
    [[nodiscard]] std::optional<std::uint32_t> first_line_in(std::uint32_t seq, std::uint32_t end) const noexcept;

    /// Folds changes that are 2^30 and more behind `seq` into the base. record() does it itself.
    void settle(std::uint32_t seq) noexcept;

    /// Moves the edges of all SACK blocks (RFC 2018, 2883) in `options`, the TCP options of a segment by this
    /// direction's receiver. A block that becomes empty is taken out. Returns true if a byte changed; malformed options
    /// are left alone from the bad place on. The caller computes the checksum anew, or uses adjust_tcp_header.
    bool adjust_sack(std::span<std::uint8_t> options) const noexcept;
};

static_assert(sizeof(SeqAdjust::Change) == 8 && sizeof(SeqAdjust) == 32);
static_assert(std::is_trivially_copyable_v<SeqAdjust>);

/// Shifts SEQ by `own`, ACK and SACK by `peer` (the opposite direction's) in `header`, a whole TCP header with options.
/// Returns what the change adds to the checksum; the checksum field itself is not touched. A header shorter than 20
/// bytes is left alone.
ChecksumDelta adjust_tcp_header(std::span<std::uint8_t> header, const SeqAdjust& own, const SeqAdjust& peer) noexcept;

}  // namespace sluice

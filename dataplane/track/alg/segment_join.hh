// Joins a command that was split over TCP segments, so that it can be read and rewritten whole.
//
// Linux drops the first part and relies on the sender to retransmit it together with the rest. Senders need not: TCP
// may retransmit the same short segment for ever, and a sender with Nagle's algorithm (RFC 9293 section 3.7.4) does not
// send the rest *until the first part is acknowledged*. Holding the packet back until the rest arrives would stop such
// a connection as well. Therefore only the text is held; the packet goes on without it:
//
//     sender            box                                        receiver
//     PORT 192,0,   →   text kept, begin..end; packet goes on
//                       as a probe: no payload, seq begin - 1   →
//                       ack == begin is lifted to end           ←  ACK begin (RFC 9293 section 3.10.7.4: an old
//                   ←   (the box now answers for the text)            segment is answered with an ACK, as a keep-alive)
//     2,1,4,5\r\n   →   joined: one segment from begin,
//                       rewritten                               →  PORT 203,0,113,5,78,32\r\n
//                       text dropped from memory                ←  ACK behind it
//
// When whole lines precede the partial one, the packet carries those and its ordinary ACK does the probe's work. No
// packet is created, none is kept, none is lost: the text is released only when the receiver has acknowledged the
// joined segment, so any retransmission, also one of the second part alone, is joined again. Window: lifting an ACK
// promises the sender at most kHeldMax bytes more than the receiver offered; what overruns is retransmitted by TCP.
//
// Life cycle: idle → (hold) holding → (ACK of `begin` lifted) promised → (ACK of `end` or more) idle. A text that is
// not promised can be forgotten at any time, the sender still has it: `expire()` is the timer's way to reclaim it from
// a receiver that never answers. A promised text lives as long as the flow; the pool that it lives in bounds their
// number.
//
// Pure logic over byte views and sequence numbers of the sender (before any shift); ACKs are given and returned in the
// sender's numbers too, that is behind SeqAdjust::adjust_ack. Owner: the worker that owns the flow; one SegmentJoin per
// direction of a control connection while something is held, from a pool.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string_view>
#include <type_traits>

#include "dataplane/base/sequence.hh"

namespace sluice {

/// What to do with a segment that carries data (or FIN) while text may be held.
enum class JoinAction : std::uint8_t {
    pass,  ///< nothing to do with the held text: treat the segment as ever
    join,  ///< put the held text before payload[skip…]; the result starts at `begin()`. Scan it, rewrite it, send it
    trim,  ///< a repetition of what is held: send payload[0, skip), or a probe when that is empty
};

struct JoinStep {
    JoinAction action = JoinAction::pass;
    std::size_t skip = 0;
};

enum class HoldResult : std::uint8_t {
    held,
    too_long,  ///< longer than any command (or empty): send the packet unchanged and count it
    busy,      ///< another text is promised and not yet acknowledged: cut the payload as if held, or drop the packet if
           ///< nothing is left of it (alg_out_of_order), and note_data() only up to the cut; TCP sends the rest again
};

class SegmentJoin {
public:
    /// FTP command lines are limited to 512 bytes in practice (RFC 959 gives no limit; a path fits).
    static constexpr std::size_t kHeldMax = 512;
    /// A text that is not promised may be forgotten after this time; longer than a sender's first retransmissions.
    static constexpr std::uint32_t kHoldTimeout_ms = 5000;
    /// What is asked for when nothing is held comes before the text.
    static constexpr std::size_t kNumbersBytes = 11;

    [[nodiscard]] constexpr bool active() const noexcept { return length_ != 0; }
    /// Sequence number of the first held byte; that of a probe is one less.
    [[nodiscard]] constexpr std::uint32_t begin() const noexcept { return begin_; }
    [[nodiscard]] constexpr std::uint32_t end() const noexcept { return begin_ + length_; }
    [[nodiscard]] std::string_view text() const noexcept { return {text_.data(), length_}; }
    /// The sender has been told that the held text arrived: it will not send it again.
    [[nodiscard]] constexpr bool promised() const noexcept { return promised_; }

    /// Keeps `text`, the incomplete last line of what starts at `seq` (the scan's [line_begin, line_end)), and replaces
    /// what was held. After a join that is still incomplete the text is the joined one. Nothing changes unless the
    /// result is `held`. `text` may point into this object's own memory.
    ///
    /// The caller then cuts the payload to what precedes the text; if nothing does, the packet becomes a probe: no
    /// payload, sequence number begin() - 1 (shifted like any other), flag PSH cleared. A segment with FIN, RST or URG
    /// is never to be held: nothing more may come, or it must not wait.
    HoldResult hold(std::uint32_t seq, std::string_view text, std::uint32_t now_ms) noexcept {
        if (text.empty() || text.size() > kHeldMax) return HoldResult::too_long;
        if (promised_ && seq != begin_) return HoldResult::busy;
        std::memmove(text_.data(), text.data(), text.size());
        begin_ = seq;
        length_ = static_cast<std::uint16_t>(text.size());
        since_ms_ = now_ms;
        return HoldResult::held;
    }

    /// What to do with the sender's next segment, `length` bytes of payload from `seq`. Segments without payload and
    /// without FIN always pass; `fin` says that the segment ends the stream (held text then leaves unrewritten, first).
    /// The segment has passed LineTracker::in_order: it does not start behind a gap.
    [[nodiscard]] constexpr JoinStep arrive(std::uint32_t seq, std::size_t length, bool fin = false) const noexcept {
        const auto segment_end = static_cast<std::uint32_t>(seq + length);
        if (!active() || (length == 0 && !fin)) return {};
        const bool goes_further = seq_after(segment_end, end()) || (fin && segment_end == end());
        if (seq_after(seq, end())) return {};
        if (seq_after(seq, begin_))
            return goes_further ? JoinStep{JoinAction::join, static_cast<std::size_t>(end() - seq)}
                                : JoinStep{JoinAction::trim, 0};
        // It starts at the held text or before it: a retransmission, which may bring all of it and more.
        if (!seq_after(segment_end, begin_)) return {};
        if (goes_further) return {};
        return {JoinAction::trim, static_cast<std::size_t>(begin_ - seq)};
    }

    /// Writes the held text and payload[skip…] into `out`. Returns the length, or 0 if `out` is too small: the caller
    /// then sends two segments, the first with `text()` and the payload up to the end of its first line, the second
    /// with the rest; what is larger than the path's MTU is treated alike.
    std::size_t join(std::string_view payload, std::size_t skip, std::span<char> out) const noexcept {
        const auto rest = payload.substr(std::min(skip, payload.size()));
        if (length_ + rest.size() > out.size()) return 0;
        std::memmove(out.data() + length_, rest.data(), rest.size());  // first: the payload may lie in `out` already
        std::memcpy(out.data(), text_.data(), length_);
        return length_ + rest.size();
    }

    /// The acknowledgement to be shown to the sender instead of `ack`; drops the text once the receiver has it.
    std::uint32_t on_ack(std::uint32_t ack) noexcept {
        if (!active() || seq_before(ack, begin_)) return ack;
        if (!seq_before(ack, end())) {
            clear();
            return ack;
        }
        if (ack == begin_) promised_ = true;
        return promised_ ? end() : ack;
    }

    /// Forgets a text that waits since kHoldTimeout_ms and was not promised; true if it did (to be counted). Nothing is
    /// lost: the sender has no acknowledgement for it.
    bool expire(std::uint32_t now_ms) noexcept {
        if (!active() || promised_ || now_ms - since_ms_ < kHoldTimeout_ms) return false;
        clear();
        return true;
    }

    /// For RST and the end of the flow.
    constexpr void clear() noexcept {
        length_ = 0;
        promised_ = false;
    }

private:
    std::uint32_t begin_ = 0;
    std::uint32_t since_ms_ = 0;
    std::uint16_t length_ = 0;
    bool promised_ = false;
    std::array<char, kHeldMax> text_{};
};

static_assert(std::is_trivially_copyable_v<SegmentJoin> &&
              sizeof(SegmentJoin) <= SegmentJoin::kNumbersBytes + SegmentJoin::kHeldMax + 4);

}  // namespace sluice

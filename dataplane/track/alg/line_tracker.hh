// Remembers at which TCP sequence numbers a line starts and how far the stream has come, for one direction of a control
// connection.
//
// A helper looks for commands only at a line start: everywhere else the bytes are user data. Two numbers are kept, the
// latest and the one before it, so that the retransmission of the last command is recognised (and rewritten) again
// after the next line has been seen. Sequence numbers are those of the sender, before any shift by the translator.
//
// The gate: a segment that runs ahead of the stream must not pass a helper. The bytes that are missing may hold a
// command that will change its length, and nobody could say then which numbers those ahead should have had (Linux lets
// them go, and the receiver's stream is corrupt). Such a segment is dropped (DropReason::alg_out_of_order); TCP sends
// it again after what is missing. A control connection loses no speed that anybody would notice.
//
// Owner: the worker that owns the flow; part of the flow's cold helper state. All comparisons are modulo 2^32.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <type_traits>

#include "dataplane/base/sequence.hh"

namespace sluice {

class LineTracker {
public:
    /// False until something was noted: a connection picked up in the middle is read from its next line on.
    [[nodiscard]] constexpr bool at_line_start(std::uint32_t seq) const noexcept {
        return (count_ > 0 && starts_[0] == seq) || (count_ > 1 && starts_[1] == seq);
    }

    /// The first remembered line start in [seq, end), if any: from there on a segment can be read. A sender that
    /// repeats several small segments as one starts it anywhere before what is remembered.
    [[nodiscard]] constexpr std::optional<std::uint32_t> first_start_in(std::uint32_t seq,
                                                                        std::uint32_t end) const noexcept {
        std::optional<std::uint32_t> first;
        for (std::uint16_t i = 0; i < count_; ++i) {
            if (seq_before(starts_[i], seq) || !seq_before(starts_[i], end)) continue;
            if (!first || seq_before(starts_[i], *first)) first = starts_[i];
        }
        return first;
    }

    /// A line starts at `seq`: the sequence number behind an LF, or behind the SYN. Replaces the older of the two
    /// unless `seq` is older still (a late retransmission must not push out what is current).
    constexpr void note_line_end(std::uint32_t seq) noexcept {
        if (at_line_start(seq)) return;
        if (count_ < starts_.size()) {
            starts_[count_++] = seq;
            return;
        }
        auto& older = seq_before(starts_[0], starts_[1]) ? starts_[0] : starts_[1];
        if (seq_after(seq, older)) older = seq;
    }

    /// False for a segment that starts behind a gap: drop it.
    [[nodiscard]] constexpr bool in_order(std::uint32_t seq) const noexcept {
        return !has_next_ || !seq_after(seq, next_);
    }

    /// The helper let go, or holds, everything up to `end`. To be called after the decision: bytes of a dropped packet
    /// have not been here.
    constexpr void note_data(std::uint32_t end) noexcept {
        if (!has_next_ || seq_after(end, next_)) next_ = end;
        has_next_ = true;
    }

    /// Held text was forgotten: the stream has come to `seq` only.
    constexpr void rewind(std::uint32_t seq) noexcept {
        if (has_next_ && seq_before(seq, next_)) next_ = seq;
    }

    /// How far the stream has come; nothing before the first note_data().
    [[nodiscard]] constexpr std::optional<std::uint32_t> reached() const noexcept {
        return has_next_ ? std::optional(next_) : std::nullopt;
    }

private:
    std::array<std::uint32_t, 2> starts_{};
    std::uint32_t next_ = 0;
    std::uint16_t count_ = 0;
    bool has_next_ = false;
};

static_assert(sizeof(LineTracker) == 16 && std::is_trivially_copyable_v<LineTracker>);

}  // namespace sluice

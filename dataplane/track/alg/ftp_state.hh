// What a worker remembers of one FTP control connection: per direction where lines start, text that is held, how the
// sequence numbers are shifted, and what the latest announcements were told to the peer.
//
// Life cycle: taken from the worker's pool when the flow is made, given back when it dies (Alg). It stays for the
// flow's whole life, also when the helper was switched off meanwhile: shifted sequence numbers must be shifted to the
// end.
//
// Owner: the worker that owns the flow.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include "dataplane/base/types.hh"
#include "dataplane/flow/flow_entry.hh"
#include "dataplane/flow/seq_adjust.hh"
#include "dataplane/track/alg/line_tracker.hh"
#include "dataplane/track/alg/segment_join.hh"

namespace sluice {

/// An announcement that was rewritten: the same line gets the same text when it is sent again.
struct FtpTold {
    std::uint32_t line_begin = 0;
    Be16 announced{};  ///< 0, which nobody may announce: none
    Be16 told{};
};

/// One direction of the control connection; all numbers are the sender's. A segment of it needs the first two lines,
/// one of its peer, which acknowledges, the second; held text, which is rare, lies behind them.
struct alignas(64) FtpStream {
    LineTracker lines;
    std::array<FtpTold, SeqAdjust::kMaxChanges + 1> told{};
    std::uint8_t next_told = 0;
    std::uint16_t open_reply = 0;  ///< server: FtpScan::open_reply() where the stream has come to

    alignas(64) SeqAdjust adjust;
    std::uint32_t highest = 0;  ///< how far the stream had come before it was rewound
    bool rewound = false;
    SegmentJoin join;

    [[nodiscard]] const FtpTold* told_at(std::uint32_t line_begin) const noexcept {
        for (const FtpTold& t : told)
            if (t.line_begin == line_begin && t.announced != Be16{}) return &t;
        return nullptr;
    }
    /// Held text from `seq` on is forgotten. Unless it has passed after all, joined, its sender repeats it: then it is
    /// new.
    void rewind(std::uint32_t seq) noexcept {
        const auto reached = lines.reached();
        if (!reached || !seq_before(seq, *reached)) return;
        if (!rewound || seq_after(*reached, highest)) highest = *reached;
        rewound = true;
        lines.rewind(seq);
    }
    /// The receiver has everything before `ack`: so it has passed.
    void note_ack(std::uint32_t ack) noexcept {
        adjust.note_ack(ack);
        if (!rewound || seq_after(ack, highest)) return;
        lines.note_data(ack);
        rewound = ack != highest;
    }
    void remember(std::uint32_t line_begin, Be16 announced, Be16 port) noexcept {
        told[next_told] = {line_begin, announced, port};
        next_told = static_cast<std::uint8_t>((next_told + 1U) % told.size());
    }
};

static_assert(offsetof(FtpStream, adjust) == 64 && offsetof(FtpStream, join) + SegmentJoin::kNumbersBytes <= 128);

struct FtpState {
    SlotIndex slot = kNoSlot;
    std::uint32_t generation = 0;
    bool live = false;
    bool epsv_all = false;                        ///< the client said EPSV ALL: only 229 announces (RFC 2428 section 4)
    std::array<std::uint64_t, 2> told_workers{};  ///< bit per worker that was sent an expectation of this flow
    std::array<FtpStream, 2> stream;              ///< by Direction

    [[nodiscard]] FtpStream& of(Direction d) noexcept { return stream[index_of(d)]; }
    /// A packet of direction `d` will need it soon.
    void prefetch(Direction d) const noexcept {
        const FtpStream& own = stream[index_of(d)];
        __builtin_prefetch(this, 1);
        __builtin_prefetch(&own.lines, 1);
        __builtin_prefetch(&own.adjust, 1);
        __builtin_prefetch(&stream[index_of(opposite(d))].adjust, 1);
    }
};

}  // namespace sluice

// See seq_adjust.hh. Every lookup walks the changes from the latest to the oldest: nearly always the first one decides.
#include "dataplane/flow/seq_adjust.hh"

#include <algorithm>
#include <cstring>
#include <limits>

namespace sluice {
namespace {

constexpr std::uint8_t kOptionEnd = 0;
constexpr std::uint8_t kOptionNop = 1;
constexpr std::uint8_t kOptionSack = 5;
constexpr std::size_t kSackBlock = 8;
constexpr std::uint32_t kSettleDistance = 1U << 30;

Be32 load(const std::uint8_t* at) noexcept {
    Be32 value;
    std::memcpy(&value, at, sizeof value);
    return value;
}
void store(std::uint8_t* at, std::uint32_t host) noexcept {
    const auto value = Be32::from_host(host);
    std::memcpy(at, &value, sizeof value);
}

/// Where a number of the receiver's space falls.
struct Place {
    const SeqAdjust::Change* inside = nullptr;  ///< strictly inside this change, or
    std::int32_t offset = 0;                    ///< exactly this much shifted
};

std::int32_t total(const SeqAdjust& adjust) noexcept {
    std::int32_t sum = adjust.base;
    for (std::uint32_t i = 0; i < adjust.count; ++i) sum += adjust.changes[i].delta;
    return sum;
}

constexpr std::uint32_t shifted(std::uint32_t seq, std::int32_t offset) noexcept {
    return seq + static_cast<std::uint32_t>(offset);
}

Place place_in_receiver_space(const SeqAdjust& adjust, std::uint32_t number) noexcept {
    auto offset = total(adjust);
    for (auto i = adjust.count; i-- > 0;) {
        const auto& change = adjust.changes[i];
        if (!seq_before(number, shifted(change.end(), offset))) break;
        offset -= change.delta;
        if (seq_after(number, shifted(change.line_begin, offset))) return {&change, 0};
    }
    return {nullptr, offset};
}

void forget_oldest(SeqAdjust& adjust) noexcept {
    adjust.base += adjust.changes[0].delta;
    std::copy(adjust.changes.begin() + 1, adjust.changes.end(), adjust.changes.begin());
    --adjust.count;
    if (adjust.acked != 0) --adjust.acked;
}

}  // namespace

SeqRecord SeqAdjust::record(std::uint32_t line_begin, std::uint32_t text_end, int delta) noexcept {
    const auto length = text_end - line_begin;
    if (length == 0 || length > std::numeric_limits<std::uint16_t>::max() || delta < -static_cast<int>(length) ||
        delta > std::numeric_limits<std::int16_t>::max())
        return SeqRecord::refused;
    settle(line_begin);
    for (std::uint32_t i = 0; i < count; ++i)
        if (changes[i].line_begin == line_begin && changes[i].end() == text_end)
            return changes[i].delta == delta ? SeqRecord::known : SeqRecord::refused;
    if (count != 0 && seq_before(line_begin, changes[count - 1].end())) return SeqRecord::refused;
    if (count == kMaxChanges) {
        if (acked == 0) return SeqRecord::busy;
        forget_oldest(*this);
    }
    changes[count++] = {line_begin, static_cast<std::uint16_t>(length), static_cast<std::int16_t>(delta)};
    return SeqRecord::recorded;
}

void SeqAdjust::note_ack(std::uint32_t ack) noexcept {
    while (acked < count && !seq_before(ack, changes[acked].end())) ++acked;
}

std::uint32_t SeqAdjust::adjust_seq(std::uint32_t seq) const noexcept {
    auto offset = total(*this);
    for (auto i = count; i-- > 0 && seq_before(seq, changes[i].end());) offset -= changes[i].delta;
    return shifted(seq, offset);
}

std::uint32_t SeqAdjust::adjust_ack(std::uint32_t ack) const noexcept {
    const auto place = place_in_receiver_space(*this, ack);
    return place.inside != nullptr ? place.inside->line_begin : shifted(ack, -place.offset);
}

std::uint32_t SeqAdjust::adjust_left_edge(std::uint32_t edge) const noexcept {
    const auto place = place_in_receiver_space(*this, edge);
    return place.inside != nullptr ? place.inside->end() : shifted(edge, -place.offset);
}

bool SeqAdjust::inside_change(std::uint32_t seq) const noexcept {
    return std::any_of(changes.begin(), changes.begin() + count, [seq](const Change& change) {
        return seq_after(seq, change.line_begin) && seq_before(seq, change.end());
    });
}

std::optional<std::uint32_t> SeqAdjust::first_line_in(std::uint32_t seq, std::uint32_t end) const noexcept {
    for (std::uint32_t i = 0; i < count; ++i)
        if (!seq_before(changes[i].line_begin, seq) && seq_before(changes[i].line_begin, end))
            return changes[i].line_begin;
    return std::nullopt;
}

void SeqAdjust::settle(std::uint32_t seq) noexcept {
    while (count != 0 && seq_after(seq, changes[0].end() + kSettleDistance)) forget_oldest(*this);
}

bool SeqAdjust::adjust_sack(std::span<std::uint8_t> options) const noexcept {
    bool changed = false;
    for (std::size_t at = 0; at < options.size() && options[at] != kOptionEnd;) {
        if (options[at] == kOptionNop) {
            ++at;
            continue;
        }
        if (at + 1 >= options.size() || options[at + 1] < 2 || at + options[at + 1] > options.size()) return changed;
        const std::size_t length = options[at + 1];
        const bool is_sack = options[at] == kOptionSack && length > 2 && (length - 2) % kSackBlock == 0;
        if (is_sack) {
            std::size_t kept = at + 2;
            for (std::size_t block = at + 2; block < at + length; block += kSackBlock) {
                const auto left = load(&options[block]).host();
                const auto right = load(&options[block + 4]).host();
                const auto new_left = adjust_left_edge(left);
                const auto new_right = adjust_ack(right);
                changed = changed || new_left != left || new_right != right;
                if (!seq_before(new_left, new_right) && seq_before(left, right)) continue;
                store(&options[kept], new_left);
                store(&options[kept + 4], new_right);
                kept += kSackBlock;
            }
            // An option without blocks would be malformed: then even its head becomes padding.
            const auto used = kept == at + 2 ? at : kept;
            if (used != at) options[at + 1] = static_cast<std::uint8_t>(used - at);
            std::fill(options.begin() + static_cast<std::ptrdiff_t>(used),
                      options.begin() + static_cast<std::ptrdiff_t>(at + length), kOptionNop);
        }
        at += length;
    }
    return changed;
}

ChecksumDelta adjust_tcp_header(std::span<std::uint8_t> header, const SeqAdjust& own, const SeqAdjust& peer) noexcept {
    constexpr std::size_t kSeqAt = 4, kAckAt = 8, kFlagsAt = 13, kOptionsAt = 20;
    constexpr std::uint8_t kAckFlag = 0x10;
    ChecksumDelta delta;
    if (header.size() < kOptionsAt) return delta;
    if (own.active()) {
        const auto seq = load(&header[kSeqAt]);
        const auto shifted_seq = own.adjust_seq(seq.host());
        delta.replace(seq, Be32::from_host(shifted_seq));
        store(&header[kSeqAt], shifted_seq);
    }
    if (peer.active() && (header[kFlagsAt] & kAckFlag) != 0) {
        const auto ack = load(&header[kAckAt]);
        const auto shifted_ack = peer.adjust_ack(ack.host());
        delta.replace(ack, Be32::from_host(shifted_ack));
        store(&header[kAckAt], shifted_ack);
        const auto options = header.subspan(kOptionsAt);
        const auto before = fold(partial_sum(options.data(), options.size()));
        if (peer.adjust_sack(options)) {
            const auto after = fold(partial_sum(options.data(), options.size()));
            delta.replace(Be16::from_raw(before), Be16::from_raw(after));
        }
    }
    return delta;
}

}  // namespace sluice

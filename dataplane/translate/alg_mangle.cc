// See alg_mangle.hh. All sequence numbers in here are the sender's; `finish` shifts them.
#include "dataplane/translate/alg_mangle.hh"

#include <algorithm>
#include <array>

#include "dataplane/base/checksum.hh"
#include "dataplane/flow/ip_fields.hh"
#include "dataplane/translate/ftp_mangle.hh"

namespace sluice {

namespace {

constexpr std::uint8_t kFin = RTE_TCP_FIN_FLAG, kSyn = RTE_TCP_SYN_FLAG, kRst = RTE_TCP_RST_FLAG,
                       kPsh = RTE_TCP_PSH_FLAG, kAck = RTE_TCP_ACK_FLAG, kUrg = RTE_TCP_URG_FLAG;
constexpr unsigned kEthernetMtu = 1500;

std::uint32_t host(rte_be32_t raw) noexcept {
    return Be32::from_raw(raw).host();
}

/// Where the stream begins.
void note_syn(FtpStream& own, std::uint32_t seq, std::string_view data) noexcept {
    const auto end = static_cast<std::uint32_t>(seq + 1 + data.size());
    own.lines.note_data(end);
    if (data.empty() || data.back() == '\n') own.lines.note_line_end(end);
}

}  // namespace

/// The data of one packet: what it is now, in place in the packet's buffer.
struct AlgMangle::Segment {
    std::uint32_t seq = 0;
    std::size_t length = 0;
    std::span<char> room;  ///< the payload's place and how far it may reach
    std::uint8_t flags = 0;
    bool changed = false;  ///< bytes or length are not the ones that came
    bool probe = false;    ///< all of it is held: goes on without data

    [[nodiscard]] std::uint32_t end() const noexcept { return seq + static_cast<std::uint32_t>(length); }
    [[nodiscard]] std::string_view data() const noexcept { return {room.data(), length}; }
    /// What is cut off comes again, and with it whatever said that it was the last.
    void cut(std::size_t at) noexcept {
        length = at;
        flags &= static_cast<std::uint8_t>(~(kFin | kPsh));
        changed = true;
    }
};

/// Texts to be replaced, in the order of the stream, and where the packet was cut.
struct AlgMangle::Edits {
    struct Edit {
        std::size_t line_begin, begin, end, line_end;
        std::size_t size;
        std::array<char, kMaxHostPort> text;
    };
    std::array<Edit, 8> list;  // not cleared: it is large, and of nearly every packet none or one is used
    std::size_t count = 0;
    std::uint32_t seen_before = 0;  ///< the stream had come to here when the packet came
    bool held = false;
    std::optional<std::uint32_t> cut_at;  ///< nothing from here on has passed
};

Verdict AlgMangle::apply(Packet& p, const Policy& policy, std::uint16_t mtu, Now now) noexcept {
    FtpState& state = alg_.state_of(p.slot);
    FtpStream& own = state.of(p.direction);
    FtpStream& peer = state.of(opposite(p.direction));
    const auto payload = p.payload();
    const std::uint8_t flags = p.tcp()->tcp_flags;
    if (payload.empty() && (flags & (kSyn | kFin | kRst)) == 0 && !own.adjust.active() && !peer.adjust.active() &&
        !peer.join.active() && !peer.rewound)
        return Verdict::next;

    Segment s;
    s.seq = host(p.tcp()->sent_seq);
    s.length = payload.size();
    s.flags = flags;
    const std::size_t headers = p.l3_bytes - payload.size();
    const std::size_t before =
        static_cast<std::size_t>(p.l4 + p.payload_offset - static_cast<std::uint8_t*>(p.mbuf->buf_addr));
    const std::size_t in_packet = std::max<std::size_t>(mtu == 0 ? kEthernetMtu : mtu, p.l3_bytes) - headers;
    s.room = {reinterpret_cast<char*>(payload.data()), std::min(in_packet, p.mbuf->buf_len - before)};

    if ((flags & kSyn) != 0) {
        note_syn(own, s.seq, s.data());
    } else if ((flags & kRst) != 0) {
        own.join.clear();
        peer.join.clear();
    } else if (s.length != 0 || (flags & kFin) != 0) {
        if (forward(p, policy, state, s, now) == Verdict::gone) return Verdict::gone;
    }
    finish(p, own, peer, s);
    return Verdict::next;
}

Verdict AlgMangle::forward(Packet& p, const Policy& policy, FtpState& state, Segment& s, Now now) noexcept {
    FtpStream& own = state.of(p.direction);
    if (!own.lines.in_order(s.seq)) return disposal_.drop(p, DropReason::alg_out_of_order);
    Edits edits;
    edits.seen_before = own.join.active() ? own.join.begin() : own.lines.reached().value_or(s.seq);

    const JoinStep step = own.join.arrive(s.seq, s.length, (s.flags & kFin) != 0);
    if (step.action == JoinAction::trim) {
        s.cut(step.skip);
        if (step.skip == 0) {
            s.seq = own.join.begin();
            s.probe = true;
            return Verdict::next;
        }
    } else if (step.action == JoinAction::join) {
        const std::size_t held = own.join.text().size();
        if (held > s.room.size()) return disposal_.drop(p, DropReason::alg_no_room);
        if (held + s.length - step.skip > s.room.size()) s.cut(s.room.size() - held + step.skip);
        // The sender's number of the first byte that is not in this packet: what was cut off comes again.
        s.length = own.join.join(s.data(), step.skip, s.room);
        s.seq = own.join.begin();
        s.changed = true;
        counters_.alg_joined.add();
    }

    if (s.length != 0 && own.adjust.inside_change(s.seq)) return disposal_.drop(p, DropReason::alg_out_of_order);
    auto start = own.lines.first_start_in(s.seq, s.end());
    const auto changed = own.adjust.first_line_in(s.seq, s.end());
    if (changed && (!start || seq_before(*changed, *start))) start = changed;
    const bool ends_line = s.length != 0 && s.room[s.length - 1] == '\n';
    const std::uint32_t end = s.end();
    const bool had_data = s.length != 0;

    if (start && read_lines(p, policy, state, s, *start - s.seq, edits, now) == Verdict::gone) return Verdict::gone;
    if (!write(p, own, s, edits)) return disposal_.drop(p, DropReason::alg_no_room);
    own.lines.note_data(edits.cut_at.value_or(end));
    if (ends_line && !edits.cut_at) own.lines.note_line_end(end);
    s.probe = had_data && s.length == 0;
    return Verdict::next;
}

Verdict AlgMangle::read_lines(Packet& p, const Policy& policy, FtpState& state, Segment& s, std::size_t from,
                              Edits& edits, Now now) noexcept {
    FtpStream& own = state.of(p.direction);
    const bool client = p.direction == Direction::original;
    const std::uint32_t origin = s.seq + static_cast<std::uint32_t>(from);
    const bool again = seq_before(origin, edits.seen_before);
    // Repeated text is not judged by the reply that is open now; when one is open, what follows waits for its own turn.
    if (again && own.open_reply != 0 && seq_before(edits.seen_before, s.end())) {
        s.cut(edits.seen_before - s.seq);
        edits.cut_at = edits.seen_before;
    }
    FtpScan scan(s.data().substr(from), client ? FtpSide::client : FtpSide::server, again ? 0 : own.open_reply);
    while (const auto command = scan.next()) {
        const std::size_t at = from + command->line_begin;
        const std::uint32_t line = s.seq + static_cast<std::uint32_t>(at);
        if (command->incomplete) {
            if ((s.flags & (kFin | kUrg)) != 0) continue;
            // A repeated line, cut short this time, takes the place of a later one that waits: that one is forgotten.
            const bool replaces = own.join.active() && seq_before(line, own.join.begin());
            const std::uint32_t forgotten = own.join.begin();
            const HoldResult result = own.join.hold(line, s.data().substr(at), static_cast<std::uint32_t>(now.ms));
            if (result == HoldResult::too_long) continue;
            if (result == HoldResult::held) {
                counters_.alg_held.add();
                edits.held = true;
                if (replaces) own.rewind(forgotten);
            } else {
                if (at == 0) return disposal_.drop(p, DropReason::alg_out_of_order);
                edits.cut_at = line;
            }
            own.lines.note_line_end(line);
            s.cut(at);
            continue;
        }
        if (read_announcement(p, policy, state, s, from, *command, edits, now) == Verdict::gone) return Verdict::gone;
        if (edits.cut_at == line) break;
    }
    if (!client && seq_after(s.end(), edits.seen_before)) own.open_reply = scan.open_reply();
    return Verdict::next;
}

Verdict AlgMangle::read_announcement(Packet& p, const Policy& policy, FtpState& state, Segment& s, std::size_t from,
                                     const FtpCommand& command, Edits& edits, Now now) noexcept {
    FtpStream& own = state.of(p.direction);
    const std::size_t at = from + command.line_begin;
    const std::uint32_t line = s.seq + static_cast<std::uint32_t>(at);
    const bool fresh = !seq_before(line, edits.seen_before);
    if (!command.announces()) {
        if (command.kind == FtpKind::epsv_all) state.epsv_all = true;
        if (fresh && command.problem != FtpProblem::none) alg_.count_problem(command.problem);
        return Verdict::next;
    }
    const FtpTold* told = own.told_at(line);
    if (told == nullptr && !fresh) return Verdict::next;
    // Too much of the stream changes at once: this line waits until earlier ones are acknowledged.
    if (edits.count == edits.list.size() || (told == nullptr && !own.adjust.has_room())) {
        if (at == 0) return disposal_.drop(p, DropReason::alg_out_of_order);
        own.lines.note_line_end(line);
        s.cut(at);
        edits.cut_at = line;
        return Verdict::next;
    }

    Announcement a;
    if (told != nullptr) {
        if (told->announced != command.port) return disposal_.drop(p, DropReason::alg_malformed);
        a = {Announcement::Fate::rewrite, store_.key(p.slot, opposite(p.direction)).dst(), told->told};
    } else {
        a = alg_.announce(p, policy, state, command, now);
    }
    if (a.fate == Announcement::Fate::refuse) return disposal_.drop(p, DropReason::expect_clash);
    if (a.fate == Announcement::Fate::pass) return Verdict::next;

    Edits::Edit& edit = edits.list[edits.count];
    edit.line_begin = at;
    edit.begin = from + command.text_begin;
    edit.end = from + command.text_end;
    edit.line_end = from + command.line_end;
    edit.size = format_host_port(command.kind, a.address, a.port, command.delimiter, edit.text);
    const int delta = static_cast<int>(edit.size) - static_cast<int>(edit.end - edit.begin);
    switch (own.adjust.record(line, s.seq + static_cast<std::uint32_t>(edit.end), delta)) {
        case SeqRecord::recorded:
            own.remember(line, command.port, a.port);
            counters_.alg_rewrites.add();
            store_.set_status(p.slot, status::kSeqAdjust);
            break;
        case SeqRecord::known:
            break;
        case SeqRecord::busy:  // has_room() was asked, so a line that was told before was acknowledged and forgotten:
        case SeqRecord::refused:  // nobody needs it again, and its place in the stream is no longer known
            return disposal_.drop(p, DropReason::alg_out_of_order);
    }
    ++edits.count;
    return Verdict::next;
}

/// Puts the texts in, from the last to the first; what grows out of the packet is cut off behind the last of them. A
/// line that does not fit itself leaves with the next packet, when its sender repeats it: it is cut off as a whole.
bool AlgMangle::write(Packet&, FtpStream& own, Segment& s, Edits& edits) noexcept {
    if (edits.count == 0) return true;
    const auto growth = [&edits] {
        std::ptrdiff_t sum = 0;
        for (std::size_t i = 0; i < edits.count; ++i)
            sum += static_cast<std::ptrdiff_t>(edits.list[i].size) -
                   static_cast<std::ptrdiff_t>(edits.list[i].end - edits.list[i].begin);
        return sum;
    };
    const auto room = static_cast<std::ptrdiff_t>(s.room.size());
    while (static_cast<std::ptrdiff_t>(s.length) + growth() > room) {
        auto keep = room - growth();
        const Edits::Edit& last = edits.list[edits.count - 1];
        if (keep < static_cast<std::ptrdiff_t>(last.line_end)) {
            if (last.line_begin == 0) return false;
            keep = static_cast<std::ptrdiff_t>(last.line_begin);
            own.lines.note_line_end(s.seq + static_cast<std::uint32_t>(last.line_begin));
            --edits.count;
        }
        edits.cut_at = s.seq + static_cast<std::uint32_t>(keep);
        s.cut(static_cast<std::size_t>(keep));
        if (edits.held && !own.join.promised()) own.join.clear();
    }
    for (std::size_t i = edits.count; i-- > 0;) {
        const Edits::Edit& edit = edits.list[i];
        const auto length = replace_in_payload(s.room, s.length, edit.begin, edit.end, {edit.text.data(), edit.size});
        if (!length) return false;
        s.length = *length;
    }
    s.changed = true;
    return true;
}

/// What the receiver of `peer` acknowledges, in the numbers of its sender. Adds to `checksum_sum` what that changes.
void AlgMangle::backward(Packet& p, FtpStream& peer, std::uint32_t& checksum_sum) noexcept {
    rte_tcp_hdr* tcp = p.tcp();
    if ((tcp->tcp_flags & kAck) == 0 || (!peer.adjust.active() && !peer.join.active() && !peer.rewound)) return;
    const std::uint32_t ack = peer.adjust.adjust_ack(host(tcp->recv_ack));
    peer.note_ack(ack);
    const Be32 shown = Be32::from_host(peer.join.on_ack(ack));
    ChecksumDelta delta;
    delta.replace(Be32::from_raw(tcp->recv_ack), shown);
    tcp->recv_ack = shown.raw;
    if (peer.adjust.active()) {
        const std::span options(p.l4 + sizeof(rte_tcp_hdr), p.payload_offset - sizeof(rte_tcp_hdr));
        const auto before = fold(partial_sum(options.data(), options.size()));
        if (peer.adjust.adjust_sack(options))
            delta.replace(Be16::from_raw(before), Be16::from_raw(fold(partial_sum(options.data(), options.size()))));
    }
    checksum_sum = fold(checksum_sum + delta.sum);
}

/// Numbers, flags, lengths and checksums of the packet as it leaves.
void AlgMangle::finish(Packet& p, FtpStream& own, FtpStream& peer, const Segment& s) noexcept {
    rte_tcp_hdr* tcp = p.tcp();
    std::uint32_t sum = 0;
    backward(p, peer, sum);
    const Be32 seq = Be32::from_host(own.adjust.adjust_seq(s.seq) - (s.probe ? 1U : 0U));
    ChecksumDelta delta;
    delta.sum = static_cast<std::uint16_t>(sum);
    delta.replace(Be32::from_raw(tcp->sent_seq), seq);
    tcp->sent_seq = seq.raw;
    if (!s.changed) {
        if (delta.sum != 0) tcp->cksum = delta.apply(tcp->cksum);
        return;
    }

    tcp->tcp_flags = s.flags;
    const auto l4_bytes = static_cast<std::uint16_t>(p.payload_offset + s.length);
    const auto l3_bytes = static_cast<std::uint16_t>(p.l3_bytes - p.l4_bytes + l4_bytes);
    write_length(p, l3_bytes);
    const std::uint16_t l2_bytes = p.l2_bytes();
    p.l3_bytes = l3_bytes;
    p.l4_bytes = l4_bytes;
    p.mbuf->data_len = static_cast<std::uint16_t>(l2_bytes + l3_bytes);
    p.mbuf->pkt_len = p.mbuf->data_len;
    tcp->cksum = 0;
    tcp->cksum = checksum_of(p.l4, l4_bytes, pseudo_header_sum(p.source(), p.destination(), p.proto, l4_bytes));
}

}  // namespace sluice

// The part of a play that is one TCP connection after another, kept up over several acts, so that the FTP helper and
// the windows get to see more than first packets: a handshake in one act, then lines in order, cut, repeated or
// overtaken.
#include "tests/fuzz/play.hh"

namespace sluice::fuzz {

using namespace sluice::test;

void Stage::open_connection(Tape& tape) {
    const Way way = way_of(tape, people_of(tape));
    look();
    ends_[0] = {&side_of(way),
                way.from,
                way.to,
                static_cast<std::uint16_t>(41000 + tape.below(4)),
                tape.one_in(4) ? tape.of(kTcpPorts) : std::uint16_t{21},
                tape.of(kBeginnings),
                0};
    Side& far = way.out ? wan_ : lan_;
    far.reached.clear();
    say(ends_[0], kSyn, {});
    look();
    if (far.reached.empty()) return;
    // As the server sees it, behind the translation.
    const Decoded arrived = decode(far.reached.back());
    ends_[1] = {&far, arrived.dst, arrived.src, arrived.dport, arrived.sport, tape.of(kBeginnings), arrived.seq + 1};
    say(ends_[1], kSyn | kAck, {});
    look();
    say(ends_[0], kAck, {});
    look();
}

void Stage::talk(Tape& tape) {
    End& end = ends_[tape.below(2)];
    if (end.side == nullptr) return;
    const std::string text = speech(tape, tape.one_in(2) ? end.own : end.peer);
    if (tape.one_in(16)) return say(end, kFin | kAck, text);
    if (!tape.one_in(3) || text.size() < 2) return say(end, kAck | kPsh, text);
    const std::size_t cut = 1 + tape.byte() % (text.size() - 1);
    const std::uint32_t before = end.seq;
    switch (tape.below(3)) {
        case 0:  // in two segments
            say(end, kAck | kPsh, std::string_view(text).substr(0, cut));
            if (tape.one_in(2)) look();
            return say(end, kAck | kPsh, std::string_view(text).substr(cut));
        case 1:  // the second overtakes the first
            end.seq += static_cast<std::uint32_t>(cut);
            say(end, kAck | kPsh, std::string_view(text).substr(cut));
            end.seq = before;
            say(end, kAck | kPsh, std::string_view(text).substr(0, cut));
            end.seq = before + static_cast<std::uint32_t>(text.size());
            return;
        default:  // said, and again from a place inside
            say(end, kAck | kPsh, text);
            end.seq = before + static_cast<std::uint32_t>(cut);
            return say(end, kAck | kPsh, std::string_view(text).substr(cut));
    }
}

void Stage::say(End& end, std::uint8_t flags, std::string_view text) {
    put(*end.side, tcp(end.own, end.port, end.peer, end.peer_port)
                       .flags(flags)
                       .seq(end.seq)
                       .ack((flags & kAck) != 0 ? end.heard : 0)
                       .payload(text));
    end.seq += static_cast<std::uint32_t>(text.size()) + ((flags & (kSyn | kFin)) != 0 ? 1U : 0U);
}

void Stage::hear(const Side& side, const Decoded& packet) {
    if (packet.proto != static_cast<std::uint8_t>(IpProto::tcp)) return;
    for (End& end : ends_)
        if (end.side == &side && packet.dst == end.own && packet.dport == end.port && packet.src == end.peer &&
            packet.sport == end.peer_port)
            end.heard = packet.seq + static_cast<std::uint32_t>(packet.payload.size()) +
                        ((packet.flags & (kSyn | kFin)) != 0 ? 1U : 0U);
}

}  // namespace sluice::fuzz

#include "dataplane/l4/sctp.hh"

#include <algorithm>
#include <bitset>
#include <cstring>

#include <rte_byteorder.h>
#include <rte_hash_crc.h>

namespace sluice::l4 {

namespace {

constexpr unsigned kTagAt = 4, kChecksumAt = 8, kHeader = 12;
constexpr unsigned kChunkHeader = 4;
constexpr unsigned kInitTagAt = kChunkHeader, kInitBytes = kChunkHeader + 16;  // RFC 9260, 3.3.2
constexpr std::uint8_t kReflected = 1;                                         // flag T: the tag is the sender's

struct Chunk {
    std::uint8_t type = 0;
    std::uint8_t flags = 0;
    std::uint16_t length = 0;
    const std::uint8_t* at = nullptr;
    unsigned room = 0;  // bytes of the packet from `at`
};

std::uint32_t tag_of(const Packet& p) noexcept {
    return load32(p.l4 + kTagAt).raw;
}

/// The tag that an INIT or INIT ACK asks for; nothing when it is cut short.
std::optional<std::uint32_t> init_tag(const Chunk& c) noexcept {
    if (c.room < kInitBytes) return std::nullopt;
    return load32(c.at + kInitTagAt).raw;
}

/// Calls `visit(chunk)` for each chunk while it returns true. Lengths are rounded up to four; what is too short for a
/// chunk ends the packet; so do the bytes that could not be brought into the first buffer (flow/chain.hh).
template <class Visit>
void for_each_chunk(const Packet& p, Visit&& visit) noexcept {
    const auto end = static_cast<unsigned>(std::min<std::size_t>(p.l4_bytes, p.contiguous()));
    for (unsigned at = kHeader; at + kChunkHeader <= end;) {
        const std::uint8_t* bytes = p.l4 + at;
        const Chunk c{bytes[0], bytes[1], load16(bytes + 2).host(), bytes, end - at};
        if (!visit(c)) return;
        at += (c.length + 3U) & ~3U;
    }
}

constexpr bool travels_alone(std::uint8_t type) noexcept {
    return type == sctp_chunk::kInit || type == sctp_chunk::kInitAck || type == sctp_chunk::kShutdownComplete;
}
constexpr bool travels_first(std::uint8_t type) noexcept {
    return type == sctp_chunk::kCookieEcho || type == sctp_chunk::kCookieAck;
}

/// The types of chunks that the packet holds; nothing when it holds none, one of no length, or some that may not travel
/// together (RFC 9260, 6.10).
std::optional<std::bitset<256>> chunks_of(const Packet& p) noexcept {
    std::bitset<256> types;
    bool sound = true, alone = false;
    unsigned count = 0;
    for_each_chunk(p, [&](const Chunk& c) noexcept {
        alone = alone || travels_alone(c.type);
        sound = c.length != 0 && (count == 0 || !(alone || travels_first(c.type)));
        types.set(c.type);
        ++count;
        return sound;
    });
    if (!sound || count == 0) return std::nullopt;
    return types;
}

/// What becomes of an association by one packet.
struct Outcome {
    bool valid = false;
    InvalidReason reason{};
    bool ignore = false;       // it passes, but neither counts nor keeps the flow alive
    bool established = false;  // it has come to that by this packet
};

class Reader {
public:
    Reader(Sctp::Memory& memory, Direction direction, const Packet& p) noexcept
        : m_(memory), mine_(index_of(direction)), peers_(index_of(opposite(direction))), d_(direction), p_(p) {}

    /// The first packet of a flow.
    Outcome open() noexcept {
        using namespace sctp_chunk;
        const auto types = chunks_of(p_);
        if (!types) return refused(InvalidReason::sctp_chunks);
        m_ = {};
        // "Out of the blue": what answers something that we have not seen opens nothing (RFC 9260, 8.4).
        if (types->test(kAbort) || types->test(kShutdownComplete) || types->test(kCookieAck))
            return refused(InvalidReason::sctp_no_association);
        bool opens = true;
        for_each_chunk(p_, [&](const Chunk& c) noexcept {
            opens = sctp_transition(Direction::original, c.type, SctpState::none).has_value() && learn_first_tag(c);
            return opens;
        });
        if (!opens) return refused(InvalidReason::sctp_no_association);
        return read(*types, false);
    }

    /// Any later one.
    Outcome go_on() noexcept {
        const auto types = chunks_of(p_);
        return types ? read(*types, true) : refused(InvalidReason::sctp_chunks);
    }

private:
    static Outcome refused(InvalidReason reason) noexcept { return {.reason = reason}; }

    bool learn_first_tag(const Chunk& c) noexcept {
        if (c.type == sctp_chunk::kInit) {
            const auto tag = init_tag(c);
            if (tag) m_.tag[peers_] = *tag;
            return tag && tag_of(p_) == 0;
        }
        if (c.type == sctp_chunk::kHeartbeat) m_.tag[mine_] = tag_of(p_);
        // Whoever knows nothing of the association answers with a SHUTDOWN COMPLETE of this tag (RFC 9260, 8.4).
        if (c.type == sctp_chunk::kShutdownAck) m_.tag[peers_] = tag_of(p_);
        return true;
    }

    Outcome read(const std::bitset<256>& types, bool known) noexcept {
        Outcome out{.valid = true};
        for_each_chunk(p_, [&](const Chunk& c) noexcept {
            out = read_chunk(c, types, known, out);
            return out.valid && !out.ignore;
        });
        return out;
    }

    Outcome read_chunk(const Chunk& c, const std::bitset<256>& types, bool known, Outcome out) noexcept {
        const std::uint32_t tag = tag_of(p_);
        switch (tag_check(c, tag, types)) {
            case Tag::wrong:
                return refused(InvalidReason::sctp_tag);
            case Tag::strange:
                out.ignore = true;
                return out;
            case Tag::right:
                break;
        }
        if (c.type == sctp_chunk::kCookieAck) m_.init[mine_] = m_.init[peers_] = false;
        const SctpState old = m_.state;
        const auto next = sctp_transition(d_, c.type, old);
        if (!next) return refused(InvalidReason::sctp_state);
        if (!learn_tag(c, old)) return refused(InvalidReason::sctp_tag);
        // A repeated INIT does not renew the timeout: port reuse must not keep a dead entry alive.
        out.ignore = known && c.type == sctp_chunk::kInit && old == SctpState::closed && *next == SctpState::closed;
        out.established = out.established || (*next == SctpState::established && old != SctpState::established);
        m_.state = *next;
        return out;
    }

    enum class Tag : std::uint8_t { right, wrong, strange };

    Tag tag_check(const Chunk& c, std::uint32_t tag, const std::bitset<256>& types) noexcept {
        using namespace sctp_chunk;
        const auto right_if = [](bool right) noexcept { return right ? Tag::right : Tag::wrong; };
        switch (c.type) {
            case kInit:
                return right_if(tag == 0);
            case kAbort:
            case kShutdownComplete:
                return right_if(tag == m_.tag[(c.flags & kReflected) != 0 ? peers_ : mine_]);
            case kShutdownAck:
                return Tag::right;
            case kHeartbeat:
            case kHeartbeatAck:
                return heartbeat_tag(c.type, tag, types.count() == 1);
            default:
                return right_if(tag == m_.tag[mine_]);
        }
    }

    Tag heartbeat_tag(std::uint8_t type, std::uint32_t tag, bool alone) noexcept {
        if (m_.tag[mine_] == 0) {
            m_.tag[mine_] = tag;
            return Tag::right;
        }
        if (tag == m_.tag[mine_]) {
            m_.strange_heartbeat = false;
            return Tag::right;
        }
        if (!alone) return Tag::wrong;
        if (type == sctp_chunk::kHeartbeat) {
            m_.strange_heartbeat = true;
            m_.strange_direction = d_;
            return Tag::strange;
        }
        if (!m_.strange_heartbeat || m_.strange_direction == d_) return Tag::wrong;
        m_.strange_heartbeat = false;
        m_.tag[mine_] = tag;
        m_.tag[peers_] = 0;
        return Tag::right;
    }

    /// INIT and INIT ACK say which tag the peer's packets must have.
    bool learn_tag(const Chunk& c, SctpState old) noexcept {
        if (c.type != sctp_chunk::kInit && c.type != sctp_chunk::kInitAck) return true;
        const auto tag = init_tag(c);
        if (!tag) return false;
        std::uint32_t& peers = m_.tag[peers_];
        if (c.type == sctp_chunk::kInit) {
            // One with the tag that is known asks for nothing new: it is late, or somebody else's, and must not open
            // the association to an INIT ACK with another tag.
            if (old == SctpState::none || peers != *tag) {
                if (m_.init[mine_] && m_.init[peers_]) m_.init[peers_] = false;
                m_.init[mine_] = true;
            }
        } else {
            const bool asked = m_.init[peers_];
            if (!asked && peers != 0 && peers != *tag) return false;
            if (asked && m_.init[mine_] && peers != *tag) return false;  // both have asked (RFC 9260, 5.2.1)
        }
        peers = *tag;
        return true;
    }

    Sctp::Memory& m_;
    unsigned mine_, peers_;
    Direction d_;
    const Packet& p_;
};

constexpr std::uint32_t kCrcStart = 0xffffffffU;

/// CRC32c, continued. rte_hash_crc is the same, but wants its bytes aligned.
std::uint32_t continue_crc(const std::uint8_t* at, std::size_t bytes, std::uint32_t crc) noexcept {
    for (; bytes >= sizeof(std::uint64_t); at += sizeof(std::uint64_t), bytes -= sizeof(std::uint64_t)) {
        std::uint64_t word;
        std::memcpy(&word, at, sizeof word);
        crc = rte_hash_crc_8byte(word, crc);
    }
    for (; bytes != 0; ++at, --bytes) crc = rte_hash_crc_1byte(*at, crc);
    return crc;
}

/// The CRC up to the end of the checksum field, which counts as zero.
std::uint32_t crc_of_header(const std::uint8_t* header) noexcept {
    return rte_hash_crc_4byte(0, continue_crc(header, kChecksumAt, kCrcStart));
}

/// Of a packet, whose header is in the first buffer.
std::uint32_t checksum_of_packet(const Packet& p) noexcept {
    std::uint32_t crc = crc_of_header(p.l4);
    std::size_t skip = kHeader;
    each_stretch(p, p.l4_bytes, [&](const std::uint8_t* at, std::size_t bytes) noexcept {
        crc = continue_crc(at + skip, bytes - skip, crc);
        skip = 0;
    });
    return rte_cpu_to_le_32(~crc);
}

/// Of the whole quoted packet, as its IP header says.
std::size_t quoted_length(const QuoteBytes& quote) noexcept {
    constexpr std::size_t kTotalLength = 2, kPayloadLength = 4;  // IPv4's and IPv6's
    const bool v6 = quote.from(0)[0] >> 4 == 6;
    return v6 ? sizeof(rte_ipv6_hdr) + quote.get<Be16>(kPayloadLength).host() : quote.get<Be16>(kTotalLength).host();
}

std::uint32_t timeout_of(const Timeouts& timeouts, SctpState state) noexcept {
    return timeouts.sctp[static_cast<std::size_t>(state)];
}

}  // namespace

std::uint32_t sctp_checksum(std::span<const std::uint8_t> packet) noexcept {
    const std::uint32_t crc = crc_of_header(packet.data());
    const auto rest = packet.subspan(kHeader);
    return rte_cpu_to_le_32(~continue_crc(rest.data(), rest.size(), crc));
}

std::optional<DropReason> Sctp::parse(Packet& p, std::uint16_t zone) noexcept {
    constexpr unsigned kChunks = 1024;  // state changes are in front
    if (!pull(p, kHeader)) return DropReason::l4_short;
    static_cast<void>(pull(p, std::min<unsigned>(p.l4_bytes, kChunks)));
    p.payload_offset = kHeader;
    rte_mbuf* m = p.mbuf;
    if ((m->ol_flags & RTE_MBUF_F_RX_L4_CKSUM_MASK) != RTE_MBUF_F_RX_L4_CKSUM_GOOD) {
        if (load32(p.l4 + kChecksumAt).raw != checksum_of_packet(p))
            return names_no_flow(p, InvalidReason::sctp_checksum);
        m->ol_flags = (m->ol_flags & ~RTE_MBUF_F_RX_L4_CKSUM_MASK) | RTE_MBUF_F_RX_L4_CKSUM_GOOD;
    }
    set_key(p, zone);
    return std::nullopt;
}

Admission Sctp::admit(const Packet& p, const TrackRules&) noexcept {
    Memory trial{};
    const Outcome out = Reader(trial, Direction::original, p).open();
    return {out.valid, out.reason};
}

std::uint32_t Sctp::begin(FlowHot& flow, const Packet& p, const TrackRules& rules) noexcept {
    Memory memory{};
    (void)Reader(memory, Direction::original, p).open();
    flow.remember(memory);
    return timeout_of(rules.timeouts, memory.state);
}

Followed Sctp::follow(FlowHot& flow, Packet& p, const TrackRules& rules, Now) noexcept {
    auto memory = flow.memory<Memory>();
    const SctpState old = memory.state;
    const Outcome out = Reader(memory, p.direction, p).go_on();
    if (!out.valid) return Followed::refuse(p, out.reason);
    flow.remember(memory);
    const bool moved = memory.state != old;
    if (out.ignore) return {.result = TrackResult::ignore, .moved = moved};
    return {.timeout_s = timeout_of(rules.timeouts, memory.state),
            .status = out.established ? status::kAssured : std::uint8_t{0},
            .moved = moved};
}

void Sctp::rewrite(Packet& p, const RewritePlan& plan) noexcept {
    if (load16(p.l4).raw == plan.sport.raw && load16(p.l4 + 2).raw == plan.dport.raw)
        return;  // addresses are not in it
    std::memcpy(p.l4, &plan.sport.raw, 2);
    std::memcpy(p.l4 + 2, &plan.dport.raw, 2);
    const std::uint32_t sum = checksum_of_packet(p);
    std::memcpy(p.l4 + kChecksumAt, &sum, sizeof sum);
}

void Sctp::rewrite_quote(QuoteBytes& quote, std::size_t at, const RewritePlan& plan, const SeqAdjust*) noexcept {
    swap_ports(quote, at, plan);
    // Of a quote that is cut short nobody can say what the sum would be.
    const std::size_t total = quoted_length(quote);
    if (total < at + kHeader || !quote.has(total)) return;
    quote.put(at + kChecksumAt, Be32::from_raw(sctp_checksum(quote.from(at).first(total - at))));
}

}  // namespace sluice::l4

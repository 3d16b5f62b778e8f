#include "dataplane/ingress/reassembly.hh"

#include <algorithm>
#include <bit>
#include <utility>

#include <rte_ether.h>

#include "dataplane/ingress/join.hh"

namespace sluice {

namespace {

constexpr unsigned kMostIpBytes = 65535;

/// RFC 3168 5.3, as Linux has it (ip_frag_ecn_table): "not capable" goes with nothing else.
bool ecn_is_sound(unsigned seen) noexcept {
    constexpr unsigned kNotCapable = 1U << 0;
    return (seen & kNotCapable) == 0 || seen == kNotCapable;
}

}  // namespace

Reassembly::Reassembly(const Options& options, HashSecret secret, Disposal& disposal)
    : options_(options),
      hash_(secret),
      disposal_(disposal),
      all_(std::max<std::uint32_t>(options.datagrams, 1)),
      maps_(all_.size()),
      buckets_(std::bit_ceil(all_.size()), kNone) {
    for (std::uint32_t at = 0; at < all_.size(); ++at) all_[at].next = std::exchange(free_, at);
    sorting_.reserve(options.per_datagram);
    sorted_.reserve(options.per_datagram);
}

Reassembly::~Reassembly() {
    for (const Datagram& d : all_)
        if (d.head != nullptr) rte_pktmbuf_free(d.head);  // and all that is linked to it
}

rte_mbuf* Reassembly::add(Packet& p, Now now) noexcept {
    std::uint32_t at = find(p.key);
    if (at != kNone && overdue(all_[at], now)) {
        forget(at, DropReason::fragment_timeout);
        at = kNone;
    }
    if (at == kNone) at = begin(p.key, now);
    Datagram& d = all_[at];
    const auto spoilt = [&](DropReason why) noexcept {
        spoil(at, why);
        static_cast<void>(disposal_.drop(p, why));
        return nullptr;
    };
    if (d.spoilt) {
        static_cast<void>(disposal_.drop(p, d.why));
        return nullptr;
    }

    const FragmentHeader header = read_fragment(p.mbuf);
    const Place place = place_of(p, header);
    if (!fits(d, place, header.kept)) return spoilt(DropReason::fragment_length);
    FragmentMap& map = maps_[at];
    const bool behind = place.begin >= map.reach();
    switch (map.add(place.begin, place.end)) {
        case FragmentMap::Place::fresh:
            break;
        case FragmentMap::Place::repeated:
            static_cast<void>(disposal_.drop(p, DropReason::fragment_repeated));
            return nullptr;
        case FragmentMap::Place::overlapping:
            return spoilt(DropReason::fragment_overlap);
    }
    if (d.count + 1 > options_.per_datagram) return spoilt(DropReason::fragment_limit);

    d.in_order &= behind;
    d.bytes += place.end - place.begin;
    d.ecn |= static_cast<std::uint8_t>(1U << header.ecn);
    if (place.begin == 0) d.first_port = p.in_port;
    const auto ip_bytes = static_cast<std::uint16_t>(header.bytes + place.end - place.begin);
    d.largest = std::max(d.largest, ip_bytes);
    if (header.dont_fragment) d.largest_df = std::max(d.largest_df, ip_bytes);

    rte_mbuf* m = p.mbuf;
    if (d.last_known && d.bytes == d.end) {
        p.mbuf = nullptr;
        return finish(at, m);
    }
    if (pieces_ >= options_.pieces && !make_room(at)) return spoilt(DropReason::fragment_limit);
    p.mbuf = nullptr;
    keep(d, m);
    return nullptr;
}

// --- one fragment

Reassembly::Place Reassembly::place_of(Packet& p, const FragmentHeader& header) noexcept {
    unsigned bytes = p.l4_bytes;
    if (!header.v6 && header.more && bytes % 8 != 0) {  // as in Linux: what cannot be placed is cut off
        rte_pktmbuf_trim(p.mbuf, static_cast<std::uint16_t>(bytes % 8));
        bytes -= bytes % 8;
    }
    return {header.offset, header.offset + bytes, header.more};
}

/// False: what spoils the datagram. `header`: bytes in front of its data.
bool Reassembly::fits(Datagram& d, const Place& place, unsigned header) noexcept {
    if (place.end == place.begin || place.end + header > kMostIpBytes) return false;
    if (place.more && place.end % 8 != 0) return false;
    if (d.last_known) {
        if (place.end > d.end || (!place.more && place.end != d.end)) return false;
    } else if (!place.more) {
        if (place.end < d.end) return false;
        d.last_known = true;
    }
    d.end = std::max(d.end, place.end);
    return true;
}

/// Somebody else's pieces go, the oldest first. False: there are none.
bool Reassembly::make_room(std::uint32_t for_datagram) noexcept {
    for (std::uint32_t at = oldest_; at != kNone;) {
        const std::uint32_t newer = all_[at].newer;
        if (at != for_datagram && all_[at].count != 0) {
            forget(at, DropReason::fragment_evicted);
            return true;
        }
        at = newer;
    }
    return false;
}

void Reassembly::keep(Datagram& d, rte_mbuf* m) noexcept {
    m->next = nullptr;
    (d.head == nullptr ? d.head : d.tail->next) = m;
    d.tail = m;
    ++d.count;
    ++pieces_;
    WorkerCounters& counters = disposal_.counters();
    counters.balance.held.add();
    counters.fragments_held.set(pieces_);
}

// --- a datagram

rte_mbuf* Reassembly::finish(std::uint32_t at, rte_mbuf* last) noexcept {
    Datagram& d = all_[at];
    sorting_.clear();
    sorted_.clear();
    for (rte_mbuf* m = d.head; m != nullptr; m = m->next) sorting_.push_back({read_fragment(m).offset, m});
    sorting_.push_back({read_fragment(last).offset, last});
    if (!d.in_order)
        std::sort(sorting_.begin(), sorting_.end(), [](const Piece& a, const Piece& b) { return a.offset < b.offset; });
    for (const Piece& piece : sorting_) sorted_.push_back(piece.mbuf);

    const bool too_long = read_fragment(sorted_.front()).kept + d.end > kMostIpBytes;
    if (too_long || !ecn_is_sound(d.ecn)) {
        const DropReason why = too_long ? DropReason::fragment_length : DropReason::fragment_ecn;
        spoil(at, why);
        disposal_.drop(last, why);
        return nullptr;
    }
    WorkerCounters& counters = disposal_.counters();
    counters.balance.held.sub(d.count);
    counters.balance.merged.add(d.count);
    counters.datagrams_joined.add();
    pieces_ -= d.count;
    counters.fragments_held.set(pieces_);
    d.head = d.tail = nullptr;
    d.count = 0;
    constexpr unsigned kCongestionExperienced = 1U << 3;
    const JoinedHeader header{static_cast<std::uint16_t>(d.end), d.largest, d.largest == d.largest_df,
                              (d.ecn & kCongestionExperienced) != 0};
    unlink(at);
    return join(sorted_, header);
}

bool Reassembly::find_first(const Datagram& d, Packet& first) const noexcept {
    rte_mbuf* m = d.first_port == kNoPort ? nullptr : d.head;
    while (m != nullptr && read_fragment(m).offset != 0) m = m->next;
    if (m == nullptr) return false;
    first.mbuf = m;
    first.in_port = d.first_port;
    first.l3 = rte_pktmbuf_mtod_offset(m, std::uint8_t*, sizeof(rte_ether_hdr));
    first.l3_bytes = static_cast<std::uint16_t>(m->data_len - sizeof(rte_ether_hdr));
    const FragmentHeader header = read_fragment(m);
    unsigned l4_offset = header.bytes;
    first.v6 = header.v6;
    if (first.v6) {
        const Ip6Walk rest = walk_behind_fragment({first.l3, first.l3_bytes}, header.bytes);
        l4_offset = rest.l4_offset;
        first.proto = rest.proto;
    } else {
        first.proto = first.ip()->next_proto_id;
    }
    first.l4 = first.l3 + l4_offset;
    first.l4_bytes = static_cast<std::uint16_t>(first.l3_bytes - l4_offset);
    first.icmp_error =
        shape_of(l4_kind(first.proto, first.v6)) == TupleShape::query && is_icmp_error(first.l4[0], first.v6);
    return true;
}

std::uint32_t Reassembly::find(const FlowKey& key) noexcept {
    std::uint32_t at = bucket_of(key);
    while (at != kNone && all_[at].key != key) at = all_[at].next;
    return at;
}

std::uint32_t Reassembly::begin(const FlowKey& key, Now now) noexcept {
    if (free_ == kNone) forget(oldest_, DropReason::fragment_evicted);
    const std::uint32_t at = free_;
    Datagram& d = all_[at];
    free_ = d.next;
    d = Datagram{};
    d.key = key;
    d.since_ms = now.ms;
    d.next = std::exchange(bucket_of(key), at);
    d.older = newest_;
    (newest_ == kNone ? oldest_ : all_[newest_].newer) = at;
    newest_ = at;
    ++used_;
    return at;
}

/// From now on nothing of it is wanted.
void Reassembly::spoil(std::uint32_t at, DropReason reason) noexcept {
    all_[at].spoilt = true;
    all_[at].why = reason;
    drop_pieces(all_[at], reason);
}

void Reassembly::forget(std::uint32_t at, DropReason reason) noexcept {
    drop_pieces(all_[at], reason);
    unlink(at);
}

void Reassembly::drop_pieces(Datagram& d, DropReason reason) noexcept {
    WorkerCounters& counters = disposal_.counters();
    for (rte_mbuf* m = d.head; m != nullptr;) {
        rte_mbuf* next = std::exchange(m->next, nullptr);
        disposal_.drop(m, reason);
        m = next;
    }
    counters.balance.held.sub(d.count);
    pieces_ -= d.count;
    counters.fragments_held.set(pieces_);
    d.head = d.tail = nullptr;
    d.count = 0;
}

void Reassembly::unlink(std::uint32_t at) noexcept {
    Datagram& d = all_[at];
    std::uint32_t* link = &bucket_of(d.key);
    while (*link != at) link = &all_[*link].next;
    *link = d.next;
    (d.older == kNone ? oldest_ : all_[d.older].newer) = d.newer;
    (d.newer == kNone ? newest_ : all_[d.newer].older) = d.older;
    maps_[at].clear();
    d.next = std::exchange(free_, at);
    --used_;
}

std::uint32_t Reassembly::longest_bucket() const noexcept {
    std::uint32_t longest = 0;
    for (std::uint32_t at : buckets_) {
        std::uint32_t length = 0;
        for (; at != kNone; at = all_[at].next) ++length;
        longest = std::max(longest, length);
    }
    return longest;
}

}  // namespace sluice

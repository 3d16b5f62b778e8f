#include "dataplane/ingress/reassembly.hh"

#include <algorithm>
#include <bit>
#include <utility>

#include <rte_ether.h>

#include "dataplane/ingress/join.hh"

namespace sluice {

namespace {

constexpr unsigned kMostIpBytes = 65535;
constexpr unsigned kDontFragment = 0x4000, kMoreFragments = 0x2000, kOffset = 0x1fff;

const rte_ipv4_hdr* header_of(const rte_mbuf* m) noexcept {
    return rte_pktmbuf_mtod_offset(m, const rte_ipv4_hdr*, sizeof(rte_ether_hdr));
}

std::uint16_t flags_of(const rte_ipv4_hdr* ip) noexcept {
    return Be16::from_raw(ip->fragment_offset).host();
}

std::uint16_t units_of(const rte_mbuf* m) noexcept {
    return static_cast<std::uint16_t>(flags_of(header_of(m)) & kOffset);
}

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

    const auto header = static_cast<unsigned>(p.l4 - p.l3);
    const Place place = place_of(p);
    if (DropReason why{}; !fits(d, place, header, why)) return spoilt(why);
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
    d.ecn |= static_cast<std::uint8_t>(1U << (p.ip()->type_of_service & 3U));
    if (place.begin == 0) d.first_port = p.in_port;
    const auto ip_bytes = static_cast<std::uint16_t>(header + place.end - place.begin);
    d.largest = std::max(d.largest, ip_bytes);
    if (place.dont_fragment) d.largest_df = std::max(d.largest_df, ip_bytes);

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

Reassembly::Place Reassembly::place_of(Packet& p) noexcept {
    const std::uint16_t flags = flags_of(p.ip());
    Place place;
    place.more = (flags & kMoreFragments) != 0;
    place.dont_fragment = (flags & kDontFragment) != 0;
    place.begin = (flags & kOffset) * 8U;
    unsigned bytes = p.l4_bytes;
    if (place.more && bytes % 8 != 0) {  // as in Linux: what cannot be placed is cut off
        rte_pktmbuf_trim(p.mbuf, static_cast<std::uint16_t>(bytes % 8));
        bytes -= bytes % 8;
    }
    place.end = place.begin + bytes;
    return place;
}

bool Reassembly::fits(Datagram& d, const Place& place, unsigned header, DropReason& why) noexcept {
    why = DropReason::fragment_length;
    if (place.end == place.begin || place.end + header > kMostIpBytes) return false;
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
    for (rte_mbuf* m = d.head; m != nullptr; m = m->next) sorting_.push_back({units_of(m), m});
    sorting_.push_back({units_of(last), last});
    if (!d.in_order)
        std::sort(sorting_.begin(), sorting_.end(), [](const Piece& a, const Piece& b) { return a.offset < b.offset; });
    for (const Piece& piece : sorting_) sorted_.push_back(piece.mbuf);

    const unsigned first_header = (header_of(sorted_.front())->version_ihl & 0xfU) * 4;
    const bool too_long = first_header + d.end > kMostIpBytes;
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
    while (m != nullptr && units_of(m) != 0) m = m->next;
    if (m == nullptr) return false;
    first.mbuf = m;
    first.in_port = d.first_port;
    first.l3 = rte_pktmbuf_mtod_offset(m, std::uint8_t*, sizeof(rte_ether_hdr));
    first.l3_bytes = static_cast<std::uint16_t>(m->data_len - sizeof(rte_ether_hdr));
    first.l4 = first.l3 + (first.ip()->version_ihl & 0xfU) * 4;
    first.l4_bytes = static_cast<std::uint16_t>(first.l3_bytes - (first.l4 - first.l3));
    first.proto = first.ip()->next_proto_id;
    first.icmp_error = first.proto == static_cast<std::uint8_t>(IpProto::icmp) && is_icmp_error(first.l4[0]);
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

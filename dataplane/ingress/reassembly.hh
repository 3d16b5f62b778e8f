// Fragments wait here, at the home of their addresses, until the datagram is whole; from then on it is one packet (RFC
// 791 3.2, RFC 8200 4.5, RFC 815 for holes, RFC 5722 for overlaps). IPv4 and IPv6 share the room and its bounds; they
// differ in how a fragment's header is read (fragment_header.hh) and in what becomes of the first one's (join.hh).
//
//   add() … → the datagram, when the piece that was missing has come
//           → nothing: the piece waits, or is dropped
//   30 s after the first piece to come → expire(): what has come is dropped
//
// As in Linux (ip_fragment.c, nf_conntrack_reasm.c): fragments belong together by addresses, identification, zone and,
// of IPv4, protocol; they come in any order; one that is here already is ignored; one that overlaps others spoils the
// datagram, and so does one without data or beyond the end, and of IPv6 one that is no multiple of eight. Otherwise
// than in Linux a spoilt datagram stays so until its time is over, also for pieces that have not come yet (RFC 5722 4),
// and when there is no room it is the oldest unfinished datagram that makes it, not the newcomer: an honest one is
// complete within milliseconds.
//
// Bounds: pieces and datagrams in all, pieces per datagram, time. The hash is keyed, so nobody can choose a bucket; a
// piece costs the same however many there are, and order is made once, when the datagram is whole.
//
// Owner: one worker. Memory is there from the start; a piece waits in its own buffer. balance.held follows the number
// of pieces here, balance.merged counts those that went into another packet. Drops are named.
#pragma once

#include <cstdint>
#include <vector>

#include <rte_mbuf.h>

#include "dataplane/base/clock.hh"
#include "dataplane/flow/keyed_hash.hh"
#include "dataplane/flow/packet.hh"
#include "dataplane/ingress/fragment_header.hh"
#include "dataplane/ingress/fragment_map.hh"

namespace sluice {

class Reassembly {
public:
    struct Options {
        std::uint32_t pieces = 2048;       ///< that wait, in all: with 2 KB each, what Linux keeps (ipfrag_high_thresh)
        std::uint32_t datagrams = 1024;    ///< unfinished or spoilt, at once
        std::uint32_t per_datagram = 256;  ///< pieces of one datagram
        TimeMs timeout_ms = 30000;         ///< Linux: ipfrag_time
    };

    /// Allocates everything. `disposal` outlives it.
    Reassembly(const Options& options, HashSecret secret, Disposal& disposal);
    /// Frees what still waits.
    ~Reassembly();
    Reassembly(const Reassembly&) = delete;
    Reassembly& operator=(const Reassembly&) = delete;

    /// Takes a fragment (Arrival::fragment, so `p.key` names its datagram), which is gone afterwards. Returns the whole
    /// datagram, to be parsed by the caller, or nullptr.
    [[nodiscard]] rte_mbuf* add(Packet& p, Now now) noexcept;

    /// Gives up on datagrams whose time is over; a bounded number per call. `tell(const Packet&)` sees the first
    /// fragment of each, if that has come, before it is dropped: v6, l3, l3_bytes, l4, l4_bytes, proto, in_port and
    /// icmp_error are set.
    template <class Tell>
    void expire(Now now, Tell&& tell) noexcept {
        std::uint32_t dropped = 0;
        while (oldest_ != kNone && overdue(all_[oldest_], now) && dropped < kDroppedPerCall) {
            const Datagram& d = all_[oldest_];
            dropped += 1U + d.count;
            if (Packet first; find_first(d, first)) tell(static_cast<const Packet&>(first));
            forget(oldest_, DropReason::fragment_timeout);
        }
    }

    /// Drops what waits, when the worker stops.
    void shutdown() noexcept {
        while (oldest_ != kNone) forget(oldest_, DropReason::shutdown);
    }

    [[nodiscard]] std::uint32_t pieces() const noexcept { return pieces_; }
    [[nodiscard]] std::uint32_t datagrams() const noexcept { return used_; }
    /// Datagrams in the fullest bucket; walks the table. For tests.
    [[nodiscard]] std::uint32_t longest_bucket() const noexcept;

private:
    static constexpr std::uint32_t kNone = 0xffffffffU;
    static constexpr std::uint32_t kDroppedPerCall = 256;

    struct Datagram {
        FlowKey key{};
        TimeMs since_ms = 0;
        rte_mbuf* head = nullptr;  // what has come, linked by mbuf::next
        rte_mbuf* tail = nullptr;
        std::uint32_t next = kNone;                  // in its bucket, or in the free list
        std::uint32_t older = kNone, newer = kNone;  // by age
        std::uint32_t count = 0;                     // pieces
        std::uint32_t bytes = 0;                     // data that has come
        std::uint32_t end = 0;                       // of the data, as far as is known
        std::uint16_t largest = 0, largest_df = 0;   // IP bytes of the largest piece, and of the largest with DF
        std::uint8_t ecn = 0;                        // bit per codepoint that was seen
        PortIndex first_port = kNoPort;              // where the first fragment came in
        bool last_known = false;                     // `end` is final
        bool in_order = true;
        bool spoilt = false;
        DropReason why{};  // spoilt
    };
    struct Piece {
        std::uint16_t offset = 0;
        rte_mbuf* mbuf = nullptr;
    };
    /// Which part of the data a fragment is.
    struct Place {
        std::uint32_t begin = 0, end = 0;
        bool more = false;
    };

    [[nodiscard]] bool overdue(const Datagram& d, Now now) const noexcept {
        return now.ms - d.since_ms >= options_.timeout_ms;
    }
    [[nodiscard]] std::uint32_t& bucket_of(const FlowKey& key) noexcept {
        return buckets_[hash_(key) & (buckets_.size() - 1)];
    }
    [[nodiscard]] std::uint32_t find(const FlowKey& key) noexcept;
    [[nodiscard]] std::uint32_t begin(const FlowKey& key, Now now) noexcept;
    void forget(std::uint32_t at, DropReason reason) noexcept;
    void spoil(std::uint32_t at, DropReason reason) noexcept;
    void drop_pieces(Datagram& d, DropReason reason) noexcept;
    void unlink(std::uint32_t at) noexcept;

    [[nodiscard]] static Place place_of(Packet& p, const FragmentHeader& header) noexcept;
    [[nodiscard]] static bool fits(Datagram& d, const Place& place, unsigned header) noexcept;
    [[nodiscard]] bool make_room(std::uint32_t for_datagram) noexcept;
    void keep(Datagram& d, rte_mbuf* m) noexcept;
    [[nodiscard]] rte_mbuf* finish(std::uint32_t at, rte_mbuf* last) noexcept;
    [[nodiscard]] bool find_first(const Datagram& d, Packet& first) const noexcept;

    Options options_;
    KeyedHash hash_;
    Disposal& disposal_;
    std::vector<Datagram> all_;
    std::vector<FragmentMap> maps_;       // by datagram
    std::vector<std::uint32_t> buckets_;  // a power of two
    std::vector<Piece> sorting_;          // the pieces of one datagram; reserved once
    std::vector<rte_mbuf*> sorted_;       // the same
    std::uint32_t free_ = kNone, oldest_ = kNone, newest_ = kNone;
    std::uint32_t used_ = 0, pieces_ = 0;
};

}  // namespace sluice

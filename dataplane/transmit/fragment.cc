#include "dataplane/transmit/fragment.hh"

#include <algorithm>
#include <cstring>

#include <rte_ether.h>

#include "dataplane/base/checksum.hh"
#include "dataplane/flow/chain.hh"
#include "dataplane/ingress/ip6_header.hh"

namespace sluice {

namespace {

constexpr unsigned kDontFragment = 0x4000, kMoreFragments = 0x2000;
/// Bytes of an IP header and what follows it in every piece. IPv4 has 60; of IPv6 all that fits the smallest MTU.
constexpr unsigned kMostPerFragment = kIp6LeastMtu - kIp6FragmentHeader;

/// Where the fragment header of an IPv6 packet goes: behind what every router on the way may have to see. As in Linux
/// (ip6_find_1stfragopt) those are hop-by-hop options, a routing header, and destination options unless they come
/// behind a routing header.
struct Seam {
    unsigned at = kIp6Header;    ///< from the IPv6 header on
    std::uint16_t named_at = 6;  ///< the byte that names what is at `at`
};

Seam seam_of(const Packet& p) noexcept {
    constexpr std::uint8_t kHopByHop = 0, kRouting = 43, kDestination = 60;
    Seam seam;
    bool routed = false;
    for (const auto end = static_cast<unsigned>(p.l4 - p.l3); seam.at < end && seam.at <= kMostPerFragment;) {
        const std::uint8_t next = p.l3[seam.named_at];
        if (next != kHopByHop && next != kRouting && (next != kDestination || routed)) break;
        routed |= next == kRouting;
        seam.named_at = static_cast<std::uint16_t>(seam.at);
        seam.at += (p.l3[seam.at + 1] + 1U) * 8;
    }
    return seam;
}

/// What is in front of the data of every piece, from the Ethernet header on.
class Headers {
public:
    /// `whole`: an IPv6 packet that shall leave in one piece, without a fragment header. `id`: of IPv6 fragments.
    Headers(const Packet& p, bool whole, Be32 id) noexcept : v6_(p.v6), whole_(whole) {
        const Seam seam = p.v6 ? seam_of(p) : Seam{static_cast<unsigned>(p.l4 - p.l3)};
        taken_ = bytes_ = static_cast<std::uint16_t>(sizeof(rte_ether_hdr) + seam.at);
        if (seam.at > kMostPerFragment) {
            too_long_ = true;
            return;
        }
        std::memcpy(frame_, p.l3 - sizeof(rte_ether_hdr), taken_);
        if (!v6_ || whole_) return;
        constexpr std::uint8_t kFragment = 44;
        std::uint8_t* fragment = frame_ + taken_;
        std::memset(fragment, 0, kIp6FragmentHeader);
        fragment[0] = std::exchange(frame_[sizeof(rte_ether_hdr) + seam.named_at], kFragment);
        std::memcpy(fragment + 4, &id.raw, sizeof id.raw);
        bytes_ = static_cast<std::uint16_t>(taken_ + kIp6FragmentHeader);
    }

    [[nodiscard]] bool too_long() const noexcept { return too_long_; }
    /// In front of the data of the packet that is cut.
    [[nodiscard]] std::uint16_t taken() const noexcept { return taken_; }
    /// In front of the data of a piece.
    [[nodiscard]] std::uint16_t bytes() const noexcept { return bytes_; }
    [[nodiscard]] std::uint16_t ip_bytes() const noexcept {
        return static_cast<std::uint16_t>(bytes_ - sizeof(rte_ether_hdr));
    }

    void clear_dont_fragment() noexcept {
        if (!v6_) frame_[sizeof(rte_ether_hdr) + 6] = 0;
    }
    void write(rte_mbuf* m, unsigned offset, unsigned data_bytes, bool more) noexcept {
        std::memcpy(rte_pktmbuf_mtod(m, void*), frame_, bytes_);
        m->ol_flags &= RTE_MBUF_F_EXTERNAL | RTE_MBUF_F_INDIRECT;
        if (v6_) {
            write_ip6(rte_pktmbuf_mtod_offset(m, std::uint8_t*, sizeof(rte_ether_hdr)), offset, data_bytes, more);
        } else {
            write_ip4(rte_pktmbuf_mtod_offset(m, rte_ipv4_hdr*, sizeof(rte_ether_hdr)), offset, data_bytes, more);
        }
    }

private:
    void write_ip4(rte_ipv4_hdr* ip, unsigned offset, unsigned data_bytes, bool more) noexcept {
        const unsigned kept = Be16::from_raw(ip->fragment_offset).host() & kDontFragment;
        ip->total_length = be16(ip_bytes() + data_bytes).raw;
        ip->fragment_offset = be16(kept | (more ? kMoreFragments : 0) | offset / 8).raw;
        ip->hdr_checksum = 0;
        ip->hdr_checksum = checksum_of(ip, ip_bytes());
        if (offset == 0) blank_options();
    }
    void write_ip6(std::uint8_t* ip, unsigned offset, unsigned data_bytes, bool more) const noexcept {
        const std::uint16_t payload = be16(ip_bytes() - kIp6Header + data_bytes).raw;
        std::memcpy(ip + 4, &payload, sizeof payload);
        if (whole_) return;
        const std::uint16_t where = be16(offset | unsigned{more}).raw;
        std::memcpy(ip + ip_bytes() - kIp6FragmentHeader + 2, &where, sizeof where);
    }
    /// Options that are not marked as copied are for the first piece alone (RFC 791 3.1); later ones have padding
    /// there.
    void blank_options() noexcept {
        constexpr std::uint8_t kEnd = 0, kNop = 1, kCopied = 0x80;
        std::uint8_t* option = frame_ + sizeof(rte_ether_hdr) + sizeof(rte_ipv4_hdr);
        const std::uint8_t* end = frame_ + bytes_;
        while (option < end && *option != kEnd) {
            const unsigned length = *option == kNop || option + 1 == end ? 1 : std::max<unsigned>(option[1], 1);
            const auto stays = static_cast<std::size_t>(std::min<std::ptrdiff_t>(end - option, length));
            if ((*option & kCopied) == 0) std::memset(option, kNop, stays);
            option += stays;
        }
    }

    bool v6_, whole_, too_long_ = false;
    std::uint16_t taken_ = 0, bytes_ = 0;
    std::uint8_t frame_[sizeof(rte_ether_hdr) + kMostPerFragment + kIp6FragmentHeader];
};

/// A chain of which each buffer can be a piece as it is.
bool fits_as_it_came(const Packet& p, const Headers& headers, unsigned most) noexcept {
    if (p.mbuf->nb_segs == 1) return false;
    unsigned data_bytes = p.mbuf->data_len - headers.taken();
    for (const rte_mbuf* m = p.mbuf;; data_bytes = m->data_len) {
        const unsigned room = m == p.mbuf ? unsigned{headers.bytes()} - headers.taken() : headers.bytes();
        if (rte_pktmbuf_headroom(m) < room) return false;
        if (data_bytes == 0 || data_bytes > most || (m->next != nullptr && data_bytes % 8 != 0)) return false;
        if ((m = m->next) == nullptr) return true;
    }
}

rte_mbuf* take_apart(Packet& p, Headers& headers) noexcept {
    rte_mbuf* whole = std::exchange(p.mbuf, nullptr);
    headers.clear_dont_fragment();
    unsigned offset = 0, data_bytes = whole->data_len - headers.taken();
    for (rte_mbuf* m = whole; m != nullptr; m = m->next) {
        if (m != whole) data_bytes = m->data_len;
        rte_pktmbuf_prepend(m, static_cast<std::uint16_t>(headers.bytes() - (m == whole ? headers.taken() : 0)));
        m->pkt_len = m->data_len;
        m->nb_segs = 1;
        headers.write(m, offset, data_bytes, m->next != nullptr);
        offset += data_bytes;
    }
    return whole;
}

/// Reads a datagram's data from front to end, whatever buffers it is in.
class Reader {
public:
    Reader(const rte_mbuf* m, std::uint16_t offset) noexcept : m_(m), offset_(offset) {}

    /// There are `bytes` left.
    void read(char* to, std::size_t bytes) noexcept {
        while (bytes != 0) {
            if (offset_ == m_->data_len) {
                m_ = m_->next;
                offset_ = 0;
                continue;
            }
            const std::size_t here = std::min<std::size_t>(bytes, m_->data_len - std::size_t{offset_});
            std::memcpy(to, rte_pktmbuf_mtod_offset(m_, const char*, offset_), here);
            offset_ = static_cast<std::uint16_t>(offset_ + here);
            to += here;
            bytes -= here;
        }
    }

private:
    const rte_mbuf* m_;
    std::uint16_t offset_;
};

/// It came in pieces, but fits one that is no larger than the largest of them.
bool leaves_whole(const Packet& p, std::uint16_t mtu) noexcept {
    return p.v6 && p.l3_bytes <= std::min(p.largest_piece, mtu);
}

/// In IP bytes. Every link takes 1280 bytes of IPv6, so nothing is cut smaller (Linux, ip6_fragment).
unsigned largest_piece_for(const Packet& p, std::uint16_t mtu) noexcept {
    if (p.largest_piece == 0) return mtu;
    return std::min<unsigned>(mtu, p.v6 ? std::max<unsigned>(p.largest_piece, kIp6LeastMtu) : p.largest_piece);
}

}  // namespace

rte_mbuf* cut(Packet& p, std::uint16_t mtu, rte_mempool* pool, Disposal& disposal, Be32 id) noexcept {
    WorkerCounters& counters = disposal.counters();
    const bool has_its_edges = give_back(p.mbuf);
    const bool whole_again = leaves_whole(p, mtu);
    Headers headers(p, whole_again, id);
    const unsigned largest = largest_piece_for(p, mtu);
    const unsigned most = std::max<unsigned>(largest, headers.ip_bytes()) - headers.ip_bytes();
    if (!headers.too_long() && !whole_again && has_its_edges && fits_as_it_came(p, headers, most)) {
        counters.balance.split.add(p.mbuf->nb_segs - 1U);
        counters.datagrams_cut.add();
        return take_apart(p, headers);
    }

    rte_mbuf* whole = std::exchange(p.mbuf, nullptr);
    rte_mbuf* first = nullptr;
    const auto fail = [&](DropReason reason) noexcept {
        if (first != nullptr) rte_pktmbuf_free(first);  // and all that is linked to it
        disposal.drop(whole, reason);
        return nullptr;
    };
    if (headers.too_long() || (most < 8 && !whole_again)) return fail(DropReason::fragment_failed);
    Reader reader(whole, headers.taken());
    rte_mbuf** link = &first;
    unsigned made = 0;
    for (unsigned offset = 0, left = p.l3_bytes - (headers.taken() - unsigned{sizeof(rte_ether_hdr)}); left != 0;
         ++made) {
        const unsigned data_bytes = left <= most ? left : most / 8 * 8;
        rte_mbuf* m = *link = rte_pktmbuf_alloc(pool);
        if (m == nullptr) return fail(DropReason::no_buffer);
        char* frame = rte_pktmbuf_append(m, static_cast<std::uint16_t>(headers.bytes() + data_bytes));
        if (frame == nullptr) return fail(DropReason::fragment_failed);
        left -= data_bytes;
        headers.write(m, offset, data_bytes, left != 0);
        reader.read(frame + headers.bytes(), data_bytes);
        offset += data_bytes;
        link = &m->next;
    }
    disposal.release(whole);
    counters.balance.split.add(made - 1);
    if (!whole_again) counters.datagrams_cut.add();
    return first;
}

}  // namespace sluice

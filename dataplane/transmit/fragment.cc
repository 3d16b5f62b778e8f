#include "dataplane/transmit/fragment.hh"

#include <algorithm>
#include <cstring>

#include <rte_ether.h>

#include "dataplane/base/checksum.hh"

namespace sluice {

namespace {

constexpr unsigned kDontFragment = 0x4000, kMoreFragments = 0x2000;

/// Ethernet and IPv4 header of every piece.
struct Headers {
    explicit Headers(const Packet& p) noexcept
        : ip_bytes(static_cast<std::uint16_t>(p.l4 - p.l3)),
          bytes(static_cast<std::uint16_t>(sizeof(rte_ether_hdr) + ip_bytes)) {
        std::memcpy(frame, p.l3 - sizeof(rte_ether_hdr), bytes);
    }

    /// Options that are not marked as copied are for the first piece alone (RFC 791 3.1); later ones have padding
    /// there.
    void blank_options() noexcept {
        constexpr std::uint8_t kEnd = 0, kNop = 1, kCopied = 0x80;
        std::uint8_t* option = frame + sizeof(rte_ether_hdr) + sizeof(rte_ipv4_hdr);
        const std::uint8_t* end = frame + bytes;
        while (option < end && *option != kEnd) {
            const unsigned length = *option == kNop || option + 1 == end ? 1 : std::max<unsigned>(option[1], 1);
            const auto stays = static_cast<std::size_t>(std::min<std::ptrdiff_t>(end - option, length));
            if ((*option & kCopied) == 0) std::memset(option, kNop, stays);
            option += stays;
        }
    }
    void clear_dont_fragment() noexcept { frame[sizeof(rte_ether_hdr) + 6] = 0; }
    void write(rte_mbuf* m, unsigned offset, unsigned data_bytes, bool more) noexcept {
        auto* ip = rte_pktmbuf_mtod_offset(m, rte_ipv4_hdr*, sizeof(rte_ether_hdr));
        std::memcpy(rte_pktmbuf_mtod(m, void*), frame, bytes);
        const unsigned kept = Be16::from_raw(ip->fragment_offset).host() & kDontFragment;
        ip->total_length = be16(ip_bytes + data_bytes).raw;
        ip->fragment_offset = be16(kept | (more ? kMoreFragments : 0) | offset / 8).raw;
        ip->hdr_checksum = 0;
        ip->hdr_checksum = checksum_of(ip, ip_bytes);
        m->ol_flags &= RTE_MBUF_F_EXTERNAL | RTE_MBUF_F_INDIRECT;
        if (offset == 0) blank_options();
    }

    std::uint16_t ip_bytes, bytes;
    std::uint8_t frame[sizeof(rte_ether_hdr) + 60];
};

/// A chain of which each buffer can be a piece as it is.
bool fits_as_it_came(const Packet& p, const Headers& headers, unsigned most) noexcept {
    if (p.mbuf->nb_segs == 1) return false;
    unsigned data_bytes = p.mbuf->data_len - headers.bytes;
    for (const rte_mbuf* m = p.mbuf;; data_bytes = m->data_len) {
        if (m != p.mbuf && rte_pktmbuf_headroom(m) < headers.bytes) return false;
        if (data_bytes == 0 || data_bytes > most || (m->next != nullptr && data_bytes % 8 != 0)) return false;
        if ((m = m->next) == nullptr) return true;
    }
}

rte_mbuf* take_apart(Packet& p, Headers& headers) noexcept {
    rte_mbuf* whole = std::exchange(p.mbuf, nullptr);
    headers.clear_dont_fragment();
    unsigned offset = 0, data_bytes = whole->data_len - headers.bytes;
    for (rte_mbuf* m = whole; m != nullptr; m = m->next) {
        if (m != whole) {
            data_bytes = m->data_len;
            rte_pktmbuf_prepend(m, headers.bytes);
        }
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

}  // namespace

rte_mbuf* cut(Packet& p, std::uint16_t mtu, rte_mempool* pool, Disposal& disposal) noexcept {
    WorkerCounters& counters = disposal.counters();
    Headers headers(p);
    const unsigned largest = p.largest_piece != 0 ? std::min(p.largest_piece, mtu) : mtu;
    const unsigned most = std::max<unsigned>(largest, headers.ip_bytes) - headers.ip_bytes;
    if (fits_as_it_came(p, headers, most)) {
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
    if (most < 8) return fail(DropReason::fragment_failed);
    Reader reader(whole, headers.bytes);
    rte_mbuf** link = &first;
    unsigned made = 0;
    for (unsigned offset = 0, left = static_cast<unsigned>(p.l3_bytes - headers.ip_bytes); left != 0; ++made) {
        const unsigned data_bytes = left <= most ? left : most / 8 * 8;
        rte_mbuf* m = *link = rte_pktmbuf_alloc(pool);
        if (m == nullptr) return fail(DropReason::no_buffer);
        char* frame = rte_pktmbuf_append(m, static_cast<std::uint16_t>(headers.bytes + data_bytes));
        if (frame == nullptr) return fail(DropReason::fragment_failed);
        left -= data_bytes;
        headers.write(m, offset, data_bytes, left != 0);
        reader.read(frame + headers.bytes, data_bytes);
        offset += data_bytes;
        link = &m->next;
    }
    disposal.release(whole);
    counters.balance.split.add(made - 1);
    counters.datagrams_cut.add();
    return first;
}

}  // namespace sluice

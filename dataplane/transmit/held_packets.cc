#include "dataplane/transmit/held_packets.hh"

#include <bit>

namespace sluice {

HeldPackets::HeldPackets(const Options& options, WorkerCounters& counters, Ring<Notice>& to_control)
    : options_(options),
      counters_(counters),
      to_control_(to_control),
      nodes_(options.packets),
      neighbours_(options.neighbours),
      buckets_(std::bit_ceil(std::size_t{options.neighbours} * 2), kNone) {
    active_.reserve(options.neighbours);
    for (std::uint32_t i = options.packets; i-- > 0;) nodes_[i].next = std::exchange(free_node_, i);
    for (std::uint32_t i = options.neighbours; i-- > 0;) neighbours_[i].next = std::exchange(free_neighbour_, i);
}

HeldPackets::~HeldPackets() {
    drain([](rte_mbuf* m) { rte_pktmbuf_free(m); });
}

bool HeldPackets::hold(rte_mbuf* m, const IpAddress& address, PortIndex port, Now now) noexcept {
    const std::uint32_t at = find_or_add(address, port);
    if (at == kNone) return false;
    Neighbour& neighbour = neighbours_[at];
    ask(neighbour, now);  // also without room: the next packet will not need any
    if (buffers_ + m->nb_segs > options_.packets || neighbour.count == options_.per_neighbour) return false;

    const std::uint32_t node = free_node_;
    free_node_ = nodes_[node].next;
    nodes_[node] = {m, now.ms, kNone};
    if (neighbour.tail == kNone)
        neighbour.head = node;
    else
        nodes_[neighbour.tail].next = node;
    neighbour.tail = node;
    ++neighbour.count;
    ++held_;
    buffers_ += m->nb_segs;
    counters_.balance.held.add();
    return true;
}

void HeldPackets::ask(Neighbour& neighbour, Now now) noexcept {
    if (neighbour.asked && now.ms - neighbour.asked_ms < kAskEveryMs) return;
    Notice notice;
    notice.kind = NoticeKind::resolve;
    notice.detail = neighbour.port;
    notice.key.set_dst(neighbour.address);
    if (!to_control_.post(notice)) return;
    neighbour.asked = true;
    neighbour.asked_ms = now.ms;
    counters_.neighbour_requests.add();
}

std::uint32_t HeldPackets::bucket_of(const IpAddress& address, PortIndex port) const noexcept {
    // Addresses of one subnet differ in their low bits: a multiply spreads them, and nobody gains by collisions in a
    // table of so few.
    const std::uint64_t mixed = ((address.upper64() ^ address.lower64()) << 8 | port) * 0x9e3779b97f4a7c15U;
    return static_cast<std::uint32_t>(mixed >> 32) & static_cast<std::uint32_t>(buckets_.size() - 1);
}

std::uint32_t HeldPackets::find(const IpAddress& address, PortIndex port) const noexcept {
    std::uint32_t at = buckets_[bucket_of(address, port)];
    while (at != kNone && (neighbours_[at].address != address || neighbours_[at].port != port))
        at = neighbours_[at].next;
    return at;
}

std::uint32_t HeldPackets::find_or_add(const IpAddress& address, PortIndex port) noexcept {
    if (const std::uint32_t at = find(address, port); at != kNone) return at;
    const std::uint32_t at = free_neighbour_;
    if (at == kNone) return kNone;
    Neighbour& neighbour = neighbours_[at];
    free_neighbour_ = neighbour.next;
    neighbour = {};
    neighbour.address = address;
    neighbour.port = port;
    neighbour.place = static_cast<std::uint32_t>(active_.size());
    neighbour.next = std::exchange(buckets_[bucket_of(address, port)], at);
    active_.push_back(at);  // within what was reserved
    return at;
}

std::uint32_t HeldPackets::detach_all(std::uint32_t at) noexcept {
    Neighbour& neighbour = neighbours_[at];
    neighbour.count = 0;
    neighbour.tail = kNone;
    return std::exchange(neighbour.head, kNone);
}

std::uint32_t HeldPackets::detach_older(std::uint32_t at, Now now) noexcept {
    Neighbour& neighbour = neighbours_[at];
    std::uint32_t last = kNone;
    for (std::uint32_t n = neighbour.head; n != kNone && now.ms - nodes_[n].since_ms >= options_.timeout_ms;
         n = nodes_[n].next) {
        last = n;
        --neighbour.count;
    }
    if (last == kNone) return kNone;
    const std::uint32_t first = std::exchange(neighbour.head, std::exchange(nodes_[last].next, kNone));
    if (neighbour.head == kNone) neighbour.tail = kNone;
    return first;
}

void HeldPackets::forget_if_idle(std::uint32_t at, Now now) noexcept {
    Neighbour& neighbour = neighbours_[at];
    // Kept for a while after its last packet: it remembers when the kernel was asked.
    if (neighbour.count != 0 || (neighbour.asked && now.ms - neighbour.asked_ms < kAskEveryMs)) return;
    std::uint32_t* link = &buckets_[bucket_of(neighbour.address, neighbour.port)];
    while (*link != at) link = &neighbours_[*link].next;
    *link = neighbour.next;
    const std::uint32_t moved = active_.back();
    active_[neighbour.place] = moved;
    neighbours_[moved].place = neighbour.place;
    active_.pop_back();
    neighbour.next = std::exchange(free_neighbour_, at);
}

}  // namespace sluice

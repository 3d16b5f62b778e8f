#include "dataplane/policy/first_packets.hh"

#include <bit>

namespace sluice {

FirstPackets::FirstPackets(const Options& options, WorkerCounters& counters)
    : options_(options),
      counters_(counters),
      tuples_(options.tuples),
      nodes_(options.packets),
      buckets_(std::bit_ceil(options.tuples), kNone) {
    for (std::uint32_t i = options.tuples; i-- > 0;) tuples_[i].next = std::exchange(free_tuple_, i);
    for (std::uint32_t i = options.packets; i-- > 0;) nodes_[i].next = std::exchange(free_node_, i);
}

FirstPackets::~FirstPackets() {
    for (const Node& n : nodes_)
        if (n.mbuf != nullptr) rte_pktmbuf_free(n.mbuf);
}

bool FirstPackets::mirrors(const FlowKey& key, std::uint32_t hash, std::uint8_t worker,
                           const FlowKey& reply) const noexcept {
    const std::uint32_t at = used_ == 0 ? kNone : find(key, hash);
    return at != kNone && !tuples_[at].back && tuples_[at].worker == worker && tuples_[at].reply == reply;
}

bool FirstPackets::depart(const FlowKey& key, std::uint32_t hash, std::uint8_t worker, const FlowKey& reply,
                          Now now) noexcept {
    std::uint32_t at = used_ == 0 ? kNone : find(key, hash);
    if (at == kNone) {
        at = add(key, hash);
        if (at == kNone) return false;
    } else if (tuples_[at].back) {
        unlink(at);
    } else {
        return false;
    }
    Tuple& t = tuples_[at];
    t.reply = reply;
    t.worker = worker;
    t.back = false;
    t.deadline_ms = now.ms + options_.timeout_ms;
    append(at);
    return true;
}

bool FirstPackets::wait(const FlowKey& key, std::uint32_t hash, rte_mbuf* m) noexcept {
    const std::uint32_t at = used_ == 0 ? kNone : find(key, hash);
    if (at == kNone || buffers_ + m->nb_segs > options_.packets || tuples_[at].count == options_.per_tuple)
        return false;
    const std::uint32_t node = free_node_;
    free_node_ = std::exchange(nodes_[node].next, kNone);
    nodes_[node].mbuf = m;
    Tuple& t = tuples_[at];
    (t.tail == kNone ? t.head : nodes_[t.tail].next) = node;
    t.tail = node;
    ++t.count;
    ++waiting_;
    buffers_ += m->nb_segs;
    counters_.balance.held.add();
    counters_.firsts_waited_for.add();
    return true;
}

void FirstPackets::returned(const FlowKey& key, std::uint32_t hash) noexcept {
    if (used_ == 0) return;
    if (const std::uint32_t at = find(key, hash); at != kNone) tuples_[at].back = true;
}

std::uint32_t FirstPackets::find(const FlowKey& key, std::uint32_t hash) const noexcept {
    std::uint32_t at = buckets_[hash & (buckets_.size() - 1)];
    while (at != kNone && !(tuples_[at].hash == hash && tuples_[at].key == key)) at = tuples_[at].next;
    return at;
}

std::uint32_t FirstPackets::add(const FlowKey& key, std::uint32_t hash) noexcept {
    const std::uint32_t at = free_tuple_;
    if (at == kNone) return kNone;
    Tuple& t = tuples_[at];
    free_tuple_ = t.next;
    t = Tuple{};
    t.key = key;
    t.hash = hash;
    t.next = std::exchange(bucket_of(hash), at);
    ++used_;
    return at;
}

std::uint32_t FirstPackets::remove(std::uint32_t at) noexcept {
    Tuple& t = tuples_[at];
    std::uint32_t* link = &bucket_of(t.hash);
    while (*link != at) link = &tuples_[*link].next;
    *link = t.next;
    unlink(at);
    t.next = std::exchange(free_tuple_, at);
    --used_;
    return t.head;
}

void FirstPackets::append(std::uint32_t at) noexcept {
    tuples_[at].older = newest_;
    tuples_[at].newer = kNone;
    (newest_ == kNone ? oldest_ : tuples_[newest_].newer) = at;
    newest_ = at;
}

void FirstPackets::unlink(std::uint32_t at) noexcept {
    const Tuple& t = tuples_[at];
    (t.older == kNone ? oldest_ : tuples_[t.older].newer) = t.newer;
    (t.newer == kNone ? newest_ : tuples_[t.newer].older) = t.older;
}

}  // namespace sluice

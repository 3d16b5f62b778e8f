#include "dataplane/ingress/handoff.hh"

namespace sluice {

void Handoff::flush(unsigned to) noexcept {
    Batch& batch = batches_[to];
    const unsigned sent = rings_.between(me_, to).post_burst(batch.mbufs.data(), batch.count);
    WorkerCounters& counters = disposal_.counters();
    if (sent != 0) {
        counters.balance.handed_out.add(sent);
        counters.handoff_bursts.add();
    }
    for (unsigned i = sent; i < batch.count; ++i) {
        if (lost_ != nullptr) lost_(lost_context_, to, batch.mbufs[i]);
        disposal_.drop(batch.mbufs[i], DropReason::handoff_ring_full);
    }
    batch.count = 0;
}

}  // namespace sluice

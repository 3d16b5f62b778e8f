// How the control thread hands objects to workers: one pointer per object, exchanged whole, and the old object freed
// when no worker can hold it any more (quiescent-state based reclamation, rte_rcu_qsbr).
//
//   control                                     worker, once per burst
//     publication.publish(new, grace)             grace.quiescent(me)   "I hold nothing of the last burst"
//     … later, from a timer: grace.reclaim()      p = publication.load(); use p until the next quiescent()
//
// A worker that sleeps is offline and holds nobody up; it holds nothing either. Packets that are kept across bursts
// carry ids, never pointers into a publication.
//
// Owners: `online`, `offline` and `quiescent` belong to the worker they name; everything else to the control thread,
// which never waits: an object whose time has not come stays in the queue.
// Failure: construction and retire() throw std::bad_alloc; workers' calls cannot fail.
// End: stop and join the workers, then destroy; the destructors free what is left.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <deque>
#include <functional>
#include <memory>
#include <new>
#include <stdexcept>
#include <utility>

#include <rte_rcu_qsbr.h>

namespace sluice {

class GracePeriods {
public:
    /// For workers 0 … workers - 1, all of them offline. Throws std::invalid_argument for no workers.
    explicit GracePeriods(unsigned workers) : state_(make(workers)) {}
    ~GracePeriods() {
        while (!waiting_.empty()) free_oldest();
    }
    GracePeriods(const GracePeriods&) = delete;
    GracePeriods& operator=(const GracePeriods&) = delete;

    // --- worker
    /// From here on this worker may hold what it loads.
    void online(unsigned worker) noexcept { rte_rcu_qsbr_thread_online(state_.get(), worker); }
    /// This worker holds nothing and will not load anything before online(). Before sleeping or ending.
    void offline(unsigned worker) noexcept { rte_rcu_qsbr_thread_offline(state_.get(), worker); }
    /// This worker holds nothing that it loaded before. Only while online.
    void quiescent(unsigned worker) noexcept { rte_rcu_qsbr_quiescent(state_.get(), worker); }

    // --- control thread
    /// Calls `free` from a later reclaim(), when every worker that is online now has been quiescent or gone offline.
    void retire(std::function<void()> free) {
        // The token is taken after the caller has unlinked the object: whoever reports it cannot load the object again.
        waiting_.push_back({0, std::move(free)});
        waiting_.back().token = rte_rcu_qsbr_start(state_.get());
    }
    /// Frees what may be freed by now, oldest first; never waits. Returns how many.
    std::size_t reclaim() {
        std::size_t freed = 0;
        while (!waiting_.empty() && rte_rcu_qsbr_check(state_.get(), waiting_.front().token, false) == 1) {
            free_oldest();
            ++freed;
        }
        return freed;
    }
    /// Objects that wait for their grace period.
    [[nodiscard]] std::size_t pending() const noexcept { return waiting_.size(); }
    /// For DPDK libraries that defer frees themselves (rte_lpm, rte_hash).
    [[nodiscard]] rte_rcu_qsbr* qsbr() noexcept { return state_.get(); }

private:
    struct Free {
        void operator()(rte_rcu_qsbr* state) const noexcept { std::free(state); }
    };
    struct Retired {
        std::uint64_t token;
        std::function<void()> free;
    };

    static std::unique_ptr<rte_rcu_qsbr, Free> make(unsigned workers) {
        if (workers == 0) throw std::invalid_argument("grace periods need at least one worker");
        const std::size_t bytes = rte_rcu_qsbr_get_memsize(workers);
        const std::size_t whole_lines = (bytes + RTE_CACHE_LINE_SIZE - 1) / RTE_CACHE_LINE_SIZE * RTE_CACHE_LINE_SIZE;
        std::unique_ptr<rte_rcu_qsbr, Free> state(
            static_cast<rte_rcu_qsbr*>(std::aligned_alloc(RTE_CACHE_LINE_SIZE, whole_lines)));
        if (state == nullptr) throw std::bad_alloc();
        rte_rcu_qsbr_init(state.get(), workers);
        for (unsigned worker = 0; worker < workers; ++worker) rte_rcu_qsbr_thread_register(state.get(), worker);
        return state;
    }

    void free_oldest() {
        // Out of the queue first: what is called may retire more.
        const Retired oldest = std::move(waiting_.front());
        waiting_.pop_front();
        oldest.free();
    }

    std::unique_ptr<rte_rcu_qsbr, Free> state_;
    std::deque<Retired> waiting_;
};

/// The pointer. writer: control; readers: workers.
template <class T>
class Publication {
public:
    Publication() noexcept = default;
    explicit Publication(std::unique_ptr<const T> first) noexcept : current_(first.release()) {}
    /// Workers are gone by now.
    ~Publication() { delete current_.load(std::memory_order_relaxed); }
    Publication(const Publication&) = delete;
    Publication& operator=(const Publication&) = delete;

    /// Null before the first publish. Valid until the calling worker's next quiescent() or offline(); on the control
    /// thread until it publishes again.
    [[nodiscard]] const T* load() const noexcept { return current_.load(std::memory_order_acquire); }

    /// Puts `next` in place (null is allowed) and frees the former object after a grace period. Control thread.
    void publish(std::unique_ptr<const T> next, GracePeriods& grace) {
        publish(std::move(next), grace, [](const T&) {});
    }

    /// The same; `last_look(const T&)` sees the former object when no worker does any more, just before it is freed.
    template <class LastLook>
    void publish(std::unique_ptr<const T> next, GracePeriods& grace, LastLook last_look) {
        const T* const former = current_.exchange(next.release(), std::memory_order_acq_rel);
        if (former == nullptr) return;
        grace.retire([former, last_look = std::move(last_look)] {
            last_look(*former);
            delete former;
        });
    }

private:
    std::atomic<const T*> current_{nullptr};
};

}  // namespace sluice

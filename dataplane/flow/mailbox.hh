// Mailboxes: single-producer single-consumer rte_rings of fixed-size messages between one worker and control, and
// between pairs of workers. A full ring blocks nobody; what that means for a message is said at its sender.
#pragma once

#include <cstdint>
#include <stdexcept>
#include <string>
#include <type_traits>
#include <utility>

#include <rte_ring.h>
#include <rte_ring_elem.h>

#include "dataplane/base/clock.hh"
#include "dataplane/flow/expectation.hh"
#include "dataplane/flow/flow_entry.hh"

namespace sluice {

/// worker → control. Lossless for flow notices: see FlowStore (a notice without room waits in its slot).
enum class NoticeKind : std::uint32_t {
    born,       ///< slot, generation, deadline_ms: arm the wheel
    shortened,  ///< slot, generation, deadline_ms: due earlier than armed
    died,       ///< slot, generation: off the wheel; the slot may be used again
    resolve,    ///< key.dst, port: ask the kernel for this neighbour
    log,        ///< rule, port and tuple of a packet that a log rule matched, or that found a pool used up
};
struct Notice {
    NoticeKind kind{};
    SlotIndex slot = kNoSlot;
    std::uint32_t generation = 0;
    std::uint32_t detail = 0;  // resolve: PortIndex. log: LogEvent | prefix id << 8 | in_port << 16 | out_port << 24
    TimeMs deadline_ms = 0;    // log: bytes
    FlowKey key{};             // log: the packet's tuple. resolve: its destination is the neighbour
};
static_assert(sizeof(Notice) == 64 && std::is_trivially_copyable_v<Notice>);

enum class LogEvent : std::uint8_t { rule, pool_exhausted };

/// control → worker. Control repeats what did not fit (expire is asked again by the wheel).
enum class OrderKind : std::uint32_t {
    expire,  ///< slot, generation: erase if still past its deadline
    erase,   ///< erase the flows of `target` (an EraseBatch*) now (conntrack -D)
    flush,   ///< erase every flow, in slices of bounded work per loop; `target` is a FlushTicket*
    update,  ///< change the flows of `target` (an UpdateBatch*) (conntrack -U)
    watch,   ///< events go to `target` (a Ring<FlowEvent>*) from now on; 0: nobody listens any more
    list,    ///< copy live flows from `slot` on into `target` (a ListSlice*), bounded; flips its flag when done
    neighbour_changed,  ///< address, port: let held packets go, or drop them if it failed
    measure,            ///< count cycles by stage in one busy loop of `detail` from now on; 0: no longer
};
struct Order {
    OrderKind kind{};
    SlotIndex slot = kNoSlot;
    std::uint32_t generation = 0;
    std::uint32_t detail = 0;
    std::uint64_t target = 0;
    IpAddress address{};
};
static_assert(sizeof(Order) == 40 && std::is_trivially_copyable_v<Order>);

/// worker → worker, without a packet. One ring per ordered pair. A message about a stub that did not fit waits in the
/// flow's slot (FlowStore); an expectation that does not fit is refused, as if its table were full.
enum class PeerKind : std::uint32_t {
    remove_stub,    ///< `reply`, `original`: the flow is gone
    expect,         ///< `expectation`: its home is the receiver
    remove_expect,  ///< every expectation of `expectation.master`: the master is gone
};
struct PeerMessage {
    PeerKind kind{};
    std::uint32_t from_worker = 0;
    FlowKey reply{};
    FlowKey original{};
    Expectation expectation{};
};
static_assert(std::is_trivially_copyable_v<PeerMessage>);

/// Owning SPSC ring of T. `post` false = full. Sizes are powers of two; one element is lost to the ring itself.
template <class T>
class Ring {
    static_assert(std::is_trivially_copyable_v<T> && sizeof(T) % 4 == 0);

public:
    Ring() = default;
    Ring(const std::string& name, unsigned size, int socket)
        : ring_(rte_ring_create_elem(name.c_str(), sizeof(T), size, socket, RING_F_SP_ENQ | RING_F_SC_DEQ)) {
        if (ring_ == nullptr) throw std::runtime_error("no memory for ring " + name);
    }
    Ring(Ring&& other) noexcept : ring_(std::exchange(other.ring_, nullptr)) {}
    Ring& operator=(Ring&& other) noexcept {
        std::swap(ring_, other.ring_);
        return *this;
    }
    ~Ring() { rte_ring_free(ring_); }

    [[nodiscard]] bool post(const T& message) noexcept { return post_burst(&message, 1) == 1; }
    unsigned post_burst(const T* messages, unsigned n) noexcept {
        return rte_ring_sp_enqueue_burst_elem(ring_, messages, sizeof(T), n, nullptr);
    }
    unsigned take(T* messages, unsigned n) noexcept {
        return rte_ring_sc_dequeue_burst_elem(ring_, messages, sizeof(T), n, nullptr);
    }
    [[nodiscard]] unsigned count() const noexcept { return ring_ == nullptr ? 0 : rte_ring_count(ring_); }
    [[nodiscard]] unsigned capacity() const noexcept { return ring_ == nullptr ? 0 : rte_ring_get_capacity(ring_); }
    explicit operator bool() const noexcept { return ring_ != nullptr; }

private:
    rte_ring* ring_ = nullptr;
};

}  // namespace sluice

// Listings and deletions of flows, for the API: control asks the workers slice by slice and waits for their answers
// without blocking anything. A worker copies or erases a bounded number of flows per loop, so traffic never stops.
//
// A slice, batch or ticket that a worker was given belongs to that worker until it says `done`; it is kept alive here
// even if whoever asked for it has gone away meanwhile.
//
// Owner: control thread. Failure: a full order ring is tried again a moment later.
#pragma once

#include <functional>
#include <list>
#include <memory>
#include <vector>

#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>

#include "control/api/box.hh"
#include "dataplane/flow/listing.hh"
#include "dataplane/flow/mailbox.hh"

namespace sluice {

class FlowLister {
public:
    using Orders = std::vector<Ring<Order>*>;  ///< by worker
    /// Adds names of rules, and what is shown at a time.
    using Describe = std::function<void(const FlowCopy&, TimeMs now_ms, api::FlowRecord&)>;

    /// `clock` gives the workers' milliseconds.
    FlowLister(boost::asio::io_context& io, Orders orders, std::function<TimeMs()> clock, Describe describe);
    ~FlowLister();
    FlowLister(const FlowLister&) = delete;
    FlowLister& operator=(const FlowLister&) = delete;

    [[nodiscard]] std::unique_ptr<api::FlowCursor> list(api::FlowFilter filter);
    /// `by`: the process that wants it so.
    void erase(const std::vector<api::FlowId>& ids, std::uint32_t by,
               std::function<void(std::vector<api::FlowId>)> handler);
    void flush(std::uint32_t by, std::function<void(std::uint64_t)> handler);
    void update(const std::vector<api::FlowId>& ids, const FlowUpdate& what, std::uint32_t by,
                std::function<void(std::vector<api::FlowRecord>)> handler);
    void expectations(std::function<void(std::vector<api::ExpectationRecord>)> handler);

    static api::FlowId id_of(unsigned worker, SlotIndex slot, std::uint32_t generation) noexcept;
    /// The flow as it is shown at this time.
    [[nodiscard]] api::FlowRecord record_of(unsigned worker, const FlowCopy& flow, TimeMs now_ms) const;

private:
    class Cursor;
    class ExpectationWalk;
    /// Something a worker was asked for: `post` puts the order into its ring, `finished` asks whether it is done.
    struct Task {
        std::function<bool()> post;
        std::function<bool()> finished;
        std::function<void()> then;
        bool posted = false;
    };
    void ask(Task task);
    /// Asks the workers something about flows by name, in batches: `prepare` a new one, `take` one that is done, `then`
    /// go on behind the last.
    template <class Batch>
    void ask_by_name(const std::vector<api::FlowId>& ids, OrderKind kind, const std::function<void(Batch&)>& prepare,
                     const std::function<void(unsigned, Batch&)>& take, std::function<void()> then);
    void poll();
    void ask_slice(unsigned worker, const std::shared_ptr<ListSlice>& slice, std::function<void()> then);

    boost::asio::steady_timer timer_;
    Orders orders_;
    std::function<TimeMs()> clock_;
    Describe describe_;
    std::list<Task> tasks_;
    bool polling_ = false;
};

}  // namespace sluice

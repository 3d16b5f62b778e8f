// Events of flows on their way from the workers to whoever listens (sluicectl conntrack -E).
//
//   first listener  → a ring for each worker, and the order to fill it
//   poll()          → takes a bounded number from each ring, tells every listener; counts what a worker could not tell
//   last one leaves → the order to stop; what is still in the rings is thrown away
//
// The rings are made with the first listener and stay: without one, workers do nothing for events.
// Owner: control thread.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

#include "control/api/box.hh"
#include "dataplane/flow/flow_event.hh"
#include "dataplane/flow/mailbox.hh"

namespace sluice {

class EventHub {
public:
    static constexpr unsigned kRingSize = 8192;

    struct Worker {
        Ring<Order>* orders = nullptr;
        const Counter* lost = nullptr;  ///< of the worker: events that found its ring full
    };
    /// What people see of an event.
    using Describe = std::function<api::FlowEventRecord(unsigned worker, const FlowEvent&)>;

    EventHub(const std::vector<Worker>& workers, Describe describe);
    ~EventHub();
    EventHub(const EventHub&) = delete;
    EventHub& operator=(const EventHub&) = delete;

    /// Throws api::EventsRefused when memory is short.
    [[nodiscard]] std::unique_ptr<api::EventWatch> watch(api::EventHandlers handlers);

    /// At most `budget` events of each worker. True when more are waiting.
    bool poll(unsigned budget);

    [[nodiscard]] std::size_t listeners() const noexcept { return listeners_.size(); }
    [[nodiscard]] std::uint64_t told() const noexcept { return told_; }
    /// Events that listeners were too slow for.
    [[nodiscard]] std::uint64_t lost_by_listeners() const noexcept { return lost_by_listeners_; }

private:
    class Watch;
    struct Source {
        Worker worker;
        Ring<FlowEvent> ring;
        bool filling = false;  // what it was ordered last
        std::uint64_t lost = 0;
    };
    void order();
    template <class Tell>
    void tell(Tell&& tell);

    std::vector<Source> sources_;
    Describe describe_;
    std::vector<Watch*> listeners_;
    std::uint64_t told_ = 0;
    std::uint64_t lost_by_listeners_ = 0;
};

}  // namespace sluice
